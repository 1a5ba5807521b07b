"""Functional entropy: informations and terms by a second computation."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.errors import RecipeError
from engine.methods.contract import Step
from engine.methods.functional_entropy import (
    FunctionalEntropy,
    FunctionalEntropyOptions,
    feature_information,
    input_information,
    inverse_information,
    prediction_information,
)
from engine.modality import BandStatistics, Modality
from engine.networks.contract import Unimodal
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter

BANDS = {"rgb": 3, "sar": 2, "dem": 1}
AVAILABLE = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 0]], dtype=torch.bool)
NETWORKS: dict[str, dict[str, Any]] = {
    "mean_fusion": {"encoder": "segformer-tiny"},
    "stars": {"encoder": "resnet-tiny", "pyramid": 8, "width": 8},
    "cmx_cnn": {"size": "tiny"},
    "cbc_slp": {"size": "tiny"},
}


def segmenter(name: str) -> Segmenter:
    torch.manual_seed(0)
    modalities = [
        Modality(key, tuple(map(str, range(count))), "float32", "", (BandStatistics(2.0, 3.0, -9, 9),) * count)
        for key, count in BANDS.items()
    ]
    return Segmenter(build_network(name, NETWORKS[name], BANDS, 4), modalities).train()


def given(batch: int = 4, size: int = 64) -> tuple[dict[str, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = {name: torch.randn(batch, bands, size, size, generator=generator) for name, bands in BANDS.items()}
    return inputs, torch.randint(-1, 4, (batch, size, size), generator=generator)


def taken(name: str, availability: Tensor = AVAILABLE) -> Step:
    trained = segmenter(name)
    inputs, labels = given(len(availability))
    return Step(trained, inputs, availability, labels, trained.detail(inputs, availability))


def unimodal(*shape: int, availability: Tensor = AVAILABLE) -> dict[str, Unimodal]:
    """Two feature maps and a prediction of random numbers for each modality, in double precision."""
    generator = torch.Generator().manual_seed(2)
    found = {}
    for number, name in enumerate(BANDS):
        samples = availability[:, number].nonzero()[:, 0]
        maps = [
            torch.randn(len(samples), *shape, generator=generator, dtype=torch.float64).mul(1 + number).requires_grad_()
            for _ in range(3)
        ]
        found[name] = Unimodal(samples, tuple(maps[:2]), maps[2])
    return found


def by_differentiation(
    found: Mapping[str, Unimodal], part: Callable[[Unimodal], Tensor], loss: Callable[[list[Tensor], int], Tensor]
) -> dict[str, float]:
    """Squared gradient * places / loss, sample by sample, over the samples with two modalities or more."""
    values: dict[str, list[float]] = {name: [] for name in found}
    for sample in range(4):
        there = {name: one.samples.tolist().index(sample) for name, one in found.items() if sample in one.samples}
        if len(there) < 2:
            continue
        leaves = [part(found[name])[place].detach().requires_grad_() for name, place in there.items()]
        for number, name in enumerate(there):
            value = loss([leaves[number], *leaves], sample)
            (gradient,) = torch.autograd.grad(value, leaves[number])
            values[name].append(float(gradient.square().sum() * gradient[0].numel() / value.detach()))
    return {name: float(np.mean(many)) for name, many in values.items()}


def test_the_predictions_information_is_the_squared_gradient_over_the_loss() -> None:
    found = unimodal(4, 6, 5)
    labels = torch.randint(0, 4, (4, 6, 5), generator=torch.Generator().manual_seed(3))

    def loss(leaves: list[Tensor], sample: int) -> Tensor:
        together = torch.stack([leaf.softmax(dim=0) for leaf in leaves[1:]]).mean(dim=0)
        return torch.nn.functional.nll_loss(together.log()[None], labels[[sample]])

    def prediction(one: Unimodal) -> Tensor:
        assert one.prediction is not None
        return one.prediction

    expected = by_differentiation(found, prediction, loss)
    result = prediction_information(found, labels)
    assert {name: float(value.detach()) for name, value in result.items()} == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", [(7, 6, 5), (7, 3, 4, 2)])
def test_the_features_information_is_the_squared_gradient_over_the_loss(shape: tuple[int, ...]) -> None:
    found = unimodal(*shape)
    for level, result in enumerate(feature_information(found, 4)):

        def loss(leaves: list[Tensor], _sample: int) -> Tensor:
            common = torch.stack(leaves[1:]).mean(dim=0).detach().softmax(dim=0)
            return -(common * leaves[0].log_softmax(dim=0)).sum(dim=0).mean()

        expected = by_differentiation(found, lambda one, level=level: one.features[level], loss)  # type: ignore[misc]
        assert {name: float(value.detach()) for name, value in result.items()} == pytest.approx(expected, rel=1e-6)


def test_unlabelled_pixels_do_not_count() -> None:
    found = unimodal(4, 6, 5)
    labels = torch.randint(0, 4, (4, 6, 5), generator=torch.Generator().manual_seed(3))
    labels[:, 3:] = -1
    half = {
        name: Unimodal(one.samples, one.features, None if one.prediction is None else one.prediction[:, :, :3])
        for name, one in found.items()
    }
    whole, cut = prediction_information(found, labels), prediction_information(half, labels[:, :3])
    assert all(torch.isclose(whole[name], cut[name]) for name in found)


def test_terms_are_the_same_at_any_resolution_and_scale_of_the_loss() -> None:
    found = unimodal(4, 6, 5)
    labels = torch.randint(0, 4, (4, 6, 5), generator=torch.Generator().manual_seed(3))

    def finer(values: Tensor) -> Tensor:
        return values.repeat_interleave(3, dim=-1).repeat_interleave(3, dim=-2)

    fine = {
        name: Unimodal(
            one.samples,
            tuple(finer(level) for level in one.features),
            None if one.prediction is None else finer(one.prediction),
        )
        for name, one in found.items()
    }
    for one, other in (
        (prediction_information(found, labels), prediction_information(fine, finer(labels))),
        *zip(feature_information(found, 4), feature_information(fine, 4), strict=True),
    ):
        assert all(torch.isclose(one[name], other[name]) for name in found)
    values = torch.tensor([0.3, 0.01, 2.0])
    assert inverse_information(values * 1e4, 0.05) == pytest.approx(float(inverse_information(values, 0.05)))


def test_the_inverse_is_largest_where_one_sensor_contributes_nothing() -> None:
    assert float(inverse_information(torch.tensor([3.0, 3.0, 3.0]), 0.05)) == pytest.approx(1 / 1.05)
    assert float(inverse_information(torch.tensor([2.0, 0.0]), 0.05)) == pytest.approx((1 / 2.05 + 20) / 2)
    assert float(inverse_information(torch.zeros(3), 0.05)) == pytest.approx(20)


def test_raising_the_least_information_lowers_the_term() -> None:
    values = torch.tensor([2.0, 0.5], requires_grad=True)
    inverse_information(values, 0.05).backward()
    assert values.grad is not None
    # d/dI_i of mean 1 / (I_i / m + o), with m = 1.25 held: -1 / (2 m (I_i / m + o)^2)
    expected = [-1 / (2 * 1.25 * (value / 1.25 + 0.05) ** 2) for value in (2.0, 0.5)]
    assert values.grad.tolist() == pytest.approx(expected)


def test_gradients_are_those_of_finite_differences() -> None:
    everything = torch.ones(2, 2, dtype=torch.bool)
    samples = torch.arange(2)
    labels = torch.randint(0, 3, (2, 2, 2), generator=torch.Generator().manual_seed(0))

    def values(one: Tensor, other: Tensor) -> tuple[Tensor, ...]:
        found = {"a": Unimodal(samples, (one,), one), "b": Unimodal(samples, (other,), other)}
        return (*prediction_information(found, labels).values(),)

    def features(one: Tensor, other: Tensor) -> tuple[Tensor, ...]:
        found = {"a": Unimodal(samples, (one,)), "b": Unimodal(samples, (other,))}
        # the mean over both takes no gradient: only one of them moves
        return (feature_information({**found, "b": Unimodal(samples, (other.detach(),))}, 2)[0]["a"],)

    generator = torch.Generator().manual_seed(1)
    one, other = (
        torch.randn(len(everything), 3, 2, 2, generator=generator, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    )
    assert torch.autograd.gradcheck(values, (one, other))
    common = ((one + other) / 2).detach().softmax(dim=1)
    (found,) = torch.autograd.grad(features(one, other), one)

    def held(one: Tensor) -> Tensor:
        losses = -(common * one.log_softmax(dim=1)).sum(dim=1).flatten(1).mean(dim=1)
        squared = (one.softmax(dim=1) - common).square().sum(dim=1).flatten(1).mean(dim=1)
        return (squared / losses).mean()

    (expected,) = torch.autograd.grad(held(one), one)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)
    assert torch.autograd.gradcheck(held, (one,))


def test_the_inputs_information_is_the_squared_gradient_at_a_noisy_place() -> None:
    """Sample by sample, by a network in evaluation mode, whose gradient is taken with respect to scaled inputs."""
    step = taken("mean_fusion")
    step.segmenter.eval()
    torch.manual_seed(5)
    found = input_information(step, 0.1)
    torch.manual_seed(5)
    noisy = {name: values + 0.1 * 3.0 * torch.randn_like(values) for name, values in step.inputs.items()}
    values: dict[str, list[float]] = {name: [] for name in BANDS}
    for sample in range(3):
        scaled = {name: ((one[[sample]] - 2) / 3).requires_grad_() for name, one in noisy.items()}
        logits = step.segmenter.network(scaled, AVAILABLE[[sample]])
        loss = torch.nn.functional.cross_entropy(logits, step.labels[[sample]], ignore_index=-1)
        gradients = torch.autograd.grad(loss, list(scaled.values()), allow_unused=True)
        pixels = int((step.labels[sample] >= 0).sum())
        for place, (name, gradient) in enumerate(zip(scaled, gradients, strict=True)):
            if AVAILABLE[sample, place]:
                assert gradient is not None
                values[name].append(float(0.01 * gradient.square().sum() * pixels / (2 * loss.detach())))
    expected = {name: float(np.mean(many)) for name, many in values.items()}
    assert {name: float(value.detach()) for name, value in found.items()} == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_inputs_term_can_be_minimised_and_leaves_norms_as_they_are(name: str) -> None:
    step = taken(name)
    before = {key: value.clone() for key, value in step.segmenter.state_dict().items()}
    objective = FunctionalEntropy(FunctionalEntropyOptions(form="inputs", features=0))
    modes = [module.training for module in step.segmenter.modules()]
    (term,) = objective.loss(step).terms.values()
    assert modes == [module.training for module in step.segmenter.modules()]
    for key, value in step.segmenter.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    term.backward()
    gradients = [parameter.grad for parameter in step.segmenter.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)


def test_the_inputs_terms_derivative_is_that_of_finite_differences() -> None:
    step = taken("mean_fusion")
    step.segmenter.eval()
    weight = step.segmenter.network.get_parameter("head.classify.weight")
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))

    def information() -> Tensor:
        torch.manual_seed(5)
        return input_information(step, 0.1)["sar"]

    (gradient,) = torch.autograd.grad(information(), weight)
    sides = []
    for distance in (0.01, -0.01):
        with torch.no_grad():
            weight += distance * direction
        sides.append(float(information().detach()))
        with torch.no_grad():
            weight -= distance * direction
    assert float((gradient * direction).sum()) == pytest.approx((sides[0] - sides[1]) / 0.02, rel=0.02)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("form", ["predictions", "inputs"])
@pytest.mark.parametrize("case", ["all", "one each", "nothing labelled", "one sample"])
def test_terms_are_finite_whatever_is_missing(name: str, form: str, case: str) -> None:
    predicts = segmenter(name).network.predicts_alone
    options = FunctionalEntropyOptions.model_validate({"form": form} | ({} if predicts else {"form": "inputs"}))
    availability = torch.eye(3, dtype=torch.bool) if case == "one each" else AVAILABLE
    step = taken(name, availability[:1] if case == "one sample" else availability)
    if case == "nothing labelled":
        step.labels[:] = -1
    loss = FunctionalEntropy(options).loss(step)
    assert set(loss.terms) == {"entropy_prediction", "entropy_features"}
    total = torch.stack(list(loss.terms.values())).sum()
    assert total.isfinite()
    assert all(value.isfinite() for value in loss.facts.values())
    if total.requires_grad:
        total.backward()
    gradients = [parameter.grad for parameter in step.segmenter.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    if case == "one each":
        assert total == 0
    if case == "nothing labelled":
        assert loss.terms["entropy_prediction"] == 0
    if case == "all":
        assert loss.terms["entropy_prediction"] > 0
        groups = len(step.detail.unimodal)
        stages = len(next(iter(step.detail.unimodal.values())).features)
        assert len(loss.facts) == (3 if options.form == "inputs" else groups) + groups * stages


def test_alike_and_perfect_sensors_give_finite_terms_and_gradients() -> None:
    everything = torch.ones(2, 2, dtype=torch.bool)
    labels = torch.zeros(len(everything), 4, 4, dtype=torch.long)
    for margin in (0.0, 200.0):  # nothing is known; the loss is zero
        logits = torch.zeros(2, 3, 4, 4)
        logits[:, 0] = margin
        alike = [logits.clone().requires_grad_() for _ in range(2)]
        found = {name: Unimodal(torch.arange(2), (one,), one) for name, one in zip("ab", alike, strict=True)}
        terms = [
            inverse_information(torch.stack(list(values.values())), 0.05)
            for values in (prediction_information(found, labels), feature_information(found, 2)[0])
        ]
        sum(terms, torch.zeros(())).backward()
        assert all(term.isfinite() for term in terms)
        assert all(one.grad is not None and one.grad.isfinite().all() for one in alike)


def test_a_network_without_predictions_of_single_sensors_needs_the_other_form() -> None:
    network = segmenter("cmx_cnn").network
    with pytest.raises(RecipeError, match="choose form: inputs, or prediction: 0"):
        FunctionalEntropy(FunctionalEntropyOptions()).check(network)
    FunctionalEntropy(FunctionalEntropyOptions(form="inputs")).check(network)
    FunctionalEntropy(FunctionalEntropyOptions(prediction=0)).check(network)
