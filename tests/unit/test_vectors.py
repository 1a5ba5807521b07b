"""Vector files as people have them: layers, tables, broken rings, points, other reference systems, many features."""

from pathlib import Path

import numpy as np
import pytest

from engine.errors import LabelError, RasterReadError
from engine.grid import Grid, Window
from engine.modality import IGNORED, LandClass
from engine.raster.labels import LabelMapping, open_labels
from engine.raster.masks import PolygonMask
from engine.raster.polygons import Burner
from engine.raster.vectors import read_features

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")

CLASSES = (LandClass(2, "wood", "#00ff00"), LandClass(7, "town", "#ff0000"))
PLAIN = LabelMapping(CLASSES, {}, frozenset())


def square(col: float, row: float, size: float = 1) -> object:
    """A square of so many pixels, whose upper left corner lies at a place of the grid (10 m from 1000, 5000)."""
    left, top = 1000 + 10 * col, 5000 - 10 * row
    return shapely.box(left, top - 10 * size, left + 10 * size, top)


def frame(*shapes: object, crs: object = 32631, **fields: list[object]) -> object:
    return geopandas.GeoDataFrame(fields, geometry=list(shapes), crs=crs)


def masked(path: str, grid: Grid) -> np.ndarray:
    return PolygonMask(path, grid).read(grid.window)


def test_a_table_without_geometry_is_named(tmp_path: Path, grid: Grid) -> None:
    (tmp_path / "points.csv").write_text("x,y,class\n1000,5000,2\n")
    with pytest.raises(RasterReadError, match=r"points\.csv: has no geometry"):
        PolygonMask(str(tmp_path / "points.csv"), grid)
    with pytest.raises(RasterReadError, match=r"points\.csv: has no geometry"):
        open_labels(str(tmp_path / "points.csv"), grid, PLAIN, field="class")


def test_one_of_several_layers_must_be_named(tmp_path: Path, grid: Grid) -> None:
    path = tmp_path / "project.gpkg"
    frame(square(0, 0, 40)).to_file(path, layer="county")
    frame(square(0, 0, 5)).to_file(path, layer="study_area")
    with pytest.raises(RasterReadError, match=r"project\.gpkg: has several layers: county, study_area; name one"):
        PolygonMask(str(path), grid)
    for text in (f"{path}|study_area", f"{path}|layername=study_area"):
        assert masked(text, grid).sum() == 25
    with pytest.raises(RasterReadError, match=r"no layer 'town'; there are county, study_area"):
        PolygonMask(f"{path}|town", grid)


def test_tables_of_attributes_are_no_choice(tmp_path: Path, grid: Grid) -> None:
    import pandas
    import pyogrio

    path = tmp_path / "project.gpkg"
    frame(square(0, 0, 5)).to_file(path, layer="area")
    pyogrio.write_dataframe(pandas.DataFrame({"style": ["a"]}), path, layer="layer_styles", append=True)
    assert masked(str(path), grid).sum() == 25
    with pytest.raises(RasterReadError, match="has no geometry"):
        PolygonMask(f"{path}|layer_styles", grid)


@pytest.mark.parametrize("pieces", [200, 201], ids=["a vertex in the crossing", "none"])
@pytest.mark.parametrize("crs", [32631, 4326, 3857])
def test_a_ring_that_crosses_itself_beyond_the_grid_is_two_loops_in_any_reference_system(
    tmp_path: Path, grid: Grid, crs: int, pieces: int
) -> None:
    # crosses itself at (1203, 4803); its loops lie left and right of that, and reach far beyond the grid
    corners = np.array([(-797, 6803), (3203, 2803), (3203, 6803), (-797, 2803), (-797, 6803)])
    places = np.linspace(0, 4, 4 * pieces + 1)  # what is straight in one reference system is not in another
    ring = np.stack([np.interp(places, np.arange(5), axis) for axis in corners.T], axis=1)
    path = tmp_path / "bow.gpkg"
    frame(shapely.Polygon(ring)).to_crs(crs).to_file(path)
    x, y = np.meshgrid(1000 + 10 * np.arange(50) + 5 - 1203, 5000 - 10 * np.arange(40) - 5 - 4803)
    clear = np.abs(x) != np.abs(y)  # no centre on an edge
    np.testing.assert_array_equal(masked(str(path), grid)[clear], (np.abs(x) > np.abs(y))[clear])


def test_polygons_that_hold_no_centre_are_counted(tmp_path: Path, grid: Grid) -> None:
    slivers = [square(3.6, 3.6, 0.3), square(8.1, 8.1, 0.3), square(20.25, 20.25, 0.5), square(-30, 0, 0.2)]
    diagonal = shapely.Polygon([(1100, 4900), (1130, 4870), (1131, 4870), (1101, 4900)])
    diagonal = shapely.affinity.translate(diagonal, 3, 0)
    path = tmp_path / "cover.gpkg"
    frame(*slivers, diagonal, class_=[2] * 5).to_file(path)
    labels = open_labels(str(path), grid, PLAIN, field="class_")
    # the third holds the centre (20.5, 20.5); the fourth lies outside of the grid
    assert "3 polygons hold the centre of no pixel" in labels.warnings[0]
    touching = open_labels(str(path), grid, PLAIN, field="class_", all_touched=True)
    assert not touching.warnings
    assert touching.read(grid.window)[3, 3] == 0
    assert labels.read(grid.window)[3, 3] == IGNORED


def test_points_label_their_pixels(tmp_path: Path, grid: Grid) -> None:
    path = tmp_path / "points.gpkg"
    frame(shapely.Point(1031, 4988), shapely.Point(1109, 4801), cover=["wood", "town"]).to_file(path)
    found = open_labels(str(path), grid, PLAIN, field="cover").read(grid.window)
    assert {tuple(place): int(found[tuple(place)]) for place in np.argwhere(found != IGNORED)} == {
        (1, 3): 0,
        (19, 10): 1,
    }


def test_features_without_a_class_are_named_or_ignored_on_request(tmp_path: Path, grid: Grid) -> None:
    path = tmp_path / "cover.gpkg"
    frame(square(0, 0), square(1, 0), square(2, 0), cover=["wood", None, None]).to_file(path)
    with pytest.raises(LabelError, match=r"2 of 3 features around the image have no value \(feature 2, 3\).*null"):
        open_labels(str(path), grid, PLAIN, field="cover")
    ignoring = LabelMapping(CLASSES, {}, frozenset({None}))
    row = open_labels(str(path), grid, ignoring, field="cover").read(Window(0, 0, 1, 4))
    assert row.tolist() == [[0, -1, -1, -1]]


def test_names_stand_for_values_in_remap_and_ignore(tmp_path: Path, grid: Grid) -> None:
    path = tmp_path / "cover.gpkg"
    frame(*(square(col, 0) for col in range(4)), cover=["pine", "town", "cloud", "2"]).to_file(path)
    mapping = LabelMapping(CLASSES, {"pine": "wood", "town": 2}, frozenset({"cloud"}))
    assert open_labels(str(path), grid, mapping, field="cover").read(Window(0, 0, 1, 4)).tolist() == [[0, 0, -1, 0]]


def test_a_vector_file_without_a_field_says_which_there_are(tmp_path: Path, grid: Grid) -> None:
    path = tmp_path / "cover.gpkg"
    frame(square(0, 0), cover=["wood"], owner=["a"]).to_file(path)
    with pytest.raises(LabelError, match=r"cover\.gpkg: is a vector file; name the field .* it has cover, owner"):
        open_labels(str(path), grid, PLAIN)


def test_each_window_asks_for_the_features_near_it_in_their_order(grid: Grid) -> None:
    """Every window gives what burning all features in their order gives."""
    rng = np.random.default_rng(3)
    shapes = [square(*rng.uniform(-5, 50, 2), float(rng.uniform(1, 8))) for _ in range(300)]
    numbers = rng.integers(1, 100, 300).tolist()
    expected = np.zeros((40, 50), dtype=int)
    cols, rows = np.meshgrid(np.arange(50) + 0.5, np.arange(40) + 0.5)
    for shape, number in zip(shapes, numbers, strict=True):
        left, bottom, right, top = shape.bounds
        inside = (cols > (left - 1000) / 10) & (cols < (right - 1000) / 10)
        expected[inside & (rows > (5000 - top) / 10) & (rows < (5000 - bottom) / 10)] = number
    burner = Burner(frame(*shapes), numbers, grid)
    for window in (grid.window, Window(3, 30, 11, 13), Window(39, 0, 1, 50)):
        np.testing.assert_array_equal(burner.read(window, 0), expected[window.within(grid.window)])


def test_features_on_the_other_side_of_the_world_are_left_out(tmp_path: Path, grid: Grid) -> None:
    path = tmp_path / "world.gpkg"
    frame(shapely.box(170, -10, 175, -5), crs=4326).to_file(path)
    assert read_features(str(path), grid).empty
