"""Counts by spatial block: neighbouring pixels are alike, so that blocks, and not pixels, say how sure a figure is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.grid import Window

MOST = 400
"""Blocks with labels at most, unless there are more scenes."""

Key = tuple[int, int, int]
"""Scene, row and column of a block."""


class BlockCounts:
    """What confusion matrices sum to along both axes, by block and scenario: 3 K numbers each instead of K * K.

    A block is a square of a scene's grid. Its side is that of a chip, doubled as often as it takes until no more than
    MOST blocks hold labelled pixels; where there are many, 100 to 400 are left. It is never less than a chip, a scene
    that is smaller is one block, and of more scenes than MOST each is one. Which blocks there are depends on the chip,
    the labels and the sensors' validity alone and not on how the scenes are mapped, so that two maps of the same data
    can be compared block by block.

    Args:
        side: Of a chip, in pixels.
        scenarios: S, how many there are.
        classes: K.
    """

    def __init__(self, side: int, scenarios: int, classes: int) -> None:
        self.side, self.classes = side, classes
        self._places: dict[Key, int] = {}
        self._table = np.zeros((0, scenarios, 3, classes), dtype=np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """``[B, S, 3, K]``: hits, truth and prediction of each class, by block and scenario; blocks in their order."""
        return self._table[[self._places[key] for key in sorted(self._places)]]

    def add(
        self,
        scene: int,
        window: Window,
        scenario: int,
        labels: NDArray[np.integer],
        found: NDArray[np.integer],
        counted: NDArray[np.bool_],
    ) -> None:
        """Adds a part of a map.

        Args:
            scene: Number of the scene.
            window: Where the part lies in it; parts may be cut in any way.
            scenario: Number of the scenario.
            labels: ``[h, w]`` class indices.
            found: ``[h, w]`` class indices of the map.
            counted: ``[h, w]`` which pixels count.
        """
        if not counted.any():
            return
        keys, numbers = self._located(scene, window, counted)
        while len(every := self._places.keys() | set(keys)) > MOST and any(row or col for _, row, col in every):
            self._coarsen()
            keys, numbers = self._located(scene, window, counted)
        truth, predicted = labels[counted].astype(np.int64), found[counted].astype(np.int64)
        right = truth == predicted
        pairs = ((numbers[right], truth[right]), (numbers, truth), (numbers, predicted))
        sums = [
            np.bincount(block * self.classes + item, minlength=len(keys) * self.classes).reshape(-1, self.classes)
            for block, item in pairs
        ]
        places = [self._place(key) for key in keys]
        self._table[places, scenario] += np.stack(sums, axis=1)

    def _located(self, scene: int, window: Window, counted: NDArray[np.bool_]) -> tuple[list[Key], NDArray[np.integer]]:
        """The blocks that hold counted pixels, and for each of these the position of its block among them."""
        rows = np.arange(window.row, window.end_row) // self.side
        cols = np.arange(window.col, window.end_col) // self.side
        across = int(cols[-1]) + 1
        blocks, numbers = np.unique((rows[:, None] * across + cols)[counted], return_inverse=True)
        return [(scene, *divmod(block, across)) for block in blocks.tolist()], numbers

    def _place(self, key: Key) -> int:
        """The row of a block in the table, which grows where it is new."""
        place = self._places.setdefault(key, len(self._places))
        if place == len(self._table):
            more = np.zeros((max(16, place), *self._table.shape[1:]), dtype=np.int64)
            self._table = np.concatenate([self._table, more])
        return place

    def _coarsen(self) -> None:
        """Doubles the side: up to four blocks become one."""
        old, places = self._table, self._places
        self.side *= 2
        self._table, self._places = np.zeros_like(old), {}
        for (scene, row, col), place in places.items():
            self._table[self._place((scene, row // 2, col // 2))] += old[place]
