"""Networks: availability decides, not what lies in a missing sensor's tensor."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ResNetConfig, ResNetModel

from engine.errors import ModelError, RecipeError
from engine.networks.encoders import adapted, build_encoder
from engine.networks.heads import AllMlpHead
from engine.networks.mean_fusion import MeanFusion
from engine.networks.registry import build_network

BANDS = {"rgb": 3, "sar": 2, "dem": 1}
TINY = ("segformer-tiny", "resnet-tiny")


def inputs(size: int = 48, batch: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: torch.randn(batch, bands, size, size) for name, bands in BANDS.items()}


@pytest.mark.parametrize("encoder", TINY)
@pytest.mark.parametrize("content", [0.0, 1e9, float("nan"), float("inf")])
def test_what_a_missing_modality_holds_changes_no_logit(encoder: str, content: float) -> None:
    network = build_network("mean_fusion", {"encoder": encoder}, BANDS, 5).eval()
    given = inputs()
    availability = torch.tensor([[True, False, True], [False, True, False]])
    expected = network(given, availability)
    given["sar"][0] = content
    given["rgb"][1] = content
    given["dem"][1] = content
    torch.testing.assert_close(network(given, availability), expected, rtol=0, atol=0)


@pytest.mark.parametrize("encoder", TINY)
def test_logits_are_the_mean_over_the_available_modalities(encoder: str) -> None:
    network = build_network("mean_fusion", {"encoder": encoder}, BANDS, 5).eval()
    given = inputs(batch=1)
    singles = [network(given, torch.eye(3, dtype=torch.bool)[[number]]) for number in range(3)]
    pair = network(given, torch.tensor([[True, False, True]]))
    torch.testing.assert_close(pair, (singles[0] + singles[2]) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", TINY)
def test_sizes_that_no_stride_divides_come_back_as_they_were(encoder: str) -> None:
    network = build_network("mean_fusion", {"encoder": encoder}, {"rgb": 3}, 2).eval()
    assert network({"rgb": torch.randn(1, 3, 45, 51)}, torch.ones(1, 1, dtype=torch.bool)).shape == (1, 2, 45, 51)


@pytest.mark.parametrize("encoder", TINY)
def test_the_exported_form_gives_the_same_logits(encoder: str) -> None:
    network = build_network("mean_fusion", {"encoder": encoder}, BANDS, 5).eval()
    given = inputs()
    for members in ([True, False, False], [False, True, True]):
        straight = network(given, torch.tensor([members, members]))
        form = network.scenario_logits(given, torch.tensor(members), lambda _name, values: values)
        torch.testing.assert_close(form, straight, rtol=1e-4, atol=1e-5)


def test_the_merged_head_is_the_head() -> None:
    head = AllMlpHead((4, 6), 8, 3).eval()
    maps = [torch.randn(2, 4, 12, 12), torch.randn(2, 6, 6, 6)]
    torch.testing.assert_close(head._merged(maps), head._straight(maps), rtol=1e-4, atol=1e-5)


def test_every_parameter_learns() -> None:
    network = build_network("mean_fusion", {"encoder": "segformer-tiny"}, BANDS, 5)
    network(inputs(), torch.tensor([[True, False, True], [True, True, False]])).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_first_convolution_for_more_bands_keeps_the_response_to_grey() -> None:
    rgb = torch.nn.Conv2d(3, 4, 3, bias=False)
    grey = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(adapted(rgb, 5)(grey.repeat(1, 5, 1, 1)), rgb(grey.repeat(1, 3, 1, 1)))


def test_pretrained_weights_come_from_a_folder(tmp_path: Path) -> None:
    config = ResNetConfig(embedding_size=16, hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 1, 1], layer_type="basic")
    model = ResNetModel(config)
    model.save_pretrained(tmp_path)
    encoder = build_encoder("resnet-tiny", {"rgb": 3, "dem": 1}, str(tmp_path))
    weights = encoder.state_dict()
    torch.testing.assert_close(weights["convolutions.rgb.weight"], model.embedder.embedder.convolution.weight)
    name, value = next(iter(model.encoder.stages.state_dict().items()))
    torch.testing.assert_close(weights[f"shared.{name}"], value)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="widths and depths"):
        build_encoder("resnet-tiny", {"rgb": 3}, str(tmp_path))


def test_an_unknown_encoder_or_option_is_named() -> None:
    with pytest.raises(RecipeError, match="vgg"):
        build_network("mean_fusion", {"encoder": "vgg"}, BANDS, 5)
    with pytest.raises(RecipeError, match=r"network\.options\.depth"):
        build_network("mean_fusion", {"depth": 3}, BANDS, 5)


@pytest.mark.parametrize("fusion", ["confidence", "gated"])
def test_a_surer_sensor_weighs_more(fusion: str) -> None:
    """By hand at one place: logits weighted by exp(-entropy), or by what the gate gives."""
    torch.manual_seed(0)
    network = build_network("mean_fusion", {"encoder": "segformer-tiny", "fusion": fusion}, {"a": 1, "b": 2}, 3).eval()
    assert isinstance(network, MeanFusion)
    if fusion == "gated":
        torch.nn.init.normal_(network.gate.weight)
    with torch.no_grad():
        network.head.classify.weight *= 20
    inputs = {"a": torch.randn(1, 1, 32, 32), "b": torch.randn(1, 2, 32, 32)}
    with torch.no_grad():
        detail = network.detail(inputs, torch.ones(1, 2, dtype=torch.bool))
        logits, weights = [], []
        for name in ("a", "b"):
            maps = detail.unimodal[name].features
            own = network.head(maps)[0].double().numpy()
            chances = np.exp(own) / np.exp(own).sum(axis=0)
            weight = np.exp((chances * np.log(chances)).sum(axis=0)) + 1e-4
            if fusion == "gated":
                weight = np.log1p(np.exp(network.gate(network.head.hidden(maps))[0, 0].double().numpy())) + 1e-4
            logits.append(own)
            weights.append(weight)
    expected = sum(weight * own for weight, own in zip(weights, logits, strict=True)) / sum(weights)
    large = torch.nn.functional.interpolate(torch.from_numpy(expected)[None], size=(32, 32), mode="bilinear")
    torch.testing.assert_close(detail.logits.double(), large, rtol=1e-4, atol=1e-4)
    assert abs(weights[0] - weights[1]).max() > 0.01


def test_a_gate_teaches_what_it_reads() -> None:
    """The gradient of logits reaches the head's features through the weights alone, with its own logits held fixed."""
    torch.manual_seed(0)
    network = build_network("mean_fusion", {"encoder": "segformer-tiny", "fusion": "gated"}, {"a": 1, "b": 2}, 3).eval()
    assert isinstance(network, MeanFusion)
    torch.nn.init.normal_(network.gate.weight)
    inputs = {"a": torch.randn(1, 1, 32, 32), "b": torch.randn(1, 2, 32, 32)}
    network.head.classified = lambda hidden: torch.nn.functional.conv2d(  # type: ignore[method-assign]
        hidden.detach(), network.head.classify.weight, network.head.classify.bias
    )
    network(inputs, torch.ones(1, 2, dtype=torch.bool))[:, 0].sum().backward()
    stage = network.encoder.convolutions["a"] if hasattr(network.encoder, "convolutions") else network.encoder
    assert any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in stage.parameters())
