"""What sensors and labels hold on the scenes' own grid: where they are valid, their values, and how labels lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.data.evidence import SplitCounts, count_splits
from engine.data.settings import BlockSplit
from engine.data.survey import SceneCollection
from engine.errors import GridError
from engine.grid import Window
from engine.modality import IGNORED

EVERYTHING = BlockSplit(
    kind="blocks", size=2**20, row=0, column=0, modulo=2, train=frozenset({0}), validation=frozenset({1})
)
"""A split that trains on all pixels."""

SQUARE = 512
"""Side of the squares that values are read by."""

LOOKED_AT = 2**24
"""Pixels whose values are read; of more, squares that are spread evenly."""

DENSE = 0.2
"""Share of the valid pixels from which labels count as dense."""

POINTS = 4
"""Mean pixels of a region up to which labels count as scattered pixels."""

LONELY = 0.05
"""Share of labelled pixels' neighbours up to which pixels without a label hold nothing around them."""

Density = Literal["dense", "polygons", "scattered", "single"]
"""How labels lie: over most of the scene; in polygons; as scattered pixels; or on pixels beside which no sensor saw
anything, as in tables of spectra that were written as rasters."""


@dataclass(frozen=True)
class Seen:
    """What a sensor holds where its values were looked at.

    Args:
        valid: Share of the pixels where it is valid.
        labelled: Share of the labelled pixels where it is valid.
        low: Smallest value of all bands.
        high: Largest value of all bands.
    """

    valid: float
    labelled: float
    low: float
    high: float


@dataclass(frozen=True)
class Sight:
    """What scenes hold.

    Args:
        sensors: By name.
        counts: Labelled pixels and regions of each class, ``[K]`` in the split ``train``: of all pixels.
        pixels: Of all scenes.
        side: Rows or columns of the smallest scene, whichever are fewer.
        share: Share of the pixels whose values were looked at.
        density: Share of the valid pixels that are labelled.
        kind: How labels lie.
    """

    sensors: dict[str, Seen]
    counts: SplitCounts
    pixels: int
    side: int
    share: float
    density: float
    kind: Density

    @property
    def labelled(self) -> NDArray[np.int64]:
        """``[K]`` labelled pixels of each class."""
        return self.counts.pixels["train"]

    @property
    def regions(self) -> NDArray[np.int64]:
        """``[K]`` connected regions of each class."""
        return self.counts.regions["train"]


class _Sums:
    """What is added up over windows, by modality ``[M]``."""

    def __init__(self, modalities: int) -> None:
        self.pixels = self.seen = self.labelled = self.lonely = self.around = 0
        self.valid = np.zeros(modalities, dtype=np.int64)
        self.overlap = np.zeros(modalities, dtype=np.int64)
        self.low, self.high = np.full(modalities, np.inf), np.full(modalities, -np.inf)

    def add(self, collection: SceneCollection, number: int, window: Window) -> None:
        """Adds a window of a scene."""
        patch = collection[number].read(window, "train")
        labelled = patch.labels != IGNORED
        self.pixels += labelled.size
        self.labelled += int(labelled.sum())
        self.valid += patch.valid.sum(axis=(1, 2))
        self.overlap += (patch.valid & labelled).sum(axis=(1, 2))
        anything = patch.valid.any(axis=0)
        self.seen += int(anything.sum())
        for place, modality in enumerate(collection.modalities):
            values = patch.values[modality.name][:, patch.valid[place]]
            if values.size:
                self.low[place] = min(self.low[place], float(values.min()))
                self.high[place] = max(self.high[place], float(values.max()))
        beside = np.zeros_like(labelled)
        beside[1:] |= labelled[:-1]
        beside[:-1] |= labelled[1:]
        beside &= ~labelled
        self.around += int(beside.sum())
        self.lonely += int((beside & anything).sum())


def look(collection: SceneCollection) -> Sight:
    """Reads all labels once, and the values of all pixels or of a sample.

    Args:
        collection: Scenes that are split by :data:`EVERYTHING`.

    Raises:
        GridError: If a sensor is valid on no labelled pixel.
    """
    counts = count_splits(collection, ["train"])
    grids = [collection[number].grid for number in range(len(collection))]
    windows = [(number, window) for number, grid in enumerate(grids) for window in grid.windows(SQUARE)]
    pixels = sum(grid.height * grid.width for grid in grids)
    step = -(-pixels // LOOKED_AT)
    sums = _Sums(len(collection.modalities))
    for number, window in windows[::step]:
        sums.add(collection, number, window)
    names = [modality.name for modality in collection.modalities]
    every = int(counts.pixels["train"].sum())
    if not every:
        raise GridError(
            "no label lies on the rasters; check that labels and rasters show the same place, and their coordinate "
            "reference systems"
        )
    sensors = {}
    for place, name in enumerate(names):
        if not sums.overlap[place] and step == 1:
            raise GridError(
                f"{name}: is valid on no labelled pixel; check that it shows the place of the labels, and its nodata "
                "value"
            )
        sensors[name] = Seen(
            sums.valid[place] / sums.pixels,
            sums.overlap[place] / max(1, sums.labelled),
            float(sums.low[place]),
            float(sums.high[place]),
        )
    density = every / pixels / max(sums.seen / sums.pixels, 1e-9)
    lonely = sums.around > 0 and sums.lonely <= LONELY * sums.around
    mean = every / max(1, int(counts.regions["train"].sum()))
    return Sight(
        sensors,
        counts,
        pixels,
        min(min(grid.height, grid.width) for grid in grids),
        min(1.0, sums.pixels / pixels),
        density,
        _kind(density, lonely=lonely and sums.seen < sums.pixels / 2, mean=mean),
    )


def _kind(density: float, *, lonely: bool, mean: float) -> Density:
    if lonely:
        return "single"
    if density >= DENSE:
        return "dense"
    return "polygons" if mean > POINTS else "scattered"
