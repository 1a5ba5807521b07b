"""What `engine init`'s recipes are to have as defaults: fusion, class balance, augmentation, averages of weights.

For each data set the recipe that `engine init` writes, by plain averages of its sensors, with one thing changed at a
time, trained for a part of its steps; seeds draw weights, chips and, where regions are split, the split. Scores are
those of the validation split, in every scenario, by the last weights; no test pixel is read. Random forests on the same
pixels stand beside. Rows go to the CSV when a training is done; what stands there is not done again:

    python scripts/experiments/defaults.py DATA --work FOLDER [--seeds 0 1] [--jobs 2] [--only zion/gated]
    python scripts/experiments/defaults.py --table

DATA holds zion/, ombria/, belgium/ and houston2013/.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from common import ROOT, Results, Rows, apart, command_line, places, run, scores, train, trained
from proposals import DATA, proposal

COLUMNS = ("data", "setting", "seed", "scenario", "miou", "overall_accuracy")
RESULTS = Results(ROOT / "docs" / "experiments" / "defaults.csv", COLUMNS)
Job = tuple[str, str, int]
"""Data, setting and seed."""

PLAIN, AVERAGED = "plain", "average of weights"
FORESTS = ("forest, pixels", "forest, windows")
AVERAGE = 0.99
"""What the average keeps at a step: it spans some hundred of the last steps, a third of a segmenter's here."""

STEPS, CHIP = 300, 64
"""Of a segmenter: a sixth of the steps, and chips of a quarter of the area."""

STUDIED = ("zion", "ombria", "belgium", "synthetic", "houston")

Changes = Mapping[str, Any]
"""Keys of a recipe and what they are to be; ``method.`` and ``schedule.`` are those of the last stage."""


def _weighted(how: str) -> Changes:
    return {"method.objectives": [{"name": "cross_entropy", "options": {"class_weights": how}}]}


SEGMENTERS: dict[str, Changes] = {
    PLAIN: {},
    "gated": {"network.options.fusion": "gated"},
    "each sensor's own": {"method.objectives": ["cross_entropy", "unimodal_cross_entropy"]},
    "weights: sqrt": _weighted("sqrt"),
    "augmented": {},
    "cut out": {"data.cutout": 0.5},
    "weights: balanced": _weighted("balanced"),
    "confidence": {"network.options.fusion": "confidence"},
    "cosine": {"schedule.decay": {"name": "cosine", "warmup": 0.05}},
}
LONG: Changes = {"schedule.epochs": 275, "schedule.decay": {"name": "cosine", "warmup": 0.05}}
STANDARD: Changes = {"data.scaling": "standard"}
LVPCNET: Changes = {
    "pretrain": False,
    **STANDARD,
    **LONG,
    "network": {"name": "lvpcnet", "options": {"window": 1, "compensation": "none"}},
}
WINDOWS: dict[str, Changes] = {
    PLAIN: {},
    "no pre-training": {"pretrain": False},
    "no pre-training, all steps": {"pretrain": False, "schedule.epochs": 275, "schedule.decay.step_epochs": 184},
    "standard": STANDARD,
    "no pre-training, standard": {"pretrain": False, **STANDARD},
    "no pre-training, standard, all steps": {
        "pretrain": False,
        **STANDARD,
        "schedule.epochs": 275,
        "schedule.decay.step_epochs": 184,
    },
    "each sensor's own": {"method.objectives": ["cross_entropy", "unimodal_cross_entropy"]},
    "smoothing": {"method.objectives": [{"name": "cross_entropy", "options": {"label_smoothing": 0.1}}]},
    "augmented": {},
    "60 steps": {"pretrain": False, "schedule.epochs": 30, "schedule.decay.step_epochs": 20},
    "standard, longer": {**STANDARD, **LONG},
    "lvpcnet without prompts": LVPCNET,
    "lvpcnet without prompts, dropout": {**LVPCNET, "method.scenarios": "dropout"},
    "lvpcnet without prompts, lower rate": {**LVPCNET, "schedule.optimizer.learning_rate": 0.0003},
}
"""A training takes 3 to 6 minutes of one core.

Those of segmenters were fixed before the first result; of windows, those from "60 steps" on were added when the others
had two seeds, or one ("smoothing", "augmented").
"""


def settings(data: str) -> dict[str, Changes]:
    """What is tried on a data set."""
    return WINDOWS if DATA[data].windows else SEGMENTERS


def recipe_of(job: Job, path: Path) -> Any:  # noqa: ANN401
    """The recipe of a training, made from the one that `engine init` proposes."""
    from engine.training.recipe import read_recipe

    data, setting, seed = job
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    changes = dict(settings(data)[setting])
    stages = content["stages"]
    if not changes.pop("pretrain", True):
        del stages[0]
    last = stages[-1]
    if not DATA[data].windows:
        changes.setdefault("network.options.fusion", "mean")  # `engine init` proposes `gated` since
        last["schedule"] |= {"epochs": STEPS // 100, "samples": 100 * last["schedule"]["batch"]}
    last["schedule"] |= {"validate_every": None, "workers": 0, "ema": AVERAGE}
    last.setdefault("method", {})
    for key in [key for key in changes if key.partition(".")[0] in ("method", "schedule")]:
        place = last
        *parents, name = key.split(".")
        for parent in parents:
            place = place[parent]
        place[name] = changes.pop(key)
    if setting == "augmented":
        changes["data.augment"] = DATA[data].augment
    if content["data"]["split"]["kind"] in ("components", "folds"):
        changes["data.split.seed"] = seed
    if not DATA[data].windows:
        changes["data.chip"] = min(CHIP, content["data"]["chip"])
    overrides = {"seed": seed, "stages": stages, **changes}
    return read_recipe(path, [f"{key}={json.dumps(value)}" for key, value in overrides.items()])


def done(job: Job, root: Path, work: Path) -> Rows:
    """Trains one setting, or grows forests, and scores it on validation.

    A training's weights are scored, and, of the plain one, their average too.
    """
    from engine.data.survey import SceneCollection, survey
    from engine.evaluation.forests import score_forests
    from engine.training import checkpoints

    data, setting, seed = job
    recipe = recipe_of((data, PLAIN if setting == "forest" else setting, seed), proposal(data, root, work))
    if setting == "forest":
        with closing(
            SceneCollection(recipe.data, recipe.data.root, recipe.modality_values, recipe.class_values)
        ) as raw:
            modalities = survey(raw).modalities
        with closing(SceneCollection(recipe.data, recipe.data.root, modalities, recipe.class_values)) as collection:
            found = score_forests(collection, "validation")
        return [
            {"data": data, "setting": f"forest, {kind}", "seed": seed, **{key: row[key] for key in COLUMNS[3:]}}
            for kind, evaluation in found.items()
            for row in evaluation.rows()
        ]
    folder = work / "-".join(map(str, job)).translate(str.maketrans(" ,:'", "----"))
    train(recipe, folder)
    rows: Rows = []
    with trained(recipe, folder) as (segmenter, collection):
        for name in (setting, AVERAGED) if setting == PLAIN else (setting,):
            checkpoints.load(checkpoints.find(folder, "last"), segmenter, trained=name != AVERAGED)
            rows += [
                {"data": data, "setting": name, "seed": seed, **row}
                for row in scores(segmenter, collection, "validation")
            ]
    return rows


def table() -> None:
    """Prints each setting's mean over the scenarios, and by how many points it is above the plain one, by data set."""
    found: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for row in RESULTS.read():
        own = found.setdefault((row["data"], row["setting"]), {})
        own.setdefault(row["scenario"], {})[int(row["seed"])] = float(row["miou"])
    for data in STUDIED:
        names = [name for where, name in found if where == data]
        if PLAIN not in names:
            continue
        first = found[data, PLAIN]
        print(f"\n{data}\n\n| | seeds | " + " | ".join(first) + " |\n" + "|---" * (len(first) + 2) + "|")
        for name in names:
            words = []
            for scenario, reference in first.items():
                seeds = found[data, name][scenario]
                word = f"{sum(seeds.values()) / len(seeds):.3f}"
                above = apart(seeds, reference) if name != PLAIN else ""
                words.append(f"{word} ({above})" if above else word)
            print(f"| {name} | {len(found[data, name]['mean'])} | " + " | ".join(words) + " |")


def main() -> None:
    """Does what is missing, or prints the table."""
    parser = command_line(__doc__, [0, 1], jobs=2)
    parser.add_argument("--only", nargs="+", default=[], metavar="DATA[/SETTING]")
    arguments = parser.parse_args()
    if arguments.table:
        table()
        return
    root, work = places(parser, arguments)
    there = {(row["data"], row["setting"], int(row["seed"])) for row in RESULTS.read()}
    there |= {(data, "forest", seed) for data, setting, seed in there if setting in FORESTS}
    jobs: list[Job] = [
        (data, setting, seed)
        for seed in arguments.seeds
        for setting in dict.fromkeys(["forest", *SEGMENTERS, *WINDOWS])
        for data in STUDIED
        if setting in ("forest", *settings(data))
        if (data, setting, seed) not in there
        and (not arguments.only or data in arguments.only or f"{data}/{setting}" in arguments.only)
    ]
    doing = partial(done, root=root, work=work)
    sys.exit(not run(jobs, doing, RESULTS, arguments.jobs))


if __name__ == "__main__":
    main()
