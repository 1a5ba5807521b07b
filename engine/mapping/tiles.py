"""The lattice of tiles over a raster, and the weights with which neighbours cross-fade."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.grid import Window


@dataclass(frozen=True)
class Strip:
    """Tiles that are run one after the other: those of one row that lie in one panel.

    Args:
        row: The row of tiles.
        cols: The columns of tiles.
        part: The pixels that no later tile adds to, within what is mapped; it may be empty.
        left: Whether tiles to the left, of the panel before, add to it.
        right: Whether it adds to tiles to the right, of the panel behind.
    """

    row: int
    cols: range
    part: Window
    left: bool
    right: bool


@dataclass(frozen=True)
class TilePlan:
    """Square tiles over a raster, anchored at its first pixel whatever part of it is mapped.

    Neighbours overlap by twice the halo. A raster no longer than a tile has one.

    Args:
        height: Rows of the raster.
        width: Columns.
        tile: Size of a tile in pixels.
        halo: Half the overlap in pixels.
        inner_only: Whether a tile has no answer in its halo: tiles then begin a halo before the raster and end a halo
            behind it, and each is cropped to its inside.
    """

    height: int
    width: int
    tile: int
    halo: int
    inner_only: bool = False

    def __post_init__(self) -> None:
        if self.tile < 1 or not self.halo >= 0 or 4 * self.halo > self.tile:
            raise InputError(
                f"a halo of {self.halo} does not fit a tile of {self.tile}: it may be a quarter of it at most"
            )

    @property
    def stride(self) -> int:
        """Pixels from a tile's start to the next one's."""
        return self.tile - 2 * self.halo

    @property
    def overlap(self) -> int:
        """Pixels over which neighbours are joined: none where each is cropped to its inside."""
        return 0 if self.inner_only else 2 * self.halo

    @property
    def before(self) -> int:
        """Pixels by which the first tile begins before the raster."""
        return self.halo if self.inner_only else 0

    def count(self, length: int) -> int:
        """Tiles along a side of ``length`` pixels."""
        length += 2 * self.before
        if length <= self.tile:
            return 1
        return -(-(length - 2 * self.halo) // self.stride)

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return self.count(self.height)

    @property
    def cols(self) -> int:
        """Columns of tiles."""
        return self.count(self.width)

    def window(self, row: int, col: int) -> Window:
        """The pixels of a tile; the last ones reach beyond the raster."""
        return Window(row * self.stride - self.before, col * self.stride - self.before, self.tile, self.tile)

    def over(self, window: Window) -> tuple[range, range]:
        """The rows and columns of tiles that touch ``window``."""
        return (
            self._touching(window.row, window.end_row, self.rows),
            self._touching(window.col, window.end_col, self.cols),
        )

    def _touching(self, start: int, end: int, count: int) -> range:
        first = max(0, (start + self.before - self.tile) // self.stride + 1)
        return range(first, min(count, (end + self.before - 1) // self.stride + 1))

    def strips(self, window: Window, panel: int | None = None) -> list[Strip]:
        """The tiles over ``window`` in the order in which they run: panel by panel, each from its top to its bottom.

        Args:
            window: What is mapped.
            panel: Columns of tiles in a panel; one panel holds them all where None.
        """
        rows, cols = self.over(window)
        width = panel or len(cols)
        found = []
        for start in range(cols.start, cols.stop, width):
            part = range(start, min(start + width, cols.stop))
            for row in rows:
                first, last = self.final(row, part[0]), self.final(row, part[-1])
                done = (first | last) & window
                left, right = start > cols.start, part.stop < cols.stop
                found.append(Strip(row, part, done, left and self.overlap > 0, right and self.overlap > 0))
        return found

    def weights(self, place: int, count: int) -> NDArray[np.float32]:
        """Weight ``[T]`` of each pixel along a side of tile ``place`` of ``count``: a linear ramp over each overlap.

        The weights of all tiles sum to one at each pixel.
        """
        weights = np.ones(self.tile, dtype=np.float32)
        if self.halo:
            overlap = 2 * self.halo
            ramp = (np.arange(overlap, dtype=np.float32) + 0.5) / overlap
            if place > 0:
                weights[:overlap] = ramp
            if place < count - 1:
                weights[-overlap:] = ramp[::-1]
        return weights

    def core_weights(self, place: int, count: int) -> NDArray[np.float32]:
        """As :meth:`weights`, but each pixel belongs to one tile alone: the overlap is cut in its middle."""
        weights = np.ones(self.tile, dtype=np.float32)
        if self.halo:
            if place > 0:
                weights[: self.halo] = 0
            if place < count - 1:
                weights[-self.halo :] = 0
        return weights

    def final(self, row: int, col: int) -> Window:
        """The pixels that no later tile (to the right or below) adds to, and no earlier one finished."""
        if self.inner_only:
            inside = Window(row * self.stride, col * self.stride, self.stride, self.stride)
            return inside & Window(0, 0, self.height, self.width)
        window = self.window(row, col)
        height = self.stride if row < self.rows - 1 else self.tile
        width = self.stride if col < self.cols - 1 else self.tile
        return Window(window.row, window.col, height, width) & Window(0, 0, self.height, self.width)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Row and column of each tile, row by row."""
        for row in range(self.rows):
            for col in range(self.cols):
                yield row, col
