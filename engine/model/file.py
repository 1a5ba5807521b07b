"""The model file: one ONNX graph with its document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import onnx
from pydantic import BaseModel, ValidationError
from rasterio.crs import CRS
from rasterio.errors import CRSError

from engine.availability import Scenario
from engine.errors import GridError, InputError, ModelError
from engine.ground import Ground, ground_of
from engine.model.checks import document_faults, graph_faults
from engine.model.document import KEY, SCHEMA, ModelMetadata
from engine.model.reading import read_graph
from engine.model.specialise import specialise
from engine.names import shown

LONGEST = 4_000_000
"""Characters of a document."""


class Model:
    """An opened model: its graph and its document.

    What stands in the document is checked, and that the graph takes and gives what it says; see
    :func:`~engine.model.checks.document_faults` for what older models may have.

    Args:
        path: The ``.onnx`` file.

    Raises:
        ModelError: If it is no valid ONNX file, has no document or a newer one, what stands there makes no sense or
            does not go with the graph, or it names weights that are missing or lie outside of its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.proto = read_graph(self.path)
        self.metadata = _document(self.proto, self.path)
        try:
            self.modalities = self.metadata.modality_values
            self.classes = self.metadata.class_values
        except InputError as error:
            raise ModelError(f"{self.path}: its metadata cannot be used: {shown(error)}") from error
        for fault in document_faults(self.metadata):
            raise ModelError(f"{self.path}: its metadata cannot be used: {fault}; export it again")
        for fault in graph_faults(self.proto.graph, self.metadata):
            raise ModelError(f"{self.path}: its metadata and its graph do not go together: {fault}; export it again")
        self.names = tuple(modality.name for modality in self.modalities)

    def specialised(self, scenario: Scenario, outputs: Sequence[str]) -> onnx.ModelProto:
        """The part of its graph that maps under one scenario; see :func:`~engine.model.specialise.specialise`.

        Raises:
            ModelError: If the graph cannot be cut down to it.
        """
        try:
            return specialise(self.proto, scenario, self.names, outputs)
        except ModelError as error:
            raise ModelError(f"{self.path}: {error}") from error

    @cached_property
    def ground(self) -> Ground | None:
        """Of the CRS of the training pixels; None where they had none.

        Raises:
            ModelError: If the CRS cannot be read.
        """
        text = self.metadata.pixel_size.crs
        try:
            return None if text is None else ground_of(CRS.from_user_input(text))
        except (CRSError, GridError, ValueError) as error:
            raise ModelError(
                f"{self.path}: the CRS of its pixels cannot be read: {shown(error)}; export it again"
            ) from error

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


def _document(proto: onnx.ModelProto, path: Path) -> ModelMetadata:
    found = {item.key: item.value for item in proto.metadata_props}
    if KEY not in found:
        raise ModelError(
            f"{path}: is an ONNX file without the metadata of this engine (key {KEY}); write one with `engine export`"
        )
    if len(found[KEY]) > LONGEST:
        raise ModelError(f"{path}: its metadata are longer than {LONGEST:,} characters; export it again")
    try:
        version = _Version.model_validate_json(found[KEY]).schema_version
        if version > SCHEMA:
            raise ModelError(
                f"{path}: was written by a newer engine (schema {version}, this one reads up to {SCHEMA}); "
                "update robust-landcover"
            )
        return ModelMetadata.model_validate_json(found[KEY])
    except ValidationError as error:
        raise ModelError(f"{path}: its metadata cannot be read: {_explained(error)}") from error


def _explained(error: ValidationError) -> str:
    """Where and what the first faults are."""
    return "; ".join(
        shown(": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"])))) for one in error.errors()[:5]
    )


class _Version(BaseModel):
    schema_version: int
