"""One modality of a model in the form that the QGIS plugin Deepness runs: a float image in, probabilities out.

Deepness hands over values divided by 255, whatever their data type, and reads its settings from metadata keys in JSON:
https://qgis-plugin-deepness.readthedocs.io/en/latest/creators/creators_add_metadata_to_model.html
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.availability import from_bits
from engine.errors import ModalityError
from engine.export.writing import write_model
from engine.files import check_target
from engine.modality import Modality
from engine.model.file import Model

INPUT = "deepness/image"
"""What no modality is called: their names have no slash."""


def export_deepness(model: Model, name: str | None, path: Path) -> Modality:
    """Writes one modality of a model for Deepness.

    Args:
        model: A model.
        name: The modality; None takes the model's only one.
        path: The ``.onnx`` file.

    Returns:
        The modality.

    Raises:
        ModalityError: If the model has no such modality, or several and none is named.
        OutputError: If the file cannot be written.
    """
    check_target(path)
    if name is None and len(model.names) > 1:
        raise ModalityError(f"Deepness maps from one layer: choose one of {', '.join(model.names)} with --modality")
    name = name or model.names[0]
    if name not in model.names:
        raise ModalityError(f"{model.path}: has no modality {name}; it has {', '.join(model.names)}")
    index = model.names.index(name)
    proto = model.specialised(from_bits(1 << index, len(model.names)), ("probabilities",))
    modality = model.modalities[index]
    _take_images(proto.graph, modality)
    del proto.metadata_props[:]
    for key, value in _keys(model).items():
        proto.metadata_props.add(key=key, value=json.dumps(value))
    write_model(proto, path)
    return modality


def _take_images(graph: onnx.GraphProto, modality: Modality) -> None:
    """Lets the graph take values divided by 255 instead of the modality's own."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(modality.dtype))
    graph.initializer.append(numpy_helper.from_array(np.array(255, dtype=np.float32), f"{INPUT}/255"))
    nodes = [helper.make_node("Mul", [INPUT, f"{INPUT}/255"], [f"{INPUT}/raw"])]
    if kind == TensorProto.FLOAT:
        nodes.append(helper.make_node("Identity", [f"{INPUT}/raw"], [modality.name]))
    else:
        nodes.append(helper.make_node("Round", [f"{INPUT}/raw"], [f"{INPUT}/whole"]))
        nodes.append(helper.make_node("Cast", [f"{INPUT}/whole"], [modality.name], to=kind))
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    graph.input[0].name = INPUT
    graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def _keys(model: Model) -> dict[str, object]:
    metadata = model.metadata
    keys: dict[str, object] = {
        "model_type": "Segmentor",
        "class_names": {str(index): item.name for index, item in enumerate(metadata.classes)},
        "tile_size": metadata.tile,
        "tiles_overlap": round(100 * 2 * metadata.halo / metadata.tile),
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }
    ground = model.ground
    if ground is not None:  # Deepness takes a layer's units for metres
        metres = model.metres if ground.geographic else ground.unit * metadata.pixel_size.x
        keys["resolution"] = round(100 * metres, 3)
    return keys
