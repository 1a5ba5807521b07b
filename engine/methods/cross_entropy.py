"""Cross-entropy of a network's answer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, tensor
from torch.nn import functional as F

from engine.data.settings import Settings
from engine.methods.contract import Loss, Objective, Step
from engine.modality import IGNORED


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
