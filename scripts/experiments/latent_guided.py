"""Fine-tuning under scenarios drawn by the latent, uniformly, or with low-rank matrices: which is best in the mean?

For each data set, network and seed one base training under uniformly drawn scenarios, then fine-tunings of the same
number of steps from its last weights, on the same chips in the same order. Nothing is chosen on the way: no
validation, the last weights, one reading of the test split. A row a scenario goes to the CSV when its seed is done;
what stands there is not done again:

    python scripts/experiments/latent_guided.py DATA --work FOLDER [--seeds 0 1 2] [--jobs 4] [--only zion/cmx_cnn]
    python scripts/experiments/latent_guided.py --table

DATA holds zion/ and ombria/ (see recipes/zion.yaml and recipes/ombria.yaml).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from common import ROOT, Results, Rows, command_line, places, run, scores, train, trained

COLUMNS = ("data", "network", "seed", "setting", "scenario", "miou", "overall_accuracy", "distortion", "probability")
RESULTS = Results(ROOT / "docs" / "experiments" / "latent_guided.csv", COLUMNS)
Job = tuple[str, str, int, tuple[str, ...]]
"""Data, network, seed, and the settings that are missing."""
DATA = {"zion": "zion.yaml", "ombria": "ombria.yaml"}
TUNINGS: dict[str, dict[str, Any]] = {
    "uniform": {},
    "lora": {"lora": {}},
    "latent_guided": {"method": {"scenarios": "latent_guided"}},
}
RATE = 5e-4


@dataclass(frozen=True)
class Budget:
    """A network's options, steps of its base training and of a fine-tuning, chips of a step, and the fine-tunings.

    ``ombria``: options on OMBRIA alone, whose optical images have six bands.
    """

    options: dict[str, Any]
    base: int
    tuning: int
    batch: int = 8
    tunings: tuple[str, ...] = ("uniform", "latent_guided")
    ombria: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> tuple[str, ...]:
        """The base and its fine-tunings."""
        return ("base", *self.tunings)


BUDGETS = {
    "cmx_cnn": Budget({"size": "small"}, 600, 200),
    "cbc_slp": Budget({"size": "small"}, 300, 75, 4, ombria={"depth": 6}),
    "mean_fusion": Budget({"encoder": "segformer-b0"}, 360, 120, tunings=tuple(TUNINGS)),
}
"""Fixed before the first result: a group takes 10 minutes of one core (cmx_cnn, mean_fusion) or 40 (cbc_slp)."""


def recipe_of(data: str, network: str, seed: int, setting: str, root: Path, base: Path) -> Any:  # noqa: ANN401
    """The recipe of one training."""
    from engine.training.recipe import read_recipe

    budget = BUDGETS[network]
    options = budget.options | (budget.ombria if data == "ombria" else {})
    steps = budget.base if setting == "base" else budget.tuning
    stage = {
        "name": setting,
        **TUNINGS.get(setting, TUNINGS["uniform"]),
        "schedule": {
            "epochs": 1,
            "samples": steps * budget.batch,
            "batch": budget.batch,
            "validate_every": None,
            "checkpoint_every": 100,
            "optimizer": {"name": "adam", "learning_rate": RATE, "weight_decay": 0.0},
            "decay": {"name": "poly", "power": 0.9, "warmup": 0.05 if setting == "base" else 0.0},
        },
    }
    overrides = {
        "name": f"{data}-{network}-{setting}-{seed}",
        "seed": seed if setting == "base" else 1000 + seed,
        "data.root": str(root / data if data == "ombria" else root),
        "data.chip": 128,
        "network": {"name": network, "options": options},
        "stages": [stage],
        **({} if setting == "base" else {"start": {"run": str(base)}}),
    }
    return read_recipe(
        ROOT / "recipes" / DATA[data], [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
    )


def rows_of(recipe: Any, folder: Path, setting: str) -> Rows:  # noqa: ANN401
    """Scores of a run on the test split in every scenario."""
    with trained(recipe, folder) as (segmenter, collection):
        rows = scores(segmenter, collection, "test")
    if setting == "latent_guided":
        drawn = json.loads((folder / f"scenarios-{setting}.json").read_text(encoding="utf-8"))
        for row in rows[:-1]:
            place = drawn["scenarios"].index(row["scenario"])
            row |= {
                key: drawn[many][place]
                for key, many in (("distortion", "distortions"), ("probability", "probabilities"))
            }
    return rows


def group(job: Job, root: Path, work: Path) -> Rows:
    """All trainings of one seed that are missing; the base is trained again where its folder is gone."""
    data, network, seed, missing = job
    rows: Rows = []
    base = work / f"{data}-{network}-{seed}-base"
    for setting in BUDGETS[network].settings:
        if setting == "base" or setting in missing:
            folder = work / f"{data}-{network}-{seed}-{setting}"
            recipe = recipe_of(data, network, seed, setting, root, base)
            train(recipe, folder)
        if setting in missing:
            known = {"data": data, "network": network, "seed": seed, "setting": setting}
            rows += [{**known, **row} for row in rows_of(recipe, folder, setting)]
    return rows


def table() -> None:
    """Prints the mean over the scenarios of each setting, and the paired differences with their 95 % intervals.

    A group is one base training with its fine-tunings; differences are in points of mIoU.
    """
    import numpy as np
    from scipy import stats

    found = {
        (row["data"], row["network"], int(row["seed"]), row["setting"]): float(row["miou"])
        for row in RESULTS.read()
        if row["scenario"] == "mean"
    }
    settings = ("base", *TUNINGS)
    pairs = (("latent_guided", "uniform"), ("uniform", "lora"), ("latent_guided", "base"), ("uniform", "base"))
    headings = ["data", "network", "groups", *settings, *(f"{one} - {other}" for one, other in pairs)]
    print("| " + " | ".join(headings) + " |")
    print("|---" * len(headings) + "|")
    groups = list(dict.fromkeys(key[:3] for key in found))
    groups = [key for key in groups if all((*key, setting) in found for setting in BUDGETS[key[1]].settings)]
    cells = list(dict.fromkeys(key[:2] for key in groups))
    for data, network in [*cells, ("all", "all")]:
        chosen = [key for key in groups if data == "all" or key[:2] == (data, network)]
        words = [data, network, str(len(chosen))]
        for setting in settings:
            own = [found[(*key, setting)] for key in chosen if (*key, setting) in found]
            words.append(f"{np.mean(own):.4f}" if len(own) == len(chosen) else "")
        for one, other in pairs:
            both = [key for key in chosen if {(*key, one), (*key, other)} <= found.keys()]
            apart = 100 * np.array([found[(*key, one)] - found[(*key, other)] for key in both])
            if len(both) < 2:
                words.append("")
                continue
            half = stats.t.ppf(0.975, len(both) - 1) * apart.std(ddof=1) / len(both) ** 0.5
            words.append(f"{apart.mean():+.2f} ± {half:.2f}")
        print("| " + " | ".join(words) + " |")


def main() -> None:
    """Does what is missing, or prints the table."""
    parser = command_line(__doc__, [0, 1, 2], jobs=4)
    parser.add_argument("--only", nargs="+", default=[], metavar="DATA/NETWORK")
    arguments = parser.parse_args()
    if arguments.table:
        table()
        return
    root, work = places(parser, arguments)
    there = {(row["data"], row["network"], int(row["seed"]), row["setting"]) for row in RESULTS.read()}
    chosen = arguments.only or [f"{data}/{network}" for network in BUDGETS for data in DATA]
    jobs: list[Job] = []
    for seed in arguments.seeds:
        for one in chosen:
            data, _, network = one.partition("/")
            missing = tuple(
                setting for setting in BUDGETS[network].settings if (data, network, seed, setting) not in there
            )
            if missing:
                jobs.append((data, network, seed, missing))
    doing = partial(group, root=root, work=work)
    sys.exit(not run(jobs, doing, RESULTS, arguments.jobs))


if __name__ == "__main__":
    main()
