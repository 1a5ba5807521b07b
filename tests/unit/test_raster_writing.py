"""Results appear whole, with what their values mean, or not at all."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from engine.errors import OutputError
from engine.grid import Grid, Window
from engine.modality import LandClass
from engine.raster.writing import ClassMapWriter, LayerWriter

CLASSES = (LandClass(2, "wood & <wet>", "#00ff00"), LandClass(7, "Städte", "#ff0000"))


def write_map(path: Path, grid: Grid, classes: tuple[LandClass, ...] = CLASSES) -> None:
    indices = np.arange(grid.height * grid.width).reshape(grid.height, grid.width) % len(classes)
    with ClassMapWriter(path, grid, classes) as writer:
        writer.write_classes(grid.window, indices, np.ones(indices.shape, dtype=bool))


def categories_by_gdal(path: Path) -> list[str]:
    """Category names as GDAL reads them, told by the VRT that it makes of the file."""
    vrt = path.with_suffix(".vrt")
    rasterio.shutil.copy(path, vrt, driver="VRT")
    found = Xml.parse(vrt).getroot().iter("Category")  # noqa: S314 (written by the line above)
    vrt.unlink()
    return [item.text or "" for item in found]


def test_gdal_reads_the_category_names(tmp_path: Path, grid: Grid) -> None:
    write_map(tmp_path / "map.tif", grid)
    assert categories_by_gdal(tmp_path / "map.tif") == ["", "", "wood & <wet>", "", "", "", "", "Städte"]


def test_class_values_above_254_make_a_map_of_16_bits(tmp_path: Path, grid: Grid) -> None:
    classes = (LandClass(2, "wood", "#00ff00"), LandClass(300, "town", "#102030"))
    write_map(tmp_path / "map.tif", grid, classes)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert (dataset.dtypes, dataset.nodata) == (("uint16",), 65535)
        assert dataset.colormap(1)[300] == (16, 32, 48, 255)
        assert np.unique(dataset.read(1)).tolist() == [2, 300]
    assert categories_by_gdal(tmp_path / "map.tif")[300] == "town"


def test_a_map_lies_where_its_grid_lies(tmp_path: Path, grid: Grid) -> None:
    write_map(tmp_path / "map.tif", grid)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert (dataset.crs, dataset.transform, dataset.shape) == (grid.crs, grid.transform, (40, 50))
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.compression.name == "deflate"


def test_windows_fill_a_map_piece_by_piece(tmp_path: Path, grid: Grid) -> None:
    indices = np.random.default_rng(0).integers(0, 2, (40, 50))
    valid = np.random.default_rng(1).random((40, 50)) > 0.3
    with ClassMapWriter(tmp_path / "map.tif", grid, CLASSES) as writer:
        for window in (Window(0, 0, 17, 50), Window(17, 0, 23, 21), Window(17, 21, 23, 29)):
            part = window.within(grid.window)
            writer.write_classes(window, indices[part], valid[part])
    with rasterio.open(tmp_path / "map.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), np.where(valid, np.array([2, 7])[indices], 255))


def test_pixels_never_written_are_nodata(tmp_path: Path, grid: Grid) -> None:
    with ClassMapWriter(tmp_path / "map.tif", grid, CLASSES) as writer:
        writer.write_classes(Window(0, 0, 1, 1), np.zeros((1, 1), dtype=int), np.ones((1, 1), dtype=bool))
    with rasterio.open(tmp_path / "map.tif") as dataset:
        values = dataset.read(1)
    assert values[0, 0] == 2
    assert (values.ravel()[1:] == 255).all()


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 255), ("uint16", 0), ("float32", -1.0)])
def test_a_layer_is_read_back_with_its_names(tmp_path: Path, grid: Grid, dtype: str, nodata: float) -> None:
    values = np.arange(2 * 40 * 50).reshape(2, 40, 50).astype(dtype)
    with LayerWriter(tmp_path / "layer.tif", grid, dtype, nodata, ["share", "rest"]) as writer:
        writer.write(grid.window, values)
    with rasterio.open(tmp_path / "layer.tif") as dataset:
        assert (dataset.descriptions, dataset.nodata) == (("share", "rest"), nodata)
        np.testing.assert_array_equal(dataset.read(), values)
    assert [item.name for item in tmp_path.iterdir()] == ["layer.tif"]


def test_an_older_map_survives_an_interrupted_one(tmp_path: Path, grid: Grid) -> None:
    write_map(tmp_path / "map.tif", grid)
    before = {item.name: item.read_bytes() for item in tmp_path.iterdir()}

    def interrupted() -> None:
        with ClassMapWriter(tmp_path / "map.tif", grid, (LandClass(1, "new", "#000000"),)):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before


def test_an_older_map_keeps_its_names_when_the_new_ones_cannot_be_completed(
    tmp_path: Path, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_map(tmp_path / "map.tif", grid)
    before = {item.name: item.read_bytes() for item in tmp_path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_map(tmp_path / "map.tif", grid, (LandClass(1, "new", "#000000"),))
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before


def test_what_went_wrong_first_is_what_the_caller_hears(
    tmp_path: Path, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: LayerWriter) -> None:
        raise OutputError("the disk is full too")

    def broken() -> None:
        with ClassMapWriter(tmp_path / "map.tif", grid, CLASSES) as writer:
            writer._dataset.close()
            monkeypatch.setattr(LayerWriter, "_close", fails)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_maps_name_is_refused_before_the_work(tmp_path: Path, grid: Grid) -> None:
    (tmp_path / "map.tif").mkdir()
    with pytest.raises(OutputError, match=r"map\.tif: is a folder"):
        ClassMapWriter(tmp_path / "map.tif", grid, CLASSES)
    assert [item.name for item in tmp_path.iterdir()] == ["map.tif"]


def test_a_folder_that_does_not_exist_is_refused_before_the_work(tmp_path: Path, grid: Grid) -> None:
    with pytest.raises(OutputError, match=r"there is no folder .*; make it first"):
        LayerWriter(tmp_path / "none" / "layer.tif", grid, "uint8", 255, ["share"])


FILL_UP = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from affine import Affine
from engine.errors import OutputError
from engine.grid import Grid
from engine.modality import LandClass
from engine.raster.writing import ClassMapWriter

folder = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
classes = [LandClass(number, str(number), "#000000") for number in range(250)]
grid = Grid(None, Affine.scale(2), 512, 512)
noise = np.random.default_rng(0).integers(0, 250, (512, 512))


def write(name):
    with ClassMapWriter(folder / name, grid, classes) as writer:
        writer.write_classes(grid.window, noise, np.ones(noise.shape, dtype=bool))


write("whole.tif")
size = (folder / "whole.tif").stat().st_size
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for limit in (0, 3000, size // 2, *range(size - 2500, size, 100), size - 8, size - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    name = f"limit-{limit}.tif"
    try:
        write(name)
        outcome = "published"
    except OutputError:
        outcome = "refused"
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print("outcome", limit - size, outcome, len(list(folder.glob(f"*{name}*"))))
"""


def test_a_disk_that_fills_up_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FILL_UP, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = [line.split() for line in done.stdout.splitlines() if line.startswith("outcome")]
    assert len(outcomes) == 30
    assert [line for line in outcomes if line[2:] != ["refused", "0"]] == []
