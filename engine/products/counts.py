"""Regions of pixels as numbers: what is connected, and what is counted of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage import measure


@dataclass(frozen=True)
class Counts:
    """How often a key goes with a region; arrays ``[N]``.

    Args:
        region: Number of the region.
        key: A class value, a neighbour's number, a scenario.
        count: How often.
    """

    region: NDArray[np.int64]
    key: NDArray[np.int64]
    count: NDArray[np.int64]

    @classmethod
    def none(cls) -> Counts:
        """Without any."""
        return cls(*(np.zeros(0, dtype=np.int64) for _ in range(3)))

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Counts:
        return Counts(self.region[chosen], self.key[chosen], self.count[chosen])

    def __add__(self, other: Counts) -> Counts:
        """Both, with each pair once."""
        return Counts(
            np.concatenate([self.region, other.region]),
            np.concatenate([self.key, other.key]),
            np.concatenate([self.count, other.count]),
        ).summed()

    def summed(self) -> Counts:
        """The same with each pair once, in order."""
        order = np.lexsort((self.key, self.region))
        region, key = self.region[order], self.key[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = (np.diff(region) != 0) | (np.diff(key) != 0)
        count = np.zeros(int(first.sum()), dtype=np.int64)
        np.add.at(count, np.cumsum(first) - 1, self.count[order])
        return Counts(region[first], key[first], count)

    def most(self) -> Counts:
        """Of each region the key that is counted most; of equal ones the least. Each pair must be there once."""
        order = np.lexsort((self.key, -self.count, self.region))
        chosen = order[np.flatnonzero(np.diff(self.region[order], prepend=-1))]
        return Counts(self.region[chosen], self.key[chosen], self.count[chosen])


def labelled(
    above: NDArray[np.signedinteger] | None, values: NDArray[np.signedinteger], nodata: int
) -> NDArray[np.int64]:
    """Numbers from 1 of what is connected by pixels' edges and of one value, 0 for nodata.

    Args:
        above: The row above ``values``, which comes first; nodata where None.
        values: ``[h, w]``.
        nodata: What stands for pixels without a class.
    """
    first = np.full_like(values[0], nodata) if above is None else above
    labels: NDArray[np.int64] = measure.label(  # type: ignore[no-untyped-call]
        np.vstack([first, values]), background=nodata, connectivity=1
    )
    return labels


def connected(count: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
    """What pairs of ``count`` things connect: how many groups there are, and the group of each."""
    graph = coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(count, count))
    number, found = connected_components(graph, directed=False)
    return number, found.astype(np.int64)
