"""Statistics of a class map: every figure a second time in NumPy."""

import csv
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from engine.errors import Cancelled, GridError, LabelError, RasterReadError
from engine.products import classmap
from engine.products.outputs import Listener
from engine.products.statistics import COLUMNS, Statistics, StatisticsOptions, statistics

UTM = CRS.from_epsg(32631)
PLACE = Affine(10, 0, 600_000, 0, -10, 5_650_000)
Write = Callable[..., Path]
Row = dict[str, str]


@pytest.fixture(autouse=True)
def low_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of a few rows are read in several strips."""
    monkeypatch.setattr(classmap, "STRIP", 150)


@pytest.fixture
def values() -> NDArray[np.uint16]:
    found = np.random.default_rng(0).choice([3, 300, 65535], p=(0.5, 0.3, 0.2), size=(30, 40))
    return found.astype(np.uint16)


@pytest.fixture
def path(values: NDArray[np.uint16], write_raster: Write) -> Path:
    """Class 3, class 300, and nodata."""
    return write_raster("map.tif", values[None], crs=UTM, transform=PLACE, nodata=65535)


def run(path: Path, output: Path, listener: Listener | None = None, **options: object) -> Statistics:
    return statistics(StatisticsOptions(map=str(path), output=output, **options), listener)


def rows_of(output: Path, part: str) -> list[Row]:
    with output.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["part"] == part]


def test_each_class_is_counted(path: Path, values: NDArray[np.uint16], tmp_path: Path) -> None:
    found = run(path, tmp_path / "table.csv")
    rows = rows_of(tmp_path / "table.csv", "map")
    assert tuple(rows[0]) == COLUMNS
    counts = [int((values == value).sum()) for value in (3, 300)]
    assert [(row["value"], int(row["pixels"])) for row in rows] == [("3", counts[0]), ("300", counts[1])]
    for row, count in zip(rows, counts, strict=True):
        assert float(row["hectares"]) == pytest.approx(count / 100, rel=1e-3), "of 100 m2 on the plane"
        assert float(row["share"]) == pytest.approx(100 * count / sum(counts), rel=1e-4)
        assert row["confidence"] == ""
    assert (found.pixels, found.classes) == (sum(counts), 2)
    assert found.hectares == pytest.approx(sum(float(row["hectares"]) for row in rows))


def test_confidence_and_scenarios_come_from_what_was_written_with_the_map(
    path: Path, values: NDArray[np.uint16], write_raster: Write, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    percent = rng.integers(0, 101, values.shape).astype(np.uint8)
    bits = rng.integers(1, 4, values.shape).astype(np.uint8)
    place = {"crs": UTM, "transform": PLACE}
    confidence = write_raster("confidence.tif", percent[None], nodata=255, **place)
    names = ["availability: optical, dem"]
    availability = write_raster("availability.tif", bits[None], nodata=0, names=names, **place)
    run(path, tmp_path / "table.csv", confidence=str(confidence), availability=str(availability))
    for row in rows_of(tmp_path / "table.csv", "map"):
        assert float(row["confidence"]) == pytest.approx(percent[values == int(row["value"])].mean(), abs=1e-5)
    rows = rows_of(tmp_path / "table.csv", "scenario")
    assert [row["name"] for row in rows] == ["optical+dem"] * 2 + ["optical"] * 2 + ["dem"] * 2
    for row in rows:
        seen = bits == {"optical": 1, "dem": 2, "optical+dem": 3}[row["name"]]
        chosen = (values == int(row["value"])) & seen
        assert int(row["pixels"]) == chosen.sum()
        assert float(row["confidence"]) == pytest.approx(percent[chosen].mean(), abs=1e-5)
        valid = seen & (values != 65535)
        assert float(row["share"]) == pytest.approx(100 * chosen.sum() / valid.sum(), rel=1e-4)


def zones_of(path: Path, shapes: dict[str | None, shapely.Geometry], crs: CRS | None = UTM) -> Path:
    frame = geopandas.GeoDataFrame({"name": list(shapes)}, geometry=list(shapes.values()), crs=UTM)
    if crs != UTM:
        frame.geometry = frame.geometry.segmentize(20)
        frame = frame.to_crs(crs)
    frame.to_file(path, layer="zones")
    return path


def inside(shape: shapely.Geometry, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centres a polygon holds."""
    row, col = np.indices(size)
    x, y = PLACE @ (col + 0.5, row + 0.5)
    return shapely.contains_xy(shape, x, y)


@pytest.mark.parametrize("crs", [UTM, CRS.from_epsg(4326), CRS.from_epsg(3857)])
def test_zones_count_the_centres_that_they_hold_each_for_itself(
    crs: CRS, path: Path, values: NDArray[np.uint16], tmp_path: Path
) -> None:
    circle = shapely.Point(600_203, 5_649_851).buffer(112)
    shapes = {
        "Süd": shapely.box(600_012, 5_649_698, 600_307, 5_649_853),
        "circle": circle,
        "both": shapely.MultiPolygon([shapely.box(600_003, 5_649_952, 600_058, 5_650_100), circle]),  # reaches outside
    }
    zones = zones_of(tmp_path / "zones.gpkg", shapes, crs)
    found = run(path, tmp_path / "table.csv", zones=f"{zones}|zones", zone_field="name")
    assert found.zones == 3
    rows = rows_of(tmp_path / "table.csv", "zone")
    assert {(row["zone"], row["name"]) for row in rows} == {("1", "Süd"), ("2", "circle"), ("3", "both")}
    for row in rows:
        chosen = inside(shapes[row["name"]], values.shape)
        assert int(row["pixels"]) == (values[chosen] == int(row["value"])).sum()
        assert float(row["share"]) == pytest.approx(
            100 * int(row["pixels"]) / (values[chosen] != 65535).sum(), rel=1e-3
        )


def test_zones_without_names_pixels_or_place_are_said(path: Path, tmp_path: Path) -> None:
    shapes = {"a": shapely.box(600_000, 5_649_900, 600_100, 5_650_000), None: shapely.box(0, 0, 9, 9)}
    zones = zones_of(tmp_path / "zones.gpkg", shapes)
    told: list[str] = []
    run(path, tmp_path / "table.csv", Listener(warned=told.append), zones=str(zones))
    assert [row["name"] for row in rows_of(tmp_path / "table.csv", "zone")] == ["1", "1"]
    assert told == [f"{zones}: 1 of its polygons do not hold the centre of any pixel that has a class"]
    with pytest.raises(LabelError, match="there is no field 'title'; it has name"):
        run(path, tmp_path / "table.csv", zones=str(zones), zone_field="title", overwrite=True)
    points = zones_of(tmp_path / "points.gpkg", {"a": shapely.Point(600_000, 5_650_000)})
    with pytest.raises(RasterReadError, match="holds Point, which have no area"):
        run(path, tmp_path / "table.csv", zones=str(points), overwrite=True)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # of writing it
def test_without_georeference_shares_are_of_pixels(write_raster: Write, tmp_path: Path) -> None:
    path = write_raster("map.tif", np.array([[[1, 1, 2, 1]]], dtype=np.uint8), crs=None, transform=Affine.identity())
    found = run(path, tmp_path / "table.csv")
    assert found.hectares is None
    assert [(row["hectares"], row["share"]) for row in rows_of(tmp_path / "table.csv", "map")] == [
        ("", "75.000000"),
        ("", "25.000000"),
    ]
    zones = zones_of(tmp_path / "zones.gpkg", {"a": shapely.box(0, 0, 9, 9)})
    with pytest.raises(GridError, match="only one has a coordinate reference system"):
        run(path, tmp_path / "table.csv", zones=str(zones), overwrite=True)


def test_in_degrees_shares_are_of_areas_on_the_ground(write_raster: Write, tmp_path: Path) -> None:
    values = np.repeat(np.array([[1], [2]], dtype=np.uint8), 30, axis=0)
    path = write_raster("map.tif", values[None], crs=CRS.from_epsg(4326), transform=Affine(1, 0, 0, 0, -1, 60))
    run(path, tmp_path / "table.csv")
    north, south = (float(row["share"]) for row in rows_of(tmp_path / "table.csv", "map"))
    sphere = (np.sin(np.radians(60)) - np.sin(np.radians(30))) / np.sin(np.radians(60))
    assert north == pytest.approx(100 * sphere, abs=0.3)
    assert north + south == pytest.approx(100)


def test_a_cancel_writes_no_table(path: Path, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        run(path, tmp_path / "table.csv", Listener(cancelled=lambda: True))
    assert [one.name for one in tmp_path.iterdir()] == ["map.tif"]
