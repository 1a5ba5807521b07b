"""Whether a model's document makes sense, and whether its graph is the one that it speaks of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx

from engine.model.document import AVAILABILITY, BandFacts, ModalityFacts, ModelMetadata
from engine.names import shown, steering

LARGEST_TILE = 8192
"""Pixels along a tile; one of a class and a byte has 64 MB then."""

SEAMS = ("crossfade", "crop")

_LENGTHS = (1e-12, 1e12)
"""Limits of a pixel's size, in any unit."""

_SLACK = 1e-4
"""By which a mean may leave the range of its values, relative to them: it was rounded otherwise."""

_FLOAT = onnx.TensorProto.FLOAT
_KINDS = {
    "uint8": onnx.TensorProto.UINT8,
    "int16": onnx.TensorProto.INT16,
    "uint16": onnx.TensorProto.UINT16,
    "int32": onnx.TensorProto.INT32,
    "float32": _FLOAT,
}


def document_faults(metadata: ModelMetadata) -> Iterator[str]:
    """What in a document would make wrong maps or mislead who reads it.

    Classes or bands of one name, and names that are empty, are no fault here: older recipes allowed them, and it is
    values of classes and places of bands that a map depends on. A recipe of today has none.
    """
    for key, name in _names(metadata):
        character = steering(name)
        if character:
            yield f"{key}: {shown(name)} has the character {character}, which no name may have"
    values = [item.value for item in metadata.classes]
    if len(set(values)) < len(values):
        yield f"classes: the value {next(one for one in values if values.count(one) > 1)} stands there twice"
    if metadata.tile > LARGEST_TILE:
        yield f"tile: {metadata.tile} pixels are more than {LARGEST_TILE}"
    if 4 * metadata.halo > metadata.tile:
        yield f"halo: {metadata.halo} is more than a quarter of the tile of {metadata.tile}"
    if metadata.seam not in SEAMS:
        yield f"seam: {shown(metadata.seam)} is none of {', '.join(SEAMS)}"
    for number, one in enumerate(metadata.accuracy):
        for key, many in (("classes", one.classes), ("class_intervals", one.class_intervals)):
            if many is not None and len(many) != len(metadata.classes):
                yield f"accuracy.{number}.{key}: {len(many)} figures of {len(metadata.classes)} classes"
    size = metadata.pixel_size
    for key, length in (("x", size.x), ("y", size.y), ("metres", size.metres)):
        if length is not None and not _LENGTHS[0] <= length <= _LENGTHS[1]:
            yield f"pixel_size.{key}: {length:g} is no size of a pixel"
    if metadata.training.area is not None:
        west, south, east, north = metadata.training.area
        if not -90 <= south <= north <= 90 or max(abs(west), abs(east)) > 360:
            yield f"training.area: {metadata.training.area} are no degrees west, south, east and north"
    for number, modality in enumerate(metadata.modalities):
        for place, band in enumerate(modality.bands):
            yield from (f"modalities.{number}.bands.{place}: {fault}" for fault in _band_faults(modality, band))


def _names(metadata: ModelMetadata) -> Iterator[tuple[str, str]]:
    yield "name", metadata.name
    for number, modality in enumerate(metadata.modalities):
        yield f"modalities.{number}.name", modality.name
        yield f"modalities.{number}.unit", modality.unit
        for place, band in enumerate(modality.bands):
            yield f"modalities.{number}.bands.{place}.name", band.name
    for number, item in enumerate(metadata.classes):
        yield f"classes.{number}.name", item.name


def _band_faults(modality: ModalityFacts, band: BandFacts) -> Iterator[str]:
    slack = _SLACK * max(abs(band.minimum), abs(band.maximum))
    if not band.minimum - slack <= band.mean <= band.maximum + slack:
        yield f"a mean of {band.mean:g} is not within {band.minimum:g} and {band.maximum:g}"
    if band.std < 0:
        yield f"a deviation of {band.std:g} is negative"
    if band.scale == 0:
        yield "a scale of 0 leaves nothing of its values"
    if modality.dtype in _KINDS:
        limits = np.iinfo(modality.dtype) if np.issubdtype(modality.dtype, np.integer) else np.finfo(modality.dtype)
        if not limits.min <= round(band.mean) <= limits.max:
            yield f"a mean of {band.mean:g} does not fit {modality.dtype}"


def graph_faults(graph: onnx.GraphProto, metadata: ModelMetadata) -> Iterator[str]:
    """In what inputs and outputs differ from those that the document promises; sizes may be free."""
    count = len(metadata.modalities)
    wanted = {item.name: f"{item.dtype} of {len(item.bands)} bands" for item in metadata.modalities}
    wanted[AVAILABILITY] = f"bool of {count} modalities"
    found = {item.name: _described(item) for item in graph.input}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            yield (
                f"input {shown(name)} is {wanted.get(name, 'absent')} in the metadata and "
                f"{found.get(name, 'absent')} in the graph"
            )
    tile, classes = metadata.tile, len(metadata.classes)
    shapes: dict[str, Sequence[int]] = {item.name: (0, len(item.bands), tile, tile) for item in metadata.modalities}
    shapes |= {AVAILABILITY: (count,)}
    for item in graph.input:
        if item.name in shapes:
            yield from _shape_faults("input", item, shapes[item.name])
    outputs = {item.name: item for item in graph.output}
    for name, kind in (
        ("classes", onnx.TensorProto.UINT8 if classes <= 256 else onnx.TensorProto.UINT16),
        ("confidence", onnx.TensorProto.UINT8),
        ("probabilities", _FLOAT),
        ("logits", _FLOAT),
    ):
        if name not in outputs:
            yield f"the graph has no output {name}"
            continue
        item = outputs[name]
        own = item.type.tensor_type.elem_type
        if own != kind and not (name == "classes" and own == onnx.TensorProto.UINT16):
            yield f"output {name} is {_kind(own)}, not {_kind(kind)}"
        yield from _shape_faults("output", item, (0, classes, tile, tile) if kind == _FLOAT else (0, tile, tile))


def _kind(number: int) -> str:
    known = number in onnx.TensorProto.DataType.values()
    name: str = onnx.TensorProto.DataType.Name(number).lower() if known else f"of an unknown type ({number})"
    return "float32" if name == "float" else name


def _sizes(item: onnx.ValueInfoProto) -> list[int]:
    return [size.dim_value for size in item.type.tensor_type.shape.dim]


def _described(item: onnx.ValueInfoProto) -> str:
    axis, what = (0, "modalities") if item.name == AVAILABILITY else (1, "bands")
    sizes = _sizes(item)
    return f"{_kind(item.type.tensor_type.elem_type)} of {sizes[axis] if len(sizes) > axis else 0} {what}"


def _shape_faults(what: str, item: onnx.ValueInfoProto, wanted: Sequence[int]) -> Iterator[str]:
    """Where a shape differs; the first size of images is their batch, which is free, or one at a time."""
    found = _sizes(item)
    fits = len(found) == len(wanted) and all(
        own in ((0, 1) if not size else (0, size)) for own, size in zip(found, wanted, strict=True)
    )
    if not fits:
        sizes = [" x ".join(str(size) if size else "?" for size in shape) for shape in (found, wanted)]
        yield f"{what} {shown(item.name)} is {sizes[0] or 'of no shape'} in the graph, {sizes[1]} in the metadata"
