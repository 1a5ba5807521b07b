"""The raster geometry that everything is brought onto, and rectangles of its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from engine.errors import GridError

Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top in the units of a grid's CRS."""


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels: first row, first column, height and width. It may reach beyond a grid."""

    row: int
    col: int
    height: int
    width: int

    @property
    def end_row(self) -> int:
        """One past the last row."""
        return self.row + self.height

    @property
    def end_col(self) -> int:
        """One past the last column."""
        return self.col + self.width

    @property
    def empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.height <= 0 or self.width <= 0

    def __and__(self, other: Window) -> Window:
        """The pixels in both; empty (zero height or width) where they do not meet."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        return Window(
            row,
            col,
            max(0, min(self.end_row, other.end_row) - row),
            max(0, min(self.end_col, other.end_col) - col),
        )

    def __or__(self, other: Window) -> Window:
        """The smallest window around both."""
        row, col = min(self.row, other.row), min(self.col, other.col)
        return Window(row, col, max(self.end_row, other.end_row) - row, max(self.end_col, other.end_col) - col)

    def within(self, outer: Window) -> tuple[slice, slice]:
        """The slices that cut this window out of an array that holds ``outer``."""
        row, col = self.row - outer.row, self.col - outer.col
        return slice(row, row + self.height), slice(col, col + self.width)

    def shifted(self, rows: int, cols: int) -> Window:
        """The same rectangle, moved."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)


@dataclass(frozen=True)
class Grid:
    """CRS, affine transform and shape of a raster.

    Args:
        crs: Coordinate reference system, or None for an image without one.
        transform: Maps (column, row) to coordinates.
        height: Rows.
        width: Columns.
    """

    crs: CRS | None
    transform: Affine
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise GridError(f"a grid needs pixels; this one is {self.height} x {self.width}")

    @property
    def window(self) -> Window:
        """All of its pixels."""
        return Window(0, 0, self.height, self.width)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Width and height of a pixel in the CRS's units, both positive."""
        return (
            math.hypot(self.transform.a, self.transform.d),
            math.hypot(self.transform.b, self.transform.e),
        )

    @property
    def bounds(self) -> Bounds:
        """The rectangle around its corners."""
        corners = [
            self.transform @ corner for corner in ((0, 0), (self.width, 0), (0, self.height), (self.width, self.height))
        ]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        return min(xs), min(ys), max(xs), max(ys)

    def part(self, window: Window) -> Grid:
        """The grid of ``window``'s pixels, which may lie outside of this one."""
        return Grid(
            self.crs,
            self.transform @ Affine.translation(window.col, window.row),
            window.height,
            window.width,
        )

    def moved(self, across: float) -> Grid:
        """The same pixels, further across by units of the CRS."""
        return Grid(self.crs, Affine.translation(across, 0) @ self.transform, self.height, self.width)

    def window_of(self, bounds: Bounds) -> Window:
        """The pixels that ``bounds`` touch, snapped outwards (to 1e-6 of a pixel); not clipped to the grid."""
        left, bottom, right, top = bounds
        inverse = ~self.transform
        corners = [inverse @ corner for corner in ((left, top), (right, top), (left, bottom), (right, bottom))]
        cols, rows = [col for col, _ in corners], [row for _, row in corners]
        first_row, first_col = math.floor(min(rows) + 1e-6), math.floor(min(cols) + 1e-6)
        return Window(
            first_row,
            first_col,
            math.ceil(max(rows) - 1e-6) - first_row,
            math.ceil(max(cols) - 1e-6) - first_col,
        )

    def offset_of(self, other: Grid, tolerance: float = 1e-3) -> tuple[int, int] | None:
        """Row and column at which ``other`` starts on this grid's lattice of pixels.

        None if the CRSs differ, the pixels differ in size or direction, or ``other`` lies between pixels
        (by more than ``tolerance`` of a pixel over its whole extent).
        """
        if self.crs != other.crs:
            return None
        relative = ~self.transform @ other.transform
        col, row = round(relative.c), round(relative.f)
        expected = Affine.translation(col, row)
        for corner in ((0, 0), (other.width, 0), (0, other.height)):
            here, there = relative @ corner, expected @ corner
            if abs(here[0] - there[0]) > tolerance or abs(here[1] - there[1]) > tolerance:
                return None
        return row, col

    def pixel_areas(self) -> NDArray[np.float64] | None:
        """Area in square metres of a pixel of each row ``[h]``; None without CRS.

        Geodesic where the CRS is geographic (of the WGS 84 ellipsoid; a zone's area is J. P. Snyder, "Map Projections:
        A Working Manual", 1987, equation 3-12 times the authalic sphere's radius squared), planar elsewhere.
        """
        if self.crs is None:
            return None
        if not self.crs.is_geographic:
            return np.full(self.height, abs(self.transform.determinant) * self.crs.linear_units_factor[1] ** 2)
        width, height = self.pixel_size
        rows = np.arange(self.height) + 0.5
        middle = self.transform.f + self.transform.e * rows + self.transform.d * self.width / 2
        north, south = (_zone(np.clip(middle + side * height / 2, -90, 90)) for side in (1, -1))
        areas: NDArray[np.float64] = (north - south) * math.radians(width)
        return areas


def _zone(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area in square metres between the equator and a latitude in degrees, for one radian of longitude."""
    semi_major, flattening = 6_378_137.0, 1 / 298.257223563
    eccentricity = math.sqrt(flattening * (2 - flattening))
    sine = np.sin(np.radians(latitude))
    scaled = eccentricity * sine
    part = sine / (1 - scaled**2) + np.arctanh(scaled) / eccentricity
    area: NDArray[np.float64] = semi_major**2 * (1 - eccentricity**2) / 2 * part
    return area
