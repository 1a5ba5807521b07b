"""Synthetic land: fractal terrain, rivers and lakes in its valleys, woods, fields, towns. NumPy only, seeded."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.modality import LandClass

SYNTHETIC_CLASSES = (
    LandClass(1, "water", "#2b6cb0"),
    LandClass(2, "forest", "#1e6b34"),
    LandClass(3, "cropland", "#e0b84c"),
    LandClass(4, "grassland", "#a6d96a"),
    LandClass(5, "built-up", "#c0392b"),
    LandClass(6, "bare", "#b8a79a"),
)
"""Classes of synthetic scenes."""

WATER, FOREST, CROPLAND, GRASSLAND, BUILT, BARE = range(1, 7)

Image = NDArray[np.float32]


def fractal(rng: np.random.Generator, shape: tuple[int, int], slope: float, longest: float = 0) -> Image:
    """Noise ``[H, W]`` of zero mean and unit deviation whose amplitude falls as frequency ** -slope.

    Args:
        rng: Source of randomness.
        shape: Rows and columns.
        slope: 0 is white; terrain has about 2.
        longest: Wavelengths above this many pixels are left out; 0 keeps all.
    """
    rows = np.fft.fftfreq(shape[0])[:, None]
    cols = np.fft.rfftfreq(shape[1])[None, :]
    frequency = np.hypot(rows, cols)
    amplitude = np.zeros_like(frequency)
    kept = frequency > (1 / longest if longest else 0)
    amplitude[kept] = frequency[kept] ** -slope
    phases = np.exp(2j * np.pi * rng.random(frequency.shape))
    noise = np.fft.irfft2(amplitude * phases, s=shape)
    normalised: Image = ((noise - noise.mean()) / noise.std()).astype(np.float32)
    return normalised


def smoothed(values: NDArray[np.floating], sigma: float) -> Image:
    """Gaussian blur of ``[H, W]`` with periodic borders."""
    rows = np.fft.fftfreq(values.shape[0])[:, None]
    cols = np.fft.rfftfreq(values.shape[1])[None, :]
    kernel = np.exp(-2 * (np.pi * sigma) ** 2 * (rows**2 + cols**2))
    return np.fft.irfft2(np.fft.rfft2(values) * kernel, s=values.shape).astype(np.float32)


@dataclass(frozen=True)
class Landscape:
    """What lies where.

    Args:
        elevation: ``[H, W]`` metres.
        cover: ``[H, W]`` class values of :data:`SYNTHETIC_CLASSES`.
        parcels: ``[H, W]`` number of the field that a pixel belongs to.
        texture: ``[H, W]`` fine variation within a class, zero mean and unit deviation.
    """

    elevation: Image
    cover: NDArray[np.uint8]
    parcels: NDArray[np.int64]
    texture: Image


def parcels(rng: np.random.Generator, shape: tuple[int, int], size: float) -> NDArray[np.int64]:
    """Fields ``[H, W]``: the nearest of jittered seeds, by a slanted city-block distance that makes straight edges."""
    step = int(size)
    rows, cols = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    bend = 0.12 * step * fractal(rng, shape, 2.0)
    angle = rng.uniform(0.2, 0.6)
    along = rows * np.cos(angle) + cols * np.sin(angle) + bend
    across = cols * np.cos(angle) - rows * np.sin(angle)
    strip = np.floor(across / step).astype(np.int64)
    # Each strip of fields is cut at places of its own, into pieces of one to three steps.
    shift = np.random.default_rng(int(rng.integers(1 << 31))).random(4096) * 3 * step
    piece = np.floor((along + shift[strip % 4096]) / (step * (1 + strip % 3 * 0.6))).astype(np.int64)
    return (strip + 5000) * 100_003 + piece + 5000


def _rivers(rng: np.random.Generator, elevation: Image) -> NDArray[np.bool_]:
    """Winding lines where a broad noise crosses zero, in low land, and the deepest hollows as lakes."""
    course = fractal(rng, elevation.shape, 2.2) + 0.4 * elevation
    grade = np.hypot(*np.gradient(course)) + 1e-4
    river = (np.abs(course) / grade < 2.2) & (elevation < 0.6)
    lakes = elevation < np.quantile(elevation, 0.03)
    return river | lakes


def _towns(rng: np.random.Generator, elevation: Image) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Built-up places in low land, and straight roads between them."""
    height, width = elevation.shape
    rows, cols = np.mgrid[:height, :width].astype(np.float32)
    town = np.zeros(elevation.shape, dtype=bool)
    road = np.zeros(elevation.shape, dtype=bool)
    count = max(3, height * width // 50_000)
    places = rng.random((count * 6, 2)) * (height - 1, width - 1)
    low = [place for place in places if elevation[int(place[0]), int(place[1])] < 0.2][:count]
    edge = fractal(rng, elevation.shape, 1.6)
    for row, col in low:
        distance = np.hypot(rows - row, cols - col)
        town |= distance < rng.uniform(8, 26) * (1 + 0.35 * edge)
    for (row, col), (to_row, to_col) in pairwise(low):
        length = max(1.0, float(np.hypot(to_row - row, to_col - col)))
        along = ((rows - row) * (to_row - row) + (cols - col) * (to_col - col)) / length
        across = ((rows - row) * (to_col - col) - (cols - col) * (to_row - row)) / length
        road |= (np.abs(across + 3 * edge) < 1.1) & (along > 0) & (along < length)
    return town, road


def landscape(rng: np.random.Generator, shape: tuple[int, int]) -> Landscape:
    """A landscape of ``shape`` pixels of about ten metres."""
    relief = fractal(rng, shape, 1.9)
    elevation = relief + 0.15 * np.maximum(relief, 0) ** 2
    slope = np.hypot(*np.gradient(smoothed(relief, 3)))
    steep = slope / np.quantile(slope, 0.9)
    moisture = fractal(rng, shape, 1.8)
    fields = parcels(rng, shape, 22)
    use = np.random.default_rng(7).random(1 << 16)[fields % (1 << 16)]
    cover = np.full(shape, GRASSLAND, dtype=np.uint8)
    cover[(use < 0.62) & (steep < 0.85) & (relief < 0.9)] = CROPLAND
    cover[(moisture + 0.9 * steep + 0.4 * relief > 1.15) & (relief < 1.7)] = FOREST
    cover[(relief > 1.7) | ((steep > 1.25) & (moisture < -0.3))] = BARE
    water = _rivers(rng, relief)
    town, road = _towns(rng, relief)
    cover[town | road] = BUILT
    cover[water & ~road] = WATER
    metres = 420 + 160 * smoothed(elevation, 1.5)
    return Landscape(metres.astype(np.float32), cover, fields, fractal(rng, shape, 0.7, longest=24))
