"""Chips: the training samples cut from scenes.

Everything that is drawn (place, turn, flip, scenario) is a function of (seed, epoch, sample), so that a training
can be repeated and resumed whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.availability import Scenario
from engine.data.augmentation import augmented, cut_out
from engine.data.scenes import Patch, scene_grid
from engine.data.settings import SplitName
from engine.data.survey import SceneCollection, Survey
from engine.grid import Window
from engine.modality import IGNORED, Modality

ScenarioDraw = Callable[[np.random.Generator, np.random.Generator, Scenario], Scenario]
"""Draws a scenario among the subsets of what a chip has, by its own numbers and by those of its batch."""


TRIES = 50
"""How often a chip from anywhere is drawn anew where no sensor saw anything."""

KEPT_BYTES = 2**28
"""How much of the chips around few labels is kept after they were read, by each process that draws."""

_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True)
class Chip:
    """A training sample under one scenario.

    Args:
        values: For each modality ``[C, h, w]`` in its data type; invalid pixels hold the band's training mean.
        availability: ``[M]``: the scenario, but for members that saw no pixel of the chip (with all of them where none
            saw any).
        labels: ``[h, w]`` class indices; IGNORED (-1) where a member of the scenario is invalid, outside of the
            training split and where nothing is labelled.
    """

    values: dict[str, NDArray[np.generic]]
    availability: NDArray[np.bool_]
    labels: NDArray[np.int16]


def class_probabilities(counts: NDArray[np.int64], power: float) -> NDArray[np.float64]:
    """Probability of each class to be drawn: proportional to (its share of the pixels) ** ``power``."""
    weights = (counts / counts.sum()) ** power
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities


class ChipSampler:
    """Draws chips around classes, out of scenes of any size.

    Args:
        collection: The scenes.
        survey: Their statistics and cells.
        seed: Of the training.
        batch: Chips that are drawn together.
        draw_scenario: The method's scenario sampler.
        anywhere: Whether chips are drawn evenly over the scenes that may train, labelled or not, in place of around
            labelled pixels of the training split. A scene that is split within itself is drawn from as a whole.
    """

    def __init__(
        self,
        collection: SceneCollection,
        survey: Survey,
        seed: int,
        batch: int,
        draw_scenario: ScenarioDraw,
        anywhere: bool = False,
    ) -> None:
        self.collection = collection
        self.modalities = survey.modalities
        self.cells = survey.cells
        self.seed, self.batch = seed, batch
        self.draw_scenario = draw_scenario
        data = collection.data
        self._classes = class_probabilities(survey.class_counts, data.sampling_power)
        counts = survey.cells.counts.astype(np.float64)
        self._cells = np.cumsum(counts / counts.sum(axis=0), axis=0)
        self._areas = _areas(collection) if anywhere else None
        self._kept: dict[tuple[int, Window], Patch] = {}
        bands = sum(len(modality.bands) * np.dtype(modality.dtype).itemsize for modality in self.modalities)
        self._room = KEPT_BYTES // (bands * data.chip**2) if data.few is not None else 0

    def window(self, rng: np.random.Generator) -> tuple[int, Window]:
        """A scene and a chip's place in it: around a pixel of a cell that has a class drawn by its weight."""
        land_class = int(rng.choice(len(self._classes), p=self._classes))
        cumulative = self._cells[:, land_class]
        cell = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
        cell = min(cell, len(cumulative) - 1)
        area, scene = self.cells.window(cell), int(self.cells.scenes[cell])
        size = self.collection.data.chip
        row = area.row + int(rng.integers(area.height)) - size // 2
        col = area.col + int(rng.integers(area.width)) - size // 2
        if self.collection.data.few is not None:  # the pixel stays the centre, at the scene's border too
            return scene, Window(row, col, size, size)
        grid = self.collection[scene].grid
        return scene, Window(_inside(row, size, grid.height), _inside(col, size, grid.width), size, size)

    def _anywhere(self, rng: np.random.Generator, areas: NDArray[np.float64]) -> tuple[int, Window]:
        """A scene, by its area, and a chip anywhere in it."""
        scene = int(rng.choice(len(areas), p=areas))
        size, grid = self.collection.data.chip, self.collection[scene].grid
        row, col = (int(rng.integers(length)) - size // 2 for length in (grid.height, grid.width))
        return scene, Window(_inside(row, size, grid.height), _inside(col, size, grid.width), size, size)

    def draw(self, epoch: int, sample: int) -> Chip:
        """Sample number ``sample`` of ``epoch``: always the same chip."""
        rng = np.random.default_rng((self.seed, epoch, sample))
        patch = _turned(self._read(rng), rng, self.collection)
        if self.collection.data.zoom is not None:
            patch = _zoomed(patch, self.collection.data.zoom, rng, self.modalities)
        patch = self._changed(patch, np.random.default_rng((self.seed, epoch, sample, 2)))
        observed = self._observed(patch)
        together = np.random.default_rng((self.seed, epoch, sample // self.batch, 1))
        scenario = self.draw_scenario(rng, together, observed)
        return masked(patch, scenario, self.modalities)

    def _changed(self, patch: Patch, rng: np.random.Generator) -> Patch:
        """The patch with other values, and without a sensor in a part of it, as the recipe asks for."""
        data = self.collection.data
        for modality in self.modalities:
            if modality.name in data.augment:
                values = augmented(patch.values[modality.name], data.augment[modality.name], modality, rng)
                patch = replace(patch, values={**patch.values, modality.name: values})
        if data.cutout and rng.random() < data.cutout:
            patch = replace(patch, valid=cut_out(patch.valid, rng))
        return patch

    def _read(self, rng: np.random.Generator) -> Patch:
        """A chip around a labelled pixel; or from anywhere, if it can be where a sensor saw anything."""
        if self._areas is None:
            place = scene, window = self.window(rng)
            if place in self._kept:
                return self._kept[place]
            patch = self.collection[scene].read(window, "train")
            if len(self._kept) < self._room:
                self._kept[place] = patch
            return patch
        for _ in range(TRIES):
            scene, window = self._anywhere(rng, self._areas)
            patch = self.collection[scene].read(window, "train")
            if patch.valid.any():
                break
        return patch

    def _observed(self, patch: Patch) -> Scenario:
        """The modalities that are valid on a labelled pixel; on any pixel where there is none; else all."""
        labelled = patch.valid & (patch.labels != IGNORED)[None]
        for mask in (labelled, patch.valid):
            present = [bool(layer.any()) for layer in mask]
            if any(present):
                return Scenario(tuple(present))
        return Scenario((True,) * len(self.modalities))


def _areas(collection: SceneCollection) -> NDArray[np.float64]:
    """Each scene's share of the pixels of those that may train."""
    areas = np.zeros(len(collection))
    for number, spec in enumerate(collection.specs):
        if spec.split in (None, "train"):
            grid = scene_grid(spec, collection.modalities, collection.data.pixel_size)
            areas[number] = grid.height * grid.width
    shares: NDArray[np.float64] = areas / areas.sum()
    return shares


def side_by_side(collection: SceneCollection, split: SplitName, size: int) -> Iterator[Patch]:
    """The squares of ``size`` pixels that cover the scenes of a split; always the same ones, in the same order.

    The last of a row or column is moved back into the scene, over its neighbour, and has no labels there: each pixel
    of the split is labelled once.
    """
    for number in range(len(collection)):
        if collection.specs[number].split not in (None, split):
            continue
        grid = collection[number].grid
        for row in range(0, grid.height, size):
            for col in range(0, grid.width, size):
                window = Window(_inside(row, size, grid.height), _inside(col, size, grid.width), size, size)
                patch = collection[number].read(window, split)
                patch.labels[: max(0, row - window.row)] = IGNORED
                patch.labels[:, : max(0, col - window.col)] = IGNORED
                yield patch


def complete_chips(collection: SceneCollection, split: SplitName) -> Iterator[Chip]:
    """A split side by side: the chips where all modalities are valid on a labelled pixel.

    Under the scenario of all modalities.
    """
    everything = Scenario((True,) * len(collection.modalities))
    for patch in side_by_side(collection, split, collection.data.chip):
        chip = masked(patch, everything, collection.modalities)
        if (chip.labels != IGNORED).any():
            yield chip


def masked(patch: Patch, scenario: Scenario, modalities: Sequence[Modality]) -> Chip:
    """``patch`` as a chip under ``scenario``: it takes loss only where every member is valid."""
    members = list(scenario.indices)
    labels = np.where(patch.valid[members].all(axis=0), patch.labels, np.int16(IGNORED))
    values = {
        modality.name: modality.filled(patch.values[modality.name], patch.valid[number])
        for number, modality in enumerate(modalities)
    }
    seen = np.array(scenario.members) & patch.valid.any(axis=(1, 2))
    return Chip(values, seen if seen.any() else np.array(scenario.members), labels)


def _inside(start: int, size: int, length: int) -> int:
    """``start`` moved so that the chip lies in the scene, or centred over a scene smaller than a chip."""
    if length < size:
        return (length - size) // 2
    return min(max(start, 0), length - size)


def _turned(patch: Patch, rng: np.random.Generator, collection: SceneCollection) -> Patch:
    turns = int(rng.integers(4)) if collection.data.quarter_turns else 0
    flip = bool(rng.integers(2)) if collection.data.flips else False

    def turn(array: NDArray[_Value]) -> NDArray[_Value]:
        turned = np.rot90(array, turns, axes=(-2, -1))
        # a copy: of a chip of one pixel NumPy calls any view contiguous, also one that torch cannot take
        return (turned[..., ::-1] if flip else turned).copy()

    return Patch(
        {name: turn(values) for name, values in patch.values.items()},
        turn(patch.valid),
        turn(patch.labels),
    )


def _zoomed(patch: Patch, smallest: int, rng: np.random.Generator, modalities: Sequence[Modality]) -> Patch:
    """The middle of a patch, of a size drawn from ``smallest`` to its own, at its own size: one draw for all sensors.

    Values are bilinear, with the training mean where there are none; validity and labels are the nearest pixel's.
    """
    length = patch.labels.shape[0]
    size = int(rng.choice(np.arange(length, smallest - 1, -2)))
    if size == length:
        return patch
    start = (length - size) // 2
    middle = slice(start, start + size)
    places = np.clip((np.arange(length) + 0.5) * size / length - 0.5, 0, size - 1)
    weights = np.maximum(0, 1 - abs(places[:, None] - np.arange(size)))
    nearest = start + np.floor((np.arange(length) + 0.5) * size / length).astype(np.int64)
    values: dict[str, NDArray[np.generic]] = {}
    for number, modality in enumerate(modalities):
        whole = modality.filled(patch.values[modality.name], patch.valid[number])
        resized = weights @ whole[:, middle, middle].astype(np.float64) @ weights.T
        values[modality.name] = (np.rint(resized) if modality.dtype != "float32" else resized).astype(modality.dtype)
    return Patch(values, patch.valid[:, nearest][:, :, nearest], patch.labels[nearest][:, nearest])
