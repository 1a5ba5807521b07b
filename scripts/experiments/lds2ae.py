"""LDS2AE, 40 labels a class: does it beat its single-sensor variant, and does its cross-modal term add to it?

Zion with two sensors (Landsat, elevation) and three (visible, near infrared, elevation), blocks apart, and single
pixels of Houston 2013, polygons apart, where no patch can be hidden. Each seed draws its own labels (and polygons),
the same for all settings: the whole method, what the paper's table 3 leaves out, no pre-training, pre-training on
windows of the whole scene, other shares of hidden patches (figure 6), each sensor alone (the paper's DMAE), alone
after a pre-training with all, and random forests on the same labels, one for each scenario, on pixels and on windows.
Overall and average accuracy and kappa come from up to so many test pixels of each class, the same for all, weighted
by the classes' sizes:

    python scripts/experiments/lds2ae.py DATA --work FOLDER [--seeds 0 1 2 3 4] [--jobs 4] [--only zion]
    python scripts/experiments/lds2ae.py --table [overall_accuracy]

DATA holds zion/ and houston2013/. Values are scaled by each sensor's range, as they were when the recipes did so: with
it noise exceeds the signal at 979 of 1000 steps on Landsat. Recipes scale by quantiles since, and what that changes is
the part of the data sets "by quantiles": there a sensor alone learns for as many steps as the one model meets its
scenario, and for as many as the one model has in all. Forests are those of the same seeds: scaling moves no threshold.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import ROOT, Results
from houston2013 import write_rasters
from windows import (
    COLUMNS,
    FORESTS,
    PRETRAINED,
    STARTED,
    WHOLE,
    Job,
    command_line,
    run_folder,
    schedule,
    with_one_sensor,
)

HOUSTON = "houston2013"
RESULTS = Results(ROOT / "docs" / "experiments" / "lds2ae.csv", COLUMNS)
NETWORK = {"window": 7, "width": 64, "depth": 4, "decoder_depth": 2, "heads": 8}
PRETRAIN_STEPS, TUNE_STEPS, DECAY = 400, 150, 1e-4


@dataclass(frozen=True)
class Setting:
    """A training.

    Args:
        diffusion: Options of the pre-training; None does none.
        chips: Where its windows lie.
        alone: The only sensor that it has.
        tuned: Steps of fine-tuning; with none nothing but the pre-training is done.
        together: Whether the pre-training is that of PRETRAINED, with all sensors, and fine-tuning is of one alone.
    """

    diffusion: dict[str, Any] | None = field(default_factory=dict)
    chips: str = "labelled"
    alone: str | None = None
    tuned: int = TUNE_STEPS
    together: bool = False


VARIANTS = {
    WHOLE: Setting(),
    "windows of the scene": Setting(chips="anywhere"),
    "no cross-modal term": Setting({"cross": 0}),
    "no diffusion": Setting({"noise": False}),
    "no pre-training": Setting(None),
    "no pre-training, as many steps": Setting(None, tuned=PRETRAIN_STEPS + TUNE_STEPS),
}
SENSORS = {"zion": ("optical", "dem"), "zion-three": ("rgb", "nir", "dem"), HOUSTON: ("hyperspectral", "lidar")}
OWN = {
    "zion": {**VARIANTS, **{f"{share:.0%} hidden": Setting({"mask_ratio": share}) for share in (0.5, 0.9)}},
    "zion-three": VARIANTS,
    HOUSTON: {name: VARIANTS[name] for name in (WHOLE, "no cross-modal term", "no pre-training")},
}
"""Fixed before the first result, as are sensors alone.

Those that start from a pre-training with all were added when three seeds were there: the paper fine-tunes for each
scenario, which may help a sensor more.
"""

SETTINGS = {
    data: {
        **OWN[data],
        **{f"{name} alone": Setting(alone=name) for name in names},
        PRETRAINED: Setting(tuned=0),
        **{f"{name} {STARTED}": Setting(alone=name, together=True) for name in names},
    }
    for data, names in SENSORS.items()
}


BY_QUANTILES = ", by quantiles"
EQUAL = "alone, equal exposure"
SETTINGS |= {
    data + BY_QUANTILES: {
        **{name: VARIANTS[name] for name in (WHOLE, "no cross-modal term", "no pre-training")},
        **{f"{name} alone": Setting(alone=name) for name in SENSORS[data]},
        **{f"{name} {EQUAL}": Setting(alone=name, tuned=TUNE_STEPS // 3) for name in SENSORS[data]},
    }
    for data in ("zion", HOUSTON)
}
"""Two sensors have three scenarios, and fine-tuning draws one as often as another: a third of its steps meets each."""


def start(job: Job, root: Path, work: Path) -> tuple[Path, dict[str, Any], int]:
    """The recipe that a training begins with, what is other in all of one data set, and the windows of a step.

    A step, which is an epoch, sees half as many windows as there are labels.
    """
    from engine.training.recipe import read_recipe

    name, _, seed = job
    data = name.removesuffix(BY_QUANTILES)
    path = ROOT / "recipes" / "lds2ae" / f"{data}.yaml"
    batch = 20 * len(read_recipe(path).classes)
    scaling = "range" if data == name else "quantile_range"
    overrides = {"seed": seed, "data.few.seed": seed, "data.scaling": scaling}
    if data == HOUSTON:
        if not (work / data / "labels.tif").exists():
            write_rasters(root, work / data)
        own = {"data.root": str(work / data), "data.split.seed": seed, "network.options": {**NETWORK, "window": 1}}
    else:
        window = NETWORK["window"]
        own = {"data.root": str(root), "data.chip": window, "data.zoom": window - 2, "network.options": NETWORK}
    return path, {**overrides, **own}, batch


def recipe_of(job: Job, root: Path, work: Path) -> Any:  # noqa: ANN401
    """The recipe of one training."""
    from engine.training.recipe import read_recipe

    setting = SETTINGS[job[0]][job[1]]
    path, overrides, batch = start(job, root, work)
    tune = {"scenarios": "uniform", "objectives": ["cross_entropy"]}
    lowered = max(setting.tuned - 50, 2 * setting.tuned // 3)
    drop = {"name": "step", "gamma": 0.1, "step_epochs": lowered, "warmup": 0}
    stages: list[dict[str, Any]] = []
    if setting.tuned:
        stages.append({"name": "finetune", "method": tune, "schedule": schedule(setting.tuned, batch, drop, DECAY)})
    if setting.diffusion is not None and not setting.together:
        objective = {"name": "local_diffusion", "options": setting.diffusion}
        method = {"scenarios": "complete", "objectives": [objective]}
        cosine = {"name": "cosine", "warmup": 0}
        steps = schedule(PRETRAIN_STEPS, batch, cosine, DECAY)
        stages.insert(0, {"name": "pretrain", "method": method, "schedule": steps, "chips": setting.chips})
    overrides["stages"] = stages
    if setting.alone is not None:
        overrides |= with_one_sensor(path, setting.alone)
    if setting.together:
        run = run_folder(work, (job[0], PRETRAINED, job[2]))
        overrides["start"] = {"run": str(run), "modalities": {setting.alone: setting.alone}}
    return read_recipe(path, [f"{key}={json.dumps(value)}" for key, value in overrides.items()])


if __name__ == "__main__":
    forests = {data: FORESTS[: 1 if data == HOUSTON else 2] for data in SENSORS}
    settings = {data: (*names, *forests.get(data, ())) for data, names in SETTINGS.items()}
    command_line(__doc__, RESULTS, settings, recipe_of)
