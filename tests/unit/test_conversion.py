"""Scale and offset: what sources declare, what users say, and what becomes of the numbers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from engine.errors import BandError
from engine.grid import Grid
from engine.modality import LinearScale, Modality
from engine.raster.alignment import AlignedReader, Block
from engine.raster.sources import SourceSpec, open_source

Write = Callable[..., Path]


def declare(path: Path, *scales: LinearScale) -> Path:
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = zip(*scales, strict=True)
    return path


def read(text: str, grid: Grid, dtype: str, *scales: LinearScale) -> tuple[Block, tuple[str, ...]]:
    modality = Modality("a", tuple(f"b{number}" for number in range(len(scales))), dtype, scales=scales)
    with AlignedReader([SourceSpec.parse(text)], grid, modality) as reader:
        return reader.read(grid.window), reader.notes


def numbers(low: int, high: int, dtype: str, count: int = 1) -> NDArray[np.generic]:
    return np.random.default_rng(1).integers(low, high, (count, 40, 50)).astype(dtype)


@pytest.mark.parametrize(
    ("text", "scale", "offset", "rest"),
    [
        ("a.tif:scale=0.0001", (0.0001,), (), "a.tif"),
        ("a.tif@1,2:scale=1,10:offset=-1000", (1, 10), (-1000,), "a.tif@1,2"),
        ("a.tif:offset=-0.2:scale=2.75e-05", (2.75e-05,), (-0.2,), "a.tif"),
        ('NETCDF:"a.nc":t2m:offset=-273.15', (), (-273.15,), 'NETCDF:"a.nc":t2m'),
    ],
)
def test_scale_and_offset_are_keys_behind_a_source(
    text: str, scale: tuple[float, ...], offset: tuple[float, ...], rest: str
) -> None:
    spec = SourceSpec.parse(text)
    assert (spec.scale, spec.offset) == (scale, offset)
    assert str(SourceSpec(spec.path, spec.bands)) == rest
    assert SourceSpec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.tif:scale=ten", "scale is a number"),
        ("a.tif:scale=0", "scale of 0"),
        ("a.tif:offset=inf", "finite"),
        ("a.tif:scale=1:scale=2", "stands there twice"),
    ],
)
def test_impossible_scales_are_refused(text: str, message: str) -> None:
    with pytest.raises(BandError, match=message):
        SourceSpec.parse(text)


def test_a_file_of_that_name_is_a_file(write_raster: Write) -> None:
    path = write_raster("a:scale=2", np.ones((1, 4, 5), "uint8"))
    assert SourceSpec.parse(str(path)) == SourceSpec(str(path))
    assert SourceSpec.parse(path.name, path.parent) == SourceSpec(path.name)


def test_as_many_scales_as_bands_or_one(write_raster: Write) -> None:
    path = write_raster("a.tif", np.ones((3, 4, 5), "uint8"))
    with pytest.raises(BandError, match="2 values of scale for 3 bands"):
        open_source(SourceSpec(str(path), scale=(1, 2)))
    with open_source(SourceSpec(str(path), scale=(2,), offset=(1, 2, 3))) as source:
        assert source.declared == ((2, 1), (2, 2), (2, 3))


def test_a_declared_offset_is_taken_off(write_raster: Write, grid: Grid) -> None:
    plain = numbers(1, 9000, "uint16", 2)
    path = declare(write_raster("a.tif", plain + np.uint16(1000), nodata=0), (1, -1000), (1, -1000))
    block, notes = read(str(path), grid, "uint16", (1, 0), (1, 0))
    np.testing.assert_array_equal(block.values, plain)
    assert "scale 1 and offset -1000" in notes[0]
    assert "x 1 - 1000" in notes[0]


def test_packed_numbers_become_physical_values(write_raster: Write, grid: Grid) -> None:
    stored = numbers(-500, 30000, "int16")
    path = declare(write_raster("a.tif", stored, nodata=-32768), (0.1, 5))
    block, _ = read(str(path), grid, "float32", (1, 0))
    np.testing.assert_allclose(block.values, stored * np.float64(0.1) + 5, rtol=1e-6)


def test_numbers_of_the_training_are_left_as_they_are(write_raster: Write, grid: Grid) -> None:
    stored = numbers(0, 9000, "uint16")
    path = declare(write_raster("a.tif", stored), (2.75e-05, -0.2))
    block, notes = read(str(path), grid, "uint16", (2.75e-05, -0.2))
    np.testing.assert_array_equal(block.values, stored)
    assert not notes


def test_physical_values_become_the_numbers_of_the_training(write_raster: Write, grid: Grid) -> None:
    stored = numbers(0, 9000, "uint16")
    path = write_raster("a.tif", (stored * 2.75e-05 - 0.2).astype("float32"))
    block, _ = read(f"{path}:scale=1:offset=0", grid, "uint16", (2.75e-05, -0.2))
    np.testing.assert_array_equal(block.values, stored)


def test_numbers_beyond_the_data_type_are_cut_off(write_raster: Write, grid: Grid) -> None:
    path = declare(write_raster("a.tif", np.full((1, 40, 50), 400, "uint16")), (1, -1000))
    block, notes = read(str(path), grid, "uint16", (1, 0))
    assert (block.values == 0).all()
    assert "cut off at the limits of uint16" in notes[0]


def test_what_cannot_be_converted_is_refused_with_the_numbers(write_raster: Write, grid: Grid) -> None:
    path = declare(write_raster("a.tif", numbers(0, 9000, "uint16")), (0.0001, 0))
    with pytest.raises(
        BandError, match=r"scale 0\.0001 and offset 0, the training's sources scale 1 and offset 0.*lose"
    ):
        read(str(path), grid, "uint16", (1, 0))


def test_a_source_that_says_nothing_is_asked_about_where_the_training_knew(write_raster: Write, grid: Grid) -> None:
    path = write_raster("a.tif", numbers(0, 9000, "uint16"))
    with pytest.raises(BandError, match=r"says nothing.*:scale=2\.75e-05:offset=-0\.2 .*:scale=1:offset=0"):
        read(str(path), grid, "uint16", (2.75e-05, -0.2))


def test_invalid_pixels_are_those_of_the_stored_numbers(write_raster: Write, grid: Grid) -> None:
    stored = numbers(1, 9000, "uint16")
    stored[0, :10] = 0
    path = declare(write_raster("a.tif", stored, nodata=0), (0.1, 0))
    block, _ = read(str(path), grid, "float32", (1, 0))
    np.testing.assert_array_equal(block.valid, stored[0] != 0)
