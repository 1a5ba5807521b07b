"""LVPCnet on Zion, 40 labels a class: does it beat a sensor's own model where others are missing? Does language help?

Two sensors (Landsat, elevation) and three (visible, near infrared, elevation), blocks apart; labels, scored pixels and
forests are those of lds2ae.py. Against the whole method: no prompts (vp1 of the paper's table 3), a reconstruction
network in their place (vp2), prompts with frozen convolutions, no language (v1 of figure 7), nothing shared (vf), each
sensor alone. Texts by the sentence encoder of the extra `language`:

    python scripts/experiments/lvpcnet.py DATA --work FOLDER [--seeds 0 1 2 3 4] [--jobs 4] [--only zion]
    python scripts/experiments/lvpcnet.py --table [overall_accuracy]

DATA holds zion/.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import ROOT, Results
from windows import COLUMNS, WHOLE, Job, command_line, with_one_sensor

RESULTS = Results(ROOT / "docs" / "experiments" / "lvpcnet.csv", COLUMNS)
NETWORK = {"window": 7, "width": 64, "depth": 4, "heads": 8}
DECOUPLE_STEPS, COMPENSATE_STEPS, BATCH = 300, 200, 140
SENSORS = {"optical": "optical", "rgb": "optical", "nir": "optical", "dem": "elevation"}


@dataclass(frozen=True)
class Setting:
    """A training: options of the network, what its second stage trains, whether with language, and the only sensor."""

    network: dict[str, Any] = field(default_factory=dict)
    trainable: tuple[str, ...] = ("prompts.*", "matches.*")
    language: bool = True
    alone: str | None = None


VARIANTS = {
    WHOLE: Setting(),
    "no prompts (vp1)": Setting({"compensation": "none"}, ()),
    "reconstruction (vp2)": Setting({"compensation": "reconstruction"}, ("reconstructions.*",)),
    "prompts alone": Setting(trainable=("prompts.*",)),
    "no language (v1)": Setting({"domains": True}, language=False),
    "nothing shared (vf)": Setting({"decoupled": False}),
}
SETTINGS = {
    data: {**VARIANTS, **{f"{name} alone": Setting({"compensation": "none"}, (), alone=name) for name in names}}
    for data, names in {"zion": ("optical", "dem"), "zion-three": ("rgb", "nir", "dem")}.items()
}
"""Fixed before the first result."""


def recipe_of(job: Job, root: Path) -> Any:  # noqa: ANN401
    """The recipe of one training."""
    from engine.training.recipe import read_recipe

    data, name, seed = job
    setting = SETTINGS[data][name]
    path = ROOT / "recipes" / "lds2ae" / f"{data}.yaml"
    modalities = read_recipe(path).modalities
    names = [item.name for item in modalities] if setting.alone is None else [setting.alone]
    language = {"legend": "zion", "encoder": "minilm", "sensors": {name: SENSORS[name] for name in names}}
    first = {"name": "language_decoupling", "options": language} if setting.language else "domain_decoupling"
    stages = [_stage("decouple", ["cross_entropy", first], "complete", DECOUPLE_STEPS)]
    if setting.trainable:
        second = [{"name": "language_compensation", "options": language}] if setting.language else []
        stage = _stage("compensate", ["cross_entropy", *second], "uniform", COMPENSATE_STEPS)
        stages.append({**stage, "trainable": setting.trainable})
    overrides = {
        "seed": seed,
        "data.root": str(root),
        "data.few.seed": seed,
        "data.chip": NETWORK["window"],
        "data.zoom": NETWORK["window"] - 2,
        "network": {"name": "lvpcnet", "options": {**NETWORK, **setting.network}},
        "stages": stages,
    }
    if setting.alone is not None:
        overrides |= with_one_sensor(path, setting.alone)
    return read_recipe(path, [f"{key}={json.dumps(value)}" for key, value in overrides.items()])


def _stage(name: str, objectives: list[Any], scenarios: str, steps: int) -> dict[str, Any]:
    """Each step an epoch, of half as many windows as there are labels."""
    schedule = {
        "epochs": steps,
        "samples": BATCH,
        "batch": BATCH,
        "validate_every": None,
        "clip": None,
        "checkpoint_every": 100,
        "optimizer": {"name": "adam", "learning_rate": 1e-3, "weight_decay": 0},
        "decay": {"name": "cosine", "warmup": 0},
    }
    return {"name": name, "method": {"scenarios": scenarios, "objectives": objectives}, "schedule": schedule}


if __name__ == "__main__":
    command_line(__doc__, RESULTS, SETTINGS, recipe_of, int(NETWORK["window"]))
