"""STARS: its loss terms by a second computation, and which decoder answers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.errors import RecipeError
from engine.methods.contract import Preparation, Step
from engine.methods.stars import (
    StarsObjective,
    StarsObjectiveOptions,
    drawn_pixels,
    semantic_loss,
    translation_loss,
)
from engine.modality import BandStatistics, Modality
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter
from engine.networks.stars import Stars, StarsDetail
from engine.networks.stars_layers import Excitation, PyramidDecoder, Translation, TranslationNorm
from engine.training.adaptation import targets
from engine.training.recipe import read_recipe

BANDS = {"rgb": 3, "sar": 2, "dem": 1, "heat": 1}
RECIPES = Path(__file__).parents[2] / "recipes"
OPTIONS = {"encoder": "resnet-tiny", "pyramid": 8, "width": 8}


def segmenter(count: int) -> Segmenter:
    torch.manual_seed(0)
    bands = dict(list(BANDS.items())[:count])
    statistics = {name: tuple(BandStatistics(0, 1, -1, 1) for _ in range(count)) for name, count in bands.items()}
    modalities = [
        Modality(name, tuple(f"b{band}" for band in range(count)), "float32", "", statistics[name])
        for name, count in bands.items()
    ]
    return Segmenter(build_network("stars", OPTIONS, bands, 4), modalities).train()


def given(count: int, batch: int = 4, size: int = 64) -> tuple[dict[str, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = {
        name: torch.randn(batch, bands, size, size, generator=generator) for name, bands in list(BANDS.items())[:count]
    }
    return inputs, torch.randint(-1, 4, (batch, size, size), generator=generator)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()))


def test_the_translation_loss_is_the_mean_negative_cosine() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 2, 5, 3, 4))
    places = [(n, y, x) for n in range(2) for y in range(3) for x in range(4)]
    expected = -np.mean([cosine(one[n, :, y, x], other[n, :, y, x]) for n, y, x in places])
    found = translation_loss(torch.from_numpy(one), torch.from_numpy(other))
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("detach", [True, False])
def test_no_gradient_flows_into_a_detached_target(detach: bool) -> None:
    one, other = torch.randn(2, 2, 5, 3, 4).unbind(0)
    one.requires_grad_()
    other.requires_grad_()
    translation_loss(one, other, detach).backward()
    assert one.grad is not None
    assert (other.grad is None) == detach


def test_the_semantic_loss_contrasts_with_all_pixels_of_the_other_sensor() -> None:
    """With a pixel that was drawn three times."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 7, 6))
    one[5:], other[5:] = one[4], other[4]
    classes = np.array([0, 0, 1, 1, 3, 3, 3])
    terms = []
    for i in range(7):
        powers = [np.exp(cosine(one[i], other[j]) / 0.1) for j in range(7)]
        terms.append(-np.log(sum(p for p, c in zip(powers, classes, strict=True) if c == classes[i]) / sum(powers)))
    found = semantic_loss(*(torch.from_numpy(part) for part in (one, other, classes)), temperature=0.1)
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-4)


def test_so_many_pixels_are_drawn_of_each_class() -> None:
    torch.manual_seed(0)
    labels = torch.full((2, 10, 10), -1)
    labels[0, :5], labels[1, 0, :3], labels[1, 9, 9], labels[0, 9] = 0, 1, 2, 3
    drawn = drawn_pixels(labels, 8, background=[3])
    found = labels.flatten()[drawn]
    assert [int((found == one).sum()) for one in range(4)] == [8, 8, 8, 0]
    assert len(set(drawn[found == 0].tolist())) == 8  # none twice where there are enough
    assert sorted(np.bincount(drawn[found == 1] - 100)[:3].tolist()) == [2, 3, 3]
    assert drawn_pixels(labels, 8).tolist() != drawn_pixels(labels, 8).tolist()
    assert len(drawn_pixels(torch.full((2, 4, 4), -1), 8)) == 0


def test_terms_are_means_over_pairs_and_stages() -> None:
    trained = segmenter(3)
    inputs, labels = given(3)
    availability = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 0]], dtype=torch.bool)
    torch.manual_seed(3)
    detail = trained.detail(inputs, availability)
    objective = StarsObjective(StarsObjectiveOptions(semantic=0.0, translation=1.0))
    found = objective.loss(Step(trained, inputs, availability, labels, lambda: detail)).terms
    assert isinstance(detail, StarsDetail)
    have = {"rgb": [0, 1, 3], "sar": [0, 1, 2], "dem": [0, 2]}
    network = trained.network
    assert isinstance(network, Stars)
    terms = []
    for key, (source, (target,)) in network.routes.items():
        for stage in range(2):
            given_maps, wanted = detail.translated[key][stage], detail.unimodal[target].features[2 + stage]
            both = [sample for sample in have[source] if sample in have[target]]
            terms.append(
                np.mean(
                    [
                        cosine(
                            given_maps[have[source].index(sample), :, y, x].detach().numpy(),
                            wanted[have[target].index(sample), :, y, x].detach().numpy(),
                        )
                        for sample in both
                        for y in range(given_maps.shape[2])
                        for x in range(given_maps.shape[3])
                    ]
                )
            )
    assert len(terms) == 12
    assert float(found["translation"].detach()) == pytest.approx(-np.mean(terms), rel=1e-4)
    losses = []
    for logits, samples in [
        *((detail.unimodal[name].prediction, have[name]) for name in have),
        (detail.logits[:3], [0, 1, 2]),
    ]:
        assert logits is not None
        chances = torch.softmax(logits.detach(), dim=1)
        wanted = labels[samples]
        known = wanted >= 0
        losses.append(-chances.gather(1, wanted.clamp(min=0)[:, None])[:, 0][known].log().mean().item())
    assert float(found["segmentation"].detach()) == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("there", ["all", "one each"])
@pytest.mark.parametrize("kept", ["all classes", "one class", "one pixel", "nothing"])
def test_losses_are_finite_whatever_is_missing(count: int, there: str, kept: str) -> None:
    trained = segmenter(count)
    inputs, labels = given(count)
    eye = torch.eye(count, dtype=torch.bool)[torch.arange(4) % count]
    availability = torch.ones(4, count, dtype=torch.bool) if there == "all" else eye
    if kept == "one class":
        labels = torch.where(labels == 2, 2, -1)
    elif kept == "one pixel":
        labels = torch.full_like(labels, -1)
        labels[0, 1, 1] = 2
    elif kept == "nothing":
        labels = torch.full_like(labels, -1)
    step = Step(trained, inputs, availability, labels, lambda: trained.detail(inputs, availability))
    found = StarsObjective(StarsObjectiveOptions()).loss(step).terms
    assert set(found) == {"segmentation"} | ({"semantic", "translation"} if count > 1 else set())
    torch.stack(list(found.values())).sum().backward()
    assert all(value.isfinite() for value in found.values())
    assert all(parameter.grad.isfinite().all() for parameter in trained.parameters() if parameter.grad is not None)
    if kept != "all classes" and count > 1:
        assert found["semantic"] == 0


def test_one_sensor_is_answered_by_its_own_decoder_and_several_by_the_fused_one() -> None:
    trained = segmenter(3).eval()
    inputs, _ = given(3)
    availability = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1]], dtype=torch.bool)
    for module, answered in ((trained.network.decoders["dem"], [2]), (trained.network.fused_decoder, [1, 3])):
        with torch.no_grad():
            before = trained(inputs, availability)
            module.classify.bias += 1
            changed = (trained(inputs, availability) != before).flatten(1).any(dim=1)
        assert changed.nonzero()[:, 0].tolist() == answered


def convolved(layer: torch.nn.Module, maps: np.ndarray) -> np.ndarray:
    """A 1 x 1 convolution of maps ``[C, h, w]``."""
    weight, bias = (layer.get_parameter(name).detach().double().numpy() for name in ("weight", "bias"))
    found: np.ndarray = np.einsum("oc,chw->ohw", weight[:, :, 0, 0], maps) + bias[:, None, None]
    return found


def sigmoid(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = 1 / (1 + np.exp(-values))
    return found


def test_excitations_over_channels_and_places_are_added() -> None:
    torch.manual_seed(0)
    block, maps = Excitation(32), torch.randn(1, 32, 5, 4)
    values = maps[0].double().numpy()
    squeezed = np.maximum(convolved(block.channel[1], values.mean(axis=(1, 2), keepdims=True)), 0)
    assert len(squeezed) == 2, "a bottleneck of 32 / 16"
    expected = values * sigmoid(convolved(block.channel[3], squeezed)) + values * sigmoid(
        convolved(block.place[0], values)
    )
    np.testing.assert_allclose(block(maps)[0].detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_a_translation_is_two_convolutions_about_a_normalisation_of_each_sample() -> None:
    """Equation 1."""
    torch.manual_seed(0)
    module, maps = Translation(6), 3 + 2 * torch.randn(2, 6, 5, 4)
    for sample in range(2):
        inner = convolved(module[0], maps[sample].double().numpy())
        mean, variance = inner.mean(axis=(1, 2), keepdims=True), inner.var(axis=(1, 2), keepdims=True)
        normed = (inner - mean) / np.sqrt(variance + 1e-5)
        expected = convolved(module[3], normed * sigmoid(normed))
        np.testing.assert_allclose(module(maps)[sample].detach().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["instance", "affine", "none"])
def test_a_translation_keeps_the_level_of_an_image_only_without_a_norm(norm: TranslationNorm) -> None:
    torch.manual_seed(0)
    module = Translation(6, norm)
    levels = module(torch.randn(2, 6, 1, 1).expand(2, 6, 4, 4))
    assert torch.allclose(levels[0], levels[1], atol=1e-5) == (norm != "none")
    assert any("1." in name for name, _ in module.named_parameters()) == (norm == "affine")


def test_the_scale_and_shift_of_a_translation_are_those_of_its_channels() -> None:
    torch.manual_seed(0)
    module, maps = Translation(6, "affine"), torch.randn(2, 6, 5, 4)
    scale, shift = (module.get_parameter(f"1.{name}").data.normal_().double().numpy() for name in ("weight", "bias"))
    inner = convolved(module[0], maps[1].double().numpy())
    normed = (inner - inner.mean(axis=(1, 2), keepdims=True)) / np.sqrt(inner.var(axis=(1, 2), keepdims=True) + 1e-5)
    moved = scale[:, None, None] * normed + shift[:, None, None]
    expected = convolved(module[3], moved * sigmoid(moved))
    np.testing.assert_allclose(module(maps)[1].detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_translations_of_a_network_are_normed_as_its_option_says() -> None:
    def parameters(norm: str) -> set[str]:
        network = build_network("stars", {**OPTIONS, "translation_norm": norm}, {"sar": 2, "rgb": 3}, 4)
        return {name for name, _ in network.named_parameters() if name.startswith("translations.")}

    more = {
        f"translations.{key}.{stage}.1.{kind}"
        for key in ("0-1", "1-0")
        for stage in "01"
        for kind in ("weight", "bias")
    }
    assert parameters("affine") - parameters("instance") == more
    assert parameters("none") == parameters("instance") == parameters("affine") - more


@pytest.mark.parametrize("norms", ["together", "by_sensor"])
def test_a_sensor_is_normed_without_the_others_only_by_sensor(norms: str) -> None:
    """Running statistics move once a forward pass or, by sensor, twice; once before that by hand."""
    torch.manual_seed(0)
    network = build_network("stars", {**OPTIONS, "shared_norms": norms}, {"sar": 2, "rgb": 3}, 4).train()
    assert isinstance(network, Stars)
    inputs, _ = given(2)
    other = {"rgb": inputs["rgb"], "sar": 3 * inputs["sar"] + 1}
    availability = torch.ones(4, 2, dtype=torch.bool)
    with torch.no_grad():
        alone = network.shared.stages(network.shared.stem("rgb", inputs["rgb"]))
        one, two = (network.detail(some, availability).unimodal["rgb"].features for some in (inputs, other))
    for own, first, second in zip(alone, one, two, strict=True):
        assert torch.allclose(own, first, atol=1e-5) == (norms == "by_sensor")
        assert torch.allclose(first, second, atol=1e-5) == (norms == "by_sensor")
    steps = {int(value) for key, value in network.shared.named_buffers() if "shared." in key and "tracked" in key}
    assert steps == ({5} if norms == "by_sensor" else {3})


def test_answers_of_given_weights_are_the_same_by_sensor_and_together() -> None:
    torch.manual_seed(0)
    one, other = (
        build_network("stars", {**OPTIONS, "shared_norms": norms}, {"sar": 2, "rgb": 3}, 4).eval()
        for norms in ("together", "by_sensor")
    )
    other.load_state_dict(one.state_dict())
    inputs, _ = given(2)
    availability = torch.tensor([[1, 0], [0, 1], [1, 1], [1, 1]], dtype=torch.bool)
    with torch.no_grad():
        torch.testing.assert_close(one(inputs, availability), other(inputs, availability))


@pytest.mark.parametrize(("chip", "count", "told"), [(224, 2, True), (225, 2, False), (256, 3, False), (128, 1, False)])
def test_chips_with_few_places_to_align_are_spoken_of(chip: int, count: int, told: bool, tmp_path: Path) -> None:
    lines: list[str] = []
    preparation = Preparation("train", tmp_path, (), chip, lambda: iter(()), lambda _: None, lines.append)
    StarsObjective(StarsObjectiveOptions()).prepare(segmenter(count), preparation)
    assert [line.startswith("Warning: data.chip: 224 pixels leave 7 x 7 places") for line in lines] == [True] * told


@pytest.mark.parametrize("name", ["stars/ombria", "stars/zion", "papers/potsdam-stars", "papers/earthmiss-stars"])
def test_recipes_have_chips_with_enough_places_to_align(name: str) -> None:
    """All others in the folder take theirs from these."""
    assert read_recipe(RECIPES / f"{name}.yaml").data.chip >= 256


def test_a_decoder_averages_the_levels_of_a_pyramid() -> None:
    torch.manual_seed(0)
    decoder = PyramidDecoder((3, 4, 5, 6), 7, 8, 2).eval()
    maps = [torch.randn(1, 3 + level, 16 >> level, 24 >> level) for level in range(4)]
    tops = [layer(level) for layer, level in zip(decoder.laterals, maps, strict=True)]
    for level in (2, 1, 0):
        tops[level] = tops[level] + tops[level + 1].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    total = torch.zeros(1, 8, 16, 24)
    for level in range(4):
        features = decoder.outputs[level](tops[level])
        stack = decoder.stacks[level]
        assert isinstance(stack, torch.nn.ModuleList)
        for layer in stack:
            features = layer(features)
            if level:
                features = torch.nn.functional.interpolate(features, scale_factor=2, mode="bilinear")
        total += features / 4
    torch.testing.assert_close(decoder(maps), decoder.classify(total))


def test_branches_fuse_as_the_papers_figure_has_it() -> None:
    """Figure 3 of the parts, for one sensor; of two and three sensors the shared features of the first and the rest."""
    network = segmenter(3).eval().network
    assert isinstance(network, Stars)
    inputs, _ = given(3, batch=1)

    def large(logits: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(logits, size=(64, 64), mode="bilinear", align_corners=False)

    with torch.no_grad():
        shared = {name: network.shared.stages(network.shared.stem(name, inputs[name])) for name in network.names}
        levels = []
        for stage, (own, common) in enumerate(
            zip(network.specific["sar"].stages(network.shared.stem("sar", inputs["sar"])), shared["sar"], strict=True)
        ):
            fusion = network.fusions[stage]
            mixed = fusion.mix(torch.cat([fusion.one(own), fusion.other(common)], dim=1))
            levels.append(torch.cat([own + fusion.both(mixed), common], dim=1))
        found = network(inputs, torch.tensor([[False, True, False]]))
        torch.testing.assert_close(found, large(network.decoders["sar"](levels)))

        for members in ([True, False, True], [True, True, True]):
            first, *rest = [name for name, there in zip(network.names, members, strict=True) if there]
            levels = []
            for stage, fusion in enumerate(network.fused_fusions):
                one, other = shared[first][stage], sum(shared[name][stage] for name in rest) / len(rest)
                mixed = fusion.mix(torch.cat([fusion.one(one), fusion.other(other)], dim=1))
                levels.append(fusion.both(mixed))
            detail = network.detail(inputs, torch.tensor([members]))
            torch.testing.assert_close(detail.logits, large(network.fused_decoder(levels)))
            mean = sum(shared[name][-1] for name in (first, *rest)) / (1 + len(rest))
            torch.testing.assert_close(detail.latents["shared"], mean)


def terms(trained: Segmenter, availability: Tensor, labels: Tensor, **options: object) -> dict[str, Tensor]:
    inputs, _ = given(len(trained.modalities), len(availability))
    torch.manual_seed(3)
    step = Step(trained, inputs, availability, labels, lambda: trained.detail(inputs, availability))
    return StarsObjective(StarsObjectiveOptions.model_validate(options)).loss(step).terms


@pytest.mark.parametrize("background", [(), (0,)])
def test_the_semantic_term_is_the_papers_over_pairs_and_stages(background: tuple[int, ...]) -> None:
    """Equation 5 in NumPy: so many are drawn that each pixel of a class is there equally often.

    One pixel of 1024 has a label: none of them is in the middle of a place of the deeper maps.
    """
    trained = segmenter(3)
    labels = torch.full((4, 64, 64), -1)
    labels[:, 3::32, 21::32] = torch.tensor([[[0, 1], [2, 0]], [[2, 2], [0, 1]], [[1, 0], [0, 2]], [[0, 0], [1, 2]]])
    have = {"rgb": [0, 1, 3], "sar": [0, 1, 2], "dem": [0, 2]}
    availability = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 0]], dtype=torch.bool)
    found = terms(trained, availability, labels, semantic=1.0, translation=0.0, pixels=48, background=background)
    torch.manual_seed(3)
    inputs, _ = given(3)
    detail = trained.detail(inputs, availability)
    losses = []
    for one, other in (("rgb", "sar"), ("rgb", "dem"), ("sar", "dem")):
        for stage, side in ((2, 4), (3, 2)):
            anchors, others, classes = [], [], []
            for sample in set(have[one]) & set(have[other]):
                for y in (3, 35):
                    for x in (21, 53):
                        for name, rows in ((one, anchors), (other, others)):
                            maps = detail.unimodal[name].features[stage][have[name].index(sample)]
                            vector = maps[:, y // (64 // side), x // (64 // side)].detach().double().numpy()
                            rows.append(vector / np.linalg.norm(vector))
                        classes.append(int(labels[sample, y, x]))
            known = np.array([one_class not in background for one_class in classes])
            likeness = np.exp(np.array(anchors)[known] @ np.array(others)[known].T / 0.1)
            kinds = np.array(classes)[known]
            often = np.array([48 / (kinds == kind).sum() for kind in kinds])  # how often a pixel is drawn
            same = kinds[:, None] == kinds[None]
            each = -np.log((likeness * same * often).sum(axis=1) / (likeness * often).sum(axis=1))
            losses.append((each * often).sum() / often.sum())
    assert float(found["semantic"].detach()) == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("translate", [True, False])
def test_of_more_than_three_sensors_each_is_compared_with_the_mean_of_the_others(translate: bool) -> None:
    trained = segmenter(4)
    availability = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 0, 0]], dtype=torch.bool)
    _, labels = given(4, 3)
    found = terms(trained, availability, labels, semantic=0.0, translation=1.0, translate=translate)
    torch.manual_seed(3)
    inputs, _ = given(4, 3)
    detail = trained.detail(inputs, availability)
    assert isinstance(detail, StarsDetail)
    network = trained.network
    assert isinstance(network, Stars)
    have = {name: availability[:, place].nonzero()[:, 0].tolist() for place, name in enumerate(BANDS)}
    losses = []
    for key, (source, _) in network.routes.items():
        for stage in range(2):
            likeness = []
            maps = detail.translated[key][stage] if translate else detail.unimodal[source].features[2 + stage]
            for sample in set(have[source]) & {0, 1}:
                others = [name for name in BANDS if name != source and sample in have[name]]
                target = sum(
                    detail.unimodal[name].features[2 + stage][have[name].index(sample)].detach().double().numpy()
                    for name in others
                ) / len(others)
                own = maps[have[source].index(sample)].detach().double().numpy()
                likeness += [cosine(own[:, y, x], target[:, y, x]) for y, x in np.ndindex(own.shape[1:])]
            losses.append(-np.mean(likeness))
    assert len(losses) == 8
    assert float(found["translation"].detach()) == pytest.approx(np.mean(losses), rel=1e-4)


def test_without_detaching_both_sides_learn() -> None:
    """Untranslated, each map is a target as often as it is compared: its gradient doubles."""
    everything = torch.ones(4, 2, dtype=torch.bool)
    _, labels = given(2)
    gradients = []
    for detach in (True, False):
        trained = segmenter(2)
        found = terms(trained, everything, labels, semantic=0.0, translation=1.0, translate=False, detach=detach)
        network = trained.network
        assert isinstance(network, Stars)
        *_, weight = network.shared.parameters()
        gradients.append(torch.autograd.grad(found["translation"], weight)[0])
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], 2 * gradients[0])


def test_weights_are_the_papers_unless_a_recipe_says_others() -> None:
    options = StarsObjectiveOptions()
    assert (options.semantic, options.translation, options.pixels, options.detach) == (0.5, 0.2, 32, True)
    trained = segmenter(2)
    everything = torch.ones(4, 2, dtype=torch.bool)
    _, labels = given(2)
    plain, heavy = (
        {name: float(value.detach()) for name, value in terms(trained, everything, labels, **options).items()}
        for options in ({}, {"semantic": 1.5, "translation": 0.8})
    )
    assert heavy["semantic"] == pytest.approx(3 * plain["semantic"], rel=1e-3)
    assert heavy["translation"] == pytest.approx(4 * plain["translation"], rel=1e-3)
    assert heavy["segmentation"] == pytest.approx(plain["segmentation"], rel=1e-3)


def test_what_the_method_cannot_do_is_refused() -> None:
    other = build_network("mean_fusion", {"encoder": "segformer-tiny"}, BANDS, 4)
    with pytest.raises(RecipeError, match="choose that network"):
        StarsObjective(StarsObjectiveOptions()).check(other)
    with pytest.raises(RecipeError, match="background: 4 is no position below 4"):
        StarsObjective(StarsObjectiveOptions(background=(0, 4))).check(segmenter(2).network)


def test_the_smallest_chip_has_more_than_one_place_to_compare() -> None:
    trained = segmenter(2)
    smallest = trained.network.smallest_chip
    for size in (smallest - 1, smallest):
        inputs, _ = given(2, size=size)
        detail = trained.eval().detail(inputs, torch.ones((4, 2), dtype=torch.bool))
        for one in detail.unimodal.values():
            assert (one.features[3].shape[-2:].numel() > 1) == (size == smallest)


@pytest.mark.parametrize("count", [1, 2])
def test_low_rank_matrices_have_layers_to_stand_beside(count: int) -> None:
    network = segmenter(count).network
    assert targets(network, network.lora_targets)
