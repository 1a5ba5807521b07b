"""Unimodal bias: what each sensor contributes to a model's scores over the scenarios.

X. Zheng et al., "Reducing Unimodal Bias in Multi-Modal Semantic Segmentation with Multi-Scale Functional Entropy
Regularization" (2025), judges a model by the mean over the scenarios. Shapley values: L. S. Shapley, "A Value for
n-Person Games", 1953, with the score without any sensor as zero. Each scenario is scored on the pixels where all its
sensors are valid: where sensors cover different places, differences between scenarios are also those between places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np

from engine.availability import Scenario, from_bits


@dataclass(frozen=True)
class Contribution:
    """What one sensor contributes.

    Args:
        name: Of the sensor.
        alone: Score with it alone.
        drop: How much the score with all sensors falls without it; negative where it rises.
        shapley: Its share of the score with all sensors: what it adds in the mean over all orders in which they come.
    """

    name: str
    alone: float
    drop: float
    shapley: float


@dataclass(frozen=True)
class Bias:
    """How evenly a model uses its sensors.

    Args:
        mean: Of the score over the scenarios.
        deviation: Of the score over the scenarios (the population's).
        least: Lowest score of a scenario.
        contributions: Of each sensor.
    """

    mean: float
    deviation: float
    least: float
    contributions: tuple[Contribution, ...]

    @property
    def dominant(self) -> Contribution:
        """The sensor with the largest Shapley value."""
        return max(self.contributions, key=lambda one: one.shapley)


def unimodal_bias(scores: Mapping[Scenario, float], names: Sequence[str]) -> Bias | None:
    """The bias of a model.

    Args:
        scores: A score, 0 or more, of scenarios.
        names: The M modalities.

    Returns:
        None where there is one modality, or a scenario has no score.
    """
    count = len(names)
    if count < 2 or len(scores) < 2**count - 1:
        return None
    values = {0: 0.0, **{scenario.bits: score for scenario, score in scores.items()}}
    everything = 2**count - 1
    contributions = []
    for place, name in enumerate(names):
        own = 1 << place
        share = 0.0
        for bits in range(everything + 1):
            if not bits & own:
                size = bits.bit_count()
                weight = factorial(size) * factorial(count - size - 1) / factorial(count)
                share += weight * (values[bits | own] - values[bits])
        without = everything & ~own
        contributions.append(
            Contribution(name, scores[from_bits(own, count)], values[everything] - values[without], share)
        )
    found = list(scores.values())
    return Bias(float(np.mean(found)), float(np.std(found)), min(found), tuple(contributions))
