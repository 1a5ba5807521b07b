"""Rasters without a geotransform that ground control points or rational polynomials place, by GDAL's transformers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal
from uuid import uuid4

import rasterio
from affine import Affine
from rasterio import shutil
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.io import DatasetReader, MemoryFile
from rasterio.vrt import WarpedVRT

from engine.errors import GridError
from engine.raster.validity import Validity

Placement = Literal["points", "rpc"]

TOLERANCE = 1e-6
"""Error of a warp's coordinates in pixels. GDAL's own 0.125 makes values depend on the window that is read."""


def placement_of(dataset: DatasetReader) -> Placement | None:
    """What places a raster that has no geotransform; None where it has one, or nothing does."""
    if dataset.transform != Affine.identity():
        return None
    if dataset.gcps[0]:
        return "points"
    return "rpc" if dataset.rpcs is not None else None


def advice(path: str, placement: Placement) -> str:
    """What to do with a raster that must be placed first, in a sentence."""
    what, option = {
        "points": ("ground control points", "-tps"),
        "rpc": ("rational polynomial coefficients", "-rpc -to RPC_DEM=DEM.tif"),
    }[placement]
    return (
        f"{path}: has {what} only, no georeference; place it with `gdalwarp {option} {path} placed.tif` and give "
        f"placed.tif, or write {path}:place={placement} to have it placed while it is read"
    )


class Placed:
    """Some bands of a raster on a grid that GDAL finds for them, with an alpha band behind.

    Args:
        dataset: The raster.
        name: That GDAL opens it by.
        validity: Which bands, and where they are valid.
        placement: By what to place it.
        resampling: How pixels are found.

    Raises:
        GridError: If it has nothing of the kind.
    """

    def __init__(
        self, dataset: DatasetReader, name: str, validity: Validity, placement: Placement, resampling: Resampling
    ) -> None:
        found = placement_of(dataset)
        if found != placement:
            has = {"points": "ground control points", "rpc": "rational polynomials", None: "nothing to be placed by"}
            georeferenced = dataset.transform != Affine.identity()
            raise GridError(
                f"{name}: place={placement}: it has {'a georeference of its own' if georeferenced else has[found]}; "
                "leave out place" + (f", or write place={found}" if found else "")
            )
        points, crs = dataset.gcps
        extras: dict[str, object] = {}
        if placement == "rpc":
            crs, extras = CRS.from_epsg(4326), {"RPC_HEIGHT": dataset.rpcs.height_off}
        elif crs is None:
            raise GridError(f"{name}: its ground control points have no coordinate reference system; place it yourself")
        where = _points(points, crs) if placement == "points" else _polynomials(dataset)
        warpable = validity.warpable(dataset, name, where)
        self._masked = MemoryFile(warpable.vrt.encode(), filename=f"{uuid4()}.vrt")
        self.name = f"/vsimem/{uuid4()}.vrt"
        with (
            self._masked.open() as source,
            WarpedVRT(
                source,
                src_crs=crs,
                crs=crs,
                resampling=resampling,
                tolerance=TOLERANCE,
                **warpable.options,
                **extras,
            ) as warped,
        ):
            shutil.copy(warped, self.name, driver="VRT")
        self.dataset: DatasetReader = rasterio.open(self.name)

    def close(self) -> None:
        """Closes and forgets it."""
        self.dataset.close()
        shutil.delete(self.name, driver="VRT")
        self._masked.close()


def _points(points: Sequence[rasterio.control.GroundControlPoint], crs: CRS) -> str:
    places = "".join(
        f'<GCP Id="{number}" Pixel="{one.col!r}" Line="{one.row!r}" X="{one.x!r}" Y="{one.y!r}" Z="{one.z or 0.0!r}"/>'
        for number, one in enumerate(points)
    )
    return f'<GCPList Projection="{escape(crs.to_wkt())}">{places}</GCPList>'


def _polynomials(dataset: DatasetReader) -> str:
    items = "".join(f'<MDI key="{escape(key)}">{escape(value)}</MDI>' for key, value in dataset.tags(ns="RPC").items())
    return f'<Metadata domain="RPC">{items}</Metadata>'
