"""Tiles into a map: each pixel in its own scenario, neighbouring tiles cross-faded, in memory for a few tiles.

A tile runs once for each scenario that occurs in the part of it that is kept. In the run for scenario S, pixels where
a member of S is invalid are filled with its training mean, and each pixel takes the result of its own scenario.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.availability import Scenario, from_bits
from engine.errors import Cancelled
from engine.grid import Window
from engine.inference.tiles import TilePlan
from engine.modality import Modality
from engine.raster.alignment import Block

Seam = Literal["crossfade", "crop"]

Predictor = Callable[[Scenario, Mapping[str, NDArray[np.generic]]], NDArray[np.float32]]
"""Probabilities ``[B, K, T, T]`` under a scenario, of its members' values ``[B, C, T, T]``."""


class Reader(Protocol):
    """Gives a modality's values and validity by window of the map's grid."""

    def read(self, window: Window) -> Block:
        """Values ``[C, h, w]`` and validity ``[h, w]``; the window may reach outside."""


@dataclass(frozen=True)
class MapBlock:
    """A finished rectangle of the map.

    Args:
        window: Where it lies.
        classes: ``[h, w]`` class indices; 0 where no modality is valid.
        confidence: ``[h, w]`` probability of that class in percent, 0-100.
        availability: ``[h, w]`` bit mask of the modalities that were used; 0 where there was none.
    """

    window: Window
    classes: NDArray[np.uint16]
    confidence: NDArray[np.uint8]
    availability: NDArray[np.int32]


@dataclass(frozen=True)
class _Tile:
    row: int
    col: int
    bits: NDArray[np.int32]
    sums: NDArray[np.float32] | None


def _kept(plan: TilePlan, row: int, col: int, seam: Seam) -> NDArray[np.float32]:
    weigh = plan.weights if seam == "crossfade" else plan.core_weights
    kept: NDArray[np.float32] = np.outer(weigh(row, plan.rows), weigh(col, plan.cols))
    return kept


class _TileRunner:
    """Reads and predicts one tile; called from several threads."""

    def __init__(
        self,
        modalities: Sequence[Modality],
        readers: Mapping[str, Reader],
        plan: TilePlan,
        window: Window,
        classes: int,
        predict: Predictor,
        seam: Seam,
        outside: Callable[[Window], NDArray[np.bool_]] | None,
    ) -> None:
        self.modalities, self.readers, self.plan, self.window = modalities, readers, plan, window
        self.classes, self.predict, self.seam, self.outside = classes, predict, seam, outside

    def __call__(self, row: int, col: int) -> _Tile:
        area = self.plan.window(row, col)
        bits = np.zeros((area.height, area.width), dtype=np.int32)
        outside = None if self.outside is None else self.outside(area)
        if outside is not None and outside.all():
            return _Tile(row, col, bits, None)
        blocks: dict[str, Block] = {}
        for number, modality in enumerate(self.modalities):
            if modality.name in self.readers:
                blocks[modality.name] = self.readers[modality.name].read(area)
                bits |= blocks[modality.name].valid.astype(np.int32) << number
        if outside is not None:
            bits[outside] = 0
        weights = _kept(self.plan, row, col, self.seam)
        inside = (self.window & area).within(area)
        wanted = bits[inside]
        if (wanted == wanted.flat[0]).all():
            occurring = [int(wanted.flat[0])]
        else:
            occurring = np.unique(wanted[weights[inside] > 0]).tolist()
        sums: NDArray[np.float32] | None = None
        for mask in filter(None, occurring):
            probabilities = self._run(from_bits(mask, len(self.modalities)), blocks)
            part = probabilities * np.where(bits == mask, weights, np.float32(0))
            sums = part if sums is None else sums + part
        return _Tile(row, col, bits, sums)

    def _run(self, scenario: Scenario, blocks: Mapping[str, Block]) -> NDArray[np.float32]:
        inputs = {}
        for index in scenario.indices:
            modality = self.modalities[index]
            block = blocks[modality.name]
            values = block.values if block.valid.all() else self._filled(block, modality)
            inputs[modality.name] = values[None]
        return self.predict(scenario, inputs)[0]

    @staticmethod
    def _filled(block: Block, modality: Modality) -> NDArray[np.generic]:
        return np.where(block.valid, block.values, modality.fill[:, None, None])


class _Carry:
    """What tiles owe to their right and lower neighbours: strips as wide as the overlap, never the whole map."""

    def __init__(self, plan: TilePlan, classes: int) -> None:
        self.plan, self.classes, self.overlap = plan, classes, 2 * plan.halo
        self.length = (plan.cols - 1) * plan.stride + plan.tile
        self.above = np.zeros((classes, self.overlap, self.length), dtype=np.float32)
        self.left = np.zeros((classes, plan.tile, self.overlap), dtype=np.float32)

    def start_row(self) -> None:
        """Nothing lies to the left of a row's first tile."""
        self.left[:] = 0

    def add(self, tile: _Tile) -> NDArray[np.float32]:
        """``tile``'s sums ``[K, T, T]`` with its neighbours' parts; keeps what it owes to later ones."""
        plan, overlap = self.plan, self.overlap
        sums = np.zeros((self.classes, plan.tile, plan.tile), dtype=np.float32) if tile.sums is None else tile.sums
        if not overlap:
            return sums
        start = tile.col * plan.stride
        own = plan.stride if tile.col < plan.cols - 1 else plan.tile
        if tile.col > 0:
            sums[:, :, :overlap] += self.left
        sums[:, :overlap, :own] += self.above[:, :, start : start + own]
        # The corner on the right belongs to the left carry until the last tile of the row hands it down.
        self.left = sums[:, :, -overlap:].copy()
        self.above[:, :, start : start + own] = sums[:, -overlap:, :own]
        return sums


def map_blocks(
    *,
    modalities: Sequence[Modality],
    readers: Mapping[str, Reader],
    plan: TilePlan,
    window: Window,
    classes: int,
    predict: Predictor,
    threads: int = 1,
    seam: Seam = "crossfade",
    outside: Callable[[Window], NDArray[np.bool_]] | None = None,
    done_rows: int = 0,
    progress: Callable[[float], None] = lambda _share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[MapBlock]:
    """Maps ``window``, block by block, row of tiles by row; blocks do not overlap and together cover it.

    The result does not depend on ``threads`` and ``done_rows``, nor on ``window`` where two windows overlap.

    Args:
        modalities: All of the model's, with statistics.
        readers: Of the modalities that are there.
        plan: The tiles over the whole raster.
        window: The part of it to map.
        classes: K.
        predict: Gives the probabilities of a tile; called from ``threads`` threads.
        threads: Tiles that run at the same time.
        seam: ``crossfade`` neighbours over their overlap, or ``crop`` each to its core.
        outside: Gives ``[h, w]`` of a tile, true where nothing is to be mapped; what lies outside wholly is not read.
        done_rows: Rows of ``window`` that were given before, up to the end of a row of tiles. The last row of tiles
            among them runs again, for what it owes to the next.
        progress: Told the share of the tiles that is done.
        cancelled: Asked before each tile whether to stop.

    Raises:
        Cancelled: If ``cancelled`` said so.
    """
    run = _TileRunner(modalities, readers, plan, window, classes, predict, seam, outside)
    rows, cols = plan.over(window)
    done_end = window.row + done_rows
    first = next((row for row in rows if min(plan.final(row, 0).end_row, window.end_row) > done_end), rows.stop)
    rest = range(max(rows.start, first - 1), rows.stop) if first < rows.stop else range(0)
    places = [(row, col) for row in rest for col in cols]
    total, before = len(rows) * len(cols), len(rows) * len(cols) - len(places)
    carry = _Carry(plan, classes)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Tile]] = deque()
        queue = iter(places)
        try:
            for done, (row, col) in enumerate(places, start=before + 1):
                while len(waiting) <= 2 * threads and (place := next(queue, None)) is not None:
                    waiting.append(pool.submit(run, *place))
                if cancelled():
                    raise Cancelled("the mapping was cancelled")
                if col == cols[0]:
                    carry.start_row()
                tile = waiting.popleft().result()
                block = _finished(tile, carry.add(tile), plan, window)
                if block is not None and row >= first:
                    yield block
                progress(done / total)
        finally:
            for future in waiting:
                future.cancel()


def _finished(tile: _Tile, sums: NDArray[np.float32], plan: TilePlan, window: Window) -> MapBlock | None:
    area, part = plan.window(tile.row, tile.col), plan.final(tile.row, tile.col) & window
    if part.empty:
        return None
    rows, cols = part.within(area)
    classes, best = _best(sums[:, rows, cols])
    confidence = np.rint(100 * np.clip(best, 0, 1)).astype(np.uint8)
    return MapBlock(part, classes, confidence, tile.bits[rows, cols])


def _best(sums: NDArray[np.float32]) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Index and value of the largest of ``[K, h, w]``, the first of equals; faster than argmax along the first axis."""
    best, classes = sums[0].copy(), np.zeros(sums.shape[1:], dtype=np.uint16)
    for index in range(1, len(sums)):
        better = sums[index] > best
        np.copyto(best, sums[index], where=better)
        np.copyto(classes, np.uint16(index), where=better)
    return classes, best
