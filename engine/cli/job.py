"""`engine job`: one job as a line of JSON on stdin, events as lines of JSON on stdout; what the QGIS plugin talks to.

Events: ``hello`` (versions), ``progress`` (``share`` 0-1), ``info`` and ``warning`` (``text``), and at the end
``result`` or ``error`` (``kind``, ``text``). The job is given up when stdin ends, the cancel file appears, or a signal
asks for it: within a second the process is gone, and nothing stands under the map's name.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import engine
from engine.errors import Cancelled, EngineError, InputError, ModalityError, is_missing
from engine.files import remove_leavings
from engine.locks import HELD
from engine.said import Said, document

if TYPE_CHECKING:
    from engine.mapping.matching import Matching
    from engine.mapping.predict import Summary
    from engine.modality import Modality
    from engine.model.file import Model
    from engine.raster.pools import Layer
    from engine.raster.sources import SourceSpec

PROTOCOL = 3
"""Version of the conversation; the plugin names the one that it speaks."""

LONGEST = 16_000_000
"""Bytes of a job at the most."""

WITHOUT_MODEL = ("polygonize", "statistics", "change")
"""Tasks that work on class maps."""

PATIENCE = 0.6
"""Seconds that a cancelled job has to end by itself."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class LayerJob(_Strict):
    """A raster by the name that its user knows it by."""

    name: str
    path: str = Field(min_length=1)
    bands: list[str] = []


class Job(_Strict):
    """What to do.

    Args:
        task: ``describe`` the model, write its ``card``, ``match`` the layers, ``segment``, or what
            :mod:`~engine.cli.products` does.
        model: The ``.onnx`` file; tasks on class maps need none.
        layers: Rasters to choose from; matched with the model's modalities where there is no assignment.
        assignment: ``modality=layer[@bands];...``.
        sensors: The layer of the model's first sensor, of its second one and so on; None where it is missing.
        insist: Whether a layer that no sensor takes is worth a warning, or an error where options are ``strict``.
        options: Those of a :class:`~engine.mapping.request.MapOptions`: output, bounds, masks and all; of a card the
            output alone, of other tasks their own.
        keep: Whether a cancel keeps what is finished of the map, in ``<output>.part/``; a job like it goes on there.
        cancel: A file whose appearance cancels the job.
    """

    protocol: int
    task: Literal["describe", "card", "match", "segment", "mapfolder", "polygonize", "statistics", "change"]
    model: str = ""
    layers: list[LayerJob] = []
    assignment: str = ""
    sensors: list[LayerJob | None] = []
    insist: bool = False
    options: dict[str, Any] = {}
    keep: bool = True
    cancel: str | None = None


class Channel:
    """Events to the host. Whatever else writes to stdout goes to stderr, so that every line is an event."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, event: str, **content: Any) -> None:  # noqa: ANN401 (JSON)
        """Writes one event."""
        said = {key: document(one) for key, one in content.items() if isinstance(one, Said)}
        line = json.dumps({"event": event, **content, **({"said": said} if said else {})}) + "\n"
        with self._lock:
            os.write(self._descriptor, line.encode())


@dataclass
class Stop:
    """Watches for what cancels a job; ends the process where the job itself does not.

    Args:
        outputs: Rasters and reports whose temporary files are removed then.
        unfinished: The folder of the map in the making, where that is removed too.
    """

    outputs: list[Path] = field(default_factory=list)
    unfinished: Path | None = None
    asked: threading.Event = field(default_factory=threading.Event)

    def watch(self, cancel: str | None) -> None:
        """Starts to watch stdin, signals and the cancel file."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.asked.set())
        threading.Thread(target=self._watch_stdin, daemon=True).start()
        if cancel is not None:
            threading.Thread(target=self._watch_file, args=(Path(cancel),), daemon=True).start()
        threading.Thread(target=self._end, daemon=True).start()

    def _watch_stdin(self) -> None:
        while os.read(0, 4096):
            pass
        self.asked.set()

    def _watch_file(self, path: Path) -> None:
        while not path.exists():
            time.sleep(0.1)
        self.asked.set()

    def _end(self) -> None:
        self.asked.wait()
        time.sleep(PATIENCE)
        for path in self.outputs:
            remove_leavings(path)
        if self.unfinished is not None:
            shutil.rmtree(self.unfinished, ignore_errors=True)
        for lock in list(HELD):
            lock.release()
        os._exit(130)


def _first_line() -> bytes:
    """The first line of stdin, in pieces; what follows it is of no one's interest."""
    line = bytearray()
    while b"\n" not in line and (piece := os.read(0, 1 << 16)):
        line += piece
        if len(line) > LONGEST:
            raise InputError(f"the job is longer than {LONGEST // 1_000_000} MB; it must be one line of JSON")
    return bytes(line.partition(b"\n")[0])


def _parsed(line: bytes) -> Job:
    try:
        content = json.loads(line or b"null")
        if not isinstance(content, dict):
            raise InputError("the job cannot be read: expected one line that holds a JSON object")
        protocol = content.get("protocol")
        if protocol != PROTOCOL or isinstance(protocol, bool):
            raise InputError(
                f"this engine ({engine.__version__}) speaks version {PROTOCOL} of the job protocol, the job version "
                f"{str(protocol)[:20]}; update the plugin and robust-landcover to the same release"
            )
        job = Job.model_validate_json(line)
    except ValidationError as error:
        raise InputError(f"the job cannot be read: {_explained(error)}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"the job cannot be read: it is no JSON: {str(error)[:200]}") from error
    if not job.model and job.task not in WITHOUT_MODEL:
        raise InputError(f"the job cannot be read: model: the task {job.task} needs one; name an .onnx file")
    for text in _texts(content):
        if "\0" in text:
            raise InputError(f"the job cannot be read: {text[:40]!r} holds a NUL character")
    return job


def _explained(error: ValidationError) -> str:
    problems = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors(include_input=False)]
    return "; ".join(f"{where}: {what}" for where, what in problems[:5])


def _texts(content: object) -> Iterator[str]:
    """Every text in a JSON document."""
    pending = [content]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            pending += [*one, *one.values()]
        elif isinstance(one, list):
            pending += one


@click.command("job")
def command() -> None:
    """Do one job for another program: JSON on stdin, events as JSON lines on stdout."""
    channel = Channel()
    try:
        channel.send("hello", **_versions())
        job = _parsed(_first_line())
        stop = Stop()
        stop.watch(job.cancel)
        channel.send("result", **_TASKS[job.task](job, channel, stop))
    except ModuleNotFoundError as error:
        status = 1
        channel.send("error", kind="ModuleNotFoundError", text=is_missing(error.name or "a library"))
    except EngineError as error:
        status = 130 if isinstance(error, Cancelled) else error.exit_status
        text = error.args[0] if error.args and isinstance(error.args[0], Said) else str(error)
        channel.send("error", kind=type(error).__name__, text=text)
    except Exception as error:
        status = 1
        traceback.print_exc()
        channel.send("error", kind=type(error).__name__, text=f"unexpected {type(error).__name__}: {error}")
    else:
        return
    sys.exit(status)


def _versions() -> dict[str, Any]:
    """Of the engine and of what it runs on; empty for what is not installed."""
    found: dict[str, Any] = {"protocol": PROTOCOL, "engine": engine.__version__, "python": platform.python_version()}
    found |= {"gdal": "", "onnxruntime": "", "providers": []}
    with suppress(ImportError):
        import rasterio

        found["gdal"] = rasterio.__gdal_version__
    with suppress(ImportError):
        import onnxruntime

        found |= {"onnxruntime": onnxruntime.__version__, "providers": onnxruntime.get_available_providers()}
    return found


def _describe(job: Job, _channel: Channel, _stop: Stop) -> dict[str, Any]:
    from engine.model.file import Model

    model = Model(Path(job.model))
    metadata = model.metadata.model_dump(mode="json")
    metadata["pixel_size"]["metres"] = model.metres  # models of before do not hold it
    return {"metadata": metadata}


def _card(job: Job, _channel: Channel, _stop: Stop) -> dict[str, Any]:
    from engine.mapping.request import map_options
    from engine.model.file import Model
    from engine.report.card import write_card

    model = Model(Path(job.model))
    write_card(model, map_options(json.dumps(job.options)).output)
    return {"model": model.metadata.name, "sensors": list(model.names), "classes": len(model.classes)}


def _match(job: Job, channel: Channel, _stop: Stop) -> dict[str, Any]:
    from engine.cli.match import described
    from engine.mapping.matching import match
    from engine.model.file import Model

    model = Model(Path(job.model))
    found = match(model, _layers(job.layers))
    for line in described(found):
        channel.send("info", text=line)
    return {
        "assignment": ";".join(found.chosen[name].assignment for name in model.names if name in found.chosen),
        "scenario": found.scenario,
        "missing": dict(found.missing),
        "tied": {name: [one.assignment for one in many] for name, many in found.tied.items()},
        "asked": {name: [one.assignment for one in many] for name, many in found.asked.items()},
        "unused": dict(found.unused),
        "sensors": [_sensor(found, modality) for modality in model.modalities],
        "accuracy": [one.model_dump() for one in model.metadata.accuracy],
        "weak": [name for name, one in model.metadata.expected.items() if model.metadata.is_weak(one.miou)],
        "guess": model.metadata.guess,
        "classes": [item.name for item in model.classes],
    }


def _layers(layers: Sequence[LayerJob]) -> list[Layer]:
    from engine.raster.pools import Layer
    from engine.raster.sources import SourceSpec

    return [Layer(one.name, SourceSpec(one.path, tuple(one.bands))) for one in layers]


def _sensor(found: Matching, modality: Modality) -> dict[str, Any]:
    """What a form shows of a sensor: its bands, and what could serve it, the best first."""
    from engine.mapping.matching import looked_for

    name = modality.name
    chosen = found.chosen.get(name)
    candidates = (*found.tied.get(name, ()), *found.asked.get(name, ())) if chosen is None else (chosen,)
    state = "sure" if chosen is not None else "open" if candidates else "missing"
    return {
        "name": name,
        "bands": list(modality.bands),
        "wanted": document(looked_for(modality)),
        "state": state,
        "candidates": [
            {
                "assignment": one.assignment,
                "layers": [{"name": part.layer.name, "bands": list(part.bands)} for part in one.parts],
                "reasons": document(list(one.reasons)),
                "warnings": list(one.warnings),
                "metres": None if one.grid.crs is None else one.grid.metres,
            }
            for one in candidates
        ],
    }


def _segment(job: Job, channel: Channel, stop: Stop) -> dict[str, Any]:
    from engine.cli.match import described
    from engine.mapping.assignment import assigned
    from engine.mapping.matching import match
    from engine.mapping.plan import part_folder
    from engine.mapping.predict import Listener, predict
    from engine.mapping.request import MapRequest, command_line, map_options
    from engine.model.file import Model
    from engine.runtime.sizing import said

    options = map_options(json.dumps({"unfinished": "replace", **job.options}))
    model = Model(Path(job.model))
    layers = _layers(job.layers)
    if job.assignment.strip() or any(job.sensors):
        sources = assigned(model, job.assignment, layers, [_layers([one])[0] if one else None for one in job.sensors])
        unused = {one.name: "the assignment does not name it" for one in layers if not _is_used(one, sources)}
    else:
        found = match(model, layers)
        for line in described(found):
            channel.send("info", text=line)
        sources, unused = found.sources, dict(found.unused)
    for name, why in unused.items() if job.insist else ():
        if options.strict:
            unwanted = Said("{name} was chosen and is not used: {why}. Leave it out, or assign it", name=name, why=why)
            raise ModalityError(unwanted)
        channel.send("warning", text=Said("{name} was chosen and is not used: {why}", name=name, why=why))
    request = MapRequest(
        model=model.path, sources={name: tuple(many) for name, many in sources.items()}, **dict(options)
    )
    channel.send("command", text=command_line(request))
    stop.outputs += request.targets
    stop.unfinished = None if job.keep else part_folder(request.output)
    early: list[str] = []

    def warned(text: str) -> None:
        early.append(text)
        channel.send("warning", text=text)

    summary = predict(
        request,
        Listener(
            warned=warned,
            expected=lambda found: channel.send("info", text=said(found)),
            progress=throttled(lambda share: channel.send("progress", share=share)),
            cancelled=stop.asked.is_set,
        ),
        keep=job.keep,
    )
    for text in summary.notes:
        channel.send("info", text=text)
    for text in summary.warnings:
        if text not in early:
            channel.send("warning", text=text)
    return _map_facts(summary, model, [name for name in model.names if name in sources])


def _is_used(layer: Layer, sources: Mapping[str, Sequence[SourceSpec]]) -> bool:
    return any(spec.path == layer.spec.path for many in sources.values() for spec in many)


def _map_facts(summary: Summary, model: Model, present: Sequence[str]) -> dict[str, Any]:
    """What is said of a finished map."""
    metadata = model.metadata
    return {
        "scenario": "+".join(present),
        "shares": summary.shares,
        "areas": summary.areas,
        "mapped": summary.mapped,
        "left": dict(summary.left),
        "device": summary.device,
        "seconds": summary.seconds,
        "resumed": summary.resumed,
        "width": summary.grid.width,
        "height": summary.grid.height,
        "model": metadata.name,
        "accuracy": {name: one.miou for name, one in metadata.expected.items()},
        "weak": [name for name, one in metadata.expected.items() if metadata.is_weak(one.miou)],
        "classes": [item.name for item in metadata.classes],
        "class_accuracy": {name: one.classes for name, one in metadata.expected.items()},
        "guess": metadata.guess,
    }


def throttled(tell: Callable[[float], None], step: float = 0.005) -> Callable[[float], None]:
    """Tells of progress only when a share of ``step`` more is done."""
    told = [-1.0]

    def progress(share: float) -> None:
        if share - told[0] >= step or share >= 1:
            told[0] = share
            tell(share)

    return progress


def _product(job: Job, channel: Channel, stop: Stop) -> dict[str, Any]:
    from engine.cli import products

    task: _Task = getattr(products, f"{job.task}_task")
    return task(job, channel, stop)


_Task = Callable[[Job, Channel, Stop], dict[str, Any]]

_TASKS: dict[str, _Task] = {
    "describe": _describe,
    "card": _card,
    "match": _match,
    "segment": _segment,
    **dict.fromkeys(("mapfolder", "polygonize", "statistics", "change"), _product),
}
