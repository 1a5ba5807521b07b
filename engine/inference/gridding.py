"""The grid of a map, chosen from its sources."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform_bounds

from engine.errors import GridError
from engine.grid import Bounds, Grid, Window
from engine.inference.model import Model
from engine.raster.alignment import GdalError
from engine.raster.sources import SourceSpec, open_source

COARSER = 1.5
"""A source whose pixels differ by more than this factor from the map's is warned about."""

Sources = Mapping[str, Sequence[SourceSpec]]


@dataclass(frozen=True)
class Gridding:
    """The grid of a map, and what the user should know of how the sources fit it."""

    grid: Grid
    warnings: tuple[str, ...]


def grid_metres(grid: Grid) -> float:
    """Size of a pixel in metres; at the grid's middle where its CRS is geographic (spherical, to a few permille)."""
    width, height = grid.pixel_size
    size = math.sqrt(width * height)
    if grid.crs is None:
        return size
    if grid.crs.is_geographic:
        _, bottom, _, top = grid.bounds
        if not -90.1 <= bottom <= top <= 90.1:
            raise GridError(
                f"a raster in {grid.crs.to_string()} reaches from {bottom:g} to {top:g} north, which are no degrees; "
                "assign it its right coordinate reference system"
            )
        return size * 111_320 * math.sqrt(math.cos(math.radians((bottom + top) / 2)))
    try:
        return float(size * grid.crs.linear_units_factor[1])
    except CRSError as error:
        raise GridError(
            f"{grid.crs.to_wkt()[:80]} is no geographic or projected coordinate reference system; assign one"
        ) from error


def _scaled(grid: Grid, pixel_size: float) -> Grid:
    """The same area from the same origin in square pixels of ``pixel_size``."""
    width, height = grid.pixel_size
    if math.isclose(width, pixel_size, rel_tol=1e-4) and math.isclose(height, pixel_size, rel_tol=1e-4):
        return grid
    return Grid(
        grid.crs,
        grid.transform @ Affine.scale(pixel_size / width, pixel_size / height),
        max(1, math.ceil(grid.height * height / pixel_size - 1e-6)),
        max(1, math.ceil(grid.width * width / pixel_size - 1e-6)),
    )


def model_metres(model: Model) -> float:
    """Size of a model's pixel in metres."""
    size = model.metadata.pixel_size
    mean = math.sqrt(size.x * size.y)
    if size.crs is not None and size.crs.upper() in ("EPSG:4326", "OGC:CRS84"):
        return mean * 111_320
    return mean


def choose_grid(
    model: Model, sources: Sources, pixel_size: float | None = None, like: SourceSpec | None = None
) -> Gridding:
    """The grid that a model's sources are brought onto.

    It has the model's pixel size, and CRS and origin of the source whose pixels match that best (ties: the model's
    first modality). It covers all sources that lie on its pixels already; the others are warped onto it and do not
    enlarge it, so that a world-wide elevation model does not make a world-wide map.

    Args:
        model: The model.
        sources: For each modality given, its sources.
        pixel_size: Size of a pixel in the grid's CRS, instead of the model's.
        like: A raster whose grid is taken as it is.

    Raises:
        RasterReadError: If a source cannot be opened.
        GridError: If only some sources have a CRS, one is impossible, or a pixel size is given beside ``like``.
    """
    grids: dict[str, Grid] = {}
    for name in model.names:
        for spec in sources.get(name, ()):
            with open_source(spec) as source:
                grids[str(spec)] = source.grid
    if like is not None:
        if pixel_size is not None:
            raise GridError(f"the grid of {like} has a pixel size of its own; leave out the one given ({pixel_size})")
        with open_source(like) as source:
            grid = source.grid
        _check_crs({**grids, str(like): grid})
        return Gridding(grid, tuple(_warnings(grid, grids)))
    _check_crs(grids)
    wanted = model_metres(model)
    best = min(grids, key=lambda name: round(abs(math.log(grid_metres(grids[name]) / wanted)), 3))
    reference = grids[best]
    if reference.crs is None:
        return Gridding(reference, ())
    factor = wanted / grid_metres(reference)
    if pixel_size is not None:
        reference = _scaled(reference, pixel_size)
    elif abs(math.log(factor)) > math.log(1.01):
        reference = _scaled(reference, math.sqrt(math.prod(reference.pixel_size)) * factor)
    grid = _union(reference, grids.values())
    return Gridding(grid, tuple(_warnings(grid, grids)))


def _check_crs(grids: Mapping[str, Grid]) -> None:
    without = [name for name, grid in grids.items() if grid.crs is None]
    if without and len(without) < len(grids):
        other = next(name for name in grids if name not in without)
        raise GridError(
            f"{without[0]}: has no coordinate reference system, while {other} has one; assign it one "
            "(for instance with gdal_edit.py -a_srs), or give only sources without"
        )


def _union(reference: Grid, grids: Iterable[Grid]) -> Grid:
    window = reference.window
    for grid in grids:
        offset = reference.offset_of(grid)
        if offset is not None:
            window = window | Window(*offset, grid.height, grid.width)
    return reference.part(window)


def _warnings(grid: Grid, grids: Mapping[str, Grid]) -> list[str]:
    found = []
    for name, other in grids.items():
        ratio = grid_metres(other) / grid_metres(grid)
        if not 1 / COARSER <= ratio <= COARSER:
            kind = "coarser" if ratio > 1 else "finer"
            found.append(
                f"{name}: its pixels are {max(ratio, 1 / ratio):.1f} times {kind} than the map's "
                f"({grid_metres(other):.3g} m, the map {grid_metres(grid):.3g} m)"
            )
        if grid.offset_of(other) is None and grid.crs is not None and _reaches_beyond(other, grid):
            found.append(f"{name}: reaches far beyond the map's grid; what lies outside is not mapped")
    return found


def _reaches_beyond(other: Grid, grid: Grid) -> bool:
    """Whether ``other`` covers more than 1.5 times the grid's area; so it does where its bounds have no image."""
    try:
        bounds = other.bounds if other.crs == grid.crs else transform_bounds(other.crs, grid.crs, *other.bounds)
    except GdalError:
        return True
    if not all(map(math.isfinite, bounds)):
        return True
    area = grid.window_of(bounds)
    return area.height * area.width > 1.5 * grid.height * grid.width


def window_of_bounds(grid: Grid, bounds: Bounds | None, crs: str | None = None) -> Window:
    """The part of a grid within ``bounds``, snapped outwards to pixels; all of it where None.

    Args:
        grid: The grid.
        bounds: Left, bottom, right, top.
        crs: Their CRS (``EPSG:...`` or WKT); the grid's where None. The rectangle around their image counts.

    Raises:
        GridError: If they do not meet, or the CRS is unknown or has no way to the grid's.
    """
    if bounds is None:
        return grid.window
    if crs is not None and grid.crs is not None:
        try:
            bounds = transform_bounds(CRS.from_user_input(crs), grid.crs, *bounds)
        except (CRSError, *GdalError) as error:
            raise GridError(f"the bounds' CRS {crs} cannot be brought to {grid.crs.to_string()}: {error}") from error
        if not all(map(math.isfinite, bounds)):
            raise GridError(f"the bounds have no image in the map's CRS {grid.crs.to_string()}; give smaller ones")
    window = grid.window_of(bounds) & grid.window
    if window.empty:
        raise GridError(
            f"bounds {bounds} lie outside of the map's grid {grid.bounds}; give left, bottom, right, top in its CRS"
        )
    return window
