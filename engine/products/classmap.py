"""Class maps as they are read again: values and legend; with the confidence and availability that belong to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from itertools import count
from pathlib import Path
from xml.etree import ElementTree  # nosec B405

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window as RasterioWindow

from engine.availability import from_bits
from engine.errors import BandError, GridError, LabelError, RasterReadError
from engine.grid import Grid, PixelAreas, Window, even_part
from engine.modality import LegendEntry
from engine.raster.legend import SET
from engine.raster.pam import END, LARGEST
from engine.raster.sources import RasterSource, SourceSpec
from engine.raster.validity import Validity

STRIP = 2**20
"""Pixels that are looked at at a time; at least one row."""

SPREAD = 2**22
"""Values from the least to the largest of a strip that may be classes."""

_AVAILABILITY = "availability: "
"""What the band's description begins with that names the sensors."""


class Companion:
    """A raster of whole numbers on a known grid: a class map, or what was written with one.

    Args:
        path: ``PATH[@BAND]``.
        stack: Closes it.

    Raises:
        RasterReadError: If it cannot be read.
        BandError: If more than one band could be meant, or it holds no whole numbers.
        GridError: If only control points say where it lies.
    """

    def __init__(self, path: str, stack: ExitStack) -> None:
        self.path = path
        self._source = stack.enter_context(RasterSource(SourceSpec.parse(path)))
        bands = self._source.band_indices
        if len(bands) != 1:
            raise BandError(f"{path}: has {len(bands)} bands; choose one, as in {path}@1")
        if not np.issubdtype(self._source.dtype, np.integer):
            raise BandError(
                f"{path}: holds {self._source.dtype}, not whole numbers; if they are whole all the same, convert it "
                "with gdal_translate -ot Int32"
            )
        self.band = bands[0]
        self._validity = Validity.of(self.dataset, bands, self._source.dtype)

    @property
    def dataset(self) -> DatasetReader:
        """The open raster."""
        return self._source.dataset

    @property
    def stored_grid(self) -> Grid:
        """Where its pixels lie, as its file says."""
        return self._source.grid

    @property
    def grid(self) -> Grid:
        """Where its pixels lie; one without georeference counts rows downwards from 0, as QGIS shows it."""
        grid = self.stored_grid
        if grid.crs is None and grid.transform == Affine.identity():
            return Grid(None, Affine.scale(1, -1), grid.height, grid.width)
        return grid

    def read(self, window: Window) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
        """Values and validity ``[h, w]``.

        Raises:
            RasterReadError: If a block cannot be decoded.
        """
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            values, valid = self._validity.read(self.dataset, area)
        except RasterioError as error:
            raise RasterReadError(f"{self.path}: cannot be read: {error}") from error
        return values[0], valid

    def lies_on(self, other: Companion) -> None:
        """Refuses another grid.

        Raises:
            GridError: If its pixels are not those of ``other``.
        """
        here, there = self.grid, other.grid
        if (here.height, here.width) != (there.height, there.width) or there.offset_of(here) != (0, 0):
            raise GridError(
                f"{self.path}: its pixels are not those of {other.path}: {_described(here)} and {_described(there)}"
            )


def _described(grid: Grid) -> str:
    crs = grid.crs.to_string() if grid.crs else "no coordinate reference system"
    left, bottom, right, top = grid.bounds
    return f"{grid.width} x {grid.height} pixels from {left:.12g} {bottom:.12g} to {right:.12g} {top:.12g}, {crs}"


class ClassMap(Companion):
    """A class map, of whatever program; see :class:`Companion`.

    Attributes:
        kind: Data type that holds its values and ``nodata``.
        nodata: What stands for pixels without a class.
    """

    def __init__(self, path: str, stack: ExitStack) -> None:
        super().__init__(path, stack)
        self.kind = np.dtype(np.int16 if np.dtype(self._source.dtype).itemsize == 1 else np.int32)
        self.nodata = -(2 ** (8 * self.kind.itemsize - 1))

    def classes(self, window: Window) -> NDArray[np.signedinteger]:
        """Class values ``[h, w]`` as :attr:`kind`.

        Raises:
            LabelError: If they are spread too far to be classes.
        """
        values, valid = self.read(window)
        if valid.any():
            least, most = int(values[valid].min()), int(values[valid].max())
            if most - least >= SPREAD or most >= -self.nodata or least <= self.nodata:
                raise LabelError(
                    f"{self.path}: holds values from {least} to {most}, which are no classes; is it a map of classes?"
                )
        found: NDArray[np.signedinteger] = values.astype(self.kind)
        found[~valid] = self.nodata
        return found

    def legend(self, values: Sequence[int]) -> list[LegendEntry]:
        """What the raster calls and how it colours some of its values; else their number, and colours of our own."""
        colours = self.colours
        palette = (SET[number % len(SET)] for number in count())
        return [
            LegendEntry(value, self.name(value), colours[value] if value in colours else next(palette))
            for value in sorted(values)
        ]

    def name(self, value: int) -> str:
        """What the raster calls a value; its number where it does not."""
        return self.names.get(value, str(value))

    @property
    def names(self) -> dict[int, str]:
        """What the raster calls values."""
        return self._named[0]

    @property
    def colours(self) -> dict[int, str]:
        """How the raster colours values (``#rrggbb``)."""
        return _colour_table(self.dataset, self.band) | self._named[1]

    @cached_property
    def _named(self) -> tuple[dict[int, str], dict[int, str]]:
        """Names and colours of values: GDAL's category names, and over them the attribute table beside the raster."""
        with MemoryFile(ext=".vrt") as file:
            rasterio.shutil.copy(self.dataset, file.name, driver="VRT")
            root = _xml(file.read())
        listed = root.findall(f"VRTRasterBand[@band='{self.band}']/CategoryNames/Category")
        names = {value: one.text for value, one in enumerate(listed) if one.text}
        colours: dict[int, str] = {}
        beside = Path(f"{self._source.spec.path}{END}")
        if beside.is_file() and beside.stat().st_size <= LARGEST:
            table = _xml(beside.read_bytes()).find(f"PAMRasterBand[@band='{self.band}']/GDALRasterAttributeTable")
            if table is not None:
                _read_table(table, names, colours)
        return names, colours


def _xml(content: bytes) -> ElementTree.Element:
    """A document; one without anything where it is none."""
    try:
        return ElementTree.fromstring(content)  # noqa: S314  # nosec B314 (Expat bounds what entities grow to)
    except ElementTree.ParseError:
        return ElementTree.Element("none")


def _read_table(table: ElementTree.Element, names: dict[int, str], colours: dict[int, str]) -> None:
    """Adds what an attribute table says of values, up to where it is none."""
    with suppress(ValueError, IndexError):
        usages = {int(one.findtext("Usage", "0")): place for place, one in enumerate(table.findall("FieldDefn"))}
        for number, row in enumerate(table.findall("Row")):
            cells = [cell.text or "" for cell in row.findall("F")]
            value = int(float(cells[usages[5]])) if 5 in usages else number
            if 2 in usages and cells[usages[2]]:
                names[value] = cells[usages[2]]
            if {6, 7, 8} <= usages.keys():
                red, green, blue = (min(255, max(0, int(float(cells[usages[one]])))) for one in (6, 7, 8))
                colours[value] = f"#{red:02x}{green:02x}{blue:02x}"


def _colour_table(dataset: DatasetReader, band: int) -> dict[int, str]:
    try:
        table = dataset.colormap(band)
    except ValueError:
        return {}
    return {value: f"#{red:02x}{green:02x}{blue:02x}" for value, (red, green, blue, _) in table.items()}


class Confidence(Companion):
    """Percentages on the grid of a map."""

    def percent(self, window: Window) -> NDArray[np.float64]:
        """Percent ``[h, w]``; NaN where there is none.

        Raises:
            BandError: If there are values above 100.
        """
        values, valid = self.read(window)
        if values[valid].max(initial=0) > 100:
            raise BandError(f"{self.path}: holds {values[valid].max()}, which is no percentage; give the confidence")
        return np.where(valid, values, np.nan)


class Availability(Companion):
    """Which sensors pixels had, on the grid of a map, as ``engine predict --availability`` writes it.

    Raises:
        BandError: If the band's description does not name the sensors.
    """

    def __init__(self, path: str, stack: ExitStack) -> None:
        super().__init__(path, stack)
        description = self.dataset.descriptions[self.band - 1] or ""
        if not description.startswith(_AVAILABILITY):
            raise BandError(
                f"{path}: its band does not say which sensors its bits are ({_AVAILABILITY}a, b); give the "
                "availability that was written with the map"
            )
        self.names = tuple(description.removeprefix(_AVAILABILITY).split(", "))

    def bits(self, window: Window) -> NDArray[np.int64]:
        """Bit masks ``[h, w]``; 0 where there is no sensor."""
        values, valid = self.read(window)
        return np.where(valid, values, 0).astype(np.int64)

    def label(self, bits: int) -> str:
        """A scenario in the sensors' names."""
        return from_bits(bits, len(self.names)).label(self.names) if bits else "no sensor"


def opened_map(
    path: str, confidence: str | None, availability: str | None, stack: ExitStack
) -> tuple[ClassMap, Confidence | None, Availability | None]:
    """A class map with what was written with it.

    Raises:
        GridError: If they do not lie on one grid.
    """
    classmap = ClassMap(path, stack)
    percent = None if confidence is None else Confidence(confidence, stack)
    sensors = None if availability is None else Availability(availability, stack)
    there = [one for one in (classmap, percent, sensors) if one is not None]
    for one in there[1:]:
        one.lies_on(classmap)
    # GDAL's cache holds a row of blocks of each, so that no block is decoded twice
    rows = sum(
        one.dataset.block_shapes[one.band - 1][0] * one.grid.width * np.dtype(one.dataset.dtypes[0]).itemsize
        for one in there
    )
    stack.enter_context(rasterio.Env(GDAL_CACHEMAX=max(16 * 2**20, 2 * rows)))
    return classmap, percent, sensors


def strips(grid: Grid) -> Iterator[Window]:
    """Rows of a grid, a few at a time."""
    height = max(1, STRIP // grid.width)
    for row in range(0, grid.height, height):
        yield Window(row, 0, height, grid.width) & grid.window


class Areas:
    """Square metres of each pixel of a grid; the same whatever window is asked for."""

    def __init__(self, grid: Grid) -> None:
        self._areas = PixelAreas(grid)

    def of(self, window: Window) -> NDArray[np.float64]:
        """``[h, w]``, of whole rows."""
        rows = [self._areas.parts(Window(row, 0, 1, window.width))[0] for row in range(window.row, window.end_row)]
        return np.stack([row[even_part(window.width, len(row))] for row in rows])
