"""`engine baseline`, and what `engine evaluate` shows of it."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import engine

from engine.evaluation import forests


def test_forests_stand_beside_the_run_on_the_same_pixels(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forests, "TREES", 10)
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    done = engine("baseline", run)
    assert done.returncode == 0, done.stderr
    with (run / "baseline" / "validation" / "forests.csv").open() as file:
        rows = list(csv.DictReader(file))
    done = engine("evaluate", run)
    assert done.returncode == 0, done.stderr
    with (run / "evaluation" / "validation" / "scenarios.csv").open() as file:
        scored = list(csv.DictReader(file))
    assert list(rows[0]) == ["forest", *scored[0]]
    of_pixels, of_windows = rows[: len(scored)], rows[len(scored) :]
    for own, one, other in zip(scored, of_pixels, of_windows, strict=True):
        assert own["pixels"] == one["pixels"] == other["pixels"]
    assert "mIoU beside the better random forest" in done.stdout
    best = max(float(of_pixels[0]["miou"]), float(of_windows[0]["miou"]))
    beside = done.stdout.partition("beside the better random forest")[2]
    first = next(line for line in beside.splitlines() if "optical " in line)
    here = float(scored[0]["miou"])
    assert [f"{here:.3f}", f"{best:.3f}", f"{here - best:+.3f}"] == first.replace("│", " ").split()[1:4]
    report = json.loads((run / "evaluation" / "validation" / "report.json").read_text())
    assert any("a random forest is ahead" in text for text in report["conclusions"]), "two epochs against forests"
    stored = run / "baseline" / "validation" / "forests.json"
    content = json.loads(stored.read_text())
    content["forests"]["pixels"]["scenarios"][0]["confusion"][0][0] += 1
    stored.write_text(json.dumps(content))
    done = engine("evaluate", run)
    assert "were scored on other pixels" in done.stderr
    assert "random forest" not in done.stdout


def test_a_recipe_needs_a_folder(make_recipe: Callable[..., object], tmp_path: Path) -> None:
    make_recipe(tmp_path)
    done = engine("baseline", tmp_path / "recipe.yaml")
    assert done.returncode == 2
    assert "name one with -o" in done.stderr
