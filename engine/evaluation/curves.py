"""What a training logged, as curves over its steps."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

Curve = tuple[Sequence[int], Sequence[float]]
"""Steps and values."""


def learning_curves(metrics: Path) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """Terms of the loss by stage and name, and the validation mIoU by scenario; both empty where nothing was logged.

    Args:
        metrics: A run's ``metrics.csv``; it need not be there.
    """
    losses: dict[str, tuple[list[int], list[float]]] = {}
    mious: dict[str, tuple[list[int], list[float]]] = {}
    if not metrics.exists():
        return {}, {}
    whole = metrics.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0]  # a training may be writing a row
    for row in csv.reader(whole.splitlines()):
        if len(row) != 3 or not row[0].isdigit():  # the heading, or what a crash has torn
            continue
        step, name, value = row
        first, *rest = name.split("/", 2)
        if len(rest) == 2 and rest[0] == "loss":
            curve = losses.setdefault(f"{first}: {rest[1]}", ([], []))
        elif [first, *rest[:1]] == ["validation", "miou"]:
            curve = mious.setdefault(rest[1], ([], []))
        else:
            continue
        curve[0].append(int(step))
        curve[1].append(float(value))
    return dict[str, Curve](losses), dict[str, Curve](mious)
