"""Which layer is which modality, as one line of text: ``modality=layer[@bands];...``.

A layer's name stands in double quotes where it holds a sign that stands for something here; a quote in it is doubled:
``optical="May; north"@3,2,1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from engine.errors import EngineError, ModalityError, RasterReadError
from engine.model.file import Model
from engine.raster.pools import Layer
from engine.raster.sources import SourceSpec, open_source

_PART = re.compile(r'(?:[^;"]|"(?:[^"]|"")*"|")+')
_QUOTED = re.compile(r'"(?P<name>(?:[^"]|"")+)"(?P<rest>[^"]*)')


def assign(model: Model, text: str, layers: Sequence[Layer]) -> dict[str, list[SourceSpec]]:
    """Reads an assignment.

    Args:
        model: The model.
        text: Layers stand by their names or paths; a modality that comes again adds its bands behind those before.
        layers: The layers that can be named; others are taken as paths.

    Raises:
        ModalityError: If a part is not of that form, or a modality is unknown.
        RasterReadError: If a layer is unknown and is no path either.
    """
    known = {layer.name: layer.spec for layer in layers}
    found: dict[str, list[SourceSpec]] = {}
    for part in _parts(text):
        name, equals, written = (piece.strip() for piece in part.partition("="))
        if not (name and equals and written):
            raise ModalityError(f"assignment {part!r}: expected modality=layer or modality=layer@1,2")
        if name not in model.names:
            raise ModalityError(
                f"assignment {part!r}: the model has no modality {name}; it has {', '.join(model.names)}"
            )
        found.setdefault(name, []).append(_named(written, known, part))
    if not found:
        raise ModalityError(f"assignment {text!r}: names no modality; write modality=layer;...")
    return found


def assigned(
    model: Model, text: str, layers: Sequence[Layer], sensors: Sequence[Layer | None]
) -> dict[str, list[SourceSpec]]:
    """Reads an assignment, and adds what is named by the place of the sensor in the model.

    Args:
        model: The model.
        text: See :func:`assign`; empty: nothing.
        layers: The layers that can be named.
        sensors: The layer of the first sensor, of the second one and so on; None where none is named.

    Raises:
        ModalityError: If there are more than the model has, or one is named twice; else as :func:`assign`.
    """
    found = assign(model, text, layers) if text.strip() else {}
    for number, layer in enumerate(sensors, 1):
        if layer is None:
            continue
        if number > len(model.names):
            raise ModalityError(
                f"a layer is named for sensor {number} ({layer.name}); the model has {len(model.names)}: "
                f"{', '.join(model.names)}"
            )
        name = model.names[number - 1]
        if name in found:
            raise ModalityError(f"{name} is named in the assignment and as sensor {number}: name it once")
        found[name] = [layer.spec]
    return found


def _parts(text: str) -> Iterator[str]:
    return filter(None, (part.strip() for part in _PART.findall(text)))


def _named(written: str, known: Mapping[str, SourceSpec], part: str) -> SourceSpec:
    if written in known:
        return known[written]
    found = _QUOTED.fullmatch(written)
    if found is not None:
        name = found["name"].replace('""', '"')
        spec = replace(SourceSpec.parse(f"layer{found['rest']}"), path=name)
    else:
        spec = SourceSpec.parse(written)
    if spec.path in known:
        plain = replace(spec, path=known[spec.path].path)
        return known[spec.path] if plain == SourceSpec(plain.path) else plain
    try:
        open_source(spec).close()
    except EngineError as error:
        names = ", ".join(known) or "none"
        raise RasterReadError(
            f"assignment {part!r}: {spec.path} is neither a layer ({names}) nor a raster: {error}"
        ) from error
    return spec


def quoted(name: str) -> str:
    """A layer's name as an assignment holds it."""
    return name if set('";=@:').isdisjoint(name) else '"' + name.replace('"', '""') + '"'
