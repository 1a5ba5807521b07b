"""A class map as polygons: one for each region of a class, along the pixels' exact edges."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.errors import GridError
from engine.files import publish
from engine.grid import Window
from engine.products.classmap import Areas, Availability, ClassMap, Confidence, opened_map, strips
from engine.products.geopackage import PolygonWriter, check_closed
from engine.products.outlines import polygons
from engine.products.outputs import Listener, taken
from engine.products.regions import RegionReader, Regions, outlines_of
from engine.products.sieve import Sieve

STEPS = 2**20
"""Parts of a pixel's area in which areas are counted where regions are compared: whole numbers add up alike."""


class PolygonizeOptions(BaseModel):
    """What to make polygons of.

    Args:
        map: A class map, ``PATH[@BAND]``.
        output: The GeoPackage.
        confidence: Its confidence in percent, for the polygons' mean.
        availability: Which sensors its pixels had, for the scenario that most of a polygon's had.
        minimum: Hectares below which a region is merged into its neighbours; see :mod:`~engine.products.sieve`.
        overwrite: Whether something may lie at the output.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    map: str = Field(min_length=1)
    output: Path
    confidence: str | None = None
    availability: str | None = None
    minimum: float | None = Field(default=None, gt=0)
    overwrite: bool = False


@dataclass(frozen=True)
class Polygonized:
    """What was made.

    Args:
        polygons: How many.
        classes: How many classes they have.
        merged: How many regions below the minimum have become of another class.
        seconds: Wall time.
    """

    polygons: int
    classes: int
    merged: int
    seconds: float


@dataclass(frozen=True)
class _Inputs:
    """A map with what is known of its pixels."""

    classmap: ClassMap
    confidence: Confidence | None
    availability: Availability | None
    areas: Areas | None


def polygonize(options: PolygonizeOptions, listener: Listener | None = None) -> Polygonized:
    """Writes a class map as polygons with value, class, hectares, mean confidence, scenario and number of pixels.

    The map is read by strips. What is kept are the outlines of regions that have not ended, and the pixels of regions
    below the minimum that are not decided; the sieved map lies on the disk meanwhile.

    Raises:
        RasterReadError: If a raster cannot be read.
        BandError: If one has several bands, or no whole numbers.
        LabelError: If the map's values are no classes.
        GridError: If the rasters do not lie on one grid, or there is a minimum and no coordinate reference system.
        OutputError: If the polygons cannot be written.
        BusyError: If another process writes them.
        Cancelled: If the listener said so.
    """
    started, listener = time.monotonic(), listener or Listener()
    read = [one for one in (options.map, options.confidence, options.availability) if one is not None]
    with ExitStack() as stack:
        inputs = _opened(options, stack)
        folder = stack.enter_context(taken([options.output], read, options.overwrite))
        check_closed(options.output)
        merged = 0 if options.minimum is None else _sieve(inputs, options.minimum, folder / "sieved", listener)
        found = folder / "polygons.gpkg"
        writer = PolygonWriter(found, options.output, inputs.classmap.grid.crs)
        count = _write(inputs, None if options.minimum is None else folder / "sieved", writer, listener)
        writer.finish(inputs.classmap.legend(list(count)))
        check_closed(options.output)
        publish(found, options.output)
        listener.progress(1)
    return Polygonized(count.total(), len(count), merged, time.monotonic() - started)


def _opened(options: PolygonizeOptions, stack: ExitStack) -> _Inputs:
    classmap, confidence, availability = opened_map(options.map, options.confidence, options.availability, stack)
    if options.minimum is not None and classmap.grid.crs is None:
        raise GridError(
            f"{options.map}: has no coordinate reference system, so that no area is known in hectares; assign one, or "
            "leave the minimum out"
        )
    return _Inputs(classmap, confidence, availability, None if classmap.grid.crs is None else Areas(classmap.grid))


def _sieve(inputs: _Inputs, minimum: float, path: Path, listener: Listener) -> int:
    """Writes the sieved map's values one after the other; gives how many regions were merged."""
    classmap, grid = inputs.classmap, inputs.classmap.grid
    unit = grid.metres**2 / STEPS
    with path.open("w+b") as file:

        def write(places: NDArray[np.int64], values: NDArray[np.signedinteger]) -> None:
            file.flush()
            first, last = int(places.min()), int(places.max())
            size = classmap.kind.itemsize
            part = np.memmap(file, classmap.kind, "r+", offset=first * size, shape=(last - first + 1,))
            part[places - first] = values
            part.flush()

        sieve = Sieve(grid.width, classmap.nodata, int(np.ceil(minimum * 10_000 / unit)), write)
        for strip in strips(grid):
            listener.reached(strip.row / grid.height / 2)
            values = classmap.classes(strip)
            file.write(values.tobytes())
            areas = np.rint(_areas(inputs, strip) / unit).astype(np.int64)
            sieve.add(values, areas, strip.end_row == grid.height)
    return sieve.merged


def _areas(inputs: _Inputs, strip: Window) -> NDArray[np.float64]:
    return np.full((strip.height, strip.width), np.nan) if inputs.areas is None else inputs.areas.of(strip)


def _write(inputs: _Inputs, sieved: Path | None, writer: PolygonWriter, listener: Listener) -> Counter[int]:
    """Writes all polygons; gives how many there are of each class, and tells of the second half of the work."""
    classmap, grid = inputs.classmap, inputs.classmap.grid
    reader = RegionReader(grid.width, classmap.nodata, layers=3)
    count: Counter[int] = Counter()
    for strip in strips(grid):
        before = strip.row / grid.height
        listener.reached(before if sieved is None else 0.5 + before / 2)
        values = classmap.classes(strip) if sieved is None else _sieved(sieved, classmap, strip)
        percent = np.full(values.shape, np.nan) if inputs.confidence is None else inputs.confidence.percent(strip)
        known = np.isfinite(percent)
        layers = (_areas(inputs, strip), np.where(known, percent, 0), known.astype(float))
        bits = None if inputs.availability is None else inputs.availability.bits(strip)
        ended = reader.add(values, layers, bits, strip.end_row == grid.height)
        if len(ended.value):
            writer.add(polygons(outlines_of(ended), grid), _columns(ended, inputs))
            count.update(ended.value.tolist())
    if not count:  # a layer all the same
        writer.add(np.zeros(0, dtype=object), _columns(Regions.none(3), inputs))
    return count


def _sieved(path: Path, classmap: ClassMap, strip: Window) -> NDArray[np.signedinteger]:
    size, kind = strip.height * strip.width, classmap.kind
    found = np.fromfile(path, kind, size, offset=strip.row * strip.width * kind.itemsize)
    return found.reshape(strip.height, strip.width)


def _columns(regions: Regions, inputs: _Inputs) -> dict[str, object]:
    """The attributes of polygons."""
    pixels, area, confidence, known = regions.sums.T
    with np.errstate(invalid="ignore"):
        mean = confidence / known
    availability, scenarios = inputs.availability, regions.scenario().tolist()
    return {
        "value": regions.value,
        "class": [inputs.classmap.name(value) for value in regions.value.tolist()],
        "hectares": area / 10_000,
        "confidence": mean,
        "scenario": [None if availability is None else availability.label(bits) for bits in scenarios],
        "pixels": pixels.astype(np.int64),
    }
