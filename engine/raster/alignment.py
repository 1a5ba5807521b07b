"""A modality on a grid: its sources stacked, warped where they need it, with validity by pixel."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from engine.errors import BandError, RasterReadError
from engine.grid import Grid, Window
from engine.modality import Modality
from engine.raster.conversion import Conversion, conversions, is_real
from engine.raster.keys import written
from engine.raster.mosaics import Order, acquired, grouped
from engine.raster.overlay import GdalError, check_georeference, kernel_scale, mapped, turns
from engine.raster.placing import TOLERANCE
from engine.raster.sources import RasterSource, SourceSpec
from engine.raster.validity import Validity

Method = Literal["bilinear", "nearest"]


@dataclass(frozen=True)
class Block:
    """What a window holds.

    Args:
        values: ``[C, h, w]``; what is invalid holds anything.
        valid: ``[h, w]``, true where all bands are valid.
        origin: ``[h, w]``, of a mosaic: which of its groups, from 1, a pixel comes from; 0 where invalid.
    """

    values: NDArray[np.generic]
    valid: NDArray[np.bool_]
    origin: NDArray[np.uint16] | None = None


class Mask(Protocol):
    """Gives by window what is masked."""

    def read(self, window: Window) -> NDArray[np.bool_]:
        """``[h, w]``, true where masked; the window may reach outside of the grid."""

    def warnings(self, window: Window) -> Sequence[str]:
        """What the user should know of it where a window of the grid is read."""

    def close(self) -> None:
        """Closes what is open."""


@dataclass(frozen=True)
class _Reading:
    """How sources are read: their resampling, and whether all that they store counts, whatever hides it."""

    resampling: Resampling
    stored: bool


class _AlignedSource:
    """One source on a grid: read directly where it lies on the grid's pixels, else warped."""

    def __init__(
        self, source: RasterSource, grid: Grid, dtype: str | None, conversion: Conversion | None, how: _Reading
    ) -> None:
        self.source, self.grid, self.conversion = source, grid, conversion
        self.warped: list[WarpedVRT] = []
        self.opened: list[rasterio.DatasetReader] = []
        check_georeference(source, grid)
        self.dtype = dtype or source.dtype
        bands = source.band_indices
        kind = str(source.dataset.dtypes[bands[0] - 1])  # a raster that is placed may hold whole numbers as floats
        self.validity = Validity.of_footprint(bands, kind) if how.stored else Validity.of(source.dataset, bands, kind)
        self.how, self.turns = how, turns(source.grid, grid)
        alone = len(self.turns) == 1
        self.offset = grid.offset_of(source.grid.moved(self.turns[0])) if alone else None
        if self.offset is None:
            self._open_warps(infinite=False)

    @property
    def pixels(self) -> float:
        """How many pixels of the grid one of the source's covers; 1 where that cannot be told."""
        scale = kernel_scale(self.source.grid, self.grid) if self.offset is None else None
        return 1.0 if scale is None else scale[0] * scale[1]

    def holds(self, places: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
        """Which columns and rows of the grid lie in the source."""
        height, width = self.source.grid.height, self.source.grid.width
        found = np.zeros(len(places), dtype=bool)
        for turn in turns(self.source.grid, self.grid):
            cols, rows = np.array(mapped(self.grid, self.source.grid.moved(turn), places)).T
            found |= (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
        return found

    def _open_warps(self, infinite: bool) -> None:
        self.close()
        self.infinite = infinite
        self.warped = [self._warp(turn) for turn in self.turns]

    def _warp(self, turn: float) -> WarpedVRT:
        source = self.source.grid.moved(turn)
        scale = kernel_scale(source, self.grid)
        place = f"<GeoTransform>{', '.join(map(repr, source.transform.to_gdal()))}</GeoTransform>"
        self.warpable = self.validity.warpable(self.source.dataset, self.source.name, place, self.infinite)
        dataset = rasterio.open(self.warpable.vrt)
        self.opened.append(dataset)
        return WarpedVRT(
            dataset,
            src_crs=source.crs,
            crs=self.grid.crs,
            transform=self.grid.transform,
            width=self.grid.width,
            height=self.grid.height,
            resampling=self.how.resampling,
            tolerance=TOLERANCE,
            **self.warpable.options,
            **({} if scale is None else {"XSCALE": scale[0], "YSCALE": scale[1]}),
        )

    def read(self, window: Window) -> Block:
        """Values and validity of a window of the grid, which may reach outside."""
        rows, cols = (0, 0) if self.offset is None else self.offset
        shape = self.source.grid if self.offset is not None else self.grid
        wanted = window.shifted(-rows, -cols)
        inside = wanted & shape.window
        values = np.zeros((len(self.source.band_indices), window.height, window.width), self.dtype)
        valid = np.zeros((window.height, window.width), dtype=bool)
        if not inside.empty:
            part = (Ellipsis, *inside.within(wanted))
            found, valid[part] = self._read(inside)
            with np.errstate(over="ignore"):
                values[part] = found if self.conversion is None else self.conversion(found, self.dtype)
            if np.issubdtype(self.dtype, np.floating):
                valid &= np.isfinite(values).all(axis=0)  # values beyond float32, and what a warp mixed with infinity
        return Block(values, valid)

    def _read(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            if self.warped:
                values, valid = self._read_warped(area)
                if self._spreads_infinities(values, window):
                    self._open_warps(infinite=True)
                    values, valid = self._read_warped(area)
            else:
                values, valid = self.validity.read(self.source.dataset, area)
        except GdalError as error:
            raise RasterReadError(
                f"{self.source.spec.path}: cannot be read at rows {window.row}-{window.end_row - 1}, columns "
                f"{window.col}-{window.end_col - 1}: {error}; the file may be truncated or damaged"
            ) from error
        if values.dtype != self.source.dtype:
            values = np.rint(np.where(valid, values, 0)).astype(self.source.dtype)
        return values, valid

    def _spreads_infinities(self, values: NDArray[np.generic], window: Window) -> bool:
        """Whether a warp has met infinities around a window of the grid, which it spreads, as NaN too."""
        if not self.validity.floating or self.infinite or np.isfinite(values).all():
            return False
        steps = np.linspace(0, 1, 9)
        places = [(window.col + col * window.width, window.row + row * window.height) for row in steps for col in steps]
        for turn in self.turns:
            found = np.array(mapped(self.grid, self.source.grid.moved(turn), places))
            found = found[np.isfinite(found).all(axis=1)]
            if not len(found):
                continue
            reach = 4 + 2 * math.ceil(1 / min(1.0, *(kernel_scale(self.source.grid.moved(turn), self.grid) or (1.0,))))
            (left, top), (right, bottom) = np.floor(found.min(axis=0)) - reach, np.ceil(found.max(axis=0)) + reach
            area = Window(int(top), int(left), int(bottom - top), int(right - left)) & self.source.grid.window
            if not area.empty:
                box = RasterioWindow(area.col, area.row, area.width, area.height)
                if np.isinf(self.source.dataset.read(list(self.source.band_indices), window=box)).any():
                    return True
        return False

    def _read_warped(self, area: RasterioWindow) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        first, *others = self.warped
        values, valid = self.warpable.read(first, area)
        for other in others:
            more, there = self.warpable.read(other, area)
            values, valid = np.where(valid, values, more), valid | there
        return values, valid

    def close(self) -> None:
        for dataset in (*self.warped, *self.opened):
            dataset.close()
        self.warped, self.opened = [], []


@dataclass(frozen=True)
class _Group:
    """A raster of a mosaic: sources whose bands are stacked, and what masks them."""

    sources: Sequence[_AlignedSource]
    masks: Sequence[Mask]

    def __str__(self) -> str:
        return " + ".join(str(item.source.spec) for item in self.sources)

    def read(self, window: Window, dtype: str) -> Block:
        blocks = [item.read(window) for item in self.sources]
        values = blocks[0].values
        if len(blocks) > 1:
            values = np.concatenate([block.values.astype(dtype, copy=False) for block in blocks])
        valid = np.logical_and.reduce([block.valid for block in blocks])
        for mask in self.masks:
            valid[mask.read(window)] = False
        return Block(values, valid)


class AlignedReader:
    """Reads a modality on a grid. A context manager; reads may come from several threads.

    Sources are cut into groups of as many bands as the modality has: the bands of a group are stacked in their order,
    and several groups are a mosaic, in which a pixel is taken from the first group that is valid there.

    Args:
        specs: Sources.
        grid: The grid to bring them onto.
        modality: Whose bands, data type and scale they are brought to; None stacks all bands in the sources' own.
        resampling: For sources that do not lie on the grid's pixels.
        order: Which group of a mosaic comes first.
        stored: Take all that is stored, whatever nodata values and masks say; validity then is the footprint.
        masks: What makes pixels invalid, for each group by its number from 1 in the order given; 0 for all. They are
            closed with the reader.

    Raises:
        RasterReadError: If a source cannot be opened.
        BandError: If a band does not exist, there are too few or too many, or values cannot be brought to the data type
            and scale.
        GridError: If a source cannot be brought onto the grid.
    """

    def __init__(
        self,
        specs: Sequence[SourceSpec],
        grid: Grid,
        modality: Modality | None = None,
        resampling: Method = "bilinear",
        order: Order = "given",
        stored: bool = False,
        masks: Mapping[int, Sequence[Mask]] = MappingProxyType({}),
    ) -> None:
        self.grid = grid
        self._modality = modality
        self._lock = threading.Lock()
        self._groups: list[_Group] = []
        how = _Reading(Resampling[resampling], stored)
        with ExitStack() as stack:
            sources = [stack.enter_context(RasterSource(spec, how.resampling)) for spec in specs]
            for number, group in enumerate([sources] if modality is None else grouped(sources, modality), 1):
                aligned = self._aligned(group, modality, how)
                for one in aligned:
                    stack.enter_context(closing(one))
                self._groups.append(_Group(aligned, [*masks.get(0, ()), *masks.get(number, ())]))
            beyond = [number for number in masks if number > len(self._groups)]
            if beyond:
                raise BandError(f"a mask is for raster {beyond[0]} of a mosaic, but there are {len(self._groups)}")
            self.dtype = str(np.result_type(*(item.dtype for item in self._sources)))
            self._sort(order)
            for mask in (mask for many in masks.values() for mask in many):
                stack.enter_context(closing(mask))
            self._opened = stack.pop_all()

    def _aligned(self, group: Sequence[RasterSource], modality: Modality | None, how: _Reading) -> list[_AlignedSource]:
        for source in group:
            if not is_real(source.dtype):
                raise BandError(
                    f"{source.spec}: is {source.dtype}; bring complex numbers to amplitude or intensity first"
                )
        dtype = None if modality is None else modality.dtype
        converted = [None] * len(group) if modality is None else conversions(group, modality)
        return [
            _AlignedSource(source, self.grid, dtype, one, how) for source, one in zip(group, converted, strict=True)
        ]

    def _sort(self, order: Order) -> None:
        """The groups in their order; those that are alike stay as they are given."""
        if order == "finest":
            self._groups.sort(key=lambda group: max(item.pixels for item in group.sources))
        elif order == "newest" and len(self._groups) > 1:
            self._groups.sort(key=lambda group: max(acquired(item.source) for item in group.sources), reverse=True)

    @property
    def _sources(self) -> list[_AlignedSource]:
        return [item for group in self._groups for item in group.sources]

    def __enter__(self) -> AlignedReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the files."""
        self._opened.close()

    @property
    def band_names(self) -> tuple[str, ...]:
        """Of all bands, in order."""
        return tuple(name for item in self._groups[0].sources for name in item.source.band_names)

    @property
    def nodata(self) -> tuple[float | None, ...]:
        """Of all bands, the value that stands for no data."""
        return tuple(number for item in self._groups[0].sources for number in item.validity.nodata)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is done with the sources that the user should know: conversions, and the order of a mosaic."""
        found = [item.conversion.said for item in self._sources if item.conversion is not None]
        if len(self._groups) > 1:
            found.append(f"a mosaic, each pixel of the first that is valid there: {', '.join(self.origins)}")
        return tuple(found)

    @property
    def origins(self) -> tuple[str, ...]:
        """The rasters of the mosaic in their order."""
        return tuple(map(str, self._groups))

    def warnings(self, window: Window) -> tuple[str, ...]:
        """Scales that cannot be compared with the modality's, what is cut off, and what masks say of a window."""
        scales = [
            f"{item.source.spec}: has {written(item.source.declared)}, and the model, which an older engine wrote, "
            "does not say what its numbers mean; they are taken as they are stored"
            for item in self._sources
            if self._modality is not None and self._modality.scales is None and item.source.declared is not None
        ]
        scales += [item.conversion.warning for item in self._sources if item.conversion and item.conversion.warning]
        masks = dict.fromkeys(mask for group in self._groups for mask in group.masks)
        return (*scales, *(warning for mask in masks for warning in mask.warnings(window)))

    def reach(self, window: Window) -> float:
        """Share of a window's pixels that lie in every source, found on a lattice of places."""
        steps = (np.arange(32) + 0.5) / 32
        places = [(window.col + col * window.width, window.row + row * window.height) for row in steps for col in steps]
        inside = np.logical_and.reduce([item.holds(places) for item in self._sources])
        return float(inside.mean())

    @property
    def block_width(self) -> int:
        """Columns of the widest block, which is read as a whole; a raster's width where it is stored in stripes.

        Of sources that lie on the grid's pixels; 1 without one: what is warped has pixels of its own.
        """
        read = [item.source.dataset for item in self._sources if not item.warped]
        return max((shape[1] for dataset in read for shape in dataset.block_shapes), default=1)

    @property
    def block_height(self) -> int:
        """Rows of the tallest block."""
        every = [item.source.dataset for item in self._sources]
        return max((shape[0] for dataset in every for shape in dataset.block_shapes), default=1)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel in GDAL's cache, which holds all bands of a raster that stores them together."""
        return sum(np.dtype(kind).itemsize for item in self._sources for kind in item.source.dataset.dtypes)

    def read(self, window: Window) -> Block:
        """Values ``[C, h, w]`` and validity ``[h, w]`` of a window of the grid, which may reach outside of it.

        Raises:
            RasterReadError: If a source cannot be read there.
        """
        with self._lock:
            first, *others = self._groups
            block = first.read(window, self.dtype)
            if not others:
                return block
            values, valid = block.values, block.valid
            origin = valid.astype(np.uint16)
            for number, group in enumerate(others, 2):
                if valid.all():
                    break
                more = group.read(window, self.dtype)
                new = more.valid & ~valid
                values = np.where(new, more.values, values)
                origin[new] = number
                valid |= new
        return Block(values, valid, origin)
