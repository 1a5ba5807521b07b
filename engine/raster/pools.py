"""Bands that may serve a modality together: a raster's, or those of the single-band files of one acquisition.

What each of them is follows from names, satellites' numbers, wavelengths and colours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from rasterio.enums import ColorInterp

from engine.errors import BandError
from engine.modality import Modality
from engine.raster.bands import code_of, derived, identities, kinds, measured, table, words
from engine.raster.sources import RasterSource, SourceSpec

_PARTS_OF_PRODUCTS = {"img_data", "r10m", "r20m", "r60m"}
"""Folders that stand between a Sentinel-2 granule and its bands."""

_NUMBERED = re.compile(r"s1[a-d]?")
"""Sentinel-1's files end with a number of their own: -001 for VV, -002 for VH."""


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


class UnlikelyError(BandError):
    """Nothing speaks for it that bands are a modality: not worth a word of its own."""


@dataclass(frozen=True)
class Band:
    """A band of a pool: where it stands, what it is called, and what band that is.

    Args:
        layer: Its layer.
        source: Its open source.
        position: From 1, in the file.
        said: The words of its name.
        identity: Its common name, where that is certain.
        derived: Words that say that it is computed from a sensor's image.
    """

    layer: Layer
    source: RasterSource
    position: int
    said: frozenset[str]
    identity: str | None
    derived: frozenset[str]


class Pool:
    """Bands that may serve a modality together.

    Args:
        name: Of the layer, or of the acquisition.
        opened: The layers with their open sources.
    """

    def __init__(self, name: str, opened: Sequence[tuple[Layer, RasterSource]]) -> None:
        self.name, self.opened = name, opened
        self.several = len(opened) > 1
        single = all(is_single(source) for _, source in opened)  # then the band stands in the file's name too
        self.files = [PurePath(layer.spec.path).name for layer, _ in opened]
        described = [source.dataset.descriptions[band - 1] or "" for _, source in opened for band in _bands(source)]
        stems = [PurePath(layer.spec.path).stem if single else "" for layer, source in opened for _ in _bands(source)]
        texts = [name, *self.files]
        found = zip(identities(stems, texts), identities(described, texts), strict=True)
        self.bands: list[Band] = []
        for layer, source in opened:
            # of a raster that is placed while it is read, bands stand elsewhere than in the file
            places = dict(zip(source.band_indices, source.positions, strict=True)) if layer.spec.place else {}
            for band in _bands(source):
                called = f"{stems[len(self.bands)]} {described[len(self.bands)]}"
                by_file, by_description = next(found)
                one = by_description or measured(source.dataset, band) or by_file
                said = frozenset(words(called))
                self.bands.append(Band(layer, source, places.get(band, band), said, one, derived(called)))

    @property
    def source(self) -> RasterSource:
        """Of the first layer."""
        return self.opened[0][1]

    @property
    def palette(self) -> bool:
        """Whether it is a map of classes or colours."""
        return self.source.dataset.colorinterp[self.source.band_indices[0] - 1] == ColorInterp.palette


def is_single(source: RasterSource) -> bool:
    """Whether a raster has one band, but for an alpha band."""
    return len(_bands(source)) == 1


def _bands(source: RasterSource) -> Sequence[int]:
    """All bands of a raster, since the last of several is often called alpha and is none; but for that of two."""
    roles = source.dataset.colorinterp
    if len(roles) == 2 and roles[1] == ColorInterp.alpha:
        return (1,)
    return tuple(source.dataset.indexes)


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
    if rest and re.fullmatch(r"0\d\d", rest[-1]) and _NUMBERED.fullmatch(rest[0]):
        rest.pop()
    folder = path.parent
    while folder.name.lower() in _PARTS_OF_PRODUCTS:
        folder = folder.parent
    return (str(folder), *(word for word in rest if not re.fullmatch(r"\d{1,3}m", word)))


def _is_band(word: str) -> bool:
    return code_of([word]) is not None or word in table()["bands"]


def parts_of(bands: Sequence[Band]) -> tuple[Part, ...]:
    """Bands of one layer that follow each other are one source."""
    parts: list[Part] = []
    for band in bands:
        if parts and parts[-1].layer == band.layer:
            parts[-1] = Part(band.layer, (*parts[-1].bands, band.position))
        else:
            parts.append(Part(band.layer, (band.position,)))
    return tuple(parts)


def meant_by(modality: Modality) -> list[str | None]:
    """The common names of a modality's bands, where they are certain."""
    return identities(modality.bands, [modality.name, modality.unit])


def own_words(modality: Modality) -> frozenset[str]:
    """The words of a modality that elsewhere say that a layer is computed."""
    return frozenset().union(*(derived(text) for text in (modality.name, *modality.bands, modality.unit)))


def own_bands(modality: Modality, pool: Pool) -> list[Band]:
    """The bands of a pool but for those that are computed, unless the modality has that word too.

    Raises:
        BandError: If none is left, or the layer itself is called so.
    """
    own = own_words(modality)
    named = derived(pool.name) | (frozenset() if pool.several else derived(PurePath(pool.files[0]).stem))
    left = [band for band in pool.bands if not band.derived - own]
    foreign = named - own or (pool.bands[0].derived - own if not left else frozenset())
    if foreign:
        raise BandError(
            f"its name says {' and '.join(sorted(foreign))}, which is no sensor's image; assign it if it is"
        )
    return left


def check_kind(modality: Modality, pool: Pool) -> None:
    """Refuses what names say is another kind of sensor's.

    Raises:
        BandError: If so.
    """
    wanted = kinds([modality.name, *modality.bands], meant_by(modality))
    there = kinds([pool.name, *pool.files, *(" ".join(band.said) for band in pool.bands)], [])
    there |= kinds([], [band.identity for band in pool.bands])
    if wanted and there and not wanted & there:
        raise UnlikelyError(f"its name says {' and '.join(sorted(there))}, so that it is not {modality.name}")


def by_names(modality: Modality, bands: Sequence[Band]) -> list[Band | None]:
    """For each band of a modality the one that is certainly it; of several files the finest."""
    named = zip(modality.bands, meant_by(modality), strict=True)
    return [_called(name, one, bands) for name, one in named]


def choose(modality: Modality, pool: Pool) -> tuple[list[Band], list[str]]:
    """The bands that a modality would take, in its order, and what they are called; nothing where they are so many.

    Raises:
        BandError: If there is no telling, or they are called otherwise.
    """
    left, meant = own_bands(modality, pool), meant_by(modality)
    found = by_names(modality, left)
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
    check_kind(modality, pool)
    missing = [name for name, band in zip(modality.bands, found, strict=True) if band is None] or modality.bands
    count = len(pool.bands)
    bands = "" if pool.several else f"has {count} band{'s' if count > 1 else ''}, "
    if not pool.several:
        source = pool.source
        known = dict(zip(_bands(source), pool.bands, strict=True))
        for positions in (source.band_indices, source.dataset.indexes):  # a fourth band is often called alpha
            taken = [known[position] for position in positions if known.get(position) in left]
            if len(taken) != len(modality.bands):
                continue
            others = [str(band.identity) for band in taken if band.identity is not None]
            if others and any(one is not None for one in meant):
                raise BandError(f"{bands}called {', '.join(others)}; none is certainly {' or '.join(missing)}")
            return taken, []
    if not picked:
        raise UnlikelyError(f"{bands}none of them named {' or '.join(modality.bands)}")
    raise BandError(f"{bands}none of them certainly {' or '.join(missing)}")


def _numbered(meant: Sequence[str | None], pool: Pool) -> tuple[list[Band], list[str]] | None:
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
        if facts.get("alone", True) and all(one in known for one in meant):
            fitting.append((satellite, [known[one] for one in meant]))
    if len(fitting) != 1:
        return None
    satellite, taken = fitting[0]
    return taken, [f"band numbers {', '.join(next(iter(band.said)) for band in taken)} of {satellite}"]


def _called(name: str, meant: str | None, bands: Sequence[Band]) -> Band | None:
    """The one band of that name, else the one that is the same band; of several files the finest.

    A band of that name that is another one (B4 of other satellites) is none. Where the name is no satellite's number,
    and the band is not there, one that is nearly the same stands for it.
    """
    wanted = frozenset(words(name))
    near = table()["near"].get(meant) if code_of(words(name)) is None else None
    named = [band for band in bands if wanted and wanted <= band.said and None in (meant, band.identity)]
    for such in (
        [band for band in named if band.said == wanted],
        named,
        [band for band in bands if meant is not None and band.identity == meant],
        [band for band in bands if near is not None and band.identity == near],
    ):
        if len({band.layer for band in such}) == len(such) > 1:
            sizes = sorted((band.source.grid.metres, number) for number, band in enumerate(such))
            such = [such[sizes[0][1]]] if sizes[0][0] < sizes[1][0] else such
        if such:
            return such[0] if len(such) == 1 else None
    return None
