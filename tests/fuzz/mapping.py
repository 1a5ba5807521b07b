"""A case mapped by the engine, and its map held against the reference."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from making import make_map
from numpy.typing import NDArray

from engine.grid import Bounds, Grid, Window
from engine.mapping.gridding import window_of_bounds
from engine.mapping.mosaic import map_blocks
from engine.mapping.tiles import TilePlan
from engine.model.file import Model
from engine.raster.masks import MaskSpec, open_modality
from engine.raster.sources import SourceSpec
from engine.runtime.session import Sessions
from fuzz.case import Case
from fuzz.files import write_grid, write_quality, write_source
from fuzz.model import CLASSES, name, write_model
from fuzz.reference import expected

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Given:
    """What the engine is given."""

    model: Path
    sources: dict[str, list[SourceSpec]]
    masks: dict[str, list[MaskSpec]]
    bounds: Bounds | None


@dataclass(frozen=True)
class Found:
    """A map over the part that is mapped: class indices, percent and bits ``[h, w]``."""

    classes: Ints
    confidence: Ints
    bits: Ints


@dataclass(frozen=True)
class Outcome:
    """How a map compares.

    Args:
        pixels: How many there are.
        differing: How many of them are wrong.
        loose: How many may have either of two availabilities.
        open: How many more may have either of two classes.
        said: What is wrong.
    """

    pixels: int
    differing: int
    loose: int
    open: int
    said: str


class _Shelf:
    """Keeps what panels owe each other."""

    def __init__(self) -> None:
        self.kept: dict[int, NDArray[np.float32]] = {}

    def put(self, strip: int, sums: NDArray[np.float32]) -> None:
        self.kept[strip] = sums.copy()

    def get(self, strip: int) -> NDArray[np.float32]:
        return self.kept[strip]


def part_of(case: Case) -> Window:
    """The part that is mapped: around turned bounds it is larger than what they were drawn from."""
    if case.part is None:
        return Window(0, 0, case.grid.height, case.grid.width)
    left, bottom, right, top = _bounds(case) or (0, 0, 0, 0)
    corners = [~case.grid.affine @ corner for corner in ((left, top), (right, top), (left, bottom), (right, bottom))]
    cols, rows = np.array(corners).T
    row, col = max(0, int(np.floor(rows.min()))), max(0, int(np.floor(cols.min())))
    end_row, end_col = min(case.grid.height, int(np.ceil(rows.max()))), min(case.grid.width, int(np.ceil(cols.max())))
    return Window(row, col, end_row - row, end_col - col)


def _bounds(case: Case) -> Bounds | None:
    """Around the middles of the outermost pixels of the part."""
    if case.part is None:
        return None
    row, col, height, width = case.part
    corners = [case.grid.affine @ (col + x, row + y) for x in (0.4, width - 0.4) for y in (0.4, height - 0.4)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def written(case: Case, folder: Path) -> Given:
    """Writes all files of a case."""
    sources: dict[str, list[SourceSpec]] = {}
    masks: dict[str, list[MaskSpec]] = {}
    for number, sensor in enumerate(case.sensors):
        sources[name(number)] = []
        for place, source in enumerate(sensor.sources):
            path = write_source(source, folder / f"{name(number)}_{place}")
            bands = (
                ""
                if source.chosen == tuple(range(1, len(source.nodata) + 1))
                else "@" + ",".join(map(str, source.positions))
            )
            sources[name(number)].append(SourceSpec.parse(f"{path}{bands}"))
        if sensor.quality is not None:
            path = write_quality(sensor.quality, folder / f"{name(number)}_quality.tif")
            masks[name(number)] = [MaskSpec.parse(f"{path}:{sensor.quality.rule}")]
    return Given(write_model(case, folder / "model.onnx"), sources, masks, _bounds(case))


def by_blocks(case: Case, given: Given, _folder: Path) -> Found:
    """Read, tiled, run and joined as `predict` does, without its files."""
    model = Model(given.model)
    grid = Grid(case.grid.crs, case.grid.affine, case.grid.height, case.grid.width)
    window = window_of_bounds(grid, given.bounds)
    plan = TilePlan(grid.height, grid.width, case.tile, case.halo)
    shape = (window.height, window.width)
    found = Found(*(np.full(shape, -1, dtype=np.int64) for _ in range(3)))
    with ExitStack() as stack:
        readers = {
            one.name: stack.enter_context(
                open_modality(given.sources[one.name], given.masks.get(one.name, ()), grid, one, "given")
            )
            for one in model.modalities
            if one.name in given.sources
        }
        for block in map_blocks(
            modalities=model.modalities,
            readers=readers,
            plan=plan,
            window=window,
            classes=CLASSES,
            predict=Sessions(model, "cpu").probabilities,
            strips=plan.strips(window, case.panel),
            borders=_Shelf(),
            seam=case.seam,  # type: ignore[arg-type]
        ):
            part = block.window.within(window)
            found.classes[part], found.confidence[part] = block.classes, block.confidence
            found.bits[part] = block.availability
    return found


def by_files(case: Case, given: Given, folder: Path) -> Found:
    """By `predict`, on the grid of a raster; the maps read back."""
    like = write_grid(case.grid, folder / "grid.tif")
    paths = [folder / f"{layer}.tif" for layer in ("map", "confidence", "availability")]
    make_map(
        given.model,
        given.sources,
        paths[0],
        confidence=paths[1],
        availability=paths[2],
        bounds=given.bounds,
        like=SourceSpec(str(like)),
        masks=given.masks,
        device="cpu",
        threads=2,
        seam=case.seam,  # type: ignore[arg-type]
    )
    layers = []
    for path in paths:
        with rasterio.open(path) as dataset:
            layers.append(dataset.read(1).astype(np.int64))
    return Found(*layers)


def compared(case: Case, how: Callable[[Case, Given, Path], Found] = by_blocks) -> Outcome:
    """Maps a case and compares every pixel."""
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        found = how(case, written(case, folder), folder)
    wanted, part = expected(case), part_of(case)
    rows, cols = part.within(Window(0, 0, case.grid.height, case.grid.width))
    if found.bits.shape != wanted.bits[rows, cols].shape:
        raise AssertionError(f"{found.bits.shape} pixels are mapped instead of {part}")
    bits, loose = wanted.bits[rows, cols], wanted.loose[rows, cols]
    wrong = ((found.bits ^ bits) & ~loose) != 0
    here = (found.bits == bits) & (bits > 0)
    possible = wanted.possible[:, rows, cols]
    index = np.where(here, found.classes, 0)
    other = here & ~np.take_along_axis(possible, index[None], axis=0)[0]
    unsure = here & ((found.confidence < wanted.low[rows, cols]) | (found.confidence > wanted.high[rows, cols]))
    said = ""
    for what, places in (("availability", wrong), ("class", other), ("confidence", unsure)):
        if places.any():
            row, col = np.argwhere(places)[0]
            said += (
                f"{what} of {places.sum()} pixels, first at row {row + part.row}, column {col + part.col}: bits "
                f"{found.bits[row, col]} for {bits[row, col]}, class {found.classes[row, col]} for "
                f"{np.flatnonzero(possible[:, row, col]).tolist()}, confidence {found.confidence[row, col]} for "
                f"{wanted.low[rows, cols][row, col]:.1f}-{wanted.high[rows, cols][row, col]:.1f}; "
            )
    several = (loose == 0) & here & (possible.sum(axis=0) > 1)
    return Outcome(bits.size, int((wrong | other | unsure).sum()), int((loose != 0).sum()), int(several.sum()), said)
