"""CMX: how streams coarsen, and how weights begin."""

import math

import pytest
import torch
from torch import nn

from engine.networks.cmx import Fusion, Rectification
from engine.networks.registry import build_network


def test_the_plain_streams_halve_once_a_block() -> None:
    """A stem to 1/2, then stages to 1/4, 1/8, 1/16 and 1/32, as sizes of 64 pixels tell."""
    network = build_network("cmx_cnn", {"size": "tiny"}, {"rgb": 3, "sar": 2}, 2).eval()
    inputs = {"rgb": torch.randn(1, 3, 64, 64), "sar": torch.randn(1, 2, 64, 64)}
    sizes: list[int] = []
    for module in network.streams[0].modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _given, found: sizes.append(found.shape[-1]))
    detail = network.detail(inputs, torch.ones(1, 2, dtype=torch.bool))
    assert sizes == [32, 32, 16, 16, 8, 8, 4, 4, 2, 2]
    assert [level.shape[-1] for level in detail.unimodal["rgb"].features] == [16, 8, 4, 2]


def deviation(layer: nn.Module) -> float:
    return float(layer.get_parameter("weight").detach().std())


def test_a_fusion_begins_as_published() -> None:
    """Deviations of thousands of weights; the fan-out of a depth-wise 3 x 3 convolution is 9, of the others 128."""
    torch.manual_seed(0)
    fusion = Fusion(128, 4)
    wide, deep, _, narrow, _ = fusion.embed
    for layer in (*fusion.exchange.split, *fusion.exchange.key_value, *fusion.exchange.end):
        assert deviation(layer) == pytest.approx(0.02, rel=0.03)
    for layer, fan_out in ((wide, 128), (narrow, 128), (fusion.residual, 128), (deep, 9)):
        assert deviation(layer) == pytest.approx(math.sqrt(2 / fan_out), rel=0.06)
    biases = [value for key, value in fusion.named_parameters() if key.endswith("bias")]
    assert (
        len(biases) == 2 * 3 + 3 + 2
    )  # linear layers with a bias and norms of the exchange; convolutions; batch norms
    assert not any(bias.any() for bias in biases)
    assert all((norm.weight == 1).all() for norm in fusion.exchange.norm)


def test_rectifications_begin_so_in_cmx_alone() -> None:
    torch.manual_seed(0)
    bands = {"rgb": 3, "sar": 2}
    for name, begins in (("cmx", True), ("cmx_cnn", False)):
        rectification = build_network(name, {"size": "small"}, bands, 2).rectifications[-1]
        assert isinstance(rectification, Rectification)
        assert (abs(deviation(rectification.channel[0]) - 0.02) < 0.001) == begins
        assert bool(rectification.place[0].bias.any()) != begins
