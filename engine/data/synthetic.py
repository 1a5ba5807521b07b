"""Synthetic scenes: a landscape as optical, radar, elevation and other sensors see it, written as GeoTIFFs.

Reflectances and backscatter are plausible orders of magnitude, not a physical model. Every scene is a function of
its seed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from engine.data.landscape import (
    BARE,
    BUILT,
    CROPLAND,
    FOREST,
    GRASSLAND,
    SYNTHETIC_CLASSES,
    WATER,
    Landscape,
    fractal,
    landscape,
    smoothed,
)
from engine.errors import InputError
from engine.files import check_target, make_folder, write_text
from engine.grid import Grid
from engine.raster.writing import ClassMapWriter, LayerWriter

Bands = NDArray[np.float32]
PIXEL = 10.0
CRS_CODE = 32631
ORIGIN = (600_000.0, 5_650_000.0)
OPTICAL = ("blue", "green", "red", "nir")

_REFLECTANCE = {
    # blue, green, red, near infrared in summer
    WATER: (0.040, 0.045, 0.030, 0.020),
    FOREST: (0.022, 0.045, 0.025, 0.300),
    CROPLAND: (0.045, 0.080, 0.060, 0.360),
    GRASSLAND: (0.040, 0.085, 0.065, 0.280),
    BUILT: (0.120, 0.135, 0.150, 0.200),
    BARE: (0.130, 0.165, 0.200, 0.255),
}
_BACKSCATTER = {
    # VV, VH in dB
    WATER: (-20.0, -27.0),
    FOREST: (-9.5, -14.5),
    CROPLAND: (-11.5, -18.5),
    GRASSLAND: (-13.0, -20.5),
    BUILT: (-4.5, -13.0),
    BARE: (-15.5, -24.0),
}
_SOIL = np.array((0.090, 0.120, 0.155, 0.215), dtype=np.float32)


@dataclass(frozen=True)
class SceneOptions:
    """How a synthetic scene differs from the usual.

    Args:
        season: 0 midwinter to 1 midsummer: how green fields are.
        clouds: Share of the optical image under clouds; those pixels are nodata.
        footprints: For a modality, the share of the scene's width that it covers, from the left.
        spectral_bands: Bands of a hyperspectral modality; 0 makes none.
        thermal: Whether there is a thermal modality (one band, kelvin).
    """

    season: float = 0.8
    clouds: float = 0.0
    footprints: Mapping[str, float] = field(default_factory=dict)
    spectral_bands: int = 0
    thermal: bool = False


def _table(values: Mapping[int, tuple[float, ...]], cover: NDArray[np.uint8]) -> Bands:
    lookup = np.zeros((max(values) + 1, len(next(iter(values.values())))), dtype=np.float32)
    for value, row in values.items():
        lookup[value] = row
    return np.moveaxis(lookup[cover], -1, 0)


def _shade(land: Landscape) -> NDArray[np.float32]:
    """Cosine of the angle between the ground and a sun in the south-east, relative to flat ground."""
    down, right = np.gradient(land.elevation, PIXEL)
    sun = np.array((0.45, 0.55, 0.70))  # east, south, up
    light = (-right * sun[0] - down * sun[1] + sun[2]) / np.sqrt(1 + down**2 + right**2)
    return np.clip(light / sun[2], 0.35, 1.5).astype(np.float32)


def _greenness(land: Landscape, season: float) -> NDArray[np.float32]:
    """Share of soil that plants cover: each field has a phase of its own."""
    phase = np.random.default_rng(11).random(1 << 16)[land.parcels % (1 << 16)].astype(np.float32)
    return np.clip(season + 0.9 * (phase - 0.5), 0.03, 1.0)


def optical(land: Landscape, rng: np.random.Generator, options: SceneOptions) -> tuple[Bands, NDArray[np.bool_]]:
    """Reflectance times 10000 of :data:`OPTICAL`, with shade, haze and noise; and where no cloud hides it."""
    bands = _table(_REFLECTANCE, land.cover)
    green = _greenness(land, options.season)
    crop = land.cover == CROPLAND
    bands[:, crop] = green[crop] * bands[:, crop] + (1 - green[crop]) * _SOIL[:, None]
    town = land.cover == BUILT
    bands[:, town] *= 1 + 0.35 * rng.standard_normal(int(town.sum())).astype(np.float32)
    bands *= (1 + 0.09 * land.texture) * np.where(land.cover == WATER, 1, _shade(land))
    bands += np.array((0.030, 0.018, 0.010, 0.004), dtype=np.float32)[:, None, None]  # path radiance
    bands += 0.004 * rng.standard_normal(bands.shape).astype(np.float32)
    clear = np.ones(land.cover.shape, dtype=bool)
    if options.clouds > 0:
        thickness = fractal(rng, land.cover.shape, 1.7)
        cloud = thickness > np.quantile(thickness, 1 - options.clouds)
        shadow = np.roll(cloud, (12, -16), axis=(0, 1))
        bands[:, shadow] *= 0.45
        clear = ~cloud
    return np.clip(np.rint(bands * 10_000), 1, 20_000), clear


def radar(land: Landscape, rng: np.random.Generator) -> Bands:
    """VV and VH in dB: four-look speckle and brighter slopes that face the sensor in the west."""
    power = 10 ** (_table(_BACKSCATTER, land.cover) / 10)
    town = land.cover == BUILT
    power[:, town] *= rng.lognormal(0, 0.7, int(town.sum())).astype(np.float32)
    _, right = np.gradient(smoothed(land.elevation, 1.5), PIXEL)
    power *= np.exp(np.clip(2.5 * right, -1.0, 1.0)) * (1 + 0.1 * np.clip(land.texture, -3, 3))
    speckle = rng.gamma(4.0, 0.25, power.shape).astype(np.float32)
    return (10 * np.log10(np.maximum(power * speckle, 1e-5))).astype(np.float32)


def hyperspectral(land: Landscape, rng: np.random.Generator, bands: int, season: float) -> Bands:
    """Reflectance times 10000 in ``bands`` channels between blue and near infrared."""
    base, _ = optical(land, rng, SceneOptions(season=season))
    places = np.linspace(0, len(OPTICAL) - 1, bands)
    low = np.minimum(places.astype(int), len(OPTICAL) - 2)
    share = (places - low).astype(np.float32)[:, None, None]
    mixed = base[low] * (1 - share) + base[low + 1] * share
    return np.clip(np.rint(mixed + 25 * rng.standard_normal(mixed.shape)), 1, 20_000).astype(np.float32)


def thermal(land: Landscape, rng: np.random.Generator) -> Bands:
    """Surface temperature in kelvin: water and woods are cool, towns and bare ground warm, heights cold."""
    warm = _table(
        {WATER: (291,), FOREST: (295,), CROPLAND: (300,), GRASSLAND: (299,), BUILT: (307,), BARE: (305,)},
        land.cover,
    )
    cooled = warm - 0.0065 * (land.elevation - land.elevation.min()) + 0.6 * land.texture
    return (smoothed(cooled[0], 2)[None] + 0.3 * rng.standard_normal(cooled.shape)).astype(np.float32)


def synthesize(
    folder: Path,
    seed: int = 0,
    size: tuple[int, int] = (512, 512),
    options: SceneOptions | None = None,
) -> None:
    """Writes ``optical.tif``, ``sar.tif``, ``dem.tif`` (and ``hyperspectral.tif``, ``thermal.tif``), ``labels.tif``.

    Args:
        folder: Made where it is missing.
        seed: Of the landscape and the sensors.
        size: Rows and columns.
        options: How the scene differs from the usual.

    Raises:
        InputError: If an option is out of its range.
        OutputError: If the folder cannot be written.
    """
    options = options or SceneOptions()
    if not 0 <= options.clouds < 1 or not all(0 < share <= 1 for share in options.footprints.values()):
        raise InputError("clouds must be within 0 and 1, and footprints above 0 up to 1")
    make_folder(folder)
    for name in ("optical.tif", "sar.tif", "dem.tif", "hyperspectral.tif", "thermal.tif", "labels.tif", "scene.json"):
        check_target(folder / name)
    rng = np.random.default_rng(seed)
    land = landscape(rng, size)
    grid = Grid(CRS.from_epsg(CRS_CODE), Affine(PIXEL, 0, ORIGIN[0], 0, -PIXEL, ORIGIN[1]), *size)
    bands, clear = optical(land, rng, options)
    _layer(folder, "optical", grid, bands, OPTICAL, "uint16", 0, options, clear)
    _layer(folder, "sar", grid, radar(land, rng), ("VV", "VH"), "float32", -9999.0, options)
    noisy = land.elevation[None] + rng.normal(0, 0.4, (1, *size)).astype(np.float32)
    _layer(folder, "dem", grid, noisy, ("elevation",), "float32", -9999.0, options)
    if options.spectral_bands:
        spectrum = hyperspectral(land, rng, options.spectral_bands, options.season)
        names = tuple(f"channel {number + 1}" for number in range(options.spectral_bands))
        _layer(folder, "hyperspectral", grid, spectrum, names, "uint16", 0, options)
    if options.thermal:
        _layer(folder, "thermal", grid, thermal(land, rng), ("temperature",), "float32", -9999.0, options)
    with ClassMapWriter(folder / "labels.tif", grid, SYNTHETIC_CLASSES) as writer:
        writer.write_classes(grid.window, land.cover - 1, np.ones(size, dtype=bool))
    facts = {"seed": seed, "classes": [asdict(land_class) for land_class in SYNTHETIC_CLASSES]}
    write_text(folder / "scene.json", json.dumps(facts, indent=1))


def _layer(
    folder: Path,
    name: str,
    grid: Grid,
    bands: Bands,
    names: tuple[str, ...],
    dtype: str,
    nodata: float,
    options: SceneOptions,
    valid: NDArray[np.bool_] | None = None,
) -> None:
    seen = np.ones(bands.shape[1:], dtype=bool) if valid is None else valid.copy()
    seen[:, round(grid.width * options.footprints.get(name, 1.0)) :] = False
    values = np.where(seen, bands, np.float32(nodata)).astype(dtype)
    with LayerWriter(folder / f"{name}.tif", grid, dtype, nodata, names) as writer:
        writer.write(grid.window, values)
