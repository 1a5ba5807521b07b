"""Soft Dice loss of a network's answer, for classes of which there is little."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from engine.data.settings import Settings
from engine.methods.contract import Loss, Objective, Step
from engine.modality import IGNORED


class DiceOptions(Settings):
    """Options of ``dice``.

    Args:
        weight: Of the term.
    """

    weight: float = Field(default=1.0, gt=0)


class Dice(Objective):
    """One minus the soft Dice coefficient, a mean over the classes that a batch has labels of."""

    def __init__(self, options: DiceOptions) -> None:
        self.weight = options.weight

    def loss(self, step: Step) -> Loss:
        """``dice``."""
        return Loss({"dice": self.weight * dice(step.detail.logits.float(), step.labels)})


def dice(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - 2 sum(p g) / (sum(p) + sum(g)) of each class, sums over the labelled pixels of a batch (Sudre et al., 2017).

    The mean over the classes that have a label; zero where no pixel has one.

    Args:
        logits: ``[B, K, H, W]``.
        labels: ``[B, H, W]`` class indices, -1 where ignored.
    """
    known = labels != IGNORED
    chances = logits.softmax(dim=1).movedim(1, -1)[known]  # (N, K)
    truth = F.one_hot(labels[known], logits.shape[1]).to(chances.dtype)
    pixels = truth.sum(dim=0)
    overlap = 1 - 2 * (chances * truth).sum(dim=0) / (chances.sum(dim=0) + pixels).clamp(min=1e-6)
    there = pixels > 0
    return (overlap * there).sum() / there.sum().clamp(min=1)
