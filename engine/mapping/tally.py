"""What is counted over a map: pixels, confidence and area of each class, scenarios, and values of the sensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.grid import PixelAreas, Window, even_part
from engine.mapping.mosaic import MapBlock
from engine.mapping.values import tallied
from engine.modality import Modality


class Tally:
    """Counts a row of tiles: pixels, confidence and area of each class, and pixels of each availability.

    Args:
        modalities: The model's.
        classes: How many the map has.
        areas: Of the map's pixels; None where it has no CRS.
    """

    def __init__(self, modalities: Sequence[Modality], classes: int, areas: PixelAreas | None) -> None:
        self.count, self.areas = classes, areas
        self.joint = np.zeros((self.count + 1) * 101, dtype=np.int64)
        self.area = np.zeros(self.count)
        self.masks: Counter[int] = Counter()
        self.bands = {modality.name: len(modality.bands) for modality in modalities}
        self.seen: dict[str, list[NDArray[np.generic]]] = {name: [] for name in self.bands}

    def add(self, block: MapBlock, mapped: NDArray[np.bool_], area: Window) -> None:
        """Adds a block that lies at ``area`` of the map, and has its class where it is ``mapped``."""
        for name, values in block.seen.items():
            self.seen[name].append(values)
        classes = np.where(mapped, block.classes, self.count).astype(np.int32)
        joint = np.bincount((classes * 101 + block.confidence).ravel(), minlength=len(self.joint))
        self.joint += joint
        if self.areas is not None:
            areas = self.areas.parts(area)
            counts = joint.reshape(-1, 101).sum(axis=1) if areas.size == 1 else self._by_part(classes, *areas.shape)
            self.area += areas.ravel() @ counts.reshape(areas.size, -1)[:, : self.count]
        first = int(block.availability.flat[0])
        if (block.availability == first).all():
            self.masks[first] += block.availability.size
        else:
            masks, numbers = np.unique(block.availability, return_counts=True)
            self.masks.update(dict(zip(masks.tolist(), numbers.tolist(), strict=True)))

    def _by_part(self, classes: NDArray[np.int32], down: int, across: int) -> NDArray[np.int64]:
        """Pixels of each class in each part of :meth:`PixelAreas.parts`, the nodata last."""
        height, width = classes.shape
        size = self.count + 1
        places = classes + (even_part(height, down) * across * size).astype(np.int32)[:, None]
        places += (even_part(width, across) * size).astype(np.int32)
        return np.bincount(places.ravel(), minlength=down * across * size)

    def taken(self) -> dict[str, dict[str, float]]:
        """The sums, by name and key; counts anew from here."""
        by_class = self.joint.reshape(-1, 101)[: self.count]
        found = {
            "pixels": by_class.sum(axis=1).tolist(),
            "confidence": (by_class @ np.arange(101)).tolist(),
            "area": self.area.tolist(),
        }
        tallies = {name: {str(key): number for key, number in enumerate(sums)} for name, sums in found.items()}
        tallies["availability"] = _keyed(self.masks)
        for name, parts in self.seen.items():
            counted = tallied(np.concatenate(parts, axis=1) if parts else np.empty((self.bands[name], 0)))
            tallies |= {tally_name(name, band): _keyed(counts) for band, counts in enumerate(counted)}
            parts.clear()
        self.joint[:], self.area[:] = 0, 0
        self.masks.clear()
        return tallies


def tally_name(modality: str, number: int) -> str:
    """What the tally of a modality's band, or behind the last one of what all bands hold alike, is called."""
    return f"{modality} {number}"


def _keyed(counts: Mapping[int, float]) -> dict[str, float]:
    return {str(key): number for key, number in counts.items()}
