"""Few labels: of each class's training pixels only some are labelled for training, drawn at random over all scenes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.data.scenes import Scene
from engine.data.settings import FewSettings
from engine.data.splits import pixel_hashes
from engine.grid import Window
from engine.modality import IGNORED

AREA = 1024
"""Side of the squares that labels are read by."""


@dataclass(frozen=True)
class DrawnPixels:
    """Pixels by scene and place.

    Args:
        scenes: ``[N]`` the scene of each.
        rows: ``[N]``.
        cols: ``[N]``.
        classes: ``[N]`` the index of its class.
    """

    scenes: NDArray[np.int64]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    classes: NDArray[np.int64]

    def mask(self, scene: int, window: Window) -> NDArray[np.bool_]:
        """``[h, w]``: which pixels of a window are drawn."""
        rows, cols = self.rows - window.row, self.cols - window.col
        inside = (self.scenes == scene) & (rows >= 0) & (rows < window.height) & (cols >= 0) & (cols < window.width)
        found = np.zeros((window.height, window.width), dtype=bool)
        found[rows[inside], cols[inside]] = True
        return found


def draw_pixels(scenes: Iterable[tuple[int, Scene]], classes: int, settings: FewSettings) -> DrawnPixels:
    """Of each class the training pixels with the smallest hashes of seed, scene and place: a draw without replacement.

    It does not depend on the order of scenes or windows, and a larger draw holds the smaller ones. Labels are read
    once; what is held is the pixels drawn so far.

    Args:
        scenes: The scenes by their numbers.
        classes: How many there are.
        settings: How many to draw.
    """
    counts = [0] * classes
    hashes = [np.empty(0, np.uint64) for _ in range(classes)]
    places = [np.empty((0, 3), np.int64) for _ in range(classes)]
    for number, scene in scenes:
        for window in scene.grid.windows(AREA):
            labels = scene.all_labels(window, "train")
            for land_class in np.unique(labels[labels != IGNORED]):
                rows, cols = np.nonzero(labels == land_class)
                place = np.stack([np.full(len(rows), number), rows + window.row, cols + window.col], axis=1)
                key = f"few {settings.seed} {scene.name}"
                both = np.concatenate([hashes[land_class], pixel_hashes(place[:, 1], place[:, 2], key)])
                kept = np.argsort(both, kind="stable")[: settings.per_class]
                hashes[land_class] = both[kept]
                places[land_class] = np.concatenate([places[land_class], place])[kept]
                counts[land_class] += len(rows)
    few = settings.per_class if settings.small is None else settings.small
    drawn = [
        pixels[: settings.per_class if count > settings.per_class else few]
        for pixels, count in zip(places, counts, strict=True)
    ]
    numbers, rows, cols = np.concatenate(drawn).T
    return DrawnPixels(numbers, rows, cols, np.repeat(np.arange(classes), [len(pixels) for pixels in drawn]))
