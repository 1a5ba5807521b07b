"""LVPCnet against second computations: prompts in every layer, what is recreated of what, one head for all."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from engine.networks.lvpcnet import Lvpcnet
from engine.networks.registry import build_network
from engine.networks.windows import Transformer

ByHand = Callable[..., np.ndarray]
BANDS = {"optical": 3, "sar": 2, "dem": 1}
OPTIONS = {"window": 3, "width": 16, "depth": 3, "heads": 4, "text_width": 8, "prompts": 2}


def built(options: dict[str, object] | None = None, bands: dict[str, int] = BANDS) -> Lvpcnet:
    """In evaluation mode, after its norms have seen something, with norms and biases away from where they begin."""
    torch.manual_seed(0)
    network = build_network("lvpcnet", OPTIONS | (options or {}), bands, 4)
    assert isinstance(network, Lvpcnet)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    network.train()
    everything = torch.ones(4, len(bands), dtype=torch.bool)
    with torch.no_grad():
        network({name: torch.randn(4, count, 6, 6) for name, count in bands.items()}, everything)
    return network.eval()


def array(values: torch.Tensor) -> np.ndarray:
    return values.detach().double().numpy()


def test_prompts_stand_in_every_layer_and_are_dropped_behind_it(transformer_by_hand: ByHand) -> None:
    """Eq. 7: others in each layer; what a layer makes of its prompts reaches no other layer by their places."""
    torch.manual_seed(0)
    module = Transformer(16, 3, 4, 2)
    tokens, prompts = torch.randn(2, 5, 16), torch.randn(3, 2, 16)
    found = module.first(tokens, prompts)
    for sample in range(2):
        expected = transformer_by_hand(module, array(tokens[sample]), 4, array(prompts))[0]
        np.testing.assert_allclose(array(found[sample]), expected, rtol=1e-4, atol=1e-5)
    for layer in range(3):
        other = prompts.clone()
        other[layer] = torch.randn(2, 16)
        assert not torch.allclose(module.first(tokens, other), found)


@pytest.mark.parametrize("decoupled", [True, False])
def test_every_scenario_is_answered_by_one_head(
    decoupled: bool, transformer_by_hand: ByHand, stem_by_hand: ByHand
) -> None:
    """Eq. 1 in NumPy, pixel by pixel: the mean of what is shared, each own feature, the mean of what is recreated."""
    network = built({"decoupled": decoupled})
    given = {name: torch.randn(1, count, 5, 4) for name, count in BANDS.items()}
    weight, bias = array(network.head.weight), array(network.head.bias)

    def seen(eye: torch.nn.Module, encoder: torch.nn.Module, window: np.ndarray, prompts: object = None) -> np.ndarray:
        tokens = stem_by_hand(eye.stem, window) + array(eye.positions)
        return transformer_by_hand(encoder, np.concatenate([array(eye.token)[None], tokens]), 4, prompts)[0]

    for members in ([True, True, True], [True, False, True], [False, True, False]):
        found = network(given, torch.tensor([members]))[0]
        there = [name for name, member in zip(BANDS, members, strict=True) if member]
        for row, col in ((1, 1), (3, 2)):
            windows = {name: array(given[name][0, :, row - 1 : row + 2, col - 1 : col + 2]) for name in BANDS}
            slots = []
            if decoupled:
                shared = [seen(network.shared_eyes[name], network.shared, windows[name]) for name in there]
                slots.append(np.mean(shared, axis=0))
            for name in BANDS:
                eye, encoder = network.eyes[name], network.specific[name]
                if name in there:
                    slots.append(seen(eye, encoder, windows[name]))
                    continue
                recreated = []
                for source in there:
                    match = network.matches[source][name]
                    matched = np.einsum("oc,chw->ohw", array(match.weight)[:, :, 0, 0], windows[source])
                    matched = matched + array(match.bias)[:, None, None]
                    recreated.append(seen(eye, encoder, matched, array(network.prompts[source][name])))
                slots.append(np.mean(recreated, axis=0))
            expected = weight @ np.concatenate(slots) + bias
            np.testing.assert_allclose(array(found[:, row, col]), expected, rtol=1e-4, atol=1e-4)


def test_a_reconstruction_reads_both_features_of_a_sensor_that_is_there() -> None:
    network = built({"compensation": "reconstruction"})
    given = {name: torch.randn(2, count, 3, 3) for name, count in BANDS.items()}
    detail = network.detail(given, torch.tensor([[True, False, False], [True, True, False]]))
    assert set(detail.recreated) == {("sar", "optical"), ("dem", "optical"), ("dem", "sar")}
    assert detail.recreated["sar", "optical"].samples.tolist() == [0]
    assert detail.recreated["dem", "sar"].samples.tolist() == [1]
    both = torch.cat([detail.shared["optical"].tokens, detail.own["optical"].tokens], dim=1)[:, :, 0, 0]
    first, _, last = network.reconstructions["optical"]["dem"]
    expected = last(torch.relu(first(both)))
    torch.testing.assert_close(detail.recreated["dem", "optical"].tokens[:, :, 0, 0], expected)


def test_without_compensation_what_is_missing_adds_nothing() -> None:
    network = built({"compensation": "none"})
    given = {name: torch.randn(1, count, 3, 3) for name, count in BANDS.items()}
    detail = network.detail(given, torch.tensor([[False, True, False]]))
    assert detail.recreated == {}
    shared, own = detail.shared["sar"].tokens[0, :, 0, 0], detail.own["sar"].tokens[0, :, 0, 0]
    slots = torch.cat([shared, torch.zeros(16), own, torch.zeros(16)])
    torch.testing.assert_close(detail.logits[0, :, 1, 1], network.head(slots))


def test_the_papers_prompts_are_1024_numbers_for_a_missing_sensor() -> None:
    """4 layers, 2 prompts, 128 wide; six tenths of a percent of the paper's reconstruction."""
    with torch.device("meta"):
        bands = {"hs": 63, "lidar": 1}
        network = build_network("lvpcnet", {}, bands, 6)
        other = build_network("lvpcnet", {"compensation": "reconstruction"}, bands, 6)
    prompts = [parameter.numel() for key, parameter in network.named_parameters() if key.startswith("prompts.")]
    assert prompts == [1024, 1024]
    reconstruction = sum(
        parameter.numel() for key, parameter in other.named_parameters() if key.startswith("reconstructions.hs.")
    )
    assert reconstruction == 256 * 445 + 445 + 445 * 128 + 128
    assert 1024 / reconstruction == pytest.approx(1024 / 171584, rel=0.01)
