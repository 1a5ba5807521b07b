"""Random forests on the pixels that a run learns from, one for each scenario, scored on those that it is scored on.

L. Breiman, "Random Forests", Machine Learning 45, 2001, as scikit-learn grows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from engine.availability import Scenario, scenarios
from engine.data.chips import class_probabilities
from engine.data.scenes import Scene
from engine.data.settings import SplitName
from engine.data.splits import pixel_hashes
from engine.data.survey import SceneCollection
from engine.errors import SplitError
from engine.evaluation.blocks import BlockCounts
from engine.evaluation.metrics import Confusion, confusion
from engine.evaluation.samples import AROUND, SQUARE, feature_columns, pixel_features, smallest
from engine.evaluation.scenarios import Evaluation
from engine.grid import Window
from engine.modality import IGNORED
from engine.runtime.machine import usable_processors

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

Kind = Literal["pixels", "windows"]
KINDS: tuple[Kind, ...] = ("pixels", "windows")
"""Forests that see a pixel's values alone, and those that see means and deviations around it too."""

TREES, SEED = 100, 0
"""Of a forest; all else is as scikit-learn has it by default."""

PIXELS = 5000
"""Training pixels of a class at the most."""

FACTS = {"trees": TREES, "seed": SEED, "pixels_per_class": PIXELS, "window": AROUND}

Progress = Callable[[str, float], None]


@dataclass
class Drawn:
    """Training pixels, of each class and availability those with the smallest hashes.

    Args:
        features: ``[N, F]`` of all modalities.
        labels: ``[N]`` class indices.
        bits: ``[N]``: which modalities are valid, as a bit mask.
        hashes: ``[N]`` of scene and place.
        counts: For each availability ``[K]``, how many pixels there were of each class.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    bits: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    counts: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def joined(self, other: Drawn, classes: int) -> Drawn:
        """Those of both with the smallest hashes."""
        labels, bits = np.concatenate([self.labels, other.labels]), np.concatenate([self.bits, other.bits])
        hashes = np.concatenate([self.hashes, other.hashes])
        chosen = smallest(bits * classes + labels, hashes, PIXELS)
        features = np.concatenate([self.features, other.features])[chosen]
        return Drawn(features, labels[chosen], bits[chosen], hashes[chosen], self.counts)

    def of(self, scenario: Scenario) -> NDArray[np.int64]:
        """Places of the pixels that a forest of a scenario learns from: all its members are valid there."""
        there = np.flatnonzero(self.bits & scenario.bits == scenario.bits)
        return there[smallest(self.labels[there], self.hashes[there], PIXELS)]

    def weights(self, scenario: Scenario, labels: NDArray[np.int64], power: float) -> NDArray[np.float64]:
        """Weight of each of a scenario's pixels: those of a class weigh together its share of all to a power."""
        counts = np.sum([found for bits, found in self.counts.items() if bits & scenario.bits == scenario.bits], axis=0)
        classes = class_probabilities(counts, power) / np.maximum(1, np.bincount(labels, minlength=len(counts)))
        weights: NDArray[np.float64] = len(labels) * classes[labels]
        return weights


def labelled_squares(
    collection: SceneCollection, split: SplitName
) -> Iterator[tuple[int, Scene, Window, NDArray[np.int16]]]:
    """The squares of a split's scenes that hold labelled pixels: number and scene, place, labels ``[h, w]``."""
    if split == "train":
        _ = collection.drawn  # reads all scenes, and may close one that is being read
    for number in range(len(collection)):
        if collection.specs[number].split not in (None, split):
            continue
        scene = collection[number]
        for window in scene.grid.windows(SQUARE):
            labels = scene.labels(window, split)
            if (labels != IGNORED).any():
                yield number, scene, window, labels


def draw_training_pixels(collection: SceneCollection, progress: Progress = lambda _what, _share: None) -> Drawn:
    """Reads the training split once, square by square; what is held is the pixels drawn so far.

    Raises:
        SplitError: If it holds no labelled pixel.
    """
    modalities, classes = collection.modalities, len(collection.classes)
    firsts = np.cumsum([0, *(3 * len(modality.bands) for modality in modalities)])
    none = np.empty(0, np.int64)
    kept = Drawn(np.empty((0, int(firsts[-1])), np.float32), none, none, np.empty(0, np.uint64))
    for number, scene, window, labels in labelled_squares(collection, "train"):
        progress(f"training pixels of {scene.name}", number / len(collection))
        chosen = labels != IGNORED
        rows, cols = np.nonzero(chosen)
        features = pixel_features(scene, modalities, window, chosen, around=True)
        bits = (~np.isnan(features[:, firsts[:-1]])).astype(np.int64) @ (1 << np.arange(len(modalities)))
        found = labels[chosen].astype(np.int64)
        for mask in np.unique(bits).tolist():
            counted = np.bincount(found[bits == mask], minlength=classes)
            kept.counts[mask] = kept.counts.get(mask, 0) + counted
        hashes = pixel_hashes(rows + window.row, cols + window.col, f"forest {SEED} {scene.name}")
        kept = kept.joined(Drawn(features, found, bits, hashes), classes)
    if not len(kept.labels):
        raise SplitError("data.split.train: no labelled pixel lies in it; check the split and the labels")
    return kept


def score_forests(
    collection: SceneCollection, split: SplitName, progress: Progress = lambda _what, _share: None
) -> dict[Kind, Evaluation]:
    """Grows a forest of each kind for each scenario, and scores it on the pixels of ``split`` that a run is scored on.

    One forest is held at a time. A scenario without a training pixel on which all its members are valid is left out.

    Args:
        collection: The scenes with their labels.
        split: Whose labels count.
        progress: Told what is done and the share of it that is done.

    Raises:
        SplitError: If no labelled pixel lies in the training split or in ``split``.
    """
    from sklearn.ensemble import RandomForestClassifier

    drawn = draw_training_pixels(collection, lambda what, share: progress(what, share / 10))
    names, wanted = [modality.name for modality in collection.modalities], scenarios(len(collection.modalities))
    found: dict[Kind, Evaluation] = {}
    for place, kind in enumerate(KINDS):
        matrices: dict[Scenario, Confusion] = {}
        blocks = BlockCounts(collection.data.chip, len(wanted), len(collection.classes))
        for number, scenario in enumerate(wanted):
            chosen = drawn.of(scenario)
            if not len(chosen):
                continue
            what = f"forest on {kind}, {scenario.label(names)}"
            start = 0.1 + 0.9 * (place * len(wanted) + number) / (len(KINDS) * len(wanted))
            progress(f"growing {what}", start)
            members = [collection.modalities[index] for index in scenario.indices]
            columns = feature_columns(collection.modalities, members, kind == "windows")
            forest = RandomForestClassifier(TREES, random_state=SEED, n_jobs=usable_processors())
            labels = drawn.labels[chosen]
            weights = drawn.weights(scenario, labels, collection.data.sampling_power)
            forest.fit(drawn.features[chosen][:, columns], labels, weights)
            progress(f"scoring {what}", start)
            matrix = np.zeros((len(collection.classes), len(collection.classes)), dtype=np.int64)
            for scene, window, truth, mapped, counted in _mapped(
                collection, split, scenario, forest, kind == "windows"
            ):
                matrix += confusion(truth[counted], mapped[counted], len(collection.classes))
                blocks.add(scene, window, number, truth, mapped, counted)
            if matrix.sum():
                matrices[scenario] = matrix
        if not matrices:
            raise SplitError(f"data.split.{split}: no labelled pixel lies in it; check the split and the labels")
        found[kind] = Evaluation(
            tuple(names),
            collection.classes,
            tuple(matrices),
            tuple(matrices.values()),
            float("nan"),
            blocks.side,
            blocks.counts[:, [wanted.index(scenario) for scenario in matrices]],
        )
    return found


def _mapped(
    collection: SceneCollection, split: SplitName, scenario: Scenario, forest: RandomForestClassifier, around: bool
) -> Iterator[tuple[int, Window, NDArray[np.int16], NDArray[np.int64], NDArray[np.bool_]]]:
    """Maps a split by squares: number of the scene, place, labels and map ``[h, w]``, and which pixels count."""
    members = [collection.modalities[index] for index in scenario.indices]
    threads = usable_processors()
    with ThreadPoolExecutor(threads) as pool:
        for number, scene, window, labels in labelled_squares(collection, split):
            if not scenario <= scene.present:
                continue
            chosen = labels != IGNORED
            features = pixel_features(scene, members, window, chosen, around)
            valid = ~np.isnan(features).any(axis=1)
            if not valid.any():
                continue
            parts = [part for part in np.array_split(features[valid], threads) if len(part)]
            sums = np.concatenate(list(pool.map(lambda part: probabilities(forest, part), parts)))
            counted, mapped = np.zeros_like(chosen), np.full(labels.shape, IGNORED, np.int64)
            counted[chosen] = valid
            mapped[counted] = forest.classes_[sums.argmax(axis=1)]
            yield number, window, labels, mapped, counted


def probabilities(forest: RandomForestClassifier, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities ``[N, K]`` of a forest, its trees added in one order: its own threads add as they end."""
    found: NDArray[np.float64] = np.mean([tree.predict_proba(features) for tree in forest.estimators_], axis=0)
    return found
