"""Figures of an evaluation's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.evaluation.baseline import Beside
from engine.evaluation.curves import Curve
from engine.evaluation.diagnostics import running_mean
from engine.evaluation.metrics import Confusion
from engine.evaluation.scenarios import Evaluation
from engine.names import shown
from engine.report.page import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERED = 12
"""Classes up to which a confusion matrix has its shares as numbers."""

DOTS = 96
"""Pixels of a page along an inch of a figure."""

BLUE, ORANGE = "#33638d", "#e69f00"


def _text(text: str) -> str:
    """A name as matplotlib shows it: without what steers, and no formula between dollars."""
    return shown(text).replace("$", r"\$")


def _drawn(figure: Figure, text: str) -> dict[str, Any]:
    width, height = (round(DOTS * inches) for inches in figure.get_size_inches())
    return {"address": drawing(figure), "width": width, "height": height, "text": text}


def curves_figure(losses: Mapping[str, Curve], mious: Mapping[str, Curve]) -> dict[str, Any]:
    """Terms of the loss, running means over a fiftieth of the training, and the validation mIoU over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, (steps, values) in losses.items():
        left.plot(*running_mean(steps, values), label=_text(name), linewidth=1)
    for name, (steps, values) in mious.items():
        mean = name == "mean"
        right.plot(
            steps, values, marker=".", label=_text(name), color="black" if mean else None, linewidth=2 if mean else 1
        )
    for axes, title in ((left, "loss"), (right, "validation mIoU")):
        axes.set_title(title)
        axes.set_xlabel("step")
        _bare(axes)
        if axes.lines and len(axes.lines) <= 20:
            axes.legend(fontsize="x-small", frameon=False, ncols=1 + len(axes.lines) // 8)
    return _drawn(figure, "Losses and validation mIoU over the steps of the training.")


def bars_figure(evaluation: Evaluation, beside: Beside | None) -> dict[str, Any]:
    """mIoU of each scenario with its interval, and what the better random forest reaches."""
    from matplotlib.figure import Figure

    count = len(evaluation.scenarios)
    figure = Figure(figsize=(8, 1.1 + 0.32 * count), layout="constrained")
    axes = figure.subplots()
    for place, (scenario, score, spread) in enumerate(
        zip(evaluation.scenarios, evaluation.scores, evaluation.spreads[:-1], strict=True)
    ):
        axes.barh(place, score.miou, height=0.62, color=BLUE, label="mIoU" if place == 0 else None)
        if spread.miou is not None:
            axes.plot(spread.miou, (place, place), color="black", linewidth=1.5, marker="|", markersize=7)
        if beside is not None and scenario in beside.mious:
            axes.plot(
                beside.mious[scenario], place, marker="D", color=ORANGE, markeredgecolor="black", linestyle="none"
            )
    axes.set_yticks(range(count), [_text(one.label(evaluation.names)) for one in evaluation.scenarios])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("mIoU")
    _bare(axes)
    return _drawn(figure, "mIoU in every scenario.")


def confusion_figure(title: str, matrix: Confusion, names: Sequence[str]) -> dict[str, Any]:
    """A confusion matrix, each row, a class of the truth, divided by its sum; white where a class has no truth."""
    from matplotlib.figure import Figure

    truth = matrix.sum(axis=1, keepdims=True)
    shares = np.where(truth > 0, matrix / np.maximum(truth, 1), np.nan)
    side = 1.9 + (0.42 if len(names) <= NUMBERED else 0.2) * len(names)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    labels = [_text(name if len(name) <= 24 else f"{name[:23]}…") for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=90, fontsize="small")
    axes.set_yticks(range(len(names)), labels, fontsize="small")
    axes.set_xlabel("mapped as")
    axes.set_ylabel("truth")
    axes.set_title(_text(title), fontsize="medium")
    if len(names) <= NUMBERED:
        for (row, col), share in np.ndenumerate(shares):
            if np.isfinite(share):
                color = "white" if share > 0.5 else "black"
                axes.text(col, row, f"{100 * share:.0f}", ha="center", va="center", color=color, fontsize="small")
    return _drawn(figure, f"Confusion matrix of {title}.")


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
