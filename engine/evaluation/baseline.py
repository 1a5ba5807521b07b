"""Figures of random forests as they are stored beside a run, for the evaluations of the same split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.availability import Scenario
from engine.data.settings import SplitName
from engine.errors import RunError
from engine.evaluation.forests import FACTS, KINDS, Kind
from engine.evaluation.scenarios import Evaluation, report_of, write_rows
from engine.files import write_text

BASELINE = ("forests.csv", "forests.json")
"""Files of a baseline."""


def baseline_folder(where: Path, split: SplitName) -> Path:
    """Where the baseline of a run, or of a model beside which it lies, is stored."""
    return where / "baseline" / split


def write_baseline(forests: Mapping[Kind, Evaluation], folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes figures of forests: the columns of an evaluation's table behind the kind of forest.

    Raises:
        OutputError: If they cannot be written.
    """
    write_rows(
        [{"forest": kind} | row for kind, found in forests.items() for row in found.rows()], folder / BASELINE[0]
    )
    content = {**facts, **FACTS, "forests": {kind: report_of(found) for kind, found in forests.items()}}
    write_text(folder / BASELINE[1], json.dumps(content, indent=1))


@dataclass(frozen=True)
class Beside:
    """The better of a baseline's forests in each scenario.

    Args:
        kinds: Which one it is.
        mious: What it reaches.
        same: Whether it was scored on as many pixels of each class as the evaluation.
    """

    kinds: Mapping[Scenario, Kind]
    mious: Mapping[Scenario, float]
    same: bool


def read_baseline(folder: Path, evaluation: Evaluation) -> Beside | None:
    """What is stored for an evaluation; None where nothing is.

    Raises:
        RunError: If that is damaged.
    """
    path = folder / BASELINE[1]
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())["forests"]
        stored = {kind: _scenarios(content[kind]) for kind in KINDS}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{path}: cannot be read: {error}; remove it, or make it anew with engine baseline") from error
    kinds: dict[Scenario, Kind] = {}
    mious: dict[Scenario, float] = {}
    same = True
    for scenario, matrix in zip(evaluation.scenarios, evaluation.confusions, strict=True):
        label = scenario.label(evaluation.names)
        there: dict[Kind, dict[str, Any]] = {kind: found[label] for kind, found in stored.items() if label in found}
        for one in there.values():
            same = same and np.array_equal(np.sum(one["confusion"], axis=1), matrix.sum(axis=1))
        if there:
            kinds[scenario] = max(there, key=lambda kind: float(there[kind]["miou"]))
            mious[scenario] = float(there[kinds[scenario]]["miou"])
    return Beside(kinds, mious, same)


def _scenarios(report: Mapping[str, Any]) -> dict[str, Any]:
    return {one["scenario"]: one for one in report["scenarios"]}
