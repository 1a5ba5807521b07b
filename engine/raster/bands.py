"""Which band a band is: by its name, the number that its satellite gives it, its wavelength or its colour."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import rasterio
import yaml
from rasterio.enums import ColorInterp

_COLOURS = {
    ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue", ColorInterp.coastal: "coastal",
    ColorInterp.rededge: "rededge", ColorInterp.nir: "nir", ColorInterp.pan: "pan", ColorInterp.lwir: "lwir11",
}  # fmt: skip

_MICROMETRES = {"um": 1, "µm": 1, "micrometers": 1, "micrometres": 1, "microns": 1, "nm": 1e-3, "nanometers": 1e-3}
"""Units of wavelengths as ENVI writes them."""


@cache
def table() -> dict[str, Any]:
    """The content of ``bands.yaml``."""
    text = files("engine.raster").joinpath("bands.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def words(text: str) -> tuple[str, ...]:
    """The words of a name in lower case, with ``band 4`` as b4 and ``Sentinel-2`` as s2."""
    plain = re.sub(r"[^a-z0-9]+", " ", text.lower())
    plain = re.sub(r"\bband (?=\d)", "b", plain)
    plain = re.sub(r"\bsentinel ?([12])(?: ?([abc]))?\b", r"s\1\2", plain)
    return tuple(plain.split())


@cache
def _phrases() -> list[tuple[tuple[str, ...], str]]:
    """What is said of each band, the longest first: red edge is not red."""
    found = [
        (words(name), band) for band, facts in table()["bands"].items() for name in (band, *facts.get("names", ()))
    ]
    return sorted(found, key=lambda item: -len(item[0]))


def _by_name(said: Sequence[str]) -> str | None:
    """The one band that words speak of; None where they speak of none or of several (a ratio)."""
    rest, found = list(said), set()
    for phrase, band in _phrases():
        for start in range(len(rest) - len(phrase) + 1):
            if tuple(rest[start : start + len(phrase)]) == phrase:
                found.add(band)
                rest[start : start + len(phrase)] = [""] * len(phrase)
    return found.pop() if len(found) == 1 else None


def code_of(said: Iterable[str]) -> str | None:
    """The number that a satellite gives a band, as in b8a, where there is one among words."""
    for word in said:
        found = re.fullmatch(r"b(?:and)?0*(\d{1,2})(a?)", word)
        if found:
            return f"b{found[1]}{found[2]}"
    return None


def _satellites(texts: Iterable[str], codes: Iterable[str]) -> list[str]:
    """The satellites that names speak of; where they name none, all that have bands of these numbers."""
    every, said = table()["satellites"], " ".join(" ".join(words(text)) for text in texts)
    fitting = [name for name, facts in every.items() if set(codes) <= set(facts["bands"])]
    for key in ("words", "hints"):
        named = [
            name
            for name, facts in every.items()
            if any(re.search(rf"\b(?:{word})\b", said) for word in facts.get(key, ()))
        ]
        if named:
            return [name for name in named if name in fitting]
    return [name for name in fitting if every[name].get("alone", True)]


def alike(one: str, other: str) -> bool:
    """Whether two common names may be the same band."""
    vague = table()["vague"]
    return (
        one == other or table()["near"].get(one) == other or other in vague.get(one, ()) or one in vague.get(other, ())
    )


def identity(name: str, among: Sequence[str]) -> str | None:
    """The common name of a band that is called ``name``; None where that is not certain.

    Args:
        name: As it stands in a file, a file's name or a model.
        among: Satellites that it may be of.
    """
    said = words(name)
    named, code = _by_name(said), code_of(said)
    bands = {table()["satellites"][satellite]["bands"].get(code) for satellite in among}
    if named is not None:
        contrary = code is not None and len(among) == 1 and not any(alike(named, band) for band in bands if band)
        return None if contrary else named
    return bands.pop() if code is not None and len(bands) == 1 else None


def identities(names: Sequence[str], texts: Iterable[str]) -> list[str | None]:
    """:func:`identity` of each of several bands that belong together.

    Args:
        names: Of the bands.
        texts: What else is said of them: names of file and modality.
    """
    codes = [code for name in names if (code := code_of(words(name))) is not None]
    among = _satellites([*names, *texts], codes)
    padded = any(re.search(r"\bb0\d\b", " ".join(words(name))) for name in names)
    if padded and "sentinel-2" in among:  # no other one writes B02
        among = ["sentinel-2"]
    numbers = [re.search(r"\bswir ?(\d)\b", " ".join(words(name))) for name in names]
    many = any(number and int(number[1]) > 2 for number in numbers)  # WorldView-3's SWIR1 to SWIR8 are others
    return [None if many and number else identity(name, among) for name, number in zip(names, numbers, strict=True)]


def measured(dataset: rasterio.DatasetReader, band: int) -> str | None:
    """What a band is by its central wavelength; by its colour interpretation, where it has no description.

    None where neither says so. GDAL calls any three bands of bytes red, green and blue: a description knows better.
    """
    tags = dataset.tags(band)
    wavelength = dataset.tags(band, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM")
    factor = 1.0
    if wavelength is None and "wavelength" in tags:
        wavelength = tags["wavelength"]
        factor = _MICROMETRES.get(tags.get("wavelength_units", "").lower(), 0)
    try:
        micrometres = float(wavelength or 0) * factor
    except ValueError:
        micrometres = 0.0
    for name, facts in table()["bands"].items():
        centre, away = facts.get("wavelength", (0, 0))
        if centre and abs(micrometres - centre) <= away:
            return str(name)
    silent = not micrometres and not dataset.descriptions[band - 1]
    return _COLOURS.get(dataset.colorinterp[band - 1]) if silent else None


def kin(name: str) -> frozenset[str]:
    """Words that name the same kind of sensor as a modality's name does, itself among them."""
    said = set(words(name))
    groups = [facts["words"] for facts in table()["sensors"].values()]
    return frozenset(said.union(*(group for group in groups if said & set(group))))


def kinds(texts: Iterable[str], bands: Iterable[str | None]) -> frozenset[str]:
    """The kinds of sensor that words and bands speak of."""
    said, there = {word for text in texts for word in words(text)}, set(bands)
    return frozenset(
        facts.get("of", kind)
        for kind, facts in table()["sensors"].items()
        if said & set(facts["words"]) or there & set(facts.get("bands", ()))
    )


def derived(text: str) -> frozenset[str]:
    """Words of a name that say that the layer is computed from a sensor's image, or lies beside it."""
    said = f" {' '.join(words(text))} "
    return frozenset(phrase for phrase in table()["derived"] if f" {phrase} " in said)


def quality_rule(name: str) -> tuple[bool, str | None]:
    """Whether a layer's name says that it tells of quality, and the rule by which it masks."""
    said = "_".join(words(name))
    for word, rule in table()["quality"].items():
        if re.search(rf"(?:^|_){word}(?:_|$)", said):
            return True, rule
    return False, None
