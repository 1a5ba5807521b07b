"""Cloud-optimised GeoTIFFs out of raw values on the disk, in one pass of GDAL."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from engine.files import unwritable
from engine.grid import Grid, Window
from engine.modality import LandClass

_MEMORY = {"GDAL_CACHEMAX": 16 * 1024**2, "GDAL_OVR_CHUNK_MAX_SIZE": 1024**2}
"""GDAL's options while a raster is compressed: every value is read once, so that its buffers may be small."""

BLOCK = 512
"""Pixels along a block of the file."""

_TEMPORARY = (".aux.xml", ".ovr.tmp", ".msk.ovr.tmp")
"""How names end of what GDAL leaves beside a raster: its own sidecar says less than ours."""

_TYPES = {"uint8": "Byte", "uint16": "UInt16", "uint32": "UInt32"}


@dataclass(frozen=True)
class RawLayer:
    """Raw little-endian values, and what the raster says of them.

    Args:
        path: The file.
        panels: Parts from top to bottom that stand side by side, as they follow each other in the file; each row by
            row, in a row band by band.
        dtype: ``uint8``, ``uint16`` or ``uint32``.
        nodata: Nodata value.
        descriptions: Of each band.
        overviews: How overviews are made: never ``average`` for classes or bits.
        classes: For a class map, its classes: colour table and category names.
        tags: Metadata of the dataset.
    """

    path: Path
    panels: Sequence[Window]
    dtype: str
    nodata: int
    descriptions: Sequence[str]
    overviews: Literal["mode", "average", "nearest"]
    classes: Sequence[LandClass] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def write_cog(layer: RawLayer, grid: Grid, target: Path, name: Path) -> None:
    """Writes a layer as a cloud-optimised GeoTIFF.

    Equal layers give equal files, with the same version of GDAL.

    Args:
        layer: The values.
        grid: CRS, transform and shape.
        target: The file, written as it is named: the caller renames it.
        name: What the caller will call it.

    Raises:
        OutputError: If it cannot be written.
    """
    description = layer.path.with_suffix(".vrt")
    try:
        start, panel_paths = 0, []
        for number, panel in enumerate(layer.panels):
            panel_paths.append(layer.path.with_name(f"{layer.path.stem}-{number}.vrt"))
            panel_paths[-1].write_text(_panel_vrt(layer, panel, start), encoding="utf-8")
            start += panel.height * panel.width * len(layer.descriptions) * np.dtype(layer.dtype).itemsize
        description.write_text(_vrt(layer, grid, panel_paths), encoding="utf-8")
        with rasterio.Env(**_MEMORY):
            rasterio.shutil.copy(
                str(description),
                str(target),
                driver="COG",
                compress="DEFLATE",
                predictor="NO" if layer.classes else "YES",
                blocksize=BLOCK,
                overview_resampling=layer.overviews,
                bigtiff="IF_SAFER",
                num_threads="ALL_CPUS",
            )
        with rasterio.open(target):
            pass  # GDAL does not report a disk that fills up while the directory is written
    except (RasterioError, CPLE_BaseError, OSError, SystemError) as error:  # the last is an error without a number
        raise unwritable(name, error, "check that there is room, and map again: what is finished is kept") from error
    finally:
        for end in _TEMPORARY:
            with suppress(OSError):
                target.with_name(f"{target.name}{end}").unlink(missing_ok=True)


def writing_memory(pixel_bytes: int) -> int:
    """Bytes that :func:`write_cog` takes at the most, as measured with 1-24 bands and 1-16 of GDAL's threads.

    Args:
        pixel_bytes: Of a pixel in all bands of the layer.
    """
    return 2 * _MEMORY["GDAL_CACHEMAX"] + BLOCK * BLOCK * pixel_bytes * (20 + 3 * (os.cpu_count() or 1))


def _vrt(layer: RawLayer, grid: Grid, panel_paths: Sequence[Path]) -> str:
    transform = ", ".join(repr(value) for value in grid.transform.to_gdal())
    colours = names = ""
    if layer.classes:
        by_value = {item.value: item for item in layer.classes}
        entries, categories = [], []
        for value in range(max(by_value) + 1):
            red, green, blue = by_value[value].rgb if value in by_value else (0, 0, 0)
            alpha = 255 if value in by_value else 0
            entries.append(f'<Entry c1="{red}" c2="{green}" c3="{blue}" c4="{alpha}"/>')
            categories.append(f"<Category>{escape(by_value[value].name if value in by_value else '')}</Category>")
        colours = f"<ColorInterp>Palette</ColorInterp><ColorTable>{''.join(entries)}</ColorTable>"
        names = f"<CategoryNames>{''.join(categories)}</CategoryNames>"
    tags = "".join(f'<MDI key="{escape(key)}">{escape(value)}</MDI>' for key, value in sorted(layer.tags.items()))
    crs = "" if grid.crs is None else f"<SRS>{escape(grid.crs.to_wkt())}</SRS>"
    bands = "".join(
        f'<VRTRasterBand dataType="{_TYPES[layer.dtype]}" band="{band}">'
        f"<Description>{escape(description)}</Description><NoDataValue>{layer.nodata}</NoDataValue>{colours}{names}"
        + "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="1">{escape(panel_path.name)}</SourceFilename>'
            f'<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" xSize="{panel.width}" ySize="{panel.height}"/>'
            f'<DstRect xOff="{panel.col}" yOff="0" xSize="{panel.width}" ySize="{panel.height}"/></SimpleSource>'
            for panel_path, panel in zip(panel_paths, layer.panels, strict=True)
        )
        + "</VRTRasterBand>"
        for band, description in enumerate(layer.descriptions, start=1)
    )
    return (
        f'<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">{crs}'
        f"<GeoTransform>{transform}</GeoTransform><Metadata>{tags}</Metadata>{bands}</VRTDataset>"
    )


def _panel_vrt(layer: RawLayer, panel: Window, start: int) -> str:
    """One panel, whose values begin at a byte of the file."""
    size = np.dtype(layer.dtype).itemsize
    count = len(layer.descriptions)
    bands = "".join(
        f'<VRTRasterBand dataType="{_TYPES[layer.dtype]}" band="{band + 1}" subClass="VRTRawRasterBand">'
        f'<SourceFilename relativetoVRT="1">{escape(layer.path.name)}</SourceFilename>'
        f"<ImageOffset>{start + band * panel.width * size}</ImageOffset><PixelOffset>{size}</PixelOffset>"
        f"<LineOffset>{count * panel.width * size}</LineOffset><ByteOrder>LSB</ByteOrder></VRTRasterBand>"
        for band in range(count)
    )
    return f'<VRTDataset rasterXSize="{panel.width}" rasterYSize="{panel.height}">{bands}</VRTDataset>'
