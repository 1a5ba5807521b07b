"""Scores of single images, as the paper on latent-guided scenario sampling reports them.

I. Ulku et al., "Latent Space Guided Scenario Sampling for Multimodal Segmentation Under Missing Modalities" (2026),
Tables 1 to 9, in the form of the code that its authors published: an image's probabilities enter its IoU and F1 as they
are, an image without the class is scored by its background, and mean and deviation are over the images of the split.

Departures: the same figures of the predicted classes stand beside, where a probability counts as 0 or 1; only pixels
count that are labelled, and where all sensors of the scenario are valid, so that an image at a scene's or a split's
border may be small; with more than two classes each is scored against all others, and the figures are the means over
the classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.availability import Scenario, scenarios
from engine.data.chips import masked, side_by_side
from engine.data.settings import SplitName
from engine.data.survey import SceneCollection
from engine.errors import SplitError
from engine.evaluation.scenarios import write_rows
from engine.files import write_text
from engine.modality import IGNORED, Modality
from engine.runtime.batching import Predictor

FIGURES = ("soft_iou", "soft_f1", "iou", "f1")
IMAGE_REPORT = ("lgss.csv", "lgss.json")
"""Files of an evaluation of images."""


def soft_scores(probabilities: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """IoU and F1 of one class in one image.

    Args:
        probabilities: ``[N]`` of the class at each pixel; 0 and 1 for a prediction without doubt.
        truth: ``[N]``: where it is.
    """
    given, wanted = probabilities.astype(np.float64), truth.astype(np.float64)
    if not truth.any():
        given, wanted = 1 - given, 1 - wanted
    hits = float((given * wanted).sum())
    both = float(given.sum() + wanted.sum())
    return hits / (both - hits), 2 * hits / both


@dataclass(frozen=True)
class ImageScores:
    """Scores of the images of a split in every scenario that the data have.

    Args:
        names: The modalities.
        scenarios: The scenarios, in the papers' order.
        scores: For each of them ``[images, figures]``, the figures in the order of :data:`FIGURES`.
    """

    names: tuple[str, ...]
    scenarios: tuple[Scenario, ...]
    scores: tuple[NDArray[np.float64], ...]

    def rows(self) -> list[dict[str, Any]]:
        """A row a scenario, in the order of the paper's tables: all modalities first, single ones last."""
        order = sorted(range(len(self.scenarios)), key=lambda place: -len(self.scenarios[place].indices))
        rows = []
        for place in order:
            scenario, found = self.scenarios[place], self.scores[place]
            row: dict[str, Any] = {"scenario": scenario.label(self.names), "images": len(found)}
            row |= {name: int(there) for name, there in zip(self.names, scenario.members, strict=True)}
            for number, figure in enumerate(FIGURES):
                row[f"{figure}_mean"] = float(found[:, number].mean())
                row[f"{figure}_std"] = float(found[:, number].std())
            rows.append(row)
        return rows


def score_images(
    collection: SceneCollection,
    modalities: Sequence[Modality],
    predict: Predictor,
    split: SplitName,
    size: int,
    progress: Callable[[int], None] = lambda _images: None,
) -> ImageScores:
    """Scores a split image by image: its scenes are cut into squares side by side, and each is predicted by itself.

    Of two classes the second is scored, of more all.

    Args:
        collection: The scenes with their labels.
        modalities: With their training statistics.
        predict: Gives the probabilities of an image.
        split: Whose labels count.
        size: Of an image in pixels.
        progress: Told how many images are done.

    Raises:
        SplitError: If the split holds no labelled pixel.
    """
    every = scenarios(len(modalities))
    scored = [1] if len(collection.classes) == 2 else list(range(len(collection.classes)))
    found: dict[Scenario, list[NDArray[np.float64]]] = {scenario: [] for scenario in every}
    for number, patch in enumerate(side_by_side(collection, split, size)):
        for scenario in every:
            chip = masked(patch, scenario, modalities)
            counted = chip.labels != IGNORED
            if not counted.any():
                continue
            inputs = {modalities[index].name: chip.values[modalities[index].name][None] for index in scenario.indices}
            probabilities = predict(scenario, inputs)[0][:, counted]
            classes, truth = probabilities.argmax(axis=0), chip.labels[counted]
            of_classes = [
                (*soft_scores(probabilities[one], truth == one), *soft_scores(classes == one, truth == one))
                for one in scored
            ]
            found[scenario].append(np.mean(of_classes, axis=0))
        progress(number + 1)
    there = tuple(scenario for scenario in every if found[scenario])
    if not there:
        raise SplitError(f"data.split.{split}: no labelled pixel lies in it; check the split and the labels")
    return ImageScores(
        tuple(modality.name for modality in modalities), there, tuple(np.array(found[scenario]) for scenario in there)
    )


def pooled(parts: Sequence[ImageScores]) -> ImageScores:
    """The images of several evaluations together, those of the folds of a cross-validation for instance."""
    every = scenarios(len(parts[0].names))
    found = {
        scenario: [
            values
            for part in parts
            for other, values in zip(part.scenarios, part.scores, strict=True)
            if other == scenario
        ]
        for scenario in every
    }
    there = tuple(scenario for scenario in every if found[scenario])
    return ImageScores(parts[0].names, there, tuple(np.concatenate(found[scenario]) for scenario in there))


def write_image_scores(scores: ImageScores, folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes ``lgss.csv`` (a row a scenario), and ``lgss.json`` (each image's scores and ``facts`` beside).

    Raises:
        OutputError: If they cannot be written.
    """
    rows = scores.rows()
    write_rows(rows, folder / IMAGE_REPORT[0])
    by_label = {
        scenario.label(scores.names): found.tolist()
        for scenario, found in zip(scores.scenarios, scores.scores, strict=True)
    }
    content = {**facts, "figures": FIGURES, "scenarios": [row | {"scores": by_label[row["scenario"]]} for row in rows]}
    write_text(folder / IMAGE_REPORT[1], json.dumps(content, indent=1))
