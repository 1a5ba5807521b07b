"""A model file becomes a graph in memory: none hangs, crashes or fills the machine, or reads files elsewhere."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from engine.errors import ModelError
from engine.files import read_regular
from engine.names import shown

MOST_BYTES = (1 << 31) - 1
"""Of a model file, and of the weights in other files: no graph can be larger."""

MOST_NODES = 1_000_000
"""Of a graph whose functions are written out."""

DEEPEST = 32
"""Functions that call each other, and subgraphs within each other."""


def read_graph(path: Path) -> onnx.ModelProto:
    """Reads an ONNX file with its weights, those in files beside it too.

    Raises:
        ModelError: If it is no valid ONNX file, or names weights that are missing or lie outside of its folder.
    """
    content = read_regular(path, MOST_BYTES, ModelError)
    try:
        proto = onnx.ModelProto.FromString(content)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{path}: is no ONNX file: {shown(error)}") from error
    if not proto.graph.node:
        raise ModelError(f"{path}: is no ONNX file, or an empty one")
    _check_size(proto, path)
    _load_weights(proto, path)
    try:
        onnx.checker.check_model(proto)
    except (onnx.checker.ValidationError, EncodeError, RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: its graph is malformed: {first_line(error)}; export it again") from error
    return proto


def first_line(error: Exception) -> str:
    """What a library says first of what is wrong."""
    return next((shown(line) for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _check_size(proto: onnx.ModelProto, path: Path) -> None:
    """Refuses functions that call themselves, and graphs that a few bytes blow up or that nest too deeply."""
    bodies = {(one.domain, one.name): one.node for one in proto.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size_of(nodes: Iterable[onnx.NodeProto], depth: int) -> int:
        if depth > DEEPEST:
            raise ModelError(f"{path}: its functions and subgraphs nest more than {DEEPEST} deep, or call themselves")
        found = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in bodies and key not in sizes:
                sizes[key] = size_of(bodies[key], depth + 1)
            found += 1 + sizes.get(key, 0) + sum(size_of(graph.node, depth + 1) for graph in _subgraphs(node))
            if found > MOST_NODES:
                raise ModelError(f"{path}: its functions written out are more than {MOST_NODES:,} nodes")
        return found

    size_of(proto.graph.node, 0)
    for body in bodies.values():
        size_of(body, 0)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a graph, in nodes' attributes and subgraphs too."""
    yield from graph.initializer
    yield from _parts(graph.sparse_initializer)
    yield from _in_attributes(graph.node)


def _in_attributes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            yield from _parts((attribute.sparse_tensor, *attribute.sparse_tensors))
        for graph in _subgraphs(node):
            yield from _tensors(graph)


def _parts(tensors: Iterable[onnx.SparseTensorProto]) -> Iterator[onnx.TensorProto]:
    for tensor in tensors:
        yield from (tensor.values, tensor.indices)


def _load_weights(proto: onnx.ModelProto, path: Path) -> None:
    """Reads weights in other files, all of which must lie in the model's folder."""
    folder = path.parent.resolve()
    tensors = [*_tensors(proto.graph), *(one for function in proto.functions for one in _in_attributes(function.node))]
    total = proto.ByteSize()
    for tensor in (one for one in tensors if uses_external_data(one)):
        try:
            facts = ExternalDataInfo(tensor)
            target = (folder / facts.location).resolve()
            if not target.is_relative_to(folder):
                raise ModelError(f"{path}: names weights outside of its folder ({shown(target)}); it is not opened")
            status = target.stat()
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(f"{path}: its weights are to be in {shown(target)}, which is no regular file")
            total += status.st_size - (facts.offset or 0) if facts.length is None else facts.length
        except ModelError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            raise _no_weights(path, error) from error
        if total > MOST_BYTES:
            raise ModelError(f"{path}: it and its weights in other files are more than {MOST_BYTES / 1e9:.1f} GB")
    try:
        onnx.load_external_data_for_model(proto, str(folder))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise _no_weights(path, error) from error
    if any(uses_external_data(tensor) for tensor in tensors):
        raise ModelError(f"{path}: has weights in other files where none are read from; export it again")


def _no_weights(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path}: its weights in other files cannot be read: {first_line(error)}; keep those files beside the model"
    )
