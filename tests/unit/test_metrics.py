"""Accuracy figures, worked out by hand."""

import math

import numpy as np
import pytest

from engine.evaluation.metrics import confusion, scores


def test_figures_of_a_small_matrix() -> None:
    found = scores(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]))
    assert found.iou[:2] == pytest.approx((6 / 9, 3 / 6))
    assert math.isnan(found.iou[2])
    assert found.f1[:2] == pytest.approx((12 / 15, 6 / 9))
    assert found.miou == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert found.overall_accuracy == pytest.approx(9 / 12)
    assert found.average_accuracy == pytest.approx((6 / 8 + 3 / 4) / 2)
    chance = (8 * 7 + 4 * 5) / 144
    assert found.kappa == pytest.approx((0.75 - chance) / (1 - chance))
    assert found.pixels == 12


def test_rows_are_the_truth() -> None:
    assert confusion(np.array([0, 0, 1]), np.array([1, 1, 1]), 2).tolist() == [[0, 2], [0, 1]]


def test_an_empty_matrix_has_no_figures() -> None:
    assert math.isnan(scores(np.zeros((3, 3), dtype=np.int64)).miou)
