"""Reading rasters on a grid, and writing maps."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.warp import Resampling, reproject

from engine.errors import BandError, GridError, LabelError, OutputError, RasterReadError
from engine.grid import Grid, Window
from engine.modality import LandClass, Modality
from engine.raster.alignment import AlignedReader
from engine.raster.labels import LabelMapping, open_labels
from engine.raster.sources import SourceSpec, open_source
from engine.raster.writing import ClassMapWriter

Write = Callable[..., Path]
CLASSES = (LandClass(2, "wood", "#00ff00"), LandClass(7, "town", "#ff0000"))


def ramp(bands: int = 1, dtype: str = "uint16") -> np.ndarray:
    return (np.arange(bands * 40 * 50).reshape(bands, 40, 50) + 1).astype(dtype)


def test_bands_are_chosen_by_number_and_name(write_raster: Write) -> None:
    path = write_raster("a.tif", ramp(3), names=("blue", "green", "red"))
    with open_source(SourceSpec.parse(f"{path}@red,1")) as source:
        assert source.band_indices == (3, 1)
        assert source.band_names == ("red", "blue")


def test_an_at_sign_in_a_file_name_stays_in_the_path(tmp_path: Path) -> None:
    odd = tmp_path / "a@1.tif"
    odd.touch()
    assert SourceSpec.parse(str(odd)) == SourceSpec(str(odd))
    assert SourceSpec.parse("scene.tif@3,2") == SourceSpec("scene.tif", ("3", "2"))


def test_a_missing_band_is_named(write_raster: Write) -> None:
    path = write_raster("a.tif", ramp(2), names=("blue", "green"))
    with pytest.raises(BandError, match=r"no band 'nir'.*1 blue, 2 green"):
        open_source(SourceSpec.parse(f"{path}@nir"))


def test_nodata_and_nan_make_pixels_invalid(write_raster: Write, grid: Grid) -> None:
    values = ramp(2, "float32")
    values[0, 3, 4] = -9999
    values[1, 5, 6] = np.nan
    path = write_raster("a.tif", values, nodata=-9999)
    with AlignedReader([SourceSpec(str(path))], grid) as reader:
        valid = reader.read(grid.window).valid
    assert {tuple(place) for place in np.argwhere(~valid)} == {(3, 4), (5, 6)}


def test_an_alpha_band_hides_pixels_and_is_no_band_of_its_own(tmp_path: Path, grid: Grid) -> None:
    path = tmp_path / "rgba.tif"
    data = np.full((4, 40, 50), 200, dtype="uint8")
    data[3, :10] = 0
    with rasterio.open(path, "w", driver="GTiff", height=40, width=50, count=4, dtype="uint8", crs=grid.crs,
                       transform=grid.transform, photometric="rgb", alpha="yes") as dataset:  # fmt: skip
        dataset.write(data)
    with AlignedReader([SourceSpec(str(path))], grid) as reader:
        block = reader.read(grid.window)
    assert block.values.shape[0] == 3
    assert not block.valid[:10].any()
    assert block.valid[10:].all()


def test_a_window_may_reach_outside(write_raster: Write, grid: Grid) -> None:
    values = ramp()
    path = write_raster("a.tif", values)
    with AlignedReader([SourceSpec(str(path))], grid) as reader:
        block = reader.read(Window(-5, 45, 10, 10))
    expected = np.zeros((10, 10), dtype=bool)
    expected[5:, :5] = True
    np.testing.assert_array_equal(block.valid, expected)
    np.testing.assert_array_equal(block.values[0][5:, :5], values[0, :5, 45:])


def test_a_shifted_source_is_read_without_resampling(write_raster: Write, grid: Grid) -> None:
    values = ramp()
    path = write_raster("a.tif", values, transform=grid.transform @ Affine.translation(7, -3))
    with AlignedReader([SourceSpec(str(path))], grid) as reader:
        block = reader.read(grid.window)
    np.testing.assert_array_equal(block.values[0][:37, 7:], values[0, 3:, :43])
    assert not block.valid[37:].any()


def test_another_crs_is_warped_as_gdal_does(write_raster: Write, grid: Grid) -> None:
    values = (1000 + 200 * np.sin(np.arange(60 * 60).reshape(1, 60, 60) / 300)).astype("float32")
    with rasterio.Env():
        left, bottom, right, top = rasterio.warp.transform_bounds(grid.crs, "EPSG:4326", *grid.bounds)
    transform = Affine((right - left) / 40, 0, left - 5e-4, 0, -(top - bottom) / 40, top + 5e-4)
    path = write_raster("geo.tif", values, crs=CRS.from_epsg(4326), transform=transform, nodata=-1)
    expected = np.full((40, 50), -1, dtype="float32")
    reproject(values[0], expected, src_transform=transform, src_crs="EPSG:4326", src_nodata=-1, dst_nodata=-1,
              dst_transform=grid.transform, dst_crs=grid.crs, resampling=Resampling.bilinear)  # fmt: skip
    with AlignedReader([SourceSpec(str(path))], grid) as reader:
        block = reader.read(grid.window)
    np.testing.assert_array_equal(block.valid, expected != -1)
    np.testing.assert_allclose(block.values[0][block.valid], expected[block.valid], atol=0.5)


def test_images_without_georeference_are_stacked(tmp_path: Path) -> None:
    for number in (1, 2):
        profile = {"driver": "PNG", "height": 8, "width": 9, "count": 1, "dtype": "uint8"}
        with (
            pytest.warns(NotGeoreferencedWarning),
            rasterio.open(tmp_path / f"{number}.png", "w", **profile) as dataset,
        ):
            dataset.write(np.full((1, 8, 9), number * 10, dtype="uint8"))
    specs = [SourceSpec(str(tmp_path / f"{number}.png")) for number in (1, 2)]
    with open_source(specs[0]) as source:
        flat = source.grid
    with AlignedReader(specs, flat) as reader:
        assert reader.read(flat.window).values[:, 0, 0].tolist() == [10, 20]


def test_no_crs_beside_one_is_refused(write_raster: Write, grid: Grid) -> None:
    path = write_raster("bare.tif", ramp(), crs=None)
    with pytest.raises(GridError, match="no coordinate reference system"):
        AlignedReader([SourceSpec(str(path))], grid)


def test_a_source_elsewhere_is_refused(write_raster: Write, grid: Grid) -> None:
    path = write_raster("far.tif", ramp(), transform=Affine(10, 0, 90000, 0, -10, 5000))
    with pytest.raises(GridError, match="outside of the grid"):
        AlignedReader([SourceSpec(str(path))], grid)


def test_values_that_would_be_cut_are_refused(write_raster: Write, grid: Grid) -> None:
    path = write_raster("a.tif", ramp(dtype="float32"))
    with pytest.raises(BandError, match="float32, which does not fit uint16"):
        AlignedReader([SourceSpec(str(path))], grid, Modality("a", ("b",), "uint16"))


def test_a_truncated_file_is_named_with_the_window(write_raster: Write, grid: Grid) -> None:
    path = write_raster("a.tif", ramp(4, "float64"))
    path.write_bytes(path.read_bytes()[:9000])
    with AlignedReader([SourceSpec(str(path))], grid) as reader, pytest.raises(RasterReadError, match=r"a\.tif.*rows"):
        reader.read(grid.window)


def test_a_file_that_is_no_raster_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(RasterReadError, match=r"text\.tif"):
        open_source(SourceSpec(str(tmp_path / "text.tif")))


def test_raster_labels_are_mapped_merged_and_ignored(write_raster: Write, grid: Grid) -> None:
    values = np.full((1, 40, 50), 2, dtype="uint8")
    values[0, 0, :4] = (7, 9, 5, 0)
    path = write_raster("labels.tif", values, nodata=0)
    labels = open_labels(str(path), grid, LabelMapping(CLASSES, {9: 7}, frozenset({5})))
    assert labels.read(Window(0, 0, 1, 5))[0].tolist() == [1, 1, -1, -1, 0]
    labels.close()


def test_an_unknown_label_value_is_named(write_raster: Write, grid: Grid) -> None:
    path = write_raster("labels.tif", np.full((1, 40, 50), 3, dtype="uint8"))
    labels = open_labels(str(path), grid, LabelMapping(CLASSES, {}, frozenset()))
    with pytest.raises(LabelError, match="label value 3"):
        labels.read(grid.window)
    labels.close()


def test_polygons_are_burnt_by_class_name_and_reprojected(tmp_path: Path, grid: Grid) -> None:
    geopandas = pytest.importorskip("geopandas")
    from shapely.geometry import box

    frame = geopandas.GeoDataFrame(
        {"cover": ["wood", "town"]}, geometry=[box(1000, 4900, 1100, 5000), box(1100, 4900, 1200, 5000)],
        crs=grid.crs.to_wkt() if grid.crs else None,
    )  # fmt: skip
    frame.to_crs(4326).to_file(tmp_path / "cover.gpkg")
    labels = open_labels(str(tmp_path / "cover.gpkg"), grid, LabelMapping(CLASSES, {}, frozenset()), field="cover")
    row = labels.read(Window(5, 0, 1, 25))[0]
    assert row.tolist() == [0] * 10 + [1] * 10 + [-1] * 5


def test_a_class_map_says_what_its_values_mean(tmp_path: Path, grid: Grid) -> None:
    path = tmp_path / "map.tif"
    valid = np.ones((40, 50), dtype=bool)
    valid[0, 0] = False
    with ClassMapWriter(path, grid, CLASSES) as writer:
        assert not path.exists()
        writer.write_classes(grid.window, np.ones((40, 50), dtype=int), valid)
    with rasterio.open(path) as dataset:
        assert dataset.nodata == 255
        assert dataset.colormap(1)[7] == (255, 0, 0, 255)
        values = dataset.read(1)
    assert values[0, 0] == 255
    assert (values[valid] == 7).all()
    sidecar = (tmp_path / "map.tif.aux.xml").read_text()
    assert sidecar.index("wood") < sidecar.index("town")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["map.qml", "map.tif", "map.tif.aux.xml"]


def test_an_interrupted_map_leaves_nothing(tmp_path: Path, grid: Grid) -> None:
    def interrupted() -> None:
        with ClassMapWriter(tmp_path / "map.tif", grid, CLASSES):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_map(tmp_path: Path) -> None:
    code = f"""
import resource, signal
import numpy as np
from affine import Affine
from engine.errors import OutputError
from engine.grid import Grid
from engine.modality import LandClass
from engine.raster.writing import ClassMapWriter
from pathlib import Path

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
classes = [LandClass(number, str(number), "#000000") for number in range(250)]
grid = Grid(None, Affine.scale(2), 1024, 1024)
noise = np.random.default_rng(0).integers(0, 250, (1024, 1024))
try:
    with ClassMapWriter(Path({str(tmp_path / "map.tif")!r}), grid, classes) as writer:
        writer.write_classes(grid.window, noise, np.ones(noise.shape, dtype=bool))
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is the disk full?" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_hold_the_map_is_named(tmp_path: Path, grid: Grid) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"map\.tif: cannot be written"):
        ClassMapWriter(tmp_path / "file" / "map.tif", grid, CLASSES)
