"""A trained network as one ONNX file that serves every scenario."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

import engine
from engine.errors import ExportError
from engine.export.keywords import without_keywords
from engine.export.naming import rename
from engine.export.parity import largest_difference
from engine.export.writing import write_model
from engine.files import check_target
from engine.model.checks import document_faults
from engine.model.document import AVAILABILITY, KEY, OUTPUTS, ModelMetadata
from engine.networks.segmenter import Segmenter

OPSET = 20
"""The first with an operator for GELU, which ONNX Runtime runs in one go."""


class _ExportForm(nn.Module):
    """Raw values of each modality, then ``availability`` ``[M]``, to the model's four outputs."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.names = [modality.name for modality in segmenter.modalities]

    def forward(self, *values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        *inputs, availability = values
        logits = self.segmenter.scenario_logits(dict(zip(self.names, inputs, strict=True)), availability)
        probabilities = _softmax(logits)
        kind = torch.uint8 if logits.shape[1] <= 255 else torch.uint16
        classes = logits.argmax(dim=1).to(kind)
        confidence = torch.round(100 * probabilities.amax(dim=1)).to(torch.uint8)
        return classes, confidence, probabilities, logits


def _softmax(logits: Tensor) -> Tensor:
    """Softmax over ``[B, K, H, W]``'s classes, spelled out: ONNX Runtime transposes for one along an inner axis.

    That took a sixth of a SegFormer-B0's time on a CPU.
    """
    exponentials = torch.exp(logits - logits.amax(dim=1, keepdim=True))
    return exponentials / exponentials.sum(dim=1, keepdim=True)


def _example(segmenter: Segmenter, tile: int) -> tuple[Tensor, ...]:
    inputs = [
        torch.zeros((2, len(modality.bands), tile, tile), dtype=getattr(torch, modality.dtype))
        for modality in segmenter.modalities
    ]
    return (*inputs, torch.ones(len(inputs), dtype=torch.bool))


def _graph(segmenter: Segmenter, tile: int) -> onnx.ModelProto:
    form = _ExportForm(segmenter).eval()
    batch = torch.export.Dim("batch", min=1, max=1024)
    dynamic = ((*({0: batch} for _ in form.names), {}),)
    try:
        with warnings.catch_warnings(), _quiet("onnxscript"), _quiet("torch.onnx"), torch.no_grad():
            # The exporter's own: it uses a class that PyTorch deprecates, and renames axes that it finds equal.
            warnings.filterwarnings("ignore", r".*LeafSpec.* is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", r"# The axis name: batch will not be used", UserWarning)
            program = torch.onnx.export(
                form,
                _example(segmenter, tile),
                dynamo=True,
                opset_version=OPSET,
                input_names=[*_neutral(form.names), AVAILABILITY],
                output_names=list(OUTPUTS),
                dynamic_shapes=dynamic,
                verbose=False,
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExportError(f"the network cannot be exported with tiles of {tile}: {reason}") from error
    if program is None:
        raise ExportError("the exporter gave no graph")
    proto: onnx.ModelProto = program.model_proto
    rename(proto.graph, dict(zip(_neutral(form.names), form.names, strict=True)))
    return proto


def _neutral(names: Sequence[str]) -> list[str]:
    """Names of inputs while the graph is made: those of modalities may be words of Python, or values of the graph."""
    return [f"sensor_{number}" for number in range(len(names))]


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Lets a logger say errors only: the exporter's notes on what it does not fold are no one's business."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _strip(nodes: Iterable[onnx.NodeProto]) -> None:
    """Removes stack traces and doc strings: most of the file, and the paths of the training machine with them."""
    for node in nodes:
        del node.metadata_props[:]
        node.doc_string = ""
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _strip_graph(attribute.g)


def _strip_graph(graph: onnx.GraphProto) -> None:
    graph.doc_string = ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    for item in (*graph.input, *graph.output, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
    _strip(graph.node)


def _with_metadata(proto: onnx.ModelProto, metadata: ModelMetadata) -> onnx.ModelProto:
    del proto.metadata_props[:]
    proto.metadata_props.add(key=KEY, value=metadata.model_dump_json())
    return proto


def export_model(segmenter: Segmenter, metadata: ModelMetadata, path: Path) -> ModelMetadata:
    """Writes a network as a model.

    Args:
        segmenter: The network with its normalisation; moved to the CPU and set to evaluation mode.
        metadata: What the file says of itself; its tile is the size of the graph's inputs.
        path: The ``.onnx`` file, replaced when the new one is complete and tested.

    Returns:
        The metadata as written, with the parity found.

    Raises:
        ExportError: If the network cannot be exported, the graph answers otherwise than the network, or is too large,
            or the metadata are such that no engine would read them.
        OutputError: If the file cannot be written.
    """
    check_target(path)
    for fault in document_faults(metadata):
        raise ExportError(f"{path}: no engine would read a model with these metadata: {fault}")
    segmenter = segmenter.cpu().eval()
    with without_keywords(segmenter):
        proto = _graph(segmenter, metadata.tile)
    proto.producer_name, proto.producer_version, proto.doc_string = "engine", engine.__version__, ""
    _strip_graph(proto.graph)
    for function in proto.functions:
        del function.metadata_props[:], function.value_info[:]
        function.doc_string = ""
        _strip(function.node)
    difference = largest_difference(segmenter, proto, metadata.tile)
    metadata = metadata.model_copy(update={"parity": difference})
    write_model(_with_metadata(proto, metadata), path)
    return metadata
