"""Functional entropy: informations and terms by a second computation."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.errors import RecipeError
from engine.methods.contract import Preparation, Step
from engine.methods.functional_entropy import (
    FunctionalEntropy,
    FunctionalEntropyOptions,
    Information,
    feature_information,
    input_information,
    segmentation_information,
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
OPTIONS = {**NETWORKS, "lds2ae": {"window": 5, "width": 8, "depth": 1, "heads": 2}}

FORMS = [
    *((name, ("inputs", "common")) for name in NETWORKS),
    *((name, ("conditional", "segmentation")) for name in ("mean_fusion", "stars", "lds2ae")),
]


def segmenter(name: str) -> Segmenter:
    torch.manual_seed(0)
    modalities = [
        Modality(key, tuple(map(str, range(count))), "float32", "", (BandStatistics(2.0, 3.0, -9, 9),) * count)
        for key, count in BANDS.items()
    ]
    return Segmenter(build_network(name, OPTIONS[name], BANDS, 4), modalities).train()


def given(batch: int = 4, size: int = 64) -> tuple[dict[str, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = {name: torch.randn(batch, bands, size, size, generator=generator) for name, bands in BANDS.items()}
    return inputs, torch.randint(-1, 4, (batch, size, size), generator=generator)


def taken(name: str, availability: Tensor = AVAILABLE) -> Step:
    trained = segmenter(name)
    inputs, labels = given(len(availability), 9 if name == "lds2ae" else 64)
    detail = trained.detail(inputs, availability)
    return Step(trained, inputs, availability, labels, lambda: detail)


def settled(name: str) -> Step:
    """A step of a network in evaluation mode, whose samples do not act on one another."""
    trained = segmenter(name).eval()
    inputs, labels = given()
    return Step(trained, inputs, AVAILABLE, labels, lambda: trained.detail(inputs, AVAILABLE))


def unimodal(*shape: int, availability: Tensor = AVAILABLE) -> dict[str, Unimodal]:
    """Two feature maps of random numbers for each modality, in double precision."""
    generator = torch.Generator().manual_seed(2)
    found = {}
    for number, name in enumerate(BANDS):
        samples = availability[:, number].nonzero()[:, 0]
        maps = [
            torch.randn(len(samples), *shape, generator=generator, dtype=torch.float64).mul(1 + number).requires_grad_()
            for _ in range(2)
        ]
        found[name] = Unimodal(samples, tuple(maps))
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


def means(found: Information) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in found.means().items()}


@pytest.mark.parametrize("shape", [(7, 6, 5), (7, 3, 4, 2)])
def test_the_features_information_is_the_squared_gradient_over_the_loss(shape: tuple[int, ...]) -> None:
    found = unimodal(*shape)
    for level, result in enumerate(feature_information(found, 4)):

        def loss(leaves: list[Tensor], _sample: int) -> Tensor:
            common = torch.stack(leaves[1:]).mean(dim=0).detach().softmax(dim=0)
            return -(common * leaves[0].log_softmax(dim=0)).sum(dim=0).mean()

        expected = by_differentiation(found, lambda one, level=level: one.features[level], loss)  # type: ignore[misc]
        assert means(result) == pytest.approx(expected, rel=1e-6)


def test_the_segmentation_information_is_the_squared_gradient_through_the_head() -> None:
    """Sample by sample, of the head by itself, whose maps are leaves."""
    step = settled("mean_fusion")
    network, maps = step.segmenter.network, step.detail.unimodal
    values: dict[tuple[int, str], list[float]] = {(level, name): [] for level in range(4) for name in BANDS}
    for sample in range(3):
        there = {name: one.samples.tolist().index(sample) for name, one in maps.items() if sample in one.samples}
        leaves = {
            name: [level[[place]].detach().requires_grad_() for level in maps[name].features]
            for name, place in there.items()
        }
        coarse = torch.stack([network.head(one) for one in leaves.values()]).mean(dim=0)  # type: ignore[operator]
        logits = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear")
        known = step.labels[sample] >= 0
        loss = -logits.log_softmax(dim=1)[0, step.labels[sample][known], known].mean()
        loss.backward()
        for name, levels in leaves.items():
            for level, leaf in enumerate(levels):
                assert leaf.grad is not None
                values[level, name].append(float(leaf.grad.square().sum() * known.sum() / loss.detach()))
    for level, found in enumerate(segmentation_information(step)):
        expected = {name: float(np.mean(values[level, name])) for name in BANDS}
        assert means(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["mean_fusion", "stars", "lds2ae"])
def test_the_answer_of_several_sensors_depends_on_the_features_of_each(name: str) -> None:
    for found in segmentation_information(taken(name, torch.ones(2, 3, dtype=torch.bool))):
        assert (found.values > 0).all()
        assert found.there.all()


def test_terms_are_the_same_at_any_resolution_and_scale_of_the_loss() -> None:
    found = unimodal(4, 6, 5)
    fine = {
        name: Unimodal(
            one.samples,
            tuple(level.repeat_interleave(3, dim=-1).repeat_interleave(3, dim=-2) for level in one.features),
        )
        for name, one in found.items()
    }
    for one, other in zip(feature_information(found, 4), feature_information(fine, 4), strict=True):
        assert means(one) == pytest.approx(means(other))
    assert inverse([[0.3e4, 0.01e4, 2e4]]) == pytest.approx(inverse([[0.3, 0.01, 2.0]]))


def inverse(values: list[list[float]]) -> float:
    """Of informations of samples, NaN where a modality is missing."""
    given = torch.tensor(values)
    return float(Information(("a", "b", "c")[: len(values[0])], given, ~given.isnan()).inverse(0.05))


def test_the_inverse_is_largest_where_one_sensor_contributes_nothing() -> None:
    assert inverse([[3.0, 3.0, 3.0]]) == pytest.approx(1 / 1.05)
    assert inverse([[2.0, 0.0]]) == pytest.approx((1 / 2.05 + 20) / 2)
    assert inverse([[0.0, 0.0, 0.0]]) == pytest.approx(20)


def test_sensors_are_compared_within_a_sample() -> None:
    """One that is only in samples of little information is not neglected for that."""
    nothing = float("nan")
    assert inverse([[4.0, 4.0, nothing], [0.1, nothing, 0.1]]) == pytest.approx(1 / 1.05)
    # over the samples' means: a 1, 1.5; b 1; c .5
    expected = (1 / 1.3 + 1 / 1.05 + 1 / 0.55) / 3
    assert inverse([[4.0, 4.0, nothing], [0.3, nothing, 0.1]]) == pytest.approx(expected)


def test_a_term_balances_and_gains_nothing_by_raising_all_alike() -> None:
    values = torch.tensor([[2.0, 0.5, 1.1], [0.3, 0.4, 0.2]], dtype=torch.float64, requires_grad=True)

    def term(given: Tensor) -> Tensor:
        return Information(("a", "b", "c"), given, torch.ones(2, 3, dtype=torch.bool)).inverse(0.05)

    assert torch.autograd.gradcheck(term, (values,))
    (gradient,) = torch.autograd.grad(term(values), values)
    torch.testing.assert_close((values * gradient).sum(dim=1), torch.zeros(2, dtype=torch.float64))
    assert gradient[0, 1] < 0 < gradient[0, 0], "the least is raised"


def test_weights_are_the_papers_unless_a_recipe_says_others() -> None:
    options = FunctionalEntropyOptions(form="conditional", feature_form="common")
    assert (options.prediction, options.features) == (0.3, 0.02)
    step, found = taken("mean_fusion"), []
    for one in (options, options.model_copy(update={"prediction": 0.6, "features": 0.06})):
        torch.manual_seed(5)
        found.append({name: float(value.detach()) for name, value in FunctionalEntropy(one).loss(step).terms.items()})
    plain, heavy = found
    assert heavy["entropy_prediction"] == pytest.approx(2 * plain["entropy_prediction"])
    assert heavy["entropy_features"] == pytest.approx(3 * plain["entropy_features"])
    without = FunctionalEntropy(FunctionalEntropyOptions(prediction=0, features=0)).loss(step)
    assert (without.terms, without.facts) == ({}, {})


def test_informations_are_logged_as_means_over_the_samples_that_count() -> None:
    nothing = float("nan")
    given = torch.tensor([[4.0, 2.0, nothing], [1.0, nothing, 3.0]])
    found = Information(("a", "b", "c"), given, ~given.isnan()).means()
    assert {name: float(value) for name, value in found.items()} == {"a": 2.5, "b": 2.0, "c": 3.0}


def test_gradients_are_those_of_finite_differences() -> None:
    samples = torch.arange(2)

    def features(one: Tensor, other: Tensor) -> tuple[Tensor, ...]:
        # the mean over both takes no gradient: only one of them moves
        found = {"a": Unimodal(samples, (one,)), "b": Unimodal(samples, (other.detach(),))}
        return (feature_information(found, 2)[0].means()["a"],)

    generator = torch.Generator().manual_seed(1)
    one, other = (
        torch.randn(2, 3, 2, 2, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2)
    )
    common = ((one + other) / 2).detach().softmax(dim=1)
    (found,) = torch.autograd.grad(features(one, other), one)

    def held(one: Tensor) -> Tensor:
        losses = -(common * one.log_softmax(dim=1)).sum(dim=1).flatten(1).mean(dim=1)
        squared = (one.softmax(dim=1) - common).square().sum(dim=1).flatten(1).mean(dim=1)
        return (squared / losses).mean()

    (expected,) = torch.autograd.grad(held(one), one)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)
    assert torch.autograd.gradcheck(held, (one,))


@pytest.mark.parametrize("conditional", [False, True])
def test_the_inputs_information_is_the_squared_gradient_at_a_noisy_place(conditional: bool) -> None:
    """Sample by sample, by a network in evaluation mode, whose gradient is taken with respect to scaled inputs."""
    step = settled("mean_fusion")
    torch.manual_seed(5)
    found = input_information(step, 0.1, conditional=conditional)
    torch.manual_seed(5)
    noisy = {name: values + 0.1 * 3.0 * torch.randn_like(values) for name, values in step.inputs.items()}
    values: dict[str, list[float]] = {name: [] for name in BANDS}
    for sample in range(3):
        known = step.labels[sample] >= 0
        there = AVAILABLE[sample]
        whole = {name: one[[sample]] for name, one in step.inputs.items()}
        for place in there.nonzero()[:, 0].tolist():
            name = list(BANDS)[place]
            scaled = {key: ((one[[sample]] - 2) / 3).requires_grad_() for key, one in noisy.items()}
            if conditional:
                says = step.segmenter(whole, there[None]).softmax(dim=1)[0].detach()
                alone = step.segmenter.network(scaled, torch.eye(3, dtype=torch.bool)[[place]])[0]
                loss = -(says * alone.log_softmax(dim=0))[:, known].sum(dim=0).mean()
            else:
                logits = step.segmenter.network(scaled, there[None])[0]
                loss = -logits.log_softmax(dim=0)[step.labels[sample][known], known].mean()
            (gradient,) = torch.autograd.grad(loss, scaled[name])
            values[name].append(float(0.01 * gradient.square().sum() * known.sum() / (2 * loss.detach())))
    expected = {name: float(np.mean(many)) for name, many in values.items()}
    assert means(found) == pytest.approx(expected, rel=1e-3)


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
    step = settled("mean_fusion")
    weight = step.segmenter.network.get_parameter("head.classify.weight")
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))

    def information() -> Tensor:
        torch.manual_seed(5)
        return input_information(step, 0.1, conditional=False).means()["sar"]

    (gradient,) = torch.autograd.grad(information(), weight)
    sides = []
    for distance in (0.01, -0.01):
        with torch.no_grad():
            weight += distance * direction
        sides.append(float(information().detach()))
        with torch.no_grad():
            weight -= distance * direction
    assert float((gradient * direction).sum()) == pytest.approx((sides[0] - sides[1]) / 0.02, rel=0.02)


@pytest.mark.parametrize(("name", "form"), FORMS)
@pytest.mark.parametrize("case", ["all", "one each", "nothing labelled", "one sample", "constant band"])
def test_terms_are_finite_whatever_is_missing(name: str, form: tuple[str, str], case: str) -> None:
    options = FunctionalEntropyOptions.model_validate({"form": form[0], "feature_form": form[1]})
    availability = torch.eye(3, dtype=torch.bool) if case == "one each" else AVAILABLE
    step = taken(name, availability[:1] if case == "one sample" else availability)
    if case == "nothing labelled":
        step.labels[:] = -1
    if case == "constant band":  # it is divided by infinity
        step.segmenter.scale_rgb[:, 1] = torch.inf
    loss = FunctionalEntropy(options).loss(step)
    assert set(loss.terms) == {"entropy_features", "entropy_prediction"}
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
        assert min(loss.terms.values()) > 0
        groups = len(step.detail.unimodal)
        stages = len(next(iter(step.detail.unimodal.values())).features)
        assert len(loss.facts) == 3 + groups * stages


def test_alike_sensors_give_finite_terms_and_gradients() -> None:
    for margin in (0.0, 200.0):  # nothing is known; the loss is zero
        logits = torch.zeros(2, 3, 4, 4)
        logits[:, 0] = margin
        alike = [logits.clone().requires_grad_() for _ in range(2)]
        found = {name: Unimodal(torch.arange(2), (one,)) for name, one in zip("ab", alike, strict=True)}
        (information,) = feature_information(found, 2)
        information.inverse(0.05).backward()
        assert all(one.grad is not None and one.grad.isfinite().all() for one in alike)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_missing_sensor_holds_changes_no_information(name: str) -> None:
    step = settled(name)
    spoiled = {key: values.clone() for key, values in step.inputs.items()}
    for place, key in enumerate(BANDS):
        spoiled[key][~AVAILABLE[:, place]] = float("nan")
    found = []
    for inputs in (step.inputs, spoiled):
        torch.manual_seed(5)
        spoilt = Step(step.segmenter, inputs, AVAILABLE, step.labels, step.forward)
        information = input_information(spoilt, 0.1, conditional=False)
        weight = next(step.segmenter.parameters())
        (gradient,) = torch.autograd.grad(information.inverse(0.05), weight)
        found.append((means(information), gradient))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-5)


def test_training_with_the_inputs_form_still_learns() -> None:
    """Three sensors that each show two of four classes; the term must not drown the labels."""
    torch.manual_seed(0)
    scores = {}
    for form in (None, "inputs"):
        trained = segmenter("mean_fusion")
        optimizer = torch.optim.AdamW(trained.parameters(), 2e-3)
        generator = torch.Generator().manual_seed(1)
        for step in range(60):
            torch.manual_seed(step)
            labels = torch.randint(0, 4, (8, 4, 4), generator=generator).repeat_interleave(8, 1).repeat_interleave(8, 2)
            inputs = {
                key: torch.randn(8, count, 32, 32, generator=generator) + 6 * ((labels + place) % 4 < 2)[:, None]
                for place, (key, count) in enumerate(BANDS.items())
            }
            everything = torch.ones(8, 3, dtype=torch.bool)
            detail = trained.detail(inputs, everything)
            loss = torch.nn.functional.cross_entropy(detail.logits, labels)
            if form:
                objective = FunctionalEntropy(FunctionalEntropyOptions(form="inputs", feature_form="common"))
                terms = objective.loss(Step(trained, inputs, everything, labels, lambda detail=detail: detail)).terms
                loss = loss + torch.stack(list(terms.values())).sum()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
            optimizer.step()
        with torch.no_grad():
            scores[form] = float((trained.eval()(inputs, everything).argmax(dim=1) == labels).float().mean())
    assert scores[None] > 0.8
    assert scores["inputs"] > scores[None] - 0.1


def test_a_single_sensor_has_nothing_to_balance() -> None:
    network = build_network("mean_fusion", NETWORKS["mean_fusion"], {"rgb": 3}, 4)
    with pytest.raises(RecipeError, match="nothing to balance"):
        FunctionalEntropy(FunctionalEntropyOptions()).check(network)


def test_a_network_without_predictions_of_single_sensors_needs_other_forms() -> None:
    network = segmenter("cmx_cnn").network
    for options, cure in (
        ({"form": "conditional", "feature_form": "common"}, "choose form: inputs, or prediction: 0"),
        ({"form": "inputs", "feature_form": "segmentation"}, "choose feature_form: common, or features: 0"),
    ):
        objective = FunctionalEntropy(FunctionalEntropyOptions.model_validate(options))
        with pytest.raises(RecipeError, match=cure):
            objective.check(network)
        objective.check(segmenter("mean_fusion").network)
    FunctionalEntropy(FunctionalEntropyOptions(form="inputs", feature_form="common")).check(network)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"form": "predictions"}, "form: predictions.* is withdrawn: it lowers the answers that are right"),
        ({}, "form: has no default"),
        ({"form": "inputs"}, "feature_form: has no default; name segmentation, or common"),
    ],
)
def test_no_training_begins_or_goes_on_without_forms_that_are_kept(options: dict[str, str], reason: str) -> None:
    objective = FunctionalEntropy(FunctionalEntropyOptions.model_validate(options))
    trained = segmenter("mean_fusion")
    objective.check(trained.network)  # a finished run can be read
    with pytest.raises(RecipeError, match=reason):
        objective.check_files(trained.network, ())
    preparation = Preparation("train", Path(), (), 64, lambda: iter(()), lambda _: None, lambda _: None)
    with pytest.raises(RecipeError, match=reason):
        objective.prepare(trained, preparation)
