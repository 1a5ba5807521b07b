"""Low-rank matrices: what is merged answers as what was trained."""

import pytest
import torch

from engine.networks.registry import build_network
from engine.training.adaptation import adapt, merge


@pytest.mark.parametrize("name", ["mean_fusion", "cbc", "cbc_slp", "cmx", "cmx_cnn"])
def test_merging_changes_no_logit(name: str) -> None:
    torch.manual_seed(0)
    options = {"encoder": "segformer-tiny"} if name == "mean_fusion" else {"size": "tiny"}
    network = build_network(name, options, {"rgb": 3, "dem": 1}, 3).double().eval()
    keys = set(network.state_dict())
    inputs = {"rgb": torch.randn(1, 3, 32, 32).double(), "dem": torch.randn(1, 1, 32, 32).double()}
    everything = torch.ones(1, 2, dtype=torch.bool)
    before = network(inputs, everything)
    trained = adapt(network, network.lora_targets, 2, seed=1)
    torch.testing.assert_close(network(inputs, everything), before)
    assert trained
    with torch.no_grad():
        for parameter in trained:
            parameter += 0.1 * torch.randn_like(parameter)
    adapted = network(inputs, everything)
    assert not torch.allclose(adapted, before)
    merge(network)
    assert set(network.state_dict()) == keys
    torch.testing.assert_close(network(inputs, everything), adapted)
