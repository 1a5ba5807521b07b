"""The tables of `engine evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.evaluation.baseline import Beside
from engine.evaluation.bias import Bias
from engine.evaluation.conclusions import MARGIN
from engine.evaluation.images import FIGURES, ImageScores
from engine.evaluation.intervals import FEWEST, counted
from engine.evaluation.scenarios import SUMMARY, Evaluation


def print_tables(evaluation: Evaluation) -> None:
    """Prints the summary figures, and each class's IoU, of every scenario."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    figures = dict(zip(SUMMARY, ("mIoU", "mF1", "OA", "AA", "kappa"), strict=True))
    console.print(_table("per scenario", evaluation, figures))
    classes = {f"iou_{land_class.name}": land_class.name for land_class in evaluation.classes}
    console.print(_table("IoU of each class", evaluation, classes))
    console.print(_intervals(evaluation), highlight=False)
    if evaluation.bias is not None:
        console.print(_bias_table(evaluation.bias))
        console.print(
            f"mIoU over the scenarios: {evaluation.bias.mean:.3f} ± {evaluation.bias.deviation:.3f}, at least "
            f"{evaluation.bias.least:.3f}; {evaluation.bias.dominant.name} contributes most",
            highlight=False,
        )


def _intervals(evaluation: Evaluation) -> str:
    """What the intervals in the tables are."""
    blocks, side = len(evaluation.counts), evaluation.side
    if blocks < FEWEST:
        return f"No intervals: labels lie in {counted(blocks)} of {side} x {side} pixels ({FEWEST} needed)."
    return (
        f"Below the figures stand intervals of 95 %, by a bootstrap over {counted(blocks)} of {side} x {side} pixels "
        f"at most; there is none where fewer than {FEWEST} of them have pixels."
    )


def print_conclusions(evaluation: Evaluation, beside: Beside | None, told: Sequence[str]) -> None:
    """Prints what random forests reach in every scenario, and what the figures say."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    if beside is not None:
        table = Table(title="mIoU beside the better random forest")
        table.add_column("scenario", no_wrap=True)
        for heading in ("here", "forest", "difference"):
            table.add_column(heading, justify="right")
        table.add_column("forest on")
        for scenario, score in zip(evaluation.scenarios, evaluation.scores, strict=True):
            if scenario in beside.mious:
                forest = beside.mious[scenario]
                cells = (f"{score.miou:.3f}", f"{forest:.3f}", f"{score.miou - forest:+.3f}", beside.kinds[scenario])
                table.add_row(scenario.label(evaluation.names), *cells)
        console.print(table)
    if told:
        console.print(f"What this says (nothing on differences of {MARGIN} or less, or that may be chance):")
    for sentence in told:
        console.print(f"  - {sentence}", highlight=False)


def _bias_table(bias: Bias) -> Table:
    table = Table(title="mIoU by sensor")
    table.add_column("sensor", no_wrap=True)
    for heading in ("alone", "lost without it", "Shapley value"):
        table.add_column(heading, justify="right")
    for one in bias.contributions:
        table.add_row(one.name, f"{one.alone:.3f}", f"{one.drop:+.3f}", f"{one.shapley:.3f}")
    return table


def print_image_scores(scores: ImageScores) -> None:
    """Prints mean and deviation over the images of every scenario, laid out as in the paper."""
    table = Table(title="per image: mean ± deviation")
    for name in scores.names:
        table.add_column(name, justify="center", no_wrap=True)
    for heading in ("soft IoU", "soft F1", "IoU", "F1"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in scores.rows():
        marks = ["✓" if row[name] else "" for name in scores.names]
        table.add_row(*marks, *(f"{row[f'{one}_mean']:.3f} ± {row[f'{one}_std']:.3f}" for one in FIGURES))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _table(title: str, evaluation: Evaluation, columns: dict[str, str]) -> Table:
    table = Table(title=title)
    table.add_column("scenario", no_wrap=True)
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for row in evaluation.rows():
        if any(key in row for key in columns):
            table.add_row(str(row["scenario"]), *(_cell(row, key) for key in columns))
    return table


def _cell(row: Mapping[str, Any], figure: str) -> str:
    """A figure, and below it its interval."""
    low, high = (row.get(f"{end}_{figure}") for end in ("low", "high"))
    return f"{row[figure]:.3f}" + ("" if low is None or high is None else f"\n{_short(low)}-{_short(high)}")


def _short(value: float) -> str:
    """Two digits, without the zero before the point."""
    return f"{value:.2f}".removeprefix("0")
