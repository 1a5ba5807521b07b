"""Regions of one class, connected by their pixels' edges, strip by strip: what is counted of each, and its outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.products.counts import Counts, connected, labelled
from engine.products.outlines import Passages, joined, passages


@dataclass(frozen=True)
class Regions:
    """Regions ``[n]``.

    Args:
        value: Their class values.
        sums: ``[n, 1 + L]``: pixels, and the sum of each layer over them.
        scenarios: How many pixels had which sensors.
        outlines: Where their outlines pass.
    """

    value: NDArray[np.int64]
    sums: NDArray[np.float64]
    scenarios: Counts
    outlines: tuple[Passages, ...]

    @classmethod
    def none(cls, layers: int) -> Regions:
        """Without any."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros((0, 1 + layers)), Counts.none(), ())

    def scenario(self) -> NDArray[np.int64]:
        """The bit mask of the sensors that most of each region's pixels had; -1 where that is not known."""
        found = np.full(len(self.value), -1)
        most = self.scenarios.most()
        found[most.region] = most.key
        return found


class RegionReader:
    """Takes a map strip by strip, and gives the regions that have ended.

    Args:
        width: Columns.
        nodata: What stands for pixels without a class.
        layers: How many layers are summed.
    """

    def __init__(self, width: int, nodata: int, layers: int) -> None:
        self._nodata = nodata
        self._open = Regions.none(layers)
        self._last: NDArray[np.signedinteger] | None = None
        self._frontier = np.full(width, -1)  # the regions of the last row
        self._rows = 0

    def add(
        self,
        values: NDArray[np.signedinteger],
        layers: Sequence[NDArray[np.float64]],
        bits: NDArray[np.int64] | None,
        last: bool,
    ) -> Regions:
        """Takes the next rows, and gives the regions that end above their last one.

        Args:
            values: ``[h, w]``.
            layers: What is summed, ``[h, w]`` each.
            bits: Which sensors each pixel had, ``[h, w]``.
            last: Whether the map ends with them; then all end.
        """
        labels = labelled(self._last, values, self._nodata)
        known, parts = len(self._open.value), int(labels.max())
        through = self._frontier >= 0
        # parts of the strip from 0, then the regions that were open
        count, group = connected(parts + known, labels[0][through] - 1, parts + self._frontier[through])
        found = self._counted(labels, values, layers, bits, group, count)
        going_on = np.zeros(count, dtype=bool)
        if not last:
            going_on[group[labels[-1][labels[-1] > 0] - 1]] = True
        number = np.where(going_on, np.cumsum(going_on), np.cumsum(~going_on)) - 1
        there = labels[-1] > 0
        self._frontier = np.full(values.shape[1], -1)
        self._frontier[there] = number[group[labels[-1][there] - 1]]
        outlined = np.pad(labels, ((0, 1), (0, 0))) if last else labels
        new = passages(outlined, self._rows)
        new = replace(new, region=group[new.region - 1])
        outlines = [replace(one, region=group[parts + one.region]) for one in self._open.outlines]
        self._open = _chosen(found, [new, *outlines], going_on, number)
        self._last = values[-1]
        self._rows += len(values)
        return _chosen(found, [new, *outlines], ~going_on, number)

    def _counted(
        self,
        labels: NDArray[np.int64],
        values: NDArray[np.signedinteger],
        layers: Sequence[NDArray[np.float64]],
        bits: NDArray[np.int64] | None,
        group: NDArray[np.int64],
        count: int,
    ) -> Regions:
        """The regions of a strip together with those that were open, without outlines."""
        parts = len(group) - len(self._open.value)
        numbers = np.append(-1, group)[labels]  # of parts and nodata
        inside = numbers[1:] >= 0
        here = numbers[1:][inside]
        value = np.zeros(count, dtype=np.int64)
        value[group[parts:]] = self._open.value
        value[here] = values[inside]
        sums = np.zeros((count, self._open.sums.shape[1]))
        np.add.at(sums, group[parts:], self._open.sums)
        sums[:, 0] += np.bincount(here, minlength=count)
        for place, layer in enumerate(layers, 1):
            sums[:, place] += np.bincount(here, weights=layer[inside], minlength=count)
        before = self._open.scenarios
        scenarios = Counts(group[parts + before.region], before.key, before.count)
        if bits is not None:
            seen = bits[inside]
            for mask in np.unique(seen):
                pixels = np.bincount(here[seen == mask], minlength=count)
                regions = np.flatnonzero(pixels)
                scenarios = scenarios + Counts(regions, np.full(len(regions), mask), pixels[regions])
        return Regions(value, sums, scenarios, ())


def _chosen(
    regions: Regions, outlines: Sequence[Passages], chosen: NDArray[np.bool_], number: NDArray[np.int64]
) -> Regions:
    """Some of the regions, under new numbers."""
    scenarios = regions.scenarios[chosen[regions.scenarios.region]]
    parts = [one[chosen[one.region]] for one in outlines]
    return Regions(
        regions.value[chosen],
        regions.sums[chosen],
        replace(scenarios, region=number[scenarios.region]),
        tuple(replace(one, region=number[one.region]) for one in parts if len(one.x)),
    )


def outlines_of(regions: Regions) -> Passages:
    """All passages of regions; there is at least one."""
    return joined(list(regions.outlines))
