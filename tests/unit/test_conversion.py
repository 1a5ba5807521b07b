"""Scale and offset: what sources declare, what users say, and what becomes of the numbers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from engine.errors import BandError
from engine.grid import Grid
from engine.modality import BandStatistics, LinearScale, Modality
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


def trained(dtype: str = "uint16", unit: str = "", mean: float = 800, std: float = 400) -> Modality:
    """A sensor of two bands whose training sources said nothing of their scale."""
    bands = (BandStatistics(mean, std, 1, mean + 8 * std),) * 2
    return Modality("optical", ("red", "nir"), dtype, unit, bands, ((1.0, 0.0),) * 2)


def taken(text: str, grid: Grid, modality: Modality) -> tuple[Block, tuple[str, ...], tuple[str, ...]]:
    with AlignedReader([SourceSpec.parse(text)], grid, modality) as reader:
        return reader.read(grid.window), reader.notes, reader.warnings(grid.window)


def reflectance() -> NDArray[np.float64]:
    """Of two bands, a mean of 0.08 and a deviation of 0.04."""
    return np.clip(np.random.default_rng(3).normal(0.08, 0.04, (2, 40, 50)), 0.001, None)


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


SENTINEL, LANDSAT = (1e-4, -0.1), (2.75e-5, -0.2)


def packed(write: Write, scale: LinearScale) -> tuple[Path, NDArray[np.float64]]:
    """A product's file that declares what its numbers mean, and these numbers."""
    stored = np.rint((reflectance() - scale[1]) / scale[0])
    return declare(write("a.tif", stored.astype("uint16")), scale, scale), stored


@pytest.mark.parametrize(("scale", "factor", "term"), [(SENTINEL, 1, -1000), (LANDSAT, 0.275, -2000)])
def test_a_unit_that_names_its_factor_is_converted_to(
    write_raster: Write, grid: Grid, scale: LinearScale, factor: float, term: float
) -> None:
    path, stored = packed(write_raster, scale)
    block, notes, warned = taken(str(path), grid, trained(unit="reflectance x 10000"))
    np.testing.assert_array_equal(block.values, np.rint(stored * factor + term))
    assert f"the training's numbers are reflectance x 10000; converted (x {factor} - {-term}" in notes[0]
    assert not warned


@pytest.mark.parametrize("brightness", [0.2, 10])
def test_dark_water_and_snow_are_of_the_same_unit(write_raster: Write, grid: Grid, brightness: float) -> None:
    stored = np.rint(reflectance() * brightness * 10_000 + 1000)
    path = declare(write_raster("a.tif", stored.astype("uint16")), SENTINEL, SENTINEL)
    block, _, _ = taken(str(path), grid, trained(unit="reflectance x 10000"))
    np.testing.assert_array_equal(block.values, stored - 1000)


@pytest.mark.parametrize(("scale", "keys"), [(SENTINEL, "scale=1:offset=-1000"), (LANDSAT, "scale=0.275:offset=-2000")])
def test_where_the_unit_does_not_say_the_likely_command_is_printed_and_works(
    write_raster: Write, grid: Grid, scale: LinearScale, keys: str
) -> None:
    path, stored = packed(write_raster, scale)
    with pytest.raises(BandError) as error:
        taken(str(path), grid, trained(unit="digital numbers"))
    command = str(error.value).partition("; write ")[2]
    assert command == f"optical={path}:{keys}"
    block, _, _ = taken(command.partition("=")[2], grid, trained(unit="digital numbers"))
    factor, term = {SENTINEL: (1, -1000), LANDSAT: (0.275, -2000)}[scale]
    np.testing.assert_array_equal(block.values, np.rint(stored * factor + term))


def test_the_command_names_all_files_of_a_sensor(write_raster: Write, grid: Grid) -> None:
    stored = np.rint(reflectance() * 10_000 + 1000).astype("uint16")
    paths = [declare(write_raster(f"{name}.tif", stored[[band]]), SENTINEL) for band, name in enumerate("ab")]
    with pytest.raises(BandError) as error, AlignedReader([SourceSpec(str(one)) for one in paths], grid, trained()):
        pass
    every = " ".join(f"optical={one}:scale=1:offset=-1000" for one in paths)
    assert str(error.value).endswith(f"; write {every}")


def test_numbers_as_they_are_stored_are_proposed_where_those_are_like_the_training(
    write_raster: Write, grid: Grid
) -> None:
    path, stored = packed(write_raster, SENTINEL)
    modality = trained(unit="reflectance x 10000", mean=1800)  # trained with 1000 more, which nobody declared
    with pytest.raises(BandError) as error:
        taken(str(path), grid, modality)
    command = str(error.value).partition("; write ")[2]
    assert command == f"optical={path}:scale=1:offset=0"
    np.testing.assert_array_equal(taken(command.partition("=")[2], grid, modality)[0].values, stored)


def test_undeclared_reflectance_is_refused_with_the_scale(write_raster: Write, grid: Grid) -> None:
    values = reflectance().astype("float32")
    path = write_raster("a.tif", values)
    with pytest.raises(BandError, match=rf"write optical={path}:scale=10000; :scale=1 "):
        taken(str(path), grid, trained())
    block, notes, _ = taken(f"{path}:scale=10000", grid, trained())
    np.testing.assert_array_equal(block.values, np.rint(values.astype(float) * 10_000))
    assert "rounded to whole numbers, less than 1/20 of a deviation" in notes[0]


@pytest.mark.parametrize(("std", "refused"), [(19.9, True), (20, False)])
def test_numbers_are_rounded_where_a_step_is_a_twentieth_of_the_deviation(
    write_raster: Write, grid: Grid, std: float, refused: bool
) -> None:
    values = np.random.default_rng(4).normal(800, std, (2, 40, 50)).astype("float32")
    path = write_raster("a.tif", values)
    if refused:
        with pytest.raises(BandError, match=r"lose what lies between: a step is more than 1/20"):
            taken(str(path), grid, trained(std=std))
    else:
        np.testing.assert_array_equal(taken(str(path), grid, trained(std=std))[0].values, np.rint(values))


@pytest.mark.parametrize(("dtype", "nodata"), [("int16", -9999), ("int32", -9999), ("float32", np.nan)])
def test_whole_numbers_of_another_type_are_taken_and_nodata_stays_out(
    write_raster: Write, grid: Grid, dtype: str, nodata: float
) -> None:
    stored = numbers(1, 3000, "float64", 2)
    stored[:, :7] = nodata
    block, notes, warned = taken(
        str(write_raster("a.tif", stored.astype(dtype), nodata=nodata)), grid, trained(std=5, mean=1500)
    )
    np.testing.assert_array_equal(block.valid, np.arange(40)[:, None].repeat(50, 1) >= 7)
    np.testing.assert_array_equal(block.values[:, 7:], stored[:, 7:])
    assert f"is {dtype}, the model takes uint16" in notes[0]
    assert not warned


def test_values_beyond_the_type_are_cut_off_and_told_from_one_per_cent(write_raster: Write, grid: Grid) -> None:
    for rows, told in ((0, False), (2, True)):  # a fortieth of the pixels for each row
        stored = numbers(1, 3000, "int16", 2)
        stored[:, :rows] = numbers(-90, -10, "int16", 2)[:, :rows]
        block, notes, warned = taken(str(write_raster(f"{rows}.tif", stored)), grid, trained())
        np.testing.assert_array_equal(block.values, np.maximum(stored, 0))
        assert block.valid.all()
        assert ("5.00% of a sample lie beyond 0 to 65535" in notes[0]) == told
        assert [text.partition(": ")[2].partition(",")[0] for text in warned] == (
            ["5% of its pixels have values that uint16 does not hold"] if told else []
        )


def test_values_that_mostly_do_not_fit_are_refused(write_raster: Write, grid: Grid) -> None:
    path = write_raster("a.tif", numbers(70_001, 75_000, "int32", 2))
    with pytest.raises(BandError, match=r"100% of its pixels have values that do not fit, from 7\d{4} to 7\d{4}"):
        taken(str(path), grid, trained())
