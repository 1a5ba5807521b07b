"""The sensors that rasters are: which belong together, what they and their bands are called, and their data types."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import get_args

import numpy as np
from rasterio.enums import ColorInterp

from engine.data.scenes import scene_specs
from engine.data.settings import DataSettings, PixelSplit, SceneSettings
from engine.errors import BandError, ModalityError
from engine.modality import DTYPES, PHYSICAL
from engine.names import shown, steering
from engine.raster.bands import kinds, measured, table
from engine.raster.folders import rasters_of
from engine.raster.keys import written
from engine.raster.pools import Band, Layer, Pool, grouped_layers, is_single
from engine.raster.sources import RasterSource, SourceSpec, open_source
from engine.training.recipe import is_free
from engine.training.settings import ModalitySettings

TILE = "{tile}"

_NAMED = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_]*)=(?P<source>.+)", re.DOTALL)
_COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)

_AS = {"int8": "int16", "uint32": "float32", "int64": "float32", "uint64": "float32", "float64": "float32"}
"""What data types that no model takes are read as."""


@dataclass(frozen=True)
class Given:
    """A sensor as it is named.

    Args:
        name: Its name.
        sources: ``PATH[@BANDS][:key=value]`` each, with ``{tile}`` where there are many scenes.
    """

    name: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Sensor:
    """A sensor, and what the files of its first scene say.

    Args:
        given: Its name and sources.
        bands: Names of the bands.
        dtype: Data type that the model takes.
        unit: In words; empty where no file says it.
        facts: What to tell of it.
    """

    given: Given
    bands: tuple[str, ...]
    dtype: str
    unit: str
    facts: str

    @property
    def settings(self) -> ModalitySettings:
        """As a recipe has it."""
        return ModalitySettings.model_validate(
            {"name": self.given.name, "bands": self.bands, "dtype": self.dtype, "unit": self.unit}
        )


def sensors_given(texts: Sequence[str]) -> tuple[list[Given], list[str]]:
    """Which rasters are which sensor.

    Args:
        texts: ``NAME=PATH...`` or a path alone each. What has one name is one sensor; files of single bands of one
            acquisition too, in a product's folder for instance; any other raster without a name is a sensor by itself.

    Returns:
        The sensors in the order of the texts, and what the user should know of the choice.

    Raises:
        ModalityError: If no raster is named.
        RasterReadError: If a folder holds no raster.
    """
    named: dict[str, list[str]] = {}
    found: list[tuple[int, str | None, str, list[str]]] = []  # place, name, stem of an unnamed one, sources
    plain: list[Layer] = []
    notes: list[str] = []
    for place, text in enumerate(texts):
        parts = None if os.path.exists(text) else _NAMED.fullmatch(text)  # noqa: PTH110 (bears long names)
        name, source = (None, text) if parts is None else (parts["name"], parts["source"])
        if not Path(source).is_dir():
            several = [("", [source])] if name else []
            plain += [] if name else [Layer(source, SourceSpec.parse(source))]
        else:
            several, left = _of_folder(source)
            notes += _left_out(name or source, left)
        for stem, sources in several:
            if name in named:
                named[name].extend(sources)
                continue
            found.append((place, name, stem, sources))
            if name is not None:
                named[name] = sources
    for stem, group in grouped_layers(plain):
        taken, left = _together(group)
        alone = PurePath(group[0].name).stem
        found.append((list(texts).index(group[0].name), None, alone if len(group) == 1 else stem, taken))
        notes += _left_out(stem, left)
    if not found:
        raise ModalityError("no raster is named; give the rasters of your sensors, as in optical=landsat.tif srtm.tif")
    found.sort(key=lambda one: one[0])
    names = iter(_names([stem for _, name, stem, _ in found if name is None], named))
    return [Given(name or next(names), tuple(sources)) for _, name, _, sources in found], notes


def _of_folder(folder: str) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """The sensors of a folder by name, and what is left out: of a product all but its bands."""
    groups = grouped_layers([Layer(one, SourceSpec(one)) for one in rasters_of(folder)])
    products = [(name, group) for name, group in groups if len(group) > 1]
    sensors, left = [], []
    for name, group in products or groups:
        taken, others = _together(group)
        sensors.append((name if products else PurePath(name).stem, taken))
        left += others
    if products:
        left += [str(group[0].spec) for _, group in groups if len(group) == 1]
    return sensors, left


def _left_out(name: str, files: Sequence[str]) -> list[str]:
    if not files:
        return []
    told = ", ".join(PurePath(file).name for file in files[:6]) + (" ..." if len(files) > 6 else "")
    return [f"{name}: not used: {told} (no band by their names, or one of larger pixels); name them if they are wanted"]


def _together(group: Sequence[Layer]) -> tuple[list[str], list[str]]:
    """The files of an acquisition as the bands of one sensor, in the order of wavelengths; and those left out.

    Of files of one band that of the smallest pixels is taken. All are taken, as they are named, where names say nothing
    and where they are patterns of many scenes.
    """
    if len(group) == 1 or TILE in group[0].name:
        return [str(layer.spec) for layer in group], []
    with ExitStack() as stack:
        opened = [(layer, stack.enter_context(open_source(layer.spec))) for layer in group]
        pool = Pool("", opened)
        best: dict[str, Band] = {}
        for band in pool.bands:
            if band.identity is None or band.derived or not is_single(band.source):
                continue
            size = band.source.grid.metres
            if band.identity not in best or size < best[band.identity].source.grid.metres:
                best[band.identity] = band
        order = list(table()["bands"])
        chosen = sorted(best.values(), key=lambda band: (band.source.grid.metres, order.index(str(band.identity))))
        taken = [str(band.layer.spec) for band in chosen] or [str(layer.spec) for layer in group]
    return taken, [str(layer.spec) for layer in group if str(layer.spec) not in taken]


def _names(stems: Sequence[str], taken: Iterable[str]) -> list[str]:
    """Names of sensors after their files: a single word as it is, of several the kind of sensor that they speak of."""
    found = [sorted(kinds([stem.replace(TILE, "")], [])) for stem in stems]
    often = Counter(kind for many in found for kind in many)
    names: list[str] = []
    for stem, many in zip(stems, found, strict=True):
        own = _as_name(stem.replace(TILE, ""))
        name = many[0] if "_" in own and len(many) == 1 and often[many[0]] == 1 else own
        known = {one.lower() for one in (*taken, *names)}
        plain, number = name, 2
        while name.lower() in known or not is_free(name):
            name, number = f"{plain}_{number}", number + 1
        names.append(name)
    return names


def _as_name(stem: str) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_")
    return name if re.match(r"[A-Za-z]", name) else f"sensor_{name}".rstrip("_")


def described(sensors: Sequence[Given]) -> list[Sensor]:
    """What the files of the first scene say of each sensor.

    Raises:
        RasterReadError: If a raster cannot be opened, or a pattern matches no file.
        BandError: If a chosen band does not exist, or a data type cannot be taken.
    """
    scene = SceneSettings(name="scene", sources={one.name: one.sources for one in sensors})
    data = DataSettings(scenes=(scene,), split=PixelSplit(kind="pixels", validation=0.5))
    first = scene_specs(data, Path())[0]
    return [_described(one, first.sources[one.name]) for one in sensors]


def _described(given: Given, specs: Sequence[SourceSpec]) -> Sensor:
    with ExitStack() as stack:
        opened = [stack.enter_context(open_source(spec)) for spec in specs]
        members = opened[:1] if _is_mosaic(opened) else opened
        names = _band_names(given, members)
        dtype = _dtype(given, members)
        units = {source.dataset.units[band - 1] or "" for source in members for band in source.positions}
        unit = units.pop() if len(units) == 1 else ""
        return Sensor(given, names, dtype, unit if steering(unit) is None else "", _facts(given, opened, names, unit))


def _is_mosaic(opened: Sequence[RasterSource]) -> bool:
    """Whether sources of the same bands lie in different places."""
    first, *others = opened
    alike = all(one.band_names == first.band_names and one.grid.crs == first.grid.crs for one in others)
    return bool(others) and alike and any(not np.allclose(one.grid.bounds, first.grid.bounds) for one in others)


def _dtype(given: Given, opened: Sequence[RasterSource]) -> str:
    kinds_of = [np.dtype(source.dtype) for source in opened]
    found = str(np.result_type(*kinds_of))
    found = _AS.get(found, found)
    if found not in DTYPES:
        raise BandError(
            f"{given.name}: data type {found} is none of {', '.join(DTYPES)}; convert it with gdal_translate"
        )
    allowed = get_args(ModalitySettings.model_fields["dtype"].annotation)
    return found if found in allowed else "float32"


def _band_names(given: Given, opened: Sequence[RasterSource]) -> tuple[str, ...]:
    """What files call their bands; what tells their files apart, where they call them alike; else numbers."""
    own = [[_called(source, band) for band in source.positions] for source in opened]
    flat = [name for names in own for name in names]
    if len(opened) > 1 and (None in flat or len(set(flat)) < len(flat)):
        apart = _apart([spec.partition("@")[0] for spec in given.sources][: len(opened)])
        own = [_prefixed(word, names) for word, names in zip(apart, own, strict=True)]
    elif flat == [None] and "elevation" in kinds([given.name, *given.sources], []):
        own = [["elevation"]]
    numbered = [name or f"band {number}" for names in own for number, name in enumerate(names, 1)]
    often, seen = Counter(numbered), Counter[str]()
    unique = []
    for name in numbered:
        seen[name] += 1
        unique.append(f"{name} {seen[name]}" if often[name] > 1 else name)
    return tuple(unique)


def _prefixed(word: str, names: Sequence[str | None]) -> list[str | None]:
    if len(names) == 1:
        return [word if names[0] is None else f"{names[0]} {word}".strip()]
    return [f"{name or f'band {number}'} {word}".strip() for number, name in enumerate(names, 1)]


def _apart(paths: Sequence[str]) -> list[str]:
    """The words of files' names that are not in all of them."""
    words = [re.split(r"[_\s]+", PurePath(path).stem.replace(TILE, "")) for path in paths]
    every = set.intersection(*(set(many) for many in words))
    return [" ".join(word for word in many if word and word not in every) for many in words]


def _called(source: RasterSource, band: int) -> str | None:
    dataset = source.dataset
    description = (dataset.descriptions[band - 1] or "").strip()
    if description and steering(description) is None:
        return description
    default = dataset.driver == "GTiff" and source.dtype == "uint8" and dataset.colorinterp[:3] == _COLOURS
    return None if default or dataset.count == 1 else measured(dataset, band)


def _facts(given: Given, opened: Sequence[RasterSource], names: Sequence[str], unit: str) -> str:
    source = opened[0]
    grid = source.grid
    metric = grid.crs is not None and grid.crs.is_projected and grid.crs.linear_units_factor[1] == 1
    size = "" if grid.crs is None else f" of {max(grid.pixel_size) if metric else grid.metres:.4g} m"
    declared = [source.dataset.nodatavals[band - 1] for band in source.positions]
    nodata = sorted({f"{one:g}" for one in declared if one is not None})
    scales = {scale for one in opened for scale in one.declared or [PHYSICAL]}
    facts = [
        f"{len(names)} band{'s' if len(names) > 1 else ''} ({_listed(names)})",
        source.dtype,
        unit,
        f"{grid.width} x {grid.height} pixels{size}",
        grid.crs.to_string() if grid.crs else "no coordinate reference system",
        f"nodata {', '.join(nodata)}" if nodata else "no nodata value declared",
        "" if scales == {PHYSICAL} else f"declares {written(list(source.declared or [PHYSICAL]))}",
        f"{len(opened)} files" if len(opened) > 1 else "",
    ]
    return shown(f"{given.name}: {', '.join(filter(None, facts))}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:6])} ... {names[-1]}"
