"""Polygons on a grid: read from any vector file, burnt window by window."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.warp import transform_bounds

from engine.errors import GridError, RasterReadError
from engine.grid import Grid, Window

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

_RASTERIZE = threading.Lock()
"""rasterio silences a warning of its own while it burns, and that is not safe in several threads at a time."""


def read_polygons(path: str, grid: Grid, layer: str | None = None) -> GeoDataFrame:
    """The features of a vector file around a grid, in its CRS; those without geometry are left out.

    Args:
        path: A vector file.
        grid: The grid.
        layer: Layer of a file with several.

    Raises:
        RasterReadError: If the file cannot be read.
        GridError: If only one of file and grid has a CRS.
    """
    import geopandas

    try:
        frame = geopandas.read_file(path, layer=layer) if layer else geopandas.read_file(path)
    except (OSError, ValueError, RuntimeError) as error:
        raise RasterReadError(f"{path}: cannot be read as a vector file: {error}") from error
    if (frame.crs is None) != (grid.crs is None):
        raise GridError(f"{path}: of the polygons and the grid only one has a coordinate reference system")
    if grid.crs is not None and frame.crs != grid.crs.to_wkt():
        frame = _near(frame, grid).to_crs(grid.crs.to_wkt())
    return frame[~frame.geometry.is_empty & frame.geometry.notna()]


def _near(frame: GeoDataFrame, grid: Grid) -> GeoDataFrame:
    """The parts of polygons around a grid: what lies on the other side of the world has no image in its CRS."""
    left, bottom, right, top = transform_bounds(grid.crs, frame.crs.to_wkt(), *grid.bounds)
    if not (np.isfinite([left, bottom, right, top]).all() and left < right):
        return frame
    across, up = (right - left) / 10, (top - bottom) / 10
    return frame.clip((left - across, bottom - up, right + across, top + up), sort=True)


class Burner:
    """Gives each pixel the number of the polygon that holds its centre; the later polygon wins.

    Args:
        frame: Polygons in the grid's CRS.
        numbers: Of each polygon.
        grid: The grid.
    """

    def __init__(self, frame: GeoDataFrame, numbers: Sequence[int], grid: Grid) -> None:
        self._grid = grid
        self._shapes = list(zip(frame.geometry, numbers, strict=True))
        self._bounds = [grid.window_of(tuple(shape.bounds)) for shape, _ in self._shapes]

    @property
    def window(self) -> Window | None:
        """The pixels around all polygons; None without polygons."""
        around = None
        for bounds in self._bounds:
            around = bounds if around is None else around | bounds
        return around

    def read(self, window: Window, fill: int) -> NDArray[np.int16]:
        """Numbers ``[h, w]``, ``fill`` where no polygon is; the window may reach outside of the grid."""
        near = [item for item, bounds in zip(self._shapes, self._bounds, strict=True) if not (bounds & window).empty]
        shape = (window.height, window.width)
        if not near:
            return np.full(shape, fill, dtype=np.int16)
        with _RASTERIZE:
            burnt: NDArray[np.int16] = rasterize(
                near, out_shape=shape, fill=fill, transform=self._grid.part(window).transform, dtype="int16"
            )
        return burnt
