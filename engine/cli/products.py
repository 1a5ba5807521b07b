"""The tasks of `engine job` that make something of class maps, and that of many scenes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from engine.errors import InputError
from engine.products.outputs import Listener

if TYPE_CHECKING:
    from engine.cli.job import Channel, Job, Stop

_Options = TypeVar("_Options", bound=BaseModel)


def read_options(kind: type[_Options], content: dict[str, Any]) -> _Options:
    """Options of a job.

    Raises:
        InputError: If one is missing, unknown or impossible.
    """
    try:
        return kind.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        problems = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors(include_input=False)]
        said = "; ".join(f"{where}: {what}" for where, what in problems[:5])
        raise InputError(f"the request cannot be done: {said}") from error


def _listener(channel: Channel, stop: Stop) -> Listener:
    from engine.cli.job import throttled

    return Listener(
        warned=lambda text: channel.send("warning", text=text),
        progress=throttled(lambda share: channel.send("progress", share=share)),
        cancelled=stop.asked.is_set,
    )


def polygonize_task(job: Job, channel: Channel, stop: Stop) -> dict[str, Any]:
    """Task ``polygonize``."""
    from engine.products.polygonize import PolygonizeOptions, polygonize

    options = read_options(PolygonizeOptions, job.options)
    stop.outputs.append(options.output)
    return asdict(polygonize(options, _listener(channel, stop)))


def statistics_task(job: Job, channel: Channel, stop: Stop) -> dict[str, Any]:
    """Task ``statistics``."""
    from engine.products.statistics import StatisticsOptions, statistics

    options = read_options(StatisticsOptions, job.options)
    stop.outputs.append(options.output)
    found = asdict(statistics(options, _listener(channel, stop)))
    del found["rows"]  # they are in the table
    return found


def change_task(job: Job, channel: Channel, stop: Stop) -> dict[str, Any]:
    """Task ``change``."""
    from engine.products.change import ChangeOptions, change

    options = read_options(ChangeOptions, job.options)
    stop.outputs += [options.output, options.table]
    found = asdict(change(options, _listener(channel, stop)))
    del found["rows"]
    return found


def mapfolder_task(job: Job, channel: Channel, stop: Stop) -> dict[str, Any]:
    """Task ``mapfolder``."""
    from engine.mapping import predict
    from engine.mapping.folder import FolderOptions, map_folder
    from engine.model.file import Model

    options = read_options(FolderOptions, job.options)
    heard = _listener(channel, stop)
    listener = predict.Listener(warned=heard.warned, progress=heard.progress, cancelled=heard.cancelled)
    found = map_folder(Model(Path(job.model)), options, listener, lambda text: channel.send("info", text=text))
    return {"scenes": [asdict(one) | {"path": str(one.path)} for one in found]}
