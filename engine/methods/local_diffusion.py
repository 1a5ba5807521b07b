"""Local diffusion: windows are learned again from a few of their patches under noise, by every sensor's decoder.

J. Qu, Y. Yang, W. Dong and Y. Yang, "LDS2AE: Local Diffusion Shared-Specific Autoencoder for Multimodal Remote Sensing
Image Classification with Arbitrary Missing Modalities" (AAAI 2024), equations 1 to 11 and algorithm 1: what the network
`lds2ae` is pre-trained by. No label is needed.

Every window gets noise of a step t that is drawn for the sample (Eq. 1, 2, in closed form), most of its patches are
hidden, for each sensor others, and the decoders give the clean window back (Eq. 5): a sensor's own from its tokens, on
the patches that were visible (Eq. 9) and on those that were not (Eq. 10), and each sensor's from the tokens of every
other (Eq. 11). All are added (Eq. 8).

Departures, and what the paper leaves open:

* Weights, which the paper does not give, are those of its authors' code: 1 for visible patches, `masked` 0.1 for hidden
  ones, `cross` 0.1 for reconstructions across sensors (hidden patches count `masked` in them as well). That code
  computes the reconstruction across sensors and leaves it out of the sum; it adds cross-entropy of the labels with a
  weight of 0.005, which the paper does not have. Here all of Eq. 8 is in the sum, and nothing else.
* The code puts back the visible patches of its second sensor in a wrong order; here each stands where it was taken.
* A reconstruction across sensors counts visible and hidden patches of the sensor that is reconstructed, as algorithm 1
  writes it, though its tokens are the other's.
* Noise is added to the whole window before the stem, whose convolutions act on single patches: what hidden patches hold
  reaches nothing. With batch norm they take part in the stem's statistics.
* With more than two sensors, a sensor's reconstructions from all others are averaged. Samples that lack a sensor take
  no part in what needs it; pixels without data hold the training mean, and are reconstructed as that.
* Only the window in the middle of a chip is learned from.
* Chips are flipped and turned besides zoomed unless a recipe says otherwise; the code zooms alone.
* The code brings values to 0 to 1 by the smallest and the largest of the whole image. Where these are outliers, all
  else is squeezed between them, and noise of unit variance drowns it at nearly every step. Recipes scale by quantiles
  of each band (`data.scaling: quantile_range`), each by itself since noise is alike for all bands. At how many steps
  the signal exceeds the noise is said before a training, with a warning where they are few.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from engine.data.settings import Settings
from engine.errors import RecipeError
from engine.methods.contract import Loss, Objective, Preparation, Step
from engine.networks.contract import Network
from engine.networks.lds2ae import Lds2ae
from engine.networks.segmenter import Segmenter

STEPS = 1000
"""Steps of diffusion; their variances rise linearly."""

FIRST_VARIANCE, LAST_VARIANCE = 1e-4, 0.02

FEW_STEPS = 0.1
"""Share of the steps at which signal exceeds noise, below which there is a warning.

It is 0.26 for values of unit variance, and 0.14 for normally distributed ones with quantiles of 2 % at -1 and 1.
"""


class LocalDiffusionOptions(Settings):
    """Options of ``local_diffusion``.

    Args:
        mask_ratio: Share of the patches that is hidden.
        masked: Weight of the hidden patches, over that of the visible ones.
        cross: Weight of reconstructions across sensors, over those of a sensor's own window; 0 does none.
        noise: Whether windows get noise at all; without it this is a masked autoencoder.
    """

    mask_ratio: float = Field(default=0.7, ge=0, lt=1)
    masked: float = Field(default=0.1, ge=0)
    cross: float = Field(default=0.1, ge=0)
    noise: bool = True


def noised(clean: Tensor, steps: Tensor, noise: Tensor) -> Tensor:
    """q(x_t | x_0): sqrt(a_t) x_0 + sqrt(1 - a_t) noise, a_t the product of 1 - variance up to step t (Eq. 1, 2).

    Args:
        clean: ``[N, C, h, w]``.
        steps: ``[N]`` from 0 to 999.
        noise: ``[N, C, h, w]``.
    """
    kept = _kept().to(clean.device)[steps][:, None, None, None]  # roots in double: 1 - kept is small at first
    return kept.sqrt().to(clean.dtype) * clean + (1 - kept).sqrt().to(clean.dtype) * noise


def _kept() -> Tensor:
    """``[1000]``: a_t, the share of the variance that is left after each step."""
    return (1 - torch.linspace(FIRST_VARIANCE, LAST_VARIANCE, STEPS, dtype=torch.float64)).cumprod(dim=0)


def signal_steps(variance: float) -> int:
    """At how many steps values of this variance exceed the noise: a_t x variance > 1 - a_t."""
    kept = _kept()
    return int((kept * variance > 1 - kept).sum())


def random_visible(samples: int, patches: int, ratio: float, device: torch.device) -> Tensor:
    """Places ``[N, n]`` of the patches that stay visible, another choice for each sample; one at the least."""
    count = max(1, int(patches * (1 - ratio)))
    return torch.rand((samples, patches), device=device).argsort(dim=1)[:, :count]


def reconstruction(found: Tensor, clean: Tensor, kept: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    """Mean squared error on the visible (Eq. 9) and on the hidden patches (Eq. 10); zero where there are none.

    Args:
        found: ``[N, C, w, w]``.
        clean: ``[N, C, w, w]``.
        kept: ``[N, n]`` places of the visible patches, counted row by row.
        patch: Side of a patch.
    """
    squares = (found - clean).square().mean(dim=1, keepdim=True)
    errors = F.avg_pool2d(squares, patch).flatten(1)  # (N, patches)
    visible = torch.zeros_like(errors).scatter(1, kept, 1.0)
    return (errors * visible).sum() / visible.sum(), (errors * (1 - visible)).sum() / (1 - visible).sum().clamp(min=1)


class LocalDiffusion(Objective):
    """Reconstruction of a sensor's own windows, and across sensors."""

    needs_labels = False

    def __init__(self, options: LocalDiffusionOptions) -> None:
        self.options = options

    def check(self, network: Network) -> None:
        """See :meth:`Objective.check`."""
        if not isinstance(network, Lds2ae):
            raise RecipeError("local_diffusion needs the decoders of the network lds2ae")

    def prepare(self, segmenter: Segmenter, preparation: Preparation) -> None:
        """Says at how many steps a sensor's signal exceeds the noise, by its training statistics, and warns of few."""
        if not self.options.noise:
            return
        for modality in segmenter.modalities:
            variance = segmenter.variance(modality)
            steps = signal_steps(variance)
            found = (
                f"{preparation.stage}: {modality.name}: scaled values deviate by {variance**0.5:.3g}; "
                f"signal exceeds noise at {steps} of {STEPS} steps"
            )
            if steps < FEW_STEPS * STEPS:
                found = (
                    f"Warning: {found}, and is lost at the others: the scaling leaves the values too small, as that by "
                    "extremes does; take data.scaling: quantile_range"
                )
            preparation.say(found)

    def loss(self, step: Step) -> Loss:
        """``visible`` and ``masked``, and the same ``across`` sensors where there are two or more; all weighted."""
        network, options = step.segmenter.network, self.options
        if not isinstance(network, Lds2ae):
            raise TypeError(f"local_diffusion cannot train {type(network).__name__}")
        window, patch = network.options.window, network.options.patch
        samples, device = len(step.availability), step.availability.device
        there = dict(zip(network.names, step.availability.T, strict=True))
        steps = torch.randint(STEPS if options.noise else 1, (samples,), device=device)
        clean, kept, tokens = {}, {}, {}
        for name in network.names:
            clean[name] = _middle(step.segmenter.normalise(name, step.inputs[name]), window)
            kept[name] = random_visible(samples, network.side**2, options.mask_ratio, device)
            seen = noised(clean[name], steps, torch.randn_like(clean[name])) if options.noise else clean[name]
            chosen = there[name]
            if chosen.any():
                tokens[name] = network.encode(name, seen[chosen], steps[chosen], kept[name][chosen])

        def pair(source: str, target: str) -> Tensor:
            """``[2]``: visible and masked error of a sensor's windows from another's (or its own) tokens."""
            both = there[source] & there[target]
            mine = tokens[source][both[there[source]]]
            found = network.decode(target, mine, kept[source][both])
            return torch.stack(reconstruction(found, clean[target][both], kept[target][both], patch))

        def over(target: str, sources: Sequence[str]) -> Tensor:
            found = [pair(source, target) for source in sources if (there[source] & there[target]).any()]
            return torch.stack(found).mean(dim=0) if found else torch.zeros(2, device=device)

        own = torch.stack([over(name, [name]) for name in tokens]).sum(dim=0)
        terms = {"visible": own[0], "masked": options.masked * own[1]}
        if options.cross and len(network.names) > 1:
            across = torch.stack([over(name, [one for one in tokens if one != name]) for name in tokens]).sum(dim=0)
            terms["visible_across"] = options.cross * across[0]
            terms["masked_across"] = options.cross * options.masked * across[1]
        return Loss(terms)


def _middle(values: Tensor, window: int) -> Tensor:
    row, col = (size // 2 - window // 2 for size in values.shape[-2:])
    return values[:, :, row : row + window, col : col + window]
