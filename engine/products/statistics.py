"""What a class map holds, as a table: by class, by class and scenario, and by class within the polygons of a layer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from rasterio.features import rasterize

from engine.errors import LabelError
from engine.files import write_text
from engine.grid import Grid, Window
from engine.products.classmap import Areas, ClassMap, opened_map, strips
from engine.products.outputs import Listener, taken
from engine.products.table import ClassSums, csv_text

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

COLUMNS = ("part", "zone", "name", "value", "class", "pixels", "hectares", "share", "confidence")
"""Of the table. ``part`` is ``map``, ``scenario`` or ``zone``; share and confidence are percentages."""


class StatisticsOptions(BaseModel):
    """What to count.

    Args:
        map: A class map, ``PATH[@BAND]``.
        output: The table (CSV).
        zones: Polygons, ``PATH`` or ``PATH|LAYER``. A pixel belongs to every one that holds its centre.
        zone_field: The field that names them; their numbers do where None.
        confidence: The map's confidence in percent.
        availability: Which sensors its pixels had.
        overwrite: Whether something may lie at the output.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    map: str = Field(min_length=1)
    output: Path
    zones: str | None = None
    zone_field: str | None = None
    confidence: str | None = None
    availability: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Statistics:
    """What was counted.

    Args:
        rows: Of the table, by :data:`COLUMNS`; None where a number is not known.
        pixels: Of the map that have a class.
        hectares: Their area; None where the map has no coordinate reference system.
        classes: How many classes occur.
        zones: How many zones there are.
        seconds: Wall time.
    """

    rows: tuple[tuple[object, ...], ...]
    pixels: int
    hectares: float | None
    classes: int
    zones: int
    seconds: float


def statistics(options: StatisticsOptions, listener: Listener | None = None) -> Statistics:
    """Counts a class map by strips, and writes the table.

    Raises:
        RasterReadError: If a raster or the zones cannot be read.
        BandError: If a raster has several bands, or no whole numbers.
        LabelError: If the map's values are no classes, or the zones have no such field.
        GridError: If the rasters do not lie on one grid, or of map and zones only one has a CRS.
        OutputError: If the table cannot be written.
        BusyError: If another process writes it.
        Cancelled: If the listener said so.
    """
    started, listener = time.monotonic(), listener or Listener()
    rasters = (options.map, options.confidence, options.availability, options.zones)
    with ExitStack() as stack:
        classmap, confidence, availability = opened_map(options.map, options.confidence, options.availability, stack)
        zones = None if options.zones is None else _Zones(options.zones, options.zone_field, classmap.grid)
        stack.enter_context(taken([options.output], [one for one in rasters if one is not None], options.overwrite))
        grid = classmap.grid
        areas = None if grid.crs is None else Areas(grid)
        whole, scenarios = ClassSums(3), dict[int, ClassSums]()
        for strip in strips(grid):
            listener.reached(strip.row / grid.height)
            values = classmap.classes(strip)
            valid = values != classmap.nodata
            area = np.full(values.shape, np.nan) if areas is None else areas.of(strip)
            percent = np.full(values.shape, np.nan) if confidence is None else confidence.percent(strip)
            layers = (area, np.nan_to_num(percent), np.isfinite(percent).astype(float))
            whole.add(values[valid], [layer[valid] for layer in layers])
            if availability is not None:
                bits = np.where(valid, availability.bits(strip), -1)
                for mask in np.setdiff1d(bits, -1).tolist():
                    chosen = bits == mask
                    scenarios.setdefault(mask, ClassSums(3)).add(values[chosen], [layer[chosen] for layer in layers])
            if zones is not None:
                zones.add(strip, values, valid, layers)
        rows = list(_rows("map", None, "", whole, classmap))
        for mask in sorted(scenarios, key=lambda bits: (-bits.bit_count(), bits)):
            name = "" if availability is None else availability.label(mask)
            rows += _rows("scenario", None, name, scenarios[mask], classmap)
        for number, name, tally in () if zones is None else zones.tallies():
            rows += _rows("zone", number, name, tally, classmap)
        write_text(options.output, csv_text(COLUMNS, rows))
        listener.progress(1)
    if zones is not None and (zones.empty or not zones.count):
        few = f"{zones.empty} of its polygons do not hold" if zones.empty < zones.count else "no polygon of it holds"
        listener.warned(f"{options.zones}: {few} the centre of any pixel that has a class")
    total = whole.total
    hectares = None if areas is None else float(total[1]) / 10_000
    count = 0 if zones is None else zones.count
    return Statistics(tuple(rows), int(total[0]), hectares, len(whole.sums), count, time.monotonic() - started)


def _rows(part: str, zone: int | None, name: str, tally: ClassSums, classmap: ClassMap) -> Iterator[tuple[object, ...]]:
    """The rows of a part of the table; shares are of its area, or of its pixels where areas are not known."""
    total = tally.total
    known = bool(np.isfinite(total[1]))
    for value, (pixels, area, confidence, confident) in sorted(tally.sums.items()):
        share = area / total[1] if known and total[1] > 0 else pixels / total[0]
        yield (
            *(part, zone, name, value, classmap.name(value), int(pixels)),
            float(area) / 10_000 if known else None,
            100 * float(share),
            float(confidence / confident) if confident else None,
        )


class _Zones:
    """Polygons that are counted, each by itself.

    Args:
        path: ``PATH``, or ``PATH|LAYER``.
        field: The field that names them.
        grid: The map's.

    Raises:
        RasterReadError: If they cannot be read.
        LabelError: If there is no such field.
        GridError: If of zones and map only one has a CRS.
    """

    def __init__(self, path: str, name: str | None, grid: Grid) -> None:
        import shapely

        from engine.raster.vectors import read_polygons

        self._grid, frame = grid, read_polygons(path, grid)
        self._numbers = [int(number) + 1 for number in frame.index]
        self._names = _names(frame, name, path)
        self._shapes = frame.geometry.to_numpy()
        self._tree = shapely.STRtree(self._shapes)
        self._tallies = [ClassSums(3) for _ in self._shapes]

    @property
    def count(self) -> int:
        """How many there are around the map."""
        return len(self._shapes)

    @property
    def empty(self) -> int:
        """How many have no pixel."""
        return sum(not tally.sums for tally in self._tallies)

    def add(
        self,
        strip: Window,
        values: NDArray[np.signedinteger],
        valid: NDArray[np.bool_],
        layers: Sequence[NDArray[np.float64]],
    ) -> None:
        """Adds a strip's pixels to the zones that hold their centres."""
        from shapely.geometry import box

        for number in self._tree.query(box(*self._grid.part(strip).bounds)).tolist():
            shape = self._shapes[number]
            window = self._grid.window_of(shape.bounds) & strip
            if window.empty:
                continue
            size, transform = (window.height, window.width), self._grid.part(window).transform
            inside = rasterize([(shape, 1)], out_shape=size, transform=transform, dtype="uint8") > 0
            place = window.within(strip)
            inside &= valid[place]
            self._tallies[number].add(values[place][inside], [layer[place][inside] for layer in layers])

    def tallies(self) -> Iterator[tuple[int, str, ClassSums]]:
        """Number, name and sums of each zone, in the layer's order."""
        return zip(self._numbers, self._names, self._tallies, strict=True)


def _names(frame: GeoDataFrame, name: str | None, path: str) -> list[str]:
    if name is None:
        return [str(number + 1) for number in frame.index]
    if name not in frame.columns or name == frame.geometry.name:
        fields = ", ".join(str(one) for one in frame.columns if one != frame.geometry.name)
        raise LabelError(f"{path}: there is no field {name!r}; it has {fields or 'none'}")
    return ["" if one is None or one != one else str(one) for one in frame[name]]
