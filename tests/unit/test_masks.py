"""Masks: what a quality layer or a polygon makes invalid."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from engine.errors import BandError, RasterReadError
from engine.grid import Grid, Window
from engine.raster.alignment import AlignedReader
from engine.raster.masks import MaskSpec, PolygonMask, open_mask
from engine.raster.sources import SourceSpec

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "path", "bands", "kind", "numbers"),
    [
        ("scl.tif:values=3,8", "scl.tif", (), "values", (3, 8)),
        ("qa.tif@2:bits=1", "qa.tif", ("2",), "bits", (1,)),
        ("a:b/scl.tif:scl", "a:b/scl.tif", (), "values", (0, 1, 3, 8, 9, 10)),
        ('NETCDF:"x.nc":QA@1:qa_pixel', 'NETCDF:"x.nc":QA', ("1",), "bits", (0, 1, 2, 3, 4)),
        ("C:\\data\\clouds.gpkg", "C:\\data\\clouds.gpkg", (), "polygons", ()),
    ],
)
def test_masks_are_named(text: str, path: str, bands: tuple[str, ...], kind: str, numbers: tuple[int, ...]) -> None:
    assert MaskSpec.parse(text) == MaskSpec(SourceSpec(path, bands), kind, numbers)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(BandError, match="fmask is none of scl, qa_pixel"):
        MaskSpec.parse("qa.tif:fmask")


def read(text: str, grid: Grid, window: Window | None = None) -> np.ndarray:
    mask = open_mask(MaskSpec.parse(text), grid)
    found = mask.read(window or grid.window)
    mask.close()
    return found


def test_values_and_bits_are_masked(write_raster: Write, grid: Grid) -> None:
    values = np.arange(40 * 50, dtype="uint16").reshape(1, 40, 50)
    path = write_raster("qa.tif", values)
    np.testing.assert_array_equal(read(f"{path}:values=3,77,1999", grid), np.isin(values[0], (3, 77, 1999)))
    expected = (values[0] // 2 % 2 == 1) | (values[0] // 16 % 2 == 1)
    np.testing.assert_array_equal(read(f"{path}:bits=1,4", grid), expected)
    window = Window(35, 45, 10, 10)
    inside = read(f"{path}:bits=1,4", grid, window)
    np.testing.assert_array_equal(inside[:5, :5], expected[35:, 45:])
    assert not inside[5:].any(), "beyond the quality layer nothing is masked"


def test_a_coarse_quality_layer_in_another_crs_masks_whole_pixels(write_raster: Write, grid: Grid) -> None:
    values = np.zeros((1, 20, 25), "uint8")
    values[0, 5:8, 10:12] = 9
    path = write_raster("scl.tif", values, transform=Affine(20, 0, 1000, 0, -20, 5000))
    np.testing.assert_array_equal(read(f"{path}:values=9", grid), np.kron(values[0] == 9, np.ones((2, 2), bool)))


@pytest.mark.parametrize(
    ("values", "rule", "message"),
    [
        (np.zeros((2, 40, 50), "uint8"), "bits=1", "has 2 bands; choose one with @1"),
        (np.zeros((1, 40, 50), "float32"), "bits=1", "bits are those of whole numbers"),
        (np.zeros((1, 40, 50), "uint8"), "bits=8", "has no bit 8; the lowest is 0"),
    ],
)
def test_what_is_no_mask_is_refused(
    write_raster: Write, grid: Grid, values: np.ndarray, rule: str, message: str
) -> None:
    with pytest.raises(BandError, match=message):
        open_mask(MaskSpec.parse(f"{write_raster('qa.tif', values)}:{rule}"), grid)


def test_polygons_mask_the_pixels_whose_centres_they_hold(tmp_path: Path, grid: Grid) -> None:
    geopandas = pytest.importorskip("geopandas")
    from shapely.geometry import box

    shape = box(1000 + 14, 5000 - 36, 1000 + 26, 5000 - 4)  # columns 1.4 to 2.6, rows 0.4 to 3.6
    frame = geopandas.GeoDataFrame(geometry=[shape], crs="EPSG:32631")
    frame.to_crs("EPSG:3857").to_file(tmp_path / "clouds.gpkg")
    expected = np.zeros((40, 50), dtype=bool)
    expected[0:4, 1:3] = True
    np.testing.assert_array_equal(read(str(tmp_path / "clouds.gpkg"), grid), expected)
    around = PolygonMask(str(tmp_path / "clouds.gpkg"), grid).window
    assert around is not None
    assert (around & grid.window) == Window(0, 1, 4, 2)


def test_a_missing_vector_file_is_named(grid: Grid) -> None:
    with pytest.raises(RasterReadError, match=r"nowhere\.gpkg: cannot be read as a vector file"):
        open_mask(MaskSpec.parse("nowhere.gpkg"), grid)


def test_a_masked_reader_is_invalid_where_any_mask_says_so(write_raster: Write, grid: Grid) -> None:
    values = np.ones((1, 40, 50), "uint8")
    clouds, shadows = np.zeros((2, 1, 40, 50), "uint8")
    clouds[0, 3:6] = 1
    shadows[0, :, 7] = 4
    masks = [
        open_mask(MaskSpec.parse(f"{write_raster('clouds.tif', clouds)}:values=1"), grid),
        open_mask(MaskSpec.parse(f"{write_raster('shadows.tif', shadows)}:bits=2"), grid),
    ]
    with AlignedReader([SourceSpec(str(write_raster("values.tif", values)))], grid, masks={0: masks}) as reader:
        block = reader.read(grid.window)
    np.testing.assert_array_equal(block.valid, (clouds[0] == 0) & (shadows[0] == 0))
