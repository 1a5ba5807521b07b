"""The contrast of features and texts, sample by sample, and what the objectives make of it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import RecipeError, RunError
from engine.language.vectors import ClassVectors
from engine.methods.contract import Objective, Preparation, Step
from engine.methods.language import (
    DomainDecoupling,
    LanguageCompensation,
    LanguageDecoupling,
    LanguageOptions,
    alignment,
    labelled,
)
from engine.methods.scenarios import NoOptions
from engine.modality import BandStatistics, LandClass, Modality
from engine.networks.lvpcnet import Features
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter


def by_loops(features: torch.Tensor, labels: list[int], texts: torch.Tensor, temperature: float) -> float:
    """Equation 4 as it stands, with all samples in the denominators: every sample has the text of its class."""
    seen = [feature / feature.norm() for feature in features.double()]
    words = [texts[label].double() / texts[label].double().norm() for label in labels]
    total = 0.0
    for anchor, label in enumerate(labels):
        positives = [place for place, other in enumerate(labels) if other == label]
        for own, others in ((seen, words), (words, seen)):
            below = sum(math.exp(float(own[anchor] @ other) / temperature) for other in others)
            parts = [
                math.log(math.exp(float(own[anchor] @ others[place]) / temperature) / below) for place in positives
            ]
            total -= sum(parts) / len(positives)
    return total / len(labels)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [1, 1, 1, 3, 3, 0], [2, 2, 2], [4]])
def test_it_is_the_contrast_of_all_samples_with_the_texts_of_all(labels: list[int]) -> None:
    """With several samples of a class, and classes that do not occur."""
    torch.manual_seed(len(labels))
    features, texts = torch.randn(len(labels), 6), 3 * torch.randn(5, 6)
    found = alignment(features, torch.tensor(labels), texts, 0.3)
    assert found.item() == pytest.approx(by_loops(features, labels, texts, 0.3), rel=1e-5)


def test_half_precision_leaves_its_gradient_as_it_is() -> None:
    """Near its floor the loss's gradient is smaller than what sixteen bits round away."""
    torch.manual_seed(0)
    texts, labels = torch.randn(4, 32), torch.arange(4).repeat(16)
    features = (texts[labels] + 0.05 * torch.randn(64, 32)).requires_grad_()
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = alignment(features, labels, texts, 0.07)
        gradients.append(torch.autograd.grad(loss, features)[0])
    assert gradients[0].norm() > 0
    assert torch.equal(*gradients)


def test_features_move_towards_the_text_of_their_class() -> None:
    torch.manual_seed(0)
    texts, labels = torch.randn(3, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    features = torch.randn(6, 8, requires_grad=True)
    optimizer = torch.optim.Adam([features], 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        alignment(features, labels, texts, 0.07).backward()
        optimizer.step()
    likeness = torch.nn.functional.cosine_similarity(features[:, None], texts[None], dim=2)
    assert likeness.argmax(dim=1).tolist() == labels.tolist()


BANDS = {"optical": 3, "sar": 2, "dem": 1}
SENSORS = {"optical": "optical", "sar": "radar", "dem": "elevation"}
CLASSES = tuple(LandClass(value, name, f"#00000{value}") for value, name in enumerate(("water", "forest", "barren"), 1))
TINY = {"window": 3, "width": 16, "depth": 1, "heads": 4}
ALL = torch.ones(2, 3, dtype=torch.bool)


def segmenter(name: str = "lvpcnet", **options: object) -> Segmenter:
    torch.manual_seed(0)
    network = build_network(name, TINY | options if name == "lvpcnet" else options, BANDS, len(CLASSES))
    modalities = [
        Modality(sensor, tuple("abc"[:count]), "float32", "", (BandStatistics(0, 1, 0, 1),) * count)
        for sensor, count in BANDS.items()
    ]
    return Segmenter(network, modalities)


def options_of(**more: object) -> LanguageOptions:
    return LanguageOptions.model_validate({"legend": "zion", "encoder": "hashed", "sensors": SENSORS, **more})


def drawn(folder: Path, width: int) -> dict[str, object]:
    """The encoder ``vectors`` with drawn ones, alike in their first numbers whatever the width."""
    rng = np.random.default_rng(0)
    rows = {kind: rng.normal(size=(3, 8)).astype(np.float32)[:, :width] for kind in ("shared", *SENSORS.values())}
    np.savez(folder / f"{width}.npz", classes=[item.name for item in CLASSES], **rows)
    return {"name": "vectors", "options": {"path": str(folder / f"{width}.npz")}}


def prepared(objective: Objective, found: Segmenter, folder: Path, classes: tuple[LandClass, ...] = CLASSES) -> None:
    objective.check(found.network)
    objective.prepare(
        found, Preparation("train", folder, classes, 128, lambda: iter(()), lambda _: None, lambda _: None)
    )


def step_of(found: Segmenter, availability: torch.Tensor = ALL, labels: torch.Tensor | None = None) -> Step:
    generator = torch.Generator().manual_seed(1)
    inputs = {name: torch.rand(len(availability), count, 5, 5, generator=generator) for name, count in BANDS.items()}
    if labels is None:
        labels = torch.randint(0, 3, (len(availability), 5, 5), generator=generator)
    return Step(found, inputs, availability, labels, lambda: found.detail(inputs, availability))


def without_last(projection: torch.nn.Module, count: int) -> None:
    """Zeros in the last numbers that a projection gives."""
    last = projection[-1]
    with torch.no_grad():
        last.weight[-count:], last.bias[-count:] = 0, 0


def test_shorter_vectors_are_aligned_as_if_the_projections_were_as_short(tmp_path: Path) -> None:
    """Numbers beyond theirs count in a feature's length alone; where a projection gives none, nowhere."""
    found = segmenter(text_width=8)
    network = found.network
    for projection in (network.shared_projection, *network.projections.values()):
        without_last(projection, 3)
    objective = LanguageDecoupling(options_of(encoder=drawn(tmp_path, 5), temperature=0.3))
    prepared(objective, found, tmp_path)
    step = step_of(found)
    stored = ClassVectors.load(tmp_path / "class-vectors.npz")
    assert stored.width == 5
    expected = 0.0
    for name, kind in SENSORS.items():
        seen = network.projections[name](step.detail.own[name].tokens.permute(0, 2, 3, 1).flatten(0, 2))[:, :5]
        labels = step.labels[:, 1:4, 1:4].flatten()
        expected += by_loops(seen.detach(), labels.tolist(), torch.tensor(stored.kinds[kind]), 0.3)
    assert objective.loss(step).terms["language_specific"].item() == pytest.approx(expected, rel=1e-4)


def test_numbers_beyond_a_shorter_vector_s_count_as_zeros(tmp_path: Path) -> None:
    losses = []
    for width, name in ((5, "short"), (8, "padded")):
        (tmp_path / name).mkdir()
        encoder = drawn(tmp_path / name, width)
        if name == "padded":
            with np.load(tmp_path / name / "8.npz") as file:
                arrays = dict(file)
            for kind in ("shared", *SENSORS.values()):
                arrays[kind][:, 5:] = 0
            np.savez(tmp_path / name / "8.npz", **arrays)
        found = segmenter(text_width=8)
        objective = LanguageDecoupling(options_of(encoder=encoder))
        prepared(objective, found, tmp_path / name)
        losses.append({key: value.item() for key, value in objective.loss(step_of(found)).terms.items()})
    assert losses[0] == pytest.approx(losses[1])


@pytest.mark.parametrize("stride", [1, 2])
def test_labels_of_the_windows_centres_alone_count(stride: int) -> None:
    """Of 6 x 7 pixels, windows of 3 lie around rows 1 to 4 and columns 1 to 5, every second of them with stride 2."""
    network = segmenter(stride=stride).network
    labels = torch.full((2, 6, 7), -1)
    labels[1, 1, 1], labels[1, 3, 5], labels[1, 2, 2], labels[1, 0, 3], labels[0, 1, 1] = 0, 1, 2, 2, 2
    places = {1: (4, 5), 2: (2, 3)}[stride]
    tokens = torch.arange(places[0] * places[1], dtype=torch.float32).reshape(1, 1, *places)
    seen, classes = labelled(Features(torch.tensor([1]), tokens), labels, network)
    expected = {1: ([0, 6, 14], [0, 2, 1]), 2: ([0, 5], [0, 1])}[stride]
    assert (seen[:, 0].tolist(), classes.tolist()) == expected


def test_the_weight_multiplies_what_is_aligned_of_missing_sensors(tmp_path: Path) -> None:
    availability = torch.tensor([[True, False, True], [False, True, True]])
    losses = []
    for weight in (1.0, 2.5):
        found = segmenter()
        objective = LanguageCompensation(options_of(weight=weight))
        prepared(objective, found, tmp_path)
        losses.append(objective.loss(step_of(found, availability)).terms["language_compensation"].item())
    assert losses[0] > 0
    assert losses[1] == pytest.approx(2.5 * losses[0])


@pytest.mark.parametrize("kind", [LanguageDecoupling, LanguageCompensation])
def test_a_batch_without_a_label_gives_nothing(kind: type[Objective], tmp_path: Path) -> None:
    found = segmenter()
    objective = kind(options_of())
    prepared(objective, found, tmp_path)
    availability = torch.tensor([[True, False, True], [False, True, True]])
    terms = objective.loss(step_of(found, availability, torch.full((2, 5, 5), -1))).terms
    assert {value.item() for value in terms.values()} == {0}
    torch.stack(list(terms.values())).sum().backward()


def test_a_batch_that_lacks_no_sensor_gives_nothing_to_compensate(tmp_path: Path) -> None:
    found = segmenter()
    objective = LanguageCompensation(options_of())
    prepared(objective, found, tmp_path)
    assert objective.loss(step_of(found)).terms["language_compensation"].item() == 0


def test_objectives_of_a_run_share_one_file_whichever_comes_first(tmp_path: Path) -> None:
    for first, second in ((LanguageDecoupling, LanguageCompensation), (LanguageCompensation, LanguageDecoupling)):
        folder = tmp_path / first.__name__
        folder.mkdir()
        found = segmenter()
        for kind in (first, second):
            objective = kind(options_of())
            prepared(objective, found, folder)
            objective.loss(step_of(found, torch.tensor([[True, False, True], [True, True, False]])))
        assert [path.name for path in folder.iterdir()] == ["class-vectors.npz"]


@pytest.mark.parametrize(
    ("changes", "classes", "message"),
    [
        ({}, CLASSES[::-1], "classes: found water, forest, barren; the recipe has barren, forest, water"),
        ({"encoder": {"name": "hashed", "options": {"seed": 1}}}, CLASSES, r"the encoder: found .* seed 0.* seed 1"),
        ({"encoder": "minilm"}, CLASSES, r"the encoder: found hashed .*; the recipe has minilm"),
        (
            {"sensors": {**SENSORS, "dem": "thermal"}},
            CLASSES,
            "kinds of text: found elevation, optical, radar, shared; the recipe has optical, radar, shared, thermal",
        ),
    ],
)
def test_vectors_of_a_run_that_are_others_than_the_recipe_s_are_refused(
    changes: dict[str, object], classes: tuple[LandClass, ...], message: str, tmp_path: Path
) -> None:
    prepared(LanguageDecoupling(options_of()), segmenter(), tmp_path)
    with pytest.raises(RunError, match=rf"class-vectors\.npz: {message}.*take the same, or train anew"):
        prepared(LanguageDecoupling(options_of(**changes)), segmenter(), tmp_path, classes)


def test_damaged_vectors_of_a_run_can_be_deleted(tmp_path: Path) -> None:
    prepared(LanguageDecoupling(options_of()), segmenter(), tmp_path)
    content = (tmp_path / "class-vectors.npz").read_bytes()
    (tmp_path / "class-vectors.npz").write_bytes(b"")
    with pytest.raises(RunError, match="Delete it, and the texts are encoded anew"):
        prepared(LanguageDecoupling(options_of()), segmenter(), tmp_path)
    (tmp_path / "class-vectors.npz").unlink()
    prepared(LanguageDecoupling(options_of()), segmenter(), tmp_path)
    assert (tmp_path / "class-vectors.npz").stat().st_size == len(content)


def test_networks_without_such_encoders_are_refused() -> None:
    network = segmenter("mean_fusion", encoder="segformer-tiny").network
    for kind in (LanguageDecoupling, LanguageCompensation):
        with pytest.raises(RecipeError, match="needs the encoders of the network lvpcnet"):
            kind(options_of()).check(network)
    with pytest.raises(RecipeError, match="domain_decoupling needs the network lvpcnet"):
        DomainDecoupling(NoOptions()).check(network)


def test_one_sensor_has_none_to_recreate() -> None:
    network = build_network("lvpcnet", TINY, {"optical": 3}, len(CLASSES))
    options = options_of(sensors={"optical": "optical"})
    LanguageDecoupling(options).check(network)
    with pytest.raises(RecipeError, match="with one sensor there is none"):
        LanguageCompensation(options).check(network)


def test_what_is_not_recreated_cannot_be_aligned() -> None:
    network = segmenter(compensation="none").network
    LanguageDecoupling(options_of()).check(network)
    with pytest.raises(RecipeError, match="language_compensation: the network recreates nothing"):
        LanguageCompensation(options_of()).check(network)
