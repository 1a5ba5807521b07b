"""Scores image by image."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.availability import Scenario
from engine.data.chips import complete_chips, side_by_side
from engine.data.settings import DataSettings
from engine.data.survey import SceneCollection, survey
from engine.evaluation.images import ImageScores, pooled, score_images, soft_scores
from engine.modality import IGNORED, LandClass, Modality

Write = Callable[..., Path]
MODALITIES = (Modality("a", ("x",), "uint8"), Modality("b", ("y",), "uint8"))
REGIONS = {"kind": "regions", "train": [[1000, 4000, 2000, 5000]], "validation": [[1000, 4000, 2000, 5000]]}


def test_probabilities_enter_as_they_are() -> None:
    given, truth = np.array([0.9, 0.6, 0.2, 0.1]), np.array([True, False, True, False])
    # hits .9 + .2, false positives .6 + .1, misses .1 + .8
    assert soft_scores(given, truth) == pytest.approx((1.1 / (1.1 + 0.7 + 0.9), 2.2 / (2.2 + 0.7 + 0.9)))


def test_an_image_without_the_class_is_scored_by_its_background() -> None:
    given, truth = np.array([0.25, 0.0, 0.5, 0.25]), np.zeros(4, dtype=bool)
    assert soft_scores(given, truth) == pytest.approx((3 / 4, 6 / 7))
    assert soft_scores(np.ones(4), truth) == (0, 0)


@pytest.fixture
def scene(tmp_path: Path, write_raster: Write) -> Callable[..., SceneCollection]:
    """20 x 16 pixels; a says the second class with a quarter's certainty more a pixel; b lacks the upper 8 rows."""

    def make(classes: int, labels: NDArray[np.uint8]) -> SceneCollection:
        b = np.ones((1, 20, 16), np.uint8)
        b[:, :8] = 0
        write_raster("a.tif", np.broadcast_to(np.arange(1, 17, dtype=np.uint8), (1, 20, 16)))
        write_raster("b.tif", b, nodata=0)
        write_raster("labels.tif", labels[None], nodata=0)
        settings = DataSettings.model_validate(
            {
                "root": tmp_path,
                "scenes": [{"name": "s", "sources": {"a": "a.tif", "b": "b.tif"}, "labels": {"path": "labels.tif"}}],
                "split": REGIONS,
                "chip": 8,
            }
        )
        values = tuple(LandClass(value, f"c{value}", "#000000") for value in range(1, classes + 1))
        return SceneCollection(settings, tmp_path, MODALITIES, values)

    return make


def test_squares_lie_side_by_side_and_label_each_pixel_once(scene: Callable[..., SceneCollection]) -> None:
    collection = scene(2, np.tile(np.array([1, 2], np.uint8), (20, 8)))
    patches = list(side_by_side(collection, "validation", 8))
    assert len(patches) == 6
    assert sum(int((patch.labels != IGNORED).sum()) for patch in patches) == 20 * 16
    assert (patches[-1].labels[:4] == IGNORED).all()  # which the squares above have
    assert patches[-1].values["a"].shape == (1, 8, 8)
    complete = SceneCollection(collection.data, collection.data.root, survey(collection).modalities, collection.classes)
    assert len(list(complete_chips(complete, "train"))) == 4


@pytest.mark.parametrize("classes", [2, 3])
def test_a_split_is_scored_image_by_image(scene: Callable[..., SceneCollection], classes: int) -> None:
    labels = np.ones((20, 16), np.uint8)
    labels[:, 10:] = 2
    labels[18:, :3] = classes
    collection = scene(classes, labels)

    def predict(scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        assert set(inputs) == {MODALITIES[index].name for index in scenario.indices}
        one = inputs["a"][:, 0] / 16 if "a" in inputs else np.full((1, 8, 8), 0.25)
        rest = [(1 - one) / (classes - 1)] * (classes - 1)
        return np.stack([rest[0], one, *rest[1:]], axis=1).astype(np.float32)

    found = score_images(collection, survey(collection).modalities, predict, "validation", 8)
    assert [scenario.code for scenario in found.scenarios] == ["10", "01", "11"]
    assert [len(values) for values in found.scores] == [6, 4, 4]  # b is nowhere in two of the six

    certainty = np.broadcast_to(np.arange(1, 17) / 16, (20, 16))
    expected = []
    for rows in (slice(0, 8), slice(8, 16), slice(16, 20)):
        for cols in (slice(0, 8), slice(8, 16)):
            figures = []
            for one in [1] if classes == 2 else [0, 1, 2]:
                p = certainty[rows, cols] if one == 1 else (1 - certainty[rows, cols]) / (classes - 1)
                t = labels[rows, cols] == one + 1
                best = certainty[rows, cols] > 1 / classes
                hard = best if one == 1 else ~best & (one == 0)
                for q in (p, hard.astype(float)):
                    q, u = (q, t) if t.any() else (1 - q, ~t)
                    tp, fp, fn = (q * u).sum(), (q * ~u).sum(), ((1 - q) * u).sum()
                    figures.append([tp / (tp + fp + fn), 2 * tp / (2 * tp + fp + fn)])
            expected.append(np.mean(np.array(figures).reshape(-1, 4), axis=0))
    np.testing.assert_allclose(found.scores[0], expected, rtol=1e-5)
    rows_of = found.rows()
    assert [row["scenario"] for row in rows_of] == ["a+b", "a", "b"]
    assert rows_of[1]["soft_iou_mean"] == pytest.approx(np.mean([one[0] for one in expected]), rel=1e-5)
    assert rows_of[1]["f1_std"] == pytest.approx(np.std([one[3] for one in expected]), rel=1e-5)
    assert (rows_of[2]["a"], rows_of[2]["b"], rows_of[2]["images"]) == (0, 1, 4)


def test_the_images_of_folds_are_taken_together() -> None:
    first, second = Scenario((True, False)), Scenario((True, True))
    one = ImageScores(("a", "b"), (first,), (np.array([[0.0, 0.0, 0.0, 0.0]]),))
    other = ImageScores(("a", "b"), (first, second), (np.array([[1.0, 1.0, 1.0, 1.0]] * 3), np.zeros((2, 4))))
    found = pooled([one, other])
    assert found.scenarios == (first, second)
    assert [row["images"] for row in found.rows()] == [2, 4]
    assert found.rows()[1]["soft_iou_mean"] == 0.75
    assert found.rows()[1]["soft_iou_std"] == pytest.approx(0.75**0.5 / 2)
