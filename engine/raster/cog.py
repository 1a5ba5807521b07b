"""Cloud-optimised GeoTIFFs out of raw values on the disk, in one pass of GDAL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError

from engine.errors import OutputError
from engine.grid import Grid
from engine.modality import LandClass

_TYPES = {"uint8": "Byte", "uint16": "UInt16", "uint32": "UInt32"}


@dataclass(frozen=True)
class RawLayer:
    """Raw little-endian values, band by band, row by row, and what the raster says of them.

    Args:
        path: The file.
        dtype: ``uint8``, ``uint16`` or ``uint32``.
        nodata: Nodata value.
        descriptions: Of each band.
        overviews: How overviews are made: never ``average`` for classes or bits.
        classes: For a class map, its classes: colour table and category names.
        tags: Metadata of the dataset.
    """

    path: Path
    dtype: str
    nodata: int
    descriptions: Sequence[str]
    overviews: Literal["mode", "average", "nearest"]
    classes: Sequence[LandClass] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def write_cog(layer: RawLayer, grid: Grid, target: Path) -> None:
    """Writes a layer as a cloud-optimised GeoTIFF.

    Equal layers give equal files, with the same version of GDAL.

    Args:
        layer: The values.
        grid: CRS, transform and shape.
        target: The file, written as it is named: the caller renames it.

    Raises:
        OutputError: If it cannot be written.
    """
    description = layer.path.with_suffix(".vrt")
    try:
        description.write_text(_vrt(layer, grid), encoding="utf-8")
        rasterio.shutil.copy(
            str(description),
            str(target),
            driver="COG",
            compress="DEFLATE",
            predictor="NO" if layer.classes else "YES",
            blocksize=512,
            overview_resampling=layer.overviews,
            bigtiff="IF_SAFER",
            num_threads="ALL_CPUS",
        )
        with rasterio.open(target):
            pass  # GDAL does not report a disk that fills up while the directory is written
    except (RasterioError, OSError) as error:
        raise OutputError(
            f"{target}: cannot be written: {error}; check that there is room, and map again: what is finished is kept"
        ) from error


def _vrt(layer: RawLayer, grid: Grid) -> str:
    dtype = np.dtype(layer.dtype)
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
    plane = dtype.itemsize * grid.width * grid.height
    bands = "".join(
        f'<VRTRasterBand dataType="{_TYPES[layer.dtype]}" band="{number}" subClass="VRTRawRasterBand">'
        f"<Description>{escape(description)}</Description><NoDataValue>{layer.nodata}</NoDataValue>"
        f'{colours}{names}<SourceFilename relativetoVRT="1">{escape(layer.path.name)}</SourceFilename>'
        f"<ImageOffset>{(number - 1) * plane}</ImageOffset><PixelOffset>{dtype.itemsize}</PixelOffset>"
        f"<LineOffset>{dtype.itemsize * grid.width}</LineOffset><ByteOrder>LSB</ByteOrder></VRTRasterBand>"
        for number, description in enumerate(layer.descriptions, start=1)
    )
    return (
        f'<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">{crs}'
        f"<GeoTransform>{transform}</GeoTransform><Metadata>{tags}</Metadata>{bands}</VRTDataset>"
    )
