"""STARS: does a sensor map better alone when it has learned beside another one?

On each data set STARS, its ablations (tables 4 and 5 of the paper) and the models that it is compared with: one sensor
alone, one fine-tuned from the other, all stacked as one; the recipes of recipes/stars, made small. All of a seed learn
from the same chips in the same order for the same number of steps; what is fine-tuned has learned for as many from the
other sensor before. Nothing is chosen on the way: no validation, the last weights, one reading of the test split. A row
a scenario goes to the CSV when a training is done; what stands there is not done again.

A step of STARS trains every sensor and all together, so that as many steps are an equal exposure; the weak sensor
alone, "longer", takes three times as many, which cost about what those of STARS do:

    python scripts/experiments/stars.py DATA --work FOLDER [--seeds 0 1 2] [--jobs 4] [--only ombria zion/stars]
    python scripts/experiments/stars.py --table

DATA holds zion/ and ombria/.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from common import ROOT, Results, Rows, apart, command_line, places, run, scores, train, trained

RECIPES = ROOT / "recipes" / "stars"
SPREADS = ("variance_3", "variance_4", "direction_3", "direction_4")
COLUMNS = ("data", "setting", "seed", "scenario", "miou", "overall_accuracy", *SPREADS)
RESULTS = Results(ROOT / "docs" / "experiments" / "stars.csv", COLUMNS)
Job = tuple[str, str, int]
"""Data, setting and seed."""
BATCH, STEPS, RATE, CHIP = 8, 800, 1e-3, 128
LARGE = {"ombria, chips of 256": 256}
"""Data sets of larger chips, of which a step takes as many pixels."""
NETWORKS = {
    "tiny": {"encoder": "resnet-tiny", "pyramid": 64, "width": 32},
    "resnet-18": {"encoder": "resnet-18", "pyramid": 64, "width": 64},
}
"""Fixed before the first result: three seeds with the tiny network in about 90 minutes on four cores."""


@dataclass(frozen=True)
class Setting:
    """One training: its recipe, options of its objective, the setting that it starts from, its network and steps."""

    recipe: str
    options: dict[str, Any] = field(default_factory=dict)
    start: str | None = None
    network: str = "tiny"
    steps: int = STEPS


def _aligned(recipe: str) -> dict[str, Setting]:
    """STARS and its ablations."""
    bare: dict[str, Any] = {"semantic": 0, "translate": False}
    return {
        "stars": Setting(recipe),
        "no alignment": Setting(recipe, {**bare, "translation": 0}),
        "L_ncs": Setting(recipe, bare),
        "trans, L_ncs": Setting(recipe, {"semantic": 0}),
        "L_ncs, L_psc": Setting(recipe, {"translate": False}),
        "L_psc": Setting(recipe, {"translation": 0}),
        "beta .02": Setting(recipe, {"translation": 0.02}),
        "beta .8": Setting(recipe, {"translation": 0.8}),
        **{
            f"beta {str(beta)[1:]}, no detach": Setting(recipe, {"translation": beta, "detach": False})
            for beta in (0.02, 0.2, 0.8)
        },
    }


SETTINGS: dict[str, dict[str, Setting]] = {
    "ombria": {
        "s1 alone": Setting("ombria-s1"),
        "s2 alone": Setting("ombria-s2"),
        "concatenation": Setting("ombria-concatenation"),
        "s1 from s2": Setting("ombria-s1-from-s2", start="s2 alone"),
        "s2 from s1": Setting("ombria-s2-from-s1", start="s1 alone"),
        **_aligned("ombria"),
    },
    "zion": {
        "optical alone": Setting("zion-optical"),
        "dem alone": Setting("zion-dem"),
        "concatenation": Setting("zion-concatenation"),
        "dem from optical": Setting("zion-dem-from-optical", start="optical alone"),
        "optical from dem": Setting("zion-optical-from-dem", start="dem alone"),
        **_aligned("zion"),
    },
    "ombria, chips of 256": {
        "s1 alone": Setting("ombria-s1"),
        "s2 alone": Setting("ombria-s2"),
        "s1 alone, longer": Setting("ombria-s1", steps=3 * STEPS),
        **{name: _aligned("ombria")[name] for name in ("stars", "no alignment")},
    },
    "ombria, resnet-18": {
        "s1 alone": Setting("ombria-s1", network="resnet-18"),
        "s2 alone": Setting("ombria-s2", network="resnet-18"),
        "stars": Setting("ombria", network="resnet-18"),
        "no alignment": Setting("ombria", {"semantic": 0, "translation": 0}, network="resnet-18"),
    },
    "zion, three": {
        "rgb alone": Setting("zion-rgb"),
        "nir alone": Setting("zion-nir"),
        "dem alone": Setting("zion-dem"),
        "concatenation": Setting("zion-concatenation"),
        **{name: _aligned("zion-three")[name] for name in ("stars", "no alignment")},
    },
}


def folder_of(work: Path, data: str, setting: str, seed: int) -> Path:
    """Where the run of one training lies."""
    return work / "".join(letter if letter.isalnum() else "-" for letter in f"{data}-{setting}-{seed}")


def recipe_of(data: str, setting: str, seed: int, root: Path, work: Path) -> Any:  # noqa: ANN401
    """The recipe of one training."""
    from engine.training.recipe import read_recipe

    chosen, chip = SETTINGS[data][setting], LARGE.get(data, CHIP)
    batch = BATCH * CHIP**2 // chip**2
    stage = {
        "method": {"scenarios": "several", "objectives": [{"name": "stars", "options": chosen.options}]},
        "schedule": {
            "epochs": 1,
            "samples": chosen.steps * batch,
            "batch": batch,
            "validate_every": None,
            "clip": 5,
            "optimizer": {"name": "adam", "learning_rate": RATE, "weight_decay": 1e-4},
            "decay": {"name": "cosine", "warmup": 0.0125, "warmup_from": 0.01},
        },
    }
    overrides = {
        "seed": seed,
        "data.root": str(root / "ombria" if data.startswith("ombria") else root),
        "data.chip": chip,
        "network.options": NETWORKS[chosen.network],
        "stages": [stage],
    }
    if chosen.start is not None:
        overrides["start.run"] = str(folder_of(work, data, chosen.start, seed))
    return read_recipe(
        RECIPES / f"{chosen.recipe}.yaml", [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
    )


def spread(segmenter: Any, collection: Any) -> dict[str, float]:  # noqa: ANN401
    """How much the shared features of stages 3 and 4 differ over the training split: mean over channels and sensors.

    Their variance, and that of the features brought to length 1 (``direction``; 1 / channels where they fill all
    directions alike, 0 where they have collapsed).
    """
    import torch
    from torch.nn import functional as F

    from engine.data.chips import complete_chips
    from engine.training.batches import collate

    chips = list(complete_chips(collection, "train"))
    found: dict[str, dict[str, list[Any]]] = {}
    with torch.inference_mode():
        for chip in chips[:: max(1, len(chips) // 128)]:
            batch = collate([chip])
            for name, one in segmenter.detail(batch.inputs, batch.availability).unimodal.items():
                for stage in (3, 4):
                    vectors = one.features[stage - 1].movedim(1, 3).flatten(0, 2)
                    found.setdefault(f"variance_{stage}", {}).setdefault(name, []).append(vectors)
                    found.setdefault(f"direction_{stage}", {}).setdefault(name, []).append(F.normalize(vectors, dim=1))
    return {
        key: sum(float(torch.cat(parts).var(dim=0).mean()) for parts in sensors.values()) / len(sensors)
        for key, sensors in found.items()
    }


def work(job: Job, root: Path, folder: Path) -> Rows:
    """Trains one setting, and scores it on the test split in every scenario."""
    data, setting, seed = job
    recipe, own = recipe_of(data, setting, seed, root, folder), folder_of(folder, data, setting, seed)
    train(recipe, own)
    with trained(recipe, own) as (segmenter, collection):
        found = scores(segmenter, collection, "test")
        spreads = spread(segmenter, collection) if len(segmenter.modalities) > 1 else {}
    if setting == "concatenation":
        found[0]["scenario"] = "all"
    known = {"data": data, "setting": setting, "seed": seed}
    return [{**known, **row, **spreads} for row in (found if spreads else found[:1])]


def table() -> None:
    """Prints for each data set mIoU by setting and scenario, and in brackets by how many points STARS is above it.

    Means are over the seeds that a setting has in common with STARS. Intervals are of 95 % by Student's t over those
    seeds: they hold the variation of the training, not of the places that were mapped, each for itself.
    """
    import numpy as np

    found: dict[tuple[str, str, str], dict[int, float]] = {}
    spreads: dict[tuple[str, str], list[list[float]]] = {}
    for row in RESULTS.read():
        key = row["data"], row["setting"], row["scenario"]
        found.setdefault(key, {})[int(row["seed"])] = float(row["miou"])
        if row["scenario"] == "mean":
            spreads.setdefault(key[:2], []).append([float(row[name]) for name in SPREADS])
    for data in dict.fromkeys(key[0] for key in found):
        columns = list(dict.fromkeys(key[2] for key in found if key[:2] == (data, "stars")))
        whole = "+".join(column for column in columns if "+" not in column and column != "mean")
        headings = ["", "seeds", *columns, "variance of stages 3, 4", "of their directions"]
        print(f"\n{data}\n\n| " + " | ".join(headings) + " |\n" + "|---" * len(headings) + "|")
        for setting in SETTINGS[data]:
            words, seeds = [], set()
            for column in columns:
                own = found.get((data, setting, column)) or (
                    found.get((data, setting, "all"), {}) if column == whole else {}
                )
                reference = found.get((data, "stars", column), {})
                common = sorted(own.keys() & reference.keys())
                seeds |= set(common)
                word = f"{np.mean([own[seed] for seed in common]):.3f}" if common else ""
                above = apart(reference, own) if setting != "stars" else ""
                words.append(f"{word} ({above})" if above else word)
            means = [f"{value:.3g}" for value in np.mean(spreads.get((data, setting), [[]]), axis=0)]
            words += [", ".join(means[:2]), ", ".join(means[2:])]
            print(f"| {setting} | {len(seeds)} | " + " | ".join(words) + " |")


def main() -> None:
    """Does what is missing, or prints the table."""
    parser = command_line(__doc__, [0, 1, 2], jobs=4)
    parser.add_argument("--only", nargs="+", default=list(SETTINGS), metavar="DATA[/SETTING]")
    arguments = parser.parse_args()
    if arguments.table:
        table()
        return
    root, folder = places(parser, arguments)
    known = {*SETTINGS, *(f"{data}/{setting}" for data, settings in SETTINGS.items() for setting in settings)}
    if unknown := sorted(set(arguments.only) - known):
        parser.error(f"--only: {unknown[0]} is none of {', '.join(sorted(known))}")
    there = {(row["data"], row["setting"], int(row["seed"])) for row in RESULTS.read()}
    waiting: list[Job] = [
        job
        for seed in arguments.seeds
        for data, settings in SETTINGS.items()
        for setting in settings
        if {data, f"{data}/{setting}"} & set(arguments.only) and (job := (data, setting, seed)) not in there
    ]
    doing = partial(work, root=root, folder=folder)
    sys.exit(not run(waiting, doing, RESULTS, arguments.jobs, awaited))


def awaited(job: Job) -> Job | None:
    """The training that must be done before this one."""
    data, setting, seed = job
    start = SETTINGS[data][setting].start
    return None if start is None else (data, start, seed)


if __name__ == "__main__":
    main()
