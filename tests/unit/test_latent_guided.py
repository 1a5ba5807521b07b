"""Latent-guided sampling: distortions to probabilities by the paper's formulas, measured exactly."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.availability import Scenario, scenarios
from engine.errors import RecipeError, RunError
from engine.methods.contract import Preparation
from engine.methods.latent_guided import (
    LatentGuidedOptions,
    LatentGuidedSampler,
    distribution,
    distribution_of,
    measured_distortions,
)
from engine.modality import BandStatistics, Modality
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter

BANDS = {"rgb": 3, "sar": 2, "dem": 1}


def test_the_published_functions_values_are_met() -> None:
    found = distribution([0.9, 0.8, 1.2, 0.3, 0.5, 0.4, 0.0]).probabilities
    expected = [0.168502, 0.156196, 0.212727, 0.114184, 0.127488, 0.120337, 0.100566]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(st.lists(st.floats(0, 5), min_size=3, max_size=15), st.floats(0, 1), st.floats(0, 2))
def test_probabilities_follow_the_spectral_form(values: list[float], mixture: float, temperature: float) -> None:
    """Equation 15 instead of 13: the smoothing in the kernel's eigenbasis."""
    found = distribution(values, mixture=mixture, temperature=temperature)
    eigenvalues, basis = np.linalg.eigh(found.kernel)
    scores = basis @ (eigenvalues / (eigenvalues + 1e-3) * (basis.T @ np.array(values)))
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
    assert found.probabilities.sum() == pytest.approx(1)
    assert found.probabilities.min() >= (1 - mixture) / len(values) - 1e-12
    order = np.argsort(found.scores, kind="stable")
    assert (np.diff(found.probabilities[order]) >= -1e-12).all()


def test_equal_distortions_give_equal_probabilities() -> None:
    np.testing.assert_allclose(distribution([0.3] * 7).probabilities, 1 / 7)
    np.testing.assert_allclose(distribution([0.3] * 7, sigma="median").probabilities, 1 / 7)


def test_the_median_width_follows_the_scale_of_the_distortions() -> None:
    values = np.array([0.9, 0.8, 1.2, 0.3, 0.5, 0.4, 0.0])
    one, other = (distribution(values * scale, sigma="median").probabilities for scale in (1.0, 1e-4))
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_scenarios_are_drawn_by_their_probabilities_among_what_there_is() -> None:
    probabilities = distribution([0.9, 0.8, 1.2, 0.3, 0.5, 0.4, 0.0]).probabilities
    sampler = LatentGuidedSampler(LatentGuidedOptions())
    sampler.weights = dict(zip(scenarios(3), probabilities.tolist(), strict=True))
    rng = np.random.default_rng(0)
    for present in (Scenario((True, True, True)), Scenario((True, False, True))):
        possible = {one: weight for one, weight in zip(scenarios(3), probabilities, strict=True) if one <= present}
        drawn = [sampler.draw(rng, rng, present) for _ in range(6000)]
        for scenario, weight in possible.items():
            assert drawn.count(scenario) / 6000 == pytest.approx(weight / sum(possible.values()), abs=0.025)
        assert set(drawn) == set(possible)


def segmenter(name: str) -> Segmenter:
    torch.manual_seed(0)
    options = {"encoder": "segformer-tiny"} if name == "mean_fusion" else {"size": "tiny"}
    modalities = [
        Modality(key, tuple(map(str, range(count))), "float32", "", (BandStatistics(0.0, 1.0, -9, 9),) * count)
        for key, count in BANDS.items()
    ]
    return Segmenter(build_network(name, options, BANDS, 4), modalities)


def preparation(folder: Path, size: int, told: list[int], count: int = 10) -> Preparation:
    generator = torch.Generator().manual_seed(1)
    values = {name: torch.randn(count, bands, 32, 32, generator=generator) for name, bands in BANDS.items()}

    def batches() -> Iterator[dict[str, torch.Tensor]]:
        for start in range(0, count, size):
            yield {name: tensor[start : start + size] for name, tensor in values.items()}

    return Preparation("tune", folder, (), 128, batches, told.append, lambda _line: None)


@pytest.mark.parametrize("name", ["mean_fusion", "cbc_slp", "cmx_cnn"])
def test_distortions_do_not_depend_on_the_batches(name: str, tmp_path: Path) -> None:
    network = segmenter(name)
    told: list[int] = []
    latent = network.network.latents[0]
    network.train()
    one = measured_distortions(network, latent, preparation(tmp_path, 1, told, count=5))
    many = measured_distortions(network, latent, preparation(tmp_path, 4, [], count=5))
    np.testing.assert_allclose(one, many, rtol=1e-3)
    assert one[-1] == 0
    assert (one[:-1] > 0).all()
    assert told == [1, 2, 3, 4, 5]
    assert network.training, "it is as it was"


def test_a_distortion_is_the_mean_squared_deviation_of_the_latent(tmp_path: Path) -> None:
    network = segmenter("mean_fusion").eval()
    found = measured_distortions(network, "mean", preparation(tmp_path, 3, [], count=2))
    inputs = next(preparation(tmp_path, 2, [], count=2).batches())
    with torch.inference_mode():
        full, sar = (
            network.detail(inputs, torch.tensor([members] * 2)).latents["mean"].numpy()
            for members in ([True] * 3, [False, True, False])
        )
    assert found[1] == pytest.approx(((sar - full) ** 2).mean(), rel=1e-5)


def test_what_was_measured_stands_in_the_run_and_is_used_again(tmp_path: Path) -> None:
    network = segmenter("cbc_slp")
    sampler = LatentGuidedSampler(LatentGuidedOptions())
    sampler.prepare(network, preparation(tmp_path, 4, []))
    kept = distribution_of(tmp_path / "scenarios-tune.json")
    assert (tmp_path / "scenarios-tune.png").stat().st_size > 1000
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 1
    told: list[int] = []
    again = LatentGuidedSampler(LatentGuidedOptions())
    again.prepare(network, preparation(tmp_path, 4, told))
    assert told == []
    np.testing.assert_array_equal(list(again.weights.values()), kept.probabilities)


def test_without_a_complete_sample_nothing_can_be_measured(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no chip of the training split has every modality"):
        LatentGuidedSampler(LatentGuidedOptions()).prepare(segmenter("cmx_cnn"), preparation(tmp_path, 4, [], count=0))


def test_a_latent_that_the_network_lacks_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"'z_sh' is none of the network's: fused"):
        LatentGuidedSampler(LatentGuidedOptions(latent="z_sh")).check(segmenter("cmx_cnn").network)
