"""What a case's map must be, in NumPy and PROJ, from what was written and not from the files.

The rules, apart from the engine's code:

* A pixel of a raster is valid in a band where its value is not the band's own nodata value, as the data type holds it,
  and is finite, and the raster's masks and its alpha band are above zero.
* A raster on the map's pixels is taken as it is; a pixel of it is valid where it is in every chosen band.
* Any other is brought there as `gdalwarp` does it: each band is interpolated between pixels that are valid in it, by a
  bilinear kernel as wide as the pixels of the coarser of the two, and whole numbers are rounded. A pixel of the map is
  valid where its centre lies in a pixel of the raster that is valid in some band, and every band has a value there.
* Values that are not finite in the model's data type are not valid.
* What a quality layer masks, where a pixel's centre lies, is not valid.
* The map is that of a model of single pixels, so neither tiles nor their halo, nor the part that is mapped, matter.

What floating point alone decides is known: a pixel is ``loose`` where a step of :data:`STEP` changes whether it is
valid, and values have an ``error``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuzz.case import FLOAT32, Case, Lattice, Quality, Sensor, Source, held, quality_values, stored, transformer
from fuzz.model import Weights, weights

STEP = 2e-5
"""In pixels of the raster; the engine's warp is exact to a twentieth of it."""

LEAST = 1e-5
"""Weight of the valid pixels of a kernel below which GDAL gives no value."""

NARROW = 0.95
"""Pixels of the grid in one of the raster above which, both ways, GDAL's kernel is as wide as the raster's pixels."""

LATTICE = 5
"""Places along each side of the grid, of whose scales the median makes the width of GDAL's kernel."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """A sensor on the grid: values and their errors ``[C, h, w]``, where it is valid and where that is loose."""

    values: Floats
    error: Floats
    valid: Bools
    loose: Bools


@dataclass(frozen=True)
class Expected:
    """A map.

    Args:
        bits: Which sensors see a pixel.
        loose: Bits that floating point decides.
        possible: ``[K, h, w]``: the classes that a pixel may have, given its bits; several where errors decide.
        low: Least percent of confidence.
        high: Most.
    """

    bits: NDArray[np.int64]
    loose: NDArray[np.int64]
    possible: Bools
    low: Floats
    high: Floats


def valid_pixels(source: Source) -> Bools:
    """Of a raster's chosen bands ``[C, h, w]``."""
    content = stored(source)
    opaque = np.ones(content.values.shape[1:], dtype=bool)
    if source.mask in ("internal", "file"):
        opaque &= content.masks[0]
    if source.mask == "bands":
        opaque &= content.masks[[band - 1 for band in source.chosen]].all(axis=0)
    if source.mask == "values":
        hidden = (content.values == 7).all(axis=0)
        opaque &= ~(hidden if content.alpha is None else hidden & (content.alpha == 7))
    if content.alpha is not None:
        opaque &= content.alpha > 0
    valid = []
    for band in source.chosen:
        values, nodata = content.values[band - 1], source.nodata[band - 1]
        valid.append(opaque & np.isfinite(values))
        if nodata is not None and held(nodata, source.dtype):
            valid[-1] &= values != np.asarray(nodata, source.dtype)
    return np.stack(valid)


def places(grid: Lattice, cols: Floats, rows: Floats, raster: Lattice) -> tuple[Floats, Floats]:
    """Columns and rows of ``grid`` as those of ``raster``."""
    xs, ys = grid.affine @ (cols, rows)
    if grid.epsg is not None and raster.epsg is not None and grid.epsg != raster.epsg:
        xs, ys = transformer(grid.epsg, raster.epsg).transform(xs, ys)
    found: tuple[Floats, Floats] = ~raster.affine @ (xs, ys)
    return found


def _centres(grid: Lattice, raster: Lattice) -> tuple[Floats, Floats]:
    rows, cols = np.mgrid[: grid.height, : grid.width] + 0.5
    return places(grid, cols, rows, raster)


def _picked(values: NDArray[np.generic], cols: Floats, rows: Floats, outside: object) -> NDArray[np.generic]:
    """The values ``[h, w]`` in which places lie."""
    row, col = np.floor(rows).astype(int), np.floor(cols).astype(int)
    inside = (row >= 0) & (row < values.shape[0]) & (col >= 0) & (col < values.shape[1])
    return np.where(inside, values[np.where(inside, row, 0), np.where(inside, col, 0)], outside)


def _with_doubt(values: NDArray[np.generic], cols: Floats, rows: Floats) -> tuple[Bools, Bools]:
    """Whether places lie in pixels that are true, and whether a step changes that."""
    found = _picked(values, cols, rows, False).astype(bool)
    around = [_picked(values, cols + x, rows + y, False) for x in (-STEP, STEP) for y in (-STEP, STEP)]
    return found, np.any([one != found for one in around], axis=0)


def on_its_pixels(grid: Lattice, raster: Lattice) -> bool:
    """Whether a raster lies on the grid's pixels: to a thousandth of one, in its corners."""
    if grid.epsg != raster.epsg:
        return False
    corners = np.array([(0, 0), (raster.width, 0), (0, raster.height)], dtype=float)
    found = np.stack(places(raster, corners[:, 0], corners[:, 1], grid), axis=1)
    shift = np.round(found[0])
    return bool((np.abs(found - (corners + shift)) < 1e-3).all())


def kernel(grid: Lattice, raster: Lattice) -> tuple[float, float]:
    """How many pixels of the grid lie in one of the raster, across and down: medians, of places in it if there are."""
    steps = (np.arange(LATTICE) + 0.5) / LATTICE
    rows, cols = (axis.ravel() for axis in np.meshgrid(steps * grid.height, steps * grid.width, indexing="ij"))
    here = np.array(places(grid, cols, rows, raster))
    right = np.array(places(grid, cols + 1, rows, raster)) - here
    below = np.array(places(grid, cols, rows + 1, raster)) - here
    scales = 1 / np.hypot(right, below)
    inside = (here >= 0).all(axis=0) & (here[0] <= raster.width) & (here[1] <= raster.height)
    across, down = np.median(scales[:, inside] if inside.any() else scales, axis=1)
    return float(across), float(down)


def _taps(places: Floats, size: int, scale: float) -> tuple[NDArray[np.int64], Floats]:
    """Pixels along an axis ``[n, h, w]`` that a kernel reaches, and their weights."""
    reach = math.ceil(1 / scale)
    pixels = np.floor(places - 0.5).astype(int) + np.arange(1 - reach, reach + 1)[:, None, None]
    weights = np.maximum(0, 1 - np.abs(pixels + 0.5 - places) * scale)
    return np.clip(pixels, 0, size - 1), np.where((pixels >= 0) & (pixels < size), weights, 0)


def interpolated(values: Floats, cols: Floats, rows: Floats, scales: tuple[float, float]) -> Floats:
    """``[C, h, w]`` from a raster's values at places; what is not valid is NaN, in both."""
    across, down = (1.0, 1.0) if min(scales) >= NARROW else (min(scale, 1.0) for scale in scales)
    col, weigh_col = _taps(cols, values.shape[2], across)
    row, weigh_row = _taps(rows, values.shape[1], down)
    weights = weigh_row[:, None] * weigh_col[None]
    there = _picked(~np.isnan(values).all(axis=0), cols, rows, False).astype(bool)
    found = []
    for band in values:
        near = band[row[:, None], col[None]]
        valid = np.where(np.isnan(near), 0, weights)
        weight, total = valid.sum(axis=(0, 1)), (valid * np.nan_to_num(near)).sum(axis=(0, 1))
        enough = there & (weight > LEAST)
        found.append(np.where(enough, total / np.where(enough, weight, 1), np.nan))
    return np.stack(found)


def seen_source(source: Source, grid: Lattice, dtype: str) -> Seen:
    """A raster on the grid, for a model that takes ``dtype``."""
    values = stored(source).values[[band - 1 for band in source.chosen]].astype(np.float64)
    values, (cols, rows) = np.where(valid_pixels(source), values, np.nan), _centres(grid, source.lattice)
    if on_its_pixels(grid, source.lattice):
        found = np.stack([_picked(band, cols, rows, np.nan) for band in values])
        others = [found]
    else:
        scales = kernel(grid, source.lattice)
        steps = [(0.0, 0.0), *((x, y) for x in (-STEP, STEP) for y in (-STEP, STEP))]
        found, *others = (interpolated(values, cols + x, rows + y, scales) for x, y in steps)
    limit = FLOAT32 if dtype == "float32" else np.inf
    valid = (np.abs(found) <= limit).all(axis=0)
    loose = np.any([(np.abs(other) <= limit).all(axis=0) != valid for other in others], axis=0)
    found = np.where(valid, found, 0)
    error = np.max([np.abs(np.where(valid & ~loose, other, found) - found) for other in others], axis=0)
    if np.issubdtype(source.dtype, np.integer):
        error, found = error + (np.abs(found % 1 - 0.5) < 1e-3 + error), np.floor(found + 0.5)
    return Seen(found, error + 1e-5 * np.abs(found), valid, loose)


def masked_pixels(quality: Quality, grid: Lattice) -> tuple[Bools, Bools]:
    """Where a quality layer masks, and where floating point decides that."""
    values = quality_values(quality)
    kind = quality.rule.partition("=")[0]
    if kind == "values":
        rule = np.isin(values, quality.numbers)
    else:
        rule = (values.astype(int) & sum(1 << bit for bit in quality.numbers)) > 0
    cols, rows = _centres(grid, quality.lattice)
    if on_its_pixels(grid, quality.lattice):
        found = _picked(rule, cols, rows, False).astype(bool)
        return found, np.zeros_like(found)
    return _with_doubt(rule, cols, rows)


def seen(sensor: Sensor, grid: Lattice) -> Seen:
    """A sensor on the grid."""
    parts = [seen_source(source, grid, sensor.dtype) for source in sensor.sources]
    valid = np.logical_and.reduce([part.valid for part in parts])
    loose = np.logical_or.reduce([part.loose for part in parts])
    if sensor.quality is not None:
        masked, unsure = masked_pixels(sensor.quality, grid)
        valid, loose = valid & ~masked, loose | unsure
    return Seen(
        np.concatenate([part.values for part in parts]), np.concatenate([part.error for part in parts]), valid, loose
    )


def expected(case: Case) -> Expected:
    """The map of a case, over the whole grid."""
    shape = (case.grid.height, case.grid.width)
    bits, loose = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    model: Weights = weights(case)
    logits = np.zeros((model.classes, *shape))
    errors = np.zeros_like(logits)
    for number, sensor in enumerate(case.sensors):
        one = seen(sensor, case.grid)
        bits |= one.valid.astype(np.int64) << number
        loose |= one.loose.astype(np.int64) << number
        part = model.sensors[number]
        scaled = (np.where(one.valid, one.values, 0) - part.means[:, None, None]) / part.stds[:, None, None]
        error = np.where(one.valid, one.error, 0) / part.stds[:, None, None]
        logits += one.valid * (part.bias[:, None, None] + np.tensordot(part.factors, scaled, 1))
        errors += one.valid * np.tensordot(np.abs(part.factors), error + 1e-6 * np.abs(scaled), 1)
    best, error = logits.max(axis=0), errors.max(axis=0)
    possible = logits + 2 * error + 1e-3 >= best
    shares = np.exp(logits - best) / np.exp(logits - best).sum(axis=0)
    share, factor = 100 * shares.max(axis=0), np.exp(np.minimum(2 * error, 50))
    return Expected(bits, loose, possible, share / factor - 1, np.minimum(share * factor, 100) + 1)
