"""Averaged predictions of one shared encoder.

The baseline of the multi-scale functional entropy paper (Zheng et al.): one encoder serves all modalities and the
predictions are averaged (its Eq. 5) over those that are there; one that is missing is not passed.

Departures:

* A stem of each modality's own (SegFormer's first patch embedding; ResNet's first convolution, norm and pooling)
  stands before the shared stages, since the paper's rendering of every sensor as a three-channel image loses bands.
* Logits are averaged at a quarter of the resolution and upsampled once: both steps are linear, the result the same.
* The width of the head is SegFormer's published one (256 for b0 and b1, 768 from b2).
* The average may be weighted at each pixel (``fusion``), by how sure each modality is (``confidence``) or by a gate
  that is learned (``gated``): the paper's own tables show plain averages of all sensors that are worse than the best of
  them. With one modality the weights cancel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from engine.data.settings import Settings
from engine.networks.contract import Detail, Inputs, Network, Normalise, Unimodal
from engine.networks.encoders import build_encoder, head_width
from engine.networks.heads import AllMlpHead


class MeanFusionOptions(Settings):
    """Options of ``mean_fusion``.

    Args:
        encoder: Name of the shared encoder.
        weights: Hub name or folder of pretrained weights; random ones where None.
        head_width: Width of the head; the encoder's published one where None.
        fusion: How logits are averaged: ``mean``; ``confidence``, weights fall with the entropy of a modality's own
            prediction, as steeply as is learned; ``gated``, weights are learned from the head's features.
    """

    encoder: str = "segformer-b0"
    weights: str | None = None
    head_width: int | None = Field(default=None, ge=1)
    fusion: Literal["mean", "confidence", "gated"] = "mean"


class MeanFusion(Network):
    """One encoder and head shared by all modalities behind a stem of each; logits averaged.

    The latent ``mean`` is the average of the deepest features over the modalities that are there.
    """

    latents = ("mean",)
    lora_targets = ("head.linears.*", "head.fuse", "head.classify")
    predicts_alone = True

    def __init__(self, options: MeanFusionOptions, bands: Mapping[str, int], classes: int) -> None:
        super().__init__(bands, classes)
        self.encoder = build_encoder(options.encoder, bands, options.weights)
        width = options.head_width or head_width(options.encoder)
        self.head = AllMlpHead(self.encoder.widths, width, classes)
        self.fusion = options.fusion if len(bands) > 1 else "mean"
        if self.fusion == "confidence":
            self.steepness = nn.Parameter(torch.tensor(0.5413))  # softplus of it is 1
        if self.fusion == "gated":
            self.gate = nn.Conv2d(width, 1, 1)
            nn.init.zeros_(self.gate.weight)  # the mean, to begin with

    def detail(self, inputs: Inputs, availability: Tensor) -> Detail:
        """See :meth:`Network.detail`. Only available samples of a modality are computed."""
        first = inputs[self.names[0]]
        stems, samples = {}, {}
        for number, name in enumerate(self.names):
            chosen = availability[:, number].nonzero()[:, 0]
            if len(chosen):
                stems[name] = self.encoder.stem(name, inputs[name][chosen])
                samples[name] = chosen
        sample = torch.cat(list(samples.values()))
        maps = self.encoder.stages(torch.cat(list(stems.values())))
        lengths = [len(chosen) for chosen in samples.values()]
        levels = [torch.split(level, lengths) for level in maps]
        # the head reads what is given out of each modality, so that there is a gradient with respect to it
        branches, weights = self._predicted([torch.cat(level) for level in levels])  # (N, K, h, w), (N, 1, h, w)

        def total(values: Tensor) -> Tensor:
            return values.new_zeros((len(availability), *values.shape[1:])).index_add(0, sample, values)

        fused = total(weights * branches) / total(weights)
        mean = total(maps[-1]) / availability.sum(dim=1)[:, None, None, None]
        parts = zip(*levels, torch.split(branches, lengths), strict=True)
        unimodal = {
            name: Unimodal(samples[name], tuple(features), prediction)
            for name, (*features, prediction) in zip(samples, parts, strict=True)
        }
        return Detail(self._upsampled(fused, first), {"mean": mean}, unimodal)

    def _predicted(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits ``[N, K, h, w]``, and what they weigh ``[N, 1, h, w]``, more than 0."""
        hidden = self.head.hidden(maps)
        logits = self.head.classified(hidden)
        if self.fusion == "confidence":
            chances = logits.log_softmax(dim=1)
            entropy = -(chances.exp() * chances).sum(dim=1, keepdim=True)
            return logits, torch.exp(-F.softplus(self.steepness) * entropy) + 1e-4
        if self.fusion == "gated":
            return logits, F.softplus(self.gate(hidden)) + 1e-4
        return logits, torch.ones_like(logits[:, :1])

    def scenario_logits(self, inputs: Inputs, availability: Tensor, normalise: Normalise) -> Tensor:
        """See :meth:`Network.scenario_logits`."""
        branches = [
            self._branch(name, inputs[name], availability[number], normalise) for number, name in enumerate(self.names)
        ]
        logits, weights = (sum(part[1:], part[0]) for part in zip(*branches, strict=True))
        return self._upsampled(logits / weights, inputs[self.names[0]])

    def _branch(self, name: str, values: Tensor, available: Tensor, normalise: Normalise) -> tuple[Tensor, Tensor]:
        """Weighted logits and their weights; zeros where the modality is missing."""
        # The encoders halve with odd kernels and half-kernel padding: each stride-2 step gives (n - 1) // 2 + 1.
        rows, cols = ((size - 1) // 2 // 2 + 1 for size in values.shape[-2:])

        def present(raw: Tensor) -> tuple[Tensor, Tensor]:
            maps = self.encoder.stages(self.encoder.stem(name, normalise(name, raw)))
            if self.fusion == "mean":
                logits, weights = self.head(maps), torch.ones((raw.shape[0], 1, 1, 1), device=raw.device)
            else:
                logits, weights = self._predicted(maps)
                logits = weights * logits
            return logits.contiguous(), weights.contiguous()  # both branches must have the same strides

        def absent(raw: Tensor) -> tuple[Tensor, Tensor]:
            fine = (1, 1) if self.fusion == "mean" else (rows, cols)
            return (
                torch.zeros((raw.shape[0], self.classes, rows, cols), device=raw.device),
                torch.zeros((raw.shape[0], 1, *fine), device=raw.device),
            )

        found: tuple[Tensor, Tensor] = torch.cond(available, present, absent, (values,))
        return found

    @staticmethod
    def _upsampled(logits: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(logits, size=like.shape[-2:], mode="bilinear", align_corners=False)
