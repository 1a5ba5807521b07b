"""Averaged predictions of one shared encoder.

The baseline of the multi-scale functional entropy paper (Zheng et al.): one encoder serves all modalities and the
predictions are averaged (its Eq. 5) over those that are there; one that is missing is not passed.

Departures:

* A stem of each modality's own (SegFormer's first patch embedding; ResNet's first convolution, norm and pooling)
  stands before the shared stages, since the paper's rendering of every sensor as a three-channel image loses bands.
* Logits are averaged at a quarter of the resolution and upsampled once: both steps are linear, the result the same.
* The width of the head is SegFormer's published one (256 for b0 and b1, 768 from b2).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor
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
    """

    encoder: str = "segformer-b0"
    weights: str | None = None
    head_width: int | None = Field(default=None, ge=1)


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
        branches = self.head(maps)  # (N, K, H/4, W/4)
        counts = availability.sum(dim=1)[:, None, None, None]

        def mean(values: Tensor) -> Tensor:
            return values.new_zeros((len(availability), *values.shape[1:])).index_add(0, sample, values) / counts

        lengths = [len(chosen) for chosen in samples.values()]
        parts = zip(*(torch.split(level, lengths) for level in (*maps, branches)), strict=True)
        unimodal = {
            name: Unimodal(samples[name], tuple(features), prediction)
            for name, (*features, prediction) in zip(samples, parts, strict=True)
        }
        return Detail(self._upsampled(mean(branches), first), {"mean": mean(maps[-1])}, unimodal)

    def scenario_logits(self, inputs: Inputs, availability: Tensor, normalise: Normalise) -> Tensor:
        """See :meth:`Network.scenario_logits`."""
        branches = [
            self._branch(name, inputs[name], availability[number], normalise) for number, name in enumerate(self.names)
        ]
        mean = sum(branches[1:], branches[0]) / availability.sum().to(torch.float32)
        return self._upsampled(mean, inputs[self.names[0]])

    def _branch(self, name: str, values: Tensor, available: Tensor, normalise: Normalise) -> Tensor:
        # The encoders halve with odd kernels and half-kernel padding: each stride-2 step gives (n - 1) // 2 + 1.
        rows, cols = ((size - 1) // 2 // 2 + 1 for size in values.shape[-2:])

        def present(raw: Tensor) -> Tensor:
            logits: Tensor = self.head(self.encoder.stages(self.encoder.stem(name, normalise(name, raw))))
            return logits.contiguous()  # both branches must have the same strides

        def absent(raw: Tensor) -> Tensor:
            return torch.zeros((raw.shape[0], self.classes, rows, cols), device=raw.device)

        return torch.cond(available, present, absent, (values,))

    @staticmethod
    def _upsampled(logits: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(logits, size=like.shape[-2:], mode="bilinear", align_corners=False)
