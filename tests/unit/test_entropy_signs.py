"""The sign of each kept form of functional entropy, where one sensor is right and sure and the other undecided."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.methods.contract import Step
from engine.methods.functional_entropy import FunctionalEntropy, FunctionalEntropyOptions
from engine.modality import BandStatistics, Modality
from engine.networks.contract import Detail, Inputs, Network, Normalise, Unimodal
from engine.networks.segmenter import Segmenter


class Scales(Network):
    """Averaged logits of sensors, each of which multiplies what it sees by one number: how sure it is."""

    latents = ()
    lora_targets = ()
    predicts_alone = True

    def __init__(self, strong: float, weak: float) -> None:
        super().__init__({"strong": 2, "weak": 2}, 2)
        self.sure = nn.Parameter(torch.tensor([strong, weak]).logit())

    def detail(self, inputs: Inputs, availability: Tensor) -> Detail:
        own = {name: scale * inputs[name] for name, scale in zip(self.names, self.sure, strict=True)}
        samples = torch.arange(len(availability))
        return Detail(
            torch.stack(list(own.values())).mean(dim=0),
            unimodal={name: Unimodal(samples, (logits,), logits) for name, logits in own.items()},
        )

    def scenario_logits(self, inputs: Inputs, availability: Tensor, normalise: Normalise) -> Tensor:
        return self.detail(inputs, availability[None]).logits


def risen(strong: float, weak: float, **options: object) -> tuple[float, float]:
    """By how much a step of descent on the terms alone raises each sensor's own cross-entropy, over the step's size.

    Args:
        strong: The strong sensor's probability of the label.
        weak: The weak one's.
        options: Of the objective.
    """
    band = BandStatistics(0, 1, -9, 9)
    network = Scales(strong, weak)
    segmenter = Segmenter(network, [Modality(name, ("0", "1"), "float32", "", (band,) * 2) for name in network.names])
    labels = (torch.arange(64).reshape(1, 8, 8) // 3) % 2
    seen = torch.stack([0.5 - labels, labels - 0.5], dim=1)
    inputs = dict.fromkeys(network.names, seen)
    availability = torch.ones(1, 2, dtype=torch.bool)
    step = Step(segmenter, inputs, availability, labels, lambda: segmenter.detail(inputs, availability))
    torch.manual_seed(0)
    terms = FunctionalEntropy(FunctionalEntropyOptions.model_validate({"noise": 0.01, **options})).loss(step).terms
    torch.stack(list(terms.values())).sum().backward()
    assert network.sure.grad is not None
    sure = network.sure.detach()
    before = F.softplus(-sure)  # minus the logarithm of the probability of the label
    found = (F.softplus(-(sure - 1e-3 * network.sure.grad)) - before) / 1e-3
    return float(found[0]), float(found[1])


PREDICTION, FEATURES = {"prediction": 1.0, "features": 0.0}, {"prediction": 0.0, "features": 1.0}


@pytest.mark.parametrize(
    ("options", "share"),
    [
        ({**PREDICTION, "form": "inputs"}, 0.03),
        ({**PREDICTION, "form": "conditional"}, 0.06),
        ({**FEATURES, "feature_form": "common"}, 0.0),
    ],
)
def test_a_step_lowers_the_weak_sensors_loss_and_raises_the_strong_ones_by_a_share_of_that_at_most(
    options: dict[str, object], share: float
) -> None:
    strong, weak = risen(0.95, 0.6, **options)
    assert weak < -0.4
    assert strong <= share * -weak


def test_the_segmentation_form_moves_nothing_where_logits_are_averaged() -> None:
    """All sensors' features then have the same gradient, and informations are alike whatever a sensor says."""
    assert risen(0.95, 0.6, **FEATURES, feature_form="segmentation") == pytest.approx((0, 0), abs=1e-4)


@pytest.mark.parametrize("form", ["inputs", "conditional"])
def test_an_information_has_no_sign(form: str) -> None:
    """A weak sensor that is wrong is made more sure of it."""
    _, weak = risen(0.95, 0.4, **PREDICTION, form=form)
    assert weak > 0.4
