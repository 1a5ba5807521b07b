"""Random modality dropout: cross-entropy under a scenario drawn for each sample, uniformly over the scenarios.

The baseline of the papers here. Departure: where a sample lacks a modality, its scenario is drawn among the subsets
of what it has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, tensor
from torch.nn import functional as F

from engine.availability import Scenario, from_bits
from engine.data.settings import Settings
from engine.methods.contract import Method, ScenarioSampler
from engine.networks.contract import Inputs
from engine.networks.segmenter import Segmenter
from engine.raster.labels import IGNORED


class UniformOptions(Settings):
    """Options of ``uniform``.

    Args:
        class_weights: Weight of each class's pixels in the cross-entropy; all alike where None.
    """

    class_weights: tuple[float, ...] | None = None


class UniformSampler:
    """Every scenario is as likely as any other."""

    def draw(self, rng: np.random.Generator, present: Scenario) -> Scenario:
        """Uniform over the non-empty subsets of ``present``."""
        members = present.indices
        chosen = int(rng.integers(1, 1 << len(members)))
        bits = sum(1 << member for place, member in enumerate(members) if chosen >> place & 1)
        return from_bits(bits, len(present.members))


class Uniform(Method):
    """Cross-entropy under uniformly drawn scenarios."""

    def __init__(self, options: UniformOptions) -> None:
        self.sampler: ScenarioSampler = UniformSampler()
        self.class_weights = options.class_weights

    def loss(self, segmenter: Segmenter, inputs: Inputs, availability: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """``cross_entropy``: mean over the labelled pixels, weighted by class; zero where there is none."""
        logits = segmenter.detail(inputs, availability).logits.float()
        return {"cross_entropy": cross_entropy(logits, labels, self.class_weights)}


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Sequence[float] | None) -> Tensor:
    """Mean over the labelled pixels, weighted by class; zero where there is none.

    Args:
        logits: ``[B, K, H, W]``.
        labels: ``[B, H, W]`` class indices, -1 where ignored.
        class_weights: ``[K]``; all alike where None.
    """
    weights = None if class_weights is None else tensor(class_weights, device=logits.device)
    losses = F.cross_entropy(logits, labels, weight=weights, ignore_index=IGNORED, reduction="sum")
    known = labels != IGNORED
    norm = known.sum() if weights is None else weights[labels[known]].sum()
    return losses / norm.clamp(min=1e-6)
