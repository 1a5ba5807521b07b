"""Labels that look wrong: cross-validated disagreement of a random forest with the class that a region was given.

Out-of-fold probabilities of the given class, as in C. G. Northcutt et al., "Confident Learning: Estimating Uncertainty
in Dataset Labels" (2021), here averaged over the pixels of a region, which a fold holds out as a whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold

from engine.evaluation.forests import PIXELS, SEED, TREES, probabilities
from engine.evaluation.metrics import Confusion, confusion
from engine.evaluation.samples import smallest
from engine.modality import IGNORED
from engine.runtime.machine import usable_processors

FOLDS = 5
"""Parts of the regions, each held out once; fewer where no class has so many regions."""

FEWEST = 4
"""Pixels of a region below which it is not ranked: the mean of fewer is noise."""

CONFUSED = 0.1
"""Share of a class's pixels that look like another one from which a pair is named."""


@dataclass(frozen=True)
class RegionPixels:
    """Pixels that were drawn from regions.

    Args:
        features: ``[N, F]``; NaN where a sensor is missing.
        regions: ``[N]`` numbers of their regions.
        hashes: ``[N]`` of their places.
    """

    features: NDArray[np.float32]
    regions: NDArray[np.int64]
    hashes: NDArray[np.uint64]


@dataclass(frozen=True)
class Ranking:
    """What a forest says of R regions.

    Args:
        agreement: ``[R]`` mean out-of-fold probability of the given class, 0 to 1; NaN where none was found.
        looks_like: ``[R]`` class of the highest mean probability; IGNORED where none was found.
        rank: ``[R]`` 1 for the lowest agreement; 0 for regions that are not ranked.
        alone: Classes with one region, which cannot be held out.
        confusion: ``[K, K]`` drawn pixels by given class (rows) and by the class that they look like.
    """

    agreement: NDArray[np.float64]
    looks_like: NDArray[np.int64]
    rank: NDArray[np.int64]
    alone: tuple[int, ...]
    confusion: Confusion


def rank_regions(
    pixels: RegionPixels,
    classes: NDArray[np.int64],
    count: int,
    progress: Callable[[float], None] = lambda _share: None,
) -> Ranking:
    """Grows a forest on all folds but one, and asks it about the regions of that one.

    Forests weigh all classes alike. Regions of a class with one region alone are learned from and never held out.

    Args:
        pixels: Those that were drawn.
        classes: ``[R]`` class index of each region.
        count: K.
        progress: Told the share that is done.
    """
    drawn = np.bincount(pixels.regions, minlength=len(classes))
    known = np.flatnonzero((drawn > 0) & (classes != IGNORED))
    per_class = np.bincount(classes[known], minlength=count)
    held = known[per_class[classes[known]] > 1]
    sums, matrix = np.zeros((len(classes), count)), np.zeros((count, count), dtype=np.int64)
    for number, fold in enumerate(folds := _folds(classes[held])):
        progress(number / len(folds))
        inside = np.isin(pixels.regions, held[fold])
        columns, found = _out_of_fold(pixels, classes, inside)
        np.add.at(sums, (pixels.regions[inside][:, None], columns), found)
        given = classes[pixels.regions[inside]]
        matrix += confusion(given, columns[found.argmax(axis=1)], count)
    agreement, looks_like = np.full(len(classes), np.nan), np.full(len(classes), IGNORED)
    agreement[held] = sums[held, classes[held]] / drawn[held]
    looks_like[held] = sums[held].argmax(axis=1)
    rank = np.zeros(len(classes), dtype=np.int64)
    ranked = held[drawn[held] >= FEWEST]
    rank[ranked[np.argsort(agreement[ranked], kind="stable")]] = np.arange(len(ranked)) + 1
    return Ranking(agreement, looks_like, rank, tuple(np.flatnonzero(per_class == 1).tolist()), matrix)


def _folds(classes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Places of the regions that each fold holds out; a class's regions are spread over them."""
    if not len(classes):
        return []
    folds = StratifiedKFold(min(FOLDS, int(np.bincount(classes).max())), shuffle=True, random_state=SEED)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # two regions are enough here
        return [test for _, test in folds.split(classes, classes)]


def _out_of_fold(
    pixels: RegionPixels, classes: NDArray[np.int64], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Probabilities of the pixels ``inside``, and the classes of their columns, by a forest on the others."""
    given = classes[pixels.regions]
    others = np.flatnonzero(~inside & (given != IGNORED))
    others = others[smallest(given[others], pixels.hashes[others], PIXELS)]
    forest = RandomForestClassifier(TREES, class_weight="balanced", random_state=SEED, n_jobs=usable_processors())
    forest.fit(pixels.features[others], given[others])
    return forest.classes_, probabilities(forest, pixels.features[inside])


def confused_pairs(matrix: Confusion, names: Sequence[str], most: int = 5) -> list[str]:
    """In words, the pairs of classes of which the largest shares look like each other.

    Args:
        matrix: ``[K, K]``, rows are the given class.
        names: Of the classes.
        most: How many pairs at most.
    """
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    pairs = [(one, other) for one in range(len(names)) for other in range(one)]
    pairs = [pair for pair in pairs if max(shares[pair], shares[pair[::-1]]) >= CONFUSED]
    pairs.sort(key=lambda pair: -(shares[pair] + shares[pair[::-1]]))
    return [
        f"{names[one]} and {names[other]}: {shares[one, other]:.0%} of {names[one]} looks like {names[other]}, "
        f"{shares[other, one]:.0%} the other way"
        for one, other in pairs[:most]
    ]
