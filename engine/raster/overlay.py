"""How a raster lies on a grid: whether they meet, round the world too, where its pixels are and how large."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.warp import transform, transform_bounds

from engine.errors import GridError
from engine.grid import Grid
from engine.raster.sources import RasterSource

GdalError = (RasterioError, CPLE_BaseError)
"""What rasterio raises when GDAL fails; the second, which escapes from warping, has no public name."""

LATTICE = 5
"""Places along each side of a grid at which a source's scale is taken."""


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
        turned = [source.grid.moved(degrees) for degrees in turns(source.grid, grid)]
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


def turns(source: Grid, grid: Grid) -> list[float]:
    """Degrees of longitude by which a source is to be moved to cover what it can of a grid; 0 but at the antimeridian.

    A raster from 179 to 181 degrees east meets points at 179 and at -179.
    """
    if source.crs is None or not source.crs.is_geographic:
        return [0]
    left, _, right, _ = source.bounds
    low, _, high, _ = grid.bounds if grid.crs is not None and grid.crs.is_geographic else (-180, 0, 180, 0)
    pixel = source.pixel_size[0]
    return [turn for turn in (0, -360, 360) if min(right + turn, high) - max(left + turn, low) > pixel] or [0]


def kernel_scale(source: Grid, grid: Grid) -> tuple[float, float] | None:
    """How many pixels of a grid lie in one of ``source``, across and down, which says how wide GDAL's kernels are.

    GDAL itself finds it anew for each window that it warps, so that values depend on the window, and a turned grid is
    smoothed. Taken as the median over a lattice of places of the grid, those in the source where there are such.
    """
    steps = (np.arange(LATTICE) + 0.5) / LATTICE
    places = [(col * grid.width, row * grid.height) for row in steps for col in steps]
    scales, inside = [], []
    for col, row in places:
        here, right, below = mapped(grid, source, [(col, row), (col + 1, row), (col, row + 1)])
        across = np.hypot(right[0] - here[0], below[0] - here[0])
        down = np.hypot(right[1] - here[1], below[1] - here[1])
        if np.isfinite([across, down]).all() and across > 0 and down > 0:
            scales.append((1 / across, 1 / down))
            inside.append(0 <= here[0] <= source.width and 0 <= here[1] <= source.height)
    if not scales:
        return None
    chosen = [scale for scale, there in zip(scales, inside, strict=True) if there] or scales
    across, down = np.median(chosen, axis=0)
    return float(across), float(down)


def mapped(one: Grid, other: Grid, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Columns and rows of ``one`` as those of ``other``; infinite where they have no image."""
    places = [one.transform @ point for point in points]
    if one.crs == other.crs:
        return [~other.transform @ place for place in places]
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
