"""The rule of a minimum mapping unit by the letter: one region after the other, everything found anew each time."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label


def sieved(
    values: NDArray[np.integer], areas: NDArray[np.integer], least: int, nodata: int
) -> tuple[NDArray[np.integer], int]:
    """A map without regions below an area, and how many were merged."""
    found, merged = values.copy(), 0
    while True:
        labels = label(found, connectivity=1, background=nodata)
        smallest = None
        for number in range(1, labels.max() + 1):
            inside = labels == number
            area = int(areas[inside].sum())
            borders = _borders(found, labels, number)
            first = int(np.flatnonzero(inside)[0])
            rank = (area, first * 0x9E3779B97F4A7C15 % 2**64)
            if area < least and borders and (smallest is None or rank < smallest[0]):
                smallest = (rank, inside, borders)
        if smallest is None:
            return found, merged
        _, inside, borders = smallest
        found[inside] = min(borders, key=lambda value: (-borders[value], value))
        merged += 1


def _borders(values: NDArray[np.integer], labels: NDArray[np.integer], number: int) -> Counter[int]:
    """Edges of pixels that a region shares with each class."""
    height, width = values.shape
    borders: Counter[int] = Counter()
    for row, col in zip(*np.nonzero(labels == number), strict=True):
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            y, x = row + down, col + right
            if 0 <= y < height and 0 <= x < width and labels[y, x] not in (0, number):
                borders[int(values[y, x])] += 1
    return borders
