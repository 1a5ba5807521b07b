"""Which bands can be a modality, and what speaks for it: names, wavelengths, values, unit, pixels, the layer's name.

Layers are looked at as pools of bands: a raster with all of its own, or the single-band files of one acquisition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from engine.errors import BandError, RasterReadError
from engine.grid import Grid
from engine.mapping.gridding import COARSER
from engine.modality import Modality
from engine.model.file import Model
from engine.raster.alignment import fits
from engine.raster.bands import code_of, identities, kin, measured, table, words
from engine.raster.conversion import Conversion, conversion
from engine.raster.mosaics import acquired
from engine.raster.sources import RasterSource, SourceSpec, open_source
from engine.raster.validity import Validity

NAMED, VALUES, UNIT, PIXELS, CALLED = 3.0, 3.0, 1.0, 0.5, 1.5
"""Points for: what bands are called; values as in training (at most); the unit; the pixel size; the layer's name."""

SEEN = 0.5
"""Share of a raster's values that must lie in the training range, widened by a tenth on both sides."""

SAMPLES = 16
"""Squares of SIDE pixels that are read to look at a raster's values."""

SIDE = 64

OVERVIEW = 512
"""Rows and columns to which a raster is thinned where no square has data."""

_PARTS_OF_PRODUCTS = {"img_data", "r10m", "r20m", "r60m"}
"""Folders that stand between a Sentinel-2 granule and its bands."""


@dataclass(frozen=True)
class Layer:
    """A raster by the name that its user knows it by."""

    name: str
    spec: SourceSpec


@dataclass(frozen=True)
class Part:
    """Some bands of a layer, by their positions from 1."""

    layer: Layer
    bands: tuple[int, ...]

    @property
    def spec(self) -> SourceSpec:
        """The source to read them from."""
        return replace(self.layer.spec, bands=tuple(map(str, self.bands)))

    def __str__(self) -> str:
        return f"{self.layer.name}@{','.join(map(str, self.bands))}"


@dataclass(frozen=True)
class Candidate:
    """Bands taken for a modality.

    Args:
        modality: Name.
        parts: The layers, with the bands in the modality's order.
        score: Points, but for values.
        likeness: Points for values, which alone tell nothing apart.
        told: Whether a name, a wavelength, a colour or a unit says what it is; the rest fits by chance too.
        reasons: What speaks for it, in words.
        grid: Where its first part lies.
        taken: When it was, where its metadata or name says so.
    """

    modality: str
    parts: tuple[Part, ...]
    score: float
    likeness: float
    told: bool
    reasons: tuple[str, ...]
    grid: Grid
    taken: datetime | None

    @property
    def specs(self) -> list[SourceSpec]:
        """The sources to map from."""
        return [part.spec for part in self.parts]

    @property
    def layers(self) -> frozenset[Layer]:
        """The layers that it is made of."""
        return frozenset(part.layer for part in self.parts)

    @property
    def assignment(self) -> str:
        """As :func:`~engine.mapping.matching.assign` reads it."""
        return ";".join(f"{self.modality}={part}" for part in self.parts)

    def shares_bands(self, other: Candidate) -> bool:
        """Whether a band of a file is in both."""
        used = {(part.layer.spec.path, band) for part in self.parts for band in part.bands}
        return any((part.layer.spec.path, band) in used for part in other.parts for band in part.bands)


@dataclass(frozen=True)
class _Band:
    """A band of a pool: where it stands, what it is called, and what band that is."""

    layer: Layer
    source: RasterSource
    position: int
    said: frozenset[str]
    identity: str | None


class Pool:
    """Bands that may serve a modality together.

    Args:
        name: Of the layer, or of the acquisition.
        opened: The layers with their open sources.
    """

    def __init__(self, name: str, opened: Sequence[tuple[Layer, RasterSource]]) -> None:
        self.name, self.opened = name, opened
        self.single = len(opened) > 1  # files of single bands: the band stands in the file's name
        names = [
            PurePath(layer.spec.path).stem if self.single else source.dataset.descriptions[band - 1] or ""
            for layer, source in opened
            for band in source.dataset.indexes
        ]
        texts = [name, *(PurePath(layer.spec.path).name for layer, _ in opened)]
        found = iter(zip(names, identities(names, texts), strict=True))
        self.bands: list[_Band] = []
        for layer, source in opened:
            # of a raster that is placed while it is read, bands stand elsewhere than in the file
            places = dict(zip(source.band_indices, source.positions, strict=True)) if layer.spec.place else {}
            for band in source.dataset.indexes:
                called, one = next(found)
                one = one or measured(source.dataset, band)
                self.bands.append(_Band(layer, source, places.get(band, band), frozenset(words(called)), one))

    @property
    def source(self) -> RasterSource:
        """Of the first layer."""
        return self.opened[0][1]

    @property
    def palette(self) -> bool:
        """Whether it is a map of classes or colours."""
        return self.source.dataset.colorinterp[self.source.band_indices[0] - 1] == ColorInterp.palette


def grouped_layers(layers: Sequence[Layer]) -> list[tuple[str, list[Layer]]]:
    """Layers by themselves, or with the other files of one acquisition, whose names differ in the band alone."""
    groups: dict[tuple[str, ...], list[Layer]] = {}
    for number, layer in enumerate(layers):
        groups.setdefault(_acquisition(layer) or ("", str(number)), []).append(layer)
    return [
        (many[0].name if len(many) == 1 else " ".join(key[1:]) or PurePath(key[0]).name, many)
        for key, many in groups.items()
    ]


def _acquisition(layer: Layer) -> tuple[str, ...] | None:
    """Folder, and what a file's name says but for the band; None where it names no band."""
    if layer.spec.bands:
        return None
    path = PurePath(layer.spec.path.replace("\\", "/"))
    said = list(words(path.stem))
    place = next((place for place in reversed(range(len(said))) if _is_band(said[place])), None)
    if place is None:
        return None
    rest = [*said[: max(0, place - (said[place - 1] in ("sr", "st") if place else 0))], *said[place + 1 :]]
    folder = path.parent
    while folder.name.lower() in _PARTS_OF_PRODUCTS:
        folder = folder.parent
    return (str(folder), *(word for word in rest if not re.fullmatch(r"\d{1,3}m", word)))


def _is_band(word: str) -> bool:
    return code_of([word]) is not None or word in table()["bands"]


def candidate(modality: Modality, pool: Pool, model: Model) -> Candidate:
    """A pool's bands as a modality of a model.

    Raises:
        BandError: If they cannot be it.
    """
    if any(len(numbers) > 1 for layer, _ in pool.opened for numbers in (layer.spec.scale, layer.spec.offset)):
        raise BandError("has a scale or offset for each band; give one for all of them, or assign it by name")
    chosen, reasons = _chosen(modality, pool)
    told = bool(reasons)
    score = NAMED if told else 0.0
    if not told:
        count = len(chosen)
        reasons = [f"{count} band{'s in their order' if count > 1 else ''}"]
    parts = _parts(chosen)
    likeness, said = _values(modality, parts)
    reasons.append(said)
    first = chosen[0]
    unit = first.source.dataset.units[0]
    if unit and modality.unit and words(unit) == words(modality.unit):
        score, told = score + UNIT, True
        reasons.append(f"unit {unit}")
    grid = first.source.grid
    if grid.crs is not None and 1 / COARSER <= grid.metres / model.metres <= COARSER:
        score += PIXELS
        reasons.append(f"pixels of {grid.metres:.3g} m")
    if _is_called(modality.name, f"{pool.name} {PurePath(first.layer.spec.path).name}", model.names):
        score, told = score + CALLED, True
        reasons.append(f"its name says {modality.name}")
    try:
        taken = acquired(first.source)
    except BandError:
        taken = None
    return Candidate(modality.name, parts, score, VALUES * likeness, told, tuple(reasons), grid, taken)


def _is_called(modality: str, name: str, names: Sequence[str]) -> bool:
    """Whether a name says a modality's, or a word for its kind of sensor where the model has no other of that kind."""
    wanted, said = set(words(modality)), set(words(name))
    alike = kin(modality)
    alone = len(wanted) == 1 and not any(alike & set(words(other)) for other in names if other != modality)
    return wanted <= said or (alone and not said.isdisjoint(alike))


def _parts(bands: Sequence[_Band]) -> tuple[Part, ...]:
    """Bands of one layer that follow each other are one source."""
    parts: list[Part] = []
    for band in bands:
        if parts and parts[-1].layer == band.layer:
            parts[-1] = Part(band.layer, (*parts[-1].bands, band.position))
        else:
            parts.append(Part(band.layer, (band.position,)))
    return tuple(parts)


def _chosen(modality: Modality, pool: Pool) -> tuple[list[_Band], list[str]]:
    """The bands that a modality would take, in its order, and what they are called; nothing where they are so many.

    Raises:
        BandError: If there is no telling, or they are called otherwise.
    """
    meant = identities(modality.bands, [modality.name, modality.unit])
    found = [_called(name, one, pool.bands) for name, one in zip(modality.bands, meant, strict=True)]
    picked = [band for band in found if band is not None]
    if len(picked) == len(found) == len({(band.layer, band.position) for band in picked}):
        instead = [
            f"{band.identity} for {name}"
            for name, one, band in zip(modality.bands, meant, picked, strict=True)
            if band.identity != one and not frozenset(words(name)) <= band.said
        ]
        return picked, [f"band names {', '.join(modality.bands)}", *instead]
    numbered = _numbered(meant, pool)
    if numbered is not None:
        return numbered
    missing = " or ".join(name for name, band in zip(modality.bands, found, strict=True) if band is None)
    count = len(pool.bands)
    bands = f"has {count} band{'s' if count > 1 else ''}"
    if not pool.single:
        source = pool.source
        for positions in (source.band_indices, source.dataset.indexes):  # a fourth band is often called alpha
            if len(positions) != len(modality.bands):
                continue
            taken = [pool.bands[position - 1] for position in positions]
            others = [str(band.identity) for band in taken if band.identity is not None]
            if others and any(one is not None for one in meant):
                raise BandError(f"{bands}, called {', '.join(others)}; none is certainly {missing}")
            return taken, []
    raise BandError(
        f"{bands}, none of them named {' or '.join(modality.bands)}"
        if not picked
        else f"{bands}, but none that is certainly {missing}"
    )


def _numbered(meant: Sequence[str | None], pool: Pool) -> tuple[list[_Band], list[str]] | None:
    """The bands of a raster that are called by bare numbers, where these are those of one satellite alone.

    Only one may have all bands that are meant under such numbers; and numbers that are the bands' own positions say
    nothing.
    """
    numbers = {next(iter(band.said)): band for band in pool.bands if len(band.said) == 1}
    if len(numbers) < len(pool.bands) or not all(number.isdigit() for number in numbers) or None in meant:
        return None
    if all(int(number) == band.position for number, band in numbers.items()):
        return None
    fitting = []
    for satellite, facts in table()["satellites"].items():
        known = {facts["bands"].get(f"b{int(number)}"): band for number, band in numbers.items()}
        if all(one in known for one in meant):
            fitting.append((satellite, [known[one] for one in meant]))
    if len(fitting) != 1:
        return None
    satellite, taken = fitting[0]
    return taken, [f"band numbers {', '.join(next(iter(band.said)) for band in taken)} of {satellite}"]


def _called(name: str, meant: str | None, bands: Sequence[_Band]) -> _Band | None:
    """The one band of that name, else the one that is the same band; of several files the finest.

    A band of that name that is another one (B4 of other satellites) is none. Where the name is no satellite's number,
    and the band is not there, one that is nearly the same stands for it.
    """
    wanted = frozenset(words(name))
    near = table()["near"].get(meant) if code_of(words(name)) is None else None
    for such in (
        [band for band in bands if wanted and wanted <= band.said and None in (meant, band.identity)],
        [band for band in bands if meant is not None and band.identity == meant],
        [band for band in bands if near is not None and band.identity == near],
    ):
        if len({band.layer for band in such}) == len(such) > 1:
            sizes = sorted((band.source.grid.metres, number) for number, band in enumerate(such))
            such = [such[sizes[0][1]]] if sizes[0][0] < sizes[1][0] else such
        if such:
            return such[0] if len(such) == 1 else None
    return None


def _values(modality: Modality, parts: Sequence[Part]) -> tuple[float, str]:
    """How like the training's the bands' values are, from 0 to 1, and that in words.

    Raises:
        BandError: If they are others.
    """
    values = _sampled(modality, parts)
    if any(not len(one) for one in values):
        raise BandError("has no valid pixel")
    seen, likeness = _likeness(values, modality)
    if seen < SEEN or _elsewhere(values, modality):
        low = min(float(np.quantile(one, 0.02)) for one in values)
        high = max(float(np.quantile(one, 0.98)) for one in values)
        least = min(band.minimum for band in modality.statistics)
        most = max(band.maximum for band in modality.statistics)
        raise BandError(
            f"its values ({low:.4g} to {high:.4g}) are not those of the training ({least:.4g} to {most:.4g}); "
            "bring it to the training's scale, or assign it by name if they are right"
        )
    return likeness, f"{seen:.0%} of its values lie in the training range"


def _likeness(values: Sequence[NDArray[np.float64]], modality: Modality) -> tuple[float, float]:
    """Share of each band's values in the training range, the least; and how like the training's they are (0 to 1).

    Likeness of a band is exp(-d), d the difference of the medians to the mean in standard deviations, halved.
    """
    seen, alike = [], []
    for band, one in zip(modality.statistics, values, strict=True):
        margin = 0.1 * (band.maximum - band.minimum)
        seen.append(float(np.mean((one >= band.minimum - margin) & (one <= band.maximum + margin))))
        deviation = max(band.std, 1e-6 * max(1.0, abs(band.mean)))
        alike.append(float(np.exp(-abs(np.median(one) - band.mean) / (2 * deviation))))
    return min(seen), float(np.mean(alike)) * min(seen)


def _elsewhere(values: Sequence[NDArray[np.float64]], modality: Modality) -> bool:
    """Whether nearly all values lie, in every band, to one side of the mean: by a standard deviation or more, or within
    less than one. So does a scaled image whose small numbers all occur in the training too.
    """
    low, high = np.array([np.quantile(one, (0.02, 0.98)) for one in values]).T
    mean, deviation = (np.array([getattr(band, key) for band in modality.statistics]) for key in ("mean", "std"))
    far = (high < mean - deviation) | (low > mean + deviation)
    narrow = (high - low < deviation) & ((high < mean) | (low > mean))
    return bool(np.all(far | narrow))


def _sampled(modality: Modality, parts: Sequence[Part]) -> list[NDArray[np.float64]]:
    """Valid values of each band, as the network would get them: of squares spread over the raster; of all of it,
    thinned, where no square has any.

    Raises:
        BandError: If they do not fit the modality's data type or scale.
    """
    found: list[NDArray[np.float64]] = []
    for part in parts:
        with open_source(part.spec) as source:
            bands = slice(len(found), len(found) + len(part.bands))
            scales = None if modality.scales is None else modality.scales[bands]
            convert = conversion(source, scales, modality.dtype)
            if convert is None and not fits(source.dtype, modality.dtype):
                raise BandError(f"is {source.dtype}, which does not fit {modality.dtype}")
            squares = [_valid(source, convert, modality.dtype, area) for area in _spread(source.grid)]
            values = np.concatenate(squares, axis=1)
            found += list(values if values.shape[1] else _valid(source, convert, modality.dtype, None))
    return found


def _valid(
    source: RasterSource, convert: Conversion | None, dtype: str, area: RasterioWindow | None
) -> NDArray[np.float64]:
    """Valid values ``[C, n]`` of an area; of all of the raster, thinned, where that is None."""
    bands = source.band_indices
    try:
        if area is not None:
            values, valid = Validity.of(source.dataset, bands, source.dtype).read(source.dataset, area)
        else:
            shape = (len(bands), min(OVERVIEW, source.grid.height), min(OVERVIEW, source.grid.width))
            thinned = source.dataset.read(list(bands), masked=True, out_shape=shape)
            values, valid = thinned.data, np.logical_not(np.ma.getmaskarray(thinned).any(axis=0))
    except (RasterioError, ValueError) as error:
        raise RasterReadError(f"{source.spec.path}: cannot be read: {error}") from error
    if convert is not None:
        values = convert(values, dtype)
    found: NDArray[np.float64] = values[:, valid].astype(np.float64)
    return found[:, np.isfinite(found).all(axis=0)]


def _spread(grid: Grid) -> Iterable[RasterioWindow]:
    side = int(SAMPLES**0.5)
    rows = np.unique(np.linspace(0, max(0, grid.height - SIDE), side).astype(int))
    cols = np.unique(np.linspace(0, max(0, grid.width - SIDE), side).astype(int))
    for row in rows:
        for col in cols:
            yield RasterioWindow(int(col), int(row), min(SIDE, grid.width), min(SIDE, grid.height))
