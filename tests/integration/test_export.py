"""A network of three sensors, each with weights of its own, leaves PyTorch as one file that answers as it does."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.availability import Scenario, scenarios
from engine.errors import DeviceError, ExportError, OutputError
from engine.export.onnx import export_model
from engine.export.parity import sample_values
from engine.modality import BandStatistics, Modality
from engine.model.document import (
    ClassFacts,
    ModelMetadata,
    PixelSize,
    TrainingFacts,
    modality_facts,
)
from engine.model.file import Model
from engine.model.specialise import specialise
from engine.networks.contract import Detail, Network, Normalise
from engine.networks.segmenter import Segmenter
from engine.runtime.session import Sessions
from engine.training.release import release

TILE = 8
MODALITIES = (
    Modality("optical", ("b", "g", "r"), "uint16", "digital numbers", (BandStatistics(1000, 300, 0, 4000),) * 3),
    Modality("sar", ("vv", "vh"), "float32", "dB", (BandStatistics(-12, 4, -40, 10),) * 2),
    Modality("dem", ("height",), "int16", "m", (BandStatistics(200, 100, -10, 900),)),
)
NAMES = tuple(modality.name for modality in MODALITIES)


class SeparatePaths(Network):
    """An encoder for each modality, averaged. ``drift`` is added in the exported form only."""

    def __init__(self, bands: Mapping[str, int], classes: int, drift: float = 0.0) -> None:
        super().__init__(bands, classes)
        self.drift = drift
        self.paths = nn.ModuleDict({name: self.path(count) for name, count in bands.items()})
        self.biases = nn.ParameterDict(
            {name: torch.full((classes, 1, 1), 0.1 * count) for name, count in bands.items()}
        )

    def path(self, count: int) -> nn.Sequential:
        first, last = nn.Conv2d(count, 4, 3, padding=1), nn.Conv2d(4, self.classes, 1)
        return nn.Sequential(first, nn.BatchNorm2d(4), nn.ReLU(), last)

    def detail(self, inputs: Mapping[str, Tensor], availability: Tensor) -> Detail:
        seen = availability[:, :, None, None, None]
        branches = torch.stack([self.paths[name](inputs[name]) + self.biases[name] for name in self.names], dim=1)
        logits = torch.where(seen, branches, 0.0).sum(dim=1) / seen.sum(dim=1)
        return Detail(logits)

    def scenario_logits(self, inputs: Mapping[str, Tensor], availability: Tensor, normalise: Normalise) -> Tensor:
        total = self.branch(0, inputs, availability, normalise)
        for number in range(1, len(self.names)):
            total = total + self.branch(number, inputs, availability, normalise)
        return total / availability.sum().to(torch.float32) + self.drift

    def branch(self, number: int, inputs: Mapping[str, Tensor], availability: Tensor, normalise: Normalise) -> Tensor:
        name = self.names[number]

        def present(raw: Tensor) -> Tensor:
            return (self.paths[name](normalise(name, raw)) + self.biases[name]).contiguous()

        def absent(raw: Tensor) -> Tensor:
            return torch.zeros((raw.shape[0], self.classes, raw.shape[2], raw.shape[3]))

        return torch.cond(availability[number], present, absent, (inputs[name],))


def segmenter_of(classes: int = 4, drift: float = 0.0, modalities: Sequence[Modality] = MODALITIES) -> Segmenter:
    torch.manual_seed(0)
    bands = {modality.name: len(modality.bands) for modality in modalities}
    return Segmenter(SeparatePaths(bands, classes, drift), modalities)


def metadata_of(classes: int = 4, modalities: Sequence[Modality] = MODALITIES) -> ModelMetadata:
    return ModelMetadata(
        name="toy",
        engine="0.1",
        modalities=tuple(modality_facts(modality) for modality in modalities),
        classes=tuple(ClassFacts(value=value, name=f"class {value}", color="#102030") for value in range(classes)),
        pixel_size=PixelSize(x=10, y=10, crs=None),
        tile=TILE,
        halo=1,
        training=TrainingFacts(data=(), licence="", network="separate", method="", recipe=""),
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelMetadata]:
    path = tmp_path_factory.mktemp("export") / "toy.onnx"
    return path, export_model(segmenter_of(), metadata_of(), path)


@pytest.fixture(scope="module")
def toy_path(exported: tuple[Path, ModelMetadata]) -> Path:
    return exported[0]


def drawn(batch: int) -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(2)
    return {modality.name: sample_values(modality, rng, batch, TILE) for modality in MODALITIES}


def network_logits(values: Mapping[str, NDArray[np.generic]], scenario: Scenario, batch: int) -> NDArray[np.float32]:
    tensors = {name: torch.from_numpy(array) for name, array in values.items()}
    with torch.inference_mode():
        logits: NDArray[np.float32] = segmenter_of().eval()(tensors, torch.tensor([scenario.members] * batch)).numpy()
    return logits


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("scenario", scenarios(3), ids=lambda scenario: scenario.code)
def test_all_outputs_follow_from_the_networks_logits(toy_path: Path, scenario: Scenario, batch: int) -> None:
    values = drawn(batch)
    logits = network_logits(values, scenario, batch).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    whole = onnxruntime.InferenceSession(toy_path, providers=["CPUExecutionProvider"])
    outputs = ("classes", "confidence", "probabilities", "logits")
    of_whole = whole.run(list(outputs), values | {"availability": np.array(scenario.members)})
    part = {NAMES[index]: values[NAMES[index]] for index in scenario.indices}
    of_part = Sessions(Model(toy_path), "cpu", outputs).run(scenario, part)
    for classes, confidence, probabilities, found in (of_whole, of_part):
        np.testing.assert_allclose(found, logits, atol=1e-5)
        np.testing.assert_allclose(probabilities, shares, atol=1e-5)
        assert (classes == logits.argmax(axis=1)).all()
        assert classes.dtype == confidence.dtype == np.uint8
        assert np.abs(confidence - 100 * shares.max(axis=1)).max() <= 0.501
    np.testing.assert_allclose(of_part[3], of_whole[3], rtol=0, atol=1e-6)


@pytest.mark.parametrize("scenario", scenarios(3), ids=lambda scenario: scenario.code)
def test_a_scenario_holds_the_weights_of_its_members_only(toy_path: Path, scenario: Scenario) -> None:
    graph = specialise(Model(toy_path).proto, scenario, NAMES, ["classes"]).graph
    held = {name for name in NAMES if any(f".{name}." in weight.name for weight in graph.initializer)}
    assert held == {item.name for item in graph.input} == {NAMES[index] for index in scenario.indices}
    kinds = [node.op_type for node in graph.node]
    assert (kinds.count("Conv"), kinds.count("If"), kinds.count("Softmax")) == (2 * len(scenario.indices), 0, 0)


def test_what_lies_in_an_absent_sensor_does_not_matter(toy_path: Path) -> None:
    whole = onnxruntime.InferenceSession(toy_path, providers=["CPUExecutionProvider"])
    values = drawn(2) | {"availability": np.array([True, False, True])}
    expected = whole.run(["logits"], values)[0]
    found = whole.run(["logits"], values | {"sar": np.full((2, 2, TILE, TILE), np.nan, np.float32)})[0]
    np.testing.assert_array_equal(found, expected)


def test_the_file_holds_the_weights_and_no_trace_of_the_machine(toy_path: Path) -> None:
    assert [path.name for path in toy_path.parent.iterdir()] == [toy_path.name]
    content = toy_path.read_bytes()
    for trace in (b"stack_trace", b"pkg.torch", b"site-packages", os.fsencode(Path.home()), os.fsencode(Path.cwd())):
        assert trace not in content
    onnx.checker.check_model(onnx.load(toy_path))


def test_the_metadata_returned_is_the_metadata_written(exported: tuple[Path, ModelMetadata]) -> None:
    path, returned = exported
    assert Model(path).metadata == returned
    assert returned.parity is not None
    assert 0 <= returned.parity <= 1e-4
    assert returned == metadata_of().model_copy(update={"parity": returned.parity})


def test_class_indices_are_uint16_beyond_255_classes(tmp_path: Path) -> None:
    export_model(segmenter_of(256), metadata_of(256), tmp_path / "many.onnx")
    sessions = Sessions(Model(tmp_path / "many.onnx"), "cpu", ["classes"])
    assert sessions.run(scenarios(3)[1], {"sar": drawn(1)["sar"]})[0].dtype == np.uint16


def test_a_graph_that_answers_otherwise_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"scenario optical: the graph's logits differ .* by 1\.00e-02"):
        export_model(segmenter_of(drift=0.01), metadata_of(), tmp_path / "toy.onnx")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"there is no folder .*; make it first"):
        export_model(segmenter_of(), metadata_of(), tmp_path / "missing" / "toy.onnx")


def test_where_no_model_can_be_written_no_run_is_read(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder; name a file in it"):
        release(tmp_path / "none", tmp_path, "best")


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
def test_a_write_that_breaks_off_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    (tmp_path / "toy.onnx").write_bytes(b"old")

    def fail(_descriptor: int) -> None:
        raise fault

    monkeypatch.setattr("engine.files.os.fsync", fail)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        export_model(segmenter_of(), metadata_of(), tmp_path / "toy.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["toy.onnx"]
    assert (tmp_path / "toy.onnx").read_bytes() == b"old"


@pytest.mark.parametrize(
    "names",
    [
        ("val_1", "argmax", "getitem_1"),
        ("class", "import", "None"),
        ("sensor_1", "sensor_0", "lambda"),
    ],
)
def test_modalities_may_be_called_as_python_or_a_graph_calls_its_own(names: tuple[str, ...], tmp_path: Path) -> None:
    modalities = [replace(modality, name=name) for modality, name in zip(MODALITIES, names, strict=True)]
    trained = segmenter_of(modalities=modalities)
    before = [*trained.state_dict()]
    export_model(trained, metadata_of(modalities=modalities), tmp_path / "toy.onnx")
    assert [*trained.state_dict()] == before
    model = Model(tmp_path / "toy.onnx")
    assert model.names == names
    sessions, drawn_values = Sessions(model, "cpu", ("logits",)), [*drawn(2).values()]
    for scenario in scenarios(3):
        found = sessions.run(scenario, {names[index]: drawn_values[index] for index in scenario.indices})[0]
        np.testing.assert_allclose(found, network_logits(drawn(2), scenario, 2), atol=1e-5)


def cuda_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime as it is where its CUDA part is installed and no GPU is: it lists CUDA and falls back."""
    real = onnxruntime.InferenceSession

    def session(*arguments: object, providers: object) -> onnxruntime.InferenceSession:
        assert providers == ["CUDAExecutionProvider"]
        return real(*arguments, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)


def test_auto_runs_on_the_processor_where_cuda_does_not_work(toy_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_that_does_not_work(monkeypatch)
    sessions = Sessions(Model(toy_path))
    assert sessions.probabilities(scenarios(3)[1], {"sar": drawn(1)["sar"]}).shape == (1, 4, TILE, TILE)
    assert sessions.device == "cpu"


def test_a_gpu_that_this_runtime_cannot_use_is_told(
    toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Sessions(Model(toy_path)).fallback is None
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert "has an NVIDIA GPU, but" in str(Sessions(Model(toy_path)).fallback)
    assert Sessions(Model(toy_path), "cpu").fallback is None


def test_cuda_asked_for_that_does_not_work_is_an_error(toy_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_that_does_not_work(monkeypatch)
    with pytest.raises(DeviceError, match="fell back to"):
        Sessions(Model(toy_path), "cuda").session(scenarios(3)[0])


@pytest.mark.parametrize("device", ["cuda", "tensorrt", "directml", "coreml", "abacus"])
def test_a_device_that_this_runtime_lacks_is_refused_by_name(toy_path: Path, device: str) -> None:
    if any(device[:4] in name.lower() for name in onnxruntime.get_available_providers()):
        pytest.skip(f"this ONNX Runtime has {device}")
    with pytest.raises(DeviceError, match=device):
        Sessions(Model(toy_path), device)
