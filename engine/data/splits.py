"""Which pixels of a scene belong to a split. Splits mask labels; images are never cut."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.data.settings import (
    BlockSplit,
    FoldSplit,
    NamePattern,
    PolygonSplit,
    RegionSplit,
    SceneSplit,
    Split,
    SplitName,
)
from engine.errors import SplitError
from engine.grid import Grid, Window
from engine.modality import LandClass
from engine.raster.labels import LabelMapping, VectorLabels

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


class SplitMask(Protocol):
    """Says for each pixel of a scene whether it belongs to a split."""

    def __call__(self, window: Window, split: SplitName) -> NDArray[np.bool_]:
        """Mask ``[h, w]`` of the pixels of ``window`` that are in ``split``."""


def block_numbers(window: Window, split: BlockSplit) -> NDArray[np.int64]:
    """k = (row * block row + column * block column) mod modulo for each pixel ``[h, w]`` of ``window``."""
    rows = np.arange(window.row, window.end_row)[:, None] // split.size
    cols = np.arange(window.col, window.end_col)[None, :] // split.size
    numbers: NDArray[np.int64] = (split.row * rows + split.column * cols) % split.modulo
    return numbers


def _blocks(settings: BlockSplit) -> SplitMask:
    def mask(window: Window, split: SplitName) -> NDArray[np.bool_]:
        chosen: frozenset[int] = getattr(settings, split)
        return np.isin(block_numbers(window, settings), sorted(chosen))

    return mask


def _regions(settings: RegionSplit, grid: Grid) -> SplitMask:
    def mask(window: Window, split: SplitName) -> NDArray[np.bool_]:
        inside = np.zeros((window.height, window.width), dtype=bool)
        for bounds in getattr(settings, split):
            inside[(grid.window_of(bounds) & window).within(window)] = True
        return inside

    return mask


def _polygons(settings: PolygonSplit, grid: Grid, root: Path) -> SplitMask:
    names = tuple(LandClass(number, split, "#000000") for number, split in enumerate(SPLITS))
    labels = VectorLabels(str(root / settings.path), settings.field, grid, LabelMapping(names, {}, frozenset()))

    def mask(window: Window, split: SplitName) -> NDArray[np.bool_]:
        return labels.read(window) == SPLITS.index(split)

    return mask


def _whole(name: SplitName | None) -> SplitMask:
    def mask(window: Window, split: SplitName) -> NDArray[np.bool_]:
        return np.full((window.height, window.width), split == name, dtype=bool)

    return mask


def scene_splits(settings: SceneSplit | FoldSplit, scenes: Sequence[str]) -> dict[str, SplitName | None]:
    """The split of each scene: the first of validation, test, train whose pattern takes its name, or by folds."""
    return _by_fold(settings, scenes) if isinstance(settings, FoldSplit) else _by_name(settings, scenes)


def _by_fold(settings: FoldSplit, scenes: Sequence[str]) -> dict[str, SplitName | None]:
    if len(scenes) < 2 * settings.folds:
        raise SplitError(f"data.split: {len(scenes)} scenes are too few for {settings.folds} folds")
    order = np.random.default_rng(settings.seed).permutation(len(scenes))
    test = np.array_split(order, settings.folds)[settings.fold]
    rest = [place for place in order if place not in test]
    taken: dict[str, SplitName | None] = dict.fromkeys(scenes, "train")
    for place in rest[:: settings.validation_every]:
        taken[scenes[place]] = "validation"
    for place in test:
        taken[scenes[place]] = "test"
    return taken


def _by_name(settings: SceneSplit, scenes: Sequence[str]) -> dict[str, SplitName | None]:
    taken: dict[str, SplitName | None] = dict.fromkeys(scenes)
    order: tuple[SplitName, ...] = ("validation", "test", "train")
    for split in order:
        pattern: NamePattern | None = getattr(settings, split)
        if pattern is None:
            continue
        matching = [name for name in scenes if fnmatchcase(name, pattern.match)]
        if not matching:
            raise SplitError(f"data.split.{split}: no scene's name matches {pattern.match!r}")
        for name in matching[:: pattern.every]:
            if taken[name] is None:
                taken[name] = split
    return taken


def split_mask(split: Split, grid: Grid, root: Path, scene_split: SplitName | None) -> SplitMask:
    """The mask of one scene.

    Args:
        split: The recipe's split.
        grid: The scene's grid.
        root: Folder of the recipe's data.
        scene_split: The split that the whole scene belongs to, where scenes are split by name.
    """
    if isinstance(split, BlockSplit):
        return _blocks(split)
    if isinstance(split, RegionSplit):
        return _regions(split, grid)
    if isinstance(split, PolygonSplit):
        return _polygons(split, grid, root)
    return _whole(scene_split)
