"""What a raster says beside its values, kept when it is written and compared when it is verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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
