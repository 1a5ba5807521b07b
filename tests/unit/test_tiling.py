"""Tile and halo by rule: made maps of ten blocks of 100 pixels, whose mean mIoU is worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.availability import Scenario
from engine.evaluation.scenarios import Evaluation
from engine.evaluation.tiling import Candidate, best_of, equal
from engine.modality import LandClass

BLOCKS = 10


def made(tile: int, halo: int, right: Sequence[int], seam: float = 1.0) -> Candidate:
    """All pixels are of the first class, so many of each block mapped right and all others as the second class.

    The first class's IoU is the share that is right, the second's is zero: the mIoU is half the share.
    """
    counts = np.array([[[[hits, 0], [100, 0], [hits, 100 - hits]]] for hits in right])
    confusion = np.array([[sum(right), 100 * BLOCKS - sum(right)], [0, 0]])
    classes = (LandClass(1, "one", "#000000"), LandClass(2, "other", "#ffffff"))
    evaluation = Evaluation(("a",), classes, (Scenario((True,)),), (confusion,), seam, 64, counts)
    return Candidate(tile, halo, evaluation)


BEST = [80] * 10
"""mIoU .400."""
A_LITTLE_BELOW = [79] * 10
""".395, by .005 in each block: in each draw of them too."""
BY_CHANCE = [60, 99] * 5
""".3975; by block .1 below and .095 above, so that the difference is not told from none."""


def chosen(*candidates: Candidate) -> tuple[int, int]:
    found = best_of(candidates)
    return found.tile, found.halo


def test_a_candidate_is_equal_unless_the_same_blocks_say_otherwise() -> None:
    best, below, chance = made(64, 8, BEST), made(128, 16, A_LITTLE_BELOW), made(256, 32, BY_CHANCE)
    assert best.score == 0.4
    assert below.score == 0.395
    assert chance.score == 0.3975
    assert equal([below, chance, best]) == [chance, best]


def test_of_equal_ones_the_cheapest_is_taken() -> None:
    """A halo of 4 in 64 computes (64 / 56)^2 = 1.31 pixels for one, one of 8 1.78, and one of 16 4."""
    wide, middle, narrow = made(64, 16, BEST), made(64, 8, BEST), made(64, 4, BY_CHANCE)
    assert chosen(wide, middle, narrow) == (64, 4)
    assert chosen(wide, middle, made(64, 4, A_LITTLE_BELOW)) == (64, 8), "what is worse is not taken though it is cheap"


def test_what_costs_the_same_goes_by_the_smaller_tile() -> None:
    assert chosen(made(256, 32, BEST), made(64, 8, BY_CHANCE), made(128, 16, BEST)) == (64, 8)


def test_seams_that_show_come_before_cost() -> None:
    narrow, middle = made(64, 4, BEST, seam=1.3), made(64, 8, BEST, seam=1.1)
    assert chosen(narrow, middle) == (64, 8)
    assert chosen(narrow, made(64, 8, A_LITTLE_BELOW, seam=1.1)) == (64, 4), "smooth, but worse"
    assert chosen(narrow, made(64, 8, BEST, seam=1.2)) == (64, 8), "where all show, the least"
    assert chosen(made(64, 4, BEST, seam=float("nan")), middle) == (64, 4), "a single tile has no seams"
