"""A network with the scaling of its sensors: raw values in, logits or class indices out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.data.settings import Scaling
from engine.modality import Modality
from engine.networks.contract import Detail, Inputs, Network


def band_scales(modality: Modality, scaling: Scaling) -> tuple[list[float], list[float]]:
    """For each band what is taken from its values, and what the rest is divided by.

    Args:
        modality: With its statistics.
        scaling: ``standard``: mean and deviation of the band; ``band_range``: its smallest value and its range;
            ``range``: those of all bands of the sensor together, so that they keep their proportions.

    A band that was constant is divided by infinity: it is zero whatever comes when mapping, since what another value
    would mean was never learned.
    """
    bands = modality.statistics
    if scaling == "standard":
        offsets, scales = [band.mean for band in bands], [band.std for band in bands]
    else:
        low, high = [band.minimum for band in bands], [band.maximum for band in bands]
        if scaling == "range":
            low, high = [min(low)] * len(bands), [max(high)] * len(bands)
        offsets, scales = low, [top - bottom for bottom, top in zip(low, high, strict=True)]
    constant = [band.minimum == band.maximum for band in bands]
    return offsets, [math.inf if flat else scale or 1.0 for scale, flat in zip(scales, constant, strict=True)]


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
