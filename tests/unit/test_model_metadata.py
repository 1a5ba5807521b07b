"""What a model file says of itself, and which files are refused. The graphs are written by hand, without torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser
from pydantic import ValidationError

from engine.errors import ModelError
from engine.modality import BandStatistics, LandClass, Modality
from engine.model.document import KEY, ModelMetadata
from engine.model.file import Model

GRAPH = """
<ir_version: 9, opset_import: ["" : 18]>
g (uint16[N,2,4,4] optical, float[N,1,4,4] dem, bool[2] availability)
  => (uint8[N,4,4] classes, uint8[N,4,4] confidence, float[N,2,4,4] probabilities, float[N,2,4,4] logits)
  <int64 one = {1}, float[1] scale = {2.0}> {
  sees_dem = Gather<axis=0>(availability, one)
  values = Cast<to=1>(optical)
  logits = If(sees_dem)<
    then_branch = with_dem () => (float[N,2,4,4] a) <float[1] weight = {3.0}> {
      w = Mul(dem, weight)  a = Add(values, w) },
    else_branch = without () => (float[N,2,4,4] b) { b = Mul(values, scale) }>
  probabilities = Softmax<axis=1>(logits)
  index = ArgMax<axis=1, keepdims=0>(logits)
  classes = Cast<to=2>(index)
  confidence = Cast<to=2>(index)
}
"""


def document() -> dict[str, Any]:
    band = {"mean": 5.4, "std": 2.0, "minimum": 0.0, "maximum": 9.0}
    return {
        "schema_version": 1,
        "name": "two",
        "engine": "0.1",
        "modalities": [
            {
                "name": "optical",
                "dtype": "uint16",
                "unit": "",
                "bands": [{"name": name, **band} for name in ("red", "nir")],
            },
            {"name": "dem", "dtype": "float32", "unit": "m", "bands": [{"name": "height", **band}]},
        ],
        "classes": [
            {"value": 3, "name": "water", "color": "#0000ff"},
            {"value": 7, "name": "forest", "color": "#00ff00"},
        ],
        "pixel_size": {"x": 10.0, "y": 10.0, "crs": "EPSG:32631"},
        "tile": 4,
        "halo": 1,
        "training": {"data": [], "licence": "", "network": "", "method": "", "recipe": ""},
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes the graph with a document, either changed by a function first."""

    def write(
        change: Callable[[dict[str, Any]], object] = lambda _: None,
        change_graph: Callable[[onnx.ModelProto], object] = lambda _: None,
    ) -> Path:
        proto, content = parser.parse_model(GRAPH), document()
        change(content)
        change_graph(proto)
        text = ModelMetadata.model_construct(**content).model_dump_json(warnings=False)
        proto.metadata_props.add(key=KEY, value=text)
        path = tmp_path / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        return path

    return write


def test_a_model_gives_its_modalities_and_classes_as_values(write: Callable[..., Path]) -> None:
    model = Model(write())
    statistics = BandStatistics(5.4, 2.0, 0.0, 9.0)
    assert model.names == ("optical", "dem")
    assert model.modalities[1] == Modality("dem", ("height",), "float32", "m", (statistics,))
    assert model.modalities[0].fill.tolist() == [5, 5]
    assert model.classes == (LandClass(3, "water", "#0000ff"), LandClass(7, "forest", "#00ff00"))
    assert (model.metadata.seam, model.metadata.sizes, model.metadata.parity) == ("crossfade", "fixed", None)


def test_the_document_survives_being_written_and_read() -> None:
    metadata = ModelMetadata.model_validate(document())
    assert ModelMetadata.model_validate_json(metadata.model_dump_json()) == metadata


@pytest.mark.parametrize("name", ["availability", "classes", "logits", "dem"])
def test_a_modality_cannot_have_a_name_that_is_taken(name: str) -> None:
    content = document()
    content["modalities"][0]["name"] = name
    with pytest.raises(ValidationError, match=f"no modality can be called {name}"):
        ModelMetadata.model_validate(content)


def test_figures_that_json_cannot_hold_are_refused_before_they_are_written() -> None:
    content = document()
    content["accuracy"] = [{"scenario": "dem", "split": "validation", "miou": np.nan, "overall_accuracy": 0.5}]
    with pytest.raises(ValidationError, match="finite"):
        ModelMetadata.model_validate(content)


def test_the_test_split_speaks_before_validation() -> None:
    content = document()
    content["accuracy"] = [
        {"scenario": scenario, "split": split, "miou": miou, "overall_accuracy": 0.5, "classes": [miou, None]}
        for scenario, split, miou in (("dem", "test", 0.4), ("dem", "validation", 0.6), ("optical", "validation", 0.7))
    ]
    expected = ModelMetadata.model_validate(content).expected
    assert {name: one.classes for name, one in expected.items()} == {"dem": (0.4, None), "optical": (0.7, None)}


def test_figures_of_other_classes_than_the_models_are_refused(write: Callable[..., Path]) -> None:
    def change(content: dict[str, Any]) -> None:
        one = {"scenario": "dem", "split": "test", "miou": 0.4, "overall_accuracy": 0.5, "classes": [0.4]}
        content["accuracy"] = [one]

    with pytest.raises(ModelError, match=r"model\.onnx.*accuracy\.0\.classes: 1 figures of 2 classes"):
        Model(write(change))


def test_a_document_of_before_says_nothing_of_intervals_and_choices(write: Callable[..., Path]) -> None:
    def change(content: dict[str, Any]) -> None:
        content["accuracy"] = [{"scenario": "dem", "split": "validation", "miou": 0.4, "overall_accuracy": 0.5}]

    (one,) = Model(write(change)).metadata.accuracy
    assert (one.chosen, one.blocks, one.miou_interval, one.class_intervals) == (None, None, None, None)
    assert one.named_split == "validation"


def test_a_key_that_schema_1_does_not_have_is_refused(write: Callable[..., Path]) -> None:
    path = write()
    proto = onnx.load(path)
    proto.metadata_props[0].value = proto.metadata_props[0].value.replace('"halo"', '"hallo"')
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"model\.onnx.*metadata cannot be read"):
        Model(path)


def test_values_that_the_engine_does_not_have_name_the_file(write: Callable[..., Path]) -> None:
    path = write(lambda content: content["modalities"][0].update(dtype="float64"))
    with pytest.raises(ModelError, match=r"model\.onnx.*float64"):
        Model(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["modalities"][0].update(name="thermal"), "input optical is absent in the metadata"),
        (lambda content: content["modalities"][1].update(dtype="int16"), "input dem is int16 of 1 bands .* float32"),
        (lambda content: content["modalities"][0]["bands"].pop(), "optical is uint16 of 1 bands .* uint16 of 2 bands"),
        (lambda content: content["modalities"].pop(), "input availability is bool of 1 modalities"),
    ],
)
def test_a_document_that_does_not_fit_the_graph_is_refused(
    write: Callable[..., Path], change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        Model(write(change))


def test_a_graph_without_an_output_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="no output logits"):
        Model(write(change_graph=lambda proto: proto.graph.output.pop()))


def test_classes_and_bands_of_one_name_or_none_are_read_as_older_recipes_made_them(write: Callable[..., Path]) -> None:
    def change(content: dict[str, Any]) -> None:
        content["classes"] += [{"value": 8, "name": "water", "color": "#0000ff"}]
        content["classes"][1]["name"] = ""
        content["modalities"][0]["bands"][1]["name"] = "red"

    def change_graph(proto: onnx.ModelProto) -> None:
        for item in (proto.graph.output[2], proto.graph.output[3]):
            item.type.tensor_type.shape.dim[1].dim_value = 3

    model = Model(write(change, change_graph))
    assert [item.name for item in model.classes] == ["water", "", "water"]
    assert model.modalities[0].bands == ("red", "red")


def external(tensor: onnx.TensorProto, location: str) -> None:
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def weight_in_branch(proto: onnx.ModelProto) -> onnx.TensorProto:
    node = next(node for node in proto.graph.node if node.op_type == "If")
    tensor: onnx.TensorProto = node.attribute[0].g.initializer[0]
    return tensor


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "part/../../secret.bin"])
def test_weights_outside_of_the_folder_are_refused_in_branches_too(write: Callable[..., Path], location: str) -> None:
    path = write(change_graph=lambda proto: external(weight_in_branch(proto), location))
    (path.parent.parent / "secret.bin").write_bytes(np.ones(1, np.float32).tobytes())
    with pytest.raises(ModelError, match="outside of its folder"):
        Model(path)


def test_weights_beside_the_model_are_read(write: Callable[..., Path]) -> None:
    path = write(change_graph=lambda proto: external(weight_in_branch(proto), "weights.bin"))
    (path.parent / "weights.bin").write_bytes(np.array([3.5], np.float32).tobytes())
    assert numpy_helper.to_array(weight_in_branch(Model(path).proto)).tolist() == [3.5]


def test_weights_are_not_waited_for_at_a_pipe(write: Callable[..., Path]) -> None:
    path = write(change_graph=lambda proto: external(weight_in_branch(proto), "weights.bin"))
    os.mkfifo(path.parent / "weights.bin")
    with pytest.raises(ModelError, match=r"weights\.bin, which is no regular file"):
        Model(path)


def test_weights_that_are_missing_name_the_model(write: Callable[..., Path]) -> None:
    path = write(change_graph=lambda proto: external(weight_in_branch(proto), "weights.bin"))
    with pytest.raises(ModelError, match=r"model\.onnx: its weights in other files cannot be read"):
        Model(path)
