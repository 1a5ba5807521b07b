"""Which pixels of a scene belong to a split. Splits mask labels; images are never cut."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.data.settings import (
    BlockSplit,
    ComponentSplit,
    FoldSplit,
    NamePattern,
    PixelSplit,
    PolygonSplit,
    RegionSplit,
    SceneSplit,
    Split,
    SplitName,
)
from engine.errors import SplitError
from engine.grid import Grid, Window
from engine.modality import IGNORED, LandClass
from engine.raster.labels import LabelMapping, LabelReader, VectorLabels

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


def _blocks(settings: BlockSplit, grid: Grid) -> SplitMask:
    def mask(window: Window, split: SplitName) -> NDArray[np.bool_]:
        chosen: frozenset[int] = getattr(settings, split)
        inside = np.isin(block_numbers(window, settings), sorted(chosen))
        if split == "train" and settings.buffer:
            inside &= ~near_held_out(window)
        return inside

    def near_held_out(window: Window) -> NDArray[np.bool_]:
        far = settings.buffer
        around = Window(window.row - far, window.col - far, window.height + 2 * far, window.width + 2 * far)
        held = np.zeros((around.height, around.width), dtype=bool)
        there = around & grid.window
        if not there.empty:
            kinds = sorted(settings.validation | settings.test)
            held[there.within(around)] = np.isin(block_numbers(there, settings), kinds)
        return nearby(held, far)[window.within(around)]

    return mask


def nearby(held: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """Where a pixel of ``held`` ``[h, w]`` lies within ``distance`` pixels, along rows, columns and diagonals."""
    from scipy.ndimage import maximum_filter1d

    found = held.astype(np.uint8)
    for axis in (0, 1):
        found = maximum_filter1d(found, 2 * distance + 1, axis=axis, mode="constant")
    return found.astype(bool)


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


def pixel_hashes(rows: NDArray[np.int64], cols: NDArray[np.int64], key: str) -> NDArray[np.uint64]:
    """A random number of 64 bits for each pixel, that depends on its place and on ``key`` alone.

    The finaliser of SplitMix64 (G. Steele et al., "Fast Splittable Pseudorandom Number Generators", 2014), of the row,
    and then of that and the column.

    Args:
        rows: Of the pixels.
        cols: Of the pixels; an array that goes with ``rows``.
        key: What the numbers are for: others are drawn apart from them.
    """
    start = np.uint64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little"))
    return _mixed(_mixed(rows.astype(np.uint64) + start) + cols.astype(np.uint64))


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _pixels(settings: PixelSplit, scene: str) -> SplitMask:
    ends = {"validation": settings.validation, "test": settings.validation + settings.test, "train": 1.0}
    starts = {"validation": 0.0, "test": ends["validation"], "train": ends["test"]}

    def mask(window: Window, split: SplitName) -> NDArray[np.bool_]:
        rows = np.arange(window.row, window.end_row)[:, None]
        cols = np.arange(window.col, window.end_col)[None, :]
        hashes = pixel_hashes(rows, cols, f"split {settings.seed} {scene}")
        numbers = (hashes >> np.uint64(11)) * 2.0**-53
        inside: NDArray[np.bool_] = (numbers >= starts[split]) & (numbers < ends[split])
        return inside

    return mask


def _components(settings: ComponentSplit, grid: Grid, scene: str, labels: LabelReader) -> SplitMask:
    """Read and drawn when it is first asked for."""

    @cache
    def drawn() -> NDArray[np.int8]:
        return component_splits(labels.read(grid.window), settings, scene)

    def mask(window: Window, split: SplitName) -> NDArray[np.bool_]:
        found = np.zeros((window.height, window.width), dtype=bool)
        inside = window & grid.window
        if not inside.empty:
            found[inside.within(window)] = drawn()[inside.within(grid.window)] == SPLITS.index(split)
        return found

    return mask


def component_splits(labels: NDArray[np.int16], settings: ComponentSplit, scene: str) -> NDArray[np.int8]:
    """For each pixel of a scene the position in SPLITS of the split that its region belongs to; -1 without a label, and
    in the buffer.

    Takes about 20 bytes a pixel, and one afterwards: a scene of 10 000 x 10 000 pixels 2 GB.

    Args:
        labels: ``[h, w]`` class indices of the whole scene, IGNORED (-1) where there is none.
        settings: The shares and the seed.
        scene: Name of the scene: each is drawn apart.
    """
    from skimage import measure

    regions = measure.label(labels, background=IGNORED, connectivity=2)  # type: ignore[no-untyped-call]
    sizes = np.bincount(regions.ravel())
    classes = np.full(len(sizes), IGNORED)
    classes[regions] = labels
    splits = np.full(len(sizes), -1, dtype=np.int8)
    key = hashlib.sha256(f"components {settings.seed} {scene}".encode()).digest()
    for number in np.unique(classes[1:]):
        rng = np.random.default_rng((int.from_bytes(key, "little"), int(number)))
        order = rng.permutation(np.flatnonzero(classes[1:] == number) + 1)
        splits[order] = [SPLITS.index(split) for split in _shared_out(sizes[order].tolist(), settings)]
    found: NDArray[np.int8] = splits[regions]
    if settings.buffer:
        train = SPLITS.index("train")
        found[(found == train) & nearby((found != train) & (found != -1), settings.buffer)] = -1
    return found


def _shared_out(sizes: Sequence[int], settings: ComponentSplit) -> list[SplitName]:
    """A split for each region of a class, in their order: the one that is farthest below its share.

    Where one has none at the end, it takes the region that fits its share best, of those with more or behind it.
    """
    shares: dict[SplitName, float] = {
        "train": 1 - settings.validation - settings.test, "test": settings.test, "validation": settings.validation,
    }  # fmt: skip
    wanted = {split: share * sum(sizes) for split, share in shares.items() if share > 0}
    missing = dict(wanted)
    taken: list[SplitName] = []
    for size in sizes:
        split = max(missing, key=lambda name: missing[name])
        missing[split] -= size
        taken.append(split)
    order = list(wanted)
    for rank, split in enumerate(order):
        counts = Counter(taken)
        if not counts[split]:
            free = [place for place, name in enumerate(taken) if counts[name] > 1 or order.index(name) > rank]
            if free:
                taken[min(free, key=lambda place: abs(sizes[place] - wanted[split]))] = split
    return taken


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


def split_mask(
    split: Split, grid: Grid, root: Path, scene: str, scene_split: SplitName | None, labels: LabelReader | None
) -> SplitMask:
    """The mask of one scene.

    Args:
        split: The recipe's split.
        grid: The scene's grid.
        root: Folder of the recipe's data.
        scene: The scene's name.
        scene_split: The split that the whole scene belongs to, where scenes are split by name.
        labels: The scene's labels, where it has any: a split by components reads all of them.
    """
    if isinstance(split, BlockSplit):
        return _blocks(split, grid)
    if isinstance(split, RegionSplit):
        return _regions(split, grid)
    if isinstance(split, PolygonSplit):
        return _polygons(split, grid, root)
    if isinstance(split, PixelSplit):
        return _pixels(split, scene)
    if isinstance(split, ComponentSplit):
        return _whole(None) if labels is None else _components(split, grid, scene, labels)
    return _whole(scene_split)
