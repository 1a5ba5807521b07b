"""Rasters in folders."""

from __future__ import annotations

from pathlib import Path

from engine.errors import RasterReadError

RASTERS = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".png", ".hgt", ".nc")
"""How the names of rasters in a folder end."""

RAW = (".dat", ".bsq", ".bil", ".bip")
"""How those end that are rasters where a header (``.hdr``) lies beside them."""


def rasters_of(raster: str) -> list[str]:
    """The rasters of a folder, a product's for instance; else what is named.

    Raises:
        RasterReadError: If a folder holds none.
    """
    folder = Path(raster)
    if not folder.is_dir():
        return [raster]
    found = sorted(str(path) for path in folder.rglob("*") if is_raster(path))
    if not found:
        raise RasterReadError(f"{raster}: holds no raster ({', '.join(RASTERS)}; {', '.join(RAW)} with a .hdr beside)")
    return found


def is_raster(path: Path) -> bool:
    """Whether a file of a folder is a raster to map from, by its name and what lies beside it."""
    if "QI_DATA" in path.parts:  # masks of a Sentinel-2 product's making
        return False
    end = path.suffix.lower()
    headers = (path.with_suffix(".hdr"), path.with_suffix(".HDR"), path.with_name(f"{path.name}.hdr"))
    return end in RASTERS or (end in RAW and any(header.exists() for header in headers))
