"""Quantiles of values that come in parts, in bounded memory: of pixels drawn by their places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOW, HIGH = 0.02, 0.98
"""Shares of the values that lie below a band's quantiles."""

PIXELS = 2**16
"""How many pixels are kept: of as many, the share below a quantile of 2 % is right to 0.05 % (one deviation)."""


class PixelSample:
    """Of all pixels those with the smallest hashes: the same whatever order they come in; all of up to PIXELS."""

    def __init__(self) -> None:
        self._hashes: list[NDArray[np.uint64]] = []
        self._values: list[NDArray[np.generic]] = []
        self._held = 0
        self._limit = np.uint64(2**64 - 1)

    def add(self, hashes: NDArray[np.uint64], values: NDArray[np.generic]) -> None:
        """Adds pixels.

        Args:
            hashes: ``[N]``.
            values: ``[C, N]``.
        """
        chosen = hashes <= self._limit
        self._hashes.append(hashes[chosen])
        self._values.append(values[:, chosen])
        self._held += int(chosen.sum())
        if self._held > 2 * PIXELS:
            self._thin()

    def merge(self, other: PixelSample) -> None:
        """Adds the pixels of another one."""
        for hashes, values in zip(other._hashes, other._values, strict=True):
            self.add(hashes, values)

    def _thin(self) -> None:
        hashes, values = np.concatenate(self._hashes), np.concatenate(self._values, axis=1)
        if len(hashes) > PIXELS:
            kept = np.argpartition(hashes, PIXELS - 1)[:PIXELS]
            hashes, values = hashes[kept], values[:, kept]
            self._limit = hashes.max()
        self._hashes, self._values, self._held = [hashes], [values], len(hashes)

    def quantiles(self) -> NDArray[np.float64]:
        """``[2, C]``: LOW and HIGH of each band, interpolated; there must be a pixel."""
        self._thin()
        found: NDArray[np.float64] = np.quantile(self._values[0].astype(np.float64), (LOW, HIGH), axis=1)
        return found
