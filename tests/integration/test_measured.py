"""What is shipped is what was measured: a run and its model have one tile and halo, and the same figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import rasterio
from commands import Done, engine

from engine.locks import Lock
from engine.model.file import Model


@pytest.fixture
def run(run_folder: Path, scenes: Path, tmp_path: Path) -> Path:
    """A copy of the run, with data of its own."""
    shutil.copytree(run_folder, tmp_path / "run")
    shutil.copytree(scenes, tmp_path / "scenes")
    recipe = tmp_path / "run" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(scenes), str(tmp_path / "scenes")))
    return tmp_path / "run"


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def evaluated(run: Path, output: Path, *words: object) -> Done:
    done = engine("evaluate", run, "-o", output, "--device", "cpu", *words)
    assert done.returncode == 0, done.stderr
    return done


def test_a_run_and_its_model_agree_in_every_scenario(run_folder: Path, model_path: Path, tmp_path: Path) -> None:
    """On the scene whose radar covers half and whose optical image has clouds; the choice is by the first scene."""
    other = tmp_path / "second.yaml"
    other.write_text((run_folder / "recipe.yaml").read_text().replace("first", "second"))
    said = evaluated(run_folder, tmp_path / "run", "--data", other, "--split", "test").stderr
    assert "read from" in said, "the export has made the choice"
    evaluated(model_path, tmp_path / "model", "--data", other, "--split", "test")
    one, two = report(tmp_path / "run"), report(tmp_path / "model")
    assert (one["tile"], one["halo"]) == (two["tile"], two["halo"])
    assert [row["scenario"] for row in one["scenarios"]] == [row["scenario"] for row in two["scenarios"]]
    assert len({row["pixels"] for row in one["scenarios"]}) == 3, "not all sensors see all pixels"
    for here, there in zip(one["scenarios"], two["scenarios"], strict=True):
        assert here["miou"] == pytest.approx(there["miou"], abs=0.002)


def test_a_model_holds_what_an_evaluation_of_its_run_says(run_folder: Path, model_path: Path, tmp_path: Path) -> None:
    accuracy = Model(model_path).metadata.accuracy
    for split in ("test", "validation"):
        evaluated(run_folder, tmp_path / split, "--split", split)
        rows = report(tmp_path / split)["scenarios"]
        held = [one for one in accuracy if one.split == split]
        assert [one.scenario for one in held] == [row["scenario"] for row in rows]
        for one, row in zip(held, rows, strict=True):
            assert one.miou == pytest.approx(row["miou"], abs=1e-6)
            assert one.miou_interval == pytest.approx((row["low_miou"], row["high_miou"]), abs=1e-4)
            assert (one.pixels, one.blocks) == (row["pixels"], row["blocks"])


def test_what_was_chosen_is_chosen_again_for_other_weights_or_data(run: Path, tmp_path: Path) -> None:
    kept = run / "tiling-best.json"
    kept.write_text("[")
    first = evaluated(run, tmp_path / "one").stderr
    assert "cannot be read, chosen again" in first
    assert first.count("validation mIoU") == 5
    facts = json.loads(kept.read_text())
    assert (facts["tile"], facts["halo"]) == tuple(report(tmp_path / "one")[key] for key in ("tile", "halo"))
    facts["made_for"]["weights"] = "0"
    kept.write_text(json.dumps(facts))
    with rasterio.open(tmp_path / "scenes" / "first" / "labels.tif", "r+") as dataset:
        labels = dataset.read(1)
        labels[32:40, :8] = labels[32:40, :8] % 6 + 1  # in the first of the validation blocks
        dataset.write(labels, 1)
    before = kept.read_text()
    with Lock(run):
        said = evaluated(run, tmp_path / "one").stderr
    assert "were chosen for has changed (weights, data); chosen again" in said
    assert "the choice is not kept" in said, "a training is at work there"
    assert kept.read_text() == before


def test_on_too_few_labels_nothing_is_chosen(run: Path, tmp_path: Path) -> None:
    """One block in fifty is for validation: a single one of 42."""
    done = evaluated(run, tmp_path / "few", "--set", "data.split.modulo=50")
    assert "tile 32, halo 4: the default, since there is too little to choose on" in done.stderr
    assert "1 spatial block (5 needed)" in done.stderr
    assert "No intervals: labels lie in 1 spatial block" in done.stdout
    assert report(tmp_path / "few")["scenarios"][0]["low_miou"] is None


def test_another_tile_is_not_called_that_of_an_export(run: Path, tmp_path: Path) -> None:
    done = evaluated(run, tmp_path / "other", "--tile", 64)
    assert "tile 64, halo 8: as --tile asks; not what an export ships" in done.stderr
    found = report(tmp_path / "other")
    assert (found["tile"], found["halo"], found["tiling"]) == (64, 8, "as --tile asks; not what an export ships")


def test_without_its_own_data_a_run_has_no_tile(run: Path, scenes: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text((run / "recipe.yaml").read_text())
    shutil.copytree(tmp_path / "scenes", tmp_path / "moved")
    other.write_text(other.read_text().replace(str(tmp_path / "scenes"), str(tmp_path / "moved")))
    shutil.rmtree(tmp_path / "scenes")
    done = engine("evaluate", run, "--data", other, "-o", tmp_path / "x", "--device", "cpu")
    assert done.returncode == 2
    assert "chosen on its own validation data, which cannot be read: data.root: there is no folder" in done.stderr
