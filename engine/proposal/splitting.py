"""A split of the scenes that leaves no class out of training, validation and, where that can be, test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.data.evidence import ENOUGH, STRIP, SplitCounts, count_splits
from engine.data.scenes import scene_grid
from engine.data.settings import BlockSplit, ComponentSplit, DataSettings, FoldSplit, Split
from engine.data.splits import SPLITS, block_numbers, scene_splits
from engine.data.survey import SceneCollection
from engine.grid import Window
from engine.modality import IGNORED, LandClass, Modality
from engine.proposal.sight import EVERYTHING, Sight

MANY_SCENES = 10
"""Scenes from which whole ones are split: five folds need as many."""

LARGEST_BLOCK, SMALLEST_BLOCK = 256, 8
"""Pixels along a block."""

FEWEST_BLOCKS = 25
"""Blocks that scenes hold at the least, five of each kind."""

SEPARATE_BLOCK = 32
"""Pixels along a block below which blocks are made smaller only so that no class is left out."""

MODULO, SEEDS = 5, 4
"""Kinds of blocks; draws that are tried."""

MOST_PIXELS = 2 * 10**8
"""Of a scene up to which a split by components is tried, which holds all of its labels in memory: 4 GB."""


@dataclass(frozen=True)
class Choice:
    """A split and what it holds.

    Args:
        split: As a recipe has it.
        counts: By the training's own split.
        reason: Why this one, in words.
    """

    split: Split
    counts: SplitCounts
    reason: str

    @property
    def rank(self) -> tuple[int, ...]:
        """How good it is: 2 with enough of each class everywhere, 1 with some, 0 where a class is left out.

        Of those that leave a class out the one is better that trains more of them, that validates at all, that has no
        small blocks, and that judges more of them.
        """
        train, validation, test = (self.counts.pixels[split] for split in SPLITS)
        enough = (np.minimum(np.minimum(train, validation), test) >= ENOUGH) & (self.counts.regions["validation"] > 1)
        small = isinstance(self.split, BlockSplit) and self.split.size < SEPARATE_BLOCK
        trained, validated, tested = (int((part > 0).sum()) for part in (train, validation, test))
        complete = trained == validated == tested == len(train)
        tier = int(complete) + int(complete and bool(enough.all()) and not small)
        return tier, trained, int(validated > 0), int(not small), validated + tested, int(enough.sum())


class Splitter:
    """Tries splits on scenes by the training's own code.

    Args:
        data: Of the recipe; its split does not matter.
        root: Folder that paths are relative to.
        modalities: Of the recipe.
        classes: Of the recipe.
        sight: What the scenes hold.
        window: Pixels along the window of a network that classifies windows; 0 for one that sees whole chips.
    """

    def __init__(
        self,
        data: DataSettings,
        root: Path,
        modalities: Sequence[Modality],
        classes: Sequence[LandClass],
        sight: Sight,
        window: int,
    ) -> None:
        self.data, self.root, self.modalities, self.classes = data, root, tuple(modalities), tuple(classes)
        self.sight, self.window = sight, window
        with_all = self._collection(EVERYTHING)
        self._names = [spec.name for spec in with_all.specs]
        grids = [scene_grid(spec, modalities, data.pixel_size) for spec in with_all.specs]
        self._largest = max(grid.height * grid.width for grid in grids)

    def choose(self) -> Choice:
        """The first split that has enough of each class everywhere; else the best of those that were tried."""
        tried: list[Choice] = []
        for split, reason in self._candidates():
            tried.append(self._tried(split, reason))
            if tried[-1].rank[0] == 2:
                return tried[-1]
        return max(tried, key=lambda one: one.rank)

    def _candidates(self) -> Iterator[tuple[Split, str]]:
        """Where labels are scattered, no small blocks: they would cut regions, and test on what is trained on."""
        scattered = self.sight.kind != "dense" and self._largest <= MOST_PIXELS
        if len(self._names) >= MANY_SCENES:
            yield self._folds()
        if scattered:
            yield from self._components(0.2, SEEDS)
        if self.sight.kind != "single" or not scattered:
            yield from self._blocks(SEPARATE_BLOCK if scattered else SMALLEST_BLOCK)
        if scattered:
            yield from self._components(0.0, 1)

    def _collection(self, split: Split) -> SceneCollection:
        data = self.data.model_copy(update={"split": split, "few": None})
        return SceneCollection(data, self.root, self.modalities, self.classes)

    def _tried(self, split: Split, reason: str) -> Choice:
        """A split with its counts; its buffer is halved until no class that trains without one is lost."""
        counts = self._counted(split)
        while isinstance(split, BlockSplit | ComponentSplit) and split.buffer and not counts.pixels["train"].all():
            split = split.model_copy(update={"buffer": split.buffer // 2})
            counts = self._counted(split)
        return Choice(split, counts, reason)

    def _counted(self, split: Split) -> SplitCounts:
        collection = self._collection(split)
        try:
            return count_splits(collection)
        finally:
            collection.close()

    def _components(self, test: float, seeds: int) -> Iterator[tuple[Split, str]]:
        reason = "whole connected regions, since labels are few: no region is trained and tested on" + (
            "" if test else "; without a test split, for which there are too few regions of a class"
        )
        for seed in range(seeds):
            yield (
                ComponentSplit(kind="components", validation=0.2, test=test, seed=seed, buffer=self.window // 2),
                reason,
            )

    def _folds(self) -> tuple[Split, str]:
        """Of several draws that with the most of the class that a split holds least of, as shares of the class."""
        pixels = self._by_scene()
        shares = pixels / np.maximum(1, pixels.sum(axis=0))

        def least(seed: int) -> float:
            taken = scene_splits(FoldSplit(kind="folds", validation_every=5, seed=seed), self._names)
            members = [[taken[name] == split for name in self._names] for split in SPLITS]
            return float(min(shares[chosen].sum(axis=0).min() for chosen in members))

        split = FoldSplit(kind="folds", validation_every=5, seed=max(range(SEEDS), key=least))
        return split, f"whole scenes, of which there are {len(self._names)}: none is trained and tested on"

    def _by_scene(self) -> NDArray[np.int64]:
        """``[S, K]`` labelled pixels of each class."""
        collection = self._collection(EVERYTHING)
        found = np.zeros((len(collection), len(self.classes)), dtype=np.int64)
        for number, _, labels in _strips(collection):
            found[number] += np.bincount(labels[labels != IGNORED], minlength=len(self.classes))
        collection.close()
        return found

    def _blocks(self, smallest: int) -> Iterator[tuple[Split, str]]:
        """Blocks from large to small, of each size those two kinds of five that have the most of the rarest class."""
        size = LARGEST_BLOCK
        while size > smallest and self.sight.pixels < FEWEST_BLOCKS * size**2:
            size //= 2
        while size >= smallest:
            counts = self._by_kind(size)
            shares = counts / np.maximum(1, counts.sum(axis=0))
            test, validation = max(
                permutations(range(MODULO), 2),
                key=lambda pair: (shares[list(pair)].min(), -abs(shares[list(pair)] - 1 / MODULO).sum()),
            )
            reason = f"square blocks of {size} pixels"
            if size < SEPARATE_BLOCK:
                reason += ", so small since larger ones leave a class out: what is tested lies near to what is trained"
            yield (
                BlockSplit(
                    kind="blocks",
                    size=size,
                    modulo=MODULO,
                    test=frozenset({test}),
                    validation=frozenset({validation}),
                    train=frozenset(range(MODULO)) - {test, validation},
                    buffer=min(self.window // 2 or size // 16, size // 4),
                ),
                reason,
            )
            size //= 2

    def _by_kind(self, size: int) -> NDArray[np.int64]:
        """``[5, K]`` labelled pixels in each kind of block."""
        settings = BlockSplit(kind="blocks", size=size, modulo=MODULO, train=frozenset(), validation=frozenset())
        collection = self._collection(EVERYTHING)
        classes = len(self.classes)
        found = np.zeros(MODULO * classes, dtype=np.int64)
        for _, window, labels in _strips(collection):
            places = block_numbers(window, settings) * classes + labels
            found += np.bincount(places[labels != IGNORED], minlength=len(found))
        collection.close()
        return found.reshape(MODULO, classes)


def _strips(collection: SceneCollection) -> Iterator[tuple[int, Window, NDArray[np.int16]]]:
    """All labels of scenes that are split by EVERYTHING, some rows at a time."""
    for number in range(len(collection)):
        grid = collection[number].grid
        height = max(1, STRIP // grid.width)
        for row in range(0, grid.height, height):
            window = Window(row, 0, height, grid.width) & grid.window
            yield number, window, collection[number].all_labels(window, "train")
