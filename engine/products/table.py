"""Sums by class, and tables of them as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


class ClassSums:
    """Pixels of each class value, and sums of layers over them.

    Args:
        layers: How many layers there are.

    Attributes:
        sums: By class value, ``[1 + layers]``: pixels, and the sum of each layer.
    """

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self.sums: dict[int, NDArray[np.float64]] = {}

    def add(self, values: NDArray[np.integer], layers: Sequence[NDArray[np.float64]]) -> None:
        """Adds pixels: class values and layers, ``[n]`` each."""
        if not values.size:
            return
        least = int(values.min())
        places = values.astype(np.int64) - least
        pixels = np.bincount(places)
        sums = np.stack([pixels, *(np.bincount(places, weights=layer) for layer in layers)], axis=1)
        for place in np.flatnonzero(pixels).tolist():
            self.sums[place + least] = self.sums.get(place + least, 0) + sums[place]

    @property
    def total(self) -> NDArray[np.float64]:
        """Over all classes."""
        return np.sum([np.zeros(1 + self._layers), *self.sums.values()], axis=0)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Comma-separated values with a line of column names; numbers to six digits behind the point, None as nothing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row])
    return text.getvalue()
