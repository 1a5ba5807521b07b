"""Cross-entropy of a network's answer, and of what it finds of single modalities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, tensor
from torch.nn import functional as F

from engine.data.settings import Settings
from engine.errors import RecipeError
from engine.methods.contract import Loss, Objective, Preparation, Step
from engine.modality import IGNORED
from engine.networks.contract import Network
from engine.networks.heads import resized
from engine.networks.segmenter import Segmenter

ClassWeights = Literal["balanced", "sqrt"] | tuple[Annotated[float, Field(ge=0)], ...] | None
"""Weight of each class's pixels: numbers; ``balanced``: training pixels of all classes over those of the class times
the number of classes, as scikit-learn's ``compute_class_weight`` has it; ``sqrt``: the root of that; None: all alike.
How often a class is drawn (``data.sampling_power``) comes on top."""


def class_weights(chosen: ClassWeights, counts: Sequence[int]) -> tuple[float, ...] | None:
    """Weights ``[K]`` of classes with so many training pixels; None where all are alike."""
    if not isinstance(chosen, str):
        return chosen
    pixels = np.array(counts, dtype=np.float64)
    weights = pixels.mean() / pixels
    return tuple(float(weight) for weight in (weights if chosen == "balanced" else weights**0.5))


class Weighted(Objective):
    """An objective whose classes weigh by numbers, or by what the training pixels hold.

    Args:
        chosen: The weights, as in a recipe.
    """

    def __init__(self, chosen: ClassWeights) -> None:
        self._chosen = chosen
        self.class_weights = None if isinstance(chosen, str) else chosen

    def prepare(self, segmenter: Segmenter, preparation: Preparation) -> None:
        """Weighs the classes; see :meth:`Objective.prepare`."""
        self.class_weights = class_weights(self._chosen, preparation.class_counts)
        if isinstance(self._chosen, str) and self.class_weights is not None:
            pairs = zip(preparation.classes, self.class_weights, strict=True)
            told = ", ".join(f"{land_class.name} {weight:.2f}" for land_class, weight in pairs)
            preparation.say(f"{preparation.stage}: class weights ({self._chosen}): {told}")


class CrossEntropyOptions(Settings):
    """Options of ``cross_entropy``.

    Args:
        class_weights: See :data:`ClassWeights`.
        label_smoothing: Share of the target that is spread evenly over all classes (Szegedy et al., 2016).
    """

    class_weights: ClassWeights = None
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


class CrossEntropy(Weighted):
    """Mean over the labelled pixels, weighted by class."""

    def __init__(self, options: CrossEntropyOptions) -> None:
        super().__init__(options.class_weights)
        self.smoothing = options.label_smoothing

    def loss(self, step: Step) -> Loss:
        """``cross_entropy``."""
        logits = step.detail.logits.float()
        return Loss({"cross_entropy": cross_entropy(logits, step.labels, self.class_weights, self.smoothing)})


class UnimodalCrossEntropyOptions(Settings):
    """Options of ``unimodal_cross_entropy``.

    Args:
        weight: Of the term.
        class_weights: See :data:`ClassWeights`.
    """

    weight: float = Field(default=1.0, gt=0)
    class_weights: ClassWeights = None


class UnimodalCrossEntropy(Weighted):
    """Cross-entropy of each present modality's own prediction: one that others outshine is still taught.

    Each is the mean over its samples' labelled pixels, the term their mean over the modalities of a batch.
    """

    sufficient = False

    def __init__(self, options: UnimodalCrossEntropyOptions) -> None:
        super().__init__(options.class_weights)
        self.weight = options.weight

    def check(self, network: Network) -> None:
        """See :meth:`Objective.check`: there must be predictions of single modalities."""
        if not network.predicts_alone:
            raise RecipeError(
                "unimodal_cross_entropy: the network has no prediction of a single modality; choose mean_fusion, stars"
                " or lds2ae, or scenarios that leave modalities out (dropout)"
            )

    def loss(self, step: Step) -> Loss:
        """``unimodal_cross_entropy``."""
        terms = [
            cross_entropy(resized(one.prediction, step.labels).float(), step.labels[one.samples], self.class_weights)
            for one in step.detail.unimodal.values()
            if one.prediction is not None
        ]
        return Loss({"unimodal_cross_entropy": self.weight * torch.stack(terms).mean()})


def cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Sequence[float] | None, smoothing: float = 0.0
) -> Tensor:
    """Mean over the labelled pixels, weighted by class; zero where there is none.

    Args:
        logits: ``[B, K, H, W]``.
        labels: ``[B, H, W]`` class indices, -1 where ignored.
        class_weights: ``[K]``; all alike where None.
        smoothing: Share of the target that is spread evenly over all classes.
    """
    weights = None if class_weights is None else tensor(class_weights, device=logits.device)
    losses = F.cross_entropy(
        logits, labels, weight=weights, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    known = labels != IGNORED
    norm = known.sum() if weights is None else weights[labels[known]].sum()
    return losses / norm.clamp(min=1e-6)
