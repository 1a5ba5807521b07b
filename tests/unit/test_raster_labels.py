"""Labels from rasters and polygons as class indices."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from engine.errors import GridError, LabelError, RasterReadError
from engine.grid import Grid, Window
from engine.modality import LandClass
from engine.raster.labels import IGNORED, LabelMapping, open_labels

Write = Callable[..., Path]
CLASSES = (LandClass(2, "wood", "#00ff00"), LandClass(7, "town", "#ff0000"))
MAPPING = LabelMapping(CLASSES, {9: 7}, frozenset({5}))
TOP_ROW = Window(0, 0, 1, 6)

Draw = Callable[..., Path]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Writes strips of whole columns, ``(value, first column, end column)``, as polygons."""
    geopandas = pytest.importorskip("geopandas")
    from shapely.geometry import box

    def write(strips: Sequence[tuple[object, int, int]]) -> Path:
        boxes = [box(1000 + 10 * first, 4600, 1000 + 10 * end, 5000) for _, first, end in strips]
        values = [value for value, _, _ in strips]
        frame = geopandas.GeoDataFrame({"cover": values}, geometry=boxes, crs="EPSG:32631")
        frame.to_file(tmp_path / "cover.gpkg")
        return tmp_path / "cover.gpkg"

    return write


def row(path: Path, grid: Grid, window: Window = TOP_ROW) -> list[int]:
    labels = open_labels(str(path), grid, MAPPING, field="cover")
    found: list[int] = labels.read(window)[0].tolist()
    labels.close()
    return found


def test_label_values_that_are_no_whole_numbers_are_refused(write_raster: Write, grid: Grid) -> None:
    path = write_raster("labels.tif", np.full((1, 40, 50), 2.5, "float32"))
    labels = open_labels(str(path), grid, MAPPING)
    with pytest.raises(LabelError, match=r"labels\.tif, rows 0-39, columns 0-49: label value 2\.5 is no whole"):
        labels.read(grid.window)
    labels.close()


def test_whole_numbers_stored_as_floats_are_labels(write_raster: Write, grid: Grid) -> None:
    values = np.full((1, 40, 50), 7, "float32")
    values[0, 0, 0] = np.nan
    labels = open_labels(str(write_raster("labels.tif", values)), grid, MAPPING)
    assert labels.read(Window(0, 0, 1, 3)).tolist() == [[IGNORED, 1, 1]]
    labels.close()


def test_labels_are_never_interpolated(write_raster: Write, grid: Grid) -> None:
    values = np.full((1, 50, 60), 2, "uint8")
    values[:, :, 30:] = 7  # a mean of both, 4.5, is no class
    path = write_raster("labels.tif", values, transform=grid.transform @ Affine.translation(-3.4, -3.4))
    labels = open_labels(str(path), grid, MAPPING)
    found = labels.read(grid.window)
    labels.close()
    # column 30 starts 26.6 columns into the grid, beyond the centre of pixel 26
    assert (found[:, :27] == 0).all()
    assert (found[:, 27:] == 1).all()


def test_labels_end_where_their_raster_ends(write_raster: Write, grid: Grid) -> None:
    labels = open_labels(str(write_raster("labels.tif", np.full((1, 40, 50), 7, "uint8"))), grid, MAPPING)
    assert labels.read(Window(38, 48, 3, 3)).tolist() == [[1, 1, -1], [1, 1, -1], [-1, -1, -1]]
    assert labels.read(grid.window).dtype == np.int16
    labels.close()


def test_labels_of_several_bands_need_a_choice(write_raster: Write, grid: Grid) -> None:
    path = write_raster("labels.tif", np.stack([np.full((40, 50), 2, "uint8"), np.full((40, 50), 7, "uint8")]))
    with pytest.raises(LabelError, match="labels are one band, or three of colours; this has 2"):
        open_labels(str(path), grid, MAPPING)
    labels = open_labels(f"{path}@2", grid, MAPPING)
    assert (labels.read(grid.window) == 1).all()
    labels.close()


def test_the_later_polygon_wins_even_to_ignore(draw: Draw, grid: Grid) -> None:
    assert row(draw([(2, 0, 4), (7, 3, 5), (5, 1, 2)]), grid) == [0, -1, 0, 1, 1, -1]


def test_polygons_hold_values_numbers_as_text_or_replaced_ones(draw: Draw, grid: Grid) -> None:
    assert row(draw([("2", 0, 1), ("town", 1, 2), ("9", 2, 3)]), grid) == [0, 1, 1, -1, -1, -1]


def test_polygons_burn_the_same_whatever_the_window(draw: Draw, grid: Grid) -> None:
    path = draw([(2, 0, 20), (7, 15, 33)])
    expected = [0] * 15 + [1] * 18 + [-1] * 17
    assert row(path, grid, grid.window) == expected
    assert row(path, grid, Window(13, 11, 5, 30)) == expected[11:41]
    assert row(path, grid, Window(-3, -2, 1, 5)) == [-1] * 5


@pytest.mark.parametrize("value", [2.5, float("nan"), float("inf"), 3.0, "lake", None])
def test_a_field_value_that_is_no_class_is_refused(draw: Draw, grid: Grid, value: object) -> None:
    path = draw([(value, 0, 4)])
    with pytest.raises(LabelError, match=r"cover\.gpkg, field cover"):
        open_labels(str(path), grid, MAPPING, field="cover")


def test_a_missing_field_is_named_beside_those_there_are(draw: Draw, grid: Grid) -> None:
    path = draw([(2, 0, 4)])
    with pytest.raises(LabelError, match="no field 'class'; it has cover"):
        open_labels(str(path), grid, MAPPING, field="class")


def test_polygons_beside_a_grid_without_reference_system_are_refused(draw: Draw) -> None:
    path = draw([(2, 0, 4)])
    with pytest.raises(GridError, match="only one has a coordinate reference system"):
        open_labels(str(path), Grid(None, Affine.identity(), 40, 50), MAPPING, field="cover")


def test_a_file_that_holds_no_polygons_is_named(tmp_path: Path, grid: Grid) -> None:
    pytest.importorskip("geopandas")
    (tmp_path / "cover.gpkg").write_text("no polygons")
    with pytest.raises(RasterReadError, match=r"cover\.gpkg: cannot be read"):
        open_labels(str(tmp_path / "cover.gpkg"), grid, MAPPING, field="cover")


def test_polygons_of_the_whole_world_are_burnt_in_their_order(tmp_path: Path, grid: Grid) -> None:
    geopandas = pytest.importorskip("geopandas")
    from rasterio.warp import transform_bounds
    from shapely.geometry import box

    west, south, east, north = transform_bounds(grid.crs, "EPSG:4326", 1000, 4600, 1030, 5000)
    shapes = [box(-180, -90, 180, 90), box(west, south, east, north)]
    for values, expected in (([2, 7], [1, 1, 0, 0]), ([7, 2], [0, 0, 1, 1])):
        path = tmp_path / f"world{values[0]}.gpkg"
        geopandas.GeoDataFrame({"cover": values}, geometry=shapes, crs="EPSG:4326").to_file(path)
        assert row(path, grid, Window(20, 1, 1, 4)) == expected


def test_a_name_that_nothing_has_is_told_with_the_names_there_are(draw: Draw, grid: Grid) -> None:
    path = draw([("wood", 0, 3), ("lake", 3, 6)])
    for ignore, told in (
        (
            {"lake", "watr"},
            "names watr, which is no class and in no feature around the image; field cover holds lake, wood",
        ),
        ({"lake", "town"}, ""),  # a class need not occur
    ):
        labels = open_labels(str(path), grid, LabelMapping(CLASSES, {}, frozenset(ignore)), field="cover")
        assert told in "".join(labels.warnings)
        assert bool(labels.warnings) == bool(told)


def test_a_replacement_that_is_no_class_is_named(draw: Draw, write_raster: Write, grid: Grid) -> None:
    mapping = LabelMapping(CLASSES, {"wheat": "crops", 3: 4}, frozenset())
    with pytest.raises(LabelError, match=r"'wheat' is replaced by 'crops' \(data\.labels\.remap\), which is none of"):
        open_labels(str(draw([("wheat", 0, 3)])), grid, mapping, field="cover")
    labels = open_labels(str(write_raster("labels.tif", np.full((1, 40, 50), 3, "uint8"))), grid, mapping)
    with pytest.raises(LabelError, match=r"label value 3 is replaced by 4 \(data\.labels\.remap\)"):
        labels.read(grid.window)
    labels.close()
