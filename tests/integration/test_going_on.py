"""Trainings that go on: one at a time, with the recipe and the data that they were begun with, past damage."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import rasterio
import torch
from commands import engine
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.data.synthetic import synthesize
from engine.errors import RunError
from engine.locks import Lock
from engine.training.checkpoints import kept, newest
from engine.training.loop import Report, Training
from engine.training.recipe import Recipe
from engine.training.settings import LoraSettings

MakeRecipe = Callable[..., Recipe]
OFTEN = ("stages.0.schedule.checkpoint_every=2",)

KILL = """
import os, random, signal, sys, time
from pathlib import Path
from engine.locks import Lock
from engine.training.loop import Training
from engine.training.recipe import read_recipe

folder, kills = Path(sys.argv[1]), int(sys.argv[2])
recipe = read_recipe(folder / "recipe.yaml", sys.argv[3:])

def begun(run):
    child = os.fork()
    if not child:
        with Lock(run):
            Training(recipe, run, resume=(run / "recipe.yaml").exists(), accelerator="cpu").run()
        os._exit(0)
    return child

start = time.monotonic()
assert os.waitpid(begun(folder / "whole"), 0)[1] == 0
lasted = time.monotonic() - start
draw, number = random.Random(0), 0
while kills:
    child = begun(folder / f"run-{number}")
    time.sleep(draw.uniform(0, 0.5 * lasted))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    number, kills = (number + 1, kills) if status == 0 else (number, kills - 1)
assert os.waitpid(begun(folder / f"run-{number}"), 0)[1] == 0
"""
"""Trains a recipe undisturbed, and again in forks that are killed at random moments until so many were."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene that is validated in a moment."""
    folder = tmp_path_factory.mktemp("small")
    synthesize(folder / "first", seed=1, size=(96, 96))
    return folder


@pytest.fixture(scope="module")
def make_recipe(make_recipe: MakeRecipe, small: Path) -> MakeRecipe:
    def make(folder: Path, overrides: Sequence[str] = ()) -> Recipe:
        return make_recipe(folder, [f"data.root={small}", *overrides])

    return make


@pytest.fixture(scope="module")
def run_folder(make_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    Training(make_recipe(folder), folder / "run", accelerator="cpu").run()
    return folder / "run"


def weights(run: Path) -> dict[str, torch.Tensor]:
    last = newest(run / "checkpoints", "last")
    assert last is not None
    return load_file(last / "weights.safetensors")


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def stopped(recipe: Recipe, run: Path, after: int, **options: bool) -> None:
    """Trains until a step is done, checkpoint and all."""

    def stop(report: Report) -> None:
        if report.step == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(recipe, run, accelerator="cpu", report=stop, **options).run()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def told(status: int, *words: object) -> str:
    done = engine(*words)
    assert done.returncode == status
    return done.stderr


def scalars(run: Path) -> list[tuple[int, float]]:
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    return [(event.step, event.value) for event in events.Scalars("train/loss/cross_entropy")]


def test_a_training_that_is_killed_twenty_times_ends_in_the_same_weights_and_rows(
    make_recipe: MakeRecipe, small: Path, tmp_path: Path
) -> None:
    make_recipe(tmp_path)
    words = [f"data.root={small}", "stages.0.schedule.epochs=4", "stages.0.schedule.validate_every=4", *OFTEN]
    subprocess.run([sys.executable, "-c", KILL, str(tmp_path), "20", *words], check=True)
    whole = tmp_path / "whole"
    assert [step for step, _ in scalars(whole)] == list(range(1, 13))
    for run in tmp_path.glob("run-*"):
        assert same(run, whole)
        assert (run / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
        assert scalars(run) == scalars(whole)
        assert sorted(path.name for path in run.iterdir()) == sorted(path.name for path in whole.iterdir())
        assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
            "best-000000012",
            "last-000000010",
            "last-000000012",
        ]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, OFTEN)
    Training(recipe, tmp_path / "whole", accelerator="cpu").run()
    run = tmp_path / "run"
    stopped(recipe, run, 5)
    checkpoint = newest(run / "checkpoints", "last")
    assert checkpoint is not None
    assert checkpoint.name == "last-000000004"
    optimizer = checkpoint / "optimizer.safetensors"
    optimizer.write_bytes(optimizer.read_bytes()[:-100])
    said: list[str] = []
    Training(recipe, run, resume=True, accelerator="cpu", say=said.append).run()
    assert any("last-000000004/optimizer.safetensors" in line and "last-000000003" in line for line in said)
    assert same(run, tmp_path / "whole")
    assert (run / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()


def test_a_run_folder_is_one_training_s_at_a_time(make_recipe: MakeRecipe, tmp_path: Path, run_folder: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    before = content(run)
    with Lock(run):
        for resume in ([], ["--resume"]):
            words = ["train", run / "recipe.yaml", "-o", run, "--device", "cpu", *resume]
            assert "is at work on it" in told(1, *words)
    assert content(run) == before
    assert "not empty" in told(2, "train", run / "recipe.yaml", "-o", run, "--device", "cpu")
    assert content(run) == before
    assert not (tmp_path / ".run.lock").exists()


def test_a_place_that_takes_no_run_is_told_before_any_work(tmp_path: Path, run_folder: Path) -> None:
    words = ["train", run_folder / "recipe.yaml", "--device", "cpu", "-o"]
    assert "cannot be written" in told(1, *words, "/proc/runs/x")
    (tmp_path / "file").touch()
    assert "cannot be written" in told(1, *words, tmp_path / "file" / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["evaluate"], "report.json"),
        (["evaluate", "--protocol", "lgss"], "lgss.csv"),
    ],
)
def test_a_folder_in_the_way_of_a_report_is_told_before_any_work(
    tmp_path: Path, run_folder: Path, words: list[str], name: str
) -> None:
    (tmp_path / name).mkdir()
    assert f"{name}: is a folder" in told(1, *words, run_folder, "-o", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_in_the_way_of_a_synthetic_scene_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "scene.json").mkdir()
    assert "scene.json: is a folder" in told(1, "synthesize", tmp_path, "--size", "64", "64")
    assert [path.name for path in tmp_path.iterdir()] == ["scene.json"]


def test_what_a_training_left_that_never_began_is_no_run(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "modalities.json").write_text("[")
    (run / ".recipe.0123456789ab.part.yaml").write_text("nam")
    with pytest.raises(RunError, match="without --resume"):
        Training(recipe, run, resume=True, accelerator="cpu")
    Training(recipe, run, accelerator="cpu")
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints", "data.json", "modalities.json", "recipe.yaml",
    ]  # fmt: skip


def test_a_recipe_that_differs_is_told_key_by_key(make_recipe: MakeRecipe, tmp_path: Path, run_folder: Path) -> None:
    def refused(*overrides: str) -> str:
        with pytest.raises(RunError) as caught:
            Training(make_recipe(tmp_path, overrides), run_folder, resume=True, accelerator="cpu")
        return str(caught.value)

    said = refused("seed=7", "modalities.1.bands=[VH, VV]", "stages.0.schedule.workers=3", "data.split.train=[2, 3]")
    assert said.splitlines()[1:-1] == [
        "  seed: 0 in the run, 7 now",
        "  modalities.1.bands.0: VV in the run, VH now",
        "  modalities.1.bands.1: VH in the run, VV now",
        "  data.split.train.2: 4 in the run, nothing now",
    ]
    assert f"start.run to {run_folder}" in said
    assert "--extend" not in said
    said = refused("stages.0.schedule.epochs=5")
    assert said.splitlines()[1] == "  stages.0.schedule.epochs: 2 in the run, 5 now"
    assert "--extend" in said


def test_data_that_changed_are_told(make_recipe: MakeRecipe, small: Path, tmp_path: Path, run_folder: Path) -> None:
    run, data = tmp_path / "run", tmp_path / "data"
    shutil.copytree(run_folder, run)
    shutil.copytree(small, data)
    recipe = make_recipe(tmp_path, [f"data.root={data}"])
    Training(recipe, run, resume=True, accelerator="cpu")
    with rasterio.open(data / "first" / "labels.tif", "r+") as dataset:
        values = dataset.read(1)
        dataset.write(values % 6 + 1, 1)
    with pytest.raises(RunError, match=r"the data have changed:\n  scene first, train: class 1 water: \d+ pixels in"):
        Training(recipe, run, resume=True, accelerator="cpu")
    (run / "data.json").unlink()
    said: list[str] = []
    Training(recipe, run, resume=True, accelerator="cpu", say=said.append)
    assert any("not compared" in line for line in said)


def test_a_torn_row_of_metrics_is_dropped_and_no_other(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, OFTEN)
    run = tmp_path / "run"
    stopped(recipe, run, 5)
    whole = (run / "metrics.csv").read_text()
    (run / "metrics.csv").write_text(whole + "1")  # of "10,train/..."
    Training(recipe, run, resume=True, accelerator="cpu").run()
    rows = (run / "metrics.csv").read_text().splitlines()
    assert rows[:6] == whole.splitlines()[:6]
    assert [row.split(",")[0] for row in rows if "cross_entropy" in row] == list("123456")
    assert json.loads((run / "data.json").read_text())[0]["name"] == "first"


CONSTANT = "stages.0.schedule.decay={name: constant, warmup: 0}"


def lasting(make_recipe: MakeRecipe, folder: Path, epochs: int, *overrides: str, lora: bool = False) -> Recipe:
    recipe = make_recipe(folder, [*OFTEN, CONSTANT, f"stages.0.schedule.epochs={epochs}", *overrides])
    if not lora:
        return recipe
    adapted = recipe.stages[0].model_copy(update={"name": "lora", "lora": LoraSettings(rank=2)})
    schedule = adapted.schedule.model_copy(update={"epochs": 1})
    first = recipe.stages[0].model_copy(update={"schedule": schedule})
    return recipe.model_copy(update={"stages": (first, adapted)})


@pytest.mark.parametrize(
    ("epochs", "more", "lora"),
    [
        pytest.param(2, 4, False, id="validated alike"),
        pytest.param(2, 4, True, id="low-rank matrices"),
        pytest.param(1, 3, False, id="validated at its end alone"),
    ],
)
def test_an_extended_training_is_as_one_that_was_asked_for_at_first(
    make_recipe: MakeRecipe, tmp_path: Path, epochs: int, more: int, lora: bool
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    Training(lasting(make_recipe, tmp_path, epochs, lora=lora), run, accelerator="cpu").run()
    longer = lasting(make_recipe, tmp_path, more, lora=lora)
    Training(longer, run, extend=True, accelerator="cpu").run()
    Training(longer, whole, accelerator="cpu").run()
    assert same(run, whole)
    assert (run / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert scalars(run) == scalars(whole)
    for folder in ("checkpoints", "."):
        assert sorted(path.name for path in (run / folder).iterdir()) == sorted(
            path.name for path in (whole / folder).iterdir()
        )
    with pytest.raises(RunError, match=r"schedule\.epochs is that of the run; ask for more"):
        Training(longer, run, extend=True, accelerator="cpu")


def test_an_extension_that_is_killed_is_resumed(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    stopped(lasting(make_recipe, tmp_path, 2), run, 5)
    longer = lasting(make_recipe, tmp_path, 3)
    stopped(longer, run, 7, extend=True)
    Training(longer, run, resume=True, accelerator="cpu").run()
    Training(longer, tmp_path / "whole", accelerator="cpu").run()
    assert same(run, tmp_path / "whole")


def test_what_would_not_be_as_if_asked_for_at_first_is_refused(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Training(lasting(make_recipe, tmp_path, 3), run, accelerator="cpu").run()

    def refused(recipe: Recipe) -> str:
        before = content(run)
        with pytest.raises(RunError) as caught:
            Training(recipe, run, extend=True, accelerator="cpu")
        assert content(run) == before
        return str(caught.value)

    assert "seed: 0 in the run, 3 now" in refused(lasting(make_recipe, tmp_path, 5, "seed=3"))
    assert "schedule.epochs: 3 in the run, 2 now" in refused(lasting(make_recipe, tmp_path, 2))
    (best,) = (run / "checkpoints").glob("best-*")  # of step 6, or of 9, validated since it was the last one
    best.rename(best.with_name("best-000000009"))
    assert "kept those of step 6, which are gone" in refused(lasting(make_recipe, tmp_path, 4))


@pytest.mark.parametrize("decay", ["{name: poly, warmup: 0}", "{name: cosine}", "{name: constant, warmup: 0.4}"])
def test_a_learning_rate_that_depends_on_the_length_cannot_be_extended(
    make_recipe: MakeRecipe, tmp_path: Path, decay: str
) -> None:
    words = [*OFTEN, "stages.0.schedule.validate_every=null", f"stages.0.schedule.decay={decay}"]
    stopped(make_recipe(tmp_path, words), tmp_path / "run", 3)
    longer = make_recipe(tmp_path, [*words, "stages.0.schedule.epochs=4"])
    with pytest.raises(RunError, match=r"stages\.0\.schedule\.decay: \w+ with warmup .* sets the learning rate"):
        Training(longer, tmp_path / "run", extend=True, accelerator="cpu")


def test_a_folder_without_a_checkpoint_is_begun_anew_and_nothing_else_is_lost(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    stopped(make_recipe(tmp_path), run, 1)  # the first checkpoint comes at step 3
    assert newest(run / "checkpoints", "last") is None
    other = make_recipe(tmp_path, ["seed=7"])
    with pytest.raises(RunError, match="leave out --resume, and it begins anew"):
        Training(other, run, resume=True, accelerator="cpu")
    (run / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match="exists and is not empty"):
        Training(other, run, accelerator="cpu")
    (run / "notes.txt").unlink()
    stopped(other, run, 3)
    assert newest(run / "checkpoints", "last") is not None
    with pytest.raises(RunError, match="exists and is not empty"):
        Training(make_recipe(tmp_path), run, accelerator="cpu")


def test_an_average_of_weights_is_kept_in_their_place_and_gone_on_with(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    """The average by hand, from the weights of the same training without one; the same after a stop half-way."""
    keep = "stages.0.schedule.keep_every=1"
    plain = make_recipe(tmp_path, [*OFTEN, keep, "stages.0.schedule.validate_every=null"])
    Training(plain, tmp_path / "plain", accelerator="cpu").run()
    averaged = make_recipe(
        tmp_path, [*OFTEN, keep, "stages.0.schedule.validate_every=null", "stages.0.schedule.ema=0.3"]
    )
    Training(averaged, tmp_path / "averaged", accelerator="cpu").run()
    trained = [load_file(one / "weights.safetensors") for one in kept(tmp_path / "plain")]
    expected = trained[0]
    for number, state in enumerate(trained[1:], 1):
        share = min(0.3, (1 + number) / (10 + number))
        expected = {
            key: share * expected[key] + (1 - share) * value if value.is_floating_point() else value
            for key, value in state.items()
        }
    found = weights(tmp_path / "averaged")
    finite = [key for key in found if found[key].is_floating_point() and found[key].isfinite().all()]
    assert all(torch.allclose(found[key], expected[key], atol=1e-6) for key in finite)
    assert not same(tmp_path / "plain", tmp_path / "averaged")

    stopped(averaged, tmp_path / "again", 3)
    Training(averaged, tmp_path / "again", resume=True, accelerator="cpu").run()
    assert same(tmp_path / "averaged", tmp_path / "again")


def test_a_stage_ends_early_when_validations_find_nothing_better(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    lines: list[str] = []
    patient = ["stages.0.schedule.epochs=6", "stages.0.schedule.validate_every=1", "stages.0.schedule.patience=2"]
    still = [
        "stages.0.trainable=['head.classify.*']",  # no running statistics either
        "stages.0.schedule.optimizer.learning_rate=1.0e-12",
        "stages.0.schedule.decay={name: constant, warmup: 0}",
    ]
    recipe = make_recipe(tmp_path, [*patient, *still])
    training = Training(recipe, tmp_path / "run", accelerator="cpu", say=lines.append)
    training.run()
    steps = recipe.stages[0].schedule.steps_per_epoch
    assert training.progress.best_step == steps
    assert training.progress.stopped == 3 * steps
    assert any(f"stopped after {3 * steps} of {6 * steps} steps" in line for line in lines)
    again = Training(recipe, tmp_path / "run", resume=True, accelerator="cpu")
    again.run()  # there is nothing left to do
    assert again.progress == training.progress
    longer = make_recipe(tmp_path, [*patient, *still, "stages.0.schedule.epochs=9"])
    with pytest.raises(RunError, match=f"ended early, after {3 * steps} steps"):
        Training(longer, tmp_path / "run", extend=True, accelerator="cpu")


def test_seeds_are_trained_one_after_another_and_told_together(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    make_recipe(tmp_path)
    short = ["--set", "stages.0.schedule.epochs=1", "--set", "stages.0.schedule.validate_every=1"]
    done = engine("train", tmp_path / "recipe.yaml", "-o", tmp_path / "runs", "--seeds", 2, *short)
    assert done.returncode == 0, done.stderr
    assert not same(tmp_path / "runs" / "seed-0", tmp_path / "runs" / "seed-1")
    assert "best validation mIoU over 2 seeds" in done.stdout
    lines = [line for line in done.stderr.splitlines() if ": step " in line]  # without a terminal: of validations
    assert len(lines) == 2
    assert re.search(r"step 3 of 3, stage \w+; loss \w+ \d\.\d{3}; .* validation mIoU optical 0\.", lines[0])
