"""What every method is: a way to train a network, in one stage of a training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from engine.availability import Scenario
from engine.networks.contract import Inputs, Network
from engine.networks.segmenter import Segmenter


class ScenarioSampler(Protocol):
    """Draws the scenario that a sample is trained under."""

    def draw(self, rng: np.random.Generator, present: Scenario) -> Scenario:
        """A scenario among the subsets of ``present``, the modalities that the sample has."""


@dataclass(frozen=True)
class Preparation:
    """What a method may use before its stage begins.

    Args:
        stage: Name of the stage.
        folder: The run folder.
        batches: Gives the training split's chips that have every modality, as raw values ``[B, C_m, H, W]`` by
            modality, on the training's device; always the same, in the same order.
        progress: Told how many of them are done.
        say: Told in lines what was found.
    """

    stage: str
    folder: Path
    batches: Callable[[], Iterator[dict[str, Tensor]]]
    progress: Callable[[int], None]
    say: Callable[[str], None]


class Method(ABC):
    """Owns which scenario a sample sees, and which terms the loss has.

    Which parameters are trained, by which optimiser and how long, stands with the method in a recipe's stage.
    """

    sampler: ScenarioSampler

    def check(self, network: Network) -> None:  # noqa: B027 (most go with every network)
        """Refuses a network that the method does not go with.

        Raises:
            RecipeError: If so.
        """

    def prepare(self, segmenter: Segmenter, preparation: Preparation) -> None:  # noqa: B027 (most do nothing)
        """Does what must come before the first step of the stage, with the weights that it begins with.

        Called again on a resume; what must not change by then is kept in the run folder.

        Raises:
            RunError: If that cannot be done.
        """

    @abstractmethod
    def loss(self, segmenter: Segmenter, inputs: Inputs, availability: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms of the loss by name, scalars whose sum is minimised.

        Args:
            segmenter: In training mode.
            inputs: For each modality ``[B, C_m, H, W]`` in the sensor's units and data type.
            availability: ``[B, M]`` bool: the scenario of each sample.
            labels: ``[B, H, W]`` class indices, -1 where ignored.
        """
