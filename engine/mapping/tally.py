"""What is counted over a map: pixels, confidence and area of each class, by scenario too, and values of the sensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.grid import Grid, PixelAreas, Window, even_part
from engine.mapping.mosaic import MapBlock
from engine.mapping.values import tallied
from engine.modality import Modality

PICTURE = 256
"""Rows and columns at most of the availability's picture."""


class Tally:
    """Counts a row of tiles: pixels, confidence and area of each class, pixels of each availability, and both together.

    Args:
        modalities: The model's.
        classes: How many the map has.
        grid: The map's.
        areas: Of its pixels; None where it has no CRS.
    """

    def __init__(self, modalities: Sequence[Modality], classes: int, grid: Grid, areas: PixelAreas | None) -> None:
        self.count, self.areas = classes, areas
        self.step, self.columns = _picture_step(grid.height, grid.width)
        self.joint = np.zeros((self.count + 1) * 101, dtype=np.int64)
        self.pixels: dict[int, NDArray[np.int64]] = {}
        self.metres: dict[int, NDArray[np.float64]] = {}
        self.runs: dict[int, int] = {}
        self.bands = {modality.name: len(modality.bands) for modality in modalities}
        self.seen: dict[str, list[NDArray[np.generic]]] = {name: [] for name in self.bands}

    def add(self, block: MapBlock, mapped: NDArray[np.bool_], area: Window) -> None:
        """Adds a block that lies at ``area`` of the map, and has its class where it is ``mapped``."""
        for name, values in block.seen.items():
            self.seen[name].append(values)
        classes = np.where(mapped, block.classes, self.count).astype(np.int32)
        self.joint += np.bincount((classes * 101 + block.confidence).ravel(), minlength=len(self.joint))
        masks, cells = self._cells(block.availability, classes)
        shape = len(masks), self.count + 1
        pixels = np.bincount(cells.ravel(), minlength=math.prod(shape)).reshape(shape)
        metres = self._metres(cells, pixels, area)
        for bits, counts, sizes in zip(masks, pixels, metres, strict=True):
            self.pixels[bits] = self.pixels.get(bits, 0) + counts
            self.metres[bits] = self.metres.get(bits, 0) + sizes
        self._draw(block.availability, area)

    def _cells(
        self, availability: NDArray[np.int32], classes: NDArray[np.int32]
    ) -> tuple[list[int], NDArray[np.int32]]:
        """The masks of a block, and for each pixel the place of its mask and class in a table of both."""
        first = int(availability.flat[0])
        if (availability == first).all():
            return [first], classes
        masks = np.unique(availability, return_counts=True)[0].tolist()  # counts make it sort, which is faster
        cells = classes.copy()
        for bits in masks[1:]:  # ten times as fast as to ask np.unique for the places
            cells += (availability >= bits) * np.int32(self.count + 1)
        return masks, cells

    def _metres(self, cells: NDArray[np.int32], pixels: NDArray[np.int64], area: Window) -> NDArray[np.float64]:
        """Square metres of each cell of the table, of which ``pixels`` are counted; zero where there is no CRS."""
        if self.areas is None:
            return np.zeros(pixels.shape)
        areas = self.areas.parts(area)
        if areas.size == 1:
            return pixels * np.float64(areas.item())
        rows, cols = (even_part(*one) for one in zip(cells.shape, areas.shape, strict=True))
        weights = areas[np.ix_(rows, cols)]
        sums = np.bincount(cells.ravel(), weights.ravel(), minlength=pixels.size)
        return sums.astype(np.float64, copy=False).reshape(pixels.shape)

    def _draw(self, availability: NDArray[np.int32], area: Window) -> None:
        """Adds a block to the availability's picture: where in its rows another mask begins."""
        top, left = -area.row % self.step, -area.col % self.step
        drawn = availability[top :: self.step, left :: self.step]
        begins = np.ones(drawn.shape, dtype=bool)
        begins[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
        rows, cols = np.nonzero(begins)
        places = ((area.row + top) // self.step + rows) * self.columns + (area.col + left) // self.step + cols
        self.runs.update(zip(places.tolist(), drawn[begins].tolist(), strict=True))

    def taken(self) -> dict[str, dict[str, float]]:
        """The sums, by name and key; counts anew from here."""
        by_class = self.joint.reshape(-1, 101)[: self.count]
        none = np.zeros(self.count + 1)
        found = {
            "pixels": by_class.sum(axis=1).tolist(),
            "confidence": (by_class @ np.arange(101)).tolist(),
            "confidences": by_class.sum(axis=0).tolist(),
            "area": sum(self.metres.values(), none)[: self.count].tolist(),
        }
        tallies = {name: {str(key): number for key, number in enumerate(sums)} for name, sums in found.items()}
        tallies["availability"] = _keyed({bits: int(counts.sum()) for bits, counts in self.pixels.items()})
        tallies["cells"] = self._table(self.pixels)
        tallies["cell area"] = self._table(self.metres)
        tallies["picture"] = _keyed(self.runs)
        for name, parts in self.seen.items():
            counted = tallied(np.concatenate(parts, axis=1) if parts else np.empty((self.bands[name], 0)))
            tallies |= {tally_name(name, band): _keyed(counts) for band, counts in enumerate(counted)}
            parts.clear()
        self.joint[:] = 0
        for sums in (self.pixels, self.metres, self.runs):
            sums.clear()
        return tallies

    def _table(self, sums: Mapping[int, NDArray[np.generic]]) -> dict[str, float]:
        """What is counted by mask and class, under one number for both; what is zero is left out."""
        size = self.count + 1
        return {
            str(bits * size + key): number
            for bits, counts in sums.items()
            for key, number in enumerate(counts.tolist())
            if number
        }


def by_mask(table: Mapping[int, float], classes: int) -> dict[int, list[float]]:
    """A tally by mask and class, as ``cells`` and ``cell area`` are.

    Args:
        table: The tally.
        classes: How many classes there are.

    Returns:
        For each mask the number of each class in their order, and behind them of what is not mapped.
    """
    size = classes + 1
    masks = sorted({key // size for key in table})
    return {bits: [table.get(bits * size + key, 0) for key in range(size)] for bits in masks}


def picture(runs: Mapping[int, float], height: int, width: int) -> NDArray[np.int64]:
    """Every n-th row and column of a map's availability ``[h, w]``, at most :data:`PICTURE` of each.

    Args:
        runs: The tally ``picture``: where an availability begins, row by row.
        height: Rows of the map.
        width: Its columns.
    """
    step, columns = _picture_step(height, width)
    starts = sorted(runs)
    size = -(-height // step) * columns
    return np.repeat([int(runs[one]) for one in starts], np.diff([*starts, size])).reshape(-1, columns)


def _picture_step(height: int, width: int) -> tuple[int, int]:
    """Pixels between those of the picture, and how many it has in a row."""
    step = -(-max(height, width) // PICTURE)
    return step, -(-width // step)


def tally_name(modality: str, number: int) -> str:
    """What the tally of a modality's band, or behind the last one of what all bands hold alike, is called."""
    return f"{modality} {number}"


def _keyed(counts: Mapping[int, float]) -> dict[str, float]:
    return {str(key): number for key, number in counts.items()}
