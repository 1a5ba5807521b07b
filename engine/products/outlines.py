"""Outlines of regions of pixels along the pixels' exact edges, strip by strip.

A node is a corner of pixels at which edges between regions turn or meet. Each region passes a node once for each part
of it that lies there: in by one direction and out by another, itself on the right hand. Passages of all strips together
give a region's rings: along each line of the lattice, the k-th way out leads to the k-th way in. So a region needs no
order among its strips, and no union of parts.

Where a region touches itself at a corner, its rings pass on the side of what it touches there, so that they never cross
or touch themselves: polygons are valid. A node of one region is a vertex of all that lie there, so that neighbours have
all vertices of their common edge in common, also once they are reprojected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from engine.grid import Grid


@dataclass(frozen=True)
class Passages:
    """How regions pass nodes; arrays ``[N]``.

    Args:
        region: Number of the region.
        x: Column of the node; 0 is the left edge of the first pixel.
        y: Row of the node.
        into: Direction in which it is reached: 0 up, 1 right, 2 down, 3 left.
        out: Direction in which it is left.
    """

    region: NDArray[np.int64]
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    into: NDArray[np.int8]
    out: NDArray[np.int8]

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Passages:
        return Passages(self.region[chosen], self.x[chosen], self.y[chosen], self.into[chosen], self.out[chosen])

    def renumbered(self, numbers: NDArray[np.int64]) -> Passages:
        """The same with other numbers of regions: ``numbers[region]``."""
        return Passages(numbers[self.region], self.x, self.y, self.into, self.out)


def joined(parts: list[Passages]) -> Passages:
    """All of several."""
    return Passages(
        np.concatenate([part.region for part in parts]),
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        np.concatenate([part.into for part in parts]),
        np.concatenate([part.out for part in parts]),
    )


def passages(labels: NDArray[np.int64], row: int) -> Passages:
    """The passages between the rows of a strip.

    Args:
        labels: ``[h, w]`` numbers of regions, connected by their pixels' edges; 0 where there is none, as on both
            sides of the strip.
        row: Row of the lattice between the first and the second row of ``labels``.
    """
    padded = np.pad(labels, ((0, 0), (1, 1)))
    northwest, northeast = padded[:-1, :-1], padded[:-1, 1:]
    southwest, southeast = padded[1:, :-1], padded[1:, 1:]
    up, right = northwest != northeast, northeast != southeast
    down, left = southwest != southeast, northwest != southwest
    node = (up | down) & (left | right)
    arms = np.stack([arm[node] for arm in (up, right, down, left)])
    behind = np.stack([quarter[node] for quarter in (northeast, southeast, southwest, northwest)])  # clockwise of each
    y, x = (places.astype(np.int32) for places in np.nonzero(node))
    y += row
    found = []
    for out in range(4):
        last = np.where(arms[(out + 1) % 4], out + 1, np.where(arms[(out + 2) % 4], out + 2, out + 3))
        there = arms[out] & (behind[out] > 0)
        into = ((last[there] + 2) % 4).astype(np.int8)
        found.append(Passages(behind[out][there], x[there], y[there], into, np.full(len(into), out, dtype=np.int8)))
    return joined(found)


def polygons(found: Passages, grid: Grid) -> NDArray[np.object_]:
    """The polygons of regions, in the order of their numbers; exteriors counterclockwise, holes clockwise.

    Args:
        found: All passages of these regions.
        grid: Where the pixels lie.
    """
    found = found[np.lexsort((found.x, found.y, found.region))]
    region, x, y, out = found.region, found.x, found.y, found.out.copy()
    twice = np.flatnonzero((np.diff(region) == 0) & (np.diff(x) == 0) & (np.diff(y) == 0))
    out[twice], out[twice + 1] = found.out[twice + 1], found.out[twice]  # it touches itself there
    order, starts = _cycles(_before(found, out))
    firsts = region[order[starts]]
    shape_starts = np.flatnonzero(np.diff(firsts, prepend=-1))  # a region's first corner is of its exterior
    coordinates = np.stack(grid.coordinates(x[order].astype(float), y[order].astype(float)), axis=1)
    offsets = (np.append(starts, len(order)), np.append(shape_starts, len(starts)))
    shapes: NDArray[np.object_] = shapely.from_ragged_array(shapely.GeometryType.POLYGON, coordinates, offsets)
    return shapes


def _before(found: Passages, out: NDArray[np.int8]) -> NDArray[np.int64]:
    """The passage before each one on its ring, of passages in the order of region, row and column."""
    by_row = np.arange(len(out))
    by_column = np.lexsort((found.y, found.x, found.region))
    before = np.empty_like(by_row)
    for direction in range(4):
        along = by_row if direction % 2 else by_column
        before[along[found.into[along] == direction]] = along[out[along] == direction]
    return before


def _cycles(following: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cycles of a permutation, each closed by its first element, by their least elements; where each starts."""
    steps = following.tolist()
    seen = bytearray(len(steps))
    order: list[int] = []
    starts: list[int] = []
    for start in range(len(steps)):
        if seen[start]:
            continue
        starts.append(len(order))
        at = start
        while not seen[at]:
            seen[at] = 1
            order.append(at)
            at = steps[at]
        order.append(start)
    return np.array(order, dtype=np.int64), np.array(starts, dtype=np.int64)
