"""Validity, warping and refusals when sources are brought onto a grid."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform, transform_bounds

from engine.errors import BandError, GridError, RasterReadError
from engine.grid import Grid, Window
from engine.modality import Modality
from engine.raster.alignment import AlignedReader, Block
from engine.raster.sources import SourceSpec

Write = Callable[..., Path]
WGS84 = CRS.from_epsg(4326)


def read(path: Path, grid: Grid, window: Window | None = None, dtype: str | None = None, **options: str) -> Block:
    modality = None if dtype is None else Modality("a", ("b",), dtype)
    with AlignedReader([SourceSpec(str(path))], grid, modality, **options) as reader:  # type: ignore[arg-type]
        return reader.read(window or grid.window)


def between_pixels(grid: Grid) -> Affine:
    """The grid's pixels, three and a half further up and left."""
    return grid.transform @ Affine.translation(-3.5, -3.5)


def geographic(grid: Grid, pixels: int) -> Affine:
    """Pixels in degrees, ``pixels`` over the grid's width, a margin of two around it."""
    left, _, right, top = transform_bounds(grid.crs, WGS84, *grid.bounds)
    size = (right - left) / pixels
    return Affine(size, 0, left - 2 * size, 0, -size, top + 2 * size)


def with_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_dataset_mask_hides_pixels(write_raster: Write, grid: Grid, dtype: str) -> None:
    mask = np.ones((40, 50), dtype=bool)
    mask[:10, :20] = False
    path = write_raster("a.tif", np.full((1, 40, 50), 5, dtype))
    with_mask(path, mask)
    np.testing.assert_array_equal(read(path, grid).valid, mask)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_dataset_mask_keeps_hidden_values_out_of_a_warp(write_raster: Write, grid: Grid, dtype: str) -> None:
    values = np.full((1, 50, 60), 100, dtype)
    values[:, :25] = 7777
    path = write_raster("a.tif", values, transform=between_pixels(grid))
    with_mask(path, values[0] == 100)
    block = read(path, grid)
    # source row 25 starts 21.5 grid rows down: row 21 has half of a masked pixel and half of an unmasked one
    assert not block.valid[:21].any()
    assert block.valid[22:].all()
    assert set(np.unique(block.values[0][block.valid])) == {100}


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_nodata_of_one_band_is_not_mixed_into_its_neighbours_by_a_warp(
    write_raster: Write, grid: Grid, dtype: str
) -> None:
    values = np.stack([np.full((50, 60), 100), np.full((50, 60), 200)]).astype(dtype)
    values[0, 15:25, 15:25] = 9999
    path = write_raster("a.tif", values, transform=between_pixels(grid), nodata=9999)
    block = read(path, grid)
    assert set(np.unique(block.values[0][block.valid])) == {100}
    assert set(np.unique(block.values[1][block.valid])) == {200}
    # rows and columns 15 to 24 of the source are 11.5 to 21.5 of the grid
    assert not block.valid[12:21, 12:21].any()
    outside = np.ones((40, 50), dtype=bool)
    outside[11:22, 11:22] = False
    assert block.valid[outside].all()


def test_not_a_number_beside_a_nodata_value_never_reaches_valid_pixels(write_raster: Write, grid: Grid) -> None:
    values = np.full((1, 50, 60), 100, "float32")
    values[0, 20, 20], values[0, 30, 30] = np.nan, -1
    block = read(write_raster("a.tif", values, transform=between_pixels(grid), nodata=-1), grid)
    assert not block.valid.all()
    assert set(np.unique(block.values[0][block.valid])) == {100}


def test_values_too_large_for_the_data_type_are_invalid(write_raster: Write, grid: Grid) -> None:
    values = np.ones((1, 40, 50))
    values[0, 5, 6] = -1.7e308
    block = read(write_raster("a.tif", values), grid, dtype="float32")
    assert np.argwhere(~block.valid).tolist() == [[5, 6]]


def test_a_plane_is_warped_to_its_own_values(write_raster: Write, grid: Grid) -> None:
    to_degrees = geographic(grid, 40)
    rows, cols = np.mgrid[:60, :60]
    plane = (3 * cols + 5 * rows).astype("float64")
    block = read(write_raster("plane.tif", plane[None], crs=WGS84, transform=to_degrees), grid)
    xs, ys = np.meshgrid(np.arange(50) + 0.5, np.arange(40) + 0.5)
    xs, ys = grid.transform.c + 10 * xs, grid.transform.f - 10 * ys
    lon, lat = (np.array(values).reshape(40, 50) for values in transform(grid.crs, WGS84, xs.ravel(), ys.ravel()))
    col, row = (lon - to_degrees.c) / to_degrees.a - 0.5, (lat - to_degrees.f) / to_degrees.e - 0.5
    inner = block.valid & (row > 0) & (col > 0) & (row < 59) & (col < 59)
    assert inner.sum() > 1000
    np.testing.assert_allclose(block.values[0][inner], (3 * col + 5 * row)[inner], atol=1e-4)


@pytest.mark.parametrize("resampling", ["bilinear", "nearest"])
def test_warped_values_do_not_depend_on_the_window_or_the_part_of_the_grid(
    write_raster: Write, resampling: str
) -> None:
    grid = Grid(CRS.from_epsg(32631), Affine(10, 0, 300000, 0, -10, 5000000), 600, 700)
    noise = np.random.default_rng(0).integers(0, 10000, (1, 220, 220)).astype("uint16")
    path = write_raster("a.tif", noise, crs=WGS84, transform=geographic(grid, 200), nodata=65535)
    window = Window(217, 301, 150, 131)
    inside = window.within(grid.window)
    whole = read(path, grid, resampling=resampling).values[0][inside].astype(int)
    read_alone = read(path, grid, window, resampling=resampling).values[0]
    own_grid = read(path, grid.part(window), resampling=resampling).values[0]
    # with GDAL's default, an eighth of a pixel, thousands of pixels differ, by up to hundreds
    for other in (read_alone, own_grid):
        assert (np.abs(whole - other) > 1).sum() <= 1
        assert (whole != other).sum() <= 30


def test_a_warped_window_may_reach_outside(write_raster: Write, grid: Grid) -> None:
    path = write_raster("a.tif", np.full((1, 50, 60), 9, "uint8"), transform=between_pixels(grid))
    block = read(path, grid, Window(-2, 45, 8, 10))
    expected = np.zeros((8, 10), dtype=bool)
    expected[2:, :5] = True
    np.testing.assert_array_equal(block.valid, expected)
    assert read(path, grid, Window(100, 100, 3, 4)).values.shape == (1, 3, 4)


def test_a_raster_of_the_whole_world_covers_the_grid(write_raster: Write, grid: Grid) -> None:
    world = np.full((1, 180, 360), 3, "uint8")
    block = read(write_raster("world.tif", world, crs=WGS84, transform=Affine(1, 0, -180, 0, -1, 90)), grid)
    assert block.valid.all()
    assert (block.values == 3).all()


def test_a_small_raster_is_put_into_a_grid_of_the_whole_world(write_raster: Write) -> None:
    utm = CRS.from_epsg(32631)  # its zone's middle, 3 degrees east, is at 500 km; 5000 km north is at 45.15 degrees
    square = Affine(1000, 0, 300000, 0, -1000, 5200000)
    path = write_raster("small.tif", np.full((1, 400, 400), 8, "uint8"), crs=utm, transform=square)
    valid = read(path, Grid(WGS84, Affine(1, 0, -180, 0, -1, 90), 180, 360)).valid
    rows, cols = np.nonzero(valid)
    assert valid[90 - 46, 180 + 3]
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (90 - 47, 90 - 44, 180 + 0, 180 + 5)


def test_a_raster_elsewhere_in_another_reference_system_is_refused(write_raster: Write, grid: Grid) -> None:
    far = Affine(0.001, 0, 100, 0, -0.001, 60)
    path = write_raster("far.tif", np.ones((1, 40, 50), "uint8"), crs=WGS84, transform=far)
    with pytest.raises(GridError, match=r"far\.tif: lies outside of the grid: it covers \(100, 59\.96, 100\.05, 60\)"):
        read(path, grid)


def test_files_of_a_modality_are_valid_where_all_of_them_are(write_raster: Write, grid: Grid) -> None:
    first, second = np.ones((1, 40, 50), "uint8"), np.full((1, 40, 50), 2, "uint16")
    first[0, 0, 0], second[0, 1, 1] = 255, 999
    specs = [
        SourceSpec(str(write_raster("1.tif", first, nodata=255, names=["near"]))),
        SourceSpec(str(write_raster("2.tif", second, nodata=999, names=["far"]))),
    ]
    with AlignedReader(specs, grid) as reader:
        block = reader.read(grid.window)
        assert (reader.band_names, reader.dtype) == (("near", "far"), "uint16")
    assert np.argwhere(~block.valid).tolist() == [[0, 0], [1, 1]]
    assert block.values[:, 2, 2].tolist() == [1, 2]


def test_threads_read_the_same_as_one(write_raster: Write, grid: Grid) -> None:
    values = np.arange(2000, dtype="uint16").reshape(1, 40, 50)
    windows = [Window(row, col, 7, 9) for row in range(0, 33, 3) for col in range(0, 41, 4)]
    with (
        AlignedReader([SourceSpec(str(write_raster("a.tif", values)))], grid) as reader,
        ThreadPoolExecutor(4) as pool,
    ):
        for window, block in zip(windows, pool.map(reader.read, windows), strict=True):
            np.testing.assert_array_equal(block.values[0], values[0][window.within(grid.window)])


def test_a_local_reference_system_is_refused_by_name(write_raster: Write, grid: Grid) -> None:
    local = CRS.from_wkt('LOCAL_CS["Local",UNIT["metre",1]]')
    path = write_raster("site.tif", np.ones((1, 40, 50), "uint8"), crs=local)
    with pytest.raises(GridError, match=r"site\.tif.*cannot be brought to EPSG:32631"):
        read(path, grid)


def test_without_a_reference_system_another_transform_is_refused(write_raster: Write) -> None:
    path = write_raster("a.tif", np.ones((1, 40, 50), "uint8"), crs=None)
    with pytest.raises(GridError, match=r"origin \(1000, 5000\).*origin \(0, 0\)"):
        read(path, Grid(None, Affine.identity(), 40, 50))


def test_a_source_with_a_reference_system_on_a_grid_without_is_refused(write_raster: Write) -> None:
    path = write_raster("a.tif", np.ones((1, 40, 50), "uint8"))
    with pytest.raises(GridError, match="assign one"):
        read(path, Grid(None, Affine.identity(), 40, 50))


@pytest.mark.parametrize(("have", "wanted"), [("uint16", "int16"), ("int16", "uint16"), ("uint16", "uint8")])
def test_a_cast_that_could_lose_values_is_refused(write_raster: Write, grid: Grid, have: str, wanted: str) -> None:
    path = write_raster("a.tif", np.ones((1, 40, 50), have))
    with pytest.raises(BandError, match=f"is {have}, which does not fit {wanted}"):
        read(path, grid, dtype=wanted)


def test_a_cast_that_loses_nothing_is_made(write_raster: Write, grid: Grid) -> None:
    values = np.full((1, 40, 50), 65534, "uint16")
    block = read(write_raster("a.tif", values), grid, dtype="float32")
    assert block.values.dtype == "float32"
    assert (block.values == 65534).all()


@pytest.mark.parametrize("between", [False, True], ids=["direct", "warped"])
def test_damaged_compression_is_named_with_the_window(tmp_path: Path, grid: Grid, between: bool) -> None:
    path = tmp_path / "bad.tif"
    profile = {"driver": "GTiff", "height": 50, "width": 60, "count": 1, "dtype": "uint16", "compress": "deflate"}
    noise = np.random.default_rng(0).integers(0, 60000, (1, 50, 60)).astype("uint16")
    origin = between_pixels(grid) if between else grid.transform
    with rasterio.open(path, "w", crs=grid.crs, transform=origin, **profile) as dataset:
        dataset.write(noise)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = b"\xff" * 400
    path.write_bytes(bytes(content))
    with pytest.raises(RasterReadError, match=r"bad\.tif: cannot be read at rows 0-39, columns 0-49"):
        read(path, grid)


def test_a_file_cut_off_while_warping_is_a_read_error(write_raster: Write, grid: Grid) -> None:
    path = write_raster("cut.tif", np.ones((2, 50, 60), "float64"), transform=between_pixels(grid))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(RasterReadError, match=r"cut\.tif.*truncated"):
        read(path, grid)
