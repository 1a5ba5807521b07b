"""Where pixels are valid: whatever a raster says of it, alone or together, as it lies or warped."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from engine.grid import Grid, Window
from engine.raster.alignment import AlignedReader, Block
from engine.raster.sources import SourceSpec

Write = Callable[..., Path]

SHIFT = 0.7
"""Of the grid's pixels to the raster's, for rasters that are warped: four pixels weigh in each."""


def read(path: Path, grid: Grid, *bands: str, window: Window | None = None, **options: bool) -> Block:
    with AlignedReader([SourceSpec(str(path), bands)], grid, **options) as reader:  # type: ignore[arg-type]
        return reader.read(window or grid.window)


def placed(grid: Grid, shift: float) -> Affine:
    """The transform of a raster whose pixel (0, 0) begins ``shift`` of a pixel before the grid's."""
    return grid.transform @ Affine.translation(-shift, -shift)


def expected(valid: NDArray[np.bool_] | list[NDArray[np.bool_]], grid: Grid, shift: float) -> NDArray[np.bool_]:
    """Validity on the grid, of that of each band on the raster.

    With a shift of .7 the centre of grid pixel r lies at r + 1.2 of the raster, in its pixel r + 1, between the centres
    of pixels r and r + 1: any valid one of these gives a band a value. The pixel that holds the centre must be valid in
    some band.
    """
    bands = valid if isinstance(valid, list) else [valid]
    found = np.logical_and.reduce(bands)
    if shift:
        reached = [one[:-1, :-1] | one[1:, :-1] | one[:-1, 1:] | one[1:, 1:] for one in bands]
        found = np.logical_and.reduce(reached) & np.logical_or.reduce(bands)[1:, 1:]
    return np.pad(found, ((0, grid.height - found.shape[0]), (0, grid.width - found.shape[1])))


def with_own_nodata(path: Path, numbers: list[float | None]) -> Path:
    """A VRT of a raster whose bands have nodata values of their own."""
    with rasterio.open(path) as source:
        kind = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "float32": "Float32"}[source.dtypes[0]]
        head = f'<VRTDataset rasterXSize="{source.width}" rasterYSize="{source.height}"><SRS>{source.crs}</SRS>'
        head += f"<GeoTransform>{', '.join(map(repr, source.transform.to_gdal()))}</GeoTransform>"
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{band}">'
        + ("" if number is None else f"<NoDataValue>{number}</NoDataValue>")
        + f'<SimpleSource><SourceFilename relativeToVRT="1">{path.name}</SourceFilename><SourceBand>{band}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for band, number in enumerate(numbers, 1)
    )
    target = path.with_suffix(".vrt")
    target.write_text(f"{head}{bands}</VRTDataset>")
    return target


@pytest.mark.parametrize("shift", [0, SHIFT], ids=["direct", "warped"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 12])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_a_source_is_nowhere_where_it_does_not_reach(
    write_raster: Write, grid: Grid, dtype: str, count: int, shift: float
) -> None:
    path = write_raster("half.tif", np.ones((count, 40, 25), dtype), transform=placed(grid, shift))
    block = read(path, grid)
    np.testing.assert_array_equal(block.valid, expected(np.ones((40, 25), dtype=bool), grid, shift))
    assert (block.values[:, block.valid] == 1).all()


@pytest.mark.parametrize("shift", [0, SHIFT], ids=["direct", "warped"])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("first", [-9999, None], ids=["all declare", "the first does not"])
def test_each_band_has_its_own_nodata(
    write_raster: Write, grid: Grid, dtype: str, first: float | None, shift: float
) -> None:
    values = np.full((3, 40, 50), 7, dtype)
    values[0, :10], values[1, 10:20], values[2, 20:30] = -9999, -32768, 99
    path = with_own_nodata(write_raster("a.tif", values, transform=placed(grid, shift)), [first, -32768, 99])
    rows = np.arange(40)[:, None] + np.zeros((1, 50))
    valid = [(rows >= 10) | (first is None), (rows < 10) | (rows >= 20), (rows < 20) | (rows >= 30)]
    block = read(path, grid)
    np.testing.assert_array_equal(block.valid, expected(valid, grid, shift))
    assert set(np.unique(block.values[1:, block.valid])) == {7}


@pytest.mark.parametrize("shift", [0, SHIFT], ids=["direct", "warped"])
@pytest.mark.parametrize("place", [0, 1, -1], ids=["first", "second", "last"])
@pytest.mark.parametrize("count", [1, 2, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_an_alpha_band_is_found_by_its_colour_interpretation(
    write_raster: Write, grid: Grid, dtype: str, count: int, place: int, shift: float
) -> None:
    alpha = np.full((40, 50), 255, dtype)
    alpha[:10], alpha[10:20] = 0, 1  # hidden, and all but transparent
    bands = [np.full((40, 50), 9, dtype) for _ in range(count)]
    bands.insert(place if place >= 0 else count, alpha)
    path = write_raster("a.tif", np.stack(bands), transform=placed(grid, shift))
    kinds = [ColorInterp.gray] + [ColorInterp.undefined] * count
    kinds[place] = ColorInterp.alpha
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = kinds
    block = read(path, grid)
    assert len(block.values) == count
    np.testing.assert_array_equal(block.valid, expected(alpha > 0, grid, shift))
    assert (block.values[:, block.valid] == 9).all()  # half-transparent pixels are not blended


def test_an_alpha_band_that_is_chosen_is_data(write_raster: Write, grid: Grid) -> None:
    values = np.zeros((4, 40, 50), "uint8")
    path = write_raster("a.tif", values)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    assert not read(path, grid).valid.any()
    assert read(path, grid, "1", "2", "3", "4").valid.all()


@pytest.mark.parametrize("shift", [0, SHIFT], ids=["direct", "warped"])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("outside_file", [False, True], ids=["internal", "msk"])
def test_nodata_and_mask_hide_together(
    write_raster: Write, grid: Grid, dtype: str, outside_file: bool, shift: float
) -> None:
    values = np.full((2, 40, 50), 3, dtype)
    values[1, :10] = 0
    mask = np.ones((40, 50), dtype=bool)
    mask[5:20, 5:30] = False
    path = write_raster("a.tif", values, transform=placed(grid, shift), nodata=0)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=not outside_file), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)
    block = read(path, grid)
    np.testing.assert_array_equal(block.valid, expected([mask, mask & (values[1] != 0)], grid, shift))
    assert (block.values[:, block.valid] == 3).all()


@pytest.mark.parametrize("shift", [0, SHIFT], ids=["direct", "warped"])
def test_alpha_and_mask_and_nodata_hide_together(write_raster: Write, grid: Grid, shift: float) -> None:
    values = np.full((3, 40, 50), 8, "uint8")
    values[0, :, :5] = 0
    values[2] = 255
    values[2, :, 5:10] = 0
    mask = np.ones((40, 50), dtype=bool)
    mask[:, 10:15] = False
    path = write_raster("a.tif", values, transform=placed(grid, shift))
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = (ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha)
        dataset.write_mask(mask)
    path = with_nodata(path, 0)
    shown = mask & (values[2] != 0)
    valid = [shown & (values[0] != 0), shown]
    np.testing.assert_array_equal(read(path, grid).valid, expected(valid, grid, shift))


def with_nodata(path: Path, number: float) -> Path:
    with rasterio.open(path, "r+") as dataset:
        dataset.nodata = number
    return path


@pytest.mark.parametrize("shift", [0, SHIFT], ids=["direct", "warped"])
@pytest.mark.parametrize(
    ("dtype", "nodata", "hidden"),
    [
        ("uint8", -9999, None),
        ("uint8", 255.5, None),
        ("float32", float("nan"), float("nan")),
        ("float32", -3.4028234663852886e38, -3.4028234663852886e38),
        ("float32", -1.7976931348623157e308, None),
        ("float64", -1.7976931348623157e308, -1.7976931348623157e308),
    ],
)
def test_a_nodata_value_is_compared_as_the_data_type_holds_it(
    write_raster: Write, grid: Grid, dtype: str, nodata: float, hidden: float | None, shift: float
) -> None:
    values = np.ones((2, 40, 50), dtype)
    if hidden is not None:
        values[1, 8:20] = hidden
    written = write_raster("a.tif", values, transform=placed(grid, shift))
    path = with_nodata(written, nodata) if dtype == "float64" else with_own_nodata(written, [nodata, nodata])
    valid = [np.ones((40, 50), dtype=bool), np.isfinite(values[1]) & (values[1] == 1)]
    np.testing.assert_array_equal(read(path, grid).valid, expected(valid, grid, shift))


@pytest.mark.parametrize("shift", [0, SHIFT], ids=["direct", "warped"])
@pytest.mark.parametrize("nodata", [None, -1], ids=["no nodata", "nodata"])
def test_not_a_number_is_kept_out_of_the_kernel(
    write_raster: Write, grid: Grid, nodata: float | None, shift: float
) -> None:
    values = np.full((2, 40, 50), 6, "float32")
    values[0, 10:14, 20:24] = np.nan
    path = write_raster("a.tif", values, transform=placed(grid, shift), nodata=nodata)
    block = read(path, grid)
    np.testing.assert_array_equal(block.valid, expected([np.isfinite(one) for one in values], grid, shift))
    assert (block.values[:, block.valid] == 6).all()


def test_each_band_is_resampled_from_what_is_valid_in_it(write_raster: Write, grid: Grid) -> None:
    values = np.full((2, 40, 50), 10, "uint16")
    values[0, 10:], values[1, 10:] = 0, 20
    block = read(write_raster("a.tif", values, transform=placed(grid, SHIFT), nodata=0), grid)
    # grid row 9 weighs row 9 of the raster by .3 and row 10 by .7
    assert block.values[:, 9, 5].tolist() == [10, 17]
    assert block.valid[9, 5]
    assert not block.valid[10, 5]


@pytest.mark.parametrize("shift", [0, SHIFT], ids=["direct", "warped"])
def test_stored_values_are_read_whatever_hides_them(write_raster: Write, grid: Grid, shift: float) -> None:
    values = np.zeros((1, 40, 25), "uint8")
    path = write_raster("scl.tif", values, transform=placed(grid, shift), nodata=0)
    block = read(path, grid, stored=True)
    np.testing.assert_array_equal(block.valid, expected(np.ones((40, 25), dtype=bool), grid, shift))


def test_the_answer_of_a_pixel_does_not_depend_on_the_window(write_raster: Write, grid: Grid) -> None:
    rng = np.random.default_rng(5)
    values = rng.integers(0, 4, (5, 45, 55)).astype("int16")
    values[4] = rng.integers(0, 2, (45, 55)) * 255
    path = write_raster("a.tif", values, transform=placed(grid, 2.7))
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.gray, *[ColorInterp.undefined] * 3, ColorInterp.alpha]
    whole = read(path, grid)
    assert 0.2 < whole.valid.mean() < 1
    for window in (Window(0, 0, 1, 1), Window(3, 7, 11, 9), Window(17, 20, 23, 30)):
        part = read(path, grid, window=window)
        place = window.within(grid.window)
        np.testing.assert_array_equal(part.valid, whole.valid[place])
        np.testing.assert_array_equal(part.values[:, part.valid], whole.values[(slice(None), *place)][:, part.valid])
