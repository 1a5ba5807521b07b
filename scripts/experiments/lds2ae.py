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

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import ROOT, Results
from windows import COLUMNS, WHOLE, Job, command_line, with_one_sensor

RESULTS = Results(ROOT / "docs" / "experiments" / "lds2ae.csv", COLUMNS)
NETWORK = {"window": 7, "width": 64, "depth": 4, "decoder_depth": 2, "heads": 8}
PRETRAIN_STEPS, TUNE_STEPS, BATCH = 400, 150, 140


@dataclass(frozen=True)
class Setting:
    """A training: options of the pre-training (None: there is none), where its windows lie, the only sensor, steps."""

    diffusion: dict[str, Any] | None = field(default_factory=dict)
    chips: str = "labelled"
    alone: str | None = None
    tuned: int = TUNE_STEPS


VARIANTS = {
    WHOLE: Setting(),
    "windows of the scene": Setting(chips="anywhere"),
    "no cross-modal term": Setting({"cross": 0}),
    "no diffusion": Setting({"noise": False}),
    "no pre-training": Setting(None),
    "no pre-training, as many steps": Setting(None, tuned=PRETRAIN_STEPS + TUNE_STEPS),
}
SETTINGS = {
    "zion": {
        **VARIANTS,
        **{f"{name} alone": Setting(alone=name) for name in ("optical", "dem")},
        **{f"{share:.0%} hidden": Setting({"mask_ratio": share}) for share in (0.5, 0.9)},
    },
    "zion-three": {**VARIANTS, **{f"{name} alone": Setting(alone=name) for name in ("rgb", "nir", "dem")}},
}
"""Fixed before the first result."""


def recipe_of(job: Job, root: Path) -> Any:  # noqa: ANN401
    """The recipe of one training."""
    from engine.training.recipe import read_recipe

    data, name, seed = job
    setting = SETTINGS[data][name]
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
        overrides |= with_one_sensor(path, setting.alone)
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


if __name__ == "__main__":
    command_line(__doc__, RESULTS, SETTINGS, recipe_of, int(NETWORK["window"]))
