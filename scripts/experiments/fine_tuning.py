"""Does a model of one half of Zion help with few labels of other classes in the other half?

The western half's model (all labels, seven classes) is fine-tuned to 20, 50 or 200 labelled pixels a class of the
eastern half, whose legend has five classes: four that take the weights of one of the western classes and one, used
land, that is new. Beside it the same network from random weights, for as many steps and for three times as many. Every
arm of a seed learns from the same pixels; the last weights are scored on the eastern test blocks in every scenario,
once. Rows go to the CSV when a group is done; what stands there is not done again:

    python scripts/experiments/fine_tuning.py DATA --work FOLDER [--seeds 0 1] [--jobs 2] [--labels 20 50 200]
    python scripts/experiments/fine_tuning.py --table

DATA holds zion/.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, Results, Rows, apart, command_line, places, run, scores, train, trained

COLUMNS = ("labels", "seed", "setting", "scenario", "miou", "overall_accuracy")
RESULTS = Results(ROOT / "docs" / "experiments" / "fine_tuning.csv", COLUMNS)
Job = tuple[int, int]
"""Labelled pixels of a class, and seed."""

FILES = {
    "optical": "zion_landsat8_b2345_30m.tif",
    "dem": "zion_srtm_30m.tif",
    "labels": "zion_nlcd8_30m.tif",
}
HALVES = ("west", "east")
CHIP, BASE_STEPS, STEPS = 64, 600, 150
USUAL = 5e-4
"""The learning rate from random weights."""

LEGEND = {"rock": (3, "barren"), "trees": (4, "forest"), "rangeland": (5, "shrubland"), "wet": (8, "wetlands")}
"""The eastern classes that take weights, with NLCD's values and the western classes; herbaceous is rangeland too."""

NEW = "used land"
"""The eastern class that is new: developed and cultivated."""

ARMS: dict[str, tuple[float, int, bool]] = {
    "from random weights": (USUAL, 1, False),
    "from random weights, three times as long": (USUAL, 3, False),
    "started": (USUAL, 1, True),
    "started, a fifth of the rate": (USUAL / 5, 1, True),
    "started, a tenth of the rate": (USUAL / 10, 1, True),
    "started, classes first": (USUAL / 5, 1, True),
}
"""Learning rate, how many times as many steps, and whether it starts from the western model.

`classes first` trains the layer of the classes alone at the usual rate for a third of the steps. Fixed before the first
result; a training takes two minutes of one core, the western model ten.
"""


def halves(root: Path, work: Path) -> None:
    """Cuts Zion's rasters into a western and an eastern half; the eastern labels get their own legend."""
    import rasterio
    from rasterio.windows import Window

    for name, file in FILES.items():
        with rasterio.open(root / "zion" / file) as source:
            middle = source.width // 2
            for half, window in zip(
                HALVES,
                (Window(0, 0, middle, source.height), Window(middle, 0, source.width - middle, source.height)),
                strict=True,
            ):
                path = work / half / f"{name}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                values = source.read(window=window)
                if name == "labels" and half == "east":
                    old, values = values, np.zeros_like(values)
                    for number, (value, _) in enumerate(LEGEND.values(), 1):
                        values[old == value] = number
                    values[old == 6] = list(LEGEND).index("rangeland") + 1
                    values[(old == 2) | (old == 7)] = len(LEGEND) + 1
                size = {"width": values.shape[2], "height": values.shape[1]}
                profile = source.profile | size | {"transform": source.window_transform(window)}
                with rasterio.open(path, "w", **profile) as target:
                    target.write(values)
                    target.descriptions = source.descriptions


def schedule(steps: int, rate: float) -> dict[str, Any]:
    """Of a stage: so many steps of eight chips."""
    return {
        "epochs": 1,
        "samples": 8 * steps,
        "batch": 8,
        "validate_every": None,
        "optimizer": {"name": "adamw", "learning_rate": rate, "weight_decay": 0.01},
    }


def recipe_of(half: str, seed: int, stages: list[dict[str, Any]], work: Path, more: dict[str, Any]) -> Any:  # noqa: ANN401
    """A half's recipe, with the sensors, classes, network and chips of all."""
    from engine.training.recipe import read_recipe

    names = [*LEGEND, NEW]
    classes = [{"value": number, "name": name, "color": "#777777"} for number, name in enumerate(names, 1)]
    changes: dict[str, Any] = {
        "name": half,
        "seed": seed,
        "data.root": str(work / half),
        "data.scenes": [
            {
                "name": half,
                "sources": {name: f"{name}.tif" for name in ("optical", "dem")},
                "labels": {"path": "labels.tif"},
            }
        ],
        "data.split": {"kind": "blocks", "size": 64, "modulo": 5, "test": [0], "validation": [1], "train": [2, 3, 4]},
        "data.chip": CHIP,
        "network.options.fusion": "mean",
        "stages": stages,
        **({"classes": classes, "data.labels": {}} if half == "east" else {}),
        **more,
    }
    return read_recipe(
        ROOT / "recipes" / "zion-landsat-srtm.yaml", [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    )


def group(job: Job, work: Path) -> Rows:
    """All arms of one number of labels and seed."""
    labels, seed = job
    base = work / f"west-{seed}"
    train(recipe_of("west", seed, [{"schedule": schedule(BASE_STEPS, USUAL)}], work, {}), base)
    rows: Rows = []
    for arm, (rate, times, started) in ARMS.items():
        stages: list[dict[str, Any]] = [{"schedule": schedule(times * STEPS, rate)}]
        if arm.endswith("classes first"):
            first = {"name": "classes", "trainable": ["head.classify.*"], "schedule": schedule(STEPS // 3, USUAL)}
            stages = [first, {"schedule": schedule(STEPS - STEPS // 3, rate)}]
        more: dict[str, Any] = {"data.few": {"per_class": labels, "seed": seed}}
        if started:
            mapping = {new: old for new, (_, old) in LEGEND.items()}
            more["start"] = {"run": str(base), "classes": mapping}
        recipe = recipe_of("east", seed, stages, work, more)
        folder = work / "-".join(["east", str(labels), str(seed), *arm.replace(",", "").split()])
        train(recipe, folder)
        with trained(recipe, folder) as (segmenter, collection):
            found = scores(segmenter, collection, "test")
        rows += [{"labels": labels, "seed": seed, "setting": arm, **row} for row in found]
    return rows


def table() -> None:
    """Prints mIoU by arm and scenario, and by how many points each is above random weights, paired by seed."""
    found: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for row in RESULTS.read():
        own = found.setdefault((row["labels"], row["setting"]), {})
        own.setdefault(row["scenario"], {})[int(row["seed"])] = float(row["miou"])
    if not found:
        return
    first = next(iter(ARMS))
    scenarios = list(next(iter(found.values())))
    print("| labels a class | | seeds | " + " | ".join(scenarios) + " |\n" + "|---" * (len(scenarios) + 3) + "|")
    for (labels, arm), own in found.items():
        words = []
        for scenario, seeds in own.items():
            above = "" if arm == first else apart(seeds, found[labels, first][scenario])
            word = f"{np.mean(list(seeds.values())):.3f}"
            words.append(f"{word} ({above})" if above else word)
        print(f"| {labels} | {arm} | {len(own['mean'])} | " + " | ".join(words) + " |")


def main() -> None:
    """Does what is missing, or prints the table."""
    parser = command_line(__doc__, [0, 1, 2], jobs=2)
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 50, 200])
    arguments = parser.parse_args()
    if arguments.table:
        table()
        return
    root, work = places(parser, arguments)
    there = {(int(row["labels"]), int(row["seed"])) for row in RESULTS.read()}
    jobs: list[Job] = [
        job for seed in arguments.seeds for labels in arguments.labels if (job := (labels, seed)) not in there
    ]
    halves(root, work)
    doing = partial(group, work=work)
    first = min(arguments.labels)

    def awaited(job: Job) -> Job | None:  # the western model is the first one's to train
        return None if job[0] == first else (first, job[1])

    sys.exit(not run(jobs, doing, RESULTS, arguments.jobs, awaited))


if __name__ == "__main__":
    main()
