"""Values that the training never saw: told by `predict`, `job` and `evaluate`, and refused by ``--strict``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from commands import engine
from making import make_map
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from engine.errors import BandError, GridError, ValuesError
from engine.mapping.gridding import choose_grid
from engine.mapping.predict import Summary
from engine.model.file import Model
from engine.raster.sources import SourceSpec
from engine.training.recipe import Recipe


def changed(source: Path, target: Path, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Path:
    with rasterio.open(source) as dataset:
        values, profile, names = dataset.read(), dataset.profile, dataset.descriptions
    other = np.where(values == profile["nodata"], values, change(values.astype(float))).astype(values.dtype)
    with rasterio.open(target, "w", **profile) as dataset:
        dataset.write(other)
        dataset.descriptions = names
    return target


def run(model: Path, output: Path, path: Path | str, **options: object) -> Summary:
    name = Path(str(path).partition("@")[0].partition(":")[0]).stem
    return make_map(model, {name: [SourceSpec.parse(str(path))]}, output, device="cpu", **options)  # type: ignore[arg-type]


@pytest.fixture
def raised(scenes: Path, tmp_path: Path) -> Path:
    """The second scene's optical image as since baseline 04.00."""
    return changed(scenes / "second/optical.tif", tmp_path / "optical.tif", lambda values: values + 1000)


def test_what_was_trained_on_is_not_told_of(model_path: Path, scenes: Path, tmp_path: Path) -> None:
    for sensor in ("optical", "sar", "dem"):
        summary = run(model_path, tmp_path / "map.tif", scenes / f"second/{sensor}.tif", strict=True)
        assert summary.warnings == ()


def test_the_cause_is_told_before_the_run_and_what_mends_it_works(
    model_path: Path, scenes: Path, raised: Path, tmp_path: Path
) -> None:
    early: list[str] = []
    summary = run(model_path, tmp_path / "map.tif", raised, warned=early.append)
    assert list(summary.warnings) == early
    assert "optical: " in early[0]
    assert "1000 was added" in early[0]
    facts = json.loads((tmp_path / "map.tif.provenance.json").read_text())["values"]
    for part in ("sample", "map"):
        assert facts[part]["optical"]["cause"].startswith("1000 was added")
        assert [band["name"] for band in facts[part]["optical"]["bands"]] == ["blue", "green", "red", "nir"]
    mended = early[0].partition("To mend it: optical=")[2]
    assert mended == f"{raised}:offset=-1000"
    run(model_path, tmp_path / "mended.tif", mended, strict=True)
    run(model_path, tmp_path / "right.tif", scenes / "second/optical.tif")
    with rasterio.open(tmp_path / "mended.tif") as one, rasterio.open(tmp_path / "right.tif") as other:
        np.testing.assert_array_equal(one.read(), other.read())


def test_strict_refuses_before_anything_is_written(model_path: Path, raised: Path, tmp_path: Path) -> None:
    with pytest.raises(ValuesError, match="1000 was added"):
        run(model_path, tmp_path / "map.tif", raised, strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["optical.tif"]


def test_what_only_the_whole_map_shows_keeps_the_finished_part(model_path: Path, scenes: Path, tmp_path: Path) -> None:
    with rasterio.open(scenes / "second/dem.tif") as source:
        tile, profile = source.read(1), source.profile
    values = np.tile(tile, (4, 4))[:600, :600]
    between = np.ones(600, bool)
    for first in (0, 189, 379, 568):  # where the sample's squares lie
        between[first : first + 32] = False
    values[np.ix_(between, between)] *= 10_000
    with rasterio.open(tmp_path / "dem.tif", "w", **(profile | {"height": 600, "width": 600})) as target:
        target.write(values, 1)
    output = tmp_path / "map.tif"
    with pytest.raises(ValuesError, match=r"dem: .*above"):
        run(model_path, output, tmp_path / "dem.tif", strict=True)
    assert not output.exists()
    summary = run(model_path, output, tmp_path / "dem.tif")
    assert summary.resumed == 1
    assert any("above the range" in warning for warning in summary.warnings)
    facts = json.loads((tmp_path / "map.tif.provenance.json").read_text())["values"]["map"]["dem"]
    assert facts["pixels"] == 75 * 75  # every eighth row and column


def test_tallies_do_not_depend_on_threads_or_bounds_that_hold_all(
    model_path: Path, scenes: Path, tmp_path: Path
) -> None:
    found = []
    for threads in (1, 3):
        run(model_path, tmp_path / "map.tif", scenes / "second/optical.tif", threads=threads)
        found.append(json.loads((tmp_path / "map.tif.provenance.json").read_text())["values"]["map"])
    assert found[0] == found[1]
    with rasterio.open(scenes / "second/optical.tif") as source:
        seen = (source.read(1)[::8, ::8] != 0).sum()
    assert found[0]["optical"]["pixels"] == seen


def test_a_job_tells_and_refuses(model_path: Path, raised: Path, tmp_path: Path) -> None:
    options = {"output": str(tmp_path / "map.tif"), "device": "cpu", "strict": True}
    job = {"protocol": 3, "task": "segment", "model": str(model_path), "options": options}
    job |= {"layers": [{"name": "a", "path": str(raised)}], "assignment": "optical=a"}
    command = [sys.executable, "-m", "engine.cli", "job"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()  # and left open: its end would cancel the job
        events = [json.loads(line) for line in process.stdout]
    assert events[-1]["event"] == "error"
    assert events[-1]["kind"] == "ValuesError"


def test_predict_and_evaluate_take_strict(
    model_path: Path, scenes: Path, raised: Path, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    done = engine("predict", model_path, f"optical={raised}", "-o", tmp_path / "map.tif", "--strict")
    assert done.returncode == 2
    assert "1000 was added" in done.stderr
    root = shutil.copytree(scenes, tmp_path / "data")
    for scene in ("first", "second"):
        changed(scenes / scene / "optical.tif", root / scene / "optical.tif", lambda values: values + 1000)
    make_recipe(tmp_path)
    words = ("evaluate", model_path, "--data", tmp_path / "recipe.yaml", "--set", f"data.root={root}", "--strict")
    done = engine(*words, "-o", tmp_path / "evaluation")
    assert done.returncode == 2
    assert "1000 was added" in done.stderr


def test_a_sensor_that_lies_elsewhere_is_refused_and_parts_of_a_mosaic_are_not(
    model_path: Path, scenes: Path, tmp_path: Path
) -> None:
    model = Model(model_path)
    optical, dem = (SourceSpec(str(scenes / f"second/{name}.tif")) for name in ("optical", "dem"))
    far = [SourceSpec(shutil.copy(spec.path, tmp_path)) for spec in (optical, dem)]
    for spec in far:
        with rasterio.open(spec.path, "r+") as dataset:
            dataset.transform = Affine.translation(90_000, 0) @ dataset.transform
            away = (90_000 - 10 * dataset.width + 10) / 1000  # between their edges, and a pixel
    with pytest.raises(GridError, match=rf"optical\.tif: lies {away:.4g} km away from .*dem\.tif.*--like"):
        choose_grid(model, {"optical": [optical], "dem": [far[1]]})
    assert choose_grid(model, {"optical": [optical], "dem": [far[1]]}, like=optical).grid.width == 176
    assert choose_grid(model, {"optical": [optical, far[0]], "dem": [dem]}).grid.width == 9000 + 176


def test_a_band_that_is_taken_for_alpha_is_named(model_path: Path, scenes: Path, tmp_path: Path) -> None:
    path = tmp_path / "bytes.tif"
    with rasterio.open(scenes / "second/optical.tif") as source:
        profile = source.profile | {"dtype": "uint8", "nodata": 0}
        with rasterio.open(path, "w", **profile) as target:
            target.write((source.read() // 25).clip(0, 255).astype("uint8"))
            target.descriptions = source.descriptions
            target.colorinterp = [ColorInterp[name] for name in ("red", "green", "blue", "alpha")]
    with pytest.raises(BandError, match=r"band 4 \(nir\) is flagged as alpha.*take it with optical=.*@1,2,3,4"):
        choose_grid(Model(model_path), {"optical": [SourceSpec(str(path))]})
    assert choose_grid(Model(model_path), {"optical": [SourceSpec.parse(f"{path}@1,2,3,4")]}).grid.width == 176
