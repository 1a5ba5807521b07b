"""Models of `transformers` and files beside them, out of a folder or from the hub.

Whatever goes wrong is a :class:`~engine.errors.TextEncoderError` that names the model.
"""

from __future__ import annotations

import json
import logging
import pickle  # nosec B403
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from engine.errors import TextEncoderError
from engine.language.options import ModelOptions, is_folder

_T = TypeVar("_T")


def had(name: str, load: Callable[[], _T]) -> _T:
    """What ``load`` gives, quietly.

    Raises:
        TextEncoderError: If that is an error; of a model on the hub the message says how else to come by it.
    """
    try:
        with _quietly():
            return load()
    except pickle.UnpicklingError as error:  # of PyTorch, which reads weights alone
        raise TextEncoderError(f"{name}: its file of weights holds something else too, or is damaged") from error
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if not is_folder(name):
            reason += (
                "\nGive model a folder that holds it. Without internet, fetch it on another machine (hf download "
                f"{name} --local-dir FOLDER), or use the encoder minilm, or vectors that were made elsewhere"
            )
        raise TextEncoderError(f"{name}: cannot be loaded: {reason}") from error


def find(options: ModelOptions, folder: str, file: str, *, needed: bool = True) -> Path | None:
    """A file of a model; None where it may be missing and is."""
    path = f"{folder}/{file}" if folder else file
    source = {"revision": options.revision, "_raise_exceptions_for_missing_entries": needed}
    found = had(options.model, lambda: cached_file(options.model, path, **source))
    return None if found is None else Path(found)


def read_json(options: ModelOptions, folder: str, file: str, *, needed: bool = True) -> Any:  # noqa: ANN401
    """What stands in a file of a model; nothing where it may be missing and is."""
    found = find(options, folder, file, needed=needed)
    return {} if found is None else had(options.model, lambda: json.loads(found.read_text(encoding="utf-8")))


def load_tokenizer(name: str, **source: object) -> Any:  # noqa: ANN401 (transformers gives one of many classes)
    """The tokenizer of a model."""
    return had(name, lambda: cast(Any, AutoTokenizer).from_pretrained(name, **source))


def load_model(name: str, kind: type, unused: tuple[str, ...] = (), **source: object) -> Any:  # noqa: ANN401
    """A model none of whose weights were drawn at random for want of others, but for those that go ``unused``."""
    load = cast(Any, kind).from_pretrained
    how = {"dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True}
    model, found = had(name, lambda: load(name, **source, **how))
    others = sorted(one for one in found["mismatched_keys"] if not one[0].startswith(unused))
    if others:
        key, there, wanted = others[0]
        raise TextEncoderError(
            f"{name}: {key}: its weights are of shape {list(there)}; expected {list(wanted)} by its config.json: the "
            "two do not belong together"
        )
    missing = sorted(key for key in found["missing_keys"] if not key.startswith(unused))
    if missing:
        raise TextEncoderError(
            f"{name}: lacks {len(missing)} weights of a {type(model).__name__}, as {missing[0]}: it is another model"
        )
    return model.eval().requires_grad_(False)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps `transformers` from drawing a bar and the hub's client from telling of each try: errors say it all."""
    shown = transformers_logging.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
