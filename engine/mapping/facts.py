"""What a raster says beside its values, kept when it is written and compared when it is verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree  # nosec B405

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from engine.grid import Window
from engine.mapping.spool import by_rows

SIDE = 2048
"""Pixels along a piece of an overview that is hashed at a time."""

_MASKS = (MaskFlags.per_dataset, MaskFlags.alpha)


def facts_of(path: Path) -> dict[str, Any]:
    """What a raster says of itself, by what it is called in words.

    Raises:
        RasterioError: If the raster cannot be read.
    """
    with rasterio.open(path) as dataset:
        crs = dataset.crs
        return {
            "shape": [dataset.count, dataset.height, dataset.width],
            "data type": list(dataset.dtypes),
            "coordinate reference system": None if crs is None else crs.to_wkt(),
            "georeference": list(dataset.transform)[:6],
            "mask": [any(flag in _MASKS for flag in flags) for flags in dataset.mask_flag_enums],
            "scales and offsets": [list(dataset.scales), list(dataset.offsets)],
            "units": [one or "" for one in dataset.units],
            "colour interpretation": [one.name for one in dataset.colorinterp],
            "nodata value": [None if one is None else float(one) for one in dataset.nodatavals],
            "band names": [one or "" for one in dataset.descriptions],
            "colour table": _colours(dataset),
            "tags": _own(dataset.tags()),
            "overviews": _overviews(path, dataset),
        }


def _colours(dataset: DatasetReader) -> list[list[int]] | None:
    try:
        table = dataset.colormap(1)
    except ValueError:
        return None
    return [[value, *colour] for value, colour in sorted(table.items()) if any(colour[:3])]


def _own(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in sorted(tags.items()) if key != "AREA_OR_POINT"}


def _overviews(path: Path, dataset: DatasetReader) -> list[list[object]]:
    found: list[list[object]] = []
    for level, factor in enumerate(dataset.overviews(1)):
        digest = hashlib.sha256()
        with rasterio.open(path, overview_level=level) as overview:
            for window in _pieces(overview.height, overview.width):
                try:
                    values = overview.read(window=window)
                except RasterioError:
                    digest.update(b"unreadable")
                else:
                    digest.update(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes())
        found.append([factor, digest.hexdigest()])
    return found


def _pieces(height: int, width: int) -> Iterator[RasterioWindow]:
    for row in range(0, height, SIDE):
        for col in range(0, width, SIDE):
            yield RasterioWindow(col, row, min(SIDE, width - col), min(SIDE, height - row))


def damaged(path: Path, parts: Sequence[tuple[Window, str]]) -> list[Window]:
    """The parts of a raster whose values are not those that were mapped, or cannot be decoded.

    Args:
        path: The raster.
        parts: The pixels of each strip of tiles, with the hash of their values; together they cover the raster.

    Raises:
        RasterioError: If the raster cannot be opened.
    """
    found = []
    with rasterio.open(path) as dataset:
        dtype = np.dtype(dataset.dtypes[0]).newbyteorder("<")
        if sum(part.height * part.width for part, _ in parts) != dataset.height * dataset.width:
            return [Window(0, 0, dataset.height, dataset.width)]
        for part, expected in parts:
            if part.empty:
                continue
            try:
                values = dataset.read(window=RasterioWindow(part.col, part.row, part.width, part.height))
                digest = hashlib.sha256(by_rows(values).astype(dtype, copy=False).tobytes()).hexdigest()
            except RasterioError:
                digest = ""  # blocks that cannot be decoded
            if digest != expected:
                found.append(part)
    return found


def places(parts: Sequence[Window]) -> str:
    """Parts of a raster in words, the first of them."""
    said = "; ".join(f"rows {part.row}-{part.end_row - 1}, columns {part.col}-{part.end_col - 1}" for part in parts[:5])
    return said + (f" and {len(parts) - 5} places more" if len(parts) > 5 else "")


def changed_facts(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The names of facts that differ."""
    return [name for name in there if there[name] != here.get(name)]


def self_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON document but for its key ``digest``."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def legend_digest(text: str) -> str:
    """SHA-256 of what GDAL's ``.aux.xml`` says.

    Statistics, histograms and the bands' names, which any GIS may add to it, do not count, nor how numbers are written.

    Raises:
        ValueError: If it is no XML.
    """
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # nosec B314 (beside a map of one's own)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
    return hashlib.sha256(json.dumps(_plain(root)).encode()).hexdigest()


def _plain(element: ElementTree.Element) -> list[object]:
    """An element's name, attributes, text and children, with numbers to nine digits; those of bands in any order."""
    text = (element.text or "").strip() or ("0" if element.tag == "F" else "")  # GDAL writes no number as 0
    with suppress(ValueError):
        text = f"{float(text):.9g}"
    children = [_plain(one) for one in element if not _added(one)]
    if element.tag in ("PAMDataset", "PAMRasterBand"):
        children.sort(key=json.dumps)
    return [element.tag, sorted(element.attrib.items()), text, children]


def _added(element: ElementTree.Element) -> bool:
    """Whether it is something that a GIS adds by itself."""
    if element.tag == "Metadata":
        return not element.attrib and all(_added(one) for one in element)
    statistics = element.tag == "MDI" and element.get("key", "").startswith("STATISTICS_")
    return statistics or element.tag in ("Histograms", "Description")
