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
from rasterio.warp import transform_bounds
from rasterio.windows import Window as RasterioWindow

from engine.errors import BandError, GridError, RasterReadError
from engine.grid import Grid, Window
from engine.raster.sources import RasterSource, SourceSpec, open_source

Method = Literal["bilinear", "nearest"]

GdalError = (RasterioError, CPLE_BaseError)
"""What rasterio raises when GDAL fails; the second, which escapes from warping, has no public name."""

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
        meet = _touches(source.grid, grid) or _touches(grid, source.grid)
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


class _AlignedSource:
    """One source on a grid: read directly where it lies on the grid's pixels, else warped."""

    def __init__(self, spec: SourceSpec, grid: Grid, resampling: Resampling) -> None:
        self.source = open_source(spec)
        self.grid = grid
        try:
            check_georeference(self.source, grid)
            self.offset = (0, 0) if grid.crs is None else grid.offset_of(self.source.grid)
            self.warped = None if self.offset is not None else self._warp(resampling)
        except BaseException:
            self.source.close()
            raise

    def _warp(self, resampling: Resampling) -> WarpedVRT:
        dataset = self.source.dataset
        options: dict[str, object] = {"UNIFIED_SRC_NODATA": "NO"}  # each band leaves out its own nodata only
        nodata = self.source.nodata
        if nodata is None and np.issubdtype(self.source.dtype, np.floating):
            nodata = float("nan")
        if nodata is not None and ColorInterp.alpha not in dataset.colorinterp:
            options |= {"src_nodata": nodata, "nodata": nodata}
        elif ColorInterp.alpha not in dataset.colorinterp:
            options |= {"add_alpha": True}
        return WarpedVRT(
            dataset,
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
        dataset = self.warped or self.source.dataset
        bands = list(self.source.band_indices)
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            values = dataset.read(bands, window=area)
            masks = self._masks(dataset, bands, area)
        except GdalError as error:
            raise RasterReadError(
                f"{self.source.spec.path}: cannot be read at rows {window.row}-{window.end_row - 1}, columns "
                f"{window.col}-{window.end_col - 1}: {error}; the file may be truncated or damaged"
            ) from error
        valid = masks if masks is not None else np.ones(values.shape[1:], dtype=bool)
        if np.issubdtype(values.dtype, np.floating):
            valid = valid & np.isfinite(values).all(axis=0)
        return values, valid

    @staticmethod
    def _masks(dataset: rasterio.DatasetReader, bands: list[int], area: RasterioWindow) -> NDArray[np.bool_] | None:
        flags = [dataset.mask_flag_enums[band - 1] for band in bands]
        if all(MaskFlags.all_valid in flag for flag in flags):
            return None
        masks: NDArray[np.bool_] = (dataset.read_masks(bands, window=area) > 0).all(axis=0)
        return masks

    def close(self) -> None:
        if self.warped is not None:
            self.warped.close()
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
