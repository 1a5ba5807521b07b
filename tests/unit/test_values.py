"""Values beside a training's statistics: expected figures are worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from engine.data.survey import SceneCollection, survey
from engine.grid import Grid, Window
from engine.mapping.comparison import compare_samples, mending, sample
from engine.mapping.values import Cause, Distribution, Seen, compare, figure, tallied
from engine.modality import BandStatistics, Modality
from engine.networks.segmenter import band_scales
from engine.raster.alignment import AlignedReader, Block
from engine.raster.sources import SourceSpec, open_source
from engine.training.recipe import Recipe

KNOWN = (BandStatistics(1000, 200, 400, 1600), BandStatistics(3000, 500, 1500, 4500))
OPTICAL = Modality("optical", ("red", "nir"), "float32", "digital numbers", KNOWN, ((1.0, 0.0),) * 2)
RADAR = Modality("sar", ("VV",), "float32", "dB", (BandStatistics(-12, 4, -30, 5),))


def like(modality: Modality, count: int = 4000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    bands = modality.statistics
    values = np.stack([rng.normal(band.mean, band.std, count) for band in bands])
    return np.clip(values, [[band.minimum] for band in bands], [[band.maximum] for band in bands])


def test_the_figure_is_the_distance_of_means_and_the_ratio_of_deviations() -> None:
    # red 800, 1600: mean 1200, one deviation of 200 off; deviation 400, twice as wide: 1 + ln 2
    # nir 2750, 3250: mean right; deviation 250, half as wide: ln 2 / 2
    bands = [Distribution.of(np.array(values)) for values in ([800, 1600], [2750, 3250])]
    assert figure(bands, OPTICAL) == pytest.approx((1 + math.log(2) + math.log(2) / 2) / 2)


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda values: values, None),
        (lambda values: values * 10_000, "multiplied by 10 000"),
        (lambda values: values / 10_000, "divided by 10 000"),
        (lambda values: values / 255, "divided by 255"),
        (lambda values: values * 255, "multiplied by 255"),
        (lambda values: values * 100, "multiplied by 100"),
        (lambda values: values + 1000, "1000 was added"),
        (lambda values: values[::-1], "bands are in reverse"),
    ],
)
def test_a_change_of_all_values_is_named(alter: Callable[[np.ndarray], np.ndarray], said: str | None) -> None:
    values = alter(like(OPTICAL)).astype(np.float32)
    for seen in (Seen.of(values), Seen.of_tallies(tallied(values))):
        found = compare(seen, OPTICAL)
        assert found.warned == (said is not None)
        assert said is None or (found.cause is not None and said in found.cause.said)


def test_linear_power_amplitude_feet_and_kelvin_are_named() -> None:
    elevation = Modality("dem", ("height",), "float32", "m", (BandStatistics(450, 200, 100, 1200),))
    warmth = Modality("heat", ("surface",), "float32", "°C", (BandStatistics(15, 8, -10, 45),))
    for modality, values, said in (
        (RADAR, 10 ** (like(RADAR) / 10), "linear power"),
        (RADAR, 10 ** (like(RADAR) / 20), "amplitude"),
        (elevation, like(elevation) / 0.3048, "feet and not metres"),
        (warmth, like(warmth) + 273.15, "Kelvin"),
    ):
        cause = compare(Seen.of(values), modality).cause
        assert cause is not None
        assert said in cause.said


def test_a_plain_or_lake_is_not_told_of() -> None:
    values = like(OPTICAL) * 0.1 + np.array([[700.0], [2300.0]])  # a tenth as varied, a deviation off
    assert not compare(Seen.of(values), OPTICAL).warned


def test_few_pixels_say_nothing() -> None:
    assert not compare(Seen.of(like(OPTICAL, 255) * 10_000), OPTICAL).warned


def test_zeros_in_all_bands_are_named_and_left_out_of_the_rest() -> None:
    values = like(OPTICAL, 1000)
    values[:, :300] = 0
    found = compare(Seen.of(values), OPTICAL)
    assert (found.filler, found.filled, found.unlike) == (0, 0.3, False)
    assert found.bands[0].mean == pytest.approx(values[0, 300:].mean())


PAIR = Modality("sar", ("VV", "VH"), "float32", "dB", (BandStatistics(-12, 4, -30, 5), BandStatistics(-19, 5, -40, 3)))
HEIGHT = Modality("dem", ("elevation",), "float32", "m", (BandStatistics(450, 200, 100, 1200),))
ABOVE = Modality("optical", ("red", "nir"), "uint16", "", KNOWN)


@pytest.mark.parametrize(
    ("modality", "value", "share", "told"),
    [
        (PAIR, 0, 0.5, True),  # within the range of decibels, but no echo is the same number twice
        (PAIR, -15, 0.06, True),
        (PAIR, -15, 0.04, False),
        (RADAR, 0, 0.06, True),
        (RADAR, -15, 0.06, False),  # in one band that may be chance
        (HEIGHT, 0, 0.23, True),  # below all of the training
        (HEIGHT, 0, 0.04, False),
        (HEIGHT, 372, 0.5, False),  # a lake
        (ABOVE, 0, 0.006, True),  # the edges of an image
        (ABOVE, 0, 0.004, False),
        (ABOVE, 1000, 0.3, False),
    ],
)
def test_a_number_that_stands_for_no_data_is_found(modality: Modality, value: float, share: float, told: bool) -> None:
    values = like(modality, 10_000).astype(modality.dtype)
    values[:, : round(share * 10_000)] = value
    for seen in (Seen.of(values), Seen.of_tallies(tallied(values))):
        found = compare(seen, modality)
        assert (found.filler, round(found.filled, 3)) == ((value, share) if told else (None, 0))


def test_what_hides_a_filler_names_the_number_that_the_source_stores(write_raster: Callable[..., Path]) -> None:
    values = like(ABOVE, 100 * 100).reshape(2, 100, 100).astype(np.int16)
    values[:, :30] = -9999  # of which nobody says so, and which a uint16 holds as 0
    path = write_raster("a.tif", values)
    known = Modality("optical", ("red", "nir"), "uint16", "", KNOWN, ((1.0, 0.0),) * 2)
    with AlignedReader([SourceSpec(str(path))], _grid(path), known) as reader:
        squares = sample({"optical": reader}, Window(0, 0, 100, 100))
    (found,) = compare_samples([known], squares, {"optical": [SourceSpec(str(path))]})
    assert f"--mask optical={path}:values=-9999 would leave out" in str(found)


def test_what_mends_it_says_the_scale_where_the_raster_declares_another(write_raster: Callable[..., Path]) -> None:
    path = write_raster("a.tif", like(OPTICAL, 1200).reshape(2, 30, 40).astype(np.float32))
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (1e-4,) * 2, (-0.1,) * 2
    said = mending(OPTICAL, [SourceSpec(str(path), scale=(1,), offset=(0,))], Cause("", term=-1000))
    assert said == f"optical={path}:scale=1:offset=-1000"


def test_shares_outside_are_counted_by_side() -> None:
    red = np.repeat([100.0, 1000.0, 2000.0], [100, 700, 200])
    found = compare(Seen.of(np.stack([red, np.linspace(1500, 4500, 1000)])), OPTICAL)
    assert (found.bands[0].below, found.bands[0].above, found.bands[0].median) == (0.1, 0.2, 1000)
    assert found.unlike
    assert found.cause is None


@pytest.mark.parametrize(
    ("cause", "name", "expected"),
    [
        (Cause("", factor=1e-4), "a.tif", "optical={path}:scale=0.0001"),
        (Cause("", term=-1000), "a.tif", "optical={path}:offset=-1000"),
        (Cause("", order=(1, 0)), "a.tif", "optical={path}@2,1"),
    ],
)
def test_what_mends_it_gives_the_training_s_values(
    write_raster: Callable[..., Path], cause: Cause, name: str, expected: str
) -> None:
    values = like(OPTICAL, 1200).reshape(2, 30, 40).astype(np.float32)
    undone = {1e-4: values * 10_000, 1: values + 1000}[cause.factor] if not cause.order else values[::-1]
    path = write_raster(name, undone.astype(np.float32))
    said = mending(OPTICAL, [SourceSpec(str(path))], cause)
    assert said == expected.format(path=path)
    spec = SourceSpec.parse(said.partition("=")[2])
    grid = _grid(path)
    with AlignedReader([spec], grid, OPTICAL) as reader:
        np.testing.assert_allclose(reader.read(grid.window).values, values, rtol=1e-5)


def _grid(path: Path) -> Grid:
    with open_source(SourceSpec(str(path))) as source:
        return source.grid


def test_models_without_scales_are_mended_by_a_command(write_raster: Callable[..., Path]) -> None:
    old = Modality("optical", ("red", "nir"), "uint16", "", KNOWN)
    path = write_raster("a.tif", np.zeros((2, 8, 8), np.uint16))
    said = mending(old, [SourceSpec(str(path))], Cause("", factor=255))
    assert said == f'gdal_calc.py -A {path} --allBands=A --calc="A*255" --type=UInt16 --outfile=mended.tif'


def test_each_raster_of_a_mosaic_is_looked_at(write_raster: Callable[..., Path]) -> None:
    values = like(OPTICAL, 128 * 128).reshape(2, 128, 128).astype(np.float32)
    paths = [write_raster("whole.tif", np.where(np.arange(128) < 64, values, np.nan).astype(np.float32))]
    paths.append(write_raster("other.tif", values * 10_000))
    specs = [SourceSpec(str(path)) for path in paths]
    with AlignedReader(specs, _grid(paths[0]), OPTICAL) as reader:
        (found,) = compare_samples([OPTICAL], sample({"optical": reader}, Window(0, 0, 128, 128)), {"optical": specs})
    assert found.finding.cause is not None
    assert "10 000" in str(found)


def test_a_constant_band_is_zero_whatever_comes() -> None:
    flat = Modality("flat", ("one",), "float32", "", (BandStatistics(5, 0, 5, 5),))
    for scaling in ("standard", "range", "band_range"):
        (offset,), (scale,) = band_scales(flat, scaling)  # type: ignore[arg-type]
        assert (12345 - offset) / scale == 0


def test_training_names_constant_bands_and_undeclared_zeros(
    make_recipe: Callable[..., Recipe], tmp_path: Path, scenes: Path
) -> None:
    recipe = make_recipe(tmp_path)
    collection = SceneCollection(recipe.data, recipe.data.root, recipe.modality_values, recipe.class_values)
    for number in range(len(collection)):
        for name, reader in collection[number].readers.items():
            collection[number].readers[name] = _Changed(reader, name)  # type: ignore[assignment]
    warnings = "\n".join(survey(collection).warnings)
    collection.close()
    assert "band elevation is 7 on every training pixel" in warnings
    assert "0 stands in all bands" in warnings
    assert "masks: {optical: ['PATH:values=0']}" in warnings


class _Changed:
    """A reader whose elevation is 7 everywhere, and whose optical bands are 0 in every other column."""

    def __init__(self, reader: AlignedReader, name: str) -> None:
        self._reader, self._name, self.notes, self.warnings = reader, name, reader.notes, reader.warnings

    def read(self, window: Window) -> Block:
        block = self._reader.read(window)
        if self._name == "dem":
            block.values[:] = 7
        elif self._name == "optical":
            block.values[:, :, ::2] = 0
        return block

    def close(self) -> None:
        self._reader.close()
