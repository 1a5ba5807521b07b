"""Network, chips and schedule by how labels lie, by how many there are and by the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.proposal.advice import GATED, LABELS, LAST, SMALL, STEPS, WINDOWS_LAST
from engine.proposal.sight import Sight
from engine.runtime.machine import free_memory, usable_processors

CHIPS = (128, 96, 64, 48, 32)
"""Chips of a segmenter, of which it gets the largest that fits; SegFormer's first stage needs 32 pixels."""

WINDOW = 11
"""Pixels along the window of a window classifier, as published."""

PER_CLASS = 40
"""Labelled pixels of a class that a step sees, as published."""

LABELLED = 200
"""Labelled pixels of a class that are drawn from."""

BATCH, ROOM = 16, 6 * 2**30
"""Chips a step, and the free memory that they need with room to spare; with less half as many are taken."""

FEWEST, MOST, VIEWS = 400, 2000, 300
"""Steps of a segmenter: at least, at most, and how often each part of the scenes is seen between these."""

WINDOWS_A_STEP = 512

PRETRAINING, FINE_TUNING = 400, 150
"""Steps of a window classifier, as in recipes/lds2ae/zion.yaml."""


@dataclass(frozen=True)
class Plan:
    """What a recipe says of network and training.

    Args:
        network: Its ``network``.
        data: What it adds to ``data``.
        stages: Its ``stages``.
        window: Pixels along the network's window; 0 for a segmenter.
        notes: Comments by key.
        last: What the user should know at the end.
    """

    network: Mapping[str, Any]
    data: Mapping[str, Any]
    stages: list[dict[str, Any]]
    window: int
    notes: Mapping[str, list[str]]
    last: tuple[str, ...] = ()


def window_of(sight: Sight) -> int:
    """Pixels along the window of a window classifier for these labels; 0 where a segmenter fits."""
    if sight.kind == "dense" and sight.side >= CHIPS[-1]:
        return 0
    return 1 if sight.kind == "single" else min(WINDOW, sight.side - 1 + sight.side % 2)


def planned(sight: Sight, classes: int, *, validated: bool) -> Plan:
    """Network and training.

    Args:
        sight: What the scenes hold.
        classes: How many there are.
        validated: Whether validation holds enough to choose a checkpoint by.
    """
    return _windows(sight, classes) if window_of(sight) else _segmenter(sight, validated=validated)


def _segmenter(sight: Sight, *, validated: bool) -> Plan:
    chip = next(size for size in CHIPS if size <= sight.side)
    batch = BATCH if free_memory() >= ROOM else BATCH // 2
    steps = min(MOST, max(FEWEST, VIEWS * sight.pixels // chip**2 // batch))
    epochs = 20
    several = len(sight.sensors) > 1
    looks = "Validated four times on the way; the best weights are kept." if validated else LAST
    schedule = {
        "epochs": epochs,
        "samples": -(-steps // epochs) * batch,
        "batch": batch,
        "validate_every": 5 if validated else None,
        "workers": min(4, usable_processors() - 1),
        "optimizer": {"name": "adamw", "learning_rate": 0.0005, "weight_decay": 0.01},
        "decay": {"name": "poly", "power": 0.9, "warmup": 0.05},
    }
    return Plan(
        {"name": "mean_fusion", "options": {"encoder": "segformer-b0"} | ({"fusion": "gated"} if several else {})},
        {"chip": chip, "sampling_power": 0.5},
        [{"name": "train", "schedule": schedule}],
        0,
        {
            "network": [LABELS["dense"], *([GATED] if several else [])],
            "data.chip": [f"Pixels along a training sample: {CHIPS[0]}, or as many as fit into every scene."],
            "stages": [
                f"{-(-steps // epochs) * epochs} steps of {batch} chips. {looks}",
            ],
        },
    )


def _windows(sight: Sight, classes: int) -> Plan:
    window = window_of(sight)
    samples = PER_CLASS * classes
    parts = -(-samples // WINDOWS_A_STEP)
    batch = -(-samples // parts)

    def schedule(steps: int, decay: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "epochs": -(-steps // parts),
            "samples": samples,
            "batch": batch,
            "validate_every": None,
            "clip": None,
            "optimizer": {"name": "adam", "learning_rate": 0.001, "weight_decay": 0.0001},
            "decay": {**decay, "warmup": 0},
        }

    fine = schedule(FINE_TUNING, {"name": "step", "gamma": 0.1})
    fine["decay"]["step_epochs"] = max(1, fine["epochs"] * 2 // 3)
    told = [SMALL] if sight.kind == "dense" else [LABELS[sight.kind]]
    data = {"few": {"per_class": LABELLED}, "chip": window, "sampling_power": 0, "scaling": "quantile_range"}
    if window > 3:
        data["zoom"] = window - 2
    steps = PRETRAINING + FINE_TUNING
    return Plan(
        {"name": "lds2ae", "options": {"window": window}},
        data,
        [
            {
                "name": "pretrain",
                "method": {"scenarios": "complete", "objectives": ["local_diffusion"]},
                "schedule": schedule(PRETRAINING, {"name": "cosine"}),
            },
            {"name": "finetune", "schedule": fine},
        ],
        window,
        {
            "network": told,
            "data.few": [f"Of each class at most {LABELLED} labelled pixels are learned from."],
            "stages": [f"{steps} steps of {batch} windows in two stages, the first without labels.", WINDOWS_LAST],
        },
        (STEPS,),
    )
