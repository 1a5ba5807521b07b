"""What the papers' tables are made of: which trainings, how often, and what each is scored on.

A *protocol* is one table of a paper on one data set, an *arm* one row of it. A recipe in `recipes/papers` says all of
the row that the paper is about; what is said here is how the others differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Repeat = tuple[str, ...]
"""What is replaced in a recipe, as by ``--set``, in one of several trainings of an arm."""


@dataclass(frozen=True)
class Arm:
    """A row of a table.

    Args:
        name: As in the paper, or what the paper calls it in its text.
        recipe: Its file in `recipes/papers`, without the ending.
        changes: What is replaced in it, as by ``--set``.
        sensors: Those that it has alone; all where None.
        stages: How many of the recipe's stages it has; all where None.
        start: The arm, further up, whose last weights it starts from.
        adopts: For its sensors those of that arm whose weights they take, where it has others.
    """

    name: str
    recipe: str
    changes: tuple[str, ...] = ()
    sensors: tuple[str, ...] | None = None
    stages: int | None = None
    start: str | None = None
    adopts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Small:
    """How a dry run is made small.

    Args:
        network: Options of the network.
        data: Values of the recipe's ``data``.
        batch: Of every stage.
        steps: Of every stage, each an epoch.
    """

    network: Mapping[str, Any]
    data: Mapping[str, Any]
    batch: int
    steps: int = 2


@dataclass(frozen=True)
class Protocol:
    """A table.

    Args:
        table: Its number and what it shows.
        data: The data set, as ``made`` knows it.
        arms: Its rows; one that starts from another comes after it.
        repeats: The trainings of every arm.
        small: Of a dry run.
        split: That is scored.
        images: Whether images of all repeats are scored together, one by one; else whole maps of each repeat.
    """

    table: str
    data: str
    arms: tuple[Arm, ...]
    repeats: tuple[Repeat, ...]
    small: Small
    split: str = "test"
    images: bool = False


def seeds(count: int) -> tuple[Repeat, ...]:
    """Trainings that differ in their seed."""
    return tuple((f"seed={seed}",) for seed in range(count))


def draws(count: int) -> tuple[Repeat, ...]:
    """Trainings that differ in which pixels are labelled and tested, too."""
    keys = ("seed", "data.split.seed", "data.few.seed")
    return tuple(tuple(f"{key}={seed}" for key in keys) for seed in range(count))


def folds(count: int, modulo: int) -> tuple[Repeat, ...]:
    """Splits of blocks: each ``count``-th number below ``modulo`` is tested, two others are for validation."""
    found = []
    for fold in range(count):
        tested = list(range(fold, modulo, count))
        validation = [(fold + 1) % count, (fold + 1) % count + count]
        learned = sorted({*range(modulo)} - {*tested, *validation})
        parts = {"test": tested, "validation": validation, "train": learned}
        found.append(tuple(f"data.split.{name}={numbers}" for name, numbers in parts.items()))
    return tuple(found)


def _latent_guided(table: str, network: str) -> Protocol:
    chosen = () if network == "cbc_slp" else (f"network={{name: {network}, options: {{size: paper}}}}",)
    base, tuned = "potsdam-latent-guided", "potsdam-latent-guided-tuned"
    start = "No fine-tuning"
    uniform = (*chosen, "stages.0.method.scenarios=uniform")
    return Protocol(
        table,
        "potsdam",
        (
            Arm(start, base, chosen),
            Arm("Fine-tune with random modality dropout", tuned, uniform, start=start),
            Arm("Fine-tune with LoRA-based adaptation", tuned, (*uniform, "stages.0.lora={}"), start=start),
            Arm("Fine-tune with our strategy", tuned, chosen, start=start),
        ),
        folds(5, 25),
        Small({"size": "tiny"}, {"chip": 32, "split.size": 8}, 2),
        images=True,
    )


def _stars(table: str, recipe: str, alone: Mapping[str, str], more: tuple[Arm, ...] = ()) -> Protocol:
    rows = tuple(Arm(name, recipe, sensors=(sensor,)) for name, sensor in alone.items())
    small = Small({"encoder": "resnet-tiny", "weights": None, "pyramid": 8, "width": 8}, {"chip": 64}, 2)
    return Protocol(table, recipe.partition("-")[0], (*rows, *more, Arm("STARS", recipe)), seeds(1), small)


_MUSES = "muses-functional-entropy"
_ENTROPY = Small(
    {"encoder": "segformer-tiny", "weights": None, "head_width": None}, {"chip": 64}, 2, 6
)  # a step with two sensors too
_HOUSTON = {"chip": 9, "few.per_class": 3}
_WINDOW = {"window": 9, "width": 16, "depth": 1, "heads": 2}
_LDS2AE, _LVPCNET = "houston2013-lds2ae", "houston2013-lvpcnet"
_PLAIN = ("network.options.compensation=none",)

PROTOCOLS: Mapping[str, Protocol] = {
    "latent_guided": _latent_guided("Table 2: CBC-SLP on Potsdam", "cbc_slp"),
    "latent_guided-cbc": _latent_guided("Table 5: CBC on Potsdam", "cbc"),
    "latent_guided-cmx": _latent_guided("Table 8: CMX, as the authors' code has it, on Potsdam", "cmx_cnn"),
    "stars": _stars(
        "Table 1: EarthMiss",
        "earthmiss-stars",
        {"Baseline-OPT": "optical", "Baseline-SAR": "sar"},
        (
            Arm(
                "Fine-tuning",
                "earthmiss-stars",
                sensors=("sar",),
                start="Baseline-OPT",
                adopts={"sar": "optical"},
            ),
        ),
    ),
    "stars-potsdam": _stars("Table 3: Potsdam", "potsdam-stars", {"baseline-DSM": "dsm", "baseline-RGB": "irrg"}),
    "functional_entropy": Protocol(
        "Table 2: MUSES",
        "muses",
        (Arm("Ours", _MUSES),),
        seeds(1),
        _ENTROPY,
        split="validation",
    ),
    "functional_entropy-terms": Protocol(
        "Table 5: terms, on frames and events of MUSES",
        "muses",
        (
            Arm("L_sup", _MUSES, ("stages.0.method.objectives=[cross_entropy]",), sensors=("frame", "event")),
            Arm(
                "L_sup + R_p",
                _MUSES,
                ("stages.0.method.objectives.1.options.features=0",),
                sensors=("frame", "event"),
            ),
            Arm("L_sup + R_p + R_f", _MUSES, sensors=("frame", "event")),
        ),
        seeds(1),
        _ENTROPY,
        split="validation",
    ),
    "lds2ae": Protocol(
        "Table 1: Houston 2013",
        "houston2013",
        (
            Arm("DMAE (HS)", _LDS2AE, sensors=("hyperspectral",)),
            Arm("DMAE (LiDAR)", _LDS2AE, sensors=("lidar",)),
            Arm("LDS2AE", _LDS2AE),
        ),
        draws(100),  # as often as the authors' code
        Small(_WINDOW | {"decoder_depth": 1}, _HOUSTON | {"zoom": 7}, 45),
    ),
    "lds2ae-three": Protocol(
        "Table 2: Houston 2013 with three sensors",
        "houston2013",
        (Arm("LDS2AE", "houston2013-lds2ae-three"),),
        draws(100),
        Small(_WINDOW | {"decoder_depth": 1}, _HOUSTON | {"zoom": 7}, 45),
    ),
    "lvpcnet": Protocol(
        "Table 1: Houston 2013",
        "houston2013",
        (
            Arm("HS-Net", _LVPCNET, _PLAIN, sensors=("hyperspectral",), stages=1),
            Arm("LiDAR-Net", _LVPCNET, _PLAIN, sensors=("lidar",), stages=1),
            Arm("HS-LiDAR-Net", _LVPCNET, _PLAIN, stages=1),
            Arm("LVPCnet", _LVPCNET),
        ),
        draws(10),  # an assumption: the paper says nothing
        Small(_WINDOW, _HOUSTON, 45),
    ),
}
"""By the names that `docs/experiments/papers.csv` knows them by."""
