"""What every method is: a way to train a network, in one stage of a training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
from torch import Tensor

from engine.availability import Scenario
from engine.networks.contract import Inputs
from engine.networks.segmenter import Segmenter


class ScenarioSampler(Protocol):
    """Draws the scenario that a sample is trained under."""

    def draw(self, rng: np.random.Generator, present: Scenario) -> Scenario:
        """A scenario among the subsets of ``present``, the modalities that the sample has."""


class Method(ABC):
    """Owns which scenario a sample sees, and which terms the loss has.

    Which parameters are trained, by which optimiser and how long, stands with the method in a recipe's stage.
    """

    sampler: ScenarioSampler

    @abstractmethod
    def loss(self, segmenter: Segmenter, inputs: Inputs, availability: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms of the loss by name, scalars whose sum is minimised.

        Args:
            segmenter: In training mode.
            inputs: For each modality ``[B, C_m, H, W]`` in the sensor's units and data type.
            availability: ``[B, M]`` bool: the scenario of each sample.
            labels: ``[B, H, W]`` class indices, -1 where ignored.
        """
