"""Grids and windows."""

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from engine.errors import GridError
from engine.grid import Grid, Window

WINDOWS = st.builds(Window, st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 20), st.integers(1, 20))


def cells(window: Window) -> set[tuple[int, int]]:
    return {(r, c) for r in range(window.row, window.end_row) for c in range(window.col, window.end_col)}


@given(WINDOWS, WINDOWS)
def test_the_intersection_holds_the_pixels_of_both(one: Window, other: Window) -> None:
    assert cells(one & other) == cells(one) & cells(other)


@given(WINDOWS, WINDOWS)
def test_the_union_is_the_smallest_window_around_both(one: Window, other: Window) -> None:
    both = cells(one) | cells(other)
    union = one | other
    assert both <= cells(union)
    assert union.row == min(r for r, _ in both)
    assert union.end_col == max(c for _, c in both) + 1


def test_bounds_and_window_of_bounds_are_inverse(grid: Grid) -> None:
    assert grid.bounds == (1000, 4600, 1500, 5000)
    assert grid.window_of(grid.bounds) == grid.window
    assert grid.window_of((1015, 4975, 1035, 4985)) == Window(1, 1, 2, 3)


def test_a_part_of_a_grid_starts_at_its_window(grid: Grid) -> None:
    assert grid.part(Window(3, 4, 5, 6)) == Grid(grid.crs, Affine(10, 0, 1040, 0, -10, 4970), 5, 6)


def test_a_lattice_offset_is_found_only_for_the_same_pixels(grid: Grid) -> None:
    assert grid.offset_of(grid.part(Window(-3, 7, 9, 9))) == (-3, 7)
    assert grid.offset_of(Grid(grid.crs, Affine(10, 0, 1005, 0, -10, 5000), 4, 4)) is None
    assert grid.offset_of(Grid(grid.crs, Affine(20, 0, 1000, 0, -20, 5000), 4, 4)) is None
    assert grid.offset_of(Grid(CRS.from_epsg(32632), grid.transform, 4, 4)) is None


def test_a_grid_without_pixels_is_refused(grid: Grid) -> None:
    with pytest.raises(GridError):
        Grid(grid.crs, grid.transform, 0, 5)
