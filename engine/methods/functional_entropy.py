"""Multi-scale functional entropy: terms that keep one sensor from dominating, at the prediction and at the features.

X. Zheng et al., "Reducing Unimodal Bias in Multi-Modal Semantic Segmentation with Multi-Scale Functional Entropy
Regularization" (2025). Equations by its numbers; the weights are the paper's. Both terms are inverse functional Fisher
informations, gradient^2 / loss: the smallest weighs most, so that they raise what a neglected sensor contributes.

What the paper leaves open, and departures:

* Its informations shrink with the number of pixels, and their inverses reach a million. Here squared gradients are
  multiplied by the number of places, and each modality's information is divided by the mean over the modalities, which
  takes no gradient: a term does not change with resolution or with the loss's scale, and is at most 1 / ``offset``.
  Sums over the modalities are means.
* ``form: inputs`` is equation 6: the gradient of the cross-entropy with respect to the inputs, at one draw of Gaussian
  noise around them (log-Sobolev: times half its variance), a second pass and its derivative; the paper's own overhead
  of 0.6 percent cannot be that. ``form: predictions``, the default, takes it with respect to each modality's logits,
  whose softmaxes are averaged: by a formula, at hardly any cost. With averaged logits, as in equation 5, that gradient
  is the same for all modalities and says nothing.
* Equation 7 has a feature map f_m that is not defined: it is the mean over the modalities here, and takes no gradient.
  Maps are compared as distributions over their channels, whose gradient is a difference.
* Norms over the batch keep their statistics in the second pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.data.settings import Settings
from engine.errors import RecipeError
from engine.methods.contract import Loss, Objective, Step
from engine.networks.contract import Network, Unimodal
from engine.raster.labels import IGNORED

TINY = 1e-8


class FunctionalEntropyOptions(Settings):
    """Options of ``functional_entropy``. A weight of 0 leaves its term out; informations are logged all the same.

    Args:
        prediction: Weight lambda_p of the term at the prediction (equation 6).
        features: Weight lambda_f of the terms at the features (equation 7), which are added over the stages.
        form: What the prediction's gradient is taken with respect to.
        noise: Deviation of the noise on the inputs, in deviations of each band (``form: inputs`` alone).
        offset: Keeps the inverse of a modality that contributes nothing finite.
    """

    prediction: float = Field(default=0.3, ge=0)
    features: float = Field(default=0.02, ge=0)
    form: Literal["predictions", "inputs"] = "predictions"
    noise: float = Field(default=0.1, gt=0)
    offset: float = Field(default=0.05, gt=0)


class FunctionalEntropy(Objective):
    """Inverse informations of the modalities, over the samples that have two or more."""

    def __init__(self, options: FunctionalEntropyOptions) -> None:
        self.options = options

    def check(self, network: Network) -> None:
        """See :meth:`Objective.check`: the default form needs predictions of single modalities."""
        if self.options.prediction and self.options.form == "predictions" and not network.predicts_alone:
            raise RecipeError(
                "method.objectives: functional_entropy: the network has no prediction of a single modality; "
                "choose form: inputs, or prediction: 0"
            )

    def loss(self, step: Step) -> Loss:
        """``entropy_prediction`` and ``entropy_features``; the informations as facts."""
        options = self.options
        terms: dict[str, Tensor] = {}
        facts: dict[str, Tensor] = {}
        if options.form == "predictions":
            found = prediction_information(step.detail.unimodal, step.labels)
        else:
            found = input_information(step, options.noise) if options.prediction else {}
        facts |= {f"information/prediction/{name}": value for name, value in found.items()}
        if options.prediction:
            terms["entropy_prediction"] = options.prediction * self._inverse(found, step)
        stages = feature_information(step.detail.unimodal, len(step.labels))
        for number, found in enumerate(stages, 1):
            facts |= {f"information/stage {number}/{name}": value for name, value in found.items()}
        if options.features:
            inverses = [self._inverse(found, step) for found in stages]
            terms["entropy_features"] = options.features * torch.stack(inverses).sum()
        return Loss(terms, facts)

    def _inverse(self, found: Mapping[str, Tensor], step: Step) -> Tensor:
        if len(found) < 2:
            return step.detail.logits.new_zeros((), dtype=torch.float32)
        return inverse_information(torch.stack(list(found.values())), self.options.offset)


def inverse_information(information: Tensor, offset: float) -> Tensor:
    """Mean inverse of ``[n]`` informations, over their mean, which takes no gradient.

    It is 1 / (1 + offset) where all are alike, and at most 1 / offset.

    Args:
        information: Not negative.
        offset: Added to each.
    """
    relative = information / information.mean().detach().clamp(min=TINY)
    return (1 / (relative + offset)).mean()


def _shared_samples(unimodal: Mapping[str, Unimodal], batch: int) -> Tensor:
    """``[B]`` how many modalities each sample has."""
    return torch.bincount(torch.cat([one.samples for one in unimodal.values()]), minlength=batch)


def _wide(values: Tensor) -> Tensor:
    """In 32 bits or more, also where the network computes with fewer."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _mean_over(samples: Tensor, values: Tensor, chosen: Tensor) -> Tensor | None:
    """The mean of ``[N]`` values over those of ``samples`` that are chosen; None where there is none."""
    some = values[chosen[samples]]
    return some.mean() if len(some) else None


def prediction_information(unimodal: Mapping[str, Unimodal], labels: Tensor) -> dict[str, Tensor]:
    """Information of each modality about the label, by its own prediction (equation 6).

    Of CE(mean of the softmaxes, label) the gradient with respect to a modality's logits z is, at a pixel whose label is
    k, ``-q_k / (n p_k) (e_k - q)`` with ``q = softmax(z)`` and ``p`` the mean over the n modalities.

    Args:
        unimodal: With predictions.
        labels: ``[B, H, W]`` class indices, -1 where ignored; taken by the nearest at the predictions' resolution.

    Returns:
        For each modality the mean over the samples that have it and another one, if any: gradient^2 * pixels / loss.
    """
    chances = {
        name: _wide(one.prediction).softmax(dim=1) for name, one in unimodal.items() if one.prediction is not None
    }
    if not chances:
        return {}
    first = next(iter(chances.values()))
    counts = _shared_samples(unimodal, len(labels))
    together = first.new_zeros((len(labels), *first.shape[1:]))
    for name, chance in chances.items():
        together = together.index_add(0, unimodal[name].samples, chance)
    together = together / counts.clamp(min=1)[:, None, None, None]
    coarse = F.interpolate(labels[:, None].float(), size=first.shape[-2:], mode="nearest").long()
    known = coarse != IGNORED
    pixels = known.sum(dim=(1, 2, 3))
    wanted = coarse.clamp(min=0)
    right = together.gather(1, wanted).clamp(min=TINY)
    losses = torch.where(known, -right.log(), 0).sum(dim=(1, 2, 3)) / pixels.clamp(min=1)
    chosen = (counts > 1) & (pixels > 0)
    found = {}
    for name, chance in chances.items():
        samples = unimodal[name].samples
        own = chance.gather(1, wanted[samples])
        share = own / (counts[samples][:, None, None, None] * right[samples])
        squared = share.square() * (1 - 2 * own + chance.square().sum(dim=1, keepdim=True))
        total = torch.where(known[samples], squared, 0).sum(dim=(1, 2, 3)) / pixels[samples].clamp(min=1)
        mean = _mean_over(samples, total / (losses[samples] + TINY), chosen)
        if mean is not None:
            found[name] = mean
    return found


def feature_information(unimodal: Mapping[str, Unimodal], batch: int) -> list[dict[str, Tensor]]:
    """Information of each modality's features about what the modalities have in common, for each stage (equation 7).

    Features are taken as distributions over channels at each place. Of CE(softmax of the mean, softmax of one's own)
    the gradient with respect to one's own is the difference of the two.

    Args:
        unimodal: Whose features have the same shapes, but for the samples.
        batch: Samples in the batch.

    Returns:
        For each stage and modality the mean over the samples that have it and another one, if any: gradient^2 * places
        / loss.
    """
    counts = _shared_samples(unimodal, batch)
    stages: list[dict[str, Tensor]] = []
    for level in range(len(next(iter(unimodal.values())).features)):
        maps = {name: _wide(one.features[level]) for name, one in unimodal.items()}
        first = next(iter(maps.values()))
        mean = first.new_zeros((batch, *first.shape[1:]))
        for name, values in maps.items():
            mean = mean.index_add(0, unimodal[name].samples, values.detach())
        common = (mean / counts.clamp(min=1).view(-1, *[1] * (first.ndim - 1))).softmax(dim=1)
        found = {}
        for name, values in maps.items():
            samples = unimodal[name].samples
            chances, wanted = values.log_softmax(dim=1), common[samples]
            losses = -(wanted * chances).sum(dim=1).flatten(1).mean(dim=1)
            squared = (chances.exp() - wanted).square().sum(dim=1).flatten(1).mean(dim=1)
            value = _mean_over(samples, squared / (losses + TINY), counts > 1)
            if value is not None:
                found[name] = value
        stages.append(found)
    return stages


def input_information(step: Step, noise: float) -> dict[str, Tensor]:
    """Information of each modality's input about the label (equation 6), at one draw of noise.

    Args:
        step: Its own forward pass is not used.
        noise: Deviation of the noise, in deviations of each band.

    Returns:
        For each modality the mean over the samples that have it and another one, if any: half the noise's variance *
        gradient^2 * labelled pixels / loss.
    """
    labels, availability = step.labels, step.availability
    pixels = (labels != IGNORED).sum(dim=(1, 2))
    chosen = (availability.sum(dim=1) > 1) & (pixels > 0)
    if not chosen.any():
        return {}
    scales = {one.name: getattr(step.segmenter, f"std_{one.name}") for one in step.segmenter.modalities}
    noisy = {}
    for name, values in step.inputs.items():
        around = values.detach().to(torch.float32)
        noisy[name] = (around + noise * scales[name] * torch.randn_like(around)).requires_grad_()
    with _fixed_norms(step.segmenter), sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        logits = step.segmenter.detail(noisy, availability).logits.float()
        sums = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none").sum(dim=(1, 2))
        losses = sums / pixels.clamp(min=1)
        gradients = torch.autograd.grad(losses.sum(), list(noisy.values()), create_graph=True, allow_unused=True)
    found = {}
    for place, (name, gradient) in enumerate(zip(noisy, gradients, strict=True)):
        having = chosen & availability[:, place]
        if gradient is not None and having.any():
            squared = (gradient[having] * noise * scales[name]).square().sum(dim=(1, 2, 3))
            found[name] = (squared * pixels[having] / (2 * (losses[having] + TINY))).mean()
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
