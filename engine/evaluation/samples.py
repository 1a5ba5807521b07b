"""What a random forest sees of a pixel, and draws of pixels that depend on no order of scenes or windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.data.scenes import Scene
from engine.grid import Window
from engine.modality import Modality
from engine.raster.alignment import Block

AROUND = 5
"""Side in pixels of the window whose means and deviations stand beside a pixel's own values."""

SQUARE = 256
"""Side in pixels of the squares that scenes are read by."""


def feature_columns(modalities: Sequence[Modality], members: Sequence[Modality], around: bool) -> NDArray[np.int64]:
    """Which columns of :func:`pixel_features` of all ``modalities`` are those of ``members``.

    Args:
        modalities: All.
        members: Some of them.
        around: Whether means and deviations are wanted beside the values.
    """
    found: list[int] = []
    start = 0
    for modality in modalities:
        bands = len(modality.bands)
        found += range(start, start + bands * (3 if around else 1)) if modality in members else []
        start += 3 * bands
    return np.array(found, dtype=np.int64)


def pixel_features(
    scene: Scene, modalities: Sequence[Modality], window: Window, chosen: NDArray[np.bool_], around: bool
) -> NDArray[np.float32]:
    """Features ``[N, F]`` of the chosen pixels ``[h, w]`` of a window, row by row.

    For each modality its C values and, with ``around``, their C means and C deviations over the valid pixels of
    :data:`AROUND` times :data:`AROUND` pixels; all NaN where the modality is not valid.
    """
    margin = AROUND // 2 if around else 0
    wide = Window(window.row - margin, window.col - margin, window.height + 2 * margin, window.width + 2 * margin)
    rows, cols = (places + margin for places in np.nonzero(chosen))
    parts = []
    for modality in modalities:
        bands = len(modality.bands)
        found = np.full((len(rows), bands * (3 if around else 1)), np.nan, dtype=np.float32)
        if modality.name in scene.readers and len(rows):
            block = scene.readers[modality.name].read(wide)
            seen = block.valid[rows, cols]
            found[seen, :bands] = block.values[:, rows[seen], cols[seen]].T
            if around and seen.any():
                found[seen, bands:] = _around(block, rows[seen], cols[seen])
        parts.append(found)
    return np.concatenate(parts, axis=1)


def _around(block: Block, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.float64]:
    """Means and deviations ``[N, 2 C]`` of the valid pixels around valid ones."""
    from scipy.ndimage import correlate1d

    ones = np.ones(AROUND)

    def sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
        across = correlate1d(values, ones, axis=1, mode="constant")
        found: NDArray[np.float64] = correlate1d(across, ones, axis=0, mode="constant")[rows, cols]
        return found

    count = sums(block.valid.astype(np.float64))
    means, deviations = [], []
    for band in block.values:
        values = np.where(block.valid, band, 0).astype(np.float64)
        values -= np.where(block.valid, middle := values[block.valid].mean(), 0)  # squares of small numbers are exact
        mean = sums(values) / count
        deviations.append(np.sqrt(np.maximum(0, sums(values**2) / count - mean**2)))
        means.append(mean + middle)
    return np.stack([*means, *deviations], axis=1)


def smallest(groups: NDArray[np.int64], hashes: NDArray[np.uint64], most: int) -> NDArray[np.int64]:
    """Places of the ``most`` smallest hashes of each group, ordered by group and hash.

    Args:
        groups: ``[N]`` number of the group.
        hashes: ``[N]``.
        most: How many of each group; all where it has fewer.
    """
    order = np.lexsort((hashes, groups))
    sorted_groups = groups[order]
    first = np.searchsorted(sorted_groups, sorted_groups)
    return order[np.arange(len(order)) - first < most]
