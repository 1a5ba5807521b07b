"""Masks: what a quality layer or a polygon makes invalid."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from engine.errors import BandError, RasterReadError
from engine.grid import Grid, Window
from engine.modality import Modality
from engine.raster.alignment import AlignedReader
from engine.raster.masks import MaskSpec, PolygonMask, open_mask, open_modality, parse_masks
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


@pytest.mark.parametrize("nodata", [None, 0, 4], ids=["none", "the masked value", "another"])
@pytest.mark.parametrize("shift", [0.0, 0.3], ids=["direct", "warped"])
def test_a_rule_acts_on_what_is_stored_whatever_the_mask_calls_nodata(
    write_raster: Write, grid: Grid, nodata: float | None, shift: float
) -> None:
    scl = np.full((1, 40, 50), 4, "uint8")
    scl[:, :, :20] = 0
    path = write_raster("scl.tif", scl, nodata=nodata, transform=grid.transform @ Affine.translation(-shift, -shift))
    np.testing.assert_array_equal(read(f"{path}:scl", grid)[:, :49], scl[0, :, :49] == 0)


def test_beyond_a_mask_nothing_is_masked_which_is_said_or_all_is(write_raster: Write, grid: Grid) -> None:
    path = write_raster("scl.tif", np.full((1, 40, 25), 4, "uint8"))
    mask = open_mask(MaskSpec.parse(f"{path}:scl"), grid)
    assert not mask.read(grid.window).any()
    assert "reaches 50.0% of the pixels" in mask.warnings(grid.window)[0]
    assert not mask.warnings(Window(0, 0, 40, 25))
    mask.close()
    beyond = open_mask(MaskSpec.parse(f"{path}:scl:outside"), grid)
    np.testing.assert_array_equal(beyond.read(grid.window), np.arange(50) >= np.full((40, 1), 25))
    assert not beyond.warnings(grid.window)
    beyond.close()


def test_values_in_all_bands_of_an_image_are_masked(write_raster: Write, grid: Grid) -> None:
    image = np.ones((3, 40, 50), "uint16")
    image[:, :10] = 0
    image[0, 10:20] = 0  # dark in one band alone
    masked = read(f"{write_raster('image.tif', image)}:values=0", grid)
    np.testing.assert_array_equal(masked, np.broadcast_to(np.arange(40)[:, None] < 10, (40, 50)))


def test_values_may_be_negative_or_fractions(write_raster: Write, grid: Grid) -> None:
    values = np.zeros((1, 40, 50), "float32")
    values[0, 3], values[0, 5] = -9999, 0.5
    masked = read(f"{write_raster('a.tif', values)}:values=-9999,0.5", grid)
    assert np.flatnonzero(masked.all(axis=1)).tolist() == [3, 5]


def test_a_mask_may_be_for_one_raster_of_a_mosaic(write_raster: Write, grid: Grid) -> None:
    """Under the clouds of the first date the second one is taken."""
    clouds = np.zeros((1, 40, 50), "uint8")
    clouds[0, :, 30:] = 9
    rasters = [write_raster(f"{value}.tif", np.full((1, 40, 50), value, "uint8")) for value in (1, 2)]
    text = f"{write_raster('clouds.tif', clouds)}:values=9"
    band = Modality("a", ("b",), "uint8")
    specs = [SourceSpec(str(path)) for path in rasters]
    for name, expected in (("a:1", (1, 2)), ("a:2", (1, 1)), ("a", (1, 0))):
        masks = parse_masks([(name, text)])["a"]
        with open_modality(specs, masks, grid, band, "given") as reader:
            block = reader.read(grid.window)
        assert tuple(np.where(block.valid, block.values[0], 0)[5, [10, 40]]) == expected
    with pytest.raises(BandError, match="raster 3 of a mosaic, but there are 2"):
        open_modality(specs, parse_masks([("a:3", text)])["a"], grid, band, "given")
    with pytest.raises(BandError, match="'x' is no number of a raster"):
        parse_masks([("a:x", text)])


def test_points_are_no_area(tmp_path: Path, grid: Grid) -> None:
    geopandas = pytest.importorskip("geopandas")
    from shapely.geometry import Point

    geopandas.GeoDataFrame(geometry=[Point(1100, 4900)], crs=32631).to_file(tmp_path / "points.gpkg")
    with pytest.raises(RasterReadError, match=r"points\.gpkg: holds Point, which have no area"):
        open_mask(MaskSpec.parse(str(tmp_path / "points.gpkg")), grid)
