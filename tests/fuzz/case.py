"""A case: a grid, sensors whose rasters lie anywhere on it, and how the map is made. It draws none of its own luck.

All that a case needs stands in its ``repr``, which can be pasted into a test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyproj
from affine import Affine
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS

PLACE = (5.97, 45.2)
"""Degrees east and north, between two UTM zones."""

PIXEL = 10.0
"""Metres."""

CRS_UNITS = {32631: 1.0, 32632: 1.0, 3857: 1.42, 4326: 1 / 90_000, 4258: 1 / 90_000}
"""CRSs by their EPSG codes, and how many units a metre has there, roughly."""

TAKEN = {
    "uint8": ("uint8",),
    "int16": ("int16", "int8", "uint8"),
    "uint16": ("uint16", "uint8"),
    "int32": ("int32", "int8", "uint8", "int16", "uint16"),
    "float32": ("float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32"),
}
"""By the data type of a model's input, those of the rasters that it takes."""

RANGES = {
    "int8": (-100, 100),
    "uint8": (1, 200),
    "int16": (-3000, 3000),
    "uint16": (1, 10_000),
    "int32": (-100_000, 100_000),
    "uint32": (1, 100_000),
    "float32": (-10, 10),
    "float64": (-10, 10),
}
"""What rasters of a data type measure."""

FLOAT32 = float(np.finfo("float32").max)


@dataclass(frozen=True)
class Lattice:
    """Where a raster's pixels lie: EPSG code (None: nowhere on the earth), affine transform, rows and columns."""

    epsg: int | None
    transform: tuple[float, float, float, float, float, float]
    height: int
    width: int

    @property
    def affine(self) -> Affine:
        return Affine(*self.transform)

    @property
    def crs(self) -> CRS | None:
        return None if self.epsg is None else CRS.from_epsg(self.epsg)


@dataclass(frozen=True)
class Source:
    """A raster.

    Args:
        lattice: Where it lies.
        dtype: Its data type.
        chosen: Positions among its bands of measurements, from 1.
        nodata: Of each band of measurements.
        mask: ``internal``, ``file`` (``.msk``), ``bands`` (one each), ``values`` (GDAL's NODATA_VALUES) or none.
        alpha: Position of an alpha band among all bands, from 1.
        broken: Whether some values are not finite, or (float64) beyond float32.
        seed: Of its values and of what is hidden.
    """

    lattice: Lattice
    dtype: str
    chosen: tuple[int, ...]
    nodata: tuple[float | None, ...]
    mask: str | None = None
    alpha: int | None = None
    broken: bool = False
    seed: int = 0

    @property
    def positions(self) -> tuple[int, ...]:
        """Of the chosen bands among all."""
        return tuple(band + (self.alpha is not None and band >= self.alpha) for band in self.chosen)


@dataclass(frozen=True)
class Quality:
    """A quality layer that masks a sensor: ``values=`` or ``bits=`` and numbers."""

    lattice: Lattice
    dtype: str
    rule: str
    nodata: int | None
    seed: int

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(number) for number in self.rule.partition("=")[2].split(","))


@dataclass(frozen=True)
class Sensor:
    """An input of the model, its rasters, and its quality layer."""

    dtype: str
    sources: tuple[Source, ...]
    quality: Quality | None = None


@dataclass(frozen=True)
class Case:
    """What is mapped and how.

    Args:
        grid: The map's.
        sensors: The model's; one without sources is not given.
        tile: Size of the model's tiles.
        halo: Half their overlap.
        part: First row, first column, rows and columns of the part that is mapped.
        seam: How tiles are joined.
        panel: Columns of tiles in a panel.
        seed: Of the model's weights.
    """

    grid: Lattice
    sensors: tuple[Sensor, ...]
    tile: int
    halo: int
    part: tuple[int, int, int, int] | None = None
    seam: str = "crossfade"
    panel: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Stored:
    """What a raster's file holds: measurements ``[B, h, w]``; masks, one or one a band; opacity ``[h, w]``."""

    values: NDArray[np.generic]
    masks: NDArray[np.bool_]
    alpha: NDArray[np.generic] | None


def held(number: float | None, dtype: str) -> bool:
    """Whether a data type has this number."""
    if number is None or math.isnan(number):
        return False
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return number == int(number) and limits.min <= number <= limits.max
    return abs(number) <= float(np.finfo(dtype).max)


def _holes(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    """A rectangle, which may be nothing or nearly all, and single pixels."""
    found: NDArray[np.bool_] = rng.random((height, width)) < 0.03
    rows, cols = (np.sort(rng.integers(0, size + 1, 2)) for size in (height, width))
    found[slice(*rows), slice(*cols)] = True
    return found


@cache
def stored(source: Source) -> Stored:
    """The numbers of a raster, from its seed alone."""
    rng = np.random.default_rng(source.seed)
    low, high = RANGES[source.dtype]
    shape = (len(source.nodata), source.lattice.height, source.lattice.width)
    values = (low + (high - low) * rng.random(shape)).astype(source.dtype)
    others = [n for n in source.nodata if held(n, source.dtype) and abs(n) < 1e6]  # type: ignore[arg-type]
    for band, nodata in zip(values, source.nodata, strict=True):
        if others:  # what means nothing in one band is a measurement in the next
            band[rng.random(shape[1:]) < 0.02] = rng.choice(others)
        holes = _holes(rng, *shape[1:])
        if held(nodata, source.dtype):
            band[holes] = np.asarray(nodata, source.dtype)
        elif nodata is not None and np.issubdtype(source.dtype, np.integer):
            # what casts of a number that the data type has not got give
            band[holes] = np.int64(0 if math.isnan(nodata) else nodata).astype(source.dtype)
            band[holes & (rng.random(shape[1:]) < 0.5)] = 0
        elif nodata is not None:
            band[holes] = np.nan
        if source.broken and np.issubdtype(source.dtype, np.floating):
            bad = [np.nan, np.inf, -np.inf, *([1e300] if source.dtype == "float64" else [])]
            places = rng.random(shape[1:]) < 0.03
            band[places] = rng.choice(bad, places.sum())
    count = shape[0] if source.mask == "bands" else 1
    masks = np.stack([~_holes(rng, *shape[1:]) for _ in range(count)])
    alpha = None
    if source.alpha is not None:
        top = np.iinfo(source.dtype).max if np.issubdtype(source.dtype, np.integer) else 255
        faint = 1 if np.issubdtype(source.dtype, np.integer) else 0.001
        alpha = rng.choice(np.array([faint, 100, top, top, top], source.dtype), shape[1:])
        alpha[_holes(rng, *shape[1:])] = 0
    if source.mask == "values":
        everywhere = ~_holes(rng, *shape[1:])
        values = np.where(everywhere, values, np.array(7, source.dtype))
    return Stored(values, masks, alpha)


@cache
def quality_values(quality: Quality) -> NDArray[np.generic]:
    """Of a quality layer ``[h, w]``: small numbers in blocks."""
    rng = np.random.default_rng(quality.seed)
    height, width = quality.lattice.height, quality.lattice.width
    blocks = rng.integers(0, 8, (height // 3 + 1, width // 3 + 1))
    return np.kron(blocks, np.ones((3, 3)))[:height, :width].astype(quality.dtype)


@cache
def transformer(one: int, other: int) -> pyproj.Transformer:
    """From one CRS to another, x before y."""
    return pyproj.Transformer.from_crs(one, other, always_xy=True)


def _turned(degrees: float, across: float, down: float) -> Affine:
    return Affine.rotation(degrees) @ Affine.scale(across, -down)


@st.composite
def _grids(draw: st.DrawFn) -> Lattice:
    epsg = draw(st.sampled_from([32631, 32632, 4326, 3857, 4258, 32631, 32632, None]))
    height, width = draw(st.integers(6, 44)), draw(st.integers(6, 44))
    if epsg is None:
        return Lattice(None, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), height, width)
    x, y = transformer(4326, epsg).transform(*PLACE)
    size = PIXEL * CRS_UNITS[epsg]
    degrees = draw(st.sampled_from([0, 0, 0, 90, 17.3, -31.0]))
    up = draw(st.sampled_from([1, 1, 1, -1]))
    affine = Affine.translation(x, y) @ _turned(degrees, size, size * up)
    return Lattice(epsg, affine[:6], height, width)


@st.composite
def _placed(draw: st.DrawFn, grid: Lattice) -> Lattice:
    """Where a raster lies that meets the grid."""
    # GDAL's kernels are wrong in rasters that are narrower than they are
    height, width = draw(st.integers(8, 44)), draw(st.integers(8, 44))
    kind = draw(st.sampled_from(["same", "lattice", "shift", "free", "free"]))
    if grid.epsg is None or kind == "same":
        return grid
    row, col = draw(st.integers(1 - height, grid.height - 1)), draw(st.integers(1 - width, grid.width - 1))
    if kind == "lattice":
        return Lattice(grid.epsg, (grid.affine @ Affine.translation(col, row))[:6], height, width)
    if kind == "shift":
        down, across = draw(st.sampled_from([(0.3, 0.3), (0, 0.49), (0.51, 0), (0.02, 0.9), (0.5, 0.25)]))
        moved = grid.affine @ Affine.translation(col + across - (col == grid.width - 1), row + down)
        return Lattice(grid.epsg, moved[:6], height, width)
    epsg = draw(st.sampled_from([grid.epsg, *CRS_UNITS]))
    degrees, up = draw(st.sampled_from([0, 0, 0, 90, 17.3, -31.0, 45])), draw(st.sampled_from([1, 1, -1]))
    ratio = draw(st.sampled_from([1, 0.3, 0.335, 0.5, 0.7, 1.3, 2.3, 4.7]))
    size = PIXEL * CRS_UNITS[epsg] * ratio
    # Its middle lies somewhere in the middle of the grid's pixels.
    across, down = draw(st.integers(1, 96)) / 97 * grid.width, draw(st.integers(1, 96)) / 97 * grid.height
    x, y = transformer(grid.epsg, epsg).transform(*(grid.affine @ (across, down)))
    affine = Affine.translation(x, y) @ _turned(degrees, size, size * up)
    return Lattice(epsg, (affine @ Affine.translation(-width / 2, -height / 2))[:6], height, width)


def _nodata_values(dtype: str) -> list[float]:
    """Those that are met: of the data type, beyond it, between its numbers, and none at all."""
    if np.issubdtype(dtype, np.floating):
        return [-9999.0, 0.0, 0.1, math.nan, -FLOAT32, -32768.0, 1e300, math.inf]
    limits = np.iinfo(dtype)
    return [0.0, float(limits.max), float(limits.min), 7.0, -9999.0, 65536.0, 0.5, math.nan]


@st.composite
def _sources(draw: st.DrawFn, grid: Lattice, dtype: str, count: int) -> Source:
    """A raster that gives ``count`` bands."""
    lattice = draw(_placed(grid))
    bands = count + draw(st.sampled_from([0, 0, 0, 1, 3]))
    chosen = tuple(range(1, count + 1))
    if bands > count or draw(st.booleans()):
        chosen = tuple(draw(st.permutations(range(1, bands + 1)))[:count])
    numbers = _nodata_values(dtype)
    kind = draw(st.sampled_from(["none", "none", "one", "own"]))
    nodata: tuple[float | None, ...] = (None,) * bands
    if kind == "one":
        nodata = (draw(st.sampled_from(numbers)),) * bands
    elif kind == "own":
        nodata = tuple(draw(st.lists(st.sampled_from([None, *numbers]), min_size=bands, max_size=bands)))
    mask = draw(st.sampled_from([None, None, None, "internal", "file", "bands", "values"]))
    alpha = draw(st.none() | st.none() | st.integers(1, bands + 1))
    return Source(lattice, dtype, chosen, nodata, mask, alpha, draw(st.booleans()), draw(st.integers(0, 10**6)))


@st.composite
def _qualities(draw: st.DrawFn, grid: Lattice) -> Quality:
    lattice = draw(_placed(grid))
    dtype = draw(st.sampled_from(["uint8", "int16", "uint16"]))
    rule = draw(st.sampled_from(["values=0", "values=1,3", "bits=0", "bits=1,2"]))
    return Quality(lattice, dtype, rule, draw(st.sampled_from([None, 0, 1])), draw(st.integers(0, 10**6)))


@st.composite
def _sensors(draw: st.DrawFn, grid: Lattice) -> Sensor:
    dtype = draw(st.sampled_from(list(TAKEN)))
    counts = [draw(st.sampled_from([1, 1, 2, 3, 4, 5, 6, 12]))]
    if counts[0] > 1 and draw(st.integers(0, 4)) == 0:
        first = draw(st.integers(1, counts[0] - 1))
        counts = [first, counts[0] - first]
    sources = tuple(draw(_sources(grid, draw(st.sampled_from(TAKEN[dtype])), count)) for count in counts)
    quality = draw(_qualities(grid)) if draw(st.integers(0, 5)) == 0 else None
    return Sensor(dtype, sources, quality)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any case."""
    grid = draw(_grids())
    sensors = tuple(draw(st.lists(_sensors(grid), min_size=1, max_size=3)))
    tile = draw(st.sampled_from([16, 20, 32, 64]))
    halo = draw(st.sampled_from([0, 1, 3, tile // 4]))
    part = None
    if draw(st.booleans()):
        row, col = draw(st.integers(0, grid.height - 1)), draw(st.integers(0, grid.width - 1))
        part = (row, col, draw(st.integers(1, grid.height - row)), draw(st.integers(1, grid.width - col)))
    seam, panel = draw(st.sampled_from(["crossfade", "crossfade", "crop"])), draw(st.sampled_from([None, 1, 2]))
    return Case(grid, sensors, tile, halo, part, seam, panel, draw(st.integers(0, 10**6)))
