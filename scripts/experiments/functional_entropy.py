"""Functional entropy: do its terms raise the mean over the scenarios and lower their spread?

On each data set three networks with and without terms, each at the weight of the paper, under random modality dropout;
on OMBRIA a small mean_fusion on complete samples with every form, and with the cross-entropy of single sensors or
dropout instead; the fusions of mean_fusion, and on Zion STARS fine-tuned under latent-guided scenarios. All of a seed
and network learn from the same chips in the same order for the same number of steps; what is fine-tuned goes on for a
quarter of them. Validation and test are scored once, with the last weights; what is chosen (a fusion) is chosen by the
rows of the validation split. Rows of the form that is withdrawn stand in functional_entropy_withdrawn.csv and cannot be
made again:

    python scripts/experiments/functional_entropy.py DATA --work FOLDER [--seeds 0 1 2] [--jobs 4] [--only zion/stars]
    python scripts/experiments/functional_entropy.py --table [validation]

DATA holds zion/ and ombria/.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from common import ROOT, Results, Rows, apart, run, scores, train, trained

COLUMNS = ("data", "network", "setting", "seed", "split", "scenario", "miou", "overall_accuracy")
RESULTS = Results(ROOT / "docs" / "experiments" / "functional_entropy.csv", COLUMNS)
Job = tuple[str, str, str, int]
"""Data, network, setting and seed."""
BATCH, RATE = 8, 5e-4


def entropy(**options: object) -> dict[str, Any]:
    """The objective with the terms that are named, at the weights of the paper."""
    return {"name": "functional_entropy", "options": {"prediction": 0, "features": 0, **options}}


INPUTS, CONDITIONAL = {"prediction": 0.3, "form": "inputs"}, {"prediction": 0.3, "form": "conditional"}
SEGMENTATION, COMMON = {"features": 0.02, "feature_form": "segmentation"}, {"features": 0.02, "feature_form": "common"}


@dataclass(frozen=True)
class Setting:
    """One training.

    Args:
        objectives: What is minimised beside the network's own.
        network: Options of the network beside the budget's.
        start: The setting that it is fine-tuned from.
        scenarios: The sampler.
        balanced: Whether classes weigh by the inverse root of their share of the training pixels.
    """

    objectives: tuple[str | dict[str, Any], ...] = ()
    network: dict[str, Any] | None = None
    start: str | None = None
    scenarios: str = "dropout"
    balanced: bool = False


NONE = {"none": Setting()}
TERMS = {
    **NONE,
    "inputs": Setting((entropy(**INPUTS),)),
    "conditional": Setting((entropy(**CONDITIONAL),)),
    "segmentation": Setting((entropy(**SEGMENTATION),)),
    "common": Setting((entropy(**COMMON),)),
    "unimodal cross-entropy": Setting(("unimodal_cross_entropy",)),
}
FUSIONS = {f"{fusion}, none": Setting(network={"fusion": fusion}) for fusion in ("confidence", "gated")}
BALANCED = {
    **NONE,
    **{
        f"{fusion}, balanced": Setting(network={"fusion": fusion}, balanced=True)
        for fusion in ("mean", "confidence", "gated")
    },
}
TUNED = {
    "tuned, uniform": Setting(start="none", scenarios="uniform"),
    "tuned, latent-guided": Setting(start="none", scenarios="latent_guided"),
}


@dataclass(frozen=True)
class Budget:
    """A network, its recipe options and steps, its settings, and the chips' size in pixels."""

    network: str
    options: dict[str, Any]
    steps: int
    settings: dict[str, Setting]
    chip: int = 128


COMMON_ALONE = {name: TERMS[name] for name in ("none", "common")}
MEAN_FUSION = Budget("mean_fusion", {"encoder": "segformer-b0"}, 360, {**COMMON_ALONE, **FUSIONS})
STARS = Budget("stars", {"encoder": "resnet-tiny", "pyramid": 64, "width": 32}, 800, COMMON_ALONE)
COMPLETE = {
    **{name: replace(setting, scenarios="complete") for name, setting in TERMS.items()},
    "dropout": Setting(),
}
WITHOUT_PREDICTIONS = {
    **{name: TERMS[name] for name in ("none", "inputs", "common")},
    "inputs + common": Setting((entropy(**INPUTS, **COMMON),)),
}
CMX_CNN = Budget("cmx_cnn", {"size": "small"}, 400, WITHOUT_PREDICTIONS)
BUDGETS = {
    "zion": {
        "mean_fusion": MEAN_FUSION,
        "mean_fusion, longer": replace(MEAN_FUSION, steps=2000, settings=BALANCED),
        "stars": replace(STARS, settings={**COMMON_ALONE, **TUNED}),
        "cmx_cnn": CMX_CNN,
    },
    "ombria": {
        "mean_fusion": MEAN_FUSION,
        "mean_fusion, complete": Budget("mean_fusion", {"encoder": "resnet-tiny"}, 300, COMPLETE, 64),
        "stars": STARS,
        "cmx_cnn": CMX_CNN,
    },
}
"""Fixed before their first results; the longer trainings came when the others had found no rare class, those on
complete samples with the forms.

cmx_cnn has no predictions of single sensors, which some terms need.
"""


def folder_of(work: Path, job: Job) -> Path:
    """Where the run of one training lies."""
    return work / "".join(letter if letter.isalnum() else "-" for letter in "-".join(map(str, job)))


def recipe_of(job: Job, root: Path, work: Path) -> Any:  # noqa: ANN401
    """The recipe of one training."""
    from engine.training.recipe import read_recipe

    data, key, name, seed = job
    budget = BUDGETS[data][key]
    setting = budget.settings[name]
    stars = budget.network == "stars"
    objectives: list[Any] = ["stars" if stars else "cross_entropy"]
    if setting.balanced:
        weights = _balanced(read_recipe(ROOT / "recipes" / f"{data}.yaml", [f"data.root={json.dumps(str(root))}"]))
        objectives = [{"name": "cross_entropy", "options": {"class_weights": weights}}]
    objectives += setting.objectives
    steps = budget.steps if setting.start is None else budget.steps // 4
    stage = {
        "name": "train" if setting.start is None else "tune",
        "method": {
            "scenarios": "several" if stars and setting.start is None else setting.scenarios,
            "objectives": objectives,
        },
        "schedule": {
            "epochs": 1,
            "samples": steps * BATCH,
            "batch": BATCH,
            "validate_every": None,
            "clip": 5,
            "optimizer": {"name": "adam", "learning_rate": RATE, "weight_decay": 1e-4},
            "decay": {"name": "poly", "power": 0.9, "warmup": 0.05 if setting.start is None else 0.0},
        },
    }
    overrides = {
        "name": "-".join(("entropy", budget.network)),
        "seed": seed if setting.start is None else 1000 + seed,
        "data.root": str(root / "ombria" if data == "ombria" else root),
        "data.chip": budget.chip,
        "network": {"name": budget.network, "options": {**budget.options, **(setting.network or {})}},
        "stages": [stage],
    }
    if setting.start is not None:
        overrides["start"] = {"run": str(folder_of(work, (data, key, setting.start, seed)))}
    return read_recipe(
        ROOT / "recipes" / f"{data}.yaml", [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
    )


def _balanced(recipe: Any) -> list[float]:  # noqa: ANN401
    """Weight of each class: (its share of the training pixels over that of all alike) ** -1/2."""
    from contextlib import closing

    from engine.data.survey import SceneCollection, survey

    data = SceneCollection(recipe.data, recipe.data.root, recipe.modality_values, recipe.class_values)
    with closing(data) as collection:
        counts = survey(collection).class_counts
    return [round(float(weight), 4) for weight in (counts.mean() / counts) ** 0.5]


def work(job: Job, root: Path, folder: Path) -> Rows:
    """Trains one setting, and scores it on the validation and the test split in every scenario."""
    recipe, own = recipe_of(job, root, folder), folder_of(folder, job)
    train(recipe, own)
    known = dict(zip(("data", "network", "setting", "seed"), job, strict=True))
    with trained(recipe, own) as (segmenter, collection):
        return [
            {**known, "split": split, **row}
            for split in ("validation", "test")
            for row in scores(segmenter, collection, split)
        ]


def table(split: str) -> None:
    """Prints mIoU by setting and scenario, with mean and deviation over the scenarios.

    In brackets by how many points mean and deviation are above those of the first setting (of what is fine-tuned: above
    those of the same steps under uniform scenarios), with 95 % intervals by Student's t over the seeds that both have,
    each for itself.
    """
    import numpy as np

    found: dict[tuple[str, str, str], dict[int, dict[str, float]]] = {}
    for row in RESULTS.read():
        if row["split"] == split and row["scenario"] != "mean":
            seeds = found.setdefault((row["data"], row["network"], row["setting"]), {})
            seeds.setdefault(int(row["seed"]), {})[row["scenario"]] = float(row["miou"])
    for data, budgets in BUDGETS.items():
        for network, budget in budgets.items():
            columns = list(next(iter(found.get((data, network, "none"), {0: {}}).values())))
            if not columns:
                continue
            headings = ["", "seeds", *columns, "mean", "deviation"]
            print(f"\n{data}, {network}\n\n| " + " | ".join(headings) + " |\n" + "|---" * len(headings) + "|")
            for name, setting in budget.settings.items():
                reference = "none" if setting.start is None else "tuned, uniform"
                own, first = (found.get((data, network, one), {}) for one in (name, reference))
                if not own:
                    continue
                words = [f"{np.mean([one[column] for one in own.values()]):.3f}" for column in columns]
                for summary in (np.mean, np.std):
                    here, there = (
                        {seed: float(summary(list(one.values()))) for seed, one in part.items()}
                        for part in (own, first)
                    )
                    above = apart(here, there) if name != reference else ""
                    word = f"{np.mean(list(here.values())):.3f}"
                    words.append(f"{word} ({above})" if above else word)
                print(f"| {name} | {len(own)} | " + " | ".join(words) + " |")


def awaited(job: Job) -> Job | None:
    """The training that must be done before this one."""
    data, network, setting, seed = job
    start = BUDGETS[data][network].settings[setting].start
    return None if start is None else (data, network, start, seed)


def main() -> None:
    """Does what is missing, or prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", metavar="DATA")
    parser.add_argument("--work", type=Path, help="where the runs lie")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=4, help="trainings at a time, of one thread each")
    every = [f"{data}/{network}" for data, budgets in BUDGETS.items() for network in budgets]
    parser.add_argument("--only", nargs="+", default=every, choices=every, metavar="DATA/NETWORK")
    parser.add_argument("--table", nargs="?", const="test", choices=["validation", "test"], help="print what there is")
    arguments = parser.parse_args()
    if arguments.table:
        table(arguments.table)
        return
    if arguments.root is None or arguments.work is None:
        parser.error("DATA and --work are needed")
    there = {(row["data"], row["network"], row["setting"], int(row["seed"])) for row in RESULTS.read()}
    waiting: list[Job] = [
        job
        for seed in arguments.seeds
        for data, budgets in BUDGETS.items()
        for network, budget in budgets.items()
        for setting in budget.settings
        if f"{data}/{network}" in arguments.only and (job := (data, network, setting, seed)) not in there
    ]
    doing = partial(work, root=arguments.root.resolve(), folder=arguments.work.resolve())
    sys.exit(not run(waiting, doing, RESULTS, arguments.jobs, awaited))


if __name__ == "__main__":
    main()
