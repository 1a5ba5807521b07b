"""Training: killed and resumed to the same weights; runs are evaluated and released as models."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch
from commands import Done, engine
from safetensors.torch import load_file
from torch import nn

from engine.data.settings import MethodSettings, Named
from engine.errors import RecipeError, RunError
from engine.networks.heads import AllMlpHead
from engine.training.checkpoints import Kind, newest
from engine.training.loop import Report, Training
from engine.training.parameters import freeze, train_mode
from engine.training.recipe import Recipe, read_recipe
from engine.training.run import open_run
from engine.training.settings import LoraSettings, OptimizerSettings

MakeRecipe = Callable[..., Recipe]
OVERRIDES = ("stages.0.schedule.checkpoint_every=2",)


def checkpoint(run: Path, kind: Kind) -> Path:
    found = newest(run / "checkpoints", kind)
    assert found is not None
    return found


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint(run, "last") / "weights.safetensors")


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_workers_do_not_change_the_weights(make_recipe: MakeRecipe, tmp_path: Path, run_folder: Path) -> None:
    recipe = make_recipe(tmp_path, ["stages.0.schedule.workers=2"])
    Training(recipe, tmp_path / "run", accelerator="cpu").run()
    assert same(tmp_path / "run", run_folder)


def test_a_resume_with_another_recipe_or_thread_count_is_refused(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Training(make_recipe(tmp_path), run, accelerator="cpu").run()
    with pytest.raises(RunError, match="recipe"):
        Training(make_recipe(tmp_path, ["seed=5"]), run, resume=True, accelerator="cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.raises(RunError, match="threads"):
            Training(make_recipe(tmp_path), run, resume=True, accelerator="cpu")
    finally:
        torch.set_num_threads(threads)


def test_there_must_be_a_run_of_that_recipe_to_go_on_with(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, OVERRIDES)
    with pytest.raises(RunError, match="is no run folder"):
        Training(recipe, tmp_path / "none", resume=True, accelerator="cpu")
    Training(recipe, tmp_path / "run", accelerator="cpu")  # killed before its first checkpoint
    with pytest.raises(RunError, match="cannot go on: the recipe is another"):
        Training(make_recipe(tmp_path, ["seed=7"]), tmp_path / "run", resume=True, accelerator="cpu")


def test_a_stage_that_is_never_validated_leaves_no_best_weights_of_an_earlier_one(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(tmp_path)
    first = recipe.stages[0]
    schedule = first.schedule.model_copy(update={"validate_every": None})
    second = first.model_copy(update={"name": "tune", "schedule": schedule})
    training = Training(recipe.model_copy(update={"stages": (first, second)}), tmp_path / "run", accelerator="cpu")
    training.run()
    assert training.progress.best_step == 0
    assert newest(tmp_path / "run" / "checkpoints", "best") is None


def test_weights_are_taken_from_a_run_whose_data_are_gone(
    make_recipe: MakeRecipe, tmp_path: Path, run_folder: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(run_folder, base)
    recipe = read_recipe(base / "recipe.yaml")
    text = (base / "recipe.yaml").read_text()
    (base / "recipe.yaml").write_text(text.replace(str(recipe.data.root), "/no/such/folder"))
    Training(started(make_recipe, tmp_path, base), tmp_path / "run", accelerator="cpu")
    assert same(tmp_path / "run", base)


def test_a_taken_folder_is_refused(make_recipe: MakeRecipe, run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not empty"):
        Training(make_recipe(tmp_path), run_folder, accelerator="cpu")


def test_a_run_without_weights_is_never_evaluated(run_folder: Path, tmp_path: Path) -> None:
    for name in ("recipe.yaml", "modalities.json"):
        (tmp_path / name).write_bytes((run_folder / name).read_bytes())
    with pytest.raises(RunError, match="has no best checkpoint"):
        open_run(tmp_path, "best")


def test_the_two_newest_checkpoints_are_kept(run_folder: Path) -> None:
    kinds = [path.name.split("-")[0] for path in (run_folder / "checkpoints").iterdir()]
    assert sorted(kinds) == ["best", "last", "last"]


def test_mixed_precision_computes_with_sixteen_bits(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    classified = AllMlpHead.classified

    def watched(self: AllMlpHead, hidden: torch.Tensor) -> torch.Tensor:
        logits = classified(self, hidden)
        if self.training:
            seen.add(logits.dtype)
        return logits

    monkeypatch.setattr(AllMlpHead, "classified", watched)
    recipe = make_recipe(tmp_path, ["precision=bf16-mixed", "stages.0.schedule.epochs=1"])
    Training(recipe, tmp_path / "run", accelerator="cpu").run()
    assert seen == {torch.bfloat16}


def test_nothing_of_functional_entropy_reaches_the_model(
    make_recipe: MakeRecipe, tmp_path: Path, run_folder: Path
) -> None:
    """What is exported is the network that a run opens as: part by part the one that learned without it."""
    entropy = "{name: functional_entropy, options: {form: inputs, feature_form: segmentation}}"
    method = f"stages.0.method={{scenarios: dropout, objectives: [cross_entropy, {entropy}]}}"
    Training(make_recipe(tmp_path, [method]), tmp_path / "run", accelerator="cpu").run()
    assert not same(tmp_path / "run", run_folder)
    one, other = (open_run(run, "best")[1] for run in (tmp_path / "run", run_folder))
    assert repr(one) == repr(other)
    assert {key: item.shape for key, item in one.state_dict().items()} == {
        key: item.shape for key, item in other.state_dict().items()
    }


def test_the_recipe_that_a_run_keeps_is_the_one_it_was_given(
    run_folder: Path, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    assert read_recipe(run_folder / "recipe.yaml").digest == make_recipe(tmp_path).digest


def test_evaluate_writes_every_scenario(run_folder: Path, tmp_path: Path) -> None:
    done = engine("evaluate", run_folder, "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "optical+sar+dem" in done.stdout
    with (tmp_path / "scenarios.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["scenario"] for row in rows] == [
        "optical", "sar", "dem", "optical+sar", "optical+dem", "sar+dem", "optical+sar+dem", "mean",
    ]  # fmt: skip
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["split"] == "validation"
    assert sum(map(sum, report["scenarios"][0]["confusion"])) == int(rows[0]["pixels"])
    assert [one["name"] for one in report["bias"]["contributions"]] == ["optical", "sar", "dem"]
    shares = [one["shapley"] for one in report["bias"]["contributions"]]
    assert sum(shares) == pytest.approx(float(rows[6]["miou"]))
    assert f"{report['bias']['dominant']} contributes most" in done.stdout
    assert str(tmp_path / "report.html") in done.stdout
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings[-6:] == [
        "mIoU by scenario", "Learning curves", "IoU of each class", "Maps beside the truth", "Confusion matrices",
        "Where the splits lie",
    ]  # fmt: skip
    assert "<script" not in page
    assert page.count('alt="Mapped from ') == page.count('alt="Confusion matrix of ') == 7
    assert f'<td class="number">{float(rows[0]["iou_water"]):.3f}<br>' in page


def test_evaluate_lays_out_the_scores_of_images(run_folder: Path, tmp_path: Path) -> None:
    def ran(*words: object) -> Done:
        return engine("evaluate", run_folder, "--protocol", "lgss", *words)

    done = ran("-o", tmp_path / "one")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("±") == 7 * 4 + 1
    shutil.copytree(run_folder, tmp_path / "again")
    assert ran(tmp_path / "again", "-o", tmp_path / "two").returncode == 0
    one, two = (
        list(csv.DictReader((tmp_path / name / "lgss.csv").read_text().splitlines())) for name in ("one", "two")
    )
    assert [row["scenario"] for row in one] == [
        "optical+sar+dem", "optical+sar", "optical+dem", "sar+dem", "optical", "sar", "dem",
    ]  # fmt: skip
    assert [2 * int(row["images"]) for row in one] == [int(row["images"]) for row in two]
    report = json.loads((tmp_path / "one" / "lgss.json").read_text())
    assert len(report["scenarios"][0]["scores"]) == int(one[0]["images"])
    for words, said in (
        ([str(tmp_path / "again")], "--protocol lgss only"),
        ([str(run_folder), "-o", str(tmp_path / "x")], "stands there twice"),
        (["--set", "data.root=nowhere"], "data.root: there is no folder"),
        (["--data", str(other(tmp_path, run_folder))], "its classes are"),
    ):
        refused = ran(*words)
        assert refused.returncode == 2
        assert said in refused.stderr


def other(folder: Path, run: Path) -> Path:
    """The run's recipe with another value for a class."""
    text = (run / "recipe.yaml").read_text()
    path = folder / "other.yaml"
    path.write_text(text.replace("- value: 3\n", "- value: 33\n"))
    return path


def started(make_recipe: MakeRecipe, folder: Path, run: Path, *overrides: str) -> Recipe:
    """A fine-tuning of the run's weights, by other chips."""
    stage = ('stages.0.name="tune"', "stages.0.schedule.validate_every=null")
    return make_recipe(folder, [*OVERRIDES, *stage, f"start.run={run}", "seed=5", *overrides])


def test_a_training_starts_from_a_run_and_goes_on_without_it(
    make_recipe: MakeRecipe, tmp_path: Path, run_folder: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(run_folder, base)
    modalities = json.loads((base / "modalities.json").read_text())
    modalities[0]["statistics"][0]["mean"] += 1  # as of other data
    (base / "modalities.json").write_text(json.dumps(modalities))
    recipe = started(make_recipe, tmp_path, base)

    def stop(after: int) -> Callable[[Report], None]:
        def told(report: Report) -> None:
            if report.step == after:
                raise KeyboardInterrupt

        return told

    first = Training(recipe, tmp_path / "broken", accelerator="cpu", report=stop(3))
    assert same(tmp_path / "broken", base)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    Training(recipe, tmp_path / "whole", accelerator="cpu").run()
    shutil.rmtree(base)
    Training(recipe, tmp_path / "broken", resume=True, accelerator="cpu").run()
    assert same(tmp_path / "whole", tmp_path / "broken")
    assert not same(tmp_path / "whole", run_folder)
    assert json.loads((tmp_path / "whole" / "modalities.json").read_text()) == modalities
    assert newest(tmp_path / "whole" / "checkpoints", "best") is None  # it was never validated
    with pytest.raises(RunError, match="has no best checkpoint; it has a last one: --checkpoint last"):
        open_run(tmp_path / "whole", "best")


def test_a_sensor_starts_from_another_ones_weights(make_recipe: MakeRecipe, tmp_path: Path, run_folder: Path) -> None:
    recipe = started(make_recipe, tmp_path, run_folder, "start.modalities={dem: sar}")
    one = recipe.modalities[2]
    scenes = tuple(scene.model_copy(update={"sources": {"dem": scene.sources["dem"]}}) for scene in recipe.data.scenes)
    data = recipe.data.model_copy(update={"scenes": scenes})
    recipe = recipe.model_copy(update={"modalities": (one,), "data": data})
    training = Training(recipe, tmp_path / "run", accelerator="cpu")
    given, taken = weights(run_folder), weights(tmp_path / "run")
    assert torch.equal(taken["network.head.fuse.weight"], given["network.head.fuse.weight"])
    norm = "network.encoder.norms.{}.weight"
    assert torch.equal(taken[norm.format("dem")], given[norm.format("sar")])
    stem = "network.encoder.convolutions.{}.weight"  # of one band, the radar's of two
    assert taken[stem.format("dem")].shape[1] == 1 != given[stem.format("sar")].shape[1]
    assert torch.equal(taken["offset_dem"], given["offset_dem"])
    assert not any("sar" in key for key in taken)
    training.run()
    assert recipe.start is not None
    start = recipe.start.model_copy(update={"modalities": {"dem": "heat"}})
    with pytest.raises(RecipeError, match="heat is none of the run's: dem, optical, sar"):
        Training(recipe.model_copy(update={"start": start}), tmp_path / "other", accelerator="cpu")


def test_a_run_of_another_task_is_no_start(make_recipe: MakeRecipe, tmp_path: Path, run_folder: Path) -> None:
    other = ["network={name: cmx_cnn, options: {size: tiny}}"]
    with pytest.raises(RecipeError, match=r"data\.scaling differs"):
        Training(started(make_recipe, tmp_path, run_folder, "data.scaling=range"), tmp_path / "run", accelerator="cpu")
    with pytest.raises(RecipeError, match="network differs"):
        Training(started(make_recipe, tmp_path, run_folder, *other), tmp_path / "run", accelerator="cpu")
    recipe = started(make_recipe, tmp_path, run_folder, "modalities.1.bands=[VH, VV]")
    with pytest.raises(RecipeError, match="modalities differs"):
        Training(recipe, tmp_path / "run", accelerator="cpu")
    with pytest.raises(RunError, match="is no run folder"):
        Training(started(make_recipe, tmp_path, tmp_path / "none"), tmp_path / "run", accelerator="cpu")
    assert not (tmp_path / "run").exists()


def staged(recipe: Recipe) -> Recipe:
    """The recipe with a second stage, which trains the head alone, with another optimiser and schedule."""
    first = recipe.stages[0]
    schedule = first.schedule.model_copy(
        update={"epochs": 2, "batch": 6, "optimizer": OptimizerSettings(name="adam", learning_rate=1e-3)}
    )
    second = first.model_copy(update={"name": "head", "schedule": schedule, "trainable": ("head.*",)})
    return recipe.model_copy(update={"stages": (first, second)})


def test_a_stage_trains_only_what_it_names(make_recipe: MakeRecipe, tmp_path: Path, run_folder: Path) -> None:
    run = tmp_path / "run"
    Training(staged(make_recipe(tmp_path)), run, accelerator="cpu").run()
    before, after = weights(run_folder), weights(run)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert all(key.startswith("network.head.") for key in changed)
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row["name"] == "train/loss/cross_entropy"] == list("123456")
    assert [row["step"] for row in rows if row["name"] == "head/loss/cross_entropy"] == ["7", "8", "9", "10"]
    best = json.loads((checkpoint(run, "best") / "progress.json").read_text())
    assert best["step"] == 10, "the best checkpoint is the last stage's, whatever the first one reached"


@pytest.mark.parametrize("stop_after", [6, 8])
def test_a_resume_knows_its_stage(make_recipe: MakeRecipe, tmp_path: Path, stop_after: int) -> None:
    recipe = staged(make_recipe(tmp_path, OVERRIDES))
    Training(recipe, tmp_path / "whole", accelerator="cpu").run()

    def stop(report: Report) -> None:
        if report.step == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(recipe, tmp_path / "broken", accelerator="cpu", report=stop).run()
    assert int(checkpoint(tmp_path / "broken", "last").name.split("-")[1]) == stop_after
    Training(recipe, tmp_path / "broken", resume=True, accelerator="cpu").run()
    assert same(tmp_path / "whole", tmp_path / "broken")
    assert (tmp_path / "broken/metrics.csv").read_text() == (tmp_path / "whole/metrics.csv").read_text()


@pytest.mark.parametrize("stop_after", [6, 8])
def test_a_fine_tuning_by_the_latent_goes_on_with_the_scenarios_that_it_measured(
    make_recipe: MakeRecipe, tmp_path: Path, stop_after: int
) -> None:
    recipe = make_recipe(tmp_path, OVERRIDES)
    first = recipe.stages[0]
    tune = first.model_copy(update={"name": "tune", "method": MethodSettings(scenarios=Named(name="latent_guided"))})
    recipe = recipe.model_copy(update={"stages": (first, tune)})
    notices: list[str] = []
    said: list[str] = []
    Training(recipe, tmp_path / "whole", accelerator="cpu", notice=notices.append, say=said.append).run()
    assert [one for one in notices if not one.startswith(("reading", "validation"))][-1].startswith("tune: ")
    said = [line for line in said if not line.startswith("Warning: data.split")]  # of a class in one region
    assert [line.partition(": trains ")[0] for line in said[:2]] == [first.name, "tune"]
    assert said[2] == "scenarios of tune, by the latent mean:"
    assert [line.split()[-1] for line in said[3:]][:2] == ["optical", "sar"]
    assert sum(float(line.split()[0]) for line in said[3:]) == pytest.approx(1, abs=1e-3)

    def stop(report: Report) -> None:
        if report.step == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(recipe, tmp_path / "broken", accelerator="cpu", report=stop).run()
    Training(recipe, tmp_path / "broken", resume=True, accelerator="cpu").run()
    assert same(tmp_path / "whole", tmp_path / "broken")
    one, other = ((tmp_path / run / "scenarios-tune.json").read_text() for run in ("whole", "broken"))
    assert one == other
    assert json.loads(one)["scenarios"][-1] == "optical+sar+dem"
    assert json.loads(one)["distortions"][-1] == 0


def adapted(recipe: Recipe, network: str) -> Recipe:
    """A stage of everything, one of low-rank matrices, and a last one of everything."""
    first = recipe.stages[0]
    lora = first.model_copy(update={"name": "lora", "lora": LoraSettings(rank=2)})
    last = first.model_copy(update={"name": "last"})
    options: dict[str, object] = {"size": "tiny"} if network != "mean_fusion" else {"encoder": "segformer-tiny"}
    return recipe.model_copy(update={"stages": (first, lora, last), "network": Named(name=network, options=options)})


@pytest.mark.parametrize(("network", "stop_after"), [("mean_fusion", 12), ("cmx_cnn", 8)])
def test_low_rank_matrices_are_trained_alone_merged_and_resumed(
    make_recipe: MakeRecipe, tmp_path: Path, network: str, stop_after: int
) -> None:
    recipe = adapted(make_recipe(tmp_path, [*OVERRIDES, "stages.0.schedule.validate_every=null"]), network)
    plain = recipe.model_copy(update={"stages": recipe.stages[:1]})
    tuned = recipe.model_copy(update={"stages": recipe.stages[:2]})
    Training(plain, tmp_path / "plain", accelerator="cpu").run()
    Training(tuned, tmp_path / "tuned", accelerator="cpu").run()
    before = open_run(tmp_path / "plain", "last")[1].state_dict()
    after = open_run(tmp_path / "tuned", "last")[1].state_dict()
    assert before.keys() == after.keys(), "nothing of the adaptation is left"
    patterns = open_run(tmp_path / "plain", "last")[1].network.lora_targets
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    layers = {key.removeprefix("network.").rpartition(".")[0] for key in changed}
    assert all(any(fnmatchcase(layer, pattern) for pattern in patterns) for layer in layers)
    assert all(key.endswith(".weight") for key in changed), "biases stay"

    Training(recipe, tmp_path / "whole", accelerator="cpu").run()

    def stop(report: Report) -> None:
        if report.step == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(recipe, tmp_path / "broken", accelerator="cpu", report=stop).run()
    Training(recipe, tmp_path / "broken", resume=True, accelerator="cpu").run()
    assert same(tmp_path / "whole", tmp_path / "broken")


def test_a_pattern_that_names_no_layer_is_refused(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = adapted(make_recipe(tmp_path), "cmx_cnn")
    stage = recipe.stages[1].model_copy(update={"lora": LoraSettings(targets=("decoder.*",))})
    with pytest.raises(RecipeError, match=r"lora.targets: 'decoder\.\*' matches no linear layer"):
        Training(recipe.model_copy(update={"stages": (stage,)}), tmp_path / "run", accelerator="cpu")


def test_frozen_parts_keep_their_running_statistics() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1), nn.Dropout())
    chosen = freeze(network, ["1.*"])
    assert [tuple(parameter.shape) for parameter in chosen] == [(2, 2, 1, 1), (2,)]
    train_mode(network)
    assert [module.training for module in network] == [False, True, True]
