"""A modality on a grid: its sources stacked, warped where they need it, with validity by pixel."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform, transform_bounds
from rasterio.windows import Window as RasterioWindow

from engine.errors import BandError, GridError, RasterReadError
from engine.grid import Grid, Window
from engine.raster.sources import RasterSource, SourceSpec, open_source

Method = Literal["bilinear", "nearest"]

GdalError = (RasterioError, CPLE_BaseError)
"""What rasterio raises when GDAL fails; the second, which escapes from warping, has no public name."""

LATTICE = 5
"""Places along each side of a grid at which a source's scale is taken."""

TOLERANCE = 1e-6
"""Error of a warp's coordinates in pixels. GDAL's own 0.125 makes values depend on the window that is read."""


@dataclass(frozen=True)
class Block:
    """What a window holds: values ``[C, h, w]`` and, where all bands are valid, ``valid`` ``[h, w]``."""

    values: NDArray[np.generic]
    valid: NDArray[np.bool_]


def check_georeference(source: RasterSource, grid: Grid) -> None:
    """Refuses a source that cannot be brought onto ``grid``.

    Raises:
        GridError: If only one of them has a CRS, neither has and the grids differ, or they do not meet.
    """
    if (source.grid.crs is None) != (grid.crs is None):
        without, beside = (
            (source.spec.path, "the grid has one")
            if source.grid.crs is None
            else (
                "the grid",
                f"{source.spec.path} has {source.grid.crs.to_string()}",
            )
        )
        raise GridError(
            f"{source.spec.path}: {without} has no coordinate reference system, while {beside}; "
            "assign one (for instance with gdal_edit.py -a_srs), or give only sources without"
        )
    if grid.crs is None or source.grid.crs is None:
        if source.grid != grid:
            raise GridError(
                f"{source.spec.path}: without a coordinate reference system all grids must be the same; this one is "
                f"{source.grid.height} x {source.grid.width} pixels with {_geometry(source.grid)}, the others' "
                f"{grid.height} x {grid.width} with {_geometry(grid)}"
            )
        return
    try:
        # Either way round, since the bounds of half the world mean nothing in the CRS of a small area.
        turned = [source.grid.moved(degrees) for degrees in _turns(source.grid, grid)]
        meet = any(_touches(one, grid) or _touches(grid, one) for one in turned)
    except GdalError as error:
        raise GridError(
            f"{source.spec.path}: its coordinate reference system cannot be brought to {grid.crs.to_string()}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    if not meet:
        raise GridError(
            f"{source.spec.path}: lies outside of the grid: it covers {_rounded(source.grid.bounds)} in "
            f"{source.grid.crs.to_string()}, the grid {_rounded(grid.bounds)} in {grid.crs.to_string()}"
        )


def _touches(one: Grid, other: Grid) -> bool:
    """Whether the bounds of ``one``, brought to the CRS of ``other``, hold any of its pixels."""
    bounds = one.bounds if one.crs == other.crs else transform_bounds(one.crs, other.crs, *one.bounds)
    return bool(np.isfinite(bounds).all()) and not (other.window_of(bounds) & other.window).empty


def _turns(source: Grid, grid: Grid) -> list[float]:
    """Degrees of longitude by which a source is to be moved to cover what it can of a grid; 0 but at the antimeridian.

    A raster from 179 to 181 degrees east meets points at 179 and at -179.
    """
    if source.crs is None or not source.crs.is_geographic:
        return [0]
    left, _, right, _ = source.bounds
    low, _, high, _ = grid.bounds if grid.crs is not None and grid.crs.is_geographic else (-180, 0, 180, 0)
    pixel = source.pixel_size[0]
    return [turn for turn in (0, -360, 360) if min(right + turn, high) - max(left + turn, low) > pixel] or [0]


def _scale(source: Grid, grid: Grid) -> dict[str, object]:
    """GDAL's options for the number of grid pixels in a pixel of ``source``, which say how wide its kernels are.

    GDAL itself finds it anew for each window that it warps, so that values depend on the window, and a turned grid is
    smoothed. Taken as the median over a lattice of places of the grid, those in the source where there are such.
    """
    steps = (np.arange(LATTICE) + 0.5) / LATTICE
    places = [(col * grid.width, row * grid.height) for row in steps for col in steps]
    scales, inside = [], []
    for col, row in places:
        here, right, below = _mapped(grid, source, [(col, row), (col + 1, row), (col, row + 1)])
        across = np.hypot(right[0] - here[0], below[0] - here[0])
        down = np.hypot(right[1] - here[1], below[1] - here[1])
        if np.isfinite([across, down]).all() and across > 0 and down > 0:
            scales.append((1 / across, 1 / down))
            inside.append(0 <= here[0] <= source.width and 0 <= here[1] <= source.height)
    if not scales:
        return {}
    chosen = [scale for scale, there in zip(scales, inside, strict=True) if there] or scales
    across, down = np.median(chosen, axis=0)
    return {"XSCALE": float(across), "YSCALE": float(down)}


def _mapped(one: Grid, other: Grid, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Columns and rows of ``one`` as those of ``other``; infinite where they have no image."""
    places = [one.transform @ point for point in points]
    xs, ys = transform(one.crs, other.crs, [x for x, _ in places], [y for _, y in places])
    if other.crs is not None and other.crs.is_geographic and max(xs) - min(xs) > 180:
        xs = [x + 360 if x < 0 else x for x in xs]
    return [~other.transform @ point for point in zip(xs, ys, strict=True)]


def _geometry(grid: Grid) -> str:
    return f"origin ({grid.transform.c:.9g}, {grid.transform.f:.9g}) and pixels of " + " x ".join(
        f"{size:.9g}" for size in grid.pixel_size
    )


def _rounded(bounds: tuple[float, float, float, float]) -> str:
    return "(" + ", ".join(f"{number:.6g}" for number in bounds) + ")"


def fits(found: str, wanted: str) -> bool:
    """Whether values of data type ``found`` are taken as ``wanted``: without loss, or rounded to float32's 24 bits."""
    rounded = found in ("float64", "int32", "uint32") and wanted == "float32"
    return bool(np.can_cast(found, wanted, "safe")) or rounded


class _Bands:
    """Some bands of a dataset, and what says where they are valid.

    That is found once: rasterio goes through all bands of a file whenever one of its lists is asked for.
    """

    def __init__(self, dataset: rasterio.DatasetReader, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, list(indices)
        every, numbers = dataset.mask_flag_enums, dataset.nodatavals
        flags = [every[band - 1] for band in indices]
        warped = isinstance(dataset, WarpedVRT)
        self.all_valid = all(MaskFlags.all_valid in flag for flag in flags)
        self.alpha = self.nodata = None
        if warped and all(MaskFlags.alpha in flag for flag in flags):
            self.alpha = dataset.colorinterp.index(ColorInterp.alpha) + 1
        elif warped and all(flag == [MaskFlags.nodata] for flag in flags):
            self.nodata = np.array([numbers[band - 1] for band in indices])[:, None, None]

    def read(self, area: RasterioWindow) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Values and validity; what is warped is read once, since GDAL may warp again for its masks."""
        if self.alpha is not None and not self.all_valid:
            *values, opaque = self.dataset.read([*self.indices, self.alpha], window=area)
            return np.stack(values), opaque > 0
        found = self.dataset.read(self.indices, window=area)
        if self.all_valid:
            return found, np.ones(found.shape[1:], dtype=bool)
        if self.nodata is not None:
            with np.errstate(invalid="ignore"):
                return found, ((found != self.nodata) & ~(np.isnan(self.nodata) & np.isnan(found))).all(axis=0)
        return found, (self.dataset.read_masks(self.indices, window=area) > 0).all(axis=0)


class _AlignedSource:
    """One source on a grid: read directly where it lies on the grid's pixels, else warped."""

    def __init__(self, spec: SourceSpec, grid: Grid, resampling: Resampling) -> None:
        self.source = open_source(spec)
        self.grid = grid
        try:
            check_georeference(self.source, grid)
            turns = _turns(self.source.grid, grid)
            self.offset = grid.offset_of(self.source.grid.moved(turns[0])) if len(turns) == 1 else None
            self.warped = [] if self.offset is not None else [self._warp(resampling, turn) for turn in turns]
            self.bands = [_Bands(dataset, self.source.band_indices) for dataset in self.warped or [self.source.dataset]]
        except BaseException:
            self.source.close()
            raise

    def _warp(self, resampling: Resampling, turn: float) -> WarpedVRT:
        dataset = self.source.dataset
        source = self.source.grid.moved(turn)
        options: dict[str, object] = {"UNIFIED_SRC_NODATA": "NO"}  # each band leaves out its own nodata only
        options |= _scale(source, self.grid)
        nodata = self.source.nodata
        if nodata is None and np.issubdtype(self.source.dtype, np.floating):
            nodata = float("nan")
        if nodata is not None and ColorInterp.alpha not in dataset.colorinterp:
            options |= {"src_nodata": nodata, "nodata": nodata}
        elif ColorInterp.alpha not in dataset.colorinterp:
            options |= {"add_alpha": True}
        return WarpedVRT(
            dataset,
            src_transform=source.transform,
            crs=self.grid.crs,
            transform=self.grid.transform,
            width=self.grid.width,
            height=self.grid.height,
            resampling=resampling,
            tolerance=TOLERANCE,
            **options,
        )

    def read(self, window: Window) -> Block:
        """Values and validity of a window of the grid, which may reach outside."""
        rows, cols = (0, 0) if self.offset is None else self.offset
        shape = self.source.grid if self.offset is not None else self.grid
        wanted = window.shifted(-rows, -cols)
        inside = wanted & shape.window
        values = np.zeros((len(self.source.band_indices), window.height, window.width), self.source.dtype)
        valid = np.zeros((window.height, window.width), dtype=bool)
        if not inside.empty:
            part = (Ellipsis, *inside.within(wanted))
            values[part], valid[part] = self._read(inside)
        return Block(values, valid)

    def _read(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        first, *others = self.bands
        values, valid = self._read_one(first, window)
        for other in others:
            more, there = self._read_one(other, window)
            values, valid = np.where(valid, values, more), valid | there
        return values, valid

    def _read_one(self, bands: _Bands, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            values, valid = bands.read(area)
        except GdalError as error:
            raise RasterReadError(
                f"{self.source.spec.path}: cannot be read at rows {window.row}-{window.end_row - 1}, columns "
                f"{window.col}-{window.end_col - 1}: {error}; the file may be truncated or damaged"
            ) from error
        if np.issubdtype(values.dtype, np.floating):
            valid = valid & np.isfinite(values).all(axis=0)
        return values, valid

    def close(self) -> None:
        for warped in self.warped:
            warped.close()
        self.source.close()


class AlignedReader:
    """Reads a modality on a grid. A context manager; reads may come from several threads.

    Args:
        specs: Sources whose bands, stacked in this order, are the modality's.
        grid: The grid to bring them onto.
        dtype: Data type to give; None keeps the sources' own.
        resampling: For sources that do not lie on the grid's pixels.

    Raises:
        RasterReadError: If a source cannot be opened.
        BandError: If a band does not exist, or its values do not fit ``dtype`` without loss.
        GridError: If a source cannot be brought onto the grid.
    """

    def __init__(
        self,
        specs: Sequence[SourceSpec],
        grid: Grid,
        dtype: str | None = None,
        resampling: Method = "bilinear",
    ) -> None:
        self.grid = grid
        self._lock = threading.Lock()
        self._sources: list[_AlignedSource] = []
        try:
            for spec in specs:
                self._sources.append(_AlignedSource(spec, grid, Resampling[resampling]))
            self.dtype = dtype or str(np.result_type(*(item.source.dtype for item in self._sources)))
            self._check_dtype()
        except BaseException:
            self.close()
            raise

    def _check_dtype(self) -> None:
        for item in self._sources:
            if not fits(item.source.dtype, self.dtype):
                raise BandError(
                    f"{item.source.spec}: is {item.source.dtype}, which does not fit {self.dtype} without loss; "
                    f"convert it to {self.dtype} in the units that the model was trained on"
                )

    def __enter__(self) -> AlignedReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the files."""
        for item in self._sources:
            item.close()

    @property
    def band_names(self) -> tuple[str, ...]:
        """Of all bands, in order."""
        return tuple(name for item in self._sources for name in item.source.band_names)

    @property
    def block_width(self) -> int:
        """Columns of the widest block, which is read as a whole; a raster's width where it is stored in stripes.

        Of sources that lie on the grid's pixels; 1 without one: what is warped has pixels of its own.
        """
        read = [item.source.dataset for item in self._sources if not item.warped]
        return max((shape[1] for dataset in read for shape in dataset.block_shapes), default=1)

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
            blocks = [item.read(window) for item in self._sources]
        with np.errstate(over="ignore"):
            values = np.concatenate([block.values.astype(self.dtype, copy=False) for block in blocks])
        valid = np.logical_and.reduce([block.valid for block in blocks])
        if np.issubdtype(self.dtype, np.floating):
            valid &= np.isfinite(values).all(axis=0)  # float64 values beyond float32
        return Block(values, valid)
