"""A network with the scaling of its sensors: raw values in, logits or class indices out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.modality import Modality
from engine.networks.contract import Detail, Inputs, Network


class Segmenter(nn.Module):
    """Normalises each band to zero mean and unit deviation of the training pixels, then asks the network.

    Args:
        network: Takes normalised values.
        modalities: With their statistics, in the network's order.
    """

    def __init__(self, network: Network, modalities: Sequence[Modality]) -> None:
        super().__init__()
        self.network = network
        self.modalities = tuple(modalities)
        for modality in modalities:
            means = [band.mean for band in modality.statistics]
            deviations = [band.std if band.std > 0 else 1.0 for band in modality.statistics]
            self.register_buffer(f"mean_{modality.name}", torch.tensor(means)[None, :, None, None])
            self.register_buffer(f"std_{modality.name}", torch.tensor(deviations)[None, :, None, None])

    def normalise(self, name: str, values: Tensor) -> Tensor:
        """Raw values ``[B, C, H, W]`` of any data type to float32 of zero mean and unit deviation."""
        mean, deviation = getattr(self, f"mean_{name}"), getattr(self, f"std_{name}")
        normalised: Tensor = (values.to(torch.float32) - mean) / deviation
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
