"""Polygons of class maps: what they hold, and what they are refused for."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.shutil import copy
from sieving import sieved
from skimage.measure import label

from engine.errors import BandError, Cancelled, GridError, LabelError, OutputError
from engine.grid import Grid, PixelAreas
from engine.modality import LandClass
from engine.products import classmap
from engine.products.outputs import Listener
from engine.products.polygonize import STEPS, Polygonized, PolygonizeOptions, polygonize
from engine.raster.writing import ClassMapWriter

UTM = CRS.from_epsg(32631)
PLACE = Affine(10, 0, 600_000, 0, -10, 5_650_000)
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def low_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of a few rows are read in several strips."""
    monkeypatch.setattr(classmap, "STRIP", 200)


@pytest.fixture
def blocky() -> NDArray[np.uint8]:
    """A map of 25 x 34 pixels with regions of all sizes, and nodata (255)."""
    rng = np.random.default_rng(3)
    values = rng.integers(1, 5, (7, 9)).repeat(4, 0).repeat(4, 1)[:25, :34].astype(np.uint8)
    specks = rng.random(values.shape)
    values[specks < 0.1] = rng.integers(1, 5, int((specks < 0.1).sum()))
    values[specks > 0.95] = 255
    return values


def run(path: Path, output: Path, listener: Listener | None = None, **options: object) -> Polygonized:
    return polygonize(PolygonizeOptions(map=str(path), output=output, **options), listener)


def read(path: Path) -> geopandas.GeoDataFrame:
    return geopandas.read_file(path, layer="polygons")


def burnt(frame: geopandas.GeoDataFrame, like: Path) -> NDArray[np.integer]:
    """The polygons' class values on a raster's grid, 255 outside."""
    with rasterio.open(like) as dataset:
        pairs = zip(frame.geometry, frame["value"], strict=True)
        return rasterize(pairs, out_shape=dataset.shape, transform=dataset.transform, fill=255, dtype="int32")


def test_polygons_are_the_map(blocky: NDArray[np.uint8], write_raster: Write, tmp_path: Path) -> None:
    path = write_raster("map.tif", blocky[None], crs=UTM, transform=PLACE, nodata=255)
    made = run(path, tmp_path / "polygons.gpkg")
    frame = read(tmp_path / "polygons.gpkg")
    labels = label(blocky, connectivity=1, background=255)
    assert made.polygons == len(frame) == labels.max()
    assert frame.geom_type.unique().tolist() == ["Polygon"]
    assert (frame.crs, frame.geometry.is_valid.all()) == (UTM.to_wkt(), True)
    assert shapely.coverage_is_valid(frame.geometry.to_numpy()), "no gaps and no overlaps"
    np.testing.assert_array_equal(burnt(frame, path), blocky)
    assert frame.geometry.union_all().area == pytest.approx((blocky != 255).sum() * 100)
    assert sorted(frame.pixels) == sorted(np.bincount(labels.ravel())[1:])
    np.testing.assert_allclose(frame.geometry.area, frame.pixels * 100)
    assert frame["class"].tolist() == frame["value"].astype(str).tolist(), "without a legend the number is the name"


def test_a_region_over_many_strips_with_holes_is_one_polygon(write_raster: Write, tmp_path: Path) -> None:
    values = np.full((1, 60, 20), 7, dtype=np.uint8)
    values[0, 3:57, 3:8], values[0, 20:30, 12:15], values[0, 23:26, 13] = 2, 2, 7
    path = write_raster("map.tif", values, crs=UTM, transform=PLACE)
    run(path, tmp_path / "polygons.gpkg")
    frame = read(tmp_path / "polygons.gpkg").sort_values("pixels", ascending=False)
    assert frame["value"].tolist() == [7, 2, 2, 7]
    outer = frame.geometry.iloc[0]
    assert [len(one.interiors) for one in frame.geometry] == [2, 0, 1, 0]
    assert shapely.get_num_coordinates(outer) == 15, "seams of strips leave no vertices"
    assert outer.exterior.bounds == (600_000, 5_649_400, 600_200, 5_650_000)


def test_areas_are_those_on_the_ellipsoid_also_in_degrees(write_raster: Write, tmp_path: Path) -> None:
    values = np.ones((1, 40, 30), dtype=np.uint8)
    values[0, 20:] = 2
    transform = Affine(0.01, 0, 10, 0, -0.01, 60.4)
    path = write_raster("map.tif", values, crs=CRS.from_epsg(4326), transform=transform)
    run(path, tmp_path / "polygons.gpkg")
    frame = read(tmp_path / "polygons.gpkg")
    earth = pyproj.Geod(ellps="WGS84")
    for shape, hectares in zip(frame.geometry, frame.hectares, strict=True):
        expected = earth.geometry_area_perimeter(shape.segmentize(0.001))[0] / 10_000
        assert hectares == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("crs", "transform"), [(UTM, PLACE), (CRS.from_epsg(4326), Affine(2e-4, 0, 8, 0, -1e-4, 70))])
def test_a_minimum_merges_what_is_below_it(
    crs: CRS, transform: Affine, blocky: NDArray[np.uint8], write_raster: Write, tmp_path: Path
) -> None:
    path = write_raster("map.tif", blocky[None], crs=crs, transform=transform, nodata=255)
    pixel = PixelAreas(Grid(crs, transform, *blocky.shape))
    areas = np.repeat(np.stack([pixel.parts(classmap.Window(row, 0, 1, 34))[0] for row in range(25)]), 34, axis=1)
    unit = Grid(crs, transform, *blocky.shape).metres ** 2 / STEPS
    minimum = 11 * areas.mean() / 10_000
    expected, merged = sieved(
        blocky.astype(int), np.rint(areas / unit).astype(int), int(np.ceil(minimum * 1e4 / unit)), 255
    )
    made = run(path, tmp_path / "polygons.gpkg", minimum=minimum)
    frame = read(tmp_path / "polygons.gpkg")
    assert made.merged == merged > 30
    np.testing.assert_array_equal(burnt(frame, path), expected)
    neighbours = shapely.STRtree(frame.geometry).query(frame.geometry, predicate="touches")
    alone = set(range(len(frame))) - {
        one
        for one, other in neighbours.T
        if frame.geometry.iloc[one].intersection(frame.geometry.iloc[other]).length > 0
    }
    assert (frame.hectares >= minimum)[[number not in alone for number in range(len(frame))]].all()


def test_names_colours_and_style_travel_in_the_file(tmp_path: Path) -> None:
    classes = (LandClass(3, "Wälder & <Auen>", "#00ff10"), LandClass(300, "水", "#0000ff"))
    grid = Grid(UTM, PLACE, 6, 5)
    indices = (np.indices((6, 5))[1] > 1).astype(int)
    with ClassMapWriter(tmp_path / "Карта.tif", grid, classes) as writer:
        writer.write_classes(grid.window, indices, np.ones((6, 5), dtype=bool))
    run(tmp_path / "Карта.tif", tmp_path / "Flächen.gpkg")
    frame = read(tmp_path / "Flächen.gpkg")
    assert dict(zip(frame["value"], frame["class"], strict=True)) == {3: "Wälder & <Auen>", 300: "水"}
    styles = pyogrio.read_dataframe(tmp_path / "Flächen.gpkg", layer="layer_styles")
    assert (styles.f_table_name[0], styles.f_geometry_column[0], styles.useAsDefault[0]) == ("polygons", "geom", True)
    assert 'value="300" label="水"' in styles.styleQML[0]
    assert "0,255,16,255" in styles.styleQML[0]
    with sqlite3.connect(tmp_path / "Flächen.gpkg") as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    file.close()


def test_a_map_of_another_program_has_its_colours_and_its_values_for_names(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=2, width=3, count=1, dtype="uint8", crs=UTM, transform=PLACE
    ) as dataset:
        dataset.write(np.array([[[0, 0, 9], [9, 9, 9]]], dtype=np.uint8))
        dataset.write_colormap(1, {0: (1, 2, 3, 255), 9: (200, 100, 0, 255)})
    run(path, tmp_path / "polygons.gpkg")
    assert sorted(read(tmp_path / "polygons.gpkg")["class"]) == ["0", "9"]
    style = pyogrio.read_dataframe(tmp_path / "polygons.gpkg", layer="layer_styles").styleQML[0]
    assert "1,2,3,255" in style
    assert "200,100,0,255" in style


def test_names_are_read_where_a_driver_keeps_them_itself(write_raster: Write, tmp_path: Path) -> None:
    source = write_raster("plain.tif", np.array([[[1, 2], [2, 2]]], dtype=np.uint8), crs=UTM, transform=PLACE)
    (tmp_path / "plain.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>none</Category><Category>sea</Category>'
        "<Category>land</Category></CategoryNames></PAMRasterBand></PAMDataset>",
        encoding="utf-8",
    )
    copy(source, tmp_path / "map.img", driver="HFA")
    run(tmp_path / "map.img", tmp_path / "polygons.gpkg")
    assert sorted(read(tmp_path / "polygons.gpkg")["class"]) == ["land", "sea"]


def test_means_and_scenarios_come_from_what_was_written_with_the_map(write_raster: Write, tmp_path: Path) -> None:
    values = np.array([[1, 1, 1, 2], [1, 1, 2, 2], [255, 2, 2, 2]], dtype=np.uint8)
    percent = np.array([[90, 80, 70, 50], [60, 255, 40, 30], [255, 20, 10, 0]], dtype=np.uint8)
    bits = np.array([[3, 3, 1, 1], [1, 1, 2, 2], [0, 2, 3, 1]], dtype=np.uint8)
    place = {"crs": UTM, "transform": PLACE}
    path = write_raster("map.tif", values[None], nodata=255, **place)
    confidence = write_raster("confidence.tif", percent[None], nodata=255, **place)
    names = ["availability: optical, sar"]
    availability = write_raster("availability.tif", bits[None], nodata=0, names=names, **place)
    run(path, tmp_path / "p.gpkg", confidence=str(confidence), availability=str(availability))
    frame = read(tmp_path / "p.gpkg").sort_values("value")
    assert frame.confidence.tolist() == [pytest.approx(75), pytest.approx(25)]
    assert frame.scenario.tolist() == ["optical", "sar"]
    run(path, tmp_path / "bare.gpkg")
    assert read(tmp_path / "bare.gpkg")[["confidence", "scenario"]].isna().all(axis=None)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # of writing it
def test_a_map_without_georeference_lies_as_qgis_shows_it(write_raster: Write, tmp_path: Path) -> None:
    values = np.array([[[1, 1, 2], [1, 1, 2]]], dtype=np.uint8)
    path = write_raster("map.tif", values, crs=None, transform=Affine.identity())
    run(path, tmp_path / "polygons.gpkg")
    frame = read(tmp_path / "polygons.gpkg")
    assert frame.crs is None
    assert frame.total_bounds.tolist() == [0, -2, 3, 0]
    assert frame.hectares.isna().all()
    with pytest.raises(GridError, match="no coordinate reference system, so that no area is known in hectares"):
        run(path, tmp_path / "sieved.gpkg", minimum=1)


def test_a_map_of_nothing_gives_a_layer_of_nothing(write_raster: Write, tmp_path: Path) -> None:
    path = write_raster("map.tif", np.full((1, 30, 20), 255, dtype=np.uint8), crs=UTM, nodata=255)
    made = run(path, tmp_path / "polygons.gpkg", minimum=1)
    assert (made.polygons, len(read(tmp_path / "polygons.gpkg"))) == (0, 0)


def test_what_lies_there_is_written_over_only_when_asked(
    blocky: NDArray[np.uint8], write_raster: Write, tmp_path: Path
) -> None:
    path = write_raster("map.tif", blocky[None], crs=UTM, transform=PLACE, nodata=255)
    output = tmp_path / "polygons.gpkg"
    output.write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"is there already; .* --overwrite"):
        run(path, output)
    assert output.read_text(encoding="utf-8") == "mine"
    run(path, output, overwrite=True)
    assert len(read(output)) > 50
    (tmp_path / "polygons.gpkg-wal").touch()
    with pytest.raises(OutputError, match="another program has it open"):
        run(path, output, overwrite=True)
    with pytest.raises(OutputError, match="is read for this"):
        run(path, path, overwrite=True)


def test_a_cancel_leaves_nothing(blocky: NDArray[np.uint8], write_raster: Write, tmp_path: Path) -> None:
    path = write_raster("map.tif", blocky[None], crs=UTM, transform=PLACE, nodata=255)
    (tmp_path / "out").mkdir()
    for most in (0.2, 0.8):  # while it is sieved, and while polygons are written
        told = [0.0]
        listener = Listener(progress=told.append, cancelled=lambda told=told, most=most: told[-1] >= most)
        with pytest.raises(Cancelled):
            run(path, tmp_path / "out/polygons.gpkg", listener, minimum=0.1)
        assert list((tmp_path / "out").iterdir()) == []
        assert told == sorted(told)


def test_what_is_no_class_map_is_refused(write_raster: Write, tmp_path: Path) -> None:
    values = np.zeros((3, 4, 5), dtype=np.float32)
    several = write_raster("several.tif", values.astype(np.uint8), crs=UTM)
    with pytest.raises(BandError, match=r"has 3 bands; choose one, as in .*several.tif@1"):
        run(several, tmp_path / "p.gpkg")
    run(Path(f"{several}@2"), tmp_path / "p.gpkg")
    with pytest.raises(BandError, match="holds float32, not whole numbers"):
        run(write_raster("heights.tif", values[:1], crs=UTM), tmp_path / "p.gpkg", overwrite=True)
    wide = np.array([[[0, 5_000_000]]], dtype=np.int32)
    with pytest.raises(LabelError, match="holds values from 0 to 5000000, which are no classes"):
        run(write_raster("wide.tif", wide, crs=UTM), tmp_path / "p.gpkg", overwrite=True)


def test_companions_of_another_grid_or_kind_are_refused(write_raster: Write, tmp_path: Path) -> None:
    values = np.ones((1, 4, 5), dtype=np.uint8)
    path = write_raster("map.tif", values, crs=UTM, transform=PLACE)
    moved = write_raster("moved.tif", values, crs=UTM, transform=PLACE @ Affine.translation(1, 0))
    with pytest.raises(GridError, match=r"moved.tif: its pixels are not those of .*map.tif: 5 x 4 pixels from 600010"):
        run(path, tmp_path / "p.gpkg", confidence=str(moved))
    with pytest.raises(BandError, match="does not say which sensors its bits are"):
        run(path, tmp_path / "p.gpkg", availability=str(path))
    loud = write_raster("loud.tif", values * 101, crs=UTM, transform=PLACE)
    with pytest.raises(BandError, match="holds 101, which is no percentage"):
        run(path, tmp_path / "p.gpkg", confidence=str(loud))
    assert not (tmp_path / "p.gpkg").exists()
