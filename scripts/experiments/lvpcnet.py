"""LVPCnet, 40 labels a class: does it beat a sensor's own model where others are missing? Does language help?

Zion with two sensors (Landsat, elevation) and three (visible, near infrared, elevation), and single pixels of Houston
2013; labels and scored pixels are those of lds2ae.py, whose whole method and forests the table shows too. Against the
whole method: no prompts (vp1 of the paper's table 3), a reconstruction network in their place (vp2), prompts with
frozen convolutions, no language (v1 of figure 7), nothing shared (vf), each sensor alone; with two sensors prompts and
reconstructions that learned ten times as long, too. Texts by the sentence encoder of the extra `language`:

    python scripts/experiments/lvpcnet.py DATA --work FOLDER [--seeds 0 1 2 3 4] [--jobs 4] [--only zion]
    python scripts/experiments/lvpcnet.py --table [overall_accuracy]

DATA holds zion/ and houston2013/.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common import ROOT, Results
from lds2ae import HOUSTON, start
from lds2ae import RESULTS as LDS2AE
from windows import COLUMNS, FORESTS, WHOLE, Job, command_line, schedule, with_one_sensor

RESULTS = Results(ROOT / "docs" / "experiments" / "lvpcnet.csv", COLUMNS)
DECOUPLE_STEPS, COMPENSATE_STEPS = 300, 200
COMPLETE = {"name": "complete", "options": {"strict": True}}
SENSORS = {
    "zion": {"optical": "optical", "dem": "elevation"},
    "zion-three": {"rgb": "optical", "nir": "optical", "dem": "elevation"},
    HOUSTON: {"hyperspectral": "hyperspectral", "lidar": "elevation"},
}


@dataclass(frozen=True)
class Setting:
    """A training: options of the network, what its second stage trains and for how long, language, the only sensor."""

    network: dict[str, Any] = field(default_factory=dict)
    trainable: tuple[str, ...] = ("prompts.*", "matches.*")
    steps: int = COMPENSATE_STEPS
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
LONGER = {
    f"{name}, ten times as long": replace(VARIANTS[name], steps=10 * COMPENSATE_STEPS)
    for name in (WHOLE, "reconstruction (vp2)")
}
SETTINGS = {
    data: {
        **VARIANTS,
        **{f"{name} alone": Setting({"compensation": "none"}, (), alone=name) for name in sensors},
        **(LONGER if len(sensors) == 2 else {}),
    }
    for data, sensors in SENSORS.items()
}
"""Fixed before the first result, but for those that learned longer.

They were added when four seeds were there and test figures had been seen: prompts had not learned their own labels.
"""


def recipe_of(job: Job, root: Path, work: Path) -> Any:  # noqa: ANN401
    """The recipe of one training."""
    from engine.training.recipe import read_recipe

    data, name, _ = job
    setting = SETTINGS[data][name]
    path, overrides, batch = start(job, root, work)
    batch //= 2  # a quarter of the labels: four runs of an encoder for two sensors, six for three, take their time
    names = [item.name for item in read_recipe(path).modalities] if setting.alone is None else [setting.alone]
    legend = HOUSTON if data == HOUSTON else "zion"
    kinds = {name: SENSORS[data][name] for name in names}
    language = {"legend": legend, "encoder": "minilm", "sensors": kinds}
    first = {"name": "language_decoupling", "options": language} if setting.language else "domain_decoupling"
    cosine = {"name": "cosine", "warmup": 0}
    stages: list[dict[str, Any]] = [
        {
            "name": "decouple",
            "method": {"scenarios": COMPLETE, "objectives": ["cross_entropy", first]},
            "schedule": schedule(DECOUPLE_STEPS, batch, cosine),
        }
    ]
    if setting.trainable:
        second = [{"name": "language_compensation", "options": language}] if setting.language else []
        stages.append(
            {
                "name": "compensate",
                "method": {"scenarios": "incomplete", "objectives": ["cross_entropy", *second]},
                "schedule": schedule(setting.steps, batch, cosine),
                "trainable": setting.trainable,
            }
        )
    options = {**overrides.pop("network.options"), **setting.network}
    del options["decoder_depth"]
    overrides |= {"network": {"name": "lvpcnet", "options": options}, "stages": stages}
    if setting.alone is not None:
        overrides |= with_one_sensor(path, setting.alone)
    return read_recipe(path, [f"{key}={json.dumps(value)}" for key, value in overrides.items()])


if __name__ == "__main__":
    beside = [
        {**row, "setting": "LDS2AE" if row["setting"] == WHOLE else row["setting"]}
        for row in LDS2AE.read()
        if row["setting"] in (WHOLE, *FORESTS)
    ]
    command_line(__doc__, RESULTS, SETTINGS, recipe_of, beside)
