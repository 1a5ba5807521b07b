"""Scale and offset that stand beside a product's bands: in a SAFE's metadata (Sentinel-2), in an MTL file (Landsat)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import rasterio

from engine.modality import LinearScale

_SENTINEL = re.compile(r"(?:^|_)B(\d{2}|8A)(?:_\d{2}m)?\.(?:jp2|tif|tiff)$", re.IGNORECASE)
_LANDSAT = re.compile(r"^(?P<product>L[A-Z]\d{2}_.+?)_(?:(?P<kind>SR|ST)_)?B(?P<band>\d{1,2})\.tiff?$", re.IGNORECASE)

_METADATA = ("MTD_MSIL2A.xml", "MTD_MSIL1C.xml")

_QUANTIFICATION = re.compile(r"<(?:BOA_)?QUANTIFICATION_VALUE[^>]*>\s*(\d+(?:\.\d+)?)\s*<")

_OFFSETS = re.compile(r"""<(?:BOA|RADIO)_ADD_OFFSET band_id="(\d+)"[^>]*>\s*(-?\d+(?:\.\d+)?)\s*<""")

_UP = 5
"""Folders above a band (IMG_DATA/R10m, the granule) in which a Sentinel-2 product's metadata is looked for."""

_BAND_IDS = ("01", "02", "03", "04", "05", "06", "07", "08", "8A", "09", "10", "11", "12")
"""Sentinel-2's bands in the order of ``band_id``."""


def declared_beside(path: str) -> LinearScale | None:
    """Scale and offset of a band in a file of its own, as the metadata beside it says; None where nothing does.

    Sentinel-2 from baseline 04.00: reflectance = (number + offset) / quantification. Landsat Collection 2: reflectance
    or kelvin = number * MULT + ADD.
    """
    found = metadata_beside(path)
    if found is None:
        return None
    landsat, sentinel = _LANDSAT.match(Path(path).name), _SENTINEL.search(Path(path).name)
    if landsat is not None:
        return _landsat(found, landsat)
    return None if sentinel is None else _sentinel(found, found.stat().st_mtime_ns).get(sentinel[1].upper())


def metadata_beside(path: str) -> Path | None:
    """The file that says scale and offset of a product's band; None where there is none."""
    landsat = _LANDSAT.match(Path(path).name)
    if landsat is not None:
        every = [Path(path).parent / f"{landsat['product']}{end}" for end in _READERS]
    elif _SENTINEL.search(Path(path).name):
        every = [folder / name for folder in list(Path(path).absolute().parents)[:_UP] for name in _METADATA]
    else:
        every = []
    return next((one for one in every if one.is_file()), None)


def declared_in_tags(dataset: rasterio.DatasetReader, band: int) -> LinearScale | None:
    """Scale and offset that GDAL's Sentinel-2 driver has as metadata alone, which ``gdal_translate`` keeps."""
    own, whole = dataset.tags(band), dataset.tags()
    offset = own.get("BOA_ADD_OFFSET", own.get("RADIO_ADD_OFFSET"))
    quantification = whole.get("BOA_QUANTIFICATION_VALUE", whole.get("QUANTIFICATION_VALUE"))
    try:
        value = float(quantification or 0)
        return (1 / value, float(offset) / value) if offset is not None and value else None
    except ValueError:
        return None


@lru_cache(maxsize=64)
def _sentinel(metadata: Path, _changed: int) -> Mapping[str, LinearScale]:
    """Of each band; none where the file says nothing of a quantification."""
    text = metadata.read_text(encoding="utf-8", errors="replace")
    quantification = _QUANTIFICATION.search(text)
    if quantification is None or not float(quantification[1]):
        return {}
    value = float(quantification[1])
    offsets = {int(band): float(number) for band, number in _OFFSETS.findall(text)}
    if not offsets:  # before baseline 04.00
        offsets = dict.fromkeys(range(len(_BAND_IDS)), 0.0)
    return {name: (1 / value, offsets[number] / value) for number, name in enumerate(_BAND_IDS) if number in offsets}


def _landsat(metadata: Path, name: re.Match[str]) -> LinearScale | None:
    band, kind = int(name["band"]), (name["kind"] or "").upper()
    group, key = {
        "SR": ("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", f"REFLECTANCE_{{}}_BAND_{band}"),
        "ST": ("LEVEL2_SURFACE_TEMPERATURE_PARAMETERS", f"TEMPERATURE_{{}}_BAND_ST_B{band}"),
        "": ("LEVEL1_RADIOMETRIC_RESCALING", f"REFLECTANCE_{{}}_BAND_{band}"),
    }[kind]
    try:
        values = _READERS[f"_MTL{metadata.suffix}"](metadata, group)
        return float(values[key.format("MULT")]), float(values[key.format("ADD")])
    except (OSError, ValueError, KeyError):
        return None


def _from_text(metadata: Path, group: str) -> Mapping[str, Any]:
    text = metadata.read_text(encoding="utf-8", errors="replace")
    part = text.partition(f"GROUP = {group}\n")[2].partition("END_GROUP")[0]
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in part.splitlines())}


def _from_json(metadata: Path, group: str) -> Mapping[str, Any]:
    values: Mapping[str, Any] = json.loads(metadata.read_text(encoding="utf-8"))["LANDSAT_METADATA_FILE"][group]
    return values


def _from_xml(metadata: Path, group: str) -> Mapping[str, Any]:
    text = metadata.read_text(encoding="utf-8", errors="replace")
    return dict(re.findall(r"<(\w+)>([^<]*)</\1>", text.partition(f"<{group}>")[2].partition(f"</{group}>")[0]))


_READERS = {"_MTL.txt": _from_text, "_MTL.json": _from_json, "_MTL.xml": _from_xml}
