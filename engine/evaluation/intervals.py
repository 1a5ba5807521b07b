"""Intervals of 95 % by a bootstrap over spatial blocks.

B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentiles), of blocks drawn with
replacement, as many as there are. Of few blocks percentiles are too narrow; they are expanded as T. Hesterberg, "What
Teachers Should Know About the Bootstrap", The American Statistician 69 (2015), section 4.3, has it for a mean: the
percentiles are those that Student's t asks for, alpha = Phi(-sqrt(n / (n - 1)) t).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from engine.evaluation.metrics import Figures, figures, mean_known

DRAWS, AT_A_TIME, SEED = 2000, 250, 0
"""How often the blocks are drawn, how many of the draws are in memory, and from which seed."""

FEWEST = 5
"""Blocks below which there is no interval."""

Interval = tuple[float, float]


def resampled(counts: NDArray[np.int64]) -> Figures:
    """Figures ``[DRAWS, S]`` (IoU ``[DRAWS, S, K]``) of blocks ``[B, S, 3, K]`` drawn with replacement.

    As many blocks have the same draws, whatever they hold, so that differences are paired.
    """
    parts = [figures(part) for part in _drawn(counts)]
    return Figures(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("iou", "miou", "overall_accuracy"))
    )


def _drawn(counts: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    blocks = len(counts)
    flat, rng = counts.reshape(blocks, -1).astype(np.float64), np.random.default_rng(SEED)
    for _ in range(DRAWS // AT_A_TIME):
        times = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=AT_A_TIME)
        yield (times.astype(np.float64) @ flat).reshape(-1, *counts.shape[1:])


def interval(draws: NDArray[np.float64], blocks: int) -> Interval | None:
    """The expanded percentile interval of what was found from each draw.

    Args:
        draws: ``[DRAWS]``; NaN where a draw has no figure.
        blocks: How many of the blocks bear on the figure.

    Returns:
        None where they are fewer than FEWEST.
    """
    if blocks < FEWEST:
        return None
    low, high = np.nanquantile(draws, (share(blocks), 1 - share(blocks)))
    return float(low), float(high)


def share(blocks: int) -> float:
    """The share of the draws that lies below an interval's lower end; .025 of ever so many blocks."""
    return float(stats.norm.cdf(-math.sqrt(blocks / (blocks - 1)) * stats.t.ppf(0.975, blocks - 1)))


@dataclass(frozen=True)
class Spread:
    """How sure the figures of a scenario are.

    Args:
        blocks: How many have a counted pixel.
        miou: Interval; None of too few blocks.
        overall_accuracy: Interval; None of too few blocks.
        iou: Of each class; None where it was labelled or mapped in too few blocks.
    """

    blocks: int
    miou: Interval | None
    overall_accuracy: Interval | None
    iou: tuple[Interval | None, ...]


def spreads(counts: NDArray[np.int64]) -> tuple[Spread, ...]:
    """How sure the figures of each scenario are, and, last, those of the mean over the scenarios, which has no class.

    Args:
        counts: ``[B, S, 3, K]`` as :class:`engine.evaluation.blocks.BlockCounts` has them.
    """
    drawn = resampled(counts)
    there = counts[:, :, 1].any(axis=2).sum(axis=0).tolist()  # [S]
    by_class = counts[:, :, 1:].any(axis=2).sum(axis=0).tolist()  # [S, K]
    found = [
        Spread(
            blocks,
            interval(drawn.miou[:, number], blocks),
            interval(drawn.overall_accuracy[:, number], blocks),
            tuple(interval(drawn.iou[:, number, place], many) for place, many in enumerate(by_class[number])),
        )
        for number, blocks in enumerate(there)
    ]
    every = len(counts)
    miou, accuracy = (interval(mean_known(one), every) for one in (drawn.miou, drawn.overall_accuracy))
    return (*found, Spread(every, miou, accuracy, ()))


def counted(blocks: int) -> str:
    """A number of blocks in words."""
    return f"{blocks} spatial block{'s' if blocks != 1 else ''}"
