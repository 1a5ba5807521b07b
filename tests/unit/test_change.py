"""Changes between two class maps: codes, legend and table."""

import csv
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from engine.errors import Cancelled, GridError, LabelError, ModalityError, OutputError
from engine.grid import Grid
from engine.modality import LandClass
from engine.products import classmap
from engine.products.change import ChangeOptions, Changes, change
from engine.products.outputs import Listener
from engine.products.polygonize import PolygonizeOptions, polygonize
from engine.raster.writing import ClassMapWriter

UTM = CRS.from_epsg(32631)
PLACE = Affine(10, 0, 600_000, 0, -10, 5_650_000)
CLASSES = (LandClass(4, "Wald", "#006400"), LandClass(5, "heath", "#ffff00"), LandClass(40, "town", "#ff0000"))
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def low_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of a few rows are read in several strips."""
    monkeypatch.setattr(classmap, "STRIP", 100)


def write_map(path: Path, indices: NDArray[np.integer], classes: tuple[LandClass, ...] = CLASSES) -> Path:
    """A map with a legend; -1 is nodata."""
    grid = Grid(UTM, PLACE, *indices.shape)
    with ClassMapWriter(path, grid, classes) as writer:
        writer.write_classes(grid.window, np.maximum(indices, 0), indices >= 0)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, NDArray[np.integer], NDArray[np.integer]]:
    rng = np.random.default_rng(0)
    first, second = (rng.integers(-1, 3, (30, 21)) for _ in range(2))
    paths = [write_map(tmp_path / f"{name}.tif", one) for name, one in (("first", first), ("second", second))]
    values = np.array([4, 5, 40, 255])
    return paths[0], paths[1], values[first], values[second]


def run(first: Path, second: Path, folder: Path, listener: Listener | None = None, **options: object) -> Changes:
    outputs = {"output": folder / "change.tif", "table": folder / "change.csv"}
    return change(ChangeOptions(first=str(first), second=str(second), **{**outputs, **options}), listener)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "change.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def attributes(path: Path) -> dict[int, tuple[str, str, int]]:
    """Name, colour and pixels of each value, as the attribute table has them."""
    root = Xml.parse(f"{path}.aux.xml").getroot()  # noqa: S314 (ours)
    rows = [[cell.text for cell in row] for row in root.iter("Row")]
    return {
        int(row[0]): (row[1], "#{:02x}{:02x}{:02x}".format(*map(int, row[2:5])), int(float(row[6]))) for row in rows
    }


def test_a_code_is_from_and_to_side_by_side(pair: tuple, tmp_path: Path) -> None:
    first, second, before, after = pair
    found = run(first, second, tmp_path)
    both = (before != 255) & (after != 255)
    with rasterio.open(tmp_path / "change.tif") as dataset:
        assert (dataset.dtypes, dataset.nodata, dataset.crs, dataset.transform) == (("uint16",), 65535, UTM, PLACE)
        np.testing.assert_array_equal(dataset.read(1), np.where(both, before * 100 + after, 65535))
    assert found.pixels == both.sum()
    assert found.changed == pytest.approx((before != after)[both].mean())
    assert found.one_map == ((before == 255) != (after == 255)).sum()
    assert found.other_sensors is None
    rows = table(tmp_path)
    assert len(rows) == 9
    for row in rows:
        count = ((before == int(row["from"])) & (after == int(row["to"]))).sum()
        assert int(row["pixels"]) == count
        assert float(row["hectares"]) == pytest.approx(count / 100, rel=1e-3)
        assert row["pixels_same_sensors"] == row["hectares_other_sensors"] == ""
    assert (rows[1]["from_class"], rows[1]["to_class"]) == ("Wald", "heath")
    legend = attributes(tmp_path / "change.tif")
    assert legend[405] == ("Wald → heath", "#ffff00", ((before == 4) & (after == 5)).sum())
    assert legend[404][:2] == ("Wald, unchanged", "#ededed")
    assert 'value="540" color="#ff0000" alpha="255" label="heath → town"' in (tmp_path / "change.qml").read_text(
        "utf-8"
    )


def test_other_sensors_are_marked_and_counted_apart_whatever_their_order(
    pair: tuple, write_raster: Write, tmp_path: Path
) -> None:
    first, second, before, after = pair
    rng = np.random.default_rng(2)
    seen = [rng.integers(1, 4, before.shape).astype(np.uint8) for _ in range(2)]
    place = {"crs": UTM, "transform": PLACE, "nodata": 0}
    one = write_raster("one.tif", seen[0][None], names=["availability: optical, dem"], **place)
    other = write_raster("other.tif", seen[1][None], names=["availability: dem, sar, optical"], **place)
    names = [
        np.array([None, "optical", "dem", "dem+optical"])[seen[0]],
        np.array([None, "dem", "sar", "dem+sar"])[seen[1]],
    ]
    found = run(first, second, tmp_path, first_availability=str(one), second_availability=str(other))
    both, differs = (before != 255) & (after != 255), names[0] != names[1]
    with rasterio.open(tmp_path / "change.tif") as dataset:
        expected = before * 100 + after + 10_000 * differs
        np.testing.assert_array_equal(dataset.read(1), np.where(both, expected, 65535))
    assert found.other_sensors == pytest.approx(differs[both].mean())
    for row in table(tmp_path):
        chosen = (before == int(row["from"])) & (after == int(row["to"]))
        assert int(row["pixels_same_sensors"]) == (chosen & ~differs).sum()
        assert int(row["pixels_other_sensors"]) == (chosen & differs).sum()
        parts = float(row["hectares_same_sensors"]) + float(row["hectares_other_sensors"])
        assert float(row["hectares"]) == pytest.approx(parts, abs=1e-5)
    assert attributes(tmp_path / "change.tif")[10405][:2] == ("Wald → heath (other sensors)", "#ffff7f")
    with pytest.raises(ModalityError, match="availability of one map alone"):
        run(first, second, tmp_path, first_availability=str(one), overwrite=True)


def test_values_of_three_digits_have_codes_of_six(tmp_path: Path) -> None:
    classes = (LandClass(0, "none", "#000000"), LandClass(100, "moss", "#00ff00"))
    first = write_map(tmp_path / "first.tif", np.array([[0, 1], [1, -1]]), classes)
    second = write_map(tmp_path / "second.tif", np.array([[0, 1], [0, 0]]), classes)
    run(first, second, tmp_path)
    with rasterio.open(tmp_path / "change.tif") as dataset:
        assert dataset.read(1).tolist() == [[0, 100_100], [100_000, 4_294_967_295]]
        assert dataset.nodata == 4_294_967_295
    options = PolygonizeOptions(map=str(tmp_path / "change.tif"), output=tmp_path / "change.gpkg", overwrite=True)
    polygonize(options)
    names = set(geopandas.read_file(tmp_path / "change.gpkg", layer="polygons")["class"])
    assert names == {"none, unchanged", "moss, unchanged", "moss → none"}
    (tmp_path / "change.tif.aux.xml").write_text("<PAMDataset><PAMRas", encoding="utf-8")
    polygonize(options)
    assert set(geopandas.read_file(tmp_path / "change.gpkg", layer="polygons")["class"]) == {"0", "100100", "100000"}


def test_maps_of_two_grids_or_legends_are_not_compared_unsaid(tmp_path: Path, write_raster: Write) -> None:
    first = write_map(tmp_path / "first.tif", np.zeros((4, 5), dtype=int))
    wide = write_map(tmp_path / "wide.tif", np.zeros((4, 6), dtype=int))
    with pytest.raises(GridError, match=rf"map again on the grid of the first one: --like {first}"):
        run(first, wide, tmp_path)
    other = write_map(tmp_path / "other.tif", np.zeros((4, 5), dtype=int), (LandClass(4, "sand", "#ffff00"),))
    told: list[str] = []
    run(first, other, tmp_path, Listener(warned=told.append))
    assert told == [
        f"value 4 is Wald in {first} and sand in {other}; it counts as unchanged; compare maps of one legend"
    ]
    large = write_raster("large.tif", np.full((1, 4, 5), 12_000, dtype=np.uint16), crs=UTM, transform=PLACE)
    with pytest.raises(LabelError, match="holds class values from 12000 to 12000; codes of changes hold 0 to 9999"):
        run(first, large, tmp_path, overwrite=True)


def test_outputs_are_two_files_that_stay_until_others_are_whole(pair: tuple, tmp_path: Path) -> None:
    first, second, *_ = pair
    with pytest.raises(OutputError, match="two outputs would be this file"):
        run(first, second, tmp_path, table=tmp_path / "change.tif")
    run(first, second, tmp_path)
    (tmp_path / "change.tif.msk").touch()  # of an older raster
    with pytest.raises(OutputError, match=r"is there already; .* --overwrite"):
        run(first, second, tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(Cancelled):
        run(first, second, tmp_path, Listener(cancelled=lambda: True), overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == before
    run(first, second, tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == before - {"change.tif.msk"}
