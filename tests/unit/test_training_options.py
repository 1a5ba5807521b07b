"""Losses, values and parts of a step that a recipe may ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.utils.class_weight import compute_class_weight

from engine.data.augmentation import augmented, cut_out
from engine.data.settings import AugmentSettings
from engine.methods.cross_entropy import class_weights, cross_entropy
from engine.methods.dice import dice
from engine.modality import BandStatistics, Modality
from engine.training.batches import Batch
from engine.training.settings import ScheduleSettings


def test_class_weights_are_those_of_scikit_learn() -> None:
    counts = (10, 300, 5000)
    labels = np.repeat([0, 1, 2], counts)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert class_weights("balanced", counts) == pytest.approx(expected)
    assert class_weights("sqrt", counts) == pytest.approx(np.sqrt(expected))
    assert class_weights((1.0, 2.0, 0.5), counts) == (1.0, 2.0, 0.5)
    assert class_weights(None, counts) is None


def test_a_smoothed_target_has_a_share_of_every_class() -> None:
    """Worked out for one pixel: .9 of the label's and .1 / 2 of each class's negative logarithm."""
    logits = torch.tensor([[[[2.0]], [[0.0]]]])
    right = -math.log(math.exp(2) / (math.exp(2) + 1))
    wrong = -math.log(1 / (math.exp(2) + 1))
    found = cross_entropy(logits, torch.tensor([[[0]]]), None, 0.1)
    assert float(found) == pytest.approx(0.9 * right + 0.1 * (right + wrong) / 2, rel=1e-6)


def test_dice_is_that_of_the_classes_that_have_labels() -> None:
    """Probabilities (.75, .25), (.5, .5) of pixels of class 0; the third pixel is ignored, class 1 has none."""
    logits = torch.log(torch.tensor([[[[0.75, 0.5, 0.1]], [[0.25, 0.5, 0.9]]]]))
    labels = torch.tensor([[[0, 0, -1]]])
    assert float(dice(logits, labels)) == pytest.approx(1 - 2 * 1.25 / (1.25 + 2))
    assert float(dice(logits, torch.full((1, 1, 3), -1))) == 0


def _modality(unit: str = "") -> Modality:
    statistics = (BandStatistics(100, 20, 0, 200), BandStatistics(50, 4, 0, 100))
    return Modality("sensor", ("a", "b"), "uint16", unit, statistics)


def test_values_change_by_what_is_asked_for_and_no_more() -> None:
    values = np.broadcast_to(np.array([100, 50], np.uint16)[:, None, None], (2, 200, 200))
    rng = np.random.default_rng(0)

    def changed(unit: str = "", **options: float) -> np.ndarray:
        return augmented(values, AugmentSettings(**options), _modality(unit), rng)

    assert changed().dtype == np.float32
    assert (changed() == values).all()
    gained = np.array([changed(gain=0.2)[:, 0, 0] / [100, 50] for _ in range(200)])
    assert gained[:, 0] == pytest.approx(gained[:, 1], rel=1e-5)
    assert 0.8 <= gained.min() < 0.85
    assert 1.15 < gained.max() <= 1.2
    moved = np.array([changed(offset=0.5)[:, 0, 0] - [100, 50] for _ in range(200)])
    assert abs(moved).max(axis=0) == pytest.approx([10, 2], rel=0.1)
    assert abs(moved).max(axis=0)[0] <= 10
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.3
    shifted = np.array([changed(shift=30)[:, 0, 0] - [100, 50] for _ in range(200)])
    assert shifted[:, 0] == pytest.approx(shifted[:, 1], abs=1e-4)
    assert 25 < abs(shifted).max() <= 30
    assert changed(noise=0.5).std(axis=(1, 2)) == pytest.approx([10, 2], rel=0.02)
    speckled = changed(speckle=4)[0] / 100
    assert speckled.mean() == pytest.approx(1, rel=0.02)
    assert speckled.var() == pytest.approx(0.25, rel=0.03)
    decibels = changed("sigma nought in dB", speckle=4)[0] - 100
    assert (10 ** (decibels / 10)).mean() == pytest.approx(1, rel=0.02)


def test_a_lost_band_holds_its_mean_and_one_band_stays() -> None:
    values = np.full((2, 2, 2), 7, np.uint16)
    rng = np.random.default_rng(0)
    found = [augmented(values, AugmentSettings(band_dropout=0.9), _modality(), rng)[:, 0, 0] for _ in range(100)]
    lost = np.array([[band == mean for band, mean in zip(one, (100, 50), strict=True)] for one in found])
    assert lost.sum(axis=1).max() == 1
    assert 0.35 < lost[:, 0].mean() < 0.55


def test_one_sensor_ends_within_a_chip() -> None:
    valid = np.ones((3, 60, 80), bool)
    rng = np.random.default_rng(0)
    for _ in range(100):
        gone = ~cut_out(valid, rng)
        sensors = gone.any(axis=(1, 2))
        assert sensors.sum() == 1
        area = gone[sensors][0]
        rows, cols = area.any(axis=1), area.any(axis=0)
        assert area.sum() == rows.sum() * cols.sum()  # a rectangle
        assert 0.09 < area.mean() < 0.52
    assert valid.all()
    alone = np.stack([np.ones((8, 8), bool), np.zeros((8, 8), bool)])
    assert (cut_out(alone, rng) == alone).all()


def test_a_step_falls_into_parts_of_all_its_chips() -> None:
    batch = Batch({"a": torch.arange(5)[:, None, None, None]}, torch.ones(5, 1, dtype=torch.bool), torch.arange(5))
    parts = batch.parts(2)
    assert [part.labels.tolist() for part in parts] == [[0, 1, 2], [3, 4]]
    assert [part.inputs["a"].flatten().tolist() for part in parts] == [[0, 1, 2], [3, 4]]
    assert len(batch.parts(1)) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"patience": 3, "validate_every": None}, "patience counts validations"),
        ({"accumulate": 9, "batch": 8}, "a step of 8 chips has no 9 parts"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ScheduleSettings.model_validate({"epochs": 1, "samples": 8, **wrong})
