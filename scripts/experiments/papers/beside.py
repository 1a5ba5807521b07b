"""A paper's figures beside ours.

`docs/experiments/papers.csv` holds the papers' figures as they print them (``unit`` 100: percent), under the names that
protocols and `engine evaluate` have for rows, scenarios and figures. Means of the papers that do not follow from the
figures beside them stay as they are printed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PAPERS = Path(__file__).parents[3] / "docs" / "experiments" / "papers.csv"
REPORTS = ("lgss.csv", "scenarios.csv")
"""What `engine evaluate` leaves, the one or the other."""


@dataclass(frozen=True)
class Line:
    """A figure of a table.

    Args:
        arm: The row.
        scenario: Which sensors were there.
        figure: As `engine evaluate` calls it.
        paper: As printed.
        ours: Of each evaluation, in the same unit.
    """

    arm: str
    scenario: str
    figure: str
    paper: float
    ours: tuple[float, ...]


def lines(protocol: str, evaluations: Path) -> Iterator[Line]:
    """A protocol's figures, in the order of its table.

    Args:
        protocol: Its name.
        evaluations: Folder with those of each arm, in folders ``ARM`` or ``ARM-NUMBER``, as ``folder_of`` names them.
    """
    with PAPERS.open(newline="", encoding="utf-8") as file:
        wanted = [row for row in csv.DictReader(file) if row["protocol"] == protocol]
    found = {arm: list(_found(evaluations, arm)) for arm in {row["arm"] for row in wanted}}
    for row in wanted:
        values = [
            float(row["unit"]) * float(one[row["scenario"]][row["figure"]])
            for one in found[row["arm"]]
            if row["figure"] in one.get(row["scenario"], {})
        ]
        yield Line(row["arm"], row["scenario"], row["figure"], float(row["value"]), tuple(values))


def folder_of(arm: str) -> str:
    """An arm's name as that of a folder."""
    return "".join(sign if sign.isalnum() else "_" for sign in arm)


def _found(evaluations: Path, arm: str) -> Iterator[dict[str, dict[str, str]]]:
    """The rows of an arm's evaluations by their scenarios."""
    name = folder_of(arm)
    for folder in (evaluations / name, *sorted(evaluations.glob(f"{name}-*"))):
        for report in REPORTS:
            if (folder / report).exists():
                with (folder / report).open(newline="", encoding="utf-8") as file:
                    yield {row["scenario"]: row for row in csv.DictReader(file)}


def table(found: Sequence[Line]) -> str:
    """Lines as a table in Markdown: the paper's figure, ours, their difference; deviations where there are several."""
    rows = ["| row | sensors | figure | paper | here | difference |", "|---|---|---|---|---|---|"]
    for line in found:
        digits = 3 if line.paper <= 1 and line.figure.startswith("soft") else 2
        here = difference = "-"
        if line.ours:
            mean = float(np.mean(line.ours))
            here, difference = f"{mean:.{digits}f}", f"{mean - line.paper:+.{digits}f}"
        if len(line.ours) > 1:
            here += f" ± {np.std(line.ours, ddof=1):.{digits}f}"
        cells = (line.arm, line.scenario, line.figure, f"{line.paper:.{digits}f}", here, difference)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)
