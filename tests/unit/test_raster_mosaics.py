"""Several rasters of one sensor: stacked as bands, or a mosaic in a stated order."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from engine.errors import BandError
from engine.grid import Grid
from engine.modality import Modality
from engine.raster.alignment import AlignedReader
from engine.raster.mosaics import Order, acquired
from engine.raster.sources import SourceSpec, open_source

Write = Callable[..., Path]
TWO = Modality("radar", ("VV", "VH"), "float32")


def reader(grid: Grid, modality: Modality, *paths: Path, order: Order = "given") -> AlignedReader:
    return AlignedReader([SourceSpec(str(path)) for path in paths], grid, modality, order=order)


def constant(write_raster: Write, name: str, *values: float, cols: slice = slice(None), pixel: float = 1) -> Path:
    """Bands of one value each, 0 (nodata) but in ``cols``; pixels of ``pixel`` times the grid's."""
    bands = np.zeros((len(values), int(40 / pixel), int(50 / pixel)), "float32")
    for band, value in zip(bands, values, strict=True):
        band[:, cols] = value
    transform = Affine(10, 0, 1000, 0, -10, 5000) @ Affine.scale(pixel)
    return write_raster(name, bands, nodata=0, transform=transform)


def test_files_of_single_bands_are_stacked(write_raster: Write, grid: Grid) -> None:
    paths = [constant(write_raster, f"{value}.tif", value) for value in (3, 4)]
    with reader(grid, TWO, *paths) as opened:
        block = opened.read(grid.window)
    assert block.values[:, 5, 5].tolist() == [3, 4]
    assert block.origin is None


def test_files_of_all_bands_are_a_mosaic_in_the_order_given(write_raster: Write, grid: Grid) -> None:
    west = constant(write_raster, "west.tif", 1, 2, cols=slice(0, 30))
    east = constant(write_raster, "east.tif", 3, 4, cols=slice(20, 45))
    for first, second, numbers in ((west, east, (1, 3)), (east, west, (3, 1))):
        with reader(grid, TWO, first, second) as opened:
            block = opened.read(grid.window)
            assert str(first) in opened.notes[0]
        assert block.origin is not None
        left, seam, right, none = block.values[0, 7, [10, 25, 40, 47]].tolist()
        assert (left, seam, right) == (1, numbers[0], 3)
        assert none == 0
        own = {1: 1, 3: 2} if numbers[0] == 1 else {3: 1, 1: 2}
        assert block.origin[7, [10, 25, 40, 47]].tolist() == [own[1], 1, own[3], 0]
        np.testing.assert_array_equal(block.valid, block.origin > 0)


def test_a_mosaic_of_stacks_is_given_raster_after_raster(write_raster: Write, grid: Grid) -> None:
    """Its pixels are never mixed: where one band of the first raster is invalid, both come from the second."""
    first = [
        constant(write_raster, "a1.tif", 1, cols=slice(0, 30)),
        constant(write_raster, "a2.tif", 2, cols=slice(10, 40)),
    ]
    second = [constant(write_raster, f"b{value}.tif", value) for value in (3, 4)]
    with reader(grid, TWO, *first, *second) as opened:
        block = opened.read(grid.window)
    assert block.values[:, 3, [5, 20, 35]].T.tolist() == [[3, 4], [1, 2], [3, 4]]


def test_numbers_of_bands_that_do_not_come_out_are_explained(write_raster: Write, grid: Grid) -> None:
    paths = [constant(write_raster, "a.tif", 1, 2), constant(write_raster, "b.tif", 3)]
    with pytest.raises(BandError, match=r"takes 2 bands \(VV, VH\).*a\.tif gives 2.*b\.tif gives 1.*mosaic"):
        reader(grid, TWO, *paths)


def test_the_finest_comes_first_on_request(write_raster: Write, grid: Grid) -> None:
    one = Modality("dem", ("height",))
    coarse = constant(write_raster, "coarse.tif", 1, pixel=5)
    fine = constant(write_raster, "fine.tif", 2, cols=slice(0, 20), pixel=0.5)
    with reader(grid, one, coarse, fine, order="finest") as opened:
        block = opened.read(grid.window)
        assert [Path(name).name for name in opened.origins] == ["fine.tif", "coarse.tif"]
    assert block.values[0, 20, [3, 30]].tolist() == [2, 1]


def test_the_newest_comes_first_on_request(write_raster: Write, grid: Grid) -> None:
    one = Modality("dem", ("height",))
    old = constant(write_raster, "T31UFS_20230601T105031.tif", 1)
    new = constant(write_raster, "T31UFS_20240601T105031.tif", 2, cols=slice(0, 20))
    with reader(grid, one, old, new, order="newest") as opened:
        assert opened.read(grid.window).values[0, 20, [3, 30]].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("S2B_MSIL2A_20240601T105031_N0510_R051_T31UFS_20240601T140312.SAFE/B02.tif", datetime(2024, 6, 1, 10, 50, 31)),
        ("LC08_L2SP_193026_20210602_20210608_02_T1_SR_B4.TIF", datetime(2021, 6, 2)),
        ("mosaic_2019-03-04.tif", datetime(2019, 3, 4)),
        ("20249912_20240102.tif", datetime(2024, 1, 2)),
    ],
)
def test_the_time_of_an_acquisition_stands_in_the_name(
    write_raster: Write, tmp_path: Path, name: str, moment: datetime
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    path = write_raster(name, np.ones((1, 4, 5), "uint8"))
    with open_source(SourceSpec(str(path))) as source:
        assert acquired(source) == moment


def test_metadata_say_better_than_the_name_when_a_raster_was_taken(write_raster: Write) -> None:
    path = write_raster("download_20250101.tif", np.ones((1, 4, 5), "uint8"))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2024-06-01 10:50:31")
    with open_source(SourceSpec(str(path))) as source:
        assert acquired(source) == datetime(2024, 6, 1, 10, 50, 31)


def test_rasters_without_a_date_cannot_be_put_in_order_by_it(write_raster: Write, grid: Grid) -> None:
    one = Modality("dem", ("height",))
    paths = [constant(write_raster, f"{name}.tif", 1) for name in "ab"]
    with pytest.raises(BandError, match=r"a\.tif: neither its metadata nor its name says when"):
        reader(grid, one, *paths, order="newest")
