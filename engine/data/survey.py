"""One pass over the training pixels: statistics of every band, and where every class lies."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.data.evidence import count_splits, weak_validation
from engine.data.facts import LabelTally, SceneFacts, Values
from engine.data.few import DrawnPixels, draw_pixels
from engine.data.quantiles import PixelSample
from engine.data.scenes import Scene, SceneSpec, by_names, scene_specs, with_scales
from engine.data.settings import DataSettings, FewSettings, SplitName
from engine.data.splits import SPLITS, pixel_hashes
from engine.errors import RecipeError, SplitError
from engine.grid import Window
from engine.modality import FILLED, FILLERS, IGNORED, SINGLE, BandStatistics, LandClass, Modality

OPEN_SCENES = 48
"""How many scenes are kept open: each has a file or more a modality, and a process may often have 1024 files."""

MEASURED = 128
"""Side of the squares whose values are measured where the cells are pixels."""


class SceneCollection:
    """A recipe's scenes, opened when they are read and closed when they have not been for long.

    Args:
        data: The recipe's data settings.
        root: Folder that their paths are relative to.
        modalities: The recipe's modalities. Those without statistics take the scale that the first scene's sources
            have.
        classes: The recipe's classes.
    """

    def __init__(
        self, data: DataSettings, root: Path, modalities: Sequence[Modality], classes: Sequence[LandClass]
    ) -> None:
        self.data = data
        self.root = root
        self.classes = tuple(classes)
        if not root.is_dir():
            raise RecipeError(f"data.root: there is no folder {root}; set it with --set data.root=FOLDER")
        self.specs: tuple[SceneSpec, ...] = tuple(by_names(spec, modalities) for spec in scene_specs(data, root))
        self.modalities = tuple(
            modality if modality.statistics else with_scales(modality, self.specs) for modality in modalities
        )
        self._open: OrderedDict[int, Scene] = OrderedDict()
        self._drawn: DrawnPixels | None = None

    def __len__(self) -> int:
        return len(self.specs)

    def __getitem__(self, index: int) -> Scene:
        if index in self._open:
            self._open.move_to_end(index)
            return self._open[index]
        if len(self._open) >= OPEN_SCENES:
            self._open.popitem(last=False)[1].close()
        few = self.data.few
        drawn = None if few is None else lambda window: self._draw(few).mask(index, window)
        scene = Scene(self.specs[index], self.modalities, self.classes, self.data, self.root, drawn)
        self._open[index] = scene
        return scene

    @property
    def drawn(self) -> DrawnPixels | None:
        """The pixels that are labelled for training; None where all are. Found when they are first asked for."""
        return None if self.data.few is None else self._draw(self.data.few)

    def _draw(self, few: FewSettings) -> DrawnPixels:
        if self._drawn is None:
            training = (number for number, spec in enumerate(self.specs) if spec.split in (None, "train"))
            self._drawn = draw_pixels(((number, self[number]) for number in training), len(self.classes), few)
        return self._drawn

    def close(self) -> None:
        """Closes all scenes."""
        while self._open:
            self._open.popitem()[1].close()


@dataclass(frozen=True)
class Cells:
    """Squares of the scenes that hold training pixels.

    Args:
        scenes: ``[N]`` the scene of each cell.
        windows: ``[N, 4]`` first row, first column, height and width.
        counts: ``[N, K]`` training pixels of each class.
    """

    scenes: NDArray[np.int64]
    windows: NDArray[np.int64]
    counts: NDArray[np.int64]

    def window(self, cell: int) -> Window:
        """The pixels of a cell."""
        return Window(*(int(number) for number in self.windows[cell]))


class _Moments:
    """Count, mean, squared deviations, range and a sample of values that come in parts (Chan et al., 1979)."""

    def __init__(self, bands: int) -> None:
        self.count = 0
        self.mean = np.zeros(bands)
        self.squares = np.zeros(bands)
        self.minimum = np.full(bands, math.inf)
        self.maximum = np.full(bands, -math.inf)
        self.filled = dict.fromkeys(FILLERS, 0)
        self.sample = PixelSample()

    def add(self, values: NDArray[np.generic], hashes: NDArray[np.uint64]) -> None:
        """Adds ``[C, N]`` values of pixels with hashes ``[N]``."""
        count = values.shape[1]
        if count == 0:
            return
        alike = values[0, (values == values[:1]).all(axis=0)]
        exact = values.astype(np.float64)
        part = _Moments(len(values))
        part.count, part.mean = count, exact.mean(axis=1)
        part.squares = ((exact - part.mean[:, None]) ** 2).sum(axis=1)
        part.minimum, part.maximum = exact.min(axis=1), exact.max(axis=1)
        part.filled = {filler: int((alike == filler).sum()) for filler in FILLERS}
        part.sample.add(hashes, values)
        self.merge(part)

    def merge(self, other: _Moments) -> None:
        """Adds the values that another one has seen."""
        if other.count == 0:
            return
        for filler, count in other.filled.items():
            self.filled[filler] += count
        self.sample.merge(other.sample)
        delta, total = other.mean - self.mean, self.count + other.count
        self.squares += other.squares + delta**2 * self.count * other.count / total
        self.mean += delta * other.count / total
        self.count = total
        self.minimum = np.minimum(self.minimum, other.minimum)
        self.maximum = np.maximum(self.maximum, other.maximum)

    def statistics(self) -> tuple[BandStatistics, ...]:
        """Of each band; the standard deviation is the population's."""
        deviations = np.where(self.minimum < self.maximum, np.sqrt(self.squares / self.count), 0)
        return tuple(
            BandStatistics(*(float(number) for number in band))
            for band in zip(self.mean, deviations, self.minimum, self.maximum, *self.sample.quantiles(), strict=True)
        )


@dataclass(frozen=True)
class Survey:
    """What the training pixels hold.

    Args:
        modalities: With their statistics.
        cells: To draw chips from.
        warnings: What the user should know of the values, and of classes that validation holds too little of.
        scenes: By which a change of the data is told.
    """

    modalities: tuple[Modality, ...]
    cells: Cells
    warnings: tuple[str, ...]
    scenes: tuple[SceneFacts, ...]

    @property
    def class_counts(self) -> NDArray[np.int64]:
        """``[K]`` training pixels of each class."""
        counts: NDArray[np.int64] = self.cells.counts.sum(axis=0)
        return counts


def survey(collection: SceneCollection, progress: Callable[[str, float], None] = lambda _name, _share: None) -> Survey:
    """Reads every training pixel once, window by window.

    Where only some pixels are labelled (``data.few``), statistics are of the whole training split, labelled or not:
    those of a few hundred pixels would be noisy. Each labelled pixel then is a cell.

    Args:
        collection: The scenes.
        progress: Told which scene is read, and the share of the scenes that is done.

    Raises:
        SplitError: If there is no training pixel, a class never occurs among them, or a modality is never
            observed on one.
    """
    drawn, classes = collection.drawn, len(collection.classes)
    told: list[str] = []
    moments = [_Moments(len(modality.bands)) for modality in collection.modalities]
    scenes: list[int] = []
    areas: list[tuple[int, int, int, int]] = []
    counts: list[NDArray[np.int64]] = []
    facts: list[SceneFacts] = []
    for number in range(len(collection)):
        scene = collection[number]
        progress(scene.name, number / len(collection))
        told += scene.warnings
        tallies = {split: LabelTally(np.zeros(classes, dtype=np.int64)) for split in SPLITS}
        own = [_Moments(len(modality.bands)) for modality in collection.modalities]
        for window in scene.grid.windows(collection.data.chip if drawn is None else MEASURED):
            by_split = scene.split_labels(window, SPLITS)
            for split, tally in tallies.items():
                tally.add(window, by_split[split])
            labels = by_split["train"]
            chosen = labels != IGNORED if drawn is None else scene.split(window, "train")
            if not chosen.any():
                continue
            patch = scene.read(window, "train")
            rows, cols = np.nonzero(chosen)
            hashes = pixel_hashes(rows + window.row, cols + window.col, f"quantiles {scene.name}")
            for index, modality in enumerate(collection.modalities):
                valid = patch.valid[index][rows, cols]
                own[index].add(patch.values[modality.name][:, rows[valid], cols[valid]], hashes[valid])
            scenes.append(number)
            areas.append((window.row, window.col, window.height, window.width))
            counts.append(np.bincount(labels[labels != IGNORED], minlength=classes).astype(np.int64))
        for moment, part in zip(moments, own, strict=True):
            moment.merge(part)
        facts.append(_facts(scene, collection, tallies, own))
    cells = Cells(np.array(scenes), np.array(areas), np.array(counts)) if drawn is None else _pixels(drawn, classes)
    if not len(cells.scenes):
        raise SplitError("data.split.train: no labelled pixel lies in it; check the split and the labels")
    _check(cells, moments, collection)
    measured = tuple(
        replace(modality, statistics=moment.statistics())
        for modality, moment in zip(collection.modalities, moments, strict=True)
    )
    told += [text for modality, moment in zip(measured, moments, strict=True) for text in _warnings(modality, moment)]
    told += weak_validation(collection.classes, count_splits(collection, ["validation"]))
    return Survey(measured, cells, tuple(told), tuple(facts))


def _facts(
    scene: Scene, collection: SceneCollection, tallies: Mapping[SplitName, LabelTally], moments: Sequence[_Moments]
) -> SceneFacts:
    return SceneFacts(
        scene.name,
        {split: tally.by_class(collection.classes) for split, tally in tallies.items()},
        {split: tally.places for split, tally in tallies.items()},
        {
            modality.name: Values(moment.count, moment.statistics() if moment.count else ())
            for modality, moment in zip(collection.modalities, moments, strict=True)
        },
    )


def _warnings(modality: Modality, moments: _Moments) -> Iterator[str]:
    """Bands that were constant, and numbers that look like no data that nobody declared.

    In a single band 0 and the like may well be measured; in all of several bands at once they hardly are.
    """
    for name, band in zip(modality.bands, modality.statistics, strict=True):
        if band.minimum == band.maximum:
            yield (
                f"{modality.name}: band {name} is {band.minimum:g} on every training pixel; the network learns nothing "
                "of it and takes it as that, whatever it holds when mapping; leave the band out, or check its source"
            )
    for filler, count in moments.filled.items():
        single = len(modality.bands) == 1 and filler in SINGLE
        if count >= FILLED * moments.count and not single:
            yield (
                f"{modality.name}: {filler:g} stands in all bands of {count / moments.count:.0%} of the training "
                f"pixels, and is learned from as if it were measured; where it stands for no data, leave it out with "
                f"masks: {{{modality.name}: ['PATH:values={filler:g}']}} in the scene, or declare it as nodata"
            )


def _pixels(drawn: DrawnPixels, classes: int) -> Cells:
    single = np.ones_like(drawn.rows)
    areas = np.stack([drawn.rows, drawn.cols, single, single], axis=1)
    return Cells(drawn.scenes, areas, np.eye(classes, dtype=np.int64)[drawn.classes])


def _check(cells: Cells, moments: Sequence[_Moments], collection: SceneCollection) -> None:
    for land_class, count in zip(collection.classes, cells.counts.sum(axis=0), strict=True):
        if count == 0:
            raise SplitError(
                f"classes: {land_class.name} (value {land_class.value}) has no pixel in data.split.train; "
                "leave it out of the classes and add its value to data.labels.ignore, or change the split"
            )
    for modality, moment in zip(collection.modalities, moments, strict=True):
        if moment.count == 0:
            raise SplitError(
                f"modalities: {modality.name} is valid on no labelled pixel of data.split.train; "
                "check its sources and their nodata values"
            )
