"""A case's rasters as files, with GDAL's own ways to say what is hidden."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from fuzz.case import Lattice, Quality, Source, held, quality_values, stored

_TYPES = {
    "int8": "Int8",
    "uint8": "Byte",
    "int16": "Int16",
    "uint16": "UInt16",
    "int32": "Int32",
    "uint32": "UInt32",
    "float32": "Float32",
    "float64": "Float64",
}


def write_source(source: Source, path: Path) -> Path:
    """Writes a raster: a GeoTIFF, and a VRT around it where a GeoTIFF cannot say what is to be said."""
    content = stored(source)
    values = content.values
    if source.alpha is not None and content.alpha is not None:
        values = np.insert(values, source.alpha - 1, content.alpha, axis=0)
    alike = len({repr(number) for number in source.nodata}) == 1
    nodata = source.nodata[0]
    plain = alike and (nodata is None or held(nodata, source.dtype) or np.issubdtype(source.dtype, np.floating))
    plain = plain and source.mask != "bands" and nodata not in (1e300, float("inf"))
    tif = path.with_suffix(".tif")
    _write(tif, source.lattice, values, nodata if plain else None)
    with _quiet(), rasterio.open(tif, "r+") as dataset:
        kinds = [ColorInterp.gray, *[ColorInterp.undefined] * (len(values) - 1)]  # else the fourth of four is an alpha
        if source.alpha is not None:
            kinds[source.alpha - 1] = ColorInterp.alpha
        dataset.colorinterp = kinds
        if source.mask == "values" and plain:
            dataset.update_tags(NODATA_VALUES=" ".join("7" for _ in values))
        if source.mask in ("internal", "file"):
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=source.mask == "internal"):
                dataset.write_mask(content.masks[0])
    if plain:
        return tif
    if source.mask == "bands":
        _write(path.with_suffix(".masks.tif"), source.lattice, content.masks.astype("uint8") * 255, None)
    vrt = path.with_suffix(".vrt")
    vrt.write_text(_vrt(source, tif.name, path.with_suffix(".masks.tif").name, len(values)))
    return vrt


def write_quality(quality: Quality, path: Path) -> Path:
    """Writes a quality layer."""
    _write(path, quality.lattice, quality_values(quality)[None], quality.nodata)
    return path


def write_grid(lattice: Lattice, path: Path) -> Path:
    """Writes a raster that has the map's grid."""
    _write(path, lattice, np.zeros((1, lattice.height, lattice.width), "uint8"), None)
    return path


def _write(path: Path, lattice: Lattice, values: NDArray[np.generic], nodata: float | None) -> None:
    place = {} if lattice.crs is None else {"crs": lattice.crs, "transform": lattice.affine}
    size = {"width": lattice.width, "height": lattice.height, "count": len(values), "dtype": values.dtype}
    with _quiet(), rasterio.open(path, "w", driver="GTiff", nodata=nodata, **size, **place) as dataset:
        dataset.write(values)


@contextmanager
def _quiet() -> Iterator[None]:
    """Rasters without a georeference, and nodata values beyond float32, are meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _vrt(source: Source, tif: str, masks: str, count: int) -> str:
    """The bands of a GeoTIFF, each with its nodata value and mask, and the mask of all."""
    measured = [band for band in range(1, count + 1) if band != source.alpha]
    bands = ""
    for band in range(1, count + 1):
        more = "<ColorInterp>Alpha</ColorInterp>" if band == source.alpha else ""
        if band in measured:
            place = measured.index(band)
            number = source.nodata[place]
            more += "" if number is None else f"<NoDataValue>{number!r}</NoDataValue>"
            if source.mask == "bands":
                more += f'<MaskBand><VRTRasterBand dataType="Byte">{_part(masks, place + 1)}</VRTRasterBand></MaskBand>'
        kind = _TYPES[source.dtype]
        bands += f'<VRTRasterBand dataType="{kind}" band="{band}">{more}{_part(tif, band)}</VRTRasterBand>'
    place = "".join(f"{number!r}," for number in source.lattice.affine.to_gdal())[:-1]
    where = ""
    if source.lattice.crs is not None:
        where = f'<SRS dataAxisToSRSAxisMapping="{_axes(source.lattice)}">EPSG:{source.lattice.epsg}</SRS>'
        where += f"<GeoTransform>{place}</GeoTransform>"
    tags = ""
    if source.mask == "values":
        tags = f'<Metadata><MDI key="NODATA_VALUES">{" ".join("7" for _ in range(count))}</MDI></Metadata>'
    mask = ""
    if source.mask in ("internal", "file"):
        mask = f'<MaskBand><VRTRasterBand dataType="Byte">{_part(tif, "mask,1")}</VRTRasterBand></MaskBand>'
    size = f'rasterXSize="{source.lattice.width}" rasterYSize="{source.lattice.height}"'
    return f"<VRTDataset {size}>{where}{tags}{bands}{mask}</VRTDataset>"


def _axes(lattice: Lattice) -> str:
    return "2,1" if lattice.crs is not None and lattice.crs.is_geographic else "1,2"


def _part(name: str, band: int | str) -> str:
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource>"
    )
