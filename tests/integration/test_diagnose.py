"""`engine diagnose`: weights that stay, and what is drawn of them."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from commands import engine
from matplotlib import pyplot

from engine.data.chips import complete_chips
from engine.data.survey import SceneCollection
from engine.evaluation.diagnostics import class_similarity
from engine.training.loop import Training
from engine.training.recipe import Recipe
from engine.training.run import open_checkpoint, open_run
from engine.training.settings import LoraSettings

MakeRecipe = Callable[..., Recipe]


def test_weights_are_kept_for_diagnoses(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    overrides = [
        "data.chip=48",
        "stages.0.schedule.keep_every=3",
        "stages.0.method.scenarios=complete",
        "stages.0.method.objectives=[stars, {name: functional_entropy, options: {form: inputs, feature_form: common}}]",
        "network={name: stars, options: {encoder: resnet-tiny, pyramid: 8, width: 8}}",
    ]
    run = tmp_path / "run"
    Training(make_recipe(tmp_path, overrides), run, accelerator="cpu").run()
    kept = sorted((run / "checkpoints").glob("kept-*"))
    assert [path.name for path in kept] == ["kept-000000000", "kept-000000003", "kept-000000006"]
    assert sorted(file.name for file in kept[0].iterdir()) == ["progress.json", "weights.safetensors"]

    done = engine("diagnose", run)
    assert done.returncode == 0, done.stderr
    folder = run / "diagnostics" / "validation"
    names = (
        "information.png",
        "similarity.png",
        "similarity.json",
        "saliency.png",
        "parameters.png",
        "activations.png",
    )
    assert done.stdout.splitlines() == [str(folder / name) for name in names]
    for name in names:
        if name.endswith(".png"):
            assert len(np.unique(pyplot.imread(folder / name))) > 50
    found = json.loads((folder / "similarity.json").read_text())["similarity"]
    recipe, _ = open_run(run, "last")
    for step, path in zip((0, 3, 6), kept, strict=True):
        segmenter = open_checkpoint(recipe, run, path)
        data = recipe.data
        with closing(SceneCollection(data, data.root, segmenter.modalities, recipe.class_values)) as collection:
            expected = class_similarity(segmenter, complete_chips(collection, "validation"))
        (drawn,) = [one for one in found if (one["step"], one["rows"], one["columns"]) == (step, "sar", "dem")]
        np.testing.assert_allclose(np.array(drawn["mean_cosine"], dtype=float), expected["sar", "dem"], rtol=1e-6)
    assert found[0]["mean_cosine"] != found[3]["mean_cosine"]
    pairs = [("optical", "sar"), ("optical", "dem"), ("sar", "dem")]
    assert [(one["step"], one["rows"], one["columns"]) for one in found] == [
        (step, *pair) for step in (0, 3, 6) for pair in pairs
    ]


def test_weights_are_kept_before_low_rank_matrices_stand_beside_them(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path)
    first = recipe.stages[0]
    schedule = first.schedule.model_copy(update={"keep_every": 3})
    tuned = first.model_copy(update={"name": "tune", "lora": LoraSettings(), "schedule": schedule})
    recipe = recipe.model_copy(update={"stages": (first, tuned)})
    Training(recipe, tmp_path / "run", accelerator="cpu").run()
    paths = sorted((tmp_path / "run" / "checkpoints").glob("kept-*"))
    assert [int(path.name[-9:]) for path in paths] == [6, 9, 12]
    for path in paths:
        open_checkpoint(recipe, tmp_path / "run", path)


def test_of_every_network_there_is_similarity_and_saliency(run_folder: Path, tmp_path: Path) -> None:
    done = engine("diagnose", run_folder, "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    names = ["similarity.png", "similarity.json", "saliency.png"]
    assert done.stdout.splitlines() == [str(tmp_path / name) for name in names]
    for name in ("similarity.png", "saliency.png"):
        assert len(np.unique(pyplot.imread(tmp_path / name))) > 50
    pairs = [("optical", "sar"), ("optical", "dem"), ("sar", "dem")]
    found = json.loads((tmp_path / "similarity.json").read_text())["similarity"]
    assert [(one["rows"], one["columns"]) for one in found] == pairs
