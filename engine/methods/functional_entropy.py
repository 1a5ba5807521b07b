"""Multi-scale functional entropy: terms that keep one sensor from dominating, at the prediction and at the features.

X. Zheng et al., "Reducing Unimodal Bias in Multi-Modal Semantic Segmentation with Multi-Scale Functional Entropy
Regularization" (2025). Equations by its numbers; the weights are the paper's. Both terms are inverse functional Fisher
informations, gradient^2 / loss: the smallest weighs most, so that they raise what a neglected sensor contributes.

The paper's equations 4, 6 and 7 differ in whose gradient of which loss they take. A recipe names its reading; none is
the default (docs/methods/functional_entropy.md):

* ``form: inputs`` is equation 6: the gradient of the cross-entropy with respect to each sensor's input. ``form:
  conditional`` is equation 4: the same of a sensor's own prediction against that of all sensors. Both are taken at one
  draw of Gaussian noise around the inputs (log-Sobolev: times half its variance), by a second pass and its derivative;
  the paper's own overhead of 0.6 percent cannot be that.
* ``feature_form: segmentation`` reads equation 7 as the gradient of the cross-entropy with respect to each sensor's
  features, as what answers reads them. ``feature_form: common`` reads its undefined f_m as the mean over the sensors:
  maps are compared as distributions over their channels, of which the gradient is a difference, so that what is
  balanced is how far each sensor's features lie from what the sensors have in common. Two sensors lie nearly alike far
  from their mean, and nothing is left to balance.

``form: predictions``, the gradient with respect to each sensor's own logits, is withdrawn: it vanishes where a sensor
is right and sure, so that the sensor of least information is the strong one, and the term punishes right answers.

What the paper leaves open, and departures:

* Its informations shrink with the number of pixels, and their inverses reach a million. Here squared gradients are
  multiplied by the number of places, and a modality's information is divided by the mean over its sample's modalities.
  A term does not change with resolution or with the loss's scale, is at most 1 / ``offset``, and only balances: raising
  all informations alike, which ruins a training, gains nothing. Sums over the modalities are means.
* Informations are expectations in the equations, inside of the inverse: here means over the samples of a batch (the
  paper's reference 18 averages there too). The terms see a modality that is neglected in most samples of a batch, not
  one that is neglected in a few, and depend on what is drawn together.
* Informations have no sign: raising one makes the answer depend more on a sensor, rightly or wrongly.
* What all sensors say in equation 4 (the pass without noise, as in the paper's reference 18), and the mean in
  equation 7, take no gradient.
* Norms over the batch keep their statistics in the second pass. ``feature_form: segmentation`` differentiates the
  step's own pass, in which they tie the samples of a batch to one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.data.settings import Settings
from engine.errors import RecipeError
from engine.methods.contract import Loss, Objective, Preparation, Step
from engine.modality import IGNORED, LandClass
from engine.networks.contract import Network, Unimodal
from engine.networks.heads import resized
from engine.networks.segmenter import Segmenter

TINY = 1e-8

_CHOICE = (
    "Name form: inputs or conditional, or set prediction: 0; unimodal_cross_entropy trains a neglected sensor by itself"
)


def _named_form(form: object) -> object:
    if form not in (None, "inputs", "conditional", "predictions"):
        raise ValueError(f"{form!r} is none of inputs, conditional")
    return form


class FunctionalEntropyOptions(Settings):
    """Options of ``functional_entropy``. A weight of 0 leaves its term out.

    Args:
        prediction: Weight lambda_p of the term at the prediction.
        features: Weight lambda_f of the terms at the features (equation 7), which are added over the stages.
        form: What the term at the prediction is: ``inputs`` (equation 6) or ``conditional`` (equation 4). The withdrawn
            ``predictions`` is read, but not trained with.
        feature_form: What the terms at the features are: ``segmentation`` or ``common``.
        noise: Deviation of the noise on the inputs, in deviations of each band.
        offset: Keeps the inverse of a modality that contributes nothing finite.
    """

    prediction: float = Field(default=0.3, ge=0, allow_inf_nan=False)
    features: float = Field(default=0.02, ge=0, allow_inf_nan=False)
    form: Annotated[Literal["inputs", "conditional", "predictions"] | None, BeforeValidator(_named_form)] = None
    feature_form: Literal["segmentation", "common"] | None = None
    noise: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    offset: float = Field(default=0.05, gt=0, allow_inf_nan=False)


class FunctionalEntropy(Objective):
    """Inverse informations of the modalities, over the samples that have two or more."""

    sufficient = False

    def __init__(self, options: FunctionalEntropyOptions) -> None:
        self.options = options

    def check(self, network: Network) -> None:
        """See :meth:`Objective.check`: there must be two modalities, whose own predictions some forms need."""
        if len(network.names) < 2:
            raise RecipeError("functional_entropy: there is one modality, and nothing to balance")
        if network.predicts_alone:
            return
        if self.options.prediction and self.options.form == "conditional":
            raise RecipeError(
                "functional_entropy: form: conditional needs a network with predictions of single modalities; "
                "choose form: inputs, or prediction: 0"
            )
        if self.options.features and self.options.feature_form == "segmentation":
            raise RecipeError(
                "functional_entropy: feature_form: segmentation needs a network with predictions of single modalities; "
                "choose feature_form: common, or features: 0"
            )

    def check_files(self, network: Network, classes: Sequence[LandClass]) -> None:
        """See :meth:`Objective.check_files`: a training that begins names its forms, which are not withdrawn ones."""
        self._check_forms()

    def prepare(self, segmenter: Segmenter, preparation: Preparation) -> None:
        """See :meth:`Objective.prepare`: nor does one go on with them."""
        self._check_forms()

    def _check_forms(self) -> None:
        options = self.options
        if options.form == "predictions":
            raise RecipeError(
                "functional_entropy: form: predictions, the default of before, is withdrawn: it lowers the answers that"
                f" are right and sure, those of the strong sensor. {_CHOICE}"
            )
        if options.prediction and options.form is None:
            raise RecipeError(
                "functional_entropy: form: has no default (that of before, predictions, lowers right answers and is "
                f"withdrawn). {_CHOICE}"
            )
        if options.features and options.feature_form is None:
            raise RecipeError(
                "functional_entropy: feature_form: has no default; name segmentation, or common (that of before), or "
                "set features: 0"
            )

    def loss(self, step: Step) -> Loss:
        """``entropy_prediction`` and ``entropy_features``; the informations as facts."""
        options = self.options
        terms: dict[str, Tensor] = {}
        facts: dict[str, Tensor] = {}
        if options.prediction:
            found = input_information(step, options.noise, conditional=options.form == "conditional")
            facts |= {f"information/prediction/{name}": value for name, value in found.means().items()}
            terms["entropy_prediction"] = options.prediction * found.inverse(options.offset)
        if options.features:
            if options.feature_form == "segmentation":
                stages = segmentation_information(step)
            else:
                stages = feature_information(step.detail.unimodal, len(step.labels))
            for number, found in enumerate(stages, 1):
                facts |= {f"information/stage {number}/{name}": value for name, value in found.means().items()}
            inverses = [found.inverse(options.offset) for found in stages]
            terms["entropy_features"] = options.features * torch.stack(inverses).sum()
        return Loss(terms, facts)


@dataclass(frozen=True)
class Information:
    """How much each modality contributes in each sample.

    Args:
        names: The modalities.
        values: ``[B, G]``, not negative.
        there: ``[B, G]`` bool: what counts, two or more of a sample or none.
    """

    names: tuple[str, ...]
    values: Tensor
    there: Tensor

    def means(self) -> dict[str, Tensor]:
        """The mean over the samples that count, of each modality that has one."""
        return {
            name: self.values[self.there[:, place], place].mean()
            for place, name in enumerate(self.names)
            if self.there[:, place].any()
        }

    def inverse(self, offset: float) -> Tensor:
        """Mean over the modalities of 1 / (information + ``offset``).

        A modality's information is relative to the mean of its sample, and then the mean over the samples that have it:
        the equations' expectation stands inside of the inverse. A modality that is starved in one sample and not in
        another of the batch is not starved. The result is 1 / (1 + offset) where all are alike, 1 / offset at most, and
        0 where nothing counts.

        Args:
            offset: Added to each information, which is taken over the mean of its sample.
        """
        values = torch.where(self.there, self.values, 0)
        mean = values.sum(dim=1, keepdim=True) / self.there.sum(dim=1, keepdim=True).clamp(min=1)
        relative = values / mean.clamp(min=TINY)
        counted = self.there.any(dim=0)
        over = relative.sum(dim=0)[counted] / self.there.sum(dim=0)[counted]
        return (1 / (over + offset)).sum() / counted.sum().clamp(min=1)


def _gathered(names: Sequence[str], found: Sequence[tuple[Tensor, Tensor]], chosen: Tensor) -> Information:
    """Values of samples, for each modality, in a batch of which some are chosen."""
    values, there = [], []
    for samples, one in found:
        values.append(one.new_zeros(len(chosen)).index_copy(0, samples, one))
        there.append(torch.zeros_like(chosen).index_fill(0, samples, True) & chosen)
    return Information(tuple(names), torch.stack(values, dim=1), torch.stack(there, dim=1))


def _shared_samples(unimodal: Mapping[str, Unimodal], batch: int) -> Tensor:
    """``[B]`` how many modalities each sample has."""
    return torch.bincount(torch.cat([one.samples for one in unimodal.values()]), minlength=batch)


def _wide(values: Tensor) -> Tensor:
    """In 32 bits or more, also where the network computes with fewer."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def feature_information(unimodal: Mapping[str, Unimodal], batch: int) -> list[Information]:
    """Information of each modality's features about what the modalities have in common, for each stage (equation 7).

    Features are taken as distributions over channels at each place. Of CE(softmax of the mean, softmax of one's own)
    the gradient with respect to one's own is the difference of the two.

    Args:
        unimodal: Whose features have the same shapes, but for the samples.
        batch: Samples in the batch.

    Returns:
        For each stage gradient^2 * places / loss, of samples with two modalities or more.
    """
    counts = _shared_samples(unimodal, batch)
    stages = []
    for level in range(len(next(iter(unimodal.values())).features)):
        maps = {name: _wide(one.features[level]) for name, one in unimodal.items()}
        first = next(iter(maps.values()))
        mean = first.new_zeros((batch, *first.shape[1:]))
        for name, values in maps.items():
            mean = mean.index_add(0, unimodal[name].samples, values.detach())
        common = (mean / counts.clamp(min=1).view(-1, *[1] * (first.ndim - 1))).softmax(dim=1)
        found = []
        for name, values in maps.items():
            samples = unimodal[name].samples
            chances, wanted = values.log_softmax(dim=1), common[samples]
            losses = -(wanted * chances).sum(dim=1).flatten(1).mean(dim=1)
            squared = (chances.exp() - wanted).square().sum(dim=1).flatten(1).mean(dim=1)
            found.append((samples, squared / (losses + TINY)))
        stages.append(_gathered(list(maps), found, counts > 1))
    return stages


def segmentation_information(step: Step) -> list[Information]:
    """Information of each modality's features about the label, for each stage (equation 7, read as equation 6).

    Returns:
        gradient^2 * labelled pixels / loss, of samples with two modalities or more; the gradient of a sample's
        cross-entropy, by the step's own forward pass.
    """
    unimodal, pixels = step.detail.unimodal, _pixels(step.labels)
    losses = _cross_entropies(step.detail.logits, step.labels)
    levels = [one.features for one in unimodal.values()]
    gradients = torch.autograd.grad(losses.sum(), [part for maps in levels for part in maps], create_graph=True)
    chosen = (_shared_samples(unimodal, len(pixels)) > 1) & (pixels > 0)
    stages = []
    for level in range(len(levels[0])):
        found = []
        for place, one in enumerate(unimodal.values()):
            squared = gradients[place * len(levels[0]) + level].float().square().flatten(1).sum(dim=1)
            found.append((one.samples, squared * pixels[one.samples] / (losses[one.samples] + TINY)))
        stages.append(_gathered(list(unimodal), found, chosen))
    return stages


def input_information(step: Step, noise: float, *, conditional: bool) -> Information:
    """Information of each modality's input, at one draw of noise.

    Args:
        step: Its own forward pass says what all sensors say together.
        noise: Deviation of the noise, of normalised values.
        conditional: Whether about what all sensors say, by a modality's own prediction (equation 4); else about the
            label, by the answer (equation 6).

    Returns:
        Half the noise's variance * gradient^2 * labelled pixels / loss, of samples with two modalities or more.
    """
    labels, availability = step.labels, step.availability
    pixels = _pixels(labels)
    chosen = (availability.sum(dim=1) > 1) & (pixels > 0)
    if not chosen.any():
        nothing = torch.zeros(availability.shape, device=availability.device)
        return Information(tuple(step.inputs), nothing, torch.zeros_like(availability))
    scales = {}
    for one in step.segmenter.modalities:
        scale = getattr(step.segmenter, f"scale_{one.name}")
        scales[one.name] = torch.where(scale.isfinite(), scale, 0)  # a band that was constant says nothing
    noisy = {}
    for name, values in step.inputs.items():
        around = values.detach().to(torch.float32)
        noisy[name] = (around + noise * scales[name] * torch.randn_like(around)).requires_grad_()
    with _fixed_norms(step.segmenter), sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        detail = step.segmenter.detail(noisy, availability)
        if conditional:
            together = step.detail.logits.detach().float().softmax(dim=1)
            losses = _distances(detail.unimodal, tuple(noisy), together, labels)
        else:
            losses = _cross_entropies(detail.logits, labels)[:, None]
        gradients = torch.autograd.grad(losses.sum(), list(noisy.values()), create_graph=True, allow_unused=True)
    squared = [
        losses.new_zeros(len(losses)) if gradient is None else (gradient * noise * scales[name]).square().sum((1, 2, 3))
        for name, gradient in zip(noisy, gradients, strict=True)
    ]
    found = torch.stack(squared, dim=1) * pixels[:, None] / (2 * (losses + TINY))
    return Information(tuple(noisy), found, availability & chosen[:, None])


def _pixels(labels: Tensor) -> Tensor:
    """``[B]`` how many pixels of each sample have a label."""
    return (labels != IGNORED).sum(dim=(1, 2))


def _cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """``[B]`` means over the labelled pixels of each sample."""
    sums = F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="none").sum(dim=(1, 2))
    return sums / _pixels(labels).clamp(min=1)


def _distances(unimodal: Mapping[str, Unimodal], names: Sequence[str], together: Tensor, labels: Tensor) -> Tensor:
    """``[B, M]`` cross-entropy of each modality's own prediction against what all say, over the labelled pixels."""
    known = labels != IGNORED
    found = together.new_zeros((len(labels), len(names)))
    for place, name in enumerate(names):
        prediction = unimodal[name].prediction if name in unimodal else None
        if prediction is not None:
            samples = unimodal[name].samples
            own = resized(prediction.float(), labels).log_softmax(dim=1)
            differing = -(together[samples] * own).sum(dim=1)
            sums = torch.where(known[samples], differing, 0).sum(dim=(1, 2))
            means = sums / _pixels(labels)[samples].clamp(min=1)
            found = found.index_put((samples, torch.full_like(samples, place)), means)
    return found


@contextmanager
def _fixed_norms(module: nn.Module) -> Iterator[None]:
    """Batch norms by the statistics that they have, which stay as they are: samples do not act on one another."""
    norms = [one for one in module.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm) and one.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()
