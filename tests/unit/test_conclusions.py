"""What an evaluation's figures say in words, from confusion matrices made by hand."""

import numpy as np
import pytest

from engine.availability import Scenario, scenarios
from engine.evaluation.conclusions import Figures, conclusions
from engine.modality import LandClass

CLASSES = (LandClass(1, "water", "#0000ff"), LandClass(2, "forest", "#00ff00"))
RGB, DEM, BOTH = scenarios(2)
(ALONE,) = scenarios(1)


def figures(
    right: dict[Scenario, int], *, pixels: int = 500, blocks: int = 10, gated: bool = False, **forest: float
) -> Figures:
    """Two classes of so many pixels, of which so many are right: mIoU right / (2 * pixels - right); blocks alike."""
    truth = np.full((len(right), 2), pixels // blocks)
    hits = np.array([[count // blocks] * 2 for count in right.values()])
    counts = np.repeat(np.stack([hits, truth, truth], axis=1)[None], blocks, axis=0)
    named = {"rgb": RGB, "dem": DEM, "both": BOTH}
    found = {named[key]: one for key, one in forest.items()}
    return Figures(("rgb", "dem"), CLASSES, tuple(right), counts, found, gated)


def one_sensor(matrix: list[list[int]], forest: float | None = None) -> Figures:
    """Of a confusion matrix in a single block."""
    found = np.array(matrix)
    counts = np.stack([np.diag(found), found.sum(axis=1), found.sum(axis=0)])[None, None]
    return Figures(("rgb",), CLASSES, (ALONE,), counts, {} if forest is None else {ALONE: forest})


def test_a_sensor_that_lowers_the_score_is_named_with_a_cure() -> None:
    (told,) = conclusions(figures({RGB: 400, DEM: 250, BOTH: 350}))  # .667, .333, .538
    assert told == "adding dem to rgb lowers the mIoU from 0.667 to 0.538: try a longer training"
    (told,) = conclusions(figures({RGB: 400, DEM: 250, BOTH: 350}, gated=True))
    assert told.endswith("try network.options.fusion: gated, or a longer training")


@pytest.mark.parametrize(("both", "words"), [(0.64, "a random forest gains by it"), (0.50, "leave dem out")])
def test_a_forest_tells_whether_sensor_or_training_is_at_fault(both: float, words: str) -> None:
    assert words in conclusions(figures({RGB: 400, DEM: 250, BOTH: 350}, rgb=0.55, dem=0.3, both=both))[0]


def test_small_differences_are_not_mentioned() -> None:
    # .667 falls to .660; the forest is ahead by .009
    assert not conclusions(figures({RGB: 4000, DEM: 2600, BOTH: 3980}, pixels=5000, rgb=0.675, dem=0.355))


@pytest.mark.parametrize(("swing", "told"), [(2, 2), (14, 0)])
def test_differences_that_may_be_chance_are_not_mentioned(swing: int, told: int) -> None:
    """With one sensor 40 of 50 pixels of a class are right in each of ten blocks, with both 36 in their mean.

    Those of a block swing around it: the mean of ten differs by 2.26 * 2 / sqrt(9) = 1.5, or by 10.5, with 95 %.
    """
    made = figures({RGB: 400, BOTH: 360}, rgb=0.6, both=0.65)
    counts = made.counts.copy()
    counts[::2, 1, 0] += swing
    counts[1::2, 1, 0] -= swing
    assert len(conclusions(Figures(made.names, CLASSES, made.scenarios, counts, made.forest))) == told


def test_of_few_blocks_nothing_is_said_but_guesses() -> None:
    assert not conclusions(figures({RGB: 400, DEM: 260, BOTH: 350}, blocks=4, rgb=0.9))
    (told,) = conclusions(figures({RGB: 400, DEM: 200, BOTH: 350}, blocks=4))
    assert told.startswith("dem: mIoU")


def test_scenarios_on_other_pixels_are_not_compared() -> None:
    whole, part = figures({RGB: 400, DEM: 260}), figures({BOTH: 140}, pixels=200)  # .667 and .538
    counts = np.concatenate([whole.counts, part.counts], axis=1)
    assert not conclusions(Figures(whole.names, CLASSES, (RGB, DEM, BOTH), counts, {}))


def test_a_guess_of_the_most_frequent_class_is_called_one() -> None:
    # all forest: IoU .9 and 0, mIoU .45; here 5 / 105 and 895 / 995, .474
    assert not conclusions(one_sensor([[5, 95], [5, 895]]))
    guess = [[1, 99], [1, 899]]  # 1 / 101 and 899 / 999, .455
    (told,) = conclusions(one_sensor(guess))
    assert told.startswith("rgb: mIoU 0.455; calling every pixel forest gives 0.450: check its values")
    (told,) = conclusions(one_sensor(guess, forest=0.6))
    assert told.endswith("a random forest reaches 0.600, so train longer")
    (told,) = conclusions(one_sensor(guess, forest=0.455))
    assert "a random forest does no better" in told


def test_a_forest_that_is_ahead_is_told_of_by_where_it_is_farthest() -> None:
    (told,) = conclusions(figures({RGB: 400, DEM: 250, BOTH: 420}, rgb=0.70, dem=0.40, both=0.60))
    assert told.startswith("a random forest is ahead in 2 of 3 scenarios, most in dem (0.400, here 0.333)")
