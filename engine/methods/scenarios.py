"""Scenario samplers that need no network: random modality dropout in two forms, and none."""

from __future__ import annotations

import numpy as np

from engine.availability import Scenario, from_bits
from engine.data.settings import Settings
from engine.methods.contract import ScenarioSampler


class NoOptions(Settings):
    """There are none."""


def _subset(members: list[int] | tuple[int, ...], present: Scenario) -> Scenario:
    return from_bits(sum(1 << member for member in members), len(present.members))


class UniformSampler(ScenarioSampler):
    """Every scenario of what a sample has is as likely as any other."""

    def draw(self, own: np.random.Generator, _together: np.random.Generator, present: Scenario) -> Scenario:
        """See :meth:`ScenarioSampler.draw`."""
        members = present.indices
        chosen = int(own.integers(1, 1 << len(members)))
        return _subset([member for place, member in enumerate(members) if chosen >> place & 1], present)


class DropoutSampler(ScenarioSampler):
    """For each batch a number of modalities, uniformly, then so many of them.

    The random modality dropout of X. Zheng et al., "Reducing Unimodal Bias in Multi-Modal Semantic Segmentation with
    Multi-Scale Functional Entropy Regularization" (2025), section 3.1.1, which leaves the draw open: this is that of
    its authors' "Learning Robust Anymodal Segmentor with Unimodal and Cross-modal Distillation" (2024). Departure: a
    sample that lacks modalities has the drawn ones that it has, and where that is none one that it has.
    """

    def draw(self, own: np.random.Generator, together: np.random.Generator, present: Scenario) -> Scenario:
        """See :meth:`ScenarioSampler.draw`."""
        count = len(present.members)
        order = together.permutation(count)[: int(together.integers(1, count + 1))].tolist()
        members = [member for member in order if present.members[member]]
        return _subset(members or [int(own.choice(present.indices))], present)


class SeveralSampler(ScenarioSampler):
    """Every scenario of two modalities or more of what a sample has is as likely as any other.

    What STARS learns from: with two sensors both, as in its paper; with more each subset that its fused branch meets.
    """

    def draw(self, own: np.random.Generator, _together: np.random.Generator, present: Scenario) -> Scenario:
        """See :meth:`ScenarioSampler.draw`; what there is where it is fewer than two."""
        members = present.indices
        subsets = [bits for bits in range(1 << len(members)) if bits.bit_count() > 1]
        if not subsets:
            return present
        chosen = subsets[int(own.integers(len(subsets)))]
        return _subset([member for place, member in enumerate(members) if chosen >> place & 1], present)


class IncompleteSampler(ScenarioSampler):
    """Every scenario that lacks a modality is as likely as any other, of what a sample has."""

    def draw(self, own: np.random.Generator, _together: np.random.Generator, present: Scenario) -> Scenario:
        """See :meth:`ScenarioSampler.draw`; what there is where the data have one modality alone."""
        members = present.indices
        all_there = len(members) == len(present.members) and len(members) > 1
        chosen = int(own.integers(1, (1 << len(members)) - all_there))  # the last number stands for all of them
        return _subset([member for place, member in enumerate(members) if chosen >> place & 1], present)


class CompleteOptions(Settings):
    """Options of ``complete``.

    Args:
        strict: Whether a pixel that lacks a modality takes no loss; else a sample is seen with what it has.
    """

    strict: bool = False


class CompleteSampler(ScenarioSampler):
    """Every sample is seen with all that it has, or with all that there are."""

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict

    def draw(self, _own: np.random.Generator, _together: np.random.Generator, present: Scenario) -> Scenario:
        """``present`` itself, or all modalities: a chip takes no loss then where it lacks one."""
        return Scenario((True,) * len(present.members)) if self.strict else present
