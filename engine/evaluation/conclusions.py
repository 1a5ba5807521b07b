"""What the figures of an evaluation say, in sentences: few, and none about differences that may be noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.availability import Scenario, scenarios
from engine.evaluation.intervals import interval, resampled
from engine.evaluation.metrics import figures
from engine.modality import LandClass

MARGIN = 0.01
"""Difference of mIoU up to which nothing is said, however sure it is."""

ALIKE = 0.05
"""Share by which the pixels of two scenarios may differ that are compared: else places differ, not sensors."""


@dataclass(frozen=True)
class Figures:
    """What is concluded from.

    Args:
        names: The modalities.
        classes: The classes.
        scenarios: Those that were scored.
        counts: ``[B, S, 3, K]``: by spatial block and scenario hits, truth and prediction of each class.
        forest: mIoU of a random forest in scenarios; empty where none was grown.
        gated: Whether the network can weigh its sensors by a gate (``fusion: gated``) and does not.
    """

    names: Sequence[str]
    classes: Sequence[LandClass]
    scenarios: Sequence[Scenario]
    counts: NDArray[np.int64]
    forest: Mapping[Scenario, float]
    gated: bool = False

    @cached_property
    def mious(self) -> dict[Scenario, float]:
        """The mIoU in every scenario."""
        return dict(zip(self.scenarios, figures(self.counts.sum(axis=0)).miou.tolist(), strict=True))

    @cached_property
    def truth(self) -> dict[Scenario, NDArray[np.int64]]:
        """``[K]`` labelled pixels of each class in every scenario."""
        return dict(zip(self.scenarios, self.counts[:, :, 1].sum(axis=0), strict=True))

    @cached_property
    def _draws(self) -> NDArray[np.float64]:
        return resampled(self.counts).miou  # [DRAWS, S]

    def below(self, one: Scenario, other: Scenario | float) -> bool:
        """Whether the mIoU of a scenario is below another's, or a figure, by more than MARGIN and than chance explains.

        Chance explains a difference whose interval of 95 % over spatial blocks holds zero, and any of too few blocks.
        """
        place = self.scenarios.index(one)
        drawn, found, there = self._draws[:, place], self.mious[one], self.counts[:, place, 1].any(axis=1)
        if isinstance(other, Scenario):
            place = self.scenarios.index(other)
            drawn, found = drawn - self._draws[:, place], found - self.mious[other]
            there = there | self.counts[:, place, 1].any(axis=1)
        else:
            drawn, found = drawn - other, found - other
        ends = interval(drawn, int(there.sum()))
        return found < -MARGIN and ends is not None and ends[1] < 0


def conclusions(figures: Figures) -> list[str]:
    """A sentence or two for each sensor that does harm, on guesses, and on what a random forest does better."""
    return [*_harm(figures), *_guesses(figures), *_forest_ahead(figures)]


def _harm(figures: Figures) -> list[str]:
    """Sensors whose addition lowers the score; each is told of by the worst case."""
    told, mious = [], figures.mious
    for place, name in enumerate(figures.names):
        compared = []
        for without in scenarios(len(figures.names)):
            members = list(without.members)
            members[place] = True
            both = Scenario(tuple(members))
            if without.members[place] or not (without in mious and both in mious):
                continue
            pixels = [int(figures.truth[one].sum()) for one in (without, both)]
            if min(pixels) >= (1 - ALIKE) * max(pixels):
                compared.append((mious[without] - mious[both], without, both))
        harmful = [one for one in compared if figures.below(one[2], one[1])]
        if not harmful:
            continue
        _, without, both = max(harmful, key=lambda one: one[0])
        often = f" (and in {len(harmful) - 1} more of {len(compared)} comparisons)" if len(harmful) > 1 else ""
        told.append(
            f"adding {name} to {without.label(figures.names)} lowers the mIoU from {mious[without]:.3f} to "
            f"{mious[both]:.3f}{often}: {_cure(figures, name, without, both)}"
        )
    return told


def _cure(figures: Figures, name: str, without: Scenario, both: Scenario) -> str:
    forest = figures.forest
    if without in forest and both in forest and forest[both] < forest[without] - MARGIN:
        return f"a random forest loses by it too, so leave {name} out, or check its values and its dates"
    tried = "network.options.fusion: gated, or a longer training" if figures.gated else "a longer training"
    gains = without in forest and both in forest and forest[both] > forest[without] + MARGIN
    told = "a random forest gains by it, so the sensor does tell classes apart; " if gains else ""
    return f"{told}try {tried}"


def _guesses(figures: Figures) -> list[str]:
    """Scenarios that are hardly better than calling every pixel the most frequent class."""
    told = []
    for scenario, truth in figures.truth.items():
        occurring = int((truth > 0).sum())
        if occurring < 2:
            continue
        found, chance = figures.mious[scenario], float(truth.max() / truth.sum()) / occurring
        if found > chance + MARGIN:
            continue
        reached = figures.forest.get(scenario)
        if reached is None:
            cure = "check its values, or train longer"
        elif reached > chance + MARGIN:
            cure = f"a random forest reaches {reached:.3f}, so train longer"
        else:
            cure = "a random forest does no better, so this alone tells the classes hardly apart"
        told.append(
            f"{scenario.label(figures.names)}: mIoU {found:.3f}; calling every pixel "
            f"{figures.classes[int(truth.argmax())].name} gives {chance:.3f}: {cure}"
        )
    return told


def _forest_ahead(figures: Figures) -> list[str]:
    """Scenarios in which a random forest is ahead, told by the one in which it is farthest."""
    both = [scenario for scenario in figures.scenarios if scenario in figures.forest]
    mious = figures.mious
    ahead = [scenario for scenario in both if figures.below(scenario, figures.forest[scenario])]
    if not ahead:
        return []
    most = max(ahead, key=lambda scenario: figures.forest[scenario] - mious[scenario])
    where = f"in {len(ahead)} of {len(both)} scenarios, most in {most.label(figures.names)}"
    return [
        f"a random forest is ahead {where} ({figures.forest[most]:.3f}, here {mious[most]:.3f}): train longer, or on "
        "more labels; until then the forest maps better there"
    ]
