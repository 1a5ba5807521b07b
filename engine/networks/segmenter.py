"""A network with the scaling of its sensors: raw values in, logits or class indices out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.data.settings import Scaling
from engine.errors import RecipeError
from engine.modality import BandStatistics, Modality
from engine.networks.contract import Detail, Inputs, Network


def band_scales(modality: Modality, scaling: Scaling) -> tuple[list[float], list[float]]:
    """For each band what is taken from its values, and what the rest is divided by.

    Args:
        modality: With its statistics.
        scaling: ``standard``: mean and deviation of the band; ``mean``: its mean, and one; ``band_range``: its smallest
            value and its range; ``range``: those of all bands of the sensor together, so that they keep their
            proportions; ``quantile_range``: the middle between the band's quantiles of 2 % and 98 % and half of what
            lies between, so that these are -1 and 1 (values beyond are not cut off); where both are the same number,
            the middle and half of the range.

    A band that was constant is divided by infinity: it is zero whatever comes when mapping, since what another value
    would mean was never learned.

    Raises:
        RecipeError: If quantiles are asked for where the statistics have none.
    """
    bands = modality.statistics
    if scaling == "standard":
        offsets, scales = [band.mean for band in bands], [band.std for band in bands]
    elif scaling == "mean":
        offsets, scales = [band.mean for band in bands], [1.0] * len(bands)
    elif scaling == "quantile_range":
        ends = [_quantiles(modality.name, band) for band in bands]
        offsets, scales = [(low + high) / 2 for low, high in ends], [(high - low) / 2 for low, high in ends]
    else:
        low, high = [band.minimum for band in bands], [band.maximum for band in bands]
        if scaling == "range":
            low, high = [min(low)] * len(bands), [max(high)] * len(bands)
        offsets, scales = low, [top - bottom for bottom, top in zip(low, high, strict=True)]
    constant = [band.minimum == band.maximum for band in bands]
    return offsets, [math.inf if flat else scale or 1.0 for scale, flat in zip(scales, constant, strict=True)]


def _quantiles(name: str, band: BandStatistics) -> tuple[float, float]:
    if band.low is None or band.high is None:
        raise RecipeError(
            f"data.scaling: quantile_range needs quantiles, which the statistics of {name} do not have (an older "
            "engine measured them); train anew, or take another scaling"
        )
    return (band.low, band.high) if band.low < band.high else (band.minimum, band.maximum)


class Segmenter(nn.Module):
    """Brings each band to the scale of its training pixels, then asks the network.

    Args:
        network: Takes normalised values.
        modalities: With their statistics, in the network's order.
        scaling: How values are normalised; see :func:`band_scales`.
    """

    def __init__(self, network: Network, modalities: Sequence[Modality], scaling: Scaling = "standard") -> None:
        super().__init__()
        self.network = network
        self.modalities = tuple(modalities)
        for modality in modalities:
            offsets, scales = band_scales(modality, scaling)
            self.register_buffer(f"offset_{modality.name}", torch.tensor(offsets)[None, :, None, None])
            self.register_buffer(f"scale_{modality.name}", torch.tensor(scales)[None, :, None, None])

    def normalise(self, name: str, values: Tensor) -> Tensor:
        """Raw values ``[B, C, H, W]`` of any data type to float32 on the training's scale."""
        offset, scale = getattr(self, f"offset_{name}"), getattr(self, f"scale_{name}")
        normalised: Tensor = (values.to(torch.float32) - offset) / scale
        return normalised

    def variance(self, modality: Modality) -> float:
        """Of a sensor's normalised training values, the mean over its bands."""
        deviations = torch.tensor([band.std for band in modality.statistics])
        scales: Tensor = getattr(self, f"scale_{modality.name}").flatten().cpu()
        return float((deviations / scales).square().mean())

    def detail(self, inputs: Inputs, availability: Tensor) -> Detail:
        """See :meth:`Network.detail`, of raw values."""
        return self.network.detail(
            {name: self.normalise(name, values) for name, values in inputs.items()}, availability
        )

    def forward(self, inputs: Inputs, availability: Tensor) -> Tensor:
        """Logits ``[B, K, H, W]`` of raw values ``[B, C_m, H, W]`` under ``availability`` ``[B, M]``."""
        return self.detail(inputs, availability).logits

    def scenario_logits(self, inputs: Inputs, availability: Tensor) -> Tensor:
        """Logits ``[B, K, H, W]`` of raw values under one scenario ``[M]``, in a form that exports."""
        return self.network.scenario_logits(inputs, availability, self.normalise)
