"""Intervals of an evaluation: counts by spatial block, and the bootstrap over them beside SciPy's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from engine.evaluation.blocks import BlockCounts
from engine.evaluation.intervals import interval, resampled, share, spreads
from engine.grid import Window

CLASSES = 3


def counted(
    chip: int, scenes: int, size: int, cuts: Sequence[int], labelled: NDArray[np.bool_] | None = None
) -> BlockCounts:
    """Square scenes of random classes, added in strips that are cut at some rows."""
    counts = BlockCounts(chip, 1, CLASSES)
    for scene in range(scenes):
        rng = np.random.default_rng(scene)
        labels, found = rng.integers(0, CLASSES, (2, size, size))
        there = np.ones((size, size), dtype=bool) if labelled is None else labelled
        for start, end in zip((0, *cuts), (*cuts, size), strict=True):
            rows = slice(start, end)
            window = Window(start, 0, end - start, size)
            counts.add(scene, window, 0, labels[rows], found[rows], there[rows])
    return counts


def test_blocks_are_chips_doubled_until_no_more_than_400_have_labels() -> None:
    """200 pixels are 50 chips of 4, 25 of 8 and 13 of 16: 2500, 625 and 169 blocks."""
    whole = counted(4, 1, 200, ())
    assert (whole.side, len(whole.counts)) == (16, 169)
    cut = counted(4, 1, 200, (7, 64, 150))
    np.testing.assert_array_equal(cut.counts, whole.counts)
    labels, found = np.random.default_rng(0).integers(0, CLASSES, (2, 200, 200))
    second = (labels[:16, 16:32], found[:16, 16:32])
    by_hand = [
        [int(((second[0] == one) & (second[1] == one)).sum()) for one in range(CLASSES)],
        [int((second[0] == one).sum()) for one in range(CLASSES)],
        [int((second[1] == one).sum()) for one in range(CLASSES)],
    ]
    assert whole.counts[1, 0].tolist() == by_hand


def test_only_blocks_with_labels_count() -> None:
    labelled = np.zeros((200, 200), dtype=bool)
    labelled[:40, :36] = True
    few = counted(4, 1, 200, (100,), labelled)
    assert (few.side, len(few.counts)) == (4, 90)


def test_of_more_scenes_than_400_each_is_a_block() -> None:
    many = counted(8, 401, 12, (5,))
    assert (many.side, len(many.counts)) == (16, 401)
    assert many.counts[:, 0, 1].sum(axis=1).tolist() == [144] * 401


def random_counts(blocks: int) -> NDArray[np.int64]:
    """Blocks of other accuracies, of two scenarios: hits, truth and prediction of three classes."""
    rng = np.random.default_rng(4)
    found = np.zeros((blocks, 2, 3, CLASSES), dtype=np.int64)
    for block in range(blocks):
        for scenario in range(2):
            matrix = rng.multinomial(200, rng.dirichlet(np.ones(9))).reshape(3, 3) + rng.integers(0, 90) * np.eye(3)
            found[block, scenario] = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    return found


def miou(sums: NDArray[np.int64]) -> float:
    """By the formula, class by class."""
    return float(np.mean([h / (t + p - h) for h, t, p in zip(*sums.tolist(), strict=True)]))


def test_intervals_are_those_of_scipy() -> None:
    counts, blocks = random_counts(40), 40
    expected = stats.bootstrap(
        (np.arange(blocks),),
        lambda drawn: miou(counts[drawn, 1].sum(axis=0)),
        n_resamples=2000, vectorized=False, method="percentile", confidence_level=1 - 2 * share(blocks),
        random_state=np.random.default_rng(9),
    ).confidence_interval  # fmt: skip
    found = spreads(counts)[1].miou
    assert found is not None
    width = expected.high - expected.low
    assert width > 0.02
    assert found == pytest.approx((expected.low, expected.high), abs=0.12 * width)


@pytest.mark.parametrize("blocks", [5, 12, 100])
def test_percentiles_are_expanded_as_students_t_is(blocks: int) -> None:
    expected = stats.norm.cdf(-np.sqrt(blocks / (blocks - 1)) * stats.t.ppf(0.975, blocks - 1))
    assert share(blocks) == pytest.approx(expected, rel=0.01)


def test_differences_over_the_same_blocks_are_paired() -> None:
    """Of two maps that differ by the same in each block the difference is sure, though either figure is not."""
    better = random_counts(30)
    worse = better.copy()
    worse[:, :, 0] -= 1
    draws = resampled(better).overall_accuracy[:, 0], resampled(worse).overall_accuracy[:, 0]
    whole = interval(draws[0], 30)
    assert whole is not None
    assert whole[1] - whole[0] > 0.05
    paired = interval(draws[0] - draws[1], 30)
    assert paired is not None
    assert paired[1] - paired[0] < 0.005


def test_of_too_few_blocks_there_is_no_interval() -> None:
    """A scenario with pixels in four blocks has none, and neither has a class that four blocks know."""
    counts = random_counts(30)
    counts[4:, 0] = 0
    counts[4:, 1, :, 2] = 0
    one, other, mean = spreads(counts)
    assert (one.blocks, one.miou, one.overall_accuracy, one.iou) == (4, None, None, (None,) * 3)
    assert other.blocks == 30
    assert [found is None for found in other.iou] == [False, False, True]
    assert mean.miou is not None


def test_where_blocks_are_alike_the_figure_is_sure() -> None:
    sums = np.array([[30, 20, 0], [50, 50, 0], [60, 40, 0]])
    found, _ = spreads(np.broadcast_to(sums, (8, 1, 3, 3)))
    assert found.overall_accuracy == pytest.approx((0.5, 0.5))
    assert found.miou == pytest.approx([(30 / 80 + 20 / 70) / 2] * 2)
    assert found.iou[2] is None
