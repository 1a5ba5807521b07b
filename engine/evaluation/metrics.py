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


@dataclass(frozen=True)
class Figures:
    """Figures of any number of confusions, 0 to 1; NaN as :class:`Scores` has it.

    Args:
        iou: ``[..., K]`` of each class.
        miou: ``[...]`` their mean over the classes that occur.
        overall_accuracy: ``[...]``.
    """

    iou: NDArray[np.float64]
    miou: NDArray[np.float64]
    overall_accuracy: NDArray[np.float64]


def figures(sums: NDArray[np.number]) -> Figures:
    """Figures of hits, truth and prediction of each class ``[..., 3, K]``."""
    hits, truth, predicted = np.moveaxis(sums.astype(np.float64), -2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = hits / (truth + predicted - hits)
        accuracy = hits.sum(axis=-1) / truth.sum(axis=-1)
    return Figures(iou, mean_known(iou), accuracy)


def mean_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over the last axis of what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = np.where(known, values, 0).sum(axis=-1) / known.sum(axis=-1)
    return means


def scores(matrix: Confusion) -> Scores:
    """IoU, F1, their means, overall and average accuracy, and Cohen's kappa of a confusion matrix ``[K, K]``.

    All are NaN where the matrix is empty.
    """
    counts = matrix.astype(np.float64)
    hits, truth, predicted, total = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    found = figures(np.stack([hits, truth, predicted]))
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = 2 * hits / (truth + predicted)
        recall = hits / truth
        chance = (truth * predicted).sum() / total**2
        kappa = (found.overall_accuracy - chance) / (1 - chance)
    return Scores(
        tuple(map(float, found.iou)),
        tuple(map(float, f1)),
        float(found.miou),
        float(mean_known(f1)),
        float(found.overall_accuracy),
        float(mean_known(recall)),
        float(kappa),
        int(total),
    )
