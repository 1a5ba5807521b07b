"""A minimum mapping unit: regions below an area go to the class that they share the longest border with.

A region is what is connected by pixels' edges and of one class. Of all regions below the minimum the smallest goes
first: it becomes of the class that its border, counted in edges of pixels, is longest with (of equal ones the least
value), and one region with its neighbours of that class. So it goes on until none is below the minimum or has a
neighbour. Regions of equal area go in an order that is scattered over the map by their first pixels, so that no
direction is preferred. Nodata is no neighbour, and stays.

What a region becomes depends on its neighbours below the minimum, and of larger ones on their class alone. So a region
can go as soon as it ends and is smaller than its neighbours as far as they are known, which only grow: the result is
that of the rule above whatever strips the map is read by, and only small regions that are not decided yet are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.products.counts import Counts, connected, labelled

LARGE, NONE = -1, -2
"""What stands for regions that are large enough, and for nodata, where a region's number would."""

_SCATTER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: multiples of it are spread evenly."""

Write = Callable[[NDArray[np.int64], NDArray[np.signedinteger]], None]
"""Takes places of pixels, counted row by row, and their new values."""


def _nothing() -> NDArray[np.int64]:
    return np.zeros(0, dtype=np.int64)


@dataclass
class Sieve:
    """Takes a map strip by strip, and says which pixels change.

    Args:
        width: Columns.
        nodata: What stands for pixels without a class.
        least: Area from which on a region stays, in the unit of the areas that :meth:`add` gets.
        write: Told what changes; never twice of one pixel.

    Attributes:
        merged: How many regions have become of another class.
    """

    width: int
    nodata: int
    least: int
    write: Write
    merged: int = 0
    _rows: int = 0
    _last: NDArray[np.signedinteger] | None = None  # the last row, and its regions
    _frontier: NDArray[np.int64] = field(default_factory=_nothing)
    # of each small region: its class value, area, first pixel, and whether it may go on below
    _value: NDArray[np.int64] = field(default_factory=_nothing)
    _area: NDArray[np.int64] = field(default_factory=_nothing)
    _first: NDArray[np.int64] = field(default_factory=_nothing)
    _open: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    # borders with small regions by their numbers, with large ones by their class values; pixels and their regions
    _small: Counts = field(default_factory=Counts.none)
    _large: Counts = field(default_factory=Counts.none)
    _pixels: NDArray[np.int64] = field(default_factory=_nothing)
    _owner: NDArray[np.int64] = field(default_factory=_nothing)

    def add(self, values: NDArray[np.signedinteger], areas: NDArray[np.int64], last: bool) -> None:
        """Takes the next rows.

        Args:
            values: ``[h, w]``.
            areas: Of each pixel, whole numbers.
            last: Whether the map ends with them.
        """
        labels = labelled(self._last, values, self.nodata)
        frontier = np.full(self.width, NONE) if self._last is None else self._frontier
        known, count = len(self._value), int(labels.max()) + 1  # 0 is nodata
        inside = labels[1:].ravel()
        places = self._rows * self.width + np.arange(inside.size)

        value = np.zeros(count, dtype=np.int64)
        value[labels[0]] = self.nodata if self._last is None else self._last
        value[labels[1:]] = values
        area = np.bincount(inside, weights=areas.ravel(), minlength=count).astype(np.int64)
        first = np.full(count, np.iinfo(np.int64).max)
        first[inside[::-1]] = places[::-1]  # of several the last one counts
        going_on = np.zeros(count, dtype=bool)
        going_on[labels[-1]] = not last
        large = area >= self.least
        large[labels[0][frontier == LARGE]] = True
        kept = ~large[inside] & (inside > 0)

        self._value = np.concatenate([self._value, value])
        self._area = np.concatenate([self._area, area])
        self._first = np.concatenate([self._first, first])
        self._open = np.concatenate([np.zeros(known, dtype=bool), going_on])
        self._pixels = np.concatenate([self._pixels, places[kept]])
        self._owner = np.concatenate([self._owner, known + inside[kept]])
        self._add_borders(labels, large, known)
        large = np.concatenate([np.zeros(known, dtype=bool), large])
        large[known] = True  # nodata, which has no borders and no pixels
        through = frontier >= 0
        numbers = self._join(known + labels[0][through], frontier[through], large)
        self._last = values[-1]
        self._frontier = np.where(labels[-1] > 0, numbers[known + labels[-1]], NONE)
        self._rows += len(values)
        while (ready := self._ready()).any():
            self._settle(ready)

    def _add_borders(self, labels: NDArray[np.int64], large: NDArray[np.bool_], known: int) -> None:
        """Takes the borders in a strip, but for those along its first row, which were there before."""
        pairs = []
        for one, other in ((labels[1:, :-1], labels[1:, 1:]), (labels[:-1], labels[1:])):
            meeting = (one != other) & (one > 0) & (other > 0) & ~(large[one] & large[other])
            pairs += [(one[meeting], other[meeting]), (other[meeting], one[meeting])]
        region, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
        small = ~large[region]
        both, length = np.unique(region[small] * len(large) + other[small], return_counts=True)
        self._small += Counts(known + both // len(large), known + both % len(large), length)

    def _join(self, one: NDArray[np.int64], other: NDArray[np.int64], large: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Makes regions one by pairs, and lets go of those that are large, whose pixels are told.

        Args:
            one: Of each pair.
            other: Of each pair.
            large: Which regions are large already.

        Returns:
            The new number of each region, or LARGE.
        """
        count, group = connected(len(self._value), one, other)
        area = np.zeros(count, dtype=np.int64)
        np.add.at(area, group, self._area)
        whole = area >= self.least
        whole[group[large]] = True
        value = np.zeros(count, dtype=np.int64)
        value[group] = self._value
        first = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(first, group, self._first)
        going_on = np.zeros(count, dtype=bool)
        going_on[group[self._open]] = True

        owner = group[self._owner]
        done = whole[owner]
        if done.any():
            self.write(self._pixels[done], value[owner[done]])
        number = np.where(whole, LARGE, np.cumsum(~whole) - 1)
        self._pixels, self._owner = self._pixels[~done], number[owner[~done]]
        self._value, self._area, self._first = value[~whole], area[~whole], first[~whole]
        self._open = going_on[~whole]
        self._renumber(group, whole, value, number)
        return number[group]

    def _renumber(
        self, group: NDArray[np.int64], whole: NDArray[np.bool_], value: NDArray[np.int64], number: NDArray[np.int64]
    ) -> None:
        """Brings borders to the groups that regions have become part of."""
        region, other = group[self._small.region], group[self._small.key]
        small = ~whole[region] & ~whole[other] & (region != other)
        ended = ~whole[region] & whole[other]
        fixed = self._large[~whole[group[self._large.region]]]
        self._large = Counts(number[group[fixed.region]], fixed.key, fixed.count) + Counts(
            number[region[ended]], value[other[ended]], self._small.count[ended]
        )
        self._small = Counts(number[region[small]], number[other[small]], self._small.count[small]).summed()

    def _ready(self) -> NDArray[np.bool_]:
        """The regions that have ended and are smaller than their small neighbours."""
        rank = np.empty(len(self._value), dtype=np.int64)
        rank[np.lexsort((self._first.astype(np.uint64) * _SCATTER, self._area))] = np.arange(len(rank))
        least = np.full(len(rank), len(rank))
        np.minimum.at(least, self._small.region, rank[self._small.key])
        ready: NDArray[np.bool_] = ~self._open & (rank < least)
        return ready

    def _settle(self, ready: NDArray[np.bool_]) -> None:
        """Makes regions part of a neighbour; no two of them are neighbours."""
        voting = self._small[ready[self._small.region]]
        votes = self._large[ready[self._large.region]] + Counts(voting.region, self._value[voting.key], voting.count)
        chosen = votes.most()
        self._value[chosen.region] = chosen.key
        self.merged += len(chosen.region)
        large = ready.copy()
        large[chosen.region] = False  # what has no neighbour at all stays as it is
        large[self._large.region[self._large.key == self._value[self._large.region]]] = True
        alike = self._small[self._value[self._small.region] == self._value[self._small.key]]
        numbers = self._join(alike.region, alike.key, large)
        there = self._frontier >= 0
        self._frontier[there] = numbers[self._frontier[there]]
