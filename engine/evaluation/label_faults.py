"""Faults in the geometry of labels that are polygons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from engine.grid import Grid

SLIVER = 2.0
"""Pixels of area below which a polygon is a sliver; so is one that is nowhere a pixel wide."""

LEAST = 0.01
"""Pixels of area that two polygons must share to overlap: less comes from rounded coordinates."""


@dataclass(frozen=True)
class Shapes:
    """Features around a grid, in its CRS.

    Args:
        numbers: ``[N]`` by which they are told of.
        shapes: ``[N]`` valid geometries.
        classes: ``[N]`` names of their classes.
    """

    numbers: Sequence[int]
    shapes: NDArray[np.object_]
    classes: Sequence[str]


def geometry_faults(features: Shapes, grid: Grid) -> Iterator[tuple[int, str]]:
    """Place and words of each fault: duplicates, overlaps of unlike classes, slivers.

    Points and lines have duplicates alone.
    """
    pixel = abs(grid.transform.determinant)
    hectares = None if grid.crs is None else grid.metres**2 / 10_000
    same = dict(_duplicates(features))
    for place, first in same.items():
        yield place, f"duplicate of {_told(features, first)}"
    areal = np.flatnonzero(shapely.get_dimensions(features.shapes) == 2)
    for one, other, area in _overlaps(features, areal, LEAST * pixel):
        if same.get(other) == one or same.get(one) == other:
            continue
        size = f"{area / pixel:.1f} pixels" if hectares is None else f"{area / pixel * hectares:.3g} ha"
        yield one, f"overlap of {size} with {_told(features, other)}"
        yield other, f"overlap of {size} with {_told(features, one)}"
    areas = shapely.area(features.shapes[areal]) / pixel
    thin = shapely.is_empty(shapely.buffer(features.shapes[areal], -np.sqrt(pixel) / 2))
    for place, area, narrow in zip(areal.tolist(), areas, thin, strict=True):
        if area < SLIVER:
            yield place, f"sliver of {area:.2g} pixels"
        elif narrow:
            yield place, "sliver, nowhere a pixel wide"


def _told(features: Shapes, place: int) -> str:
    return f"feature {features.numbers[place]} ({features.classes[place]})"


def _duplicates(features: Shapes) -> Iterator[tuple[int, int]]:
    """Features that have the geometry of an earlier one, and that."""
    seen: dict[bytes, int] = {}
    for place, content in enumerate(shapely.to_wkb(shapely.normalize(features.shapes))):
        if content in seen:
            yield place, seen[content]
        else:
            seen[content] = place


def _overlaps(features: Shapes, areal: NDArray[np.int64], least: float) -> Iterator[tuple[int, int, float]]:
    """Pairs of polygons of unlike classes that share more than ``least``, and how much."""
    shapes = features.shapes[areal]
    pairs = areal[shapely.STRtree(shapes).query(shapes, predicate="intersects")].T
    classes = np.array(features.classes, dtype=object)
    pairs = pairs[(pairs[:, 0] < pairs[:, 1]) & (classes[pairs[:, 0]] != classes[pairs[:, 1]])]
    areas = shapely.area(shapely.intersection(features.shapes[pairs[:, 0]], features.shapes[pairs[:, 1]]))
    for (one, other), area in zip(pairs.tolist(), areas.tolist(), strict=True):
        if area > least:
            yield one, other, area


def kinds_of(problems: Sequence[str]) -> Mapping[str, int]:
    """How many labels have a problem of each kind: the first word of its text."""
    found: dict[str, int] = {}
    for text in problems:
        for kind in dict.fromkeys(one.split()[0].strip(",:") for one in text.split("; ") if one):
            found[kind] = found.get(kind, 0) + 1
    return found
