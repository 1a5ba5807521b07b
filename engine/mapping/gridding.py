"""The grid of a map, chosen from its sources."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from shlex import quote

from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform_bounds

from engine.errors import BandError, GridError
from engine.grid import Bounds, Grid, Window
from engine.ground import ground_of
from engine.modality import Modality
from engine.model.file import Model
from engine.raster.mosaics import extended, grouped
from engine.raster.naming import Sources
from engine.raster.overlay import GdalError, turns
from engine.raster.sources import RasterSource, SourceSpec, open_source

COARSER = 1.5
"""A source whose pixels differ by more than this factor from the map's is warned about."""

SAME = 1.01
"""Pixels whose sizes differ by no more than this factor are of one size."""

FINER = 100
"""A map of more than this many pixels for each of the sources' is made only if its pixel size is asked for."""

LARGEST = 10**11
"""Pixels that a map may have."""


@dataclass(frozen=True)
class Gridding:
    """The grid of a map, and what the user should know of how the sources fit it."""

    grid: Grid
    warnings: tuple[str, ...]


def _alike(one: float, other: float) -> bool:
    return abs(math.log(one / other)) <= math.log(SAME)


def _fitted(reference: Grid, model: Model, metres: float) -> Grid:
    """``reference`` in pixels of the model's size, which is ``metres``; itself where its own are of that size.

    The size that the model was trained with is taken to the digit where that is right as well: grids of UTM zones have
    pixels of 10 m, not of 10.004.
    """
    size, own = model.metadata.pixel_size, math.sqrt(math.prod(reference.pixel_size))
    wanted = own * metres / reference.metres
    if _alike(wanted, own):
        return reference
    ground, trained = ground_of(reference.crs), model.ground
    if trained is not None and trained.geographic == ground.geographic:
        nominal = math.sqrt(size.x * size.y) * trained.unit / ground.unit
        wanted = nominal if _alike(nominal, wanted) else wanted
    return reference.resized(wanted)


def choose_grid(
    model: Model, sources: Sources, pixel_size: float | None = None, like: SourceSpec | None = None
) -> Gridding:
    """The grid that a model's sources are brought onto.

    It has the model's pixel size on the ground, and CRS and origin of the source whose pixels match that best (ties:
    the model's first modality); where they match to 1 %, that source's very pixels. It covers all sources that lie on
    its pixels already; the others are warped onto it and do not enlarge it, so that a world-wide elevation model does
    not make a world-wide map. The other rasters of its mosaic do enlarge it.

    Args:
        model: The model.
        sources: For each modality given, its sources.
        pixel_size: Size of a pixel in the grid's CRS, instead of the model's.
        like: A raster whose grid is taken as it is.

    Raises:
        RasterReadError: If a source cannot be opened.
        BandError: If a source lacks a band that is taken for an alpha band.
        GridError: If only some sources have a CRS, one is impossible, a modality lies elsewhere, a pixel size is given
            beside ``like``, or pixels of the model's size would be out of all proportion to the sources'.
    """
    grids: dict[str, Grid] = {}
    mosaics: dict[str, list[Grid]] = {}
    groups: list[list[str]] = []
    for modality in model.modalities:
        with ExitStack() as stack:
            opened = [stack.enter_context(open_source(spec)) for spec in sources.get(modality.name, ())]
            if not opened:
                continue
            _check_alpha(opened, modality)
            found = {str(source.spec): source.grid for source in opened}
            groups.append(list(found))
            if len(grouped(opened, modality)) > 1:
                mosaics |= {key: list(found.values()) for key in found}
            grids |= found
    if like is not None:
        if pixel_size is not None:
            raise GridError(f"the grid of {like} has a pixel size of its own; leave out the one given ({pixel_size})")
        with open_source(like) as source:
            grid = source.grid
        _check_crs({**grids, str(like): grid})
        return Gridding(grid, tuple(_warnings(grid, grids)))
    _check_crs(grids)
    wanted = model.metres
    apart = {name: abs(math.log(grid.metres / wanted)) for name, grid in grids.items()}
    best = next(name for name in grids if apart[name] <= min(apart.values()) + math.log(SAME))
    reference = grids[best]
    if reference.crs is None:
        return Gridding(reference, ())
    fitted = _fitted(reference, model, wanted) if pixel_size is None else reference.resized(pixel_size)
    aligned = [one for one in grids.values() if fitted.offset_of(one) is not None]
    _check_apart(grids, groups)
    grid = extended(fitted, [*aligned, *mosaics.get(best, ())])
    given = sum(one.height * one.width for one in grids.values())
    if pixel_size is None and grid.height * grid.width > FINER * given:
        raise GridError(
            f"the model was trained on pixels of {wanted:.4g} m, {best} has {reference.metres:.4g} m: a map of "
            f"{grid.height} x {grid.width} pixels would have more than {FINER} times those of its sources together; "
            f"give a finer source, or ask for these pixels with --pixel-size {grid.pixel_size[0]:.9g}"
        )
    return Gridding(grid, tuple(_warnings(grid, grids)))


def _check_alpha(sources: Sequence[RasterSource], modality: Modality) -> None:
    """Refuses files that have too few bands because one of them counts as alpha, as GDAL may flag a fourth one.

    Raises:
        BandError: If so.
    """
    for source in sources:
        dataset = source.dataset
        hidden = [band for band in dataset.indexes if band not in source.band_indices]
        if source.spec.bands or not hidden or dataset.count != len(modality.bands):
            continue
        named = [f"{band} ({dataset.descriptions[band - 1] or 'without a description'})" for band in hidden]
        every = replace(source.spec, bands=tuple(map(str, dataset.indexes)))
        raise BandError(
            f"{source.spec}: has the {dataset.count} bands that {modality.name} takes, but its band {', '.join(named)} "
            "is flagged as alpha, as GDAL may do by itself with a fourth band, and is left out; if it is "
            f"{modality.bands[hidden[0] - 1]}, take it with {quote(f'{modality.name}={every}')}"
        )


def _check_apart(grids: Mapping[str, Grid], groups: Sequence[Sequence[str]]) -> None:
    """Refuses a modality none of whose sources meets one of another in the same CRS: the map would reach over both.

    Raises:
        GridError: If so.
    """
    for group in groups:
        others = [name for one in groups if one is not group for name in one]
        pairs = [(_gap(grids[one], grids[other]), one, other) for one in group for other in others]
        if pairs and min(pairs)[0] > 0:
            gap, one, other = min(pairs)
            raise GridError(
                f"{one}: lies {gap / 1000:,.4g} km away from {other}, the nearest of the other sensors' sources, and "
                f"meets none of them; it covers {_rounded(grids[one].bounds)}, that {_rounded(grids[other].bounds)}. "
                "Give rasters of one place; a map that reaches over both takes a raster that does with --like"
            )


def _gap(one: Grid, other: Grid) -> float:
    """Metres between two grids of one CRS along the axes, at least a pixel where they only touch; 0 where they meet.

    Of others it is not asked: what is warped does not enlarge the map, and is refused where it does not meet it.
    """
    if one.crs != other.crs:
        return 0
    (left, bottom, right, top), (west, south, east, north) = one.moved(turns(one, other)[0]).bounds, other.bounds
    apart = max(west - right, left - east), max(south - top, bottom - north)
    if max(apart) < 0:
        return 0
    return math.hypot(*(max(0.0, side) for side in apart)) * ground_of(one.crs).unit + one.metres


def _rounded(bounds: Bounds) -> str:
    return f"({', '.join(f'{number:.7g}' for number in bounds)})"


def _check_crs(grids: Mapping[str, Grid]) -> None:
    without = [name for name, grid in grids.items() if grid.crs is None]
    if without and len(without) < len(grids):
        other = next(name for name in grids if name not in without)
        raise GridError(
            f"{without[0]}: has no coordinate reference system, while {other} has one; assign it one "
            "(for instance with gdal_edit.py -a_srs), or give only sources without"
        )
    for name, grid in grids.items():
        try:
            _ = grid.metres
        except GridError as error:
            raise GridError(f"{name}: {error}") from error


def _warnings(grid: Grid, grids: Mapping[str, Grid]) -> list[str]:
    found = []
    for name, other in grids.items():
        ratio = other.metres / grid.metres
        if not 1 / COARSER <= ratio <= COARSER:
            kind = "coarser" if ratio > 1 else "finer"
            found.append(
                f"{name}: its pixels are {max(ratio, 1 / ratio):.1f} times {kind} than the map's "
                f"({other.metres:.3g} m, the map {grid.metres:.3g} m)"
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


def check_size(window: Window) -> None:
    """Refuses a map that nobody can want, before anything is allocated for it.

    Raises:
        GridError: If it has more pixels than LARGEST.
    """
    if window.height * window.width > LARGEST:
        raise GridError(
            f"a map of {window.height} x {window.width} pixels is more than the {LARGEST:,} that are taken on; choose "
            "a part with --bounds or --area, or larger pixels with --pixel-size"
        )
