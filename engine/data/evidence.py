"""What each split holds of each class: pixels, and connected regions; and whether that is enough to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.data.settings import SplitName
from engine.data.splits import SPLITS
from engine.grid import Window
from engine.modality import IGNORED, LandClass

if TYPE_CHECKING:
    from engine.data.scenes import Scene
    from engine.data.survey import SceneCollection

ENOUGH = 30
"""Pixels of a class below which its IoU on a split is noise."""

STRIP = 2**22
"""Pixels whose labels are held at a time; at least one row."""

_NAMED = 8
"""Classes that a message names at most."""


class RegionCounter:
    """Counts connected regions of one class, by diagonals too, in an image that comes in strips of whole rows.

    Args:
        classes: How many classes there are.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._of: list[NDArray[np.int64]] = []
        self._total = 0
        self._pairs: list[NDArray[np.int64]] = []
        self._last: tuple[NDArray[np.int16], NDArray[np.int64]] | None = None

    def add(self, labels: NDArray[np.int16]) -> None:
        """Adds the next rows ``[h, w]``: class indices, IGNORED where there is none."""
        from scipy import ndimage

        numbers = np.full(labels.shape, -1, dtype=np.int64)
        for land_class in np.unique(labels[labels != IGNORED]):
            found, count = ndimage.label(labels == land_class, structure=np.ones((3, 3)))
            numbers[found > 0] = found[found > 0] + (self._total - 1)
            self._of.append(np.full(count, land_class, dtype=np.int64))
            self._total += count
        if self._last is not None:
            above, ids = self._last
            wide = labels.shape[1]
            for shift in (-1, 0, 1):
                up, down = (slice(max(0, one), wide + min(0, one)) for one in (shift, -shift))
                same = (above[up] == labels[0, down]) & (above[up] != IGNORED)
                self._pairs.append(np.stack([ids[up][same], numbers[0, down][same]]))
        self._last = labels[-1].copy(), numbers[-1].copy()

    @property
    def counts(self) -> NDArray[np.int64]:
        """``[K]`` regions of each class so far."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not self._total:
            return np.zeros(self.classes, dtype=np.int64)
        one, other = np.concatenate([np.zeros((2, 0), dtype=np.int64), *self._pairs], axis=1)
        graph = coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(self._total, self._total))
        _, group = connected_components(graph, directed=False)
        first = np.unique(group, return_index=True)[1]
        return np.bincount(np.concatenate(self._of)[first], minlength=self.classes).astype(np.int64)


@dataclass(frozen=True)
class SplitCounts:
    """What splits hold.

    Args:
        pixels: By split, ``[K]`` labelled pixels of each class.
        regions: By split, ``[K]`` connected regions of each class, by diagonals too, counted in each scene by itself.
    """

    pixels: dict[SplitName, NDArray[np.int64]]
    regions: dict[SplitName, NDArray[np.int64]]


def count_splits(collection: SceneCollection, splits: Sequence[SplitName] = SPLITS) -> SplitCounts:
    """Reads the labels of all scenes that may be in some splits, and counts them as a training sees them.

    Pixels that ``data.few`` leaves without a label count all the same.
    """
    classes = len(collection.classes)
    pixels: dict[SplitName, NDArray[np.int64]] = {split: np.zeros(classes, dtype=np.int64) for split in splits}
    regions: dict[SplitName, NDArray[np.int64]] = {split: np.zeros(classes, dtype=np.int64) for split in splits}
    for number, spec in enumerate(collection.specs):
        if spec.split is not None and spec.split not in splits:
            continue
        for split, (held, joined) in _counted(collection[number], splits, classes).items():
            pixels[split] += held
            regions[split] += joined
    return SplitCounts(pixels, regions)


def _counted(
    scene: Scene, splits: Sequence[SplitName], classes: int
) -> dict[SplitName, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pixels and regions ``[K]`` of one scene."""
    pixels = {split: np.zeros(classes, dtype=np.int64) for split in splits}
    counters = {split: RegionCounter(classes) for split in splits}
    height = max(1, STRIP // scene.grid.width)
    for row in range(0, scene.grid.height, height):
        window = Window(row, 0, height, scene.grid.width) & scene.grid.window
        for split, labels in scene.split_labels(window, splits).items():
            pixels[split] += np.bincount(labels[labels != IGNORED], minlength=classes)
            counters[split].add(labels)
    return {split: (pixels[split], counters[split].counts) for split in splits}


def weak_validation(classes: Sequence[LandClass], counts: SplitCounts) -> list[str]:
    """What the user should know of a validation split that is too small to judge or to choose by, in sentences."""
    pixels, regions = counts.pixels["validation"], counts.regions["validation"]
    told = []
    few = [f"{one.name} ({held})" for one, held in zip(classes, pixels, strict=True) if held < ENOUGH]
    if few:
        told.append(
            f"data.split: validation holds fewer than {ENOUGH} labelled pixels of {_listed(few)}; the IoU of such a "
            "class there is noise, and so is a best checkpoint, tile or halo that is chosen by it. Label more of it, "
            "or change the split (docs/choosing.md)"
        )
    single = [
        one.name for one, held, joined in zip(classes, pixels, regions, strict=True) if held >= ENOUGH and joined == 1
    ]
    if single:
        told.append(
            f"data.split: all validation pixels of {_listed(single)} lie in one region; their IoU says how well that "
            "region is mapped, not the class. Label more regions, or change the split (docs/choosing.md)"
        )
    return told


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
