"""The exported model: one file for every scenario, and for each only what it needs."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pyproj
import pytest
import rasterio
from commands import engine

from engine.availability import Scenario, scenarios
from engine.errors import ModelError
from engine.export.parity import compared_scenarios, sample_values
from engine.model.document import KEY
from engine.model.file import Model
from engine.model.specialise import specialise
from engine.runtime.session import Sessions

NAMES = ("optical", "sar", "dem")


def values(model: Model, batch: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {item.name: sample_values(item, rng, batch, model.metadata.tile) for item in model.modalities}


def test_the_file_describes_itself(model_path: Path, scenes: Path) -> None:
    metadata = Model(model_path).metadata
    assert [item.name for item in metadata.modalities] == list(NAMES)
    assert [item.dtype for item in metadata.modalities] == ["uint16", "float32", "float32"]
    assert metadata.class_values[0].name == "water"
    assert [one.split for one in metadata.accuracy] == ["test"] * 7 + ["validation"] * 7
    assert metadata.parity is not None
    assert metadata.parity < 1e-4
    assert metadata.pixel_size.x == 10
    assert metadata.pixel_size.metres is not None
    with rasterio.open(scenes / "first" / "optical.tif") as dataset:
        middle = dataset.transform @ (dataset.width / 2, dataset.height / 2)
    zone = pyproj.Proj("EPSG:32631")
    scale = zone.get_factors(*zone(*middle, inverse=True)).meridional_scale  # the same in all directions
    assert metadata.pixel_size.metres == pytest.approx(10 / scale, rel=1e-6)


def test_accuracies_name_the_pixels_that_they_are_of(model_path: Path, scenes: Path) -> None:
    """The labelled ones of the split's blocks, where the first scene has every sensor."""
    with rasterio.open(scenes / "first" / "labels.tif") as dataset:
        labels = dataset.read(1)
    rows, cols = np.mgrid[: labels.shape[0], : labels.shape[1]] // 32
    numbers = (rows + 2 * cols) % 5
    counts = {split: ((labels > 0) & (numbers == k)).sum() for split, k in (("test", 0), ("validation", 1))}
    accuracy = Model(model_path).metadata.accuracy
    assert {(one.split, one.pixels) for one in accuracy} == set(counts.items())
    assert {one.named_split for one in accuracy} == {"test", "validation (chosen on it)"}


def test_accuracies_have_intervals_over_blocks(model_path: Path) -> None:
    """Blocks are chips of 32 pixels here, which the split's are too: 42 in all, of which each split has 8 or 9."""
    for one in Model(model_path).metadata.accuracy:
        assert one.blocks in (8, 9)
        assert one.miou_interval is not None
        assert one.overall_accuracy_interval is not None
        assert one.class_intervals is not None
        assert one.overall_accuracy_interval[0] <= one.overall_accuracy <= one.overall_accuracy_interval[1]
        assert 0 <= one.miou_interval[0] < one.miou_interval[1] <= 1
        assert len(one.class_intervals) == 6


def test_accuracies_are_those_of_each_class(model_path: Path, scenes: Path, tmp_path: Path) -> None:
    """As a map of the first scene from its elevation has them in the test blocks."""
    first = scenes / "first"
    done = engine("predict", model_path, f"dem={first / 'dem.tif'}", "-o", tmp_path / "map.tif", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    with rasterio.open(first / "labels.tif") as labels, rasterio.open(tmp_path / "map.tif") as made:
        truth, found = labels.read(1), made.read(1)
    rows, cols = np.mgrid[: truth.shape[0], : truth.shape[1]] // 32
    counted = (truth > 0) & ((rows + 2 * cols) % 5 == 0)
    truth, found = truth[counted], found[counted]
    metadata = Model(model_path).metadata
    known = metadata.expected["dem"].classes
    assert known is not None
    for item, iou in zip(metadata.classes, known, strict=True):
        one, other = truth == item.value, found == item.value
        assert (iou is None) == (not (one | other).any())
        if iou is not None:
            assert iou == pytest.approx((one & other).sum() / (one | other).sum(), abs=0.02)
    assert metadata.expected["dem"].miou == pytest.approx(np.mean([iou for iou in known if iou is not None]))
    shown = engine("inspect", model_path).stdout
    (row,) = [line for line in shown.splitlines() if "│ forest" in line and line.count("│") == 9]
    cells = [cell.strip() for cell in row.split("│")[2:-1]]
    forest = [one.classes[1] for one in metadata.expected.values() if one.classes is not None]
    marked = [("-" if iou is None else f"{iou:.2f}" + "*" * (iou < 1.5 / 11)) for iou in forest]  # a guess has 1/11
    assert cells == marked


def test_the_file_names_no_path_of_the_training_machine(model_path: Path, scenes: Path) -> None:
    content = model_path.read_bytes()
    for trace in (b"stack_trace", b"site-packages", b"/engine/", str(scenes).encode(), str(Path.home()).encode()):
        assert trace not in content


@pytest.mark.parametrize("scenario", scenarios(3), ids=lambda scenario: scenario.code)
def test_a_specialised_graph_answers_as_the_whole_one(model_path: Path, scenario: Scenario) -> None:
    model = Model(model_path)
    given = values(model)
    whole = onnxruntime.InferenceSession(model_path, providers=["CPUExecutionProvider"])
    expected = whole.run(["logits", "classes", "confidence"], given | {"availability": np.array(scenario.members)})
    part = {NAMES[index]: given[NAMES[index]] for index in scenario.indices}
    found = Sessions(model, "cpu", ("logits", "classes", "confidence")).run(scenario, part)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert one.dtype == np.uint8
        assert (np.abs(one.astype(int) - other) > 1).mean() < 1e-3


@pytest.mark.parametrize("scenario", scenarios(3), ids=lambda scenario: scenario.code)
def test_a_specialised_graph_holds_nothing_of_absent_sensors(model_path: Path, scenario: Scenario) -> None:
    model = Model(model_path)
    graph = specialise(model.proto, scenario, NAMES, ("classes",)).graph
    assert {item.name for item in graph.input} == {NAMES[index] for index in scenario.indices}
    kinds = [node.op_type for node in graph.node]
    assert "If" not in kinds
    one = specialise(model.proto, scenarios(3)[0], NAMES, ("classes",)).graph
    per_sensor = sum(node.op_type == "Conv" for node in one.node)
    assert kinds.count("Conv") == per_sensor * len(scenario.indices)


def test_what_is_not_asked_for_is_cut(model_path: Path) -> None:
    model = Model(model_path)
    graph = specialise(model.proto, scenarios(3)[-1], NAMES, ("classes",)).graph
    assert [item.name for item in graph.output] == ["classes"]
    whole = specialise(model.proto, scenarios(3)[-1], NAMES, ("classes", "probabilities")).graph
    exponentials = [sum(node.op_type == "Exp" for node in item.node) for item in (graph, whole)]
    assert exponentials[1] == exponentials[0] + 1, "the softmax, spelled out"


def test_a_model_is_not_scored_on_other_classes(model_path: Path, run_folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text((run_folder / "recipe.yaml").read_text().replace("value: 6", "value: 9"))
    done = engine("evaluate", model_path, "--data", recipe)
    assert done.returncode == 2
    assert "its classes are" in done.stderr


def test_a_file_without_metadata_is_refused(model_path: Path, tmp_path: Path) -> None:
    proto = onnx.load(model_path)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match="without the metadata"):
        Model(tmp_path / "bare.onnx")


def test_a_newer_schema_is_refused(model_path: Path, tmp_path: Path) -> None:
    proto = onnx.load(model_path)
    text = proto.metadata_props[0].value.replace('"schema_version":2', '"schema_version":3')
    del proto.metadata_props[:]
    proto.metadata_props.add(key=KEY, value=text)
    onnx.save(proto, tmp_path / "new.onnx")
    with pytest.raises(ModelError, match="newer engine"):
        Model(tmp_path / "new.onnx")


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelError, match="no ONNX file"):
        Model(tmp_path / "text.onnx")


def test_weights_outside_of_the_folder_are_refused(model_path: Path, tmp_path: Path) -> None:
    proto = onnx.load(model_path)
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    (tmp_path / "evil.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="outside of its folder"):
        Model(tmp_path / "evil.onnx")


def test_beyond_six_modalities_a_fixed_sample_of_scenarios_is_compared() -> None:
    assert compared_scenarios(3) == scenarios(3)
    some = compared_scenarios(9)
    assert some == compared_scenarios(9)
    assert len(set(some)) == 63
    assert set(scenarios(9)[:9]) <= set(some)
