"""Evaluation over all scenarios: whole scenes are mapped as `engine predict` maps them, and a split is scored."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.availability import Scenario, scenarios
from engine.data.scenes import Scene
from engine.data.settings import SplitName
from engine.data.survey import SceneCollection
from engine.errors import SplitError
from engine.evaluation.bias import Bias, unimodal_bias
from engine.evaluation.blocks import BlockCounts
from engine.evaluation.excerpt import Excerpt, Excerpts
from engine.evaluation.intervals import Interval, Spread, spreads
from engine.evaluation.metrics import Confusion, Scores, confusion, scores
from engine.files import write_text
from engine.grid import Window
from engine.mapping.mosaic import map_blocks
from engine.mapping.seams import PERIOD, SeamCounter, seam_ratio
from engine.mapping.tiles import TilePlan
from engine.modality import IGNORED, LandClass, Modality
from engine.runtime.batching import Predictor

SUMMARY = ("miou", "mf1", "overall_accuracy", "average_accuracy", "kappa")
REPORT = ("scenarios.csv", "report.json")
"""Files of an evaluation."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one split in every scenario that the data have, in the papers' order.

    Args:
        names: The modalities.
        classes: The classes.
        scenarios: The scenarios.
        confusions: Of each scenario.
        seam_ratio: Changes of class where tiles meet over those elsewhere, over all maps; NaN where none has two tiles.
        side: Of a spatial block, in pixels.
        counts: ``[B, S, 3, K]``: by block and scenario hits, truth and prediction of each class.
        excerpt: A part of a scene as it was mapped, to look at; None where no scene was mapped for it.
    """

    names: tuple[str, ...]
    classes: tuple[LandClass, ...]
    scenarios: tuple[Scenario, ...]
    confusions: tuple[Confusion, ...]
    seam_ratio: float
    side: int
    counts: NDArray[np.int64]
    excerpt: Excerpt | None = None

    @property
    def scores(self) -> tuple[Scores, ...]:
        """Of each scenario."""
        return tuple(scores(matrix) for matrix in self.confusions)

    @cached_property
    def spreads(self) -> tuple[Spread, ...]:
        """How sure the figures of each scenario are, and, last, those of their mean."""
        return spreads(self.counts)

    def mean(self, figure: str) -> float:
        """The mean of a figure over the scenarios."""
        return float(np.mean([getattr(score, figure) for score in self.scores]))

    @property
    def bias(self) -> Bias | None:
        """What each sensor contributes to the mIoU; None with one sensor, or where a scenario was not evaluated."""
        found = {scenario: score.miou for scenario, score in zip(self.scenarios, self.scores, strict=True)}
        return unimodal_bias(found, self.names)

    def rows(self) -> list[dict[str, Any]]:
        """A row a scenario: its name, the summary figures, and IoU and F1 of each class; the mean last.

        Ends of an interval are called ``low_`` and ``high_`` with the figure's name, and None where there is none.
        """
        rows: list[dict[str, Any]] = []
        *of_scenarios, of_mean = self.spreads
        for scenario, score, spread in zip(self.scenarios, self.scores, of_scenarios, strict=True):
            row: dict[str, Any] = {"scenario": scenario.label(self.names), "pixels": score.pixels}
            row |= {"blocks": spread.blocks} | {figure: getattr(score, figure) for figure in SUMMARY} | _ends(spread)
            for number, land_class in enumerate(self.classes):
                row[f"iou_{land_class.name}"] = score.iou[number]
                row |= _ends_of(f"iou_{land_class.name}", spread.iou[number])
                row[f"f1_{land_class.name}"] = score.f1[number]
            rows.append(row)
        means = {figure: self.mean(figure) for figure in SUMMARY}
        return [*rows, {"scenario": "mean", "blocks": of_mean.blocks, **means, **_ends(of_mean)}]


def _ends(spread: Spread) -> dict[str, float | None]:
    return _ends_of("miou", spread.miou) | _ends_of("overall_accuracy", spread.overall_accuracy)


def _ends_of(figure: str, found: Interval | None) -> dict[str, float | None]:
    low, high = found or (None, None)
    return {f"low_{figure}": low, f"high_{figure}": high}


def evaluate(
    collection: SceneCollection,
    modalities: Sequence[Modality],
    predict: Predictor,
    split: SplitName,
    tile: int,
    halo: int,
    *,
    inner_only: bool = False,
    most: int | None = None,
    threads: int = 1,
    only: Sequence[Scenario] | None = None,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> Evaluation:
    """Maps every scene in every scenario and scores the pixels of ``split`` where all its members are valid.

    Args:
        collection: The scenes with their labels.
        modalities: With their training statistics.
        predict: Gives the probabilities of a tile.
        split: Whose labels count.
        tile: Size of a tile in pixels.
        halo: Half the overlap of neighbouring tiles in pixels.
        inner_only: Whether a tile has no answer in its halo; tiles without a labelled pixel are then left out.
        most: Of tiles with no answer in their halo, how many of a scene are scored, always the same ones; all where
            None.
        threads: Threads that call ``predict``.
        only: The scenarios to evaluate; all where None.
        progress: Told what is done and the share of it that is done.

    Raises:
        SplitError: If the split holds no labelled pixel.
    """
    if split == "train":
        _ = collection.drawn  # reads all scenes, and may close one that is being evaluated
    wanted = tuple(only) if only is not None else scenarios(len(modalities))
    classes = len(collection.classes)
    matrices = [np.zeros((classes, classes), dtype=np.int64) for _ in wanted]
    blocks = BlockCounts(collection.data.chip, len(wanted), classes)
    seams = np.zeros((2, PERIOD, 2), dtype=np.int64)
    excerpts = Excerpts(len(wanted))
    for number in range(len(collection)):
        scene = collection[number]
        if collection.specs[number].split not in (None, split) or not excerpts.enter(scene, split):
            continue
        plan = TilePlan(scene.grid.height, scene.grid.width, tile, halo, inner_only)
        outside = _left_out(scene, split, plan, most) if inner_only else None
        for index, scenario in enumerate(wanted):
            if scenario <= scene.present:
                progress(
                    f"{scene.name}, {scenario.label([modality.name for modality in modalities])}",
                    (number + index / len(wanted)) / len(collection),
                )
                counter = SeamCounter(plan)
                for window, labels, mapped, counted in _scored(
                    scene, scenario, modalities, predict, split, plan, classes, threads, counter, outside
                ):
                    matrices[index] += confusion(labels[counted], mapped[counted], classes)
                    blocks.add(number, window, index, labels, mapped, counted)
                    excerpts.add(scene, index, window, mapped, counted)
                seams += counter.counts
    found = [index for index, matrix in enumerate(matrices) if matrix.sum()]
    if not found:
        raise SplitError(f"data.split.{split}: no labelled pixel lies in it; check the split and the labels")
    return Evaluation(
        tuple(modality.name for modality in modalities),
        collection.classes,
        tuple(wanted[index] for index in found),
        tuple(matrices[index] for index in found),
        seam_ratio(seams),
        blocks.side,
        blocks.counts[:, found],
        excerpts.of(found),
    )


def _left_out(
    scene: Scene, split: SplitName, plan: TilePlan, most: int | None
) -> Callable[[Window], NDArray[np.bool_]]:
    """Says of a tile, all of it, whether it is left out: its inside holds no labelled pixel, or others were drawn."""
    labelled = np.zeros((plan.rows, plan.cols), dtype=bool)
    for row in range(plan.rows):
        line = plan.final(row, 0) | plan.final(row, plan.cols - 1)
        known = (scene.labels(line, split) != IGNORED).any(axis=0)
        labelled[row] = [known[col * plan.stride :][: plan.stride].any() for col in range(plan.cols)]
    places = np.flatnonzero(labelled)
    if most is not None and len(places) > most:
        labelled.flat[np.random.default_rng(0).choice(places, len(places) - most, replace=False)] = False

    def outside(tile: Window) -> NDArray[np.bool_]:
        row, col = ((start + plan.before) // plan.stride for start in (tile.row, tile.col))
        return np.full((tile.height, tile.width), not labelled[row, col])

    return outside


def _scored(
    scene: Scene,
    scenario: Scenario,
    modalities: Sequence[Modality],
    predict: Predictor,
    split: SplitName,
    plan: TilePlan,
    classes: int,
    threads: int,
    seams: SeamCounter,
    outside: Callable[[Window], NDArray[np.bool_]] | None,
) -> Iterator[tuple[Window, NDArray[np.int16], NDArray[np.integer], NDArray[np.bool_]]]:
    """Maps a scene in a scenario: of each part its place, labels and map ``[h, w]``, and which pixels count."""
    readers = {modalities[index].name: scene.readers[modalities[index].name] for index in scenario.indices}
    for block in map_blocks(
        modalities=modalities,
        readers=readers,
        plan=plan,
        window=scene.grid.window,
        classes=classes,
        predict=predict,
        strips=plan.strips(scene.grid.window),
        threads=threads,
        outside=outside,
    ):
        if not plan.inner_only:  # each pixel is then one tile's alone, as if there were no others
            seams.add(block)
        labels = scene.labels(block.window, split)
        yield block.window, labels, block.classes, (labels != IGNORED) & (block.availability == scenario.bits)


def report_of(evaluation: Evaluation) -> dict[str, Any]:
    """All figures of an evaluation and its confusion matrices, as JSON takes them."""
    rows = evaluation.rows()
    return {
        "modalities": evaluation.names,
        "classes": [asdict(land_class) for land_class in evaluation.classes],
        "scenarios": [
            {
                **{key: _finite(value) for key, value in row.items()},
                "confusion": matrix.tolist(),
            }
            for row, matrix in zip(rows, evaluation.confusions, strict=False)
        ],
        "mean": {key: _finite(value) for key, value in rows[-1].items() if key != "scenario"},
        "block_side": evaluation.side,
        "seam_ratio": _finite(evaluation.seam_ratio),
        "bias": asdict(bias) | {"dominant": bias.dominant.name} if (bias := evaluation.bias) else None,
    }


def write_report(evaluation: Evaluation, folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes ``scenarios.csv`` and ``report.json`` (figures, confusion matrices and ``facts``) into a folder.

    Raises:
        OutputError: If they cannot be written.
    """
    write_rows(evaluation.rows(), folder / REPORT[0])
    write_text(folder / REPORT[1], json.dumps({**facts, **report_of(evaluation)}, indent=1))


def write_rows(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    """Writes a table as CSV, with the columns of its first row.

    Raises:
        OutputError: If it cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _finite(value: Any) -> Any:  # noqa: ANN401 (JSON has no NaN)
    return None if isinstance(value, float) and not np.isfinite(value) else value
