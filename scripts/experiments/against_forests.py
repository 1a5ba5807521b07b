"""Is a model by `engine init`'s recipe, as it stands, at least as good as random forests on the same pixels?

Done as a user does it: `engine init`, then for each seed `engine train`, and `engine evaluate` and `engine baseline` on
the split that the recipe keeps for the test. Nothing is changed by hand but the seed (and that of a split by regions or
scenes, so that each seed tests other ones). `polygons` are sixty small ones of Zion; beside what `engine init` proposes
for them stands the other family, with network and stages of Zion's dense labels. Rows go to the CSV when a seed is
done; what stands there is not done again:

    python scripts/experiments/against_forests.py DATA --work FOLDER [--seeds 0 1 2] [--jobs 2] [--only zion]
    python scripts/experiments/against_forests.py --table

DATA holds zion/, ombria/, belgium/ and houston2013/.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from common import ROOT, Results, Rows, apart, command_line, places, run
from proposals import proposal

KINDS = ("pixels", "windows")
FORESTS = tuple(f"forest, {kind}" for kind in KINDS)
COLUMNS = ("data", "family", "seed", "scenario", "miou", "low", "high", "overall_accuracy", *FORESTS)
RESULTS = Results(ROOT / "docs" / "experiments" / "against_forests.csv", COLUMNS)
PROPOSED, OTHER = "proposed", "the other family"
SETS = {
    "zion": (PROPOSED,),
    "ombria": (PROPOSED,),
    "belgium": (PROPOSED,),
    "houston": (PROPOSED,),
    "polygons": (PROPOSED, OTHER),
}
Job = tuple[str, str, int]
"""Data, family and seed."""


def engine(*arguments: str | Path) -> None:
    """Runs the command line with one thread; raises where it fails."""
    subprocess.run(
        [sys.executable, "-m", "engine.cli", *map(str, arguments)],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


def recipe_of(data: str, family: str, root: Path, work: Path) -> Path:
    """What `engine init` proposes; for the other family network, chips and stages of Zion's dense labels."""
    path = proposal(data, root, work)
    if family == PROPOSED:
        return path
    content, dense = (_read(one) for one in (path, proposal("zion", root, work)))
    for key in ("few", "zoom", "scaling"):
        content["data"].pop(key, None)
    content["data"]["chip"] = dense["data"]["chip"]
    content["network"], content["stages"] = dense["network"], dense["stages"]
    other = work / f"{data}-other.json"  # which is YAML
    other.write_text(json.dumps(content), encoding="utf-8")
    return other


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def done(job: Job, root: Path, work: Path) -> Rows:
    """Trains a seed and scores it and its forests on the test split."""
    data, family, seed = job
    path = recipe_of(data, family, root, work)
    content = _read(path)
    split, last = content["data"]["split"], content["stages"][-1]["schedule"]
    words = ["--set", f"seed={seed}"]
    if split["kind"] in ("components", "folds"):
        words += ["--set", f"data.split.seed={split.get('seed', 0) + seed}"]
    folder = work / f"against-{data}-{family}-{seed}".replace(" ", "-")
    resume = ["--resume"] if (folder / "recipe.yaml").exists() else []
    engine("train", path, "-o", folder, "--device", "cpu", *words, *resume)
    kind = "last" if last.get("validate_every", 1) is None else "best"
    engine("evaluate", folder, "--split", "test", "--checkpoint", kind, "--device", "cpu")
    engine("baseline", folder, "--split", "test")
    found = _figures(folder / "evaluation" / "test" / "report.json")
    forests = json.loads((folder / "baseline" / "test" / "forests.json").read_text(encoding="utf-8"))["forests"]
    forest = {kind: {one["scenario"]: one["miou"] for one in _listed(forests[kind])} for kind in KINDS}
    rows: Rows = []
    for one in found:
        row = {"data": data, "family": family, "seed": seed, "low": one["low_miou"], "high": one["high_miou"]}
        row |= {key: one[key] for key in ("scenario", "miou", "overall_accuracy")}
        rows.append(row | {f"forest, {kind}": forest[kind][one["scenario"]] for kind in KINDS})
    return rows


def _figures(path: Path) -> Rows:
    return _listed(json.loads(path.read_text(encoding="utf-8")))


def _listed(report: dict[str, Any]) -> Rows:
    return [*report["scenarios"], {"scenario": "mean", **report["mean"]}]


def table() -> None:
    """Prints mIoU by data set and scenario, its deviation between seeds, and by how much it is above the forests."""
    found: dict[tuple[str, str], dict[str, dict[int, dict[str, float]]]] = {}
    for row in RESULTS.read():
        own = found.setdefault((row["data"], row["family"]), {}).setdefault(row["scenario"], {})
        own[int(row["seed"])] = {key: float(row[key] or "nan") for key in ("miou", "low", "high", *FORESTS)}
    print(
        "| data | scenario | seeds | mIoU | deviation | mean interval | "
        + " | ".join(FORESTS)
        + " | above the better |"
    )
    print("|---" * (7 + len(FORESTS)) + "|")
    for (data, family), scenarios in found.items():
        for scenario, seeds in scenarios.items():
            mean = {key: float(np.mean([one[key] for one in seeds.values()])) for key in seeds[min(seeds)]}
            spread = np.std([one["miou"] for one in seeds.values()], ddof=1) if len(seeds) > 1 else float("nan")
            best = max(FORESTS, key=lambda kind: mean[kind])
            above = apart(
                {key: one["miou"] for key, one in seeds.items()}, {key: one[best] for key, one in seeds.items()}
            )
            words = [data if family == PROPOSED else f"{data}, {family}", scenario, str(len(seeds))]
            words += [f"{mean['miou']:.3f}", f"{spread:.3f}", f"{mean['low']:.3f} to {mean['high']:.3f}"]
            words += [*(f"{mean[kind]:.3f}" for kind in FORESTS), above or f"{100 * (mean['miou'] - mean[best]):+.1f}"]
            print("| " + " | ".join(words) + " |")


def main() -> None:
    """Does what is missing, or prints the table."""
    parser = command_line(__doc__, [0, 1, 2], jobs=2)
    parser.add_argument("--only", nargs="+", default=list(SETS), choices=list(SETS))
    arguments = parser.parse_args()
    if arguments.table:
        table()
        return
    root, work = places(parser, arguments)
    there = {(row["data"], row["family"], int(row["seed"])) for row in RESULTS.read()}
    jobs: list[Job] = [
        job
        for seed in arguments.seeds
        for data in arguments.only
        for family in SETS[data]
        if (job := (data, family, seed)) not in there
    ]
    doing = partial(done, root=root, work=work)
    sys.exit(not run(jobs, doing, RESULTS, arguments.jobs))


if __name__ == "__main__":
    main()
