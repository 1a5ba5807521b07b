"""The seam ratio: worked out by hand on small maps."""

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.grid import Window
from engine.mapping.mosaic import MapBlock
from engine.mapping.seams import SeamCounter, seam_ratio
from engine.mapping.tiles import TilePlan


def counted(classes: NDArray[np.uint16], plan: TilePlan, parts: list[Window], bits: NDArray[np.int32]) -> SeamCounter:
    counter = SeamCounter(plan)
    whole = Window(0, 0, *classes.shape)
    for part in parts:
        place = part.within(whole)
        counter.add(MapBlock(part, classes[place], np.zeros(1, dtype=np.uint8), bits[place]))
    return counter


PLAN = TilePlan(8, 22, 10, 2)  # stride 6: columns 0-9, 6-15, 12-21; tiles meet between columns 7 and 8, 13 and 14


def test_changes_on_seams_are_told_from_others() -> None:
    classes = np.zeros((8, 22), dtype=np.uint16)
    classes[:, 8:] = 1  # between columns 7 and 8, on a seam, in all 8 rows
    classes[:2, 20:] = 2  # elsewhere: between columns 19 and 20 in 2 rows, between rows 1 and 2 in 2 columns
    bits = np.ones((8, 22), dtype=np.int32)
    counts = counted(classes, PLAN, [Window(0, 0, 8, 22)], bits).counts
    across, down = 21 * 8, 7 * 22  # pairs of pixels
    seams = 4 * 8  # the pairs 7|8, 8|9, 13|14 and 14|15 in 8 rows; there is one row of tiles
    np.testing.assert_array_equal(counts.sum(axis=1), [[across + down - seams, 4], [seams, 8]])
    np.testing.assert_array_equal(counts[1, :, 0], [8, 0, 0, 0, 0, 8, 8, 8])  # lines 8, 13, 14 and 7


def test_seams_are_compared_with_lines_that_lie_alike() -> None:
    counts = np.zeros((2, 8, 2), dtype=np.int64)
    counts[0, 3], counts[0, 4], counts[0, 5] = (1000, 200), (1000, 50), (1000, 900)
    counts[1, 3], counts[1, 4] = (100, 30), (100, 5)
    # of 100 pairs each, 20 and 5 would change elsewhere; place 5, where no seam lies, does not matter
    assert seam_ratio(counts) == pytest.approx(35 / 25)


def test_pixels_without_data_do_not_count() -> None:
    classes = np.zeros((8, 22), dtype=np.uint16)
    classes[:, 8:] = 1
    bits = np.ones((8, 22), dtype=np.int32)
    bits[:, 8:] = 0
    counter = counted(classes, PLAN, [Window(0, 0, 8, 22)], bits)
    assert not counter.counts[:, :, 1].any()
    assert not counter.counts[1].any()


def test_blocks_count_what_the_whole_counts_but_for_pairs_between_them() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, (8, 22)).astype(np.uint16)
    bits = np.ones((8, 22), dtype=np.int32)
    whole = counted(classes, PLAN, [Window(0, 0, 8, 22)], bits)
    blocks = [PLAN.final(row, col) for row, col in PLAN]
    parts = counted(classes, PLAN, blocks, bits)
    np.testing.assert_array_equal(parts.counts[1], whole.counts[1])
    assert (whole.counts[0] - parts.counts[0])[:, 0].sum() == 2 * 8


def test_a_map_of_one_tile_has_no_seams() -> None:
    plan = TilePlan(8, 9, 10, 2)
    counter = counted(
        np.arange(72, dtype=np.uint16).reshape(8, 9), plan, [Window(0, 0, 8, 9)], np.ones((8, 9), np.int32)
    )
    assert np.isnan(seam_ratio(counter.counts))
