"""Scenes, recipes and a trained model that several tests use: small, but of several tiles and scenarios."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # workers of pytest and what they start share the processors

import numpy as np
import pytest
import rasterio
import torch
import yaml
from affine import Affine
from commands import engine
from filelock import FileLock
from hypothesis import settings
from numpy.typing import NDArray
from rasterio.crs import CRS

from engine.data.synthetic import SceneOptions, synthesize
from engine.grid import Grid
from engine.training.loop import Training
from engine.training.recipe import Recipe, read_recipe

ROOT = Path(__file__).resolve().parent.parent
UTM = CRS.from_epsg(32631)
ORIGIN = Affine(10, 0, 1000, 0, -10, 5000)

torch.set_num_threads(1)
settings.register_profile("project", deadline=None, database=None)  # no test asserts on time; workers share no examples
settings.load_profile("project")

Shared = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Makes a folder by its name once for all of pytest's workers; those that come later wait for it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder = base / name
        with FileLock(base / f"{name}.lock"):
            if not (base / f"{name}.made").exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
                folder.mkdir()
                make(folder)
                (base / f"{name}.made").touch()
        return folder

    return made


@pytest.fixture(scope="session")
def scenes(shared: Shared) -> Path:
    """Two synthetic scenes of 200 x 176 pixels; the second one's radar covers its left half."""

    def make(folder: Path) -> None:
        options = SceneOptions(clouds=0.1, footprints={"sar": 0.5})
        synthesize(folder / "first", seed=1, size=(200, 176))
        synthesize(folder / "second", seed=2, size=(200, 176), options=options)

    return shared("scenes", make)


MakeRecipe = Callable[..., Recipe]


@pytest.fixture(scope="session")
def make_recipe(scenes: Path) -> MakeRecipe:
    """Makes the synthetic recipe, small enough for a test, in a folder, with ``--set`` like overrides."""

    def make(folder: Path, overrides: Sequence[str] = ()) -> Recipe:
        content = yaml.safe_load((ROOT / "recipes" / "synthetic.yaml").read_text(encoding="utf-8"))
        content["data"] |= {"root": str(scenes), "chip": 32}
        content["data"]["split"]["size"] = 32
        content["network"]["options"]["encoder"] = "resnet-tiny"  # a SegFormer takes twice as long to export
        content["stages"][0]["schedule"] |= {"epochs": 2, "samples": 12, "batch": 4, "validate_every": 2}
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return read_recipe(path, overrides)

    return make


@pytest.fixture(scope="session")
def run_folder(make_recipe: MakeRecipe, shared: Shared) -> Path:
    """A finished run of a few steps, with its model and the model's STAC item beside it."""

    def make(folder: Path) -> None:
        Training(make_recipe(folder), folder / "run", accelerator="cpu").run()
        exported = engine("export", folder / "run", "-o", folder / "model.onnx", "--stac")
        assert exported.returncode == 0, exported.stderr

    return shared("training", make) / "run"


@pytest.fixture(scope="session")
def model_path(run_folder: Path) -> Path:
    """The run's model."""
    return run_folder.parent / "model.onnx"


@pytest.fixture
def write_raster(tmp_path: Path) -> Callable[..., Path]:
    """Writes ``[C, h, w]`` values as a GeoTIFF."""

    def write(
        name: str,
        values: NDArray[np.generic],
        *,
        crs: CRS | None = UTM,
        transform: Affine = ORIGIN,
        nodata: float | None = None,
        names: Sequence[str] = (),
    ) -> Path:
        path = tmp_path / name
        with rasterio.open(
            path, "w", driver="GTiff", height=values.shape[1], width=values.shape[2], count=len(values),
            dtype=values.dtype, crs=crs, transform=transform, nodata=nodata,
        ) as dataset:  # fmt: skip
            dataset.write(values)
            if names:
                dataset.descriptions = tuple(names)
        return path

    return write


@pytest.fixture
def grid() -> Grid:
    """A grid of 40 x 50 pixels of 10 m."""
    return Grid(CRS.from_epsg(32631), Affine(10, 0, 1000, 0, -10, 5000), 40, 50)
