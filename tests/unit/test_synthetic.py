"""Synthetic scenes: seeded, with what was asked for."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from engine.data.synthetic import SceneOptions, synthesize
from engine.errors import InputError


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def test_a_seed_gives_the_same_scene_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        synthesize(tmp_path / name, seed, (96, 128))
    for layer in ("optical", "sar", "dem", "labels"):
        one, same, other = (read(tmp_path / name / f"{layer}.tif") for name in "abc")
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)


def test_every_class_occurs_and_looks_different(tmp_path: Path) -> None:
    synthesize(tmp_path, 0, (384, 384))
    labels, optical, sar = (read(tmp_path / f"{name}.tif") for name in ("labels", "optical", "sar"))
    assert set(np.unique(labels)) == {1, 2, 3, 4, 5, 6}
    red, infrared = (optical[band].astype(float) for band in (2, 3))
    index = (infrared - red) / (infrared + red)
    assert index[labels[0] == 2].mean() > 0.5 > index[labels[0] == 6].mean()
    assert sar[0][labels[0] == 5].mean() > -10 > sar[0][labels[0] == 1].mean()


def test_clouds_and_footprints_are_nodata(tmp_path: Path) -> None:
    synthesize(tmp_path, 0, (128, 200), SceneOptions(clouds=0.25, footprints={"dem": 0.3}))
    assert (read(tmp_path / "optical.tif")[0] == 0).mean() == pytest.approx(0.25, abs=0.01)
    dem = read(tmp_path / "dem.tif")[0]
    assert (dem[:, 60:] == -9999).all()
    assert (dem[:, :60] > 0).all()


def test_more_sensors_are_made_on_request(tmp_path: Path) -> None:
    synthesize(tmp_path, 0, (96, 96), SceneOptions(spectral_bands=24, thermal=True))
    assert read(tmp_path / "hyperspectral.tif").shape == (24, 96, 96)
    assert 250 < read(tmp_path / "thermal.tif").mean() < 330


def test_an_option_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        synthesize(tmp_path, 0, (96, 96), SceneOptions(clouds=1.5))
