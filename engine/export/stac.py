"""A model as a STAC item with the Machine Learning Model extension."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pystac
from stac_model.input import InputStructure, ModelInput
from stac_model.output import MLMClassification, ModelOutput, ModelResult
from stac_model.schema import MLModelExtension, MLModelProperties

from engine.files import write_text
from engine.model.document import AVAILABILITY, ModalityFacts
from engine.model.file import Model

_DIMENSIONS = ["batch", "bands", "height", "width"]


def _input(modality: ModalityFacts, tile: int) -> ModelInput:
    return ModelInput(
        name=modality.name,
        bands=[band.name for band in modality.bands],
        input=InputStructure(
            shape=[-1, len(modality.bands), tile, tile],
            dim_order=_DIMENSIONS,
            data_type=modality.dtype,
        ),
        description=(
            "raw values; scaling is done by the graph"
            + (f"; unit: {modality.unit}" if modality.unit else "")
            + "; fill what is invalid with the bands' means: "
            + ", ".join(f"{band.mean:g}" for band in modality.bands)
        ),
    )


def _properties(model: Model) -> MLModelProperties:
    metadata = model.metadata
    tile, count = metadata.tile, len(metadata.classes)
    kind = "uint8" if count <= 255 else "uint16"
    availability = ModelInput(
        name=AVAILABILITY,
        input=InputStructure(shape=[len(metadata.modalities)], dim_order=["modality"], data_type="other"),
        description=f"bool; which of {', '.join(model.names)} were observed; not all false",
    )
    classes = [
        MLMClassification(
            value=index,
            name=item.name,
            description=f"{item.name}; value {item.value} in maps",
            color_hint=item.color.removeprefix("#").upper(),
        )
        for index, item in enumerate(metadata.classes)
    ]
    outputs = [
        ModelOutput(
            name="classes",
            tasks={"semantic-segmentation"},
            result=ModelResult(shape=[-1, tile, tile], dim_order=["batch", "height", "width"], data_type=kind),
            classes=classes,
        ),
        ModelOutput(
            name="probabilities",
            tasks={"semantic-segmentation"},
            result=ModelResult(
                shape=[-1, count, tile, tile], dim_order=["batch", "class", "height", "width"], data_type="float32"
            ),
            classes=classes,
        ),
    ]
    return MLModelProperties(
        name=metadata.name,
        architecture=metadata.training.network,
        tasks={"semantic-segmentation"},
        input=[*(_input(modality, tile) for modality in metadata.modalities), availability],
        output=outputs,
        framework="ONNX",
        file_size=model.path.stat().st_size,
        accelerator=None,
        accelerator_constrained=False,
        pretrained=True,
        pretrained_source=", ".join(metadata.training.data),
    )


def write_item(model: Model, path: Path) -> None:
    """Writes the STAC item of a model: one ``mlm:input`` a modality, and one for the availability.

    Args:
        model: A model.
        path: The ``.json`` file, replaced when the new one is complete.

    Raises:
        OutputError: If the file cannot be written.
    """
    metadata = model.metadata
    area = metadata.training.area
    item = pystac.Item(
        id=metadata.name,
        geometry=None if area is None else _box(area),
        bbox=None if area is None else list(area),
        datetime=datetime.fromtimestamp(model.path.stat().st_mtime, timezone.utc),
        properties={"description": f"Land-cover segmentation from {', '.join(model.names)} or any subset of them"},
    )
    if metadata.training.licence:
        item.properties["license"] = metadata.training.licence
    item.add_asset(
        "model",
        pystac.Asset(
            href=f"./{model.path.name}",
            title=f"{metadata.name} as ONNX",
            media_type="application/octet-stream; application=onnx",
            roles=["mlm:model"],
            extra_fields={"mlm:artifact_type": "onnx"},
        ),
    )
    MLModelExtension.ext(item, add_if_missing=True).apply(_properties(model).model_dump(by_alias=True, mode="json"))
    write_text(path, json.dumps(item.to_dict(include_self_link=False), indent=1))


def _box(area: tuple[float, float, float, float]) -> dict[str, object]:
    west, south, east, north = area
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}
