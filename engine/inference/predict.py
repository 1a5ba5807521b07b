"""`engine predict`: rasters in, a class map out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.availability import from_bits
from engine.errors import BandError, ModalityError
from engine.grid import Bounds, Grid, Window
from engine.inference.gridding import Sources, choose_grid, window_of_bounds
from engine.inference.model import Model
from engine.inference.mosaic import MapBlock, Seam, map_blocks
from engine.inference.session import Sessions
from engine.inference.shifts import shift_warnings
from engine.inference.tiles import TilePlan
from engine.raster.alignment import AlignedReader
from engine.raster.writing import ClassMapWriter, LayerWriter

CONFIDENCE_NODATA = 255


@dataclass(frozen=True)
class Summary:
    """What was done.

    Args:
        grid: The map's.
        shares: Share of the pixels that were mapped in each scenario, by its name; ``no sensor`` are nodata.
        device: The device that was used.
        seconds: Wall time.
        warnings: What the user should know.
    """

    grid: Grid
    shares: dict[str, float]
    device: str
    seconds: float
    warnings: tuple[str, ...]


def usable_processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_readers(model: Model, sources: Sources, grid: Grid, stack: ExitStack) -> dict[str, AlignedReader]:
    """A reader of each modality given, on ``grid``.

    Raises:
        BandError: If a modality's sources have another number of bands than the model takes.
    """
    readers = {}
    for modality in model.modalities:
        if modality.name not in sources:
            continue
        reader = stack.enter_context(AlignedReader(sources[modality.name], grid, dtype=modality.dtype))
        if len(reader.band_names) != len(modality.bands):
            raise BandError(
                f"{modality.name}: the model takes {len(modality.bands)} bands ({', '.join(modality.bands)}), but "
                f"{', '.join(map(str, sources[modality.name]))} gives {len(reader.band_names)}; "
                "choose bands with PATH@1,2"
            )
        readers[modality.name] = reader
    return readers


def check_modalities(model: Model, sources: Sources) -> None:
    """Refuses names that the model does not know, and no name at all.

    Raises:
        ModalityError: If so.
    """
    unknown = sorted(set(sources) - set(model.names))
    if unknown or not sources:
        what = f"it does not know {', '.join(unknown)}" if unknown else "none is given"
        raise ModalityError(f"{model.path}: the model's modalities are {', '.join(model.names)}; {what}")


def predict(
    model_path: Path,
    sources: Sources,
    output: Path,
    *,
    confidence: Path | None = None,
    availability: Path | None = None,
    bounds: Bounds | None = None,
    bounds_crs: str | None = None,
    pixel_size: float | None = None,
    device: str = "auto",
    threads: int | None = None,
    seam: Seam = "crossfade",
    progress: Callable[[float], None] = lambda _share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Summary:
    """Maps rasters with a model, whichever of its modalities they are.

    Args:
        model_path: The ``.onnx`` file.
        sources: For each modality that there is, its sources; their bands are stacked in order.
        output: The class map, a GeoTIFF.
        confidence: Also write the probability of each pixel's class in percent (nodata 255).
        availability: Also write the modalities of each pixel as a bit mask (nodata 0).
        bounds: Left, bottom, right, top of the part to map.
        bounds_crs: Their CRS (``EPSG:...`` or WKT), the map's where None.
        pixel_size: Size of a pixel in the CRS of the map, instead of the model's.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: Tiles at a time; as many as there are processors where None.
        seam: How neighbouring tiles are joined.
        progress: Told the share that is done.
        cancelled: Asked whether to stop; then nothing is left behind.

    Raises:
        ModelError: If the file is no model.
        ModalityError: If a modality is unknown, or none is given.
        RasterReadError: If a source cannot be read.
        BandError: If bands are missing, too many or of another data type.
        GridError: If the sources do not go together, or the bounds lie outside.
        DeviceError: If the device cannot be used.
        OutputError: If a result cannot be written.
        Cancelled: If ``cancelled`` said so.
    """
    started = time.monotonic()
    model = Model(model_path)
    check_modalities(model, sources)
    gridding = choose_grid(model, sources, pixel_size)
    window = window_of_bounds(gridding.grid, bounds, bounds_crs)
    grid = gridding.grid.part(window)
    sessions = Sessions(model, device)
    metadata = model.metadata
    plan = TilePlan(gridding.grid.height, gridding.grid.width, metadata.tile, metadata.halo)
    with ExitStack() as stack:
        readers = open_readers(model, sources, gridding.grid, stack)
        shifts = shift_warnings(readers, gridding.grid)
        writers = stack.enter_context(_Writers(model, grid, window, output, confidence, availability))
        blocks = map_blocks(
            modalities=model.modalities,
            readers=readers,
            plan=plan,
            window=window,
            classes=len(model.classes),
            predict=sessions.probabilities,
            threads=threads or usable_processors(),
            seam=seam,
            progress=progress,
            cancelled=cancelled,
        )
        counts = writers.write(blocks)
    return Summary(
        grid,
        _shares(counts, model.names, grid.height * grid.width),
        sessions.device,
        time.monotonic() - started,
        (*gridding.warnings, *shifts),
    )


def _shares(counts: Mapping[int, int], names: tuple[str, ...], pixels: int) -> dict[str, float]:
    ordered = sorted(counts, key=lambda bits: -counts[bits])
    return {
        from_bits(bits, len(names)).label(names) if bits else "no sensor": counts[bits] / pixels for bits in ordered
    }


class _Writers:
    """The class map and what was asked for beside it; all are renamed at the end, or none."""

    def __init__(
        self,
        model: Model,
        grid: Grid,
        window: Window,
        output: Path,
        confidence: Path | None,
        availability: Path | None,
    ) -> None:
        self._window = window
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._classes = stack.enter_context(ClassMapWriter(output, grid, model.classes))
            self._confidence = confidence and stack.enter_context(
                LayerWriter(confidence, grid, "uint8", CONFIDENCE_NODATA, ["confidence in percent"])
            )
            kind = "uint8" if len(model.names) <= 8 else "uint32"
            self._availability = availability and stack.enter_context(
                LayerWriter(availability, grid, kind, 0, ["availability: " + ", ".join(model.names)])
            )
            self._stack = stack.pop_all()

    def __enter__(self) -> _Writers:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def write(self, blocks: Iterator[MapBlock]) -> dict[int, int]:
        """Writes all blocks and counts the pixels of each availability."""
        counts: dict[int, int] = {}
        for block in blocks:
            area = block.window.shifted(-self._window.row, -self._window.col)
            valid = block.availability > 0
            self._classes.write_classes(area, block.classes, valid)
            if self._confidence:
                self._confidence.write(area, np.where(valid, block.confidence, np.uint8(CONFIDENCE_NODATA)))
            if self._availability:
                self._availability.write(area, block.availability)
            for bits, count in zip(*np.unique(block.availability, return_counts=True), strict=True):
                counts[int(bits)] = counts.get(int(bits), 0) + int(count)
        return counts
