"""Every network leaves as a model: parity in every scenario, nothing of absent sensors, any number of modalities."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import engine
from engine.availability import Scenario, scenarios
from engine.export.onnx import export_model
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
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter
from engine.runtime.session import Sessions

NETWORKS: dict[str, dict[str, Any]] = {
    "mean_fusion": {"encoder": "segformer-tiny"},
    "mean_fusion, confidence": {"encoder": "resnet-tiny", "fusion": "confidence"},
    "mean_fusion, gated": {"encoder": "resnet-tiny", "fusion": "gated"},
    "cbc": {"size": "tiny"},
    "cbc_slp": {"size": "tiny"},
    "cmx": {"size": "tiny"},
    "cmx_cnn": {"size": "tiny"},
    "stars": {"encoder": "resnet-tiny", "pyramid": 48, "width": 48},
    "lds2ae": {"window": 5, "width": 16, "depth": 2, "decoder_depth": 1, "heads": 4},
    "lvpcnet": {"window": 3, "width": 16, "depth": 1, "heads": 4, "text_width": 8},
    "lvpcnet, reconstruction": {
        "window": 3,
        "width": 16,
        "depth": 1,
        "heads": 2,
        "text_width": 8,
        "compensation": "reconstruction",
    },
    "lvpcnet, nothing shared": {
        "window": 3,
        "width": 16,
        "depth": 1,
        "heads": 2,
        "text_width": 8,
        "decoupled": False,
    },
    "lvpcnet, no prompts": {
        "window": 3,
        "width": 16,
        "depth": 1,
        "heads": 2,
        "text_width": 8,
        "compensation": "none",
    },
    "lds2ae, patches": {
        "window": 9,
        "patch": 3,
        "width": 16,
        "depth": 1,
        "decoder_depth": 1,
        "heads": 2,
        "pool": "mean",
    },
}
KINDS = {
    "optical": (13, "uint16", 3000.0),
    "sar": (2, "float32", -12.0),
    "dem": (1, "int16", 400.0),
    "heat": (3, "uint8", 120.0),
}
TILE = 64


def segmenter(name: str, count: int) -> Segmenter:
    modalities = [
        Modality(
            key,
            tuple(f"b{band}" for band in range(bands)),
            dtype,
            "",
            tuple(BandStatistics(mean + band, 5 + band, mean - 99, mean + 99) for band in range(bands)),
        )
        for key, (bands, dtype, mean) in list(KINDS.items())[:count]
    ]
    torch.manual_seed(0)
    options = NETWORKS[name] | ({"band_lists": {"optical": [3, 7, 11]}} if name.startswith("cbc") else {})
    network = build_network(name.split(",")[0], options, {item.name: len(item.bands) for item in modalities}, 4)
    with torch.no_grad():  # batch norms of a network that never saw anything let its activations grow
        for module in network.modules():
            if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)):
                module.momentum = 1.0
        seen = {item.name: torch.randn(2, len(item.bands), TILE, TILE) for item in modalities}
        network.train()(seen, torch.ones(2, count, dtype=torch.bool))
    return Segmenter(network, modalities).eval()


def tile_of(trained: Segmenter) -> int:
    return trained.network.tile or TILE


def values(item: Modality, batch: int, tile: int) -> np.ndarray:
    rng = np.random.default_rng(len(item.bands))
    return (item.fill[None, :, None, None] + rng.normal(0, 4, (batch, len(item.bands), tile, tile))).astype(item.dtype)


def facts(name: str, trained: Segmenter) -> ModelMetadata:
    return ModelMetadata(
        name=name,
        engine=engine.__version__,
        modalities=tuple(modality_facts(item) for item in trained.modalities),
        classes=tuple(ClassFacts(value=value, name=f"c{value}", color="#102030") for value in range(4)),
        pixel_size=PixelSize(x=10, y=10, crs="EPSG:32631"),
        tile=tile_of(trained),
        halo=4,
        accuracy=(),
        training=TrainingFacts(data=("none",), licence="", network=name, method="none", recipe=""),
    )


COUNTS = {"cmx_cnn": (1, 2, 3, 4), "cmx": (2,), "cbc": (2,)}
"""Of sensors. A network leaves with one and with three, of which every pair is a scenario too; a variant with two.

What two, three and four share of a kind is shown by the smallest network; cmx and cbc are cmx_cnn and cbc_slp but for
their encoder and prompts.
"""


@pytest.mark.parametrize(
    ("name", "count"),
    [(name, count) for name in NETWORKS for count in ((2,) if "," in name else COUNTS.get(name, (1, 3)))],
)
def test_a_network_leaves_as_a_model_for_every_scenario(name: str, count: int, tmp_path: Path) -> None:
    trained = segmenter(name, count)
    export_model(trained, facts(name, trained), tmp_path / "m.onnx")  # which compares all scenarios
    model = Model(tmp_path / "m.onnx")
    sessions, tile = Sessions(model, "cpu", ("logits",)), tile_of(trained)
    convolutions: dict[Scenario, int] = {}
    for scenario in scenarios(count):
        inputs = {
            trained.modalities[index].name: values(trained.modalities[index], 2, tile) for index in scenario.indices
        }
        tensors = {
            item.name: torch.from_numpy(inputs.get(item.name, np.zeros((2, len(item.bands), tile, tile), item.dtype)))
            for item in trained.modalities
        }
        with torch.inference_mode():
            expected = trained(tensors, torch.tensor([scenario.members] * 2)).numpy()
        (found,) = sessions.run(scenario, inputs)
        assert abs(found - expected).max() <= 1e-4 * max(1, abs(expected).max())
        graph = specialise(model.proto, scenario, model.names, ("classes",)).graph
        assert not any(node.op_type == "If" for node in graph.node)
        assert {item.name for item in graph.input} == set(inputs)
        convolutions[scenario] = sum(node.op_type == "Conv" for node in graph.node)
    if name == "stars":  # what sensors share stands once
        state = trained.network.state_dict()
        answering = sum(4 * found.numel() for key, found in state.items() if not key.startswith("translations."))
        assert (tmp_path / "m.onnx").stat().st_size <= 1.1 * answering
    if name.startswith("lvpcnet"):  # stems of three for each sensor; one, behind a match, for each that is prompted
        stems = 1 if name.endswith("nothing shared") else 2
        prompted = 0 if name.endswith(("reconstruction", "no prompts")) else 1
        for scenario, found in convolutions.items():
            there = len(scenario.indices)
            assert found == 3 * stems * there + 4 * prompted * there * (count - there)
    elif count > 1 and not name.startswith("cmx"):  # whose streams exchange features from the first stage on
        alone = [found for scenario, found in convolutions.items() if len(scenario.indices) == 1]
        assert max(alone) < min(found for scenario, found in convolutions.items() if len(scenario.indices) == 2)
