"""The raster geometry that everything is brought onto, and rectangles of its pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from engine.errors import GridError
from engine.ground import ground_of

Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top in the units of a grid's CRS."""

NODES = 25_000.0
"""Metres, as the CRS counts them, between the places that areas are interpolated from."""

MOST_NODES = 2048
"""Nodes on a side that are enough for the whole Earth."""

UNEVEN = 5e-5
"""Share by which the areas of pixels may differ from one end to the other of a part where they count as even."""

PLACES = 21
"""Rows and columns of places among which the middle of a grid is sought where it lies outside of the CRS's domain."""


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

    def coordinates(
        self, cols: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates of places in pixels, of which (0, 0) is the first corner."""
        way = self.transform
        return way.a * cols + way.b * rows + way.c, way.d * cols + way.e * rows + way.f

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

    def resized(self, pixel_size: float) -> Grid:
        """The same area from the same origin in square pixels: those whose centres lie in it or on its border.

        Args:
            pixel_size: In the CRS's units. Pixels of that size to 1e-4 are left as they are.
        """
        width, height = self.pixel_size
        if math.isclose(width, pixel_size, rel_tol=1e-4) and math.isclose(height, pixel_size, rel_tol=1e-4):
            return self
        return Grid(
            self.crs,
            self.transform @ Affine.scale(pixel_size / width, pixel_size / height),
            max(1, math.floor(self.height * height / pixel_size + 0.5 + 1e-6)),
            max(1, math.floor(self.width * width / pixel_size + 0.5 + 1e-6)),
        )

    def windows(self, size: int) -> Iterator[Window]:
        """Squares of ``size`` that cover it, row by row; those at its end are cut."""
        for row in range(0, self.height, size):
            for col in range(0, self.width, size):
                yield Window(row, col, size, size) & self.window

    @property
    def metres(self) -> float:
        """Size of a pixel on the ground in metres: the root of its geodesic area in the grid's middle.

        Where the CRS has no such place, the nearest that it has counts. Without CRS the size in the transform's units.

        Raises:
            GridError: If the CRS is neither geographic nor projected, or the grid lies outside of its domain.
        """
        if self.crs is None:
            return math.sqrt(math.prod(self.pixel_size))
        ground = ground_of(self.crs)
        _, bottom, _, top = self.bounds
        if ground.geographic and max(-bottom, top) * ground.radians > math.pi / 2 + self.pixel_size[1] * ground.radians:
            raise GridError(
                f"in {self.crs.to_string()} it reaches from {bottom:g} to {top:g} north, which are no {ground.angle}s; "
                "assign it its right coordinate reference system"
            )
        steps = (np.arange(PLACES) + 0.5) / PLACES
        cols, rows = (places.ravel() for places in np.meshgrid(steps * self.width, steps * self.height))
        areas = ground.areas(*self.coordinates(cols, rows))
        nearest = np.argmin(np.where(areas > 0, np.hypot(cols - self.width / 2, rows - self.height / 2), np.inf))
        if not areas[nearest] > 0:
            raise GridError(
                f"with bounds {self.bounds} it lies where {self.crs.to_string()} has no place on the Earth; assign it "
                "its right coordinate reference system"
            )
        return math.sqrt(areas[nearest] * abs(self.transform.determinant))


class PixelAreas:
    """Geodesic areas of a grid's pixels, to :data:`UNEVEN`.

    They are found at the nodes of a coarse lattice and interpolated between them, to 1e-5 of an area; less exactly
    where a pixel is wider than a degree and where a CRS's domain ends. The memory does not grow with the pixels.

    Args:
        grid: A grid with a CRS.

    Raises:
        GridError: If its CRS is neither geographic nor projected.
    """

    def __init__(self, grid: Grid) -> None:
        ground = ground_of(grid.crs)
        width, height = grid.pixel_size
        down, across = _nodes(grid.height, height * ground.unit), _nodes(grid.width, width * ground.unit)
        areas = [ground.areas(*grid.coordinates(across + 0.5, np.full_like(across, row + 0.5))) for row in down]
        self._areas = np.stack(areas) * abs(grid.transform.determinant)
        self._steps = down[-1] / max(1, len(down) - 1) or 1, across[-1] / max(1, len(across) - 1) or 1

    def parts(self, window: Window) -> NDArray[np.float64]:
        """Square metres of a pixel in each of the parts ``[n, m]`` of a window: as few as may count as even.

        The parts are of one size, and each pixel is in the part that has its centre (:func:`even_part`). Outside of the
        CRS's domain a pixel has no area.
        """
        rows, cols = (window.row, window.height, self._steps[0]), (window.col, window.width, self._steps[1])
        areas = self._areas[_around(*rows), _around(*cols)]
        found: NDArray[np.float64] = _weights(areas, *rows) @ areas @ _weights(areas.T, *cols).T
        return found


def even_part(pixels: int, parts: int) -> NDArray[np.int64]:
    """For each of so many pixels the part that has its centre."""
    return (2 * np.arange(pixels) + 1) * parts // (2 * pixels)


def _nodes(pixels: int, metres: float) -> NDArray[np.float64]:
    """Places evenly from the first of so many pixels to the last, as near to each other as is needed."""
    return np.linspace(0, pixels - 1, min(pixels, 1 + math.ceil(pixels * metres / NODES), MOST_NODES))


def _around(first: int, pixels: int, step: float) -> slice:
    """The nodes around pixels."""
    return slice(int(first / step), math.ceil((first + pixels - 1) / step) + 1)


def _weights(areas: NDArray[np.float64], first: int, pixels: int, step: float) -> NDArray[np.float64]:
    """Weights ``[parts, nodes]`` of the nodes around pixels, whose ``areas`` are given, in the middle of each part."""
    steepest = np.abs(np.diff(areas, axis=0)).max(initial=0) / step
    count = min(pixels, 1 + int(pixels * steepest / UNEVEN / (areas.max() or 1)))
    places = (first - 0.5 + (np.arange(count) + 0.5) * pixels / count) / step - int(first / step)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(len(areas))))
