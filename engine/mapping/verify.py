"""Whether a map still holds what was mapped: its file and, where that was rewritten, its values."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from engine.errors import RasterReadError
from engine.grid import Window
from engine.mapping.outputs import file_digest
from engine.mapping.spool import by_rows


def verify(path: Path) -> str:
    """Compares a map with the hashes that were written beside it.

    Args:
        path: A class map, or another raster that was written with one.

    Returns:
        In words what was found right: the file, or its values where the file was rewritten.

    Raises:
        RasterReadError: If there are no hashes, the map cannot be read, or values differ; it names the
            rows and columns.
    """
    beside = path.with_name(f"{path.name}.hashes.json")
    try:
        hashes = json.loads(beside.read_text(encoding="utf-8"))
        digest, parts = str(hashes["sha256"]), [(Window(*map(int, part)), str(one)) for *part, one in hashes["parts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RasterReadError(f"{path}: there are no hashes to compare with in {beside.name}: {error}") from error
    try:
        if file_digest(path) == digest:
            return "unchanged"
        damaged = _damaged(path, parts)
    except (OSError, RasterioError) as error:
        raise RasterReadError(f"{path}: cannot be read: {error}; map again") from error
    if damaged:
        where = "; ".join(
            f"rows {part.row}-{part.end_row - 1}, columns {part.col}-{part.end_col - 1}" for part in damaged[:5]
        )
        more = f" and {len(damaged) - 5} places more" if len(damaged) > 5 else ""
        raise RasterReadError(f"{path}: values are not those that were mapped, in {where}{more}; map again")
    return "the file was rewritten, its values are unchanged"


def _damaged(path: Path, parts: list[tuple[Window, str]]) -> list[Window]:
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
