"""The model file: one ONNX graph with its document."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, uses_external_data
from pydantic import BaseModel, ValidationError
from rasterio.crs import CRS
from rasterio.errors import CRSError

from engine.errors import GridError, InputError, ModelError
from engine.ground import Ground, ground_of
from engine.modality import Modality
from engine.model.document import AVAILABILITY, KEY, OUTPUTS, SCHEMA, ModelMetadata


class Model:
    """An opened model: its graph and its document.

    Args:
        path: The ``.onnx`` file.

    Raises:
        ModelError: If it is no ONNX file, has no document or a newer one, its document and graph do not go together,
            or it names weights that are missing or lie outside of its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.proto = _read(self.path)
        self.metadata = _document(self.proto, self.path)
        try:
            self.modalities = self.metadata.modality_values
            self.classes = self.metadata.class_values
        except InputError as error:
            raise ModelError(f"{self.path}: its metadata cannot be used: {error}") from error
        _check_graph(self.proto.graph, self.modalities, self.path)
        self.names = tuple(modality.name for modality in self.modalities)

    @cached_property
    def ground(self) -> Ground | None:
        """Of the CRS of the training pixels; None where they had none.

        Raises:
            ModelError: If the CRS cannot be read.
        """
        text = self.metadata.pixel_size.crs
        try:
            return None if text is None else ground_of(CRS.from_user_input(text))
        except (CRSError, GridError) as error:
            raise ModelError(f"{self.path}: the CRS of its pixels cannot be read: {error}; export it again") from error

    @cached_property
    def metres(self) -> float:
        """Size of its pixel on the ground in metres.

        A model of an engine that did not say it in metres is read by its CRS: by its scale in the middle of where the
        model was trained. Where the model does not say that either, a projected CRS is taken to be true to scale, and
        an angle to be as long as on the equator.

        Raises:
            ModelError: If its CRS cannot be read.
        """
        size, area = self.metadata.pixel_size, self.metadata.training.area
        if size.metres is not None:
            return size.metres
        if self.ground is None:
            return math.sqrt(size.x * size.y)
        unit = self.ground.unit if area is None else self.ground.unit_within(area)
        return math.sqrt(size.x * size.y) * unit


def _read(path: Path) -> onnx.ModelProto:
    try:
        proto = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{path}: is no ONNX file: {error}") from error
    if not proto.graph.node:
        raise ModelError(f"{path}: is no ONNX file, or an empty one")
    folder = path.parent.resolve()
    bodies = (proto.graph.node, *(function.node for function in proto.functions))
    for tensor in (*proto.graph.initializer, *(tensor for body in bodies for tensor in _tensors(body))):
        if uses_external_data(tensor):
            target = (folder / ExternalDataInfo(tensor).location).resolve()
            if not target.is_relative_to(folder):
                raise ModelError(f"{path}: names weights outside of its folder ({target}); it is not opened")
    try:
        onnx.load_external_data_for_model(proto, str(folder))
    except (OSError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"{path}: its weights in other files cannot be read: {error}; keep those files beside the model"
        ) from error
    return proto


def _tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    """Every tensor in nodes' attributes and subgraphs."""
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for graph in (attribute.g, *attribute.graphs):
            yield from graph.initializer
            yield from _tensors(graph.node)


def _check_graph(graph: onnx.GraphProto, modalities: tuple[Modality, ...], path: Path) -> None:
    """Refuses a graph whose inputs or outputs are not those that the document promises."""
    expected = {item.name: f"{item.dtype} of {len(item.bands)} bands" for item in modalities}
    expected[AVAILABILITY] = f"bool of {len(modalities)} modalities"
    found = {item.name: _described(item) for item in graph.input}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ModelError(
                f"{path}: its metadata and its graph do not go together: input {name} is "
                f"{expected.get(name, 'absent')} in the metadata and {found.get(name, 'absent')} in the graph; "
                "export it again"
            )
    missing = set(OUTPUTS) - {item.name for item in graph.output}
    if missing:
        raise ModelError(f"{path}: its graph has no output {', '.join(sorted(missing))}; export it again")


def _described(item: onnx.ValueInfoProto) -> str:
    kind = item.type.tensor_type
    axis, what = (0, "modalities") if item.name == AVAILABILITY else (1, "bands")
    sizes = [size.dim_value for size in kind.shape.dim]
    dtype = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    dtype = "float32" if dtype == "float" else dtype
    return f"{dtype} of {sizes[axis] if len(sizes) > axis else 0} {what}"


def _document(proto: onnx.ModelProto, path: Path) -> ModelMetadata:
    found = {item.key: item.value for item in proto.metadata_props}
    if KEY not in found:
        raise ModelError(
            f"{path}: is an ONNX file without the metadata of this engine (key {KEY}); write one with `engine export`"
        )
    try:
        version = _Version.model_validate_json(found[KEY]).schema_version
        if version > SCHEMA:
            raise ModelError(
                f"{path}: was written by a newer engine (schema {version}, this one reads up to {SCHEMA}); "
                "update robust-landcover"
            )
        return ModelMetadata.model_validate_json(found[KEY])
    except ValidationError as error:
        raise ModelError(f"{path}: its metadata cannot be read: {error}") from error


class _Version(BaseModel):
    schema_version: int
