"""STARS: its loss terms by a second computation, and which decoder answers."""

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.errors import ModelError, RecipeError
from engine.methods.contract import Step
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

BANDS = {"rgb": 3, "sar": 2, "dem": 1, "heat": 1}
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
    found = objective.loss(Step(trained, inputs, availability, labels, detail)).terms
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
        (detail.fused_logits, [0, 1, 2]),
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
        labels[0, 1, 1] = 2  # which no coarser map keeps
    elif kept == "nothing":
        labels = torch.full_like(labels, -1)
    step = Step(trained, inputs, availability, labels, trained.detail(inputs, availability))
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


def test_the_fused_decoder_is_trained_on_every_subset_of_two_or_more() -> None:
    network = segmenter(3).network
    assert isinstance(network, Stars)
    torch.manual_seed(0)
    availability = torch.tensor([[True, True, True]] * 600 + [[True, False, True]] * 10 + [[False, True, False]] * 10)
    drawn = network._subsets(availability)
    assert not (drawn & ~availability).any()
    codes, counts = torch.unique(drawn[:600].int() @ torch.tensor([4, 2, 1], dtype=torch.int32), return_counts=True)
    assert codes.tolist() == [3, 5, 6, 7]
    assert all(abs(count - share) < 60 for count, share in zip(counts.tolist(), [100, 100, 100, 300], strict=True))
    assert (drawn[600:] == availability[600:]).all()
    assert (network.eval()._subsets(availability) == availability).all()


def test_what_the_method_cannot_do_is_refused() -> None:
    other = build_network("mean_fusion", {"encoder": "segformer-tiny"}, BANDS, 4)
    with pytest.raises(RecipeError, match="choose that network"):
        StarsObjective(StarsObjectiveOptions()).check(other)
    with pytest.raises(RecipeError, match="background: 4 is no position below 4"):
        StarsObjective(StarsObjectiveOptions(background=(0, 4))).check(segmenter(2).network)


def test_chips_with_a_single_place_to_compare_are_refused() -> None:
    trained = segmenter(2)
    inputs, _ = given(2, size=32)
    with pytest.raises(ModelError, match="more than 32 pixels"):
        trained.detail(inputs, torch.ones((4, 2), dtype=torch.bool))


def test_the_papers_size_has_the_parts_of_the_papers_sizes() -> None:
    """Of MetaRS: three encoders of 23.5 M, fusions of 13.3 M, decoders of 5.95, 5.95 and 4.97 M; 113.9 M together."""
    with torch.device("meta"):
        network = build_network("stars", {}, {"sar": 1, "rgb": 3}, 8)

    def millions(prefix: str) -> float:
        return sum(value.numel() for key, value in network.named_parameters() if key.startswith(prefix)) / 1e6

    assert millions("shared.") == pytest.approx(23.5, abs=0.05)
    assert millions("specific.sar") == pytest.approx(23.5, abs=0.05)
    assert [millions(part) for part in ("fusions.", "fused_fusions.")] == pytest.approx([13.3, 13.3], abs=0.05)
    assert [millions(f"decoders.{name}") for name in ("sar", "rgb")] == pytest.approx([5.95, 5.95], abs=0.01)
    assert millions("fused_decoder.") == pytest.approx(4.97, abs=0.01)
    assert millions("translations.") == pytest.approx(2 * 2 * (1024**2 + 2048**2) / 1e6, abs=0.05)
    assert millions("") - millions("translations.") == pytest.approx(113.9, abs=0.1)
