"""The unit that numbers are in: how unlike a training's they are, and the usual factor that would make up for it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from engine.errors import RasterReadError
from engine.modality import BandStatistics
from engine.raster.overlay import GdalError
from engine.raster.sources import RasterSource
from engine.raster.validity import Validity

FLATTEST = 0.05
"""Share of the training's deviation below which flatter values count as no more unlike: lakes and plains occur."""

CHANGED, MENDED, RIVAL = 1.5, 0.35, 1.2
"""A factor is named where numbers are that unlike the training's, it leaves at most that part of it, and any other
leaves more than RIVAL times as much."""

FACTORS = tuple(factor for unit in (10.0, 100.0, 255.0, 1000.0, 10_000.0) for factor in (unit, 1 / unit))
"""Units that are in use: per cent and per mille, tenths, 10 000 of reflectance, bytes."""

PLACES, SIDE = 4, 32
"""The sample: squares of SIDE pixels at PLACES rows and columns of places."""

_NAMED = re.compile(r"(?:\bx|×|\*|\btimes)\s*(\d[\d ,']*)\s*$", re.IGNORECASE)

Moments = tuple[float, float]
"""Mean and standard deviation."""


def unlikeness(bands: Iterable[Moments], statistics: Sequence[BandStatistics]) -> float:
    """How unlike the training's bands are, by mean and deviation; a band that was constant in training does not count.

    The distance of the means in the training's deviations plus the logarithm of the deviations' ratio, half of it where
    values vary less than in training; averaged over the bands.
    """
    found = []
    for (mean, std), known in zip(bands, statistics, strict=True):
        if known.std > 0:
            spread = math.log(min(max(std / known.std, FLATTEST), 1e6))
            found.append(abs(mean - known.mean) / known.std + (spread if spread > 0 else -spread / 2))
    return float(np.mean(found)) if found else 0.0


def after(factor: float, bands: Iterable[Moments], statistics: Sequence[BandStatistics]) -> float:
    """:func:`unlikeness` of numbers that are multiplied by a factor."""
    return unlikeness(((mean * factor, std * factor) for mean, std in bands), statistics)


def as_large(bands: Iterable[Moments], statistics: Sequence[BandStatistics], factor: float = 1.0) -> float:
    """How far numbers that are multiplied by a factor are from the training's order of magnitude, bright or dark."""
    sizes = [(abs(mean * factor), abs(known.mean)) for (mean, _), known in zip(bands, statistics, strict=True)]
    return float(np.mean([abs(math.log(max(size, 1e-12) / max(other, 1e-12))) for size, other in sizes]))


def unit_factor(bands: Sequence[Moments], statistics: Sequence[BandStatistics]) -> float | None:
    """The one usual factor that makes numbers those of the training; None where none does, or several."""
    ranked = sorted((after(factor, bands, statistics), factor) for factor in FACTORS)
    (left, best), (other, _) = ranked[:2]
    before = unlikeness(bands, statistics)
    return best if before >= CHANGED and left <= MENDED * before and other >= RIVAL * left else None


def named_factor(unit: str) -> float | None:
    """The factor that a unit in words ends with, as in ``reflectance x 10000``."""
    found = _NAMED.search(unit)
    return float(re.sub(r"\D", "", found[1])) if found else None


def sampled(source: RasterSource) -> NDArray[np.generic]:
    """Valid values ``[C, n]`` of squares that are spread over a source, as they are stored.

    Raises:
        RasterReadError: If it cannot be read.
    """
    grid, dataset = source.grid, source.dataset
    validity = Validity.of(dataset, source.band_indices, str(dataset.dtypes[source.band_indices[0] - 1]))
    found = []
    for row in places(0, grid.height):
        for col in places(0, grid.width):
            area = RasterioWindow(col, row, min(SIDE, grid.width - col), min(SIDE, grid.height - row))
            try:
                values, valid = validity.read(dataset, area)
            except GdalError as error:
                raise RasterReadError(
                    f"{source.spec.path}: cannot be read at rows {row}-{row + SIDE - 1}, columns {col}-"
                    f"{col + SIDE - 1}: {error}; the file may be truncated or damaged"
                ) from error
            found.append(values[:, valid])
    return np.concatenate(found, axis=1)


def places(first: int, length: int) -> list[int]:
    """Where the squares of a sample begin along a side; they lie side by side where the side is short."""
    if length <= PLACES * SIDE:
        return list(range(first, first + length, SIDE))
    return [round(place) for place in np.linspace(first, first + length - SIDE, PLACES)]
