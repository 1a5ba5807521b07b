"""`engine predict`: rasters in, a class map out: opened, planned, run, published."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import rasterio

from engine.availability import Scenario, from_bits
from engine.errors import Cancelled, EngineError, OutputError
from engine.files import check_target, remove_leavings
from engine.grid import Grid
from engine.locks import Lock
from engine.mapping.comparison import Compared, compare_samples, occurring, sample, tell, values_facts
from engine.mapping.groups import legend
from engine.mapping.inputs import Inputs, check_unchanged, open_inputs
from engine.mapping.mosaic import map_blocks
from engine.mapping.outputs import MapOutputs
from engine.mapping.plan import MapPlan, part_folder, plan
from engine.mapping.publishing import Provenance, beside, class_rows, publish_map, standing
from engine.mapping.request import MapRequest, command_line
from engine.mapping.spool import Spool, job_hash
from engine.mapping.thresholds import left_out, thresholds
from engine.mapping.values import compare
from engine.model.file import Model
from engine.raster.legend import ClassRow
from engine.runtime.batching import Batches, Predictor
from engine.runtime.machine import lower_priority, usable_processors
from engine.runtime.session import Sessions
from engine.runtime.sizing import Estimate, estimate

BATCH = 16
"""Tiles in a run on any device but a CPU, where more than one at a time gains nothing."""

NETWORK = {
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    "GDAL_HTTP_TIMEOUT": 60,
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
}
"""GDAL's options for sources on the network: a server that stalls or fails is asked again thrice, then given up."""


@dataclass(frozen=True)
class Summary:
    """What was done.

    Args:
        grid: The map's.
        shares: Share of the pixels that were mapped in each scenario, by its name; ``no sensor`` are nodata.
        classes: What the map has of each class.
        left: Share of the map's pixels that sensors saw and that were left without a class, by why: too little
            confidence, or a scenario that the model maps too badly.
        device: The device that was used.
        seconds: Wall time.
        resumed: Share of the map that a run before had finished.
        notes: What was done with the sources: conversions, and the order of mosaics.
        warnings: What the user should know.
    """

    grid: Grid
    shares: dict[str, float]
    classes: tuple[ClassRow, ...]
    left: Mapping[str, float]
    device: str
    seconds: float
    resumed: float
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def mapped(self) -> float:
        """Share of the pixels that have a class."""
        return sum(row.pixels for row in self.classes) / (self.grid.height * self.grid.width)

    @property
    def areas(self) -> dict[str, float] | None:
        """Hectares of each class, by its name, with its value where others are called so; None without georeference."""
        names = [row.land_class.name for row in self.classes]
        return (
            None
            if self.grid.crs is None
            else {
                f"{name} ({row.land_class.value})" if names.count(name) > 1 else name: row.hectares or 0.0
                for name, row in zip(names, self.classes, strict=True)
            }
        )


@dataclass(frozen=True)
class Listener:
    """Whom a mapping tells how it goes on.

    Args:
        warned: Told at once of what the user should know; the summary says so again.
        expected: Told before the map is begun what it will take.
        progress: Told the share that is done.
        cancelled: Asked whether to stop.
    """

    warned: Callable[[str], None] = lambda _text: None
    expected: Callable[[Estimate], None] = lambda _estimate: None
    progress: Callable[[float], None] = lambda _share: None
    cancelled: Callable[[], bool] = lambda: False


def predict(request: MapRequest, listener: Listener | None = None, *, keep: bool = True) -> Summary:
    """Maps rasters with a model, whichever of its modalities they are.

    What is finished lies in ``<output>.part/`` until all is; a run that was killed goes on from there, to the same
    bytes. The outputs are cloud-optimised GeoTIFFs with what :mod:`~engine.mapping.publishing` puts beside.

    Args:
        request: What is wanted.
        listener: Whom to tell how it goes on.
        keep: Whether a cancel keeps what is finished.

    Raises:
        ModelError: If the file is no model.
        ModalityError: If a modality is unknown.
        RasterReadError: If a source cannot be read, or was changed while it was mapped.
        BandError: If bands are missing, too many or of another data type.
        GridError: If the sources do not go together, or the bounds lie outside.
        DeviceError: If the device cannot be used.
        ValuesError: If the request is strict, and values are not those of the training.
        BusyError: If another process writes to an output.
        OutputError: If a result cannot be written, or a map is in its place that is not to be replaced.
        ResourceError: If the memory does not suffice for a single tile at a time.
        Cancelled: If the listener said so.
    """
    started = time.monotonic()
    if request.low_priority:
        lower_priority()
    with ExitStack() as stack:
        work = _begun(request, listener or Listener(), stack)
        resumed = work.spool.share
        try:
            _run(work)
        except BaseException as error:
            if not work.spool.lines or (isinstance(error, Cancelled) and not keep):
                work.spool.remove()
            raise
        work.sessions.close()  # the map's compression needs memory of its own
        summary = _published(work, started, resumed)
        work.spool.remove()
    return replace(summary, seconds=time.monotonic() - started)


@dataclass(frozen=True)
class _Work:
    """A map that is begun.

    Args:
        request: What is wanted, its sources with the bands that are read.
        inputs: What it is made from.
        outputs: Its layers.
        laid: How it is made.
        sessions: The model's.
        spool: What is finished of it.
        samples: How a sample of the values compares with the training's.
        scenarios: How many occur in the sample.
        strange: What was told at once.
        listener: Whom to tell.
    """

    request: MapRequest
    inputs: Inputs
    outputs: MapOutputs
    laid: MapPlan
    sessions: Sessions
    spool: Spool
    samples: list[Compared]
    scenarios: int
    strange: list[str]
    listener: Listener


def _begun(request: MapRequest, listener: Listener, stack: ExitStack) -> _Work:
    """Takes the outputs, opens the inputs, looks at their values, and lays down what is to be done."""
    model = Model(request.model)
    _claim(request, stack)
    stack.enter_context(rasterio.Env(**NETWORK))
    inputs = open_inputs(request, model, stack)
    request = inputs.request
    fullest = _fullest(request, model)
    limits = thresholds(model, request.minimum_confidence, request.minimum_accuracy, fullest)
    outputs = MapOutputs(model, inputs.grid, legend(model.classes, request.groups), limits, list(request.outputs))
    squares = sample(inputs.readers, inputs.window)
    samples = compare_samples(model.modalities, squares, request.sources)
    strange = tell(samples, request.strict, listener.warned)
    sessions = Sessions(model, request.device)
    sessions.session(fullest)  # settles the device
    if sessions.fallback:
        listener.warned(sessions.fallback)
        strange.append(sessions.fallback)
    laid = plan(request, inputs, outputs, sessions.device)
    stack.enter_context(rasterio.Env(GDAL_CACHEMAX=laid.cache))
    spool = stack.enter_context(_spool(request, inputs, outputs, laid))
    return _Work(request, inputs, outputs, laid, sessions, spool, samples, occurring(squares), strange, listener)


def _published(work: _Work, started: float, resumed: float) -> Summary:
    """Compares the values of the whole map with the training's, and gives the map its name."""
    request, inputs, spool = work.request, work.inputs, work.spool
    names, grid = inputs.model.names, inputs.grid
    compared = _compared(work)
    known = {one.finding.modality.name for one in work.samples if one.finding.warned}
    later = [one for one in compared if one.finding.modality.name not in known]
    strange = [*work.strange, *tell(later, request.strict, work.listener.warned)]
    pixels, counts = grid.height * grid.width, spool.tally("availability")
    shares, mapped = _shares(counts, names, pixels), sum(spool.tally("pixels").values())
    left = left_out(work.outputs.thresholds, inputs.model, counts, mapped)
    empty = [f"no pixel has a class: {', '.join(left)}; ask for less"] if any(left.values()) and not mapped else []
    warnings = (*strange, *inputs.warnings, *_unseen(request, shares), *empty)
    notes = (*inputs.notes, *(f"{name}: {note}" for name, one in inputs.readers.items() for note in one.notes))
    check_unchanged(request, inputs.identities)
    seconds = time.monotonic() - started
    provenance = Provenance(
        device=work.sessions.device,
        seconds=seconds,
        resumed=resumed,
        shares=shares,
        sources=inputs.identities,
        model=str(work.laid.job["model"]),
        warnings=(*notes, *warnings),
        values=values_facts(work.samples, compared),
        origins={name: reader.origins for name, reader in inputs.readers.items()},
        groups=work.outputs.legend.groups(inputs.model.classes),
        left={why: number / pixels for why, number in left.items()},
        command=command_line(request),
    )
    publish_map(work.outputs, request, spool, provenance)
    warnings += tuple(_report_failed(work, provenance, warnings, notes, started))
    rows = tuple(class_rows(work.outputs, spool))
    return Summary(grid, shares, rows, provenance.left, work.sessions.device, seconds, resumed, notes, warnings)


def _report_failed(
    work: _Work, provenance: Provenance, warnings: Sequence[str], notes: Sequence[str], started: float
) -> Iterator[str]:
    """Writes the report, where one is wanted; the map is made by then, so that a failure is no more than said."""
    if work.request.report is None:
        return
    try:
        from engine.mapping.reporting import write_report  # brings what draws

        seconds = time.monotonic() - started
        write_report(work.request, work.outputs, work.spool, provenance, warnings, notes, seconds)
    except EngineError as error:
        yield f"the map is made, but not its report: {error}"
    except Exception as error:
        yield f"the map is made, but not its report: {work.request.report}: {type(error).__name__}: {error}"


def _files(request: MapRequest) -> list[Path]:
    """Every file of the map: its rasters, what stands beside each, and its report."""
    sidecars = [path for name, raster in request.outputs.items() for path in beside(raster, name).values()]
    return [*request.targets, *sidecars]


def _claim(request: MapRequest, stack: ExitStack) -> None:
    """Takes the outputs for this job alone, once they are sure to be names that files can get."""
    for target in request.targets:
        check_target(target)
    paths = _files(request)
    twice = sorted({str(path) for path in paths if paths.count(path) > 1})
    if twice:
        raise OutputError(f"{twice[0]}: two outputs would be this file; give them names of their own")
    for target in sorted(request.targets):
        stack.enter_context(Lock(target, request.steal))
    for path in paths:
        remove_leavings(path)


def _fullest(request: MapRequest, model: Model) -> Scenario:
    """The fullest scenario that the sources allow."""
    return Scenario(tuple(name in request.sources for name in model.names))


def _spool(request: MapRequest, inputs: Inputs, outputs: MapOutputs, laid: MapPlan) -> Spool:
    """The folder of the map in the making; refuses to begin where a finished map lies that is to stay."""
    folder = part_folder(request.output)
    wanted, found = job_hash(laid.job), Spool.found(folder)
    if found is not None and (
        request.unfinished == "discard" or (request.unfinished == "replace" and found[0] != wanted)
    ):
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be removed: {error}") from error
        found = None
    if not request.overwrite and not (found is not None and found[0] == wanted and Spool.published(folder)):
        for path in (*request.outputs.values(), *standing(request)):
            if path.exists():
                raise OutputError(f"{path}: is there already; name another output, or write over it with --overwrite")
    grid, window = inputs.grid, inputs.window
    return Spool(
        folder,
        laid.job,
        outputs.layers,
        grid.height,
        grid.width,
        parts=[strip.part.shifted(-window.row, -window.col) for strip in laid.strips],
        panel=laid.panel,
        border=(len(outputs.legend.classes), laid.tiles.tile, laid.tiles.overlap),
    )


def _run(work: _Work) -> None:
    """Maps what the spool lacks."""
    request, inputs, laid, sessions, spool = work.request, work.inputs, work.laid, work.sessions, work.spool
    listener = work.listener
    model, cpu, done = inputs.model, sessions.device == "cpu", spool.done
    sizes = estimate(
        sessions,
        _fullest(request, model),
        laid.tiles.tile,
        sum(len(strip.cols) for strip in laid.strips[done:]),
        request.threads or (usable_processors() if cpu else 2 * BATCH),
        batch=1 if cpu else BATCH,
        fixed=laid.memory,
        occurring=work.scenarios,
        most=None if request.memory is None else int(request.memory * 1e9),
    )
    sessions.kept = sizes.sessions
    listener.expected(sizes)
    interest, classes = inputs.interest, work.outputs.legend
    run: Predictor = sessions.probabilities if cpu else Batches(sessions.probabilities, BATCH)
    blocks = map_blocks(
        modalities=model.modalities,
        readers=inputs.readers,
        plan=laid.tiles,
        window=inputs.window,
        classes=len(classes.classes),
        predict=lambda scenario, values: classes.summed(run(scenario, values)),
        strips=laid.strips,
        borders=spool,
        done=done,
        threads=sizes.threads,
        seam=request.seam,
        outside=None if interest is None else lambda place: ~interest.read(place),
        probabilities=request.probabilities is not None,
        origins=request.origin is not None,
        order=sessions.order,
        progress=listener.progress,
        cancelled=listener.cancelled,
        stop=sessions.stop,
    )
    with closing(blocks):
        work.outputs.collect(blocks, inputs.window, spool, [len(strip.cols) for strip in laid.strips[done:]])


def _compared(work: _Work) -> list[Compared]:
    """How the values of the whole map compare with the training's."""
    return [
        Compared(compare(work.outputs.seen(work.spool, one), one), tuple(work.request.sources[one.name]))
        for one in work.inputs.model.modalities
        if one.name in work.request.sources
    ]


def _unseen(request: MapRequest, shares: Mapping[str, float]) -> list[str]:
    return [
        f"{name}: is valid on no pixel of the map; check where it lies, its nodata and masks"
        for name in request.sources
        if not any(name in label.split("+") for label in shares)
    ]


def _shares(counts: Mapping[int, float], names: tuple[str, ...], pixels: int) -> dict[str, float]:
    ordered = sorted(counts, key=lambda bits: (-counts[bits], bits))
    return {
        from_bits(bits, len(names)).label(names) if bits else "no sensor": counts[bits] / pixels for bits in ordered
    }
