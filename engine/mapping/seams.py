"""How much tiles show in a map: changes of class where tiles meet over those elsewhere; 1 where they do not show.

Networks decide at a quarter of the resolution or less and upsample, so that changes of class are more frequent on some
lines of that coarser raster than on others. Lines where tiles meet always lie alike on it (in trials, 1.13 times the
mean of all lines without any tile nearby), so they are compared with lines that lie as they do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.mapping.mosaic import MapBlock
from engine.mapping.tiles import TilePlan

PERIOD = 8
"""Lines that are so far apart lie alike on the raster that a network decides on; coarser ones are interpolated."""


class SeamCounter:
    """Counts changes of class between neighbouring pixels, block by block.

    Tiles meet in the middle of their overlap: the pair of lines on both sides of it, and the next pair, count as seam.

    Args:
        plan: The tiles.
    """

    def __init__(self, plan: TilePlan) -> None:
        self.plan = plan
        self.counts = np.zeros((2, PERIOD, 2), dtype=np.int64)
        """Elsewhere and on seams, for each place of a line in the period: pairs of pixels, and changes among them."""

    def add(self, block: MapBlock) -> None:
        """Adds a block of the map; pairs across blocks, which lie at the start of an overlap, are left out."""
        for axis, start, count in ((0, block.window.row, self.plan.rows), (1, block.window.col, self.plan.cols)):
            length = block.classes.shape[axis]
            one, other = (slice(None),) * axis + (slice(length - 1),), (slice(None),) * axis + (slice(1, None),)
            known = (block.availability[one] > 0) & (block.availability[other] > 0)
            changed = known & (block.classes[one] != block.classes[other])
            lines = np.arange(start, start + length - 1)
            place = lines - self.plan.halo + self.plan.before
            seam = np.isin(place % self.plan.stride, (self.plan.stride - 1, 0))
            seam &= (place >= self.plan.stride - 1) & (place < (count - 1) * self.plan.stride + 1)
            sums = np.stack([known.sum(axis=1 - axis), changed.sum(axis=1 - axis)], axis=1)
            np.add.at(self.counts, (seam.astype(int), lines % PERIOD), sums)


def seam_ratio(counts: NDArray[np.int64]) -> float:
    """Changes on seams over those that as many pairs of lines that lie alike have elsewhere.

    Args:
        counts: A counter's, or the sum of several counters'.

    Returns:
        The ratio; NaN without seams, or where nothing changes elsewhere.
    """
    elsewhere, seams = counts.astype(np.float64)
    alike = (seams[:, 0] > 0) & (elsewhere[:, 0] > 0)
    expected = float((seams[alike, 0] * elsewhere[alike, 1] / elsewhere[alike, 0]).sum())
    return float(seams[alike, 1].sum()) / expected if expected else float("nan")
