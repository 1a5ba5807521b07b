"""What every network keeps, whatever it is: availability decides, samples are alone, every parameter learns."""

import copy
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest
import torch

from engine.networks.contract import Detail, Network, Unimodal
from engine.networks.lds2ae import Lds2ae
from engine.networks.lvpcnet import Features, Lvpcnet, LvpcnetDetail
from engine.networks.registry import build_network

NETWORKS: dict[str, dict[str, Any]] = {
    "mean_fusion": {"encoder": "segformer-tiny"},
    "mean_fusion, confidence": {"encoder": "segformer-tiny", "fusion": "confidence"},
    "mean_fusion, gated": {"encoder": "segformer-tiny", "fusion": "gated"},
    "cbc": {"size": "tiny"},
    "cbc_slp": {"size": "tiny"},
    "cmx": {"size": "tiny"},
    "cmx_cnn": {"size": "tiny"},
    "stars": {"encoder": "resnet-tiny", "pyramid": 16, "width": 16},
    "lds2ae": {"window": 5, "stride": 2, "width": 16, "depth": 2, "decoder_depth": 1, "heads": 4},
    "lvpcnet": {"window": 3, "width": 16, "depth": 2, "heads": 4, "text_width": 8},
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
BANDS = {"optical": 13, "sar": 2, "dem": 1, "thermal": 3}
LISTS = {"optical": [3, 7, 11]}


def built(name: str, count: int, seed: int = 0) -> Network:
    """A tiny network of the first ``count`` modalities in evaluation mode, its norms' statistics moved."""
    torch.manual_seed(seed)
    bands = dict(list(BANDS.items())[:count])
    options = NETWORKS[name] | ({"band_lists": LISTS} if name.startswith("cbc") else {})
    network = build_network(name.split(",")[0], options, bands, 5)
    network.train()
    with torch.no_grad():
        network(inputs(network, 4, seed + 1), torch.ones(4, count, dtype=torch.bool))
    return network.eval()


def inputs(network: Network, batch: int, seed: int = 5, rows: int = 45, cols: int = 51) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {name: torch.randn(batch, bands, rows, cols) for name, bands in network.bands.items()}


def every_availability(count: int) -> torch.Tensor:
    bits = torch.arange(1, 2**count)
    return (bits[:, None] >> torch.arange(count)) % 2 == 1


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("content", [0.0, 1e9, float("nan"), float("inf")])
def test_what_a_missing_modality_holds_changes_no_logit(name: str, content: float) -> None:
    network = built(name, 3)
    availability = every_availability(3)
    given = inputs(network, len(availability))
    expected = network(given, availability)
    assert expected.isfinite().all()
    for number, modality in enumerate(network.names):
        given[modality][~availability[:, number]] = content
    torch.testing.assert_close(network(given, availability), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_step_sees_nothing_of_what_is_missing(name: str) -> None:
    network = built(name, 3)
    network.train()
    availability = torch.tensor([[True, False, True], [True, False, False], [False, False, True]])
    given = inputs(network, 3)
    again = copy.deepcopy(network)  # with running statistics as they are before the step
    torch.manual_seed(0)
    expected = network(given, availability)
    for number, modality in enumerate(network.names):
        given[modality][~availability[:, number]] = float("nan")
    torch.manual_seed(0)
    torch.testing.assert_close(again(given, availability), expected, rtol=1e-4, atol=1e-4)
    assert all(values.isfinite().all() for values in network.state_dict().values())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_logits_do_not_depend_on_the_neighbours_in_a_batch(name: str, count: int) -> None:
    """In double precision: instance norms over a few values magnify what single precision rounds."""
    network = built(name, count).double()
    batch = max(2, min(8, 2**count - 1))
    availability = every_availability(count)[torch.arange(batch) % (2**count - 1)]
    given = {key: values.double() for key, values in inputs(network, batch).items()}
    together = network(given, availability)
    assert together.shape == (batch, 5, 45, 51)
    for sample in range(batch):
        alone = network({key: values[[sample]] for key, values in given.items()}, availability[[sample]])
        torch.testing.assert_close(together[[sample]], alone, rtol=1e-8, atol=1e-8)


def floats(given: object) -> list[torch.Tensor]:
    """All tensors of numbers in a forward pass's detail."""
    if isinstance(given, torch.Tensor):
        return [given] if given.is_floating_point() else []
    if isinstance(given, Mapping):
        return [tensor for one in given.values() for tensor in floats(one)]
    if isinstance(given, tuple):
        return [tensor for one in given for tensor in floats(one)]
    if given is None:
        return []
    assert isinstance(given, Detail | Unimodal | Features)
    return [tensor for one in fields(given) for tensor in floats(getattr(given, one.name))]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns(name: str) -> None:
    network = built(name, 3).train()
    availability = torch.tensor([[True, True, True], [True, False, True]])
    if isinstance(network, Lvpcnet):  # which has parameters for each pair of a sensor that is there and one that is not
        availability = every_availability(3)
    detail = network.detail(inputs(network, len(availability)), availability)
    found = floats(detail)
    if isinstance(network, Lds2ae):  # whose decoders are for pre-training alone
        window, kept = network.options.window, torch.zeros(2, 1).long()
        given = inputs(network, 2, rows=window, cols=window)
        tokens = {one: network.encode(one, given[one], torch.tensor([3, 9]), kept) for one in network.names}
        found += [network.decode(one, tokens[one], kept) for one in network.names]
    if isinstance(network, Lvpcnet):  # whose projections are for the alignment with text alone
        assert isinstance(detail, LvpcnetDetail)
        found += [network.projected(one, seen.tokens.movedim(1, -1)) for one, seen in detail.own.items()]
        found += [network.projected(None, seen.tokens.movedim(1, -1)) for seen in detail.shared.values()]
    torch.stack([values.square().mean() for values in found]).sum().backward()
    without = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_trains_in_mixed_precision(name: str) -> None:
    network = built(name, 3).train()
    availability = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.detail(inputs(network, 3), availability).logits
    logits.float().square().mean().backward()
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_the_latents_that_it_names(name: str) -> None:
    network = built(name, 3)
    detail = network.detail(inputs(network, 2), torch.ones(2, 3, dtype=torch.bool))
    assert tuple(detail.latents) == network.latents
    assert all(latent.shape[0] == 2 for latent in detail.latents.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_tells_what_it_finds_of_each_sensor_alone(name: str) -> None:
    """Of the samples that have it, untouched by the others."""
    network = built(name, 3)
    if network.predicts_alone:
        network.train()
        for module in network.modules():  # samples apart, nothing dropped
            if "BatchNorm" in type(module).__name__ or "Drop" in type(module).__name__:
                module.eval()
    availability = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    given = inputs(network, 3, rows=64, cols=96)
    found = network.detail(given, availability).unimodal
    groups = ("optical", "sar+dem") if name.startswith("cmx") else ("optical", "sar", "dem")
    assert tuple(found) == groups
    for group, one in found.items():
        places = [network.names.index(member) for member in group.split("+")]
        assert one.samples.tolist() == availability[:, places].any(dim=1).nonzero()[:, 0].tolist()
        assert {len(level) for level in one.features} == {len(one.samples)}
        assert len(one.features) >= (1 if network.margin else 4)  # one stage, or a pyramid
        assert (one.prediction is not None) == network.predicts_alone
        if one.prediction is not None:
            assert one.prediction.shape[:2] == (len(one.samples), 5)
    changed = network.detail({**given, "optical": given["optical"] + 1}, availability).unimodal
    first = found["optical"].features[0]
    assert not torch.equal(changed["optical"].features[0], first)
    if not name.startswith("cmx"):  # whose streams have met before their second stage
        for one, other in zip(found["dem"].features, changed["dem"].features, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_modality_matters_where_it_is_available(name: str) -> None:
    network = built(name, 3)
    given = inputs(network, 1)
    everything = torch.ones(1, 3, dtype=torch.bool)
    before = network(given, everything)
    for modality in network.names:
        assert not torch.equal(network({**given, modality: given[modality] + 1}, everything), before)
