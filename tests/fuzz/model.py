"""A model of single pixels, made by hand: each sensor that is there adds linear functions of its bands to logits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.model.document import (
    AVAILABILITY,
    KEY,
    OUTPUTS,
    BandFacts,
    ClassFacts,
    ModalityFacts,
    ModelMetadata,
    PixelSize,
    TrainingFacts,
)
from fuzz.case import PIXEL, RANGES, Case

CLASSES = 5

_KINDS = {
    "uint8": TensorProto.UINT8,
    "int16": TensorProto.INT16,
    "uint16": TensorProto.UINT16,
    "int32": TensorProto.INT32,
    "float32": TensorProto.FLOAT,
}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SensorWeights:
    """Of a sensor: ``[C]`` means and deviations, by which bands are scaled; factors ``[K, C]`` and bias ``[K]``."""

    means: Floats
    stds: Floats
    factors: Floats
    bias: Floats


@dataclass(frozen=True)
class Weights:
    """Of all sensors."""

    sensors: tuple[SensorWeights, ...]
    classes: int = CLASSES


def weights(case: Case) -> Weights:
    """A case's, from its seed; single precision holds them all."""
    rng = np.random.default_rng(case.seed)
    found = []
    for sensor in case.sensors:
        limits = np.array([RANGES[source.dtype] for source in sensor.sources for _ in source.chosen], dtype=float)
        means, stds = limits.mean(axis=1), np.maximum(np.round((limits[:, 1] - limits[:, 0]) / 4), 1)
        factors = np.round(8 * rng.normal(size=(CLASSES, len(limits)))) / 8
        found.append(SensorWeights(means, stds, factors, np.round(8 * rng.normal(size=CLASSES)) / 8))
    return Weights(tuple(found))


def name(number: int) -> str:
    """Of a sensor."""
    return f"sensor{number}"


def write_model(case: Case, path: Path) -> Path:
    """Writes the model of a case."""
    size = case.tile
    nodes, inputs, constants, terms = [], [], [], []
    for number, (sensor, part) in enumerate(zip(case.sensors, weights(case).sensors, strict=True)):
        own, bands = name(number), len(part.means)
        inputs.append(helper.make_tensor_value_info(own, _KINDS[sensor.dtype], ["N", bands, size, size]))
        for key, values in (
            ("means", part.means[:, None, None]),
            ("stds", part.stds[:, None, None]),
            ("factors", part.factors[:, :, None, None]),
            ("bias", part.bias),
            ("nothing", np.zeros((1, CLASSES, 1, 1))),
        ):
            constants.append(numpy_helper.from_array(values.astype(np.float32), f"{own}/{key}"))
        constants.append(numpy_helper.from_array(np.array([number]), f"{own}/number"))
        there = [
            helper.make_node("Cast", [own], [f"{own}/float"], to=TensorProto.FLOAT),
            helper.make_node("Sub", [f"{own}/float", f"{own}/means"], [f"{own}/centred"]),
            helper.make_node("Div", [f"{own}/centred", f"{own}/stds"], [f"{own}/scaled"]),
            helper.make_node("Conv", [f"{own}/scaled", f"{own}/factors", f"{own}/bias"], [f"{own}/seen"]),
        ]
        absent = [helper.make_node("Identity", [f"{own}/nothing"], [f"{own}/unseen"])]
        nodes += [
            helper.make_node("Gather", [AVAILABILITY, f"{own}/number"], [f"{own}/there"], axis=0),
            helper.make_node(
                "If",
                [f"{own}/there"],
                [f"{own}/logits"],
                then_branch=_branch(there, f"{own}/seen"),
                else_branch=_branch(absent, f"{own}/unseen"),
            ),
        ]
        terms.append(f"{own}/logits")
    inputs.append(helper.make_tensor_value_info(AVAILABILITY, TensorProto.BOOL, [len(case.sensors)]))
    nodes += [
        helper.make_node("Sum", terms, ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["index"], axis=1, keepdims=0),
        helper.make_node("Cast", ["index"], ["classes"], to=TensorProto.UINT8),
        helper.make_node("Cast", ["index"], ["confidence"], to=TensorProto.UINT8),
    ]
    shapes = {"classes": TensorProto.UINT8, "confidence": TensorProto.UINT8}
    outputs = [
        helper.make_tensor_value_info(one, shapes[one], ["N", size, size])
        if one in shapes
        else helper.make_tensor_value_info(one, TensorProto.FLOAT, ["N", CLASSES, size, size])
        for one in OUTPUTS
    ]
    graph = helper.make_graph(nodes, "pixels", inputs, outputs, constants)
    proto = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)])
    proto.metadata_props.add(key=KEY, value=_document(case).model_dump_json())
    onnx.save(proto, path)
    return path


def _branch(nodes: list[onnx.NodeProto], output: str) -> onnx.GraphProto:
    return helper.make_graph(
        nodes, output, [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", CLASSES, None, None])]
    )


def _document(case: Case) -> ModelMetadata:
    modalities = []
    for number, (sensor, part) in enumerate(zip(case.sensors, weights(case).sensors, strict=True)):
        bands = tuple(
            BandFacts(name=f"b{band}", mean=mean, std=std, minimum=mean - 2 * std, maximum=mean + 2 * std)
            for band, (mean, std) in enumerate(zip(part.means, part.stds, strict=True))
        )
        modalities.append(ModalityFacts(name=name(number), dtype=sensor.dtype, unit="", bands=bands))
    return ModelMetadata(
        name="pixels",
        engine="0",
        modalities=tuple(modalities),
        classes=tuple(ClassFacts(value=k, name=f"class {k}", color="#000000") for k in range(CLASSES)),
        pixel_size=PixelSize(x=PIXEL, y=PIXEL, crs="EPSG:32631"),
        tile=case.tile,
        halo=case.halo,
        training=TrainingFacts(data=(), licence="", network="", method="", recipe=""),
    )
