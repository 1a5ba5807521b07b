"""Random forests beside a run: the same pixels and figures as by plain scikit-learn on whole arrays."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import confusion_matrix

from engine.availability import Scenario
from engine.data.settings import DataSettings
from engine.data.splits import pixel_hashes
from engine.data.survey import SceneCollection
from engine.evaluation import forests, samples
from engine.evaluation.forests import draw_training_pixels, score_forests
from engine.modality import LandClass, Modality

CLASSES = tuple(LandClass(value, f"class {value}", "#000000") for value in (1, 2, 3))
MODALITIES = (Modality("a", ("x", "y"), "uint16"), Modality("b", ("z",), "float32"))
SPLIT = {"kind": "regions", "train": [[1000, 4600, 1250, 5000]], "validation": [[1250, 4600, 1500, 5000]]}


@pytest.fixture
def a() -> NDArray[np.uint16]:
    """``[2, 40, 50]``, each class about a value of its own."""
    return (100 * truth() + np.random.default_rng(0).normal(300, 60, (2, 40, 50))).astype("uint16")


@pytest.fixture
def b() -> NDArray[np.float32]:
    """``[1, 40, 50]``, not valid (NaN) on the right of column 40 and in row 0."""
    values = (truth() % 2 + np.random.default_rng(1).normal(0, 0.7, (1, 40, 50))).astype("float32")
    values[:, :, 40:], values[:, 0] = np.nan, np.nan
    return values


def truth() -> NDArray[np.uint8]:
    """Class 1 to 3 by rows; no label in row 20."""
    values = np.repeat((np.arange(40) // 4 % 3 + 1)[:, None], 50, axis=1).astype("uint8")
    values[20] = 0
    return values


@pytest.fixture
def collect(
    a: NDArray[np.uint16], b: NDArray[np.float32], tmp_path: Path, write_raster: Callable[..., Path]
) -> Callable[..., SceneCollection]:
    """The scene, with labels of which some may be drawn."""
    write_raster("a.tif", a)
    write_raster("b.tif", b)
    write_raster("labels.tif", truth()[None], nodata=0)

    def make(**few: int) -> SceneCollection:
        scene = {"name": "s", "sources": {"a": "a.tif", "b": "b.tif"}, "labels": {"path": "labels.tif"}}
        content = {"scenes": [scene], "split": SPLIT, "sampling_power": 0.5} | ({"few": few} if few else {})
        return SceneCollection(DataSettings.model_validate(content), tmp_path, MODALITIES, CLASSES)

    return make


def means_and_deviations(values: NDArray[np.generic]) -> list[NDArray[np.float64]]:
    padded = np.pad(values.astype(float), ((0, 0), (2, 2), (2, 2)), constant_values=np.nan)
    found = []
    for figure in (np.nanmean, np.nanstd):
        for band in padded:
            places = [(row, col) for row in range(40) for col in range(50)]
            windows = [band[row : row + 5, col : col + 5] for row, col in places]
            known = [figure(one) if np.isfinite(one).any() else np.nan for one in windows]
            found.append(np.reshape(known, (40, 50)))
    return found


@pytest.mark.parametrize("square", [16, 256])
def test_figures_are_those_of_plain_scikit_learn(
    square: int,
    collect: Callable[..., SceneCollection],
    a: NDArray[np.uint16],
    b: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forests, "SQUARE", square)
    monkeypatch.setattr(forests, "TREES", 20)
    monkeypatch.setattr(forests, "PIXELS", 100)
    found = score_forests(collect(), "validation")
    bands = {"a": list(a), "b": list(b)}
    wide = {"a": bands["a"] + means_and_deviations(a), "b": bands["b"] + means_and_deviations(b)}
    rows, cols = np.mgrid[:40, :50]
    hashes = pixel_hashes(rows.ravel(), cols.ravel(), "forest 0 s")
    labels = truth().astype(int).ravel() - 1
    for kind, features in (("pixels", bands), ("windows", wide)):
        for scenario, members in ((Scenario((True, False)), "a"), (Scenario((True, True)), "ab")):
            values = np.stack([one for name in members for one in features[name]], axis=-1).reshape(2000, -1)
            known = (labels >= 0) & np.isfinite(values).all(axis=1)
            training = known & (cols.ravel() < 25)
            chosen, weights = [], []
            roots = np.sqrt([(training & (labels == number)).sum() for number in range(3)])
            for number in range(3):
                there = np.flatnonzero(training & (labels == number))
                there = there[np.argsort(hashes[there])][:100]
                chosen.append(there)
                weights += [roots[number] / roots.sum() / len(there)] * len(there)
            places = np.concatenate(chosen)
            forest = RandomForestClassifier(20, random_state=0)
            forest.fit(values[places].astype(np.float32), labels[places], np.array(weights) * len(places))
            scored = known & (cols.ravel() >= 25)
            matrix = confusion_matrix(labels[scored], forest.predict(values[scored].astype(np.float32)))
            evaluation = found[kind]  # type: ignore[index]
            np.testing.assert_array_equal(evaluation.confusions[evaluation.scenarios.index(scenario)], matrix)


def test_forests_learn_from_the_labels_that_are_drawn_alone(collect: Callable[..., SceneCollection]) -> None:
    collection = collect(per_class=7)
    drawn = draw_training_pixels(collection)
    assert np.bincount(drawn.labels).tolist() == [7, 7, 7]
    assert collection.drawn is not None
    expected = pixel_hashes(collection.drawn.rows, collection.drawn.cols, "forest 0 s")
    assert sorted(drawn.hashes.tolist()) == sorted(expected.tolist())


def test_the_smallest_hashes_of_each_group_are_kept() -> None:
    groups, hashes = np.array([1, 0, 1, 1, 0]), np.array([5, 9, 2, 7, 1], dtype=np.uint64)
    assert samples.smallest(groups, hashes, 2).tolist() == [4, 1, 2, 0]
