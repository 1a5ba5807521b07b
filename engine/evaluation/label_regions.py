"""The regions of labels: features of a vector file, or what is connected and of one class in a label raster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from engine.data.settings import LabelSource
from engine.evaluation.label_faults import Shapes, geometry_faults
from engine.grid import Grid, Window
from engine.modality import IGNORED
from engine.products.classmap import strips
from engine.products.counts import connected, labelled
from engine.products.outlines import polygons
from engine.products.regions import RegionReader, outlines_of
from engine.raster.labels import LabelMapping, RasterLabels, class_indices
from engine.raster.polygons import Burner
from engine.raster.sources import SourceSpec
from engine.raster.vectors import around, read_layer, repaired


class Numbers(Protocol):
    """Gives the regions of a scene by strips."""

    def read(self, strip: Window) -> NDArray[np.int64]:
        """``[h, w]``: the number of each pixel's region; -1 where there is none."""


class VectorRegions:
    """The features of a vector file, for one scene after the other.

    Args:
        source: The file, with its class field.
        mapping: What the values mean.
        grid: Of the first scene that it labels.

    Attributes:
        classes: ``[R]`` class indices; IGNORED where not to be learned or far from all scenes.
        numbers: ``[R]`` as they are told of: from 1 in the order of the file.
        problems: Of each region, each once.
        shapes: Repaired geometries in the file's CRS; None where there is none.
        crs: The file's.
        inside: ``[R]``: which lie in a scene, at least in part.
    """

    def __init__(self, source: LabelSource, mapping: LabelMapping, grid: Grid) -> None:
        self._source, self._mapping = source, mapping
        raw = read_layer(source.path, grid)
        self._frame = repaired(raw)
        self.crs: Any = raw.crs
        self.numbers: list[int | None] = [number + 1 for number in range(len(raw))]
        self.classes = np.full(len(raw), IGNORED)
        self.problems: list[dict[str, None]] = [{} for _ in range(len(raw))]
        self.inside = np.zeros(len(raw), dtype=bool)
        self.shapes: NDArray[np.object_] = np.full(len(raw), None, dtype=object)
        self.shapes[self._frame.index] = self._frame.geometry.to_numpy()
        self.values = [str(value) for value in raw[source.field]] if source.field in raw.columns else [""] * len(raw)
        for place, shape in enumerate(raw.geometry):
            if shape is None or shape.is_empty:
                self.problems[place]["empty: has no geometry"] = None
            elif not shape.is_valid:
                self.problems[place][f"invalid: {shapely.is_valid_reason(shape)}"] = None

    def of(self, grid: Grid) -> Numbers:
        """Those around a scene, whose faults are found."""
        near = around(self._frame, grid)
        indices = class_indices(near, str(self._source.field), self._mapping, self._source.path)
        places = near.index.to_numpy()
        self.classes[places] = indices
        self.inside[places] |= shapely.intersects(near.geometry.to_numpy(), shapely.box(*grid.bounds))
        names = [self.name(int(place)) for place in places]
        told = [int(place) + 1 for place in places]
        for place, text in geometry_faults(Shapes(told, near.geometry.to_numpy(), names), grid):
            self.problems[places[place]][text] = None
        return _Burnt(Burner(near, places.tolist(), grid, self._source.all_touched))

    def name(self, place: int) -> str:
        """Of a region's class; its value where that is none."""
        index = int(self.classes[place])
        return self.values[place] if index == IGNORED else self._mapping.classes[index].name

    def close(self) -> None:
        """Nothing is open: the features are in memory."""


class _Burnt:
    def __init__(self, burner: Burner) -> None:
        self._burner = burner

    def read(self, strip: Window) -> NDArray[np.int64]:
        """See :class:`Numbers`."""
        return self._burner.read(strip, -1).astype(np.int64)


class RasterRegions:
    """What is connected by pixels' edges and of one class in a label raster, strip by strip; one scene's.

    Parts of strips are numbered as they come and joined where they meet, so that what is held is parts, not pixels.

    Args:
        source: The raster.
        mapping: What the values mean.
        grid: Of the scene.

    Attributes:
        classes, numbers, problems, shapes, crs, inside: As those of :class:`VectorRegions`; regions have no numbers of
            their own. Without georeference rows count downwards from 0, as QGIS shows them.
    """

    def __init__(self, source: LabelSource, mapping: LabelMapping, grid: Grid) -> None:
        self._labels = RasterLabels(SourceSpec.parse(source.path), grid, mapping, source.nodata)
        self._mapping, self._grid = mapping, grid
        self._firsts: dict[int, int] = {}
        found: list[NDArray[np.int64]] = []
        one, other = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        parts, above = 0, (np.full(grid.width, -1), np.full(grid.width, IGNORED))
        for strip, values, labels in self._strips():
            self._firsts[strip.row] = parts
            first = np.unique(labels, return_index=True)[1]
            found.append(values.ravel()[first[labels.ravel()[first] > 0]].astype(np.int64))
            numbers = np.where(labels > 0, parts + labels - 1, -1)
            meet = (above[0] >= 0) & (above[1] == values[0])
            one.append(above[0][meet])
            other.append(numbers[0][meet])
            parts, above = parts + len(found[-1]), (numbers[-1], values[-1].astype(np.int64))
        count, self._regions = connected(parts, np.concatenate(one), np.concatenate(other))
        self.classes = np.full(count, IGNORED)
        self.classes[self._regions] = np.concatenate(found)
        self.numbers: list[int | None] = [None] * count
        self.problems: list[dict[str, None]] = [{} for _ in range(count)]
        self.inside = np.ones(count, dtype=bool)
        self.crs: Any = None if grid.crs is None else grid.crs.to_wkt()
        self.shapes = self._outlines()

    def _strips(self) -> Iterator[tuple[Window, NDArray[np.int16], NDArray[np.int64]]]:
        """Place, class indices and numbers from 1 of the parts of each strip; 0 without a label."""
        for strip in strips(self._grid):
            values = self._labels.read(strip)
            yield strip, values, labelled(None, values, IGNORED)[1:]

    def of(self, _grid: Grid) -> Numbers:
        """Those of the scene."""
        return self

    def read(self, strip: Window) -> NDArray[np.int64]:
        """See :class:`Numbers`."""
        found = labelled(None, self._labels.read(strip), IGNORED)[1:]
        numbers: NDArray[np.int64] = np.append(self._regions, -1)[
            np.where(found > 0, self._firsts[strip.row] + found - 1, -1)
        ]
        return numbers

    def name(self, place: int) -> str:
        """Of a region's class."""
        return self._mapping.classes[int(self.classes[place])].name

    def _outlines(self) -> NDArray[np.object_]:
        """All regions along the pixels' edges."""
        grid = self._grid
        if grid.crs is None and grid.transform == Affine.identity():
            grid = Grid(None, Affine.scale(1, -1), grid.height, grid.width)
        shapes = np.full(len(self.classes), None, dtype=object)
        reader = RegionReader(grid.width, -1, layers=0)
        for strip in strips(grid):
            ended = reader.add(self.read(strip), (), None, strip.end_row == grid.height)
            if len(ended.value):
                shapes[ended.value] = polygons(outlines_of(ended), grid)
        return shapes

    def close(self) -> None:
        """Closes the raster."""
        self._labels.close()
