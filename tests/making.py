"""Maps made for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from engine.mapping.predict import Listener, Summary, predict
from engine.mapping.request import map_request


def make_map(model: Path, sources: Mapping[str, Sequence[object]], output: Path, **options: object) -> Summary:
    """What `predict` does with options of a request, of its listener and of its own; older maps are written over."""
    heard = {field.name: options.pop(field.name) for field in fields(Listener) if field.name in options}
    keep = bool(options.pop("keep", True))
    request = map_request(**{"model": model, "sources": sources, "output": output, "overwrite": True, **options})
    return predict(request, Listener(**heard), keep=keep)  # type: ignore[arg-type]
