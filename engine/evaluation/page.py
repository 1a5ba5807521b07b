"""An evaluation as a page for people: curves, scores, confusions, maps beside the truth, and where the splits lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.baseline import Beside
from engine.evaluation.curves import learning_curves
from engine.evaluation.excerpt import SIDE as EXCERPT
from engine.evaluation.excerpt import Excerpt
from engine.evaluation.figures import NUMBERED, bars_figure, confusion_figure, curves_figure
from engine.evaluation.scenarios import Evaluation
from engine.evaluation.split_pictures import COLORS
from engine.modality import IGNORED
from engine.report.page import Section, page
from engine.report.pictures import framed, palette

PAGE = "report.html"
"""The page within an evaluation's folder."""

MATRICES = 15
"""Scenarios up to which each has its confusion matrix and map; of more those of one sensor and of all have."""

SIDE = 220
"""Pixels of the page along a map."""


def evaluation_page(
    evaluation: Evaluation,
    what: str,
    facts: Mapping[str, Any],
    beside: Beside | None,
    told: Sequence[str],
    metrics: Path,
    splits: Sequence[Mapping[str, Any]],
) -> str:
    """The page, complete in itself; names of any script and with any sign are shown as they are.

    Args:
        evaluation: What is shown.
        what: What was evaluated.
        facts: ``split``, ``tile`` and ``halo``.
        beside: What forests reach.
        told: What the figures say.
        metrics: The run's ``metrics.csv``; without it there are no curves.
        splits: Pictures of where the splits lie.
    """
    sections = [_scores(evaluation, beside)]
    if told:
        sections.insert(0, Section("What this says", "texts.html", {"texts": told}))
    losses, mious = learning_curves(metrics)
    if losses or mious:
        text = (
            "Losses are running means over a fiftieth of their steps. The validation maps with tiles of a chip: its "
            "mIoU compares checkpoints, and may differ from that of the evaluation."
        )
        values = {"texts": [text], "figures": [curves_figure(losses, mious)]}
        sections.append(Section("Learning curves", "figures.html", values))
    sections.append(_classes(evaluation))
    if evaluation.excerpt is not None:
        sections.append(_maps(evaluation, evaluation.excerpt))
    sections.append(_confusions(evaluation))
    if splits:
        sections.append(_splits(splits))
    under = f"Split {facts['split']}, tile {facts['tile']}, halo {facts['halo']} pixels"
    return page(f"Evaluation: {what}", under, sections)


def _shown(evaluation: Evaluation) -> list[int]:
    """Numbers of the scenarios that have a matrix and a map."""
    count = len(evaluation.scenarios)
    if count <= MATRICES:
        return list(range(count))
    ends = (1, len(evaluation.names))
    return [number for number, one in enumerate(evaluation.scenarios) if len(one.indices) in ends]


def _left_out(evaluation: Evaluation) -> list[str]:
    if len(evaluation.scenarios) <= MATRICES:
        return []
    return [f"Shown are the scenarios of one sensor and of all of them; there are {len(evaluation.scenarios)}."]


def _scores(evaluation: Evaluation, beside: Beside | None) -> Section:
    texts = [
        "Lines are intervals of 95 %, by a bootstrap over spatial blocks; there is none where too few have labels."
    ]
    if beside is not None:
        texts.append("Diamonds are the better of the random forests that were scored on the same pixels.")
    return Section("mIoU by scenario", "figures.html", {"texts": texts, "figures": [bars_figure(evaluation, beside)]})


def _classes(evaluation: Evaluation) -> Section:
    *rows, mean = evaluation.rows()
    named = [(land_class.name, f"iou_{land_class.name}") for land_class in evaluation.classes]
    table = [{"name": name, "cells": [_cell(row, key) for row in rows]} for name, key in named]
    table.append({"name": "mIoU", "cells": [_cell(row, "miou") for row in rows]})
    text = f"Below a figure stands its interval of 95 %. Mean mIoU over the scenarios: {mean['miou']:.3f}."
    values = {"scenarios": [row["scenario"] for row in rows], "rows": table, "text": text}
    return Section("IoU of each class", "classes.html", values)


def _cell(row: Mapping[str, Any], figure: str) -> tuple[str, str]:
    low, high = (row.get(f"{end}_{figure}") for end in ("low", "high"))
    value = f"{row[figure]:.3f}" if np.isfinite(row[figure]) else "–"
    return value, "" if low is None or high is None else f"{low:.2f}–{high:.2f}"


def _maps(evaluation: Evaluation, excerpt: Excerpt) -> Section:
    colors = {number: land_class.color for number, land_class in enumerate(evaluation.classes)}
    rows, cols = (_extent((excerpt.truth != IGNORED).any(axis=axis)) for axis in (1, 0))
    pictures = [framed(palette(excerpt.truth[rows, cols], colors), "The labels.", SIDE) | {"name": "truth"}]
    for number in _shown(evaluation):
        name = evaluation.scenarios[number].label(evaluation.names)
        drawn = framed(palette(excerpt.maps[number][rows, cols], colors), f"Mapped from {name}.", SIDE)
        pictures.append(drawn | {"name": name})
    top, left = excerpt.window.row, excerpt.window.col
    place = f"rows {top + rows.start} to {top + rows.stop - 1}, columns {left + cols.start} to {left + cols.stop - 1}"
    texts = [
        f"{excerpt.scene}, {place}: the part of at most {EXCERPT} x {EXCERPT} pixels with the most sensors and "
        "classes. White is in another split, without a label, or not seen by all sensors of the scenario.",
        *_left_out(evaluation),
    ]
    present = np.unique(excerpt.truth[excerpt.truth != IGNORED]).tolist()
    present += [one for one in np.unique(excerpt.maps[excerpt.maps != IGNORED]).tolist() if one not in present]
    legend = [(colors[one], evaluation.classes[one].name) for one in sorted(present)]
    values = {"texts": texts, "legend": legend, "pictures": pictures}
    return Section("Maps beside the truth", "pictures.html", values)


def _extent(known: NDArray[np.bool_]) -> slice:
    """From the first to the last that is known."""
    places = np.flatnonzero(known)
    return slice(int(places[0]), int(places[-1]) + 1)


def _confusions(evaluation: Evaluation) -> Section:
    names = [land_class.name for land_class in evaluation.classes]
    figures = [
        confusion_figure(evaluation.scenarios[number].label(evaluation.names), evaluation.confusions[number], names)
        for number in _shown(evaluation)
    ]
    numbers = " in percent" if len(names) <= NUMBERED else " from white, none, to dark, all"
    texts = [f"Of the pixels of each class (row) the share that is mapped as each class (column),{numbers}."]
    values = {"texts": texts + _left_out(evaluation), "figures": figures}
    return Section("Confusion matrices", "figures.html", values)


def _splits(splits: Sequence[Mapping[str, Any]]) -> Section:
    steps = {one["step"] for one in splits}
    text = "Labelled pixels by the split that they are in; grey has no label or is in no split."
    if steps != {1}:
        text += " Large scenes are shown by every n-th row and column."
    values = {"texts": [text], "legend": [(color, name) for name, color in COLORS.items()], "pictures": splits}
    return Section("Where the splits lie", "pictures.html", values)
