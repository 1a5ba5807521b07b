"""Features burnt onto a grid, window by window."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize

from engine.grid import Grid, Window

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

_RASTERIZE = threading.Lock()
"""rasterio silences a warning of its own while it burns, and that is not safe in several threads at a time."""

_FEW = 64
"""Pixel centres within a polygon's bounds up to which it is looked whether any lies in the polygon."""


class Burner:
    """Gives each pixel the number of the feature that holds its centre; the later feature wins.

    Each window asks a tree of bounds for the features near it.

    Args:
        frame: Features in the grid's CRS.
        numbers: Of each feature.
        grid: The grid.
        all_touched: Whether a pixel belongs to every feature that touches it.
    """

    def __init__(self, frame: GeoDataFrame, numbers: Sequence[int], grid: Grid, all_touched: bool = False) -> None:
        import shapely

        self._grid, self._all_touched = grid, all_touched
        self._numbers = np.asarray(numbers)
        self._dtype = "int16" if self._numbers.max(initial=0) < 2**15 else "int32"
        self._shapes = frame.geometry.to_numpy()
        self._tree = shapely.STRtree(self._shapes)

    @property
    def window(self) -> Window | None:
        """The pixels around all features; None without features."""
        import shapely

        if not len(self._shapes):
            return None
        left, bottom, right, top = shapely.total_bounds(self._shapes)
        return self._grid.window_of((left, bottom, right, top))

    def missed(self) -> int:
        """How many polygons within the grid hold no pixel's centre; small ones alone are looked at."""
        import shapely

        if self._all_touched:
            return 0
        polygons = self._shapes[shapely.get_dimensions(self._shapes) == 2]
        left, bottom, right, top = shapely.bounds(polygons).T
        inverse = ~self._grid.transform
        corners = [inverse @ corner for corner in ((left, top), (right, top), (left, bottom), (right, bottom))]
        cols, rows = (np.stack([corner[axis] for corner in corners]) for axis in (0, 1))
        # the centre of pixel n lies at n + .5
        first_col, first_row = (np.ceil(places.min(axis=0) - 0.5).astype(np.int64) for places in (cols, rows))
        across, down = (
            np.maximum(np.floor(places.max(axis=0) - 0.5).astype(np.int64) - first + 1, 0)
            for places, first in ((cols, first_col), (rows, first_row))
        )
        inside = (first_col + across > 0) & (first_col < self._grid.width)
        inside &= (first_row + down > 0) & (first_row < self._grid.height)
        empty = across * down == 0
        missed = int((empty & inside).sum())
        for index in np.flatnonzero(inside & ~empty & (across * down <= _FEW)):
            row, col = np.mgrid[: down[index], : across[index]]
            x, y = self._grid.transform @ (first_col[index] + col + 0.5, first_row[index] + row + 0.5)
            missed += not shapely.contains_xy(polygons[index], x.ravel(), y.ravel()).any()
        return missed

    def read(self, window: Window, fill: int) -> NDArray[np.signedinteger]:
        """Numbers ``[h, w]``, ``fill`` where no feature is; the window may reach outside of the grid."""
        from shapely.geometry import box

        part = self._grid.part(window)
        near = np.sort(self._tree.query(box(*part.bounds)))
        shape = (window.height, window.width)
        if not len(near):
            return np.full(shape, fill, dtype=self._dtype)
        shapes = zip(self._shapes[near], self._numbers[near].tolist(), strict=True)
        with _RASTERIZE:
            burnt: NDArray[np.signedinteger] = rasterize(
                shapes,
                out_shape=shape,
                fill=fill,
                transform=part.transform,
                all_touched=self._all_touched,
                dtype=self._dtype,
            )
        return burnt
