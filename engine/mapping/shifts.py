"""Shifts between sources, measured by phase correlation and reported; never corrected.

C. D. Kuglin and D. C. Hines, "The phase correlation image alignment method", 1975. The gradients' magnitudes are
correlated rather than the values, since sensors agree on edges and not on brightness.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from engine.grid import Grid, Window
from engine.mapping.mosaic import Reader

SAMPLE = 1024
"""Size in pixels of the square in the middle of the map that is compared."""

FARTHEST = 32
"""Shifts beyond this many pixels are not looked for."""

LEAST = 3
"""Smaller shifts are not reported: the lit side of a slope moves edges by a pixel or two against the terrain's."""

CLEAR = 12.0
"""How far a peak must stand above the rest of the correlation, in its standard deviations, to be believed."""


def _edges(values: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Magnitude of the gradient of ``[C, h, w]``'s mean band, tapered to the borders, zero where not ``valid``."""
    band = values.astype(np.float64).mean(axis=0)
    band = np.where(valid, band, band[valid].mean())
    edges = np.hypot(*np.gradient(band))
    edges = np.where(valid, np.minimum(edges, np.quantile(edges[valid], 0.99)), 0)
    taper = np.outer(np.hanning(edges.shape[0]), np.hanning(edges.shape[1]))
    return (edges - edges[valid].mean()) * taper * valid


def shift(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[int, int] | None:
    """Rows and columns by which ``second`` ``[h, w]`` lies further down and right than ``first``.

    None where no peak of the correlation is clear.
    """
    spectrum = np.conj(np.fft.rfft2(first)) * np.fft.rfft2(second)
    surface = np.fft.irfft2(spectrum / np.maximum(np.abs(spectrum), 1e-12), s=first.shape)
    far = np.minimum(FARTHEST, np.array(first.shape) // 4)
    near = np.roll(surface, far, axis=(0, 1))[: 2 * far[0] + 1, : 2 * far[1] + 1]
    row, col = np.unravel_index(int(near.argmax()), near.shape)
    if near[row, col] < surface.mean() + CLEAR * surface.std():
        return None
    return int(row) - int(far[0]), int(col) - int(far[1])


def shift_warnings(readers: Mapping[str, Reader], grid: Grid) -> list[str]:
    """A sentence for each pair of modalities that is clearly shifted by LEAST pixels or more."""
    height, width = min(SAMPLE, grid.height), min(SAMPLE, grid.width)
    window = Window((grid.height - height) // 2, (grid.width - width) // 2, height, width)
    blocks = {name: reader.read(window) for name, reader in readers.items()} if len(readers) > 1 else {}
    found = []
    for one, other in combinations(blocks, 2):
        valid = blocks[one].valid & blocks[other].valid
        if min(height, width) < 64 or valid.mean() < 0.5:
            continue
        moved = shift(_edges(blocks[one].values, valid), _edges(blocks[other].values, valid))
        if moved is not None and max(map(abs, moved)) >= LEAST:
            rows = f"{abs(moved[0])} rows {'down' if moved[0] > 0 else 'up'}"
            cols = f"{abs(moved[1])} columns to the {'right' if moved[1] > 0 else 'left'}"
            found.append(
                f"{other} seems to lie {rows} and {cols} of {one}; nothing was moved: check how they were co-registered"
            )
    return found
