"""LVPCnet's two stages: what the first one learned stays as it is, bit by bit, while prompts learn."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from engine.language.vectors import ClassVectors
from engine.training.checkpoints import kept, newest
from engine.training.loop import Training
from engine.training.recipe import Recipe

MakeRecipe = Callable[..., Recipe]
SENSORS = {"optical": "optical", "sar": "radar", "dem": "elevation"}
NETWORK = {"window": 3, "width": 16, "depth": 2, "heads": 2, "text_width": 512}


def overrides(encoder: object) -> list[str]:
    options = {"legend": "worldcover", "encoder": encoder, "sensors": SENSORS}
    schedule = {"epochs": 3, "samples": 24, "batch": 12, "validate_every": None, "keep_every": 6}
    stages = [
        {
            "name": "decouple",
            "method": {
                "scenarios": "complete",
                "objectives": ["cross_entropy", {"name": "language_decoupling", "options": options}],
            },
            "schedule": schedule,
        },
        {
            "name": "compensate",
            "method": {"objectives": ["cross_entropy", {"name": "language_compensation", "options": options}]},
            "schedule": schedule,
            "trainable": ["prompts.*", "matches.*"],
        },
    ]
    return [
        f"network={json.dumps({'name': 'lvpcnet', 'options': NETWORK})}",
        "data.chip=3",
        "data.scaling=range",
        "data.few={per_class: 6, small: 3}",
        f"stages={json.dumps(stages)}",
    ]


@pytest.fixture(scope="module")
def run(make_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lvpcnet")
    Training(make_recipe(folder, overrides("hashed")), folder / "run", accelerator="cpu").run()
    return folder / "run"


def test_all_but_prompts_and_their_convolutions_is_frozen_bit_by_bit(run: Path) -> None:
    """Running statistics of norms too."""
    before = load_file(next(path for path in kept(run) if path.name.endswith("006")) / "weights.safetensors")
    last = newest(run / "checkpoints", "last")
    assert last is not None
    after = load_file(last / "weights.safetensors")
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    learning = {key for key in after if key.startswith(("network.prompts.", "network.matches."))}
    assert changed == learning
    assert len([key for key in learning if key.startswith("network.prompts.")]) == 6


def test_both_stages_log_what_they_align(run: Path) -> None:
    names = {line.split(",")[1] for line in (run / "metrics.csv").read_text().splitlines()}
    assert {f"decouple/loss/{term}" for term in ("cross_entropy", "language_shared", "language_specific")} <= names
    assert {"compensate/loss/cross_entropy", "compensate/loss/language_compensation"} <= names


def test_two_text_encoders_differ_in_nothing_but_their_vectors(
    run: Path, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """Another encoder's vectors, shorter ones: the same weights and draws to begin with, other losses."""
    first = ClassVectors.load(run / "class-vectors.npz")
    rng = np.random.default_rng(0)
    kinds = {kind: rng.normal(size=(len(first.classes), 20)).astype(np.float32) for kind in first.kinds}
    ClassVectors(first.classes, kinds, "drawn").save(tmp_path / "drawn.npz")
    encoder = {"name": "vectors", "options": {"path": str(tmp_path / "drawn.npz")}}
    Training(make_recipe(tmp_path, overrides(encoder)), tmp_path / "run", accelerator="cpu").run()
    starts = [load_file(min(kept(one)) / "weights.safetensors") for one in (run, tmp_path / "run")]
    assert starts[0].keys() == starts[1].keys()
    assert all(torch.equal(value, starts[1][key]) for key, value in starts[0].items())
    rows = [
        {
            name: float(value)
            for step, name, value in (line.split(",") for line in (one / "metrics.csv").read_text().splitlines()[1:])
            if step == "1"
        }
        for one in (run, tmp_path / "run")
    ]
    assert rows[0]["decouple/loss/cross_entropy"] == rows[1]["decouple/loss/cross_entropy"]
    assert rows[0]["decouple/loss/language_shared"] != rows[1]["decouple/loss/language_shared"]
