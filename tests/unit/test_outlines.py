"""Outlines along pixels' exact edges: valid, without gaps or overlaps, with all vertices in common."""

import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from skimage.measure import label

from engine.grid import Grid
from engine.products.outlines import passages, polygons

PIXELS = Affine.identity()


def drawn(values: NDArray[np.integer], transform: Affine = PIXELS) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Regions of a map whose nodata is 0, and their polygons."""
    labels = label(values, connectivity=1, background=0)
    grid = Grid(None, transform, *values.shape)
    return labels, polygons(passages(np.pad(labels, ((1, 1), (0, 0))), 0), grid)


@pytest.mark.parametrize("seed", range(30))
def test_polygons_are_a_coverage_and_rasterised_again_the_map(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, rng.integers(2, 4), rng.integers(2, 20, 2))
    values[0, 0] = 1
    labels, shapes = drawn(values)
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes), "neighbours have every vertex of their common edge in common"
    np.testing.assert_array_equal(shapely.area(shapes), np.bincount(labels.ravel())[1:])
    numbered = zip(shapes, range(1, len(shapes) + 1), strict=True)
    np.testing.assert_array_equal(rasterize(numbered, out_shape=labels.shape, transform=PIXELS), labels)
    assert shapely.union_all(shapes).area == (values > 0).sum()


def test_a_hole_that_touches_the_outside_at_a_corner_is_a_hole() -> None:
    values = np.ones((3, 3), dtype=int)
    values[1, 1] = 2
    values[0, 0] = 0
    _, (ring, middle) = drawn(values)
    assert ring.is_valid
    assert (len(ring.interiors), ring.area) == (1, 7)
    assert middle.equals(shapely.box(1, 1, 2, 2))


def test_pixels_that_meet_at_a_corner_are_two_regions() -> None:
    _, shapes = drawn(np.array([[1, 0], [0, 1]]))
    assert [shape.bounds for shape in shapes] == [(0, 0, 1, 1), (1, 1, 2, 2)]


def test_a_corner_of_a_neighbour_is_a_vertex_on_a_straight_edge() -> None:
    _, (left, *_) = drawn(np.array([[1, 2], [1, 3]]))
    assert (1, 1) in left.exterior.coords
    assert shapely.get_num_coordinates(left) == 6, "and no other pixel's corner is"


def test_on_a_turned_grid_neighbours_still_share_their_edges_to_the_bit() -> None:
    values = np.random.default_rng(5).integers(1, 4, (40, 30))
    turned = Affine.translation(1e6 / 3, 5e6 / 7) @ Affine.rotation(31) @ Affine.scale(10, -10)
    _, shapes = drawn(values, turned)
    assert shapely.coverage_is_valid(shapes)
    assert shapely.area(shapes).sum() == pytest.approx(40 * 30 * 100)


def test_exteriors_run_counterclockwise_on_a_map_with_north_up() -> None:
    _, shapes = drawn(np.array([[1, 1, 1], [1, 2, 1], [1, 1, 1]]), Affine.scale(10, -10))
    assert shapely.is_ccw(shapely.get_exterior_ring(shapes)).all()
    assert not shapely.is_ccw(shapely.get_interior_ring(shapes[0], 0))
