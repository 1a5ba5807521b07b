"""The cross-entropy of every present sensor's own prediction."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.data.settings import MethodSettings
from engine.errors import RecipeError
from engine.methods.registry import build_method
from engine.modality import BandStatistics, Modality
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter

BANDS = {"rgb": 3, "sar": 2, "dem": 1}
AVAILABLE = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 0]], dtype=torch.bool)
NETWORKS: dict[str, dict[str, Any]] = {
    "mean_fusion": {"encoder": "segformer-tiny"},
    "stars": {"encoder": "resnet-tiny", "pyramid": 8, "width": 8},
    "lds2ae": {"window": 5, "width": 8, "depth": 1, "heads": 2},
}


def segmenter(name: str, options: dict[str, Any]) -> Segmenter:
    torch.manual_seed(0)
    modalities = [
        Modality(key, tuple(map(str, range(count))), "float32", "", (BandStatistics(2.0, 3.0, -9, 9),) * count)
        for key, count in BANDS.items()
    ]
    return Segmenter(build_network(name, options, BANDS, 3), modalities)


def given(size: int) -> tuple[dict[str, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = {name: torch.randn(3, bands, size, size, generator=generator) for name, bands in BANDS.items()}
    return inputs, torch.randint(-1, 3, (3, size, size), generator=generator)


def terms(trained: Segmenter, inputs: dict[str, Tensor], labels: Tensor, **options: object) -> dict[str, Tensor]:
    objectives = ["cross_entropy", {"name": "unimodal_cross_entropy", "options": options}]
    method = build_method(MethodSettings.model_validate({"objectives": objectives}), 3)
    method.check(trained.network)
    return method.loss(trained, inputs, AVAILABLE, labels).terms


@pytest.mark.parametrize("weights", [None, (1.0, 0.25, 3.0)])
def test_it_is_the_loss_of_answers_by_one_sensor_at_a_time(weights: tuple[float, ...] | None) -> None:
    trained = segmenter("mean_fusion", NETWORKS["mean_fusion"]).eval()
    inputs, labels = given(48)
    losses = []
    for place in range(2):  # no sample has the third
        alone = torch.eye(3, dtype=torch.bool)[[place] * 3]
        with torch.no_grad():
            chances = trained(inputs, alone).softmax(dim=1).double().numpy()
        pixels = [
            (-np.log(chances[sample, label, row, column]), 1 if weights is None else weights[label])
            for sample in AVAILABLE[:, place].nonzero()[:, 0].tolist()
            for (row, column), label in np.ndenumerate(labels[sample].numpy())
            if label >= 0
        ]
        found, weight = np.array(pixels).T
        losses.append(np.sum(found * weight) / np.sum(weight))
    term = terms(trained, inputs, labels, weight=0.5, class_weights=weights)["unimodal_cross_entropy"]
    assert float(term.detach()) == pytest.approx(0.5 * np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_teaches_each_sensor_that_is_there(name: str) -> None:
    """The sensors that a batch has, and no other."""
    trained = segmenter(name, NETWORKS[name]).train()
    inputs, labels = given(48 if name != "lds2ae" else 9)
    leaves = {key: values.requires_grad_() for key, values in inputs.items()}
    term = terms(trained, inputs, labels)["unimodal_cross_entropy"]
    gradients = torch.autograd.grad(term, list(leaves.values()), allow_unused=True)
    reached = [gradient is not None and bool(gradient.abs().max() > 0) for gradient in gradients]
    assert reached == [True, True, False]


def test_nothing_labelled_costs_nothing() -> None:
    trained = segmenter("mean_fusion", NETWORKS["mean_fusion"]).train()
    inputs, labels = given(48)
    assert terms(trained, inputs, torch.full_like(labels, -1))["unimodal_cross_entropy"] == 0


def test_a_network_without_predictions_of_single_sensors_is_refused() -> None:
    trained = segmenter("cmx_cnn", {"size": "tiny"})
    inputs, labels = given(48)
    with pytest.raises(RecipeError, match="no prediction of a single modality; choose mean_fusion"):
        terms(trained, inputs, labels)
