"""What every method is made of: which scenario a sample is trained under, and what is minimised."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.availability import Scenario
from engine.errors import RecipeError, prefixed
from engine.modality import IGNORED, LandClass
from engine.networks.contract import Detail, Inputs, Network
from engine.networks.segmenter import Segmenter


@dataclass(frozen=True)
class Preparation:
    """What may be used before a stage begins.

    Args:
        stage: Name of the stage.
        folder: The run folder.
        classes: The recipe's.
        chip: Pixels along a chip.
        batches: Gives the training split's chips that have every modality, as raw values ``[B, C_m, H, W]`` by
            modality, on the training's device; always the same, in the same order.
        progress: Told how many of them are done.
        say: Told in lines what was found.
        class_counts: Training pixels of each class.
    """

    stage: str
    folder: Path
    classes: tuple[LandClass, ...]
    chip: int
    batches: Callable[[], Iterator[dict[str, Tensor]]]
    progress: Callable[[int], None]
    say: Callable[[str], None]
    class_counts: tuple[int, ...] = ()


class ScenarioSampler(ABC):
    """Draws the scenario that a sample is trained under."""

    def check(self, network: Network) -> None:  # noqa: B027 (most go with every network)
        """Refuses a network that the sampler does not go with.

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
    def draw(self, own: np.random.Generator, together: np.random.Generator, present: Scenario) -> Scenario:
        """A scenario among the subsets of ``present``.

        Args:
            own: Draws for this sample alone.
            together: Draws alike for all samples of a batch.
            present: The modalities that the sample has.
        """


@dataclass(frozen=True)
class Step:
    """What a step of a training gives to its objectives.

    Args:
        segmenter: In training mode.
        inputs: For each modality ``[B, C_m, H, W]`` in the sensor's units and data type.
        availability: ``[B, M]`` bool: the scenario of each sample.
        labels: ``[B, H, W]`` class indices, -1 where ignored.
        forward: Gives the forward pass.
    """

    segmenter: Segmenter
    inputs: Inputs
    availability: Tensor
    labels: Tensor
    forward: Callable[[], Detail]

    @cached_property
    def detail(self) -> Detail:
        """The forward pass: one for all objectives, none where no objective asks for it."""
        return self.forward()


@dataclass(frozen=True)
class Loss:
    """What objectives find in a step, as scalars by name.

    Args:
        terms: Whose sum is minimised.
        facts: What is logged beside them.
    """

    terms: dict[str, Tensor]
    facts: dict[str, Tensor] = field(default_factory=dict)


class Objective(ABC):
    """One or more terms of the loss.

    Attributes:
        sufficient: Whether a stage can train by it alone.
        needs_labels: Whether it learns nothing without them.
    """

    sufficient = True
    needs_labels = True

    def check(self, network: Network) -> None:  # noqa: B027 (most go with every network)
        """Refuses a network that the objective does not go with.

        Raises:
            RecipeError: If so.
        """

    def check_files(self, network: Network, classes: Sequence[LandClass]) -> None:  # noqa: B027 (most read none)
        """Refuses what no training may begin with, though a run may have it.

        These are files that are missing, or do not go with network and classes, of which a run keeps what it needs; and
        options that are withdrawn.

        Raises:
            InputError: If so.
        """

    def prepare(self, segmenter: Segmenter, preparation: Preparation) -> None:  # noqa: B027 (most do nothing)
        """As :meth:`ScenarioSampler.prepare`."""

    @abstractmethod
    def loss(self, step: Step) -> Loss:
        """Its terms in a step of a training."""


@dataclass(frozen=True)
class Method:
    """How a stage trains: which parameters, by which optimiser and how long stands beside it in a recipe.

    Args:
        sampler: Draws the scenarios.
        objectives: Whose terms are added.
    """

    sampler: ScenarioSampler
    objectives: Sequence[Objective]

    @property
    def needs_labels(self) -> bool:
        """Whether nothing is learned without labels."""
        return all(objective.needs_labels for objective in self.objectives)

    @property
    def learns_classes(self) -> bool:
        """Whether labels are learned."""
        return any(objective.needs_labels for objective in self.objectives)

    def check(self, network: Network) -> None:
        """Refuses a network that the sampler or an objective does not go with.

        Raises:
            RecipeError: If so.
        """
        if not any(objective.sufficient for objective in self.objectives):
            raise RecipeError("method.objectives: none of them learns anything by itself; add cross_entropy")
        self.sampler.check(network)
        for number, objective in enumerate(self.objectives):
            with prefixed(f"method.objectives.{number}: "):
                objective.check(network)

    def check_files(self, network: Network, classes: Sequence[LandClass]) -> None:
        """As :meth:`Objective.check_files`, of all objectives.

        Raises:
            InputError: If one refuses.
        """
        for number, objective in enumerate(self.objectives):
            with prefixed(f"method.objectives.{number}: "):
                objective.check_files(network, classes)

    def prepare(self, segmenter: Segmenter, preparation: Preparation) -> None:
        """Does what sampler and objectives must do before the first step of the stage."""
        self.sampler.prepare(segmenter, preparation)
        for number, objective in enumerate(self.objectives):
            with prefixed(f"method.objectives.{number}: "):
                objective.prepare(segmenter, preparation)

    def loss(self, segmenter: Segmenter, inputs: Inputs, availability: Tensor, labels: Tensor) -> Loss:
        """The terms of all objectives in a step; see :class:`Step`.

        Labels of pixels that the network has no answer of their own for do not count.
        """
        labels = _answered(labels, segmenter.network)
        step = Step(segmenter, inputs, availability, labels, partial(segmenter.detail, inputs, availability))
        found = [objective.loss(step) for objective in self.objectives]
        return Loss(
            {name: value for loss in found for name, value in loss.terms.items()},
            {name: value for loss in found for name, value in loss.facts.items()},
        )


def _answered(labels: Tensor, network: Network) -> Tensor:
    """``labels`` ``[B, H, W]``, IGNORED along the border and between the pixels that the network classifies."""
    margin, stride = network.margin, network.stride
    if margin == 0 and stride == 1:
        return labels
    kept = torch.full_like(labels, IGNORED)
    rows, cols = (slice(margin, size - margin, stride) for size in labels.shape[-2:])
    kept[:, rows, cols] = labels[:, rows, cols]
    return kept
