"""Grids and windows, and how large their pixels are on the ground: by geodesics of pyproj."""

import math
import tracemalloc
from typing import Any

import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS

from engine.errors import GridError
from engine.grid import Grid, PixelAreas, Window

UTM = CRS.from_epsg(32631)
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


def on_the_ellipsoid(grid: Grid, cols: NDArray[np.float64], rows: NDArray[np.float64]) -> tuple[pyproj.Geod, Any, Any]:
    """Longitudes and latitudes in degrees of places in pixels, and the ellipsoid that they lie on."""
    assert grid.crs is not None
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    geodetic = crs.geodetic_crs
    assert geodetic is not None
    ellipsoid = geodetic.get_geod()
    assert ellipsoid is not None
    xs, ys = grid.transform @ (cols, rows)  # type: ignore[operator]
    longitude, latitude = pyproj.Transformer.from_crs(crs, geodetic, always_xy=True).transform(xs, ys)
    degrees = math.degrees(geodetic.axis_info[0].unit_conversion_factor)
    return ellipsoid, longitude * degrees, latitude * degrees


def polygon_area(grid: Grid, window: Window) -> float:
    """Area in square metres within a window, whose border is followed in small steps."""
    steps = np.linspace(0, 1, 400, endpoint=False)
    still = np.zeros(400)
    cols = window.col + window.width * np.concatenate([steps, still + 1, 1 - steps, still])
    rows = window.row + window.height * np.concatenate([still, steps, still + 1, 1 - steps])
    ellipsoid, longitude, latitude = on_the_ellipsoid(grid, cols, rows)
    return abs(float(ellipsoid.polygon_area_perimeter(longitude, latitude)[0]))


NORTH = Affine(20, 0, 1_113_000, 0, -20, 8_400_000)  # in Web Mercator, at 60 N
GRIDS = {
    "WGS 84": Grid(CRS.from_epsg(4326), Affine(1e-3, 0, 10, 0, -1e-3, 61), 2000, 1500),
    "ETRS89, south-up": Grid(CRS.from_epsg(4258), Affine(1e-3, 0, 10, 0, 1e-3, 49), 2000, 1500),
    "NAD83, turned": Grid(CRS.from_epsg(4269), Affine(1e-3, 0, -75, 0, -1e-3, 45) @ Affine.rotation(30), 900, 800),
    "grads": Grid(CRS.from_epsg(4807), Affine(1e-3, 0, 1, 0, -1e-3, 54), 900, 800),
    "US feet": Grid(CRS.from_epsg(2263), Affine(32.8, 0, 980_000, 0, -32.8, 200_000), 900, 800),
    "international feet": Grid(CRS.from_epsg(2222), Affine(32.8, 0, 700_000, 0, -32.8, 200_000), 900, 800),
    "UTM": Grid(CRS.from_epsg(32631), Affine(10, 0, 600_000, 0, -10, 5_650_000), 900, 800),
    "UTM, 12 degrees off": Grid(CRS.from_epsg(32631), Affine(100, 0, 1_400_000, 0, -100, 5_650_000), 900, 800),
    "Web Mercator": Grid(CRS.from_epsg(3857), NORTH, 20_000, 30_000),
    "Web Mercator, turned": Grid(CRS.from_epsg(3857), NORTH @ Affine.rotation(25), 20_000, 30_000),
    "around the North Pole": Grid(CRS.from_epsg(3995), Affine(1000, 0, -2.5e6, 0, -1000, 2.5e6), 5000, 5000),
    "polar, at 60 N": Grid(CRS.from_epsg(3995), Affine(10, 0, 3_300_000, 0, -10, 1000), 900, 800),
    "sphere": Grid(CRS.from_string("+proj=sinu +R=6371007.181"), Affine(463, 0, 1e6, 0, -463, 6e6), 900, 800),
    "another datum in between": Grid(
        CRS.from_string("+proj=tmerc +lon_0=9 +x_0=500000 +ellps=bessel +towgs84=598,73,418,.2,.05,-2.5,6.7"),
        Affine(10, 0, 4e5, 0, -10, 5.6e6),
        900,
        800,
    ),
    "with heights": Grid(CRS.from_string("EPSG:7415"), Affine(10, 0, 1e5, 0, -10, 4e5), 900, 800),
    "whole Earth": Grid(CRS.from_epsg(3857), Affine(2000, 0, -2e7, 0, -2000, 2e7), 20_000, 20_000),
}


@pytest.mark.parametrize("name", GRIDS)
def test_a_pixel_is_as_large_as_geodesics_say(name: str) -> None:
    grid = GRIDS[name]
    middle = Window(grid.height // 2 - 10, grid.width // 2 - 10, 20, 20)
    assert grid.metres == pytest.approx(math.sqrt(polygon_area(grid, middle)) / 20, rel=1e-5)


def pixel_areas(areas: PixelAreas, window: Window) -> NDArray[np.float64]:
    """The area of each pixel ``[h, w]`` of a window."""
    parts = areas.parts(window)
    down, across = parts.shape
    rows = ((np.arange(window.height) + 0.5) / window.height * down).astype(int)
    cols = ((np.arange(window.width) + 0.5) / window.width * across).astype(int)
    return parts[np.ix_(rows, cols)]


@pytest.mark.parametrize("name", GRIDS)
def test_areas_are_those_of_geodesic_polygons(name: str) -> None:
    """Polygons of geographiclib are exact to .1 square metre."""
    grid, rng = GRIDS[name], np.random.default_rng(1)
    areas = PixelAreas(grid)
    for size in (1, 40, 40, 40, 500, 500, 500):
        window = Window(int(rng.integers(grid.height - size)), int(rng.integers(grid.width - size)), size, size)
        found = pixel_areas(areas, window)
        assert found.sum() == pytest.approx(polygon_area(grid, window), rel=2e-5, abs=0.1)
        row, col = (int(place) for place in rng.integers(0, max(1, size - 20), 2))
        inner = Window(row, col, min(20, size), min(10, size))
        part = polygon_area(grid, inner.shifted(window.row, window.col))
        assert found[inner.within(Window(0, 0, size, size))].sum() == pytest.approx(part, rel=6e-5, abs=0.1)


def test_pixels_of_one_size_are_one_part() -> None:
    """A tile of 3 km in UTM, 100 km off its meridian; and in degrees, where rows differ by up to 1 in 1000."""
    assert PixelAreas(GRIDS["UTM"]).parts(Window(30, 30, 300, 300)).shape == (1, 1)
    degrees = Grid(CRS.from_epsg(4326), Affine(1e-4, 0, 10, 0, -1e-4, 60), 2000, 1500)
    down, across = PixelAreas(degrees).parts(Window(30, 30, 300, 300)).shape
    assert across == 1
    assert 5 < down < 20


def test_the_areas_of_all_pixels_are_the_earths() -> None:
    whole = 510_065_621_724_089  # square metres of the ellipsoid
    fine = Grid(CRS.from_epsg(4326), Affine(0.05, 0, -180, 0, -0.05, 90), 3600, 7200)
    assert pixel_areas(PixelAreas(fine), Window(0, 0, 3600, 1)).sum() * 7200 == pytest.approx(whole, rel=1e-5)
    coarse = Grid(CRS.from_epsg(4326), Affine(1, 0, -180, 0, -1, 90), 180, 360)
    degrees = pixel_areas(PixelAreas(coarse), coarse.window)
    assert degrees.sum() == pytest.approx(whole, rel=2e-5)
    assert degrees[89, 0] > degrees[45, 7] > degrees[0, 359] > 0


def test_areas_need_no_more_memory_for_more_pixels() -> None:
    tracemalloc.start()
    areas = PixelAreas(Grid(CRS.from_epsg(32631), Affine(10, 0, 300_000, 0, -10, 5_800_000), 40_000, 40_000))
    last = areas.parts(Window(39_999, 39_999, 1, 1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert last.shape == (1, 1)
    assert peak < 5e6


def test_no_place_has_no_area_and_a_grid_beyond_the_middle_has_a_size() -> None:
    """A geostationary satellite sees a disc; the middle of this grid lies beside it."""
    disc = CRS.from_string("+proj=geos +h=35785831 +lon_0=0")
    grid = Grid(disc, Affine(3000, 0, -5_500_000, 0, -3000, 5_500_000), 700, 700)
    assert not np.isfinite(on_the_ellipsoid(grid, np.array([350.0]), np.array([350.0]))[1]).any()
    assert PixelAreas(grid).parts(Window(0, 0, 1, 1)) == 0
    assert 3000 < grid.metres < 30_000
    outside = Grid(disc, Affine(3000, 0, 6e6, 0, -3000, 5e6), 10, 10)
    with pytest.raises(GridError, match="no place on the Earth; assign it its right coordinate reference system"):
        _ = outside.metres


@pytest.mark.parametrize("text", ["EPSG:4978", 'LOCAL_CS["plan",UNIT["metre",1]]'])
def test_a_crs_that_is_no_map_of_the_earth_is_refused(text: str) -> None:
    grid = Grid(CRS.from_string(text), Affine(10, 0, 0, 0, -10, 0), 5, 5)
    with pytest.raises(GridError, match="is no geographic or projected coordinate reference system; assign one"):
        _ = grid.metres


def test_metres_that_are_called_degrees_are_refused() -> None:
    for code, unit in ((4326, "degrees"), (4807, "grads")):
        with pytest.raises(GridError, match=f"from 4600 to 5000 north, which are no {unit}; assign it its right"):
            _ = Grid(CRS.from_epsg(code), Affine(10, 0, 1000, 0, -10, 5000), 40, 50).metres
    nodes_on_the_poles = Grid(CRS.from_epsg(4326), Affine(0.5, 0, -180.25, 0, -0.5, 90.25), 361, 721)
    assert nodes_on_the_poles.metres == pytest.approx(55_500, rel=0.01)


def test_without_crs_a_pixel_has_the_size_of_its_transform() -> None:
    assert Grid(None, Affine(4, 0, 0, 0, -9, 0), 5, 5).metres == 6


@pytest.mark.parametrize(
    ("pixels", "size", "expected"),
    [(25, 20, 13), (27, 20, 14), (24, 20, 12), (100, 7.3, 137), (100, 30, 33), (1, 40, 1), (1, 2.5, 4), (50, 10, 50)],
)
def test_a_grid_in_other_pixels_has_those_whose_centres_it_holds(pixels: int, size: float, expected: int) -> None:
    """Of 25 pixels of 10 m the thirteenth one of 20 m has its centre on the border."""
    for turn in (1, 1 + 1e-15, 1 - 1e-15):
        grid = Grid(UTM, Affine(10, 0, 1000, 0, -10, 5000), 10, pixels).resized(size * turn)
        assert grid.width == expected
        assert grid.transform.almost_equals(Affine(size, 0, 1000, 0, -size, 5000), 1e-9)


def test_pixels_of_the_size_that_is_asked_for_stay_where_they_are() -> None:
    grid = Grid(UTM, Affine(10.0005, 0, 1000, 0, -10, 5000), 40, 50)
    assert grid.resized(10) is grid


def test_other_pixels_keep_a_grids_corner_and_directions() -> None:
    turned = Grid(UTM, Affine(10, 0, 1000, 0, 10, 5000) @ Affine.rotation(30), 40, 50).resized(20)
    assert (turned.height, turned.width) == (20, 25)
    assert turned.transform.almost_equals(Affine(20, 0, 1000, 0, 20, 5000) @ Affine.rotation(30), 1e-9)
    oblong = Grid(UTM, Affine(10, 0, 1000, 0, -20, 5000), 40, 50).resized(5)
    assert oblong.pixel_size == (5, 5)
    assert oblong.bounds == (1000, 4200, 1500, 5000)


def test_windows_cover_each_pixel_once(grid: Grid) -> None:
    windows = list(grid.windows(16))
    assert windows[:4] == [Window(0, 0, 16, 16), Window(0, 16, 16, 16), Window(0, 32, 16, 16), Window(0, 48, 16, 2)]
    found = [cell for window in windows for cell in cells(window)]
    assert len(found) == len(set(found)) == 40 * 50
