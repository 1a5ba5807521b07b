"""`engine job`: one job as a line of JSON on stdin, events as lines of JSON on stdout; what the QGIS plugin talks to.

Events: ``hello`` (versions), ``progress`` (``share`` 0-1), ``info`` and ``warning`` (``text``), and at the end
``result`` or ``error`` (``kind``, ``text``). The job is given up when stdin ends, the cancel file appears, or a signal
asks for it: within a second the process is gone, and nothing stands under the map's name.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import click
from pydantic import BaseModel, ConfigDict, ValidationError

import engine
from engine.errors import Cancelled, EngineError, InputError

PROTOCOL = 1
"""Version of the conversation; the plugin names the one that it speaks."""

PATIENCE = 0.6
"""Seconds that a cancelled job has to end by itself."""


class LayerJob(BaseModel):
    """A raster by the name that its user knows it by."""

    model_config = ConfigDict(extra="forbid")

    name: str
    path: str
    bands: tuple[str, ...] = ()


class Job(BaseModel):
    """What to do.

    Args:
        task: ``describe`` the model, ``match`` the layers, or ``segment``.
        layers: Rasters to choose from; matched with the model's modalities where there is no assignment.
        assignment: ``modality=layer[@bands];...``.
        bounds: Left, bottom, right, top of the part to map, in ``bounds_crs``.
        mosaic: Which of several rasters of the same bands comes first.
        keep: Whether a cancel keeps what is finished of the map, in ``<output>.part/``; a job like it goes on there.
        strict: Refuse values that are not those of the training, instead of warning.
        cancel: A file whose appearance cancels the job.
    """

    model_config = ConfigDict(extra="forbid")

    protocol: int
    task: Literal["describe", "match", "segment"]
    model: Path
    layers: tuple[LayerJob, ...] = ()
    assignment: str = ""
    bounds: tuple[float, float, float, float] | None = None
    bounds_crs: str | None = None
    device: str = "auto"
    output: Path | None = None
    confidence: Path | None = None
    availability: Path | None = None
    origin: Path | None = None
    mosaic: Literal["given", "finest", "newest"] = "given"
    keep: bool = True
    strict: bool = False
    cancel: Path | None = None


class Channel:
    """Events to the host. Whatever else writes to stdout goes to stderr, so that every line is an event."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, event: str, **content: Any) -> None:  # noqa: ANN401 (JSON)
        """Writes one event."""
        line = json.dumps({"event": event, **content}) + "\n"
        with self._lock:
            os.write(self._descriptor, line.encode())


@dataclass
class Stop:
    """Watches for what cancels a job; ends the process where the job itself does not."""

    leavings: list[Path] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)

    def watch(self, cancel: Path | None) -> None:
        """Starts to watch stdin, signals and the cancel file."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.asked.set())
        threading.Thread(target=self._watch_stdin, daemon=True).start()
        if cancel is not None:
            threading.Thread(target=self._watch_file, args=(cancel,), daemon=True).start()
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
        for path in self.leavings:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        os._exit(130)


def _first_line() -> bytes:
    """The first line of stdin, unbuffered: what follows is for the watcher."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            break
        line += piece
    return bytes(line)


def _parsed(line: bytes) -> Job:
    try:
        content = json.loads(line or b"null")
        protocol = content.get("protocol") if isinstance(content, dict) else None
        if protocol != PROTOCOL:
            raise InputError(
                f"this engine ({engine.__version__}) speaks version {PROTOCOL} of the job protocol, the job version "
                f"{protocol}; update the plugin and robust-landcover to the same release"
            )
        return Job.model_validate(content)
    except (ValueError, ValidationError) as error:
        raise InputError(f"the job cannot be read: {error}") from error


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
    except EngineError as error:
        status = 130 if isinstance(error, Cancelled) else error.exit_status
        channel.send("error", kind=type(error).__name__, text=str(error))
    except Exception as error:
        status = 1
        traceback.print_exc()
        channel.send("error", kind=type(error).__name__, text=f"unexpected {type(error).__name__}: {error}")
    else:
        return
    sys.exit(status)


def _versions() -> dict[str, Any]:
    import onnxruntime
    import rasterio

    return {
        "protocol": PROTOCOL,
        "engine": engine.__version__,
        "python": platform.python_version(),
        "gdal": rasterio.__gdal_version__,
        "onnxruntime": onnxruntime.__version__,
        "providers": onnxruntime.get_available_providers(),
    }


def _describe(job: Job, _channel: Channel, _stop: Stop) -> dict[str, Any]:
    from engine.model.file import Model

    model = Model(job.model)
    metadata = model.metadata.model_dump(mode="json")
    metadata["pixel_size"]["metres"] = model.metres  # models of before do not hold it
    return {"metadata": metadata}


def _match(job: Job, channel: Channel, _stop: Stop) -> dict[str, Any]:
    from engine.cli.match import described
    from engine.mapping.candidates import Layer
    from engine.mapping.matching import match
    from engine.model.file import Model
    from engine.raster.sources import SourceSpec

    layers = [Layer(one.name, SourceSpec(one.path, one.bands)) for one in job.layers]
    found = match(Model(job.model), layers)
    for line in described(found):
        channel.send("info", text=line)
    return {
        "assignment": ";".join(one.assignment for one in found.chosen.values()),
        "scenario": found.scenario,
        "missing": dict(found.missing),
        "tied": {name: [one.assignment for one in many] for name, many in found.tied.items()},
        "asked": {name: [one.assignment for one in many] for name, many in found.asked.items()},
        "unused": dict(found.unused),
    }


def _segment(job: Job, channel: Channel, stop: Stop) -> dict[str, Any]:
    from engine.cli.match import described
    from engine.mapping.candidates import Layer
    from engine.mapping.matching import assign, match
    from engine.mapping.predict import part_folder, predict
    from engine.model.file import Model
    from engine.raster.sources import SourceSpec
    from engine.raster.writing import part_of
    from engine.runtime.sizing import said

    if job.output is None:
        raise InputError("the job names no output")
    model = Model(job.model)
    layers = [Layer(one.name, SourceSpec(one.path, one.bands)) for one in job.layers]
    if job.assignment.strip():
        sources = assign(model, job.assignment, layers)
    else:
        found = match(model, layers)
        for line in described(found):
            channel.send("info", text=line)
        sources = found.sources
    channel.send("command", text=_command_line(job, sources))
    asides = [part_of(path) for path in (job.output, job.confidence, job.availability, job.origin) if path is not None]
    # GDAL's own temporary files beside a COG in the making
    stop.leavings += [path.with_name(path.name + end) for path in asides for end in ("", ".ovr.tmp", ".msk.ovr.tmp")]
    if not job.keep:
        stop.leavings.append(part_folder(job.output))
    early: list[str] = []

    def warned(text: str) -> None:
        early.append(text)
        channel.send("warning", text=text)

    summary = predict(
        job.model,
        sources,
        job.output,
        confidence=job.confidence,
        availability=job.availability,
        origin=job.origin,
        order=job.mosaic,
        bounds=job.bounds,
        bounds_crs=job.bounds_crs,
        device=job.device,
        leftover="replace",
        keep=job.keep,
        strict=job.strict,
        warned=warned,
        expected=lambda found: channel.send("info", text=said(found)),
        progress=_throttled(lambda share: channel.send("progress", share=share)),
        cancelled=stop.asked.is_set,
    )
    for text in summary.notes:
        channel.send("info", text=text)
    for text in summary.warnings:
        if text not in early:
            channel.send("warning", text=text)
    present = [name for name in model.names if name in sources]
    return {
        "scenario": "+".join(present),
        "shares": summary.shares,
        "device": summary.device,
        "seconds": summary.seconds,
        "resumed": summary.resumed,
        "width": summary.grid.width,
        "height": summary.grid.height,
        "model": model.metadata.name,
    }


def _command_line(job: Job, sources: dict[str, Any]) -> str:
    """The same work as a command to copy."""
    words = ["engine", "predict", str(job.model)]
    words += [f"{name}={spec}" for name, many in sources.items() for spec in many]
    words += ["-o", str(job.output)]
    outputs = {"--confidence": job.confidence, "--availability": job.availability, "--origin": job.origin}
    for option, path in outputs.items():
        words += [] if path is None else [option, str(path)]
    words += [] if job.mosaic == "given" else ["--mosaic", job.mosaic]
    if job.bounds is not None:
        words += ["--bounds", *(repr(number) for number in job.bounds)]
        if job.bounds_crs is not None:
            words += ["--bounds-crs", job.bounds_crs]
    words += ["--strict"] if job.strict else []
    return shlex.join([*words, "--device", job.device])


def _throttled(tell: Callable[[float], None], step: float = 0.005) -> Callable[[float], None]:
    """Tells of progress only when a share of ``step`` more is done."""
    told = [-1.0]

    def progress(share: float) -> None:
        if share - told[0] >= step or share >= 1:
            told[0] = share
            tell(share)

    return progress


_TASKS: dict[str, Callable[[Job, Channel, Stop], dict[str, Any]]] = {
    "describe": _describe,
    "match": _match,
    "segment": _segment,
}
