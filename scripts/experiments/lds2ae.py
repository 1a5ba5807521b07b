"""LDS2AE on Zion, 40 labels a class: does it beat its single-sensor variant, and does its cross-modal term add to it?

Two sensors (Landsat, elevation) and three (visible, near infrared, elevation), blocks apart. Each seed draws its own
labels, the same for all settings: the whole method, what the paper's table 3 leaves out, no pre-training, pre-training
on windows of the whole scene, other shares of hidden patches (figure 6), each sensor alone (the paper's DMAE), and
random forests on the same labels, one for each scenario, on pixels and on windows. Overall and average accuracy and
kappa come from up to so many test pixels of each class, the same for all, weighted by the classes' sizes:

    python scripts/experiments/lds2ae.py DATA --work FOLDER [--seeds 0 1 2 3 4] [--jobs 4] [--only zion]
    python scripts/experiments/lds2ae.py --table [overall_accuracy]

DATA holds zion/.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from common import ROOT, Results, Rows, apart, run, train
from windows import FIGURES, forest_rows, network_rows, pixels

COLUMNS = ("data", "setting", "seed", "split", "scenario", *FIGURES)
RESULTS = Results(ROOT / "docs" / "experiments" / "lds2ae.csv", COLUMNS)
Job = tuple[str, str, int]
"""Data, setting and seed."""
NETWORK = {"window": 7, "width": 64, "depth": 4, "decoder_depth": 2, "heads": 8}
PRETRAIN_STEPS, TUNE_STEPS, BATCH = 400, 150, 140
SCORED = 1000
"""Test pixels of a class."""


@dataclass(frozen=True)
class Setting:
    """A training: options of the pre-training (None: there is none), where its windows lie, the only sensor, steps."""

    diffusion: dict[str, Any] | None = field(default_factory=dict)
    chips: str = "labelled"
    alone: str | None = None
    tuned: int = TUNE_STEPS


WHOLE = {
    "whole": Setting(),
    "windows of the scene": Setting(chips="anywhere"),
    "no cross-modal term": Setting({"cross": 0}),
    "no diffusion": Setting({"noise": False}),
    "no pre-training": Setting(None),
    "no pre-training, as many steps": Setting(None, tuned=PRETRAIN_STEPS + TUNE_STEPS),
}
FORESTS = ("forest, pixels", "forest, windows")
SETTINGS = {
    "zion": {
        **WHOLE,
        **{f"{name} alone": Setting(alone=name) for name in ("optical", "dem")},
        **{f"{share:.0%} hidden": Setting({"mask_ratio": share}) for share in (0.5, 0.9)},
    },
    "zion-three": {**WHOLE, **{f"{name} alone": Setting(alone=name) for name in ("rgb", "nir", "dem")}},
}
"""Fixed before the first result."""


def recipe_of(job: Job, root: Path) -> Any:  # noqa: ANN401
    """The recipe of one training; of a forest that of the labels it learns from."""
    from engine.training.recipe import read_recipe

    data, name, seed = job
    setting = SETTINGS[data].get(name, Setting())
    tune = {"scenarios": "uniform", "objectives": ["cross_entropy"]}
    drop = {"name": "step", "gamma": 0.1, "step_epochs": setting.tuned - 50, "warmup": 0}
    stages = [_stage("finetune", tune, setting.tuned, drop)]
    if setting.diffusion is not None:
        objective = {"name": "local_diffusion", "options": setting.diffusion}
        method = {"scenarios": "complete", "objectives": [objective]}
        first = _stage("pretrain", method, PRETRAIN_STEPS, {"name": "cosine", "warmup": 0}) | {"chips": setting.chips}
        stages.insert(0, first)
    path = ROOT / "recipes" / "lds2ae" / f"{data}.yaml"
    overrides = {
        "seed": seed,
        "data.root": str(root),
        "data.few.seed": seed,
        "data.chip": NETWORK["window"],
        "data.zoom": NETWORK["window"] - 2,
        "network.options": NETWORK,
        "stages": stages,
    }
    if setting.alone is not None:
        recipe = read_recipe(path)
        modality = next(item for item in recipe.modalities if item.name == setting.alone)
        scene = recipe.data.scenes[0].model_copy(
            update={"sources": {modality.name: recipe.data.scenes[0].sources[modality.name]}}
        )
        overrides |= {"modalities": [modality.model_dump(mode="json")], "data.scenes": [scene.model_dump(mode="json")]}
    return read_recipe(path, [f"{key}={json.dumps(value)}" for key, value in overrides.items()])


def _stage(name: str, method: dict[str, Any], steps: int, decay: dict[str, Any]) -> dict[str, Any]:
    """Each step an epoch, of half as many windows as there are labels."""
    schedule = {
        "epochs": steps,
        "samples": BATCH,
        "batch": BATCH,
        "validate_every": None,
        "clip": None,
        "checkpoint_every": 100,
        "optimizer": {"name": "adam", "learning_rate": 1e-3, "weight_decay": 1e-4},
        "decay": decay,
    }
    return {"name": name, "method": method, "schedule": schedule}


def work(job: Job, root: Path, folder: Path) -> Rows:
    """Trains one setting and scores it on validation and test in every scenario."""
    from engine.training.run import open_run

    data, name, seed = job
    recipe = recipe_of(job, root)
    known = {"data": data, "setting": name, "seed": seed}
    window = int(NETWORK["window"])
    if name in FORESTS:
        return _forests(recipe, known, window)
    own = folder / "".join(letter if letter.isalnum() else "-" for letter in "-".join(map(str, job)))
    train(recipe, own)
    _, segmenter = open_run(own, "last")
    with _scenes(recipe_of((data, "whole", seed), root)) as collection:
        rows = []
        for split in ("validation", "test"):
            found = network_rows(segmenter, pixels(collection, segmenter.modalities, split, window, SCORED))
            rows += [{**known, "split": split, **row} for row in found]
        return rows


def _scenes(recipe: Any) -> Any:  # noqa: ANN401
    """A recipe's scenes, to be closed."""
    from engine.data.survey import SceneCollection

    return closing(SceneCollection(recipe.data, recipe.data.root, recipe.modality_values, recipe.class_values))


def _forests(recipe: Any, known: dict[str, Any], window: int) -> Rows:  # noqa: ANN401
    from engine.data.survey import survey

    with _scenes(recipe) as collection:
        modalities = survey(collection).modalities
        names = [modality.name for modality in modalities]
        learned = pixels(collection, modalities, "train", window, None)
        rows = []
        for split in ("validation", "test"):
            drawn = pixels(collection, modalities, split, window, SCORED)
            found = forest_rows(learned, drawn, names, known["seed"], known["setting"] == FORESTS[1])
            rows += [{**known, "split": split, **row} for row in found]
        return rows


def table(figure: str) -> None:
    """Prints a figure on the test split by setting and scenario, means over the seeds.

    In brackets by how many points it is above the whole method, with 95 % intervals by Student's t over the seeds that
    both have, each for itself.
    """
    import numpy as np

    found: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for row in RESULTS.read():
        if row["split"] == "test":
            scenarios = found.setdefault((row["data"], row["setting"]), {})
            scenarios.setdefault(row["scenario"], {})[int(row["seed"])] = float(row[figure])
    for data in SETTINGS:
        whole = found.get((data, "whole"), {})
        print(f"\n{data}, {figure}\n\n| | seeds | " + " | ".join(whole) + " |\n" + "|---" * (len(whole) + 2) + "|")
        for name in (*SETTINGS[data], *FORESTS):
            own = found.get((data, name), {})
            words = []
            for scenario, reference in whole.items():
                seeds = own.get(scenario, {})
                word = f"{np.mean(list(seeds.values())):.3f}" if seeds else ""
                above = apart(seeds, reference) if seeds and name != "whole" else ""
                words.append(f"{word} ({above})" if above else word)
            count = len(next(iter(own.values()), {}))
            print(f"| {name} | {count} | " + " | ".join(words) + " |")


def main() -> None:
    """Does what is missing, or prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", metavar="DATA")
    parser.add_argument("--work", type=Path, help="where the runs lie")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--jobs", type=int, default=4, help="trainings at a time, of one thread each")
    parser.add_argument("--only", nargs="+", default=list(SETTINGS), choices=list(SETTINGS), metavar="DATA")
    parser.add_argument("--table", nargs="?", const=FIGURES[0], choices=FIGURES, help="print what there is")
    arguments = parser.parse_args()
    if arguments.table:
        table(arguments.table)
        return
    if arguments.root is None or arguments.work is None:
        parser.error("DATA and --work are needed")
    there = {(row["data"], row["setting"], int(row["seed"])) for row in RESULTS.read()}
    waiting: list[Job] = [
        job
        for seed in arguments.seeds
        for data in arguments.only
        for name in (*SETTINGS[data], *FORESTS)
        if (job := (data, name, seed)) not in there
    ]
    doing = partial(work, root=arguments.root.resolve(), folder=arguments.work.resolve())
    sys.exit(not run(waiting, doing, RESULTS, arguments.jobs))


if __name__ == "__main__":
    main()
