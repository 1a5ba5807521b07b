"""Cross-entropy of a network's answer, and of what it finds of single modalities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, tensor
from torch.nn import functional as F

from engine.data.settings import Settings
from engine.errors import RecipeError
from engine.methods.contract import Loss, Objective, Step
from engine.modality import IGNORED
from engine.networks.contract import Network
from engine.networks.heads import resized


class CrossEntropyOptions(Settings):
    """Options of ``cross_entropy``.

    Args:
        class_weights: Weight of each class's pixels; all alike where None.
    """

    class_weights: tuple[float, ...] | None = None


class CrossEntropy(Objective):
    """Mean over the labelled pixels, weighted by class."""

    def __init__(self, options: CrossEntropyOptions) -> None:
        self.class_weights = options.class_weights

    def loss(self, step: Step) -> Loss:
        """``cross_entropy``."""
        return Loss({"cross_entropy": cross_entropy(step.detail.logits.float(), step.labels, self.class_weights)})


class UnimodalCrossEntropyOptions(Settings):
    """Options of ``unimodal_cross_entropy``.

    Args:
        weight: Of the term.
        class_weights: Weight of each class's pixels; all alike where None.
    """

    weight: float = Field(default=1.0, gt=0)
    class_weights: tuple[float, ...] | None = None


class UnimodalCrossEntropy(Objective):
    """Cross-entropy of each present modality's own prediction: one that others outshine is still taught.

    Each is the mean over its samples' labelled pixels, the term their mean over the modalities of a batch.
    """

    sufficient = False

    def __init__(self, options: UnimodalCrossEntropyOptions) -> None:
        self.options = options

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
            cross_entropy(
                resized(one.prediction, step.labels).float(), step.labels[one.samples], self.options.class_weights
            )
            for one in step.detail.unimodal.values()
            if one.prediction is not None
        ]
        return Loss({"unimodal_cross_entropy": self.options.weight * torch.stack(terms).mean()})


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
