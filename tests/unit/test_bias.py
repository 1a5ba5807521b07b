"""Unimodal bias: contributions by hand and over all orders."""

from itertools import permutations

import numpy as np
import pytest

from engine.availability import scenarios
from engine.evaluation.bias import unimodal_bias


def test_two_sensors_by_hand() -> None:
    one, other, both = scenarios(2)
    found = unimodal_bias({one: 0.5, other: 0.2, both: 0.6}, ["rgb", "dem"])
    assert found is not None
    rgb, dem = found.contributions
    assert (rgb.name, rgb.alone, rgb.drop, rgb.shapley) == ("rgb", 0.5, pytest.approx(0.4), pytest.approx(0.45))
    assert (dem.name, dem.alone, dem.drop, dem.shapley) == ("dem", 0.2, pytest.approx(0.1), pytest.approx(0.15))
    assert found.mean == pytest.approx(1.3 / 3)
    assert found.deviation == pytest.approx(np.std([0.5, 0.2, 0.6]))
    assert found.least == 0.2
    assert found.dominant is rgb


def test_shapley_values_are_the_mean_over_all_orders_and_share_out_the_whole() -> None:
    every = scenarios(4)
    rng = np.random.default_rng(0)
    scores = {scenario: float(value) for scenario, value in zip(every, rng.random(len(every)), strict=True)}
    found = unimodal_bias(scores, ["a", "b", "c", "d"])
    assert found is not None
    by_members = {scenario.indices: score for scenario, score in scores.items()} | {(): 0.0}
    gains = np.zeros(4)
    for order in permutations(range(4)):
        for place, sensor in enumerate(order):
            before, after = tuple(sorted(order[:place])), tuple(sorted(order[: place + 1]))
            gains[sensor] += by_members[after] - by_members[before]
    np.testing.assert_allclose([one.shapley for one in found.contributions], gains / 24)
    assert sum(one.shapley for one in found.contributions) == pytest.approx(scores[every[-1]])


def test_without_every_scenario_nothing_is_said() -> None:
    one, other, both = scenarios(2)
    assert unimodal_bias({one: 0.5, both: 0.6}, ["rgb", "dem"]) is None
    assert unimodal_bias({scenarios(1)[0]: 0.5}, ["rgb"]) is None
    assert unimodal_bias({one: 0.5, other: 0.1, both: 0.6}, ["rgb", "dem"]) is not None
