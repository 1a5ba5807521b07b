"""What an evaluation's figures say in words, from confusion matrices made by hand."""

import numpy as np
import pytest

from engine.availability import Scenario, scenarios
from engine.evaluation.conclusions import Figures, conclusions
from engine.modality import LandClass

CLASSES = (LandClass(1, "water", "#0000ff"), LandClass(2, "forest", "#00ff00"))
RGB, DEM, BOTH = scenarios(2)


def figures(right: dict[Scenario, int], *, pixels: int = 500, gated: bool = False, **forest: float) -> Figures:
    """Two classes of so many pixels each, of which so many are right: mIoU right / (2 * pixels - right)."""
    confusions = {
        one: np.array([[count, pixels - count], [pixels - count, count]], dtype=np.int64)
        for one, count in right.items()
    }
    named = {"rgb": RGB, "dem": DEM, "both": BOTH}
    return Figures(("rgb", "dem"), CLASSES, confusions, {named[key]: one for key, one in forest.items()}, gated)


def test_a_sensor_that_lowers_the_score_is_named_with_a_cure() -> None:
    (told,) = conclusions(figures({RGB: 400, DEM: 250, BOTH: 350}))  # .667, .333, .538
    assert told == "adding dem to rgb lowers the mIoU from 0.667 to 0.538: try a longer training"
    (told,) = conclusions(figures({RGB: 400, DEM: 250, BOTH: 350}, gated=True))
    assert told.endswith("try network.options.fusion: gated, or a longer training")


@pytest.mark.parametrize(("both", "words"), [(0.64, "a random forest gains by it"), (0.50, "leave dem out")])
def test_a_forest_tells_whether_sensor_or_training_is_at_fault(both: float, words: str) -> None:
    assert words in conclusions(figures({RGB: 400, DEM: 250, BOTH: 350}, rgb=0.55, dem=0.3, both=both))[0]


def test_differences_that_may_be_noise_are_not_mentioned() -> None:
    # .667 falls to .653; the forest is ahead by .019
    assert not conclusions(figures({RGB: 400, DEM: 250, BOTH: 395}, rgb=0.685, dem=0.34, both=0.66))


def test_scenarios_on_other_pixels_are_not_compared() -> None:
    whole, part = figures({RGB: 400, DEM: 250}), figures({BOTH: 140}, pixels=200)  # .667 and .538
    assert not conclusions(Figures(whole.names, CLASSES, {**whole.confusions, **part.confusions}, {}))


def test_a_guess_of_the_most_frequent_class_is_called_one() -> None:
    matrix = np.array([[5, 95], [5, 895]])  # all forest: IoU .9 and 0, mIoU .45; here 5 / 105 and 895 / 995, .474
    assert not conclusions(Figures(("rgb",), CLASSES, {Scenario((True,)): matrix}, {}))
    matrix = np.array([[1, 99], [1, 899]])  # 1 / 101 and 899 / 999, .455
    (told,) = conclusions(Figures(("rgb",), CLASSES, {Scenario((True,)): matrix}, {}))
    assert told.startswith("rgb: mIoU 0.455; calling every pixel forest gives 0.450: check its values")
    (told, _) = conclusions(Figures(("rgb",), CLASSES, {Scenario((True,)): matrix}, {Scenario((True,)): 0.6}))
    assert told.endswith("a random forest reaches 0.600, so train longer")
    (told,) = conclusions(Figures(("rgb",), CLASSES, {Scenario((True,)): matrix}, {Scenario((True,)): 0.46}))
    assert "a random forest does no better" in told


def test_a_forest_that_is_ahead_is_told_of_by_where_it_is_farthest() -> None:
    (told,) = conclusions(figures({RGB: 400, DEM: 250, BOTH: 420}, rgb=0.70, dem=0.40, both=0.60))
    assert told.startswith("a random forest is ahead in 2 of 3 scenarios, most in dem (0.400, here 0.333)")
