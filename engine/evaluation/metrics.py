"""Accuracy figures from a confusion matrix. Rows are the truth, columns the prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Confusion = NDArray[np.int64]


def confusion(truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int) -> Confusion:
    """Counts ``[K, K]`` of pairs of class indices, both within 0 and K - 1."""
    pairs = truth.astype(np.int64).ravel() * classes + predicted.astype(np.int64).ravel()
    return np.bincount(pairs, minlength=classes * classes).astype(np.int64).reshape(classes, classes)


@dataclass(frozen=True)
class Scores:
    """Figures of one confusion matrix; each within 0 and 1, kappa within -1 and 1.

    A class that occurs neither in the truth nor in the prediction has no IoU and no F1 (NaN) and is left out
    of the means; average accuracy is over the classes that the truth has.
    """

    iou: tuple[float, ...]
    f1: tuple[float, ...]
    miou: float
    mf1: float
    overall_accuracy: float
    average_accuracy: float
    kappa: float
    pixels: int


def scores(matrix: Confusion) -> Scores:
    """IoU, F1, their means, overall and average accuracy, and Cohen's kappa of a confusion matrix ``[K, K]``.

    All are NaN where the matrix is empty.
    """
    counts = matrix.astype(np.float64)
    hits, truth, predicted, total = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = hits / (truth + predicted - hits)
        f1 = 2 * hits / (truth + predicted)
        recall = hits / truth
        agreement = hits.sum() / total
        chance = (truth * predicted).sum() / total**2
        kappa = (agreement - chance) / (1 - chance)
    return Scores(
        tuple(map(float, iou)),
        tuple(map(float, f1)),
        _mean(iou),
        _mean(f1),
        float(agreement),
        _mean(recall),
        float(kappa),
        int(total),
    )


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
