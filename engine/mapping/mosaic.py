"""Tiles into a map: each pixel in its own scenario, neighbouring tiles cross-faded, in memory for a few tiles.

Tiles run strip by strip: down a panel of a few thousand columns, then down the next, so that a wide raster takes no
more memory than a narrow one, as far as its sources are stored in tiles. What a panel owes to the next waits in
:class:`Borders`. Values do not depend on panels.

A tile runs once for each scenario that occurs in the part of it that is kept. In the run for scenario S, pixels where
a member of S is invalid are filled with its training mean, and each pixel takes the result of its own scenario.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.availability import Scenario, from_bits
from engine.errors import Cancelled, ModelError
from engine.grid import Window
from engine.mapping.tiles import Strip, TilePlan
from engine.modality import Modality
from engine.raster.alignment import Block
from engine.runtime.batching import Predictor

Seam = Literal["crossfade", "crop"]

LATTICE, SAMPLED = 8, 512
"""Of every LATTICE-th row and column of the raster, of fewer of a map of more than LATTICE * SAMPLED rows and columns,
values are kept to be compared with the training's."""


PATIENCE = 0.2
"""Seconds between two questions whether to stop, while a tile is waited for."""


class Reader(Protocol):
    """Gives a modality's values and validity by window of the map's grid."""

    def read(self, window: Window) -> Block:
        """Values ``[C, h, w]`` and validity ``[h, w]``; the window may reach outside."""


class Borders(Protocol):
    """Keeps what strips owe to their right neighbours in the next panel."""

    def put(self, strip: int, sums: NDArray[np.float32]) -> None:
        """Keeps ``[K, T, overlap]`` at the right border of a strip, by its number."""

    def get(self, strip: int) -> NDArray[np.float32]:
        """What was put under a number."""


@dataclass(frozen=True)
class MapBlock:
    """A finished rectangle of the map; it may be empty.

    Args:
        window: Where it lies.
        classes: ``[h, w]`` class indices; 0 where no modality is valid.
        confidence: ``[h, w]`` probability of that class in percent, 0-100.
        availability: ``[h, w]`` bit mask of the modalities that were used; 0 where there was none.
        probabilities: ``[K, h, w]`` of all classes in percent, 0-100, where they are wanted.
        origin: ``[M, h, w]`` which raster of a modality's mosaic, from 1, a pixel was read from, 0 where it was not
            used; where it is wanted.
        seen: For each modality ``[C, n]`` values of its valid pixels on a lattice of the raster's rows and columns.
    """

    window: Window
    classes: NDArray[np.uint16]
    confidence: NDArray[np.uint8]
    availability: NDArray[np.int32]
    probabilities: NDArray[np.uint8] | None = None
    origin: NDArray[np.uint16] | None = None
    seen: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Observed:
    row: int
    col: int
    bits: NDArray[np.int32]
    blocks: Mapping[str, Block]


@dataclass(frozen=True)
class _Tile:
    row: int
    col: int
    bits: NDArray[np.int32]
    sums: NDArray[np.float32] | None
    origin: NDArray[np.uint16] | None
    seen: Mapping[str, NDArray[np.generic]]


class _Tiles:
    """Reads and predicts tiles; called from several threads."""

    def __init__(
        self,
        modalities: Sequence[Modality],
        readers: Mapping[str, Reader],
        plan: TilePlan,
        window: Window,
        predict: Predictor,
        seam: Seam,
        outside: Callable[[Window], NDArray[np.bool_]] | None,
        origins: bool,
        order: Callable[[list[Scenario]], list[Scenario]],
    ) -> None:
        self.modalities, self.readers, self.plan, self.window = modalities, readers, plan, window
        self.predict, self.outside, self.origins, self.order = predict, outside, origins, order
        self.weigh = plan.core_weights if seam == "crop" or plan.inner_only else plan.weights

    def read(self, row: int, col: int) -> _Observed:
        """What the sensors saw of a tile."""
        area = self.plan.window(row, col)
        bits = np.zeros((area.height, area.width), dtype=np.int32)
        outside = None if self.outside is None else self.outside(area)
        blocks: dict[str, Block] = {}
        if outside is None or not outside.all():
            for number, modality in enumerate(self.modalities):
                if modality.name in self.readers:
                    blocks[modality.name] = self.readers[modality.name].read(area)
                    bits |= blocks[modality.name].valid.astype(np.int32) << number
        if outside is not None:
            bits[outside] = 0
        return _Observed(row, col, bits, blocks)

    def run(self, reading: Future[_Observed]) -> _Tile:
        """The probabilities of a tile, once it is read."""
        observed = reading.result()
        row, col, bits = observed.row, observed.col, observed.bits
        down, across = self.weigh(row, self.plan.rows), self.weigh(col, self.plan.cols)
        if (bits == bits.flat[0]).all():
            occurring = [int(bits.flat[0])]
        else:
            area = self.plan.window(row, col)
            inside = (self.window & area).within(area)
            occurring = np.unique(bits[inside][np.outer(down > 0, across > 0)[inside]]).tolist()
        masks = {from_bits(mask, len(self.modalities)): mask for mask in occurring if mask}
        sums: NDArray[np.float32] | None = None
        for scenario in self.order(list(masks)):
            probabilities = self._run(scenario, observed.blocks)
            self._weigh(probabilities, down, across)
            if len(masks) == 1 and bits.all():
                sums = probabilities
            else:
                sums = np.zeros_like(probabilities) if sums is None else sums
                np.copyto(sums, probabilities, where=bits == masks[scenario])
        origin = self._origin(bits, observed.blocks) if self.origins else None
        return _Tile(row, col, bits, sums, origin, self._seen(observed))

    def _seen(self, observed: _Observed) -> dict[str, NDArray[np.generic]]:
        """Values on the lattice in the part of the map that the tile finishes."""
        part = self.plan.final(observed.row, observed.col) & self.window
        rows, cols = part.within(self.plan.window(observed.row, observed.col))
        step = max(LATTICE, math.isqrt(self.window.height * self.window.width) // SAMPLED)
        rows = slice(rows.start - part.row % -step, rows.stop, step)
        cols = slice(cols.start - part.col % -step, cols.stop, step)
        bits = observed.bits[rows, cols]
        return {
            modality.name: observed.blocks[modality.name].values[:, rows, cols][:, (bits >> number & 1) > 0]
            for number, modality in enumerate(self.modalities)
            if modality.name in observed.blocks
        }

    def _origin(self, bits: NDArray[np.int32], blocks: Mapping[str, Block]) -> NDArray[np.uint16]:
        found = np.zeros((len(self.modalities), *bits.shape), dtype=np.uint16)
        for number, modality in enumerate(self.modalities):
            if modality.name in blocks:
                origin = blocks[modality.name].origin
                found[number] = np.where(bits >> number & 1, 1 if origin is None else origin, 0)
        return found

    def _weigh(
        self, probabilities: NDArray[np.float32], down: NDArray[np.float32], across: NDArray[np.float32]
    ) -> None:
        """Multiplies in place by the weights of a tile, which are 1 but in its overlaps."""
        overlap = self.plan.overlap
        for ends in (slice(0, overlap), slice(self.plan.tile - overlap, self.plan.tile)):
            probabilities[:, ends] *= down[ends, None]
            probabilities[:, :, ends] *= across[ends]

    def _run(self, scenario: Scenario, blocks: Mapping[str, Block]) -> NDArray[np.float32]:
        inputs = {}
        for index in scenario.indices:
            modality = self.modalities[index]
            block = blocks[modality.name]
            inputs[modality.name] = modality.filled(block.values, block.valid)[None]
        return self.predict(scenario, inputs)[0]


class _Carry:
    """What tiles owe to their right and lower neighbours within a panel: strips as wide as the overlap."""

    def __init__(self, plan: TilePlan, classes: int, cols: range) -> None:
        self.plan, self.classes, self.overlap, self.first = plan, classes, plan.overlap, cols.start
        length = (len(cols) - 1) * plan.stride + plan.tile
        self.above = np.zeros((classes, self.overlap, length), dtype=np.float32)
        self.left = np.zeros((classes, plan.tile, self.overlap), dtype=np.float32)

    def add(self, tile: _Tile) -> NDArray[np.float32]:
        """``tile``'s sums ``[K, T, T]`` with its neighbours' parts; keeps what it owes to later ones."""
        plan, overlap = self.plan, self.overlap
        sums = np.zeros((self.classes, plan.tile, plan.tile), dtype=np.float32) if tile.sums is None else tile.sums
        if not overlap:
            return sums
        start = (tile.col - self.first) * plan.stride
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
    strips: Sequence[Strip],
    borders: Borders | None = None,
    done: int = 0,
    threads: int = 1,
    seam: Seam = "crossfade",
    outside: Callable[[Window], NDArray[np.bool_]] | None = None,
    probabilities: bool = False,
    origins: bool = False,
    order: Callable[[list[Scenario]], list[Scenario]] = list,
    progress: Callable[[float], None] = lambda _share: None,
    cancelled: Callable[[], bool] = lambda: False,
    stop: Callable[[], None] = lambda: None,
) -> Generator[MapBlock, None, None]:
    """Maps ``window``, tile by tile in the order of ``strips``; blocks do not overlap and together cover it.

    The result does not depend on ``threads``, panels and ``done``, nor on ``window`` where two windows overlap.

    Args:
        modalities: All of the model's, with statistics.
        readers: Of the modalities that are there.
        plan: The tiles over the whole raster.
        window: The part of it to map.
        classes: K.
        predict: Gives the probabilities of a tile, which may be changed in place; called from ``threads`` threads.
        strips: What :meth:`TilePlan.strips` says of ``window``.
        borders: Keeps what a panel owes to the next; needed where there are several.
        done: Strips that were given before. The last of them runs again where it owes something to the next.
        threads: Tiles that run at the same time.
        seam: ``crossfade`` neighbours over their overlap, or ``crop`` each to its core, as is always done where the
            plan says that tiles have no answer in their halo.
        outside: Gives ``[h, w]`` of a tile, true where nothing is to be mapped; what lies outside wholly is not read.
        probabilities: Whether blocks hold them.
        origins: Whether blocks say which raster of a mosaic each pixel was read from.
        order: In which order the scenarios of a tile are run; the map does not depend on it.
        progress: Told the share of the tiles that is done.
        cancelled: Asked whether to stop, before each tile and while one is waited for.
        stop: Ends the runs that are under way, where the map is not finished.

    Raises:
        Cancelled: If ``cancelled`` said so.
        ModelError: If the model gives NaN.
    """
    tiles = _Tiles(modalities, readers, plan, window, predict, seam, outside, origins, order)
    again = 1 if 0 < done < len(strips) and strips[done].cols == strips[done - 1].cols else 0
    rest = range(done - again, len(strips))
    total = sum(len(strip.cols) for strip in strips)
    finished = sum(len(strip.cols) for strip in strips[: done - again])
    places = [(strips[number].row, col) for number in rest for col in strips[number].cols]
    with closing(_in_order(tiles, places, len(readers) or 1, threads, cancelled, stop)) as made:
        for number in rest:
            strip = strips[number]
            if number == rest.start or strip.cols != strips[number - 1].cols:
                carry = _Carry(plan, classes, strip.cols)
            carry.left[:] = borders.get(number - _panel_rows(strips)) if strip.left and borders is not None else 0
            for col in strip.cols:
                tile = next(made)
                sums = carry.add(tile)
                if strip.right and borders is not None and col == strip.cols[-1] and number >= done:
                    borders.put(number, carry.left)
                finished += 1
                progress(finished / total)
                if number >= done:
                    yield _finished(tile, sums, plan, window, probabilities)
        next(made, None)  # to its end: what is closed before that is stopped


def _in_order(
    tiles: _Tiles,
    places: Sequence[tuple[int, int]],
    readers: int,
    threads: int,
    cancelled: Callable[[], bool],
    stop: Callable[[], None],
) -> Generator[_Tile, None, None]:
    """Tiles in the order of their places, while later ones are read and run."""
    queue = iter(places)
    # Readers of their own: whoever waits for a slow source would otherwise keep a processor from its tiles.
    with ThreadPoolExecutor(readers) as reading, ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Tile]] = deque()
        try:
            while True:
                while len(waiting) <= 2 * threads and (place := next(queue, None)) is not None:
                    waiting.append(pool.submit(tiles.run, reading.submit(tiles.read, *place)))
                if not waiting:
                    return
                yield _awaited(waiting.popleft(), cancelled)
        except BaseException:
            stop()
            raise
        finally:
            reading.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=False, cancel_futures=True)


def _awaited(tile: Future[_Tile], cancelled: Callable[[], bool]) -> _Tile:
    while not cancelled():
        if wait([tile], timeout=PATIENCE).done:
            return tile.result()
    raise Cancelled("the mapping was cancelled")


def _panel_rows(strips: Sequence[Strip]) -> int:
    return sum(strip.cols == strips[0].cols for strip in strips)


def _finished(tile: _Tile, sums: NDArray[np.float32], plan: TilePlan, window: Window, all_of_them: bool) -> MapBlock:
    area, part = plan.window(tile.row, tile.col), plan.final(tile.row, tile.col) & window
    rows, cols = part.within(area)
    sums = sums[:, rows, cols]
    classes, best = _best(sums)
    if np.isnan(best).any():
        raise ModelError(
            f"the model gives no number (NaN) at rows {part.row}-{part.end_row - 1}, columns {part.col}-"
            f"{part.end_col - 1}; check that the sources there have the units that the model was trained on"
        )
    origin = None if tile.origin is None else tile.origin[:, rows, cols]
    shares = _percent(sums) if all_of_them else None
    return MapBlock(part, classes, _percent(best), tile.bits[rows, cols], shares, origin, tile.seen)


def _percent(shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Of ``[..., h, w]`` shares, a class at a time: temporary copies of all would be the largest of a map."""
    percent = np.empty(shares.shape, dtype=np.uint8)
    planes = percent.reshape(math.prod(shares.shape[:-2]), *shares.shape[-2:])
    for values, found in zip(shares.reshape(planes.shape), planes, strict=True):
        found[...] = np.rint(100 * np.clip(values, 0, 1))
    return percent


def _best(sums: NDArray[np.float32]) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Index and value of the largest of ``[K, h, w]``, the first of equals; faster than argmax along the first axis."""
    best: NDArray[np.float32] = sums.max(axis=0)
    kind = np.uint8 if len(sums) <= 255 else np.uint16
    from_end = np.zeros(best.shape, dtype=kind)  # K for the first class, 1 for the last
    for index, values in enumerate(sums):
        np.maximum(from_end, (values == best) * kind(len(sums) - index), out=from_end)
    return len(sums) - from_end.astype(np.uint16), best
