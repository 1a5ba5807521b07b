"""The model file: one ONNX graph with a JSON document that says all a host must know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, uses_external_data
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from engine.errors import InputError, ModelError
from engine.modality import BandStatistics, LandClass, LinearScale, Modality, Values

KEY = "robust_landcover"
"""The key of the document in the graph's ``metadata_props``."""

SCHEMA = 1
"""Version of the document; a newer one is refused."""

AVAILABILITY = "availability"
"""Name of the graph's input that says which modalities are there; a modality's input has its name."""

OUTPUTS = ("classes", "confidence", "probabilities", "logits")


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BandFacts(_Document):
    """A band's name and its values on the training pixels, in the sensor's units.

    Args:
        scale: What its numbers are multiplied by to be physical values; None in models of engines that did not say.
        offset: What is added then.
    """

    name: str
    mean: float
    std: float
    minimum: float
    maximum: float
    scale: float | None = None
    offset: float | None = None


class ModalityFacts(_Document):
    """A modality; its input has this name, data type and number of bands.

    Args:
        values: Whether it takes numbers as the training's sources stored them, or physical values.
    """

    name: str
    dtype: str
    unit: str
    values: Values = "stored"
    bands: tuple[BandFacts, ...]


class ClassFacts(_Document):
    """A class's value in the map, its name and its colour; its place in the list is its index."""

    value: int
    name: str
    color: str


class PixelSize(_Document):
    """The training pixels, in the units of ``crs`` (None: images without georeference).

    Args:
        metres: Their size on the ground: the root of a pixel's geodesic area where they were; None without
            georeference, and in models of engines that did not say.
    """

    x: float
    y: float
    crs: str | None
    metres: float | None = None


class ScenarioAccuracy(_Document):
    """Accuracy in one scenario on a split of the training data.

    Args:
        pixels: On how many labelled pixels; None in models of engines that did not say.
    """

    scenario: str
    split: str
    miou: float
    overall_accuracy: float
    pixels: int | None = None


class TrainingFacts(_Document):
    """What the model was trained on and how.

    Args:
        area: West, south, east and north of the training scenes in degrees (WGS 84); None without georeference.
        recipe: A hash of the recipe.
    """

    data: tuple[str, ...]
    area: tuple[float, float, float, float] | None = None
    licence: str
    network: str
    method: str
    recipe: str


class ModelMetadata(_Document):
    """The document.

    Args:
        tile: Size in pixels of the tiles that the model maps: a part of the model, since its answer depends on it.
        halo: Half the overlap of neighbouring tiles.
        inner_only: Whether a tile has no answer in its halo, since the network needs that much around every pixel.
        seam: How neighbours are joined.
        sizes: Whether the graph takes tiles of that size only.
        parity: Largest difference of a logit between network and graph, over the scenarios tested.
    """

    schema_version: int = SCHEMA
    name: str
    engine: str
    modalities: tuple[ModalityFacts, ...] = Field(min_length=1)
    classes: tuple[ClassFacts, ...] = Field(min_length=2)
    pixel_size: PixelSize
    tile: int = Field(ge=1)
    halo: int = Field(ge=0)
    inner_only: bool = False
    seam: str = "crossfade"
    sizes: str = "fixed"
    accuracy: tuple[ScenarioAccuracy, ...] = ()
    training: TrainingFacts
    parity: float | None = None

    @field_validator("modalities")
    @classmethod
    def _names_are_free(cls, modalities: tuple[ModalityFacts, ...]) -> tuple[ModalityFacts, ...]:
        taken = {AVAILABILITY, *OUTPUTS}
        for item in modalities:
            if item.name in taken:
                raise ValueError(
                    f"no modality can be called {item.name}: another has that name, or it is an input or output of "
                    f"every model ({', '.join((AVAILABILITY, *OUTPUTS))})"
                )
            taken.add(item.name)
        return modalities

    @property
    def modality_values(self) -> tuple[Modality, ...]:
        """The modalities with their statistics."""
        return tuple(
            Modality(
                item.name,
                tuple(band.name for band in item.bands),
                item.dtype,
                item.unit,
                tuple(BandStatistics(band.mean, band.std, band.minimum, band.maximum) for band in item.bands),
                _scales(item.bands),
                item.values,
            )
            for item in self.modalities
        )

    @property
    def class_values(self) -> tuple[LandClass, ...]:
        """The classes in the order of their indices."""
        return tuple(LandClass(item.value, item.name, item.color) for item in self.classes)


def modality_facts(modality: Modality) -> ModalityFacts:
    """A modality as the document holds it."""
    scales = modality.scales or ((None, None),) * len(modality.bands)
    bands = tuple(
        BandFacts(name=name, **asdict(band), scale=scale, offset=offset)
        for name, band, (scale, offset) in zip(modality.bands, modality.statistics, scales, strict=True)
    )
    return ModalityFacts(
        name=modality.name, dtype=modality.dtype, unit=modality.unit, values=modality.values, bands=bands
    )


def _scales(bands: Iterable[BandFacts]) -> tuple[LinearScale, ...] | None:
    pairs = [(band.scale, band.offset) for band in bands]
    known = [(scale, offset) for scale, offset in pairs if scale is not None and offset is not None]
    return tuple(known) if len(known) == len(pairs) else None


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
