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
from engine.inference.outputs import file_digest


def verify(path: Path) -> str:
    """Compares a map with the hashes that were written beside it.

    Args:
        path: A class map, confidence or availability.

    Returns:
        In words what was found right: the file, or its values where the file was rewritten.

    Raises:
        RasterReadError: If there are no hashes, the map cannot be read, or values differ; it names the rows.
    """
    beside = path.with_name(f"{path.name}.hashes.json")
    try:
        hashes = json.loads(beside.read_text(encoding="utf-8"))
        digest, rows = str(hashes["sha256"]), [(int(first), int(end), str(one)) for first, end, one in hashes["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RasterReadError(f"{path}: there are no hashes to compare with in {beside.name}: {error}") from error
    try:
        if file_digest(path) == digest:
            return "unchanged"
        damaged = _damaged(path, rows)
    except (OSError, RasterioError) as error:
        raise RasterReadError(f"{path}: cannot be read: {error}; map again") from error
    if damaged:
        where = ", ".join(f"{first}-{end - 1}" for first, end in damaged[:5])
        more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
        raise RasterReadError(f"{path}: values are not those that were mapped, in rows {where}{more}; map again")
    return "the file was rewritten, its values are unchanged"


def _damaged(path: Path, rows: list[tuple[int, int, str]]) -> list[tuple[int, int]]:
    found = []
    with rasterio.open(path) as dataset:
        dtype = np.dtype(dataset.dtypes[0]).newbyteorder("<")
        for first, end, expected in rows:
            try:
                values = dataset.read(1, window=RasterioWindow(0, first, dataset.width, end - first))
                digest = hashlib.sha256(values.astype(dtype, copy=False).tobytes()).hexdigest()
            except RasterioError:
                digest = ""  # blocks that cannot be decoded
            if digest != expected:
                found.append((first, end))
        if not rows or rows[-1][1] != dataset.height:
            found.append((rows[-1][1] if rows else 0, dataset.height))
    return found
