"""LVPCnet against second computations: prompts in every layer, what is recreated of what, one head for all."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import RecipeError
from engine.language.vectors import ClassVectors
from engine.methods.contract import Objective, Preparation, Step
from engine.methods.language import (
    DomainDecoupling,
    LanguageCompensation,
    LanguageDecoupling,
    LanguageOptions,
    alignment,
    divergence,
)
from engine.methods.scenarios import NoOptions
from engine.modality import BandStatistics, LandClass, Modality
from engine.networks.lvpcnet import Lvpcnet
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter
from engine.networks.windows import Transformer

ByHand = Callable[..., np.ndarray]
BANDS = {"optical": 3, "sar": 2, "dem": 1}
OPTIONS = {"window": 3, "width": 16, "depth": 3, "heads": 4, "text_width": 8, "prompts": 2}


def built(options: dict[str, object] | None = None, bands: dict[str, int] = BANDS) -> Lvpcnet:
    """In evaluation mode, after its norms have seen something, with norms and biases away from where they begin."""
    torch.manual_seed(0)
    network = build_network("lvpcnet", OPTIONS | (options or {}), bands, 4)
    assert isinstance(network, Lvpcnet)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    network.train()
    everything = torch.ones(4, len(bands), dtype=torch.bool)
    with torch.no_grad():
        network({name: torch.randn(4, count, 6, 6) for name, count in bands.items()}, everything)
    return network.eval()


def array(values: torch.Tensor) -> np.ndarray:
    return values.detach().double().numpy()


def test_prompts_stand_in_every_layer_and_are_dropped_behind_it(transformer_by_hand: ByHand) -> None:
    """Eq. 7: others in each layer; what a layer makes of its prompts reaches no other layer by their places."""
    torch.manual_seed(0)
    module = Transformer(16, 3, 4, 2)
    tokens, prompts = torch.randn(2, 5, 16), torch.randn(3, 2, 16)
    found = module.first(tokens, prompts)
    for sample in range(2):
        expected = transformer_by_hand(module, array(tokens[sample]), 4, array(prompts))[0]
        np.testing.assert_allclose(array(found[sample]), expected, rtol=1e-4, atol=1e-5)
    for layer in range(3):
        other = prompts.clone()
        other[layer] = torch.randn(2, 16)
        assert not torch.allclose(module.first(tokens, other), found)


@pytest.mark.parametrize("decoupled", [True, False])
def test_every_scenario_is_answered_by_one_head(
    decoupled: bool, transformer_by_hand: ByHand, stem_by_hand: ByHand
) -> None:
    """Eq. 1 in NumPy, pixel by pixel: the mean of what is shared, each own feature, the mean of what is recreated."""
    network = built({"decoupled": decoupled})
    given = {name: torch.randn(1, count, 5, 4) for name, count in BANDS.items()}
    heads = [*([network.shared_head] if decoupled else []), *network.heads.values()]
    weight, bias = np.concatenate([array(head.weight) for head in heads], axis=1), array(network.bias)

    def seen(
        embedding: torch.nn.Module, encoder: torch.nn.Module, window: np.ndarray, prompts: object = None
    ) -> np.ndarray:
        tokens = stem_by_hand(embedding.stem, window) + array(embedding.positions)
        return transformer_by_hand(encoder, np.concatenate([array(embedding.token)[None], tokens]), 4, prompts)[0]

    for members in ([True, True, True], [True, False, True], [False, True, False]):
        found = network(given, torch.tensor([members]))[0]
        there = [name for name, member in zip(BANDS, members, strict=True) if member]
        for row, col in ((1, 1), (3, 2)):
            windows = {name: array(given[name][0, :, row - 1 : row + 2, col - 1 : col + 2]) for name in BANDS}
            slots = []
            if decoupled:
                shared = [seen(network.shared_embeddings[name], network.shared, windows[name]) for name in there]
                slots.append(np.mean(shared, axis=0))
            for name in BANDS:
                embedding, encoder = network.embeddings[name], network.specific[name]
                if name in there:
                    slots.append(seen(embedding, encoder, windows[name]))
                    continue
                recreated = []
                for source in there:
                    match = network.matches[source][name]
                    matched = np.einsum("oc,chw->ohw", array(match.weight)[:, :, 0, 0], windows[source])
                    matched = matched + array(match.bias)[:, None, None]
                    recreated.append(seen(embedding, encoder, matched, array(network.prompts[source][name])))
                slots.append(np.mean(recreated, axis=0))
            expected = weight @ np.concatenate(slots) + bias
            np.testing.assert_allclose(array(found[:, row, col]), expected, rtol=1e-4, atol=1e-4)


def test_what_others_see_leaves_a_sensor_s_statistics_as_they_are() -> None:
    """In training: the norms of elevation's stem learn of elevation alone, and take what is recreated as it is."""
    networks = [built(), built()]
    given = {name: torch.randn(4, count, 3, 3) for name, count in BANDS.items()}
    availability = torch.tensor([[True, True, True]] * 3 + [[True, True, False]])
    found = networks[0].train().detail(given, availability)
    networks[1].train().detail({name: values[:3] for name, values in given.items()}, availability[:3])
    norms = [[*network.embeddings["dem"].stem.named_buffers()] for network in networks]
    assert len(norms[0]) == 6
    for (name, one), (_, other) in zip(*norms, strict=True):
        torch.testing.assert_close(one, other, msg=name)
    alone = networks[0].detail({name: values[3:] for name, values in given.items()}, availability[3:])
    for pair in (("dem", "optical"), ("dem", "sar")):
        torch.testing.assert_close(found.recreated[pair].tokens, alone.recreated[pair].tokens)


def test_prompts_and_positions_begin_apart() -> None:
    """Equal prompts of a layer would stay equal; positions are sines and cosines."""
    network = build_network("lvpcnet", OPTIONS, BANDS, 4)
    for name, parameter in network.named_parameters():
        if name.startswith("prompts."):
            assert parameter.std() > 0.01
            assert not torch.allclose(parameter[:, 0], parameter[:, 1])
        if name.endswith(".positions"):
            np.testing.assert_allclose(array(parameter[0]), [0, 0, 0, 0, 1, 1, 1, 1] * 2, atol=1e-6)
            np.testing.assert_allclose(array(parameter[3]), array(parameter[1])[[*range(8, 16), *range(8)]], atol=1e-6)


def test_a_reconstruction_reads_both_features_of_a_sensor_that_is_there() -> None:
    network = built({"compensation": "reconstruction"})
    given = {name: torch.randn(2, count, 3, 3) for name, count in BANDS.items()}
    detail = network.detail(given, torch.tensor([[True, False, False], [True, True, False]]))
    assert set(detail.recreated) == {("sar", "optical"), ("dem", "optical"), ("dem", "sar")}
    assert detail.recreated["sar", "optical"].samples.tolist() == [0]
    assert detail.recreated["dem", "sar"].samples.tolist() == [1]
    both = torch.cat([detail.shared["optical"].tokens, detail.own["optical"].tokens], dim=1)[:, :, 0, 0]
    first, _, last = network.reconstructions["optical"]["dem"]
    expected = last(torch.relu(first(both)))
    torch.testing.assert_close(detail.recreated["dem", "optical"].tokens[:, :, 0, 0], expected)


def test_without_compensation_what_is_missing_adds_nothing() -> None:
    network = built({"compensation": "none"})
    given = {name: torch.randn(1, count, 3, 3) for name, count in BANDS.items()}
    detail = network.detail(given, torch.tensor([[False, True, False]]))
    assert detail.recreated == {}
    shared, own = detail.shared["sar"].tokens[0, :, 0, 0], detail.own["sar"].tokens[0, :, 0, 0]
    expected = network.shared_head(shared) + network.heads["sar"](own) + network.bias
    torch.testing.assert_close(detail.logits[0, :, 1, 1], expected)


def test_the_classifier_can_learn_from_what_random_subsets_share() -> None:
    """In training, of samples that have every sensor: each subset as often as any other, what is their own complete."""
    network = built({"shared_subsets": True, "compensation": "none"})
    count = 700
    given = {name: torch.randn(count + 1, bands, 3, 3) for name, bands in BANDS.items()}
    availability = torch.ones(count + 1, 3, dtype=torch.bool)
    availability[count, 1] = False
    detail = network.train().detail(given, availability)
    shared = {name: array(found.tokens[:, :, 0, 0]) for name, found in detail.shared.items()}
    own = {name: array(found.tokens[:, :, 0, 0]) for name, found in detail.own.items()}
    heads = {name: array(network.heads[name].weight) for name in BANDS}
    found, drawn = array(detail.logits[:, :, 1, 1]), []
    subsets = [[name for place, name in enumerate(BANDS) if bits >> place & 1] for bits in range(1, 8)]
    for sample in range(count):
        rest = array(network.bias) + sum(heads[name] @ own[name][sample] for name in BANDS)
        answers = [
            rest + array(network.shared_head.weight) @ np.mean([shared[name][sample] for name in names], axis=0)
            for names in subsets
        ]
        apart = [np.abs(answer - found[sample]).max() for answer in answers]
        assert min(apart) < 1e-4
        drawn.append(int(np.argmin(apart)))
    assert np.bincount(drawn, minlength=7) == pytest.approx([100] * 7, abs=40)
    mean = np.mean([shared[name][:count] for name in BANDS], axis=0)
    np.testing.assert_allclose(array(detail.latents["shared"][:count, :, 0, 0]), mean, atol=1e-5)
    pair = np.mean([shared["optical"][count], shared["dem"][count]], axis=0)
    slots = [(network.shared_head, pair), (network.heads["optical"], own["optical"][count])]
    slots.append((network.heads["dem"], own["dem"][count]))
    expected = sum(array(head.weight) @ feature for head, feature in slots) + array(network.bias)
    np.testing.assert_allclose(found[count], expected, atol=1e-4)
    other = built({"compensation": "none"})
    other.load_state_dict(network.state_dict())
    few = {name: values[:4] for name, values in given.items()}
    torch.testing.assert_close(network.eval()(few, availability[:4]), other.eval()(few, availability[:4]))


def test_a_network_that_shares_nothing_has_no_subsets_to_learn_from() -> None:
    with pytest.raises(RecipeError, match="shared_subsets: with decoupled: false"):
        built({"shared_subsets": True, "decoupled": False})


SENSORS = {"optical": "optical", "sar": "radar", "dem": "elevation"}
CLASSES = (
    LandClass(1, "water", "#000000"),
    LandClass(2, "forest", "#000001"),
    LandClass(3, "barren", "#000002"),
    LandClass(4, "developed", "#000003"),
)


def of_raw_values(network: Lvpcnet) -> Segmenter:
    modalities = [
        Modality(name, tuple("abc"[:count]), "float32", "", (BandStatistics(0, 1, 0, 1),) * count)
        for name, count in network.bands.items()
    ]
    return Segmenter(network, modalities)


def prepared(objective: Objective, network: Lvpcnet, folder: Path) -> Segmenter:
    segmenter = of_raw_values(network)
    objective.check(network)
    told = Preparation("train", folder, CLASSES, 128, lambda: iter(()), lambda _done: None, lambda _line: None)
    objective.prepare(segmenter, told)
    return segmenter


def language(**more: object) -> LanguageOptions:
    return LanguageOptions.model_validate({"legend": "zion", "encoder": "hashed", "sensors": SENSORS, **more})


def step_of(segmenter: Segmenter, availability: torch.Tensor) -> Step:
    generator = torch.Generator().manual_seed(1)
    inputs = {name: torch.rand(len(availability), count, 5, 5, generator=generator) for name, count in BANDS.items()}
    labels = torch.randint(-1, 4, (len(availability), 5, 5), generator=generator)
    labels[:, [0, 4]] = labels[:, :, [0, 4]] = -1
    return Step(segmenter, inputs, availability, labels, lambda: segmenter.detail(inputs, availability))


def test_features_are_aligned_with_the_texts_of_their_kind(tmp_path: Path) -> None:
    """Equations 3, 10: each sensor's shared features with what a class is, its own with what that sensor sees of it."""
    network = built({"text_width": 512})
    objective = LanguageDecoupling(language(weight=2, temperature=0.2))
    step = step_of(prepared(objective, network, tmp_path), torch.ones(3, 3, dtype=torch.bool))
    found = objective.loss(step).terms
    vectors = ClassVectors.load(tmp_path / "class-vectors.npz")
    assert vectors.classes == ("water", "forest", "barren", "developed")
    inner = step.labels[:, 1:4, 1:4]
    known, shared, own = inner >= 0, [], []
    detail = step.detail
    for name, kind in SENSORS.items():
        for features, projection, words, sums in (
            (detail.shared[name], network.shared_projection, vectors.kinds["shared"], shared),
            (detail.own[name], network.projections[name], vectors.kinds[kind], own),
        ):
            seen = projection(features.tokens.permute(0, 2, 3, 1)[known])
            sums.append(alignment(seen, inner[known], torch.tensor(words), 0.2).item())
    assert found["language_shared"].item() == pytest.approx(2 * sum(shared), rel=1e-5)
    assert found["language_specific"].item() == pytest.approx(2 * sum(own), rel=1e-5)


def test_what_is_recreated_is_aligned_with_the_text_of_the_missing_sensor(tmp_path: Path) -> None:
    """Equation 8: radar from optical, elevation from optical and radar (the mean of both)."""
    network = built({"text_width": 512})
    objective = LanguageCompensation(language())
    availability = torch.tensor([[True, False, True], [True, True, False], [True, True, True]])
    step = step_of(prepared(objective, network, tmp_path), availability)
    found = objective.loss(step).terms["language_compensation"].item()
    vectors = ClassVectors.load(tmp_path / "class-vectors.npz")
    expected = {}
    for (missing, source), features in step.detail.recreated.items():
        inner = step.labels[features.samples][:, 1:4, 1:4]
        seen = network.projections[missing](features.tokens.permute(0, 2, 3, 1)[inner >= 0])
        words = torch.tensor(vectors.kinds[SENSORS[missing]])
        expected[missing, source] = alignment(seen, inner[inner >= 0], words, 0.07).item()
    assert set(expected) == {("sar", "optical"), ("sar", "dem"), ("dem", "optical"), ("dem", "sar")}
    sums = [expected["sar", "optical"] + expected["sar", "dem"], expected["dem", "optical"] + expected["dem", "sar"]]
    assert found == pytest.approx(sum(sums) / 2, rel=1e-5)


def test_a_resume_reads_the_vectors_that_the_run_keeps(tmp_path: Path) -> None:
    network = built({"text_width": 512})
    prepared(LanguageDecoupling(language()), network, tmp_path)
    before = (tmp_path / "class-vectors.npz").read_bytes()
    prepared(LanguageDecoupling(language(legend="nowhere.yaml")), network, tmp_path)  # the texts are gone
    assert (tmp_path / "class-vectors.npz").read_bytes() == before


def test_vectors_that_are_longer_than_the_projections_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="text_width: 8 is less than the 512"):
        prepared(LanguageDecoupling(language()), built(), tmp_path)


@pytest.mark.parametrize(
    ("sensors", "message"),
    [({"optical": "optical"}, "the kind of each of optical, sar, dem"), ({**SENSORS, "sar": "sonar"}, "sonar is none")],
)
def test_every_sensor_is_of_a_kind(sensors: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        LanguageDecoupling(language(sensors=sensors)).check(built())


def test_the_divergence_is_that_of_jensen_and_shannon() -> None:
    """Half the relative entropies to the mean, for two; none among equals."""
    torch.manual_seed(0)
    one, other = torch.randn(5, 7), torch.randn(5, 7)
    p, q = (values.double().softmax(dim=1).numpy() for values in (one, other))
    mean = (p + q) / 2
    expected = 0.5 * (p * np.log(p / mean) + q * np.log(q / mean)).sum(axis=1).mean()
    assert divergence([one, other]).item() == pytest.approx(expected, rel=1e-5)
    assert divergence([one, one, one]).item() == pytest.approx(0, abs=1e-6)


def test_without_language_sensors_are_told_apart_by_what_is_their_own() -> None:
    network = built({"domains": True})
    objective = DomainDecoupling(NoOptions())
    objective.check(network)
    availability = torch.tensor([[True, True, True], [True, False, True]])
    step = step_of(of_raw_values(network), availability)
    found = objective.loss(step).terms
    inner, losses = step.labels[:, 1:4, 1:4] >= 0, []
    for number, name in enumerate(BANDS):
        features = step.detail.own[name]
        seen = features.tokens.permute(0, 2, 3, 1)[inner[features.samples]]
        losses += (-network.domain(seen).log_softmax(dim=1)[:, number]).tolist()
    assert found["domain"].item() == pytest.approx(np.mean(losses), rel=1e-5)
    shared = [step.detail.shared[name].tokens[:1].permute(0, 2, 3, 1)[inner[:1]] for name in BANDS]
    assert found["divergence"].item() == pytest.approx(divergence(shared).item(), rel=1e-4)
    with pytest.raises(RecipeError, match="domains"):
        objective.check(built())
