"""Multi-scale functional entropy: terms that keep one sensor from dominating, at the prediction and at the features.

X. Zheng et al., "Reducing Unimodal Bias in Multi-Modal Semantic Segmentation with Multi-Scale Functional Entropy
Regularization" (2025). Equations by its numbers; the weights are the paper's. Both terms are inverse functional Fisher
informations, gradient^2 / loss: the smallest weighs most, so that they raise what a neglected sensor contributes.

What the paper leaves open, and departures:

* Its informations shrink with the number of pixels, and their inverses reach a million. Here squared gradients are
  multiplied by the number of places, and a modality's information is divided by the mean over its sample's modalities.
  A term does not change with resolution or with the loss's scale, is at most 1 / ``offset``, and only balances: raising
  all informations alike, which ruins a training, gains nothing. Sums over the modalities are means.
* ``form: inputs`` is equation 6: the gradient of the cross-entropy with respect to the inputs, at one draw of Gaussian
  noise around them (log-Sobolev: times half its variance), a second pass and its derivative; the paper's own overhead
  of 0.6 percent cannot be that. ``form: predictions``, the default, takes it with respect to each modality's logits,
  whose softmaxes are averaged: by a formula, at hardly any cost. With averaged logits, as in equation 5, that gradient
  is the same for all modalities and says nothing. It judges the plain average of the single predictions, also where a
  network weighs them (``fusion`` of ``mean_fusion``) or answers by a decoder of its own for several (``stars``).
* Equation 7 has a feature map f_m that is not defined: it is the mean over the modalities here, and takes no gradient.
  Maps are compared as distributions over their channels, whose gradient is a difference: what is balanced is how far
  each sensor's features lie from what the sensors have in common.
* Norms over the batch keep their statistics in the second pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.data.settings import Settings
from engine.errors import RecipeError
from engine.methods.contract import Loss, Objective, Step
from engine.modality import IGNORED
from engine.networks.contract import Network, Unimodal

TINY = 1e-8


class FunctionalEntropyOptions(Settings):
    """Options of ``functional_entropy``. A weight of 0 leaves its term out; what a formula gives is logged still.

    Args:
        prediction: Weight lambda_p of the term at the prediction (equation 6).
        features: Weight lambda_f of the terms at the features (equation 7), which are added over the stages.
        form: What the prediction's gradient is taken with respect to.
        noise: Deviation of the noise on the inputs, in deviations of each band (``form: inputs`` alone).
        offset: Keeps the inverse of a modality that contributes nothing finite.
    """

    prediction: float = Field(default=0.3, ge=0, allow_inf_nan=False)
    features: float = Field(default=0.02, ge=0, allow_inf_nan=False)
    form: Literal["predictions", "inputs"] = "predictions"
    noise: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    offset: float = Field(default=0.05, gt=0, allow_inf_nan=False)


class FunctionalEntropy(Objective):
    """Inverse informations of the modalities, over the samples that have two or more."""

    sufficient = False

    def __init__(self, options: FunctionalEntropyOptions) -> None:
        self.options = options

    def check(self, network: Network) -> None:
        """See :meth:`Objective.check`: there must be two modalities, whose predictions the default form needs."""
        if len(network.names) < 2:
            raise RecipeError("functional_entropy: there is one modality, and nothing to balance")
        if self.options.prediction and self.options.form == "predictions" and not network.predicts_alone:
            raise RecipeError(
                "functional_entropy: the network has no prediction of a single modality; "
                "choose form: inputs, or prediction: 0"
            )

    def loss(self, step: Step) -> Loss:
        """``entropy_prediction`` and ``entropy_features``; the informations as facts."""
        options = self.options
        terms: dict[str, Tensor] = {}
        facts: dict[str, Tensor] = {}
        with torch.set_grad_enabled(options.prediction > 0):
            if options.form == "predictions":
                prediction = prediction_information(step.detail.unimodal, step.labels)
            else:
                prediction = input_information(step, options.noise) if options.prediction else None
        if prediction is not None:
            facts |= {f"information/prediction/{name}": value for name, value in prediction.means().items()}
        if options.prediction and prediction is not None:
            terms["entropy_prediction"] = options.prediction * prediction.inverse(options.offset)
        with torch.set_grad_enabled(options.features > 0):
            stages = feature_information(step.detail.unimodal, len(step.labels))
        for number, found in enumerate(stages, 1):
            facts |= {f"information/stage {number}/{name}": value for name, value in found.means().items()}
        if options.features:
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
        """Mean inverse over the modalities.

        It is 1 / (1 + offset) where all are alike, 1 / offset at most, and 0 where nothing counts.

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


def prediction_information(unimodal: Mapping[str, Unimodal], labels: Tensor) -> Information | None:
    """Information of each modality about the label, by its own prediction (equation 6).

    Of CE(mean of the softmaxes, label) the gradient with respect to a modality's logits z is, at a pixel whose label is
    k, ``-q_k / (n p_k) (e_k - q)`` with ``q = softmax(z)`` and ``p`` the mean over the n modalities.

    Args:
        unimodal: With predictions.
        labels: ``[B, H, W]`` class indices, -1 where ignored; taken by the nearest at the predictions' resolution.

    Returns:
        gradient^2 * pixels / loss, of samples with two modalities or more; None where there are no predictions.
    """
    chances = {
        name: _wide(one.prediction).softmax(dim=1) for name, one in unimodal.items() if one.prediction is not None
    }
    if not chances:
        return None
    first = next(iter(chances.values()))
    counts = _shared_samples(unimodal, len(labels))
    together = first.new_zeros((len(labels), *first.shape[1:]))
    for name, chance in chances.items():
        together = together.index_add(0, unimodal[name].samples, chance)
    together = together / counts.clamp(min=1)[:, None, None, None]
    coarse = F.interpolate(labels[:, None].float(), size=first.shape[-2:], mode="nearest-exact").long()
    known = coarse != IGNORED
    pixels = known.sum(dim=(1, 2, 3))
    wanted = coarse.clamp(min=0)
    right = together.gather(1, wanted).clamp(min=TINY)
    losses = torch.where(known, -right.log(), 0).sum(dim=(1, 2, 3)) / pixels.clamp(min=1)
    chosen = (counts > 1) & (pixels > 0)
    found = []
    for name, chance in chances.items():
        samples = unimodal[name].samples
        own = chance.gather(1, wanted[samples])
        share = own / (counts[samples][:, None, None, None] * right[samples])
        squared = share.square() * (1 - 2 * own + chance.square().sum(dim=1, keepdim=True))
        total = torch.where(known[samples], squared, 0).sum(dim=(1, 2, 3)) / pixels[samples].clamp(min=1)
        found.append((samples, total / (losses[samples] + TINY)))
    return _gathered(list(chances), found, chosen)


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


def input_information(step: Step, noise: float) -> Information:
    """Information of each modality's input about the label (equation 6), at one draw of noise.

    Args:
        step: Its own forward pass is not used.
        noise: Deviation of the noise, of normalised values.

    Returns:
        Half the noise's variance * gradient^2 * labelled pixels / loss, of samples with two modalities or more.
    """
    labels, availability = step.labels, step.availability
    pixels = (labels != IGNORED).sum(dim=(1, 2))
    chosen = (availability.sum(dim=1) > 1) & (pixels > 0)
    if not chosen.any():
        nothing = torch.zeros(availability.shape, device=availability.device)
        return Information(tuple(step.inputs), nothing, torch.zeros_like(availability))
    scales = {one.name: getattr(step.segmenter, f"scale_{one.name}") for one in step.segmenter.modalities}
    noisy = {}
    for name, values in step.inputs.items():
        around = values.detach().to(torch.float32)
        noisy[name] = (around + noise * scales[name] * torch.randn_like(around)).requires_grad_()
    with _fixed_norms(step.segmenter), sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        logits = step.segmenter.detail(noisy, availability).logits.float()
        sums = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none").sum(dim=(1, 2))
        losses = sums / pixels.clamp(min=1)
        gradients = torch.autograd.grad(losses.sum(), list(noisy.values()), create_graph=True, allow_unused=True)
    squared = [
        torch.zeros_like(losses) if gradient is None else (gradient * noise * scales[name]).square().sum(dim=(1, 2, 3))
        for name, gradient in zip(noisy, gradients, strict=True)
    ]
    found = torch.stack(squared, dim=1) * (pixels / (2 * (losses + TINY)))[:, None]
    return Information(tuple(noisy), found, availability & chosen[:, None])


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
