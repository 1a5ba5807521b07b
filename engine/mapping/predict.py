"""`engine predict`: rasters in, a class map out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import rasterio

import engine
from engine.availability import Scenario, from_bits
from engine.errors import Cancelled, GridError, ModalityError, OutputError
from engine.grid import Bounds, Grid, Window
from engine.mapping.comparison import Compared, compare_samples, tell, values_facts
from engine.mapping.gridding import Sources, check_size, choose_grid, window_of_bounds
from engine.mapping.mosaic import Seam, map_blocks
from engine.mapping.outputs import MapOutputs, Provenance, file_digest, source_identity
from engine.mapping.shifts import shift_warnings
from engine.mapping.spool import Spool, job_hash
from engine.mapping.tiles import TilePlan
from engine.mapping.values import compare
from engine.model.file import Model
from engine.raster.alignment import AlignedReader
from engine.raster.masks import MaskSpec, PolygonMask, open_modality
from engine.raster.mosaics import Order
from engine.raster.sources import SourceSpec
from engine.runtime.batching import Batches
from engine.runtime.machine import usable_processors
from engine.runtime.session import Sessions
from engine.runtime.sizing import Estimate, estimate

SMALLEST_CACHE, LARGEST_CACHE = 64 * 1024**2, 512 * 1024**2
"""Bounds of GDAL's cache in bytes."""

PANEL = 4096
"""Columns of a panel in pixels, as far as whole tiles allow. Memory grows with them, and what borders panels is read
twice."""

BATCH = 16
"""Tiles in a run on any device but a CPU, where more than one at a time gains nothing."""

NETWORK = {
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    "GDAL_HTTP_TIMEOUT": 60,
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
}
"""GDAL's options for sources on the network: a server that stalls or fails is asked again thrice, then given up."""

Masks = Mapping[str, Sequence[MaskSpec]]

Leftover = Literal["refuse", "replace", "discard"]
"""What to do where an unfinished map lies at the output. One of the same job is gone on with, unless it is to be
discarded; one of another job is refused or replaced."""


@dataclass(frozen=True)
class Summary:
    """What was done.

    Args:
        grid: The map's.
        shares: Share of the pixels that were mapped in each scenario, by its name; ``no sensor`` are nodata.
        device: The device that was used.
        seconds: Wall time.
        resumed: Share of the map that a run before had finished.
        notes: What was done with the sources: conversions, and the order of mosaics.
        warnings: What the user should know.
    """

    grid: Grid
    shares: dict[str, float]
    device: str
    seconds: float
    resumed: float
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def open_readers(
    model: Model, sources: Sources, masks: Masks, grid: Grid, stack: ExitStack, order: Order = "given"
) -> dict[str, AlignedReader]:
    """A reader of each modality given, on ``grid``.

    Raises:
        RasterReadError: If a source or mask cannot be read.
        BandError: If a modality's sources have another number of bands than the model takes.
    """
    readers: dict[str, AlignedReader] = {}
    for modality in model.modalities:
        if modality.name not in sources:
            continue
        hidden = masks.get(modality.name, ())
        readers[modality.name] = stack.enter_context(
            open_modality(sources[modality.name], hidden, grid, modality, order)
        )
    return readers


def check_modalities(model: Model, sources: Mapping[str, object]) -> None:
    """Refuses names that the model does not know, and no name at all.

    Raises:
        ModalityError: If so.
    """
    unknown = sorted(set(sources) - set(model.names))
    if unknown or not sources:
        what = f"it does not know {', '.join(unknown)}" if unknown else "none is given"
        raise ModalityError(f"{model.path}: the model's modalities are {', '.join(model.names)}; {what}")


def part_folder(output: Path) -> Path:
    """Where a map lies until it is finished."""
    return output.with_name(f"{output.name}.part")


def predict(
    model_path: Path,
    sources: Sources,
    output: Path,
    *,
    confidence: Path | None = None,
    availability: Path | None = None,
    probabilities: Path | None = None,
    origin: Path | None = None,
    bounds: Bounds | None = None,
    bounds_crs: str | None = None,
    pixel_size: float | None = None,
    like: SourceSpec | None = None,
    area: str | None = None,
    masks: Masks | None = None,
    order: Order = "given",
    device: str = "auto",
    threads: int | None = None,
    seam: Seam = "crossfade",
    leftover: Leftover = "refuse",
    keep: bool = True,
    strict: bool = False,
    warned: Callable[[str], None] = lambda _text: None,
    expected: Callable[[Estimate], None] = lambda _estimate: None,
    progress: Callable[[float], None] = lambda _share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Summary:
    """Maps rasters with a model, whichever of its modalities they are.

    What is finished lies in ``<output>.part/`` until all is; a run that was killed goes on from there, to the same
    bytes. The outputs are cloud-optimised GeoTIFFs with what :class:`~engine.mapping.outputs.MapOutputs` puts beside.

    Args:
        model_path: The ``.onnx`` file.
        sources: For each modality that there is, its sources: the bands of files that follow each other are stacked
            until there are as many as the model takes; what follows then is another raster of a mosaic.
        output: The class map.
        confidence: Also write the probability of each pixel's class in percent (nodata 255).
        availability: Also write the modalities of each pixel as a bit mask (nodata 0).
        probabilities: Also write the probability of every class in percent, a band each (nodata 255).
        origin: Also write which raster of each modality's mosaic a pixel was read from (from 1; 0 none), a band each.
        bounds: Left, bottom, right, top of the part to map.
        bounds_crs: Their CRS (``EPSG:...`` or WKT), the map's where None.
        pixel_size: Size of a pixel in the CRS of the map, instead of the model's.
        like: A raster whose grid the map gets.
        area: A vector file; what lies outside of its polygons is nodata, and neither read nor run.
        masks: For each modality, what makes pixels of it invalid.
        order: Which raster of a mosaic comes first.
        device: One of :data:`~engine.runtime.session.DEVICES`.
        threads: Tiles at a time; as many as there are processors where None. Fewer where memory is short.
        seam: How neighbouring tiles are joined.
        leftover: What to do with an unfinished map.
        keep: Whether a cancel keeps what is finished.
        strict: Refuse values that are not those of the training. Where only the whole map shows that, what is finished
            is kept: a run that is not strict publishes it at once.
        warned: Told as soon as it is found that values are not those of the training; the summary says so again.
        expected: Told before the map is begun what it will take.
        progress: Told the share that is done.
        cancelled: Asked whether to stop.

    Raises:
        ModelError: If the file is no model.
        ModalityError: If a modality is unknown, or none is given.
        RasterReadError: If a source cannot be read.
        BandError: If bands are missing, too many or of another data type.
        GridError: If the sources do not go together, or the bounds lie outside.
        DeviceError: If the device cannot be used.
        ValuesError: If ``strict``, and values are not those of the training.
        OutputError: If a result cannot be written, or an unfinished map of another job is in its place.
        ResourceError: If the memory does not suffice for a single tile at a time.
        Cancelled: If ``cancelled`` said so.
    """
    started = time.monotonic()
    model = Model(model_path)
    check_modalities(model, sources)
    if masks:
        check_modalities(model, masks)
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(**NETWORK))
        gridding = choose_grid(model, sources, pixel_size, like)
        window = window_of_bounds(gridding.grid, bounds, bounds_crs)
        interest = None if area is None else PolygonMask(area, gridding.grid)
        if interest is not None:
            window = _within(interest, window, str(area))
        check_size(window)
        grid = gridding.grid.part(window)
        sessions = Sessions(model, device)
        metadata = model.metadata
        plan = TilePlan(gridding.grid.height, gridding.grid.width, metadata.tile, metadata.halo, metadata.inner_only)
        outputs = MapOutputs(model, grid, output, confidence, availability, probabilities, origin)
        read = [spec.path for specs in sources.values() for spec in specs]
        read += [spec.source.path for specs in (masks or {}).values() for spec in specs]
        outputs.spare([*read, str(model_path), *([area] if area else []), *([like.path] if like else [])])
        readers = open_readers(model, sources, masks or {}, gridding.grid, stack, order)
        shifts = shift_warnings(readers, gridding.grid)
        samples = compare_samples(model.modalities, readers, sources, window)
        strange = tell(samples, strict, warned)
        told = [f"{name}: {text}" for name, reader in readers.items() for text in reader.warnings(window)]
        told += [] if interest is None else interest.warnings(window)
        widest = max(reader.block_width for reader in readers.values())
        strips = plan.strips(window, None if widest > PANEL else max(1, PANEL // plan.stride))
        columns = max(strip.part.width for strip in strips) + plan.tile
        cache = 2 * plan.tile * columns * sum(reader.pixel_bytes for reader in readers.values())
        cache = min(max(cache, SMALLEST_CACHE), LARGEST_CACHE)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=cache))
        fullest = Scenario(tuple(name in sources for name in model.names))
        sessions.session(fullest)  # settles the device
        overlap = plan.overlap
        job = {
            "engine": engine.__version__,
            "model": file_digest(model_path),
            "sources": {name: [source_identity(spec) for spec in specs] for name, specs in sources.items()},
            "grid": [grid.crs.to_wkt() if grid.crs else None, *grid.transform, grid.height, grid.width],
            "origin": [window.row, window.col, gridding.grid.height, gridding.grid.width],
            "masks": {
                name: [[str(spec), source_identity(spec.source)] for spec in specs]
                for name, specs in (masks or {}).items()
            },
            "area": None if area is None else source_identity(SourceSpec(area)),
            "order": order,
            "tile": [metadata.tile, metadata.halo, seam],
            "device": sessions.device,
            "layers": {name: [layer.dtype, layer.bands] for name, layer in outputs.layers.items()},
        }
        folder = part_folder(output)
        _make_way(folder, job_hash(job), leftover)
        spool = stack.enter_context(
            Spool(
                folder,
                job,
                outputs.layers,
                grid.height,
                grid.width,
                parts=[strip.part.shifted(-window.row, -window.col) for strip in strips],
                panel=sum(strip.cols == strips[0].cols for strip in strips),
                border=(len(model.classes), plan.tile, overlap),
            )
        )
        resumed, done = spool.share, spool.done
        try:
            # Strips in the making and on their way to the disk, and a layer of them as bytes
            held = 2 * outputs.pixel_bytes + max(layer.pixel_bytes for layer in outputs.layers.values())
            sizes = estimate(
                sessions,
                fullest,
                plan.tile,
                sum(len(strip.cols) for strip in strips[done:]),
                threads or (usable_processors() if sessions.device == "cpu" else 2 * BATCH),
                batch=1 if sessions.device == "cpu" else BATCH,
                fixed=cache + columns * (4 * len(model.classes) * overlap + plan.tile * held),
            )
            expected(sizes)
            blocks = map_blocks(
                modalities=model.modalities,
                readers=readers,
                plan=plan,
                window=window,
                classes=len(model.classes),
                predict=sessions.probabilities if sessions.device == "cpu" else Batches(sessions.probabilities, BATCH),
                strips=strips,
                borders=spool,
                done=done,
                threads=sizes.threads,
                seam=seam,
                outside=None if interest is None else lambda place: ~interest.read(place),
                probabilities=probabilities is not None,
                origins=origin is not None,
                progress=progress,
                cancelled=cancelled,
            )
            with closing(blocks):
                outputs.collect(blocks, window, spool, [len(strip.cols) for strip in strips[done:]])
        except BaseException as error:
            if not spool.lines or (isinstance(error, Cancelled) and not keep):
                spool.remove()
            raise
        sessions.close()  # the map's compression needs memory of its own
        compared = [
            Compared(compare(outputs.seen(spool, one), one), tuple(sources[one.name]))
            for one in model.modalities
            if one.name in sources
        ]
        known = {one.finding.modality.name for one in samples if one.finding.warned}
        strange += tell([one for one in compared if one.finding.modality.name not in known], strict, warned)
        shares = _shares(spool.tally("availability"), model.names, grid.height * grid.width)
        unseen = [name for name in sources if not any(name in label.split("+") for label in shares)]
        told += [
            f"{name}: is valid on no pixel of the map; check where it lies, its nodata and masks" for name in unseen
        ]
        seconds = time.monotonic() - started
        warnings = (*strange, *gridding.warnings, *told, *shifts)
        notes = tuple(f"{name}: {note}" for name, reader in readers.items() for note in reader.notes)
        outputs.publish(
            spool,
            Provenance(
                sessions.device,
                seconds,
                resumed,
                shares,
                job["sources"],
                str(job["model"]),
                (*notes, *warnings),
                values_facts(samples, compared),
                {name: reader.origins for name, reader in readers.items()},
            ),
        )
        spool.remove()
    return Summary(grid, shares, sessions.device, time.monotonic() - started, resumed, notes, warnings)


def _within(interest: PolygonMask, window: Window, path: str) -> Window:
    around = interest.window
    part = Window(0, 0, 0, 0) if around is None else around & window
    if part.empty:
        raise GridError(f"{path}: none of its polygons meets what is to be mapped")
    return part


def _make_way(folder: Path, wanted: str, leftover: Leftover) -> None:
    """Removes an unfinished map where it is not to be gone on with; the spool refuses one of another job."""
    found = Spool.hash_of(folder)
    if found is not None and (leftover == "discard" or (leftover == "replace" and found != wanted)):
        try:
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be removed: {error}") from error


def _shares(counts: Mapping[int, float], names: tuple[str, ...], pixels: int) -> dict[str, float]:
    ordered = sorted(counts, key=lambda bits: (-counts[bits], bits))
    return {
        from_bits(bits, len(names)).label(names) if bits else "no sensor": counts[bits] / pixels for bits in ordered
    }
