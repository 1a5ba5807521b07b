"""What every method is: a way to train a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
from torch import Tensor

from engine.availability import Scenario
from engine.networks.contract import Detail


class ScenarioSampler(Protocol):
    """Draws the scenario that a sample is trained under."""

    def draw(self, rng: np.random.Generator, present: Scenario) -> Scenario:
        """A scenario among the subsets of ``present``, the modalities that the sample has."""


class Method(ABC):
    """Owns which scenario a sample sees, and which terms the loss has."""

    sampler: ScenarioSampler

    @abstractmethod
    def loss(self, detail: Detail, labels: Tensor) -> dict[str, Tensor]:
        """The terms of the loss by name, scalars whose sum is minimised.

        Args:
            detail: Of a forward pass.
            labels: ``[B, H, W]`` class indices, -1 where ignored.
        """
