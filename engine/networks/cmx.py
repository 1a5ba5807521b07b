"""CMX: two streams that rectify each other and are fused at every stage.

J. Zhang et al., "CMX: Cross-Modal Fusion for RGB-X Semantic Segmentation with Transformers", IEEE T-ITS 2023. ``cmx``
has its MiT streams, ``cmx_cnn`` the plain convolutional ones with which I. Ulku et al., "Latent Space Guided Scenario
Sampling for Multimodal Segmentation Under Missing Modalities" (2026), compare.

Departures:

* More than two modalities, as that paper arranges its three: the first modality is stream 1; a 1 x 1 convolution
  without bias brings all bands of the others to the three channels of stream 2. A single modality feeds both streams.
* A missing modality is zeros at the normalised input, as in that paper. The streams run all the same: they exchange
  features from the first stage on.
* One head with a channel for each class, giving logits. The convolution that fuses its levels has no bias, which the
  batch norm behind it takes away: 256 parameters fewer in ``cmx_cnn``, 512 in ``cmx``.

Weights begin as published: rectifications and fusions of ``cmx``, and fusions of ``cmx_cnn``, as SegFormer's layers do;
the decoder's convolutions that fuse and classify by Kaiming's normal distribution; all else as PyTorch's layers do.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.data.settings import Settings
from engine.networks.contract import Detail, Inputs, Network, Normalise, Unimodal
from engine.networks.encoders import Encoder, build_encoder
from engine.networks.heads import AllMlpHead

_CHANNELS = 3
"""Channels of stream 2."""

_INPUT = "input"
"""What an encoder of one stream calls it."""

_CNNS = {
    # widths, heads, width of the decoder
    "tiny": ((8, 16, 24, 32), 2, 16),
    "small": ((32, 64, 160, 256), 4, 128),
    "paper": ((64, 128, 320, 512), 8, 256),
}
_TRANSFORMERS = {
    # encoder, heads of each fusion, width of the decoder
    "tiny": ("segformer-tiny", (1, 2, 2, 4), 32),
    "small": ("segformer-b0", (1, 2, 5, 8), 256),
    "paper": ("segformer-b2", (1, 2, 5, 8), 512),
}


class CmxOptions(Settings):
    """Options of ``cmx``.

    Args:
        size: ``paper`` (MiT-B2, decoder 512), ``small`` (MiT-B0) or ``tiny``.
        weights: Hub name or folder of pretrained weights of the streams; random ones where None.
    """

    size: Literal["tiny", "small", "paper"] = "paper"
    weights: str | None = None


class CmxCnnOptions(Settings):
    """Options of ``cmx_cnn``.

    Args:
        size: ``paper`` as compared with (28 million parameters for three modalities), ``small`` or ``tiny``.
    """

    size: Literal["tiny", "small", "paper"] = "paper"


def start_weights(module: nn.Module) -> None:
    """Weights as those of SegFormer's layers begin: for ``Module.apply``.

    Linear layers have a deviation of 0.02, convolutions of sqrt(2 / n) for n = kernel area x channels going out /
    groups; no bias, and norms that change nothing.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
    if isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm) and module.bias is not None:
        nn.init.zeros_(module.bias)


class Rectification(nn.Module):
    """Each stream takes from the other what gates by channel and by place let through, half of each (CMX, FRM).

    Args:
        width: Channels C of each stream.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channel = nn.Sequential(
            nn.Linear(4 * width, 4 * width), nn.ReLU(), nn.Linear(4 * width, 2 * width), nn.Sigmoid()
        )
        self.place = nn.Sequential(nn.Conv2d(2 * width, width, 1), nn.ReLU(), nn.Conv2d(width, 2, 1), nn.Sigmoid())

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps ``[B, C, h, w]``, rectified."""
        both = torch.cat([one, other], dim=1)
        pooled = torch.cat([both.mean(dim=(2, 3)), both.amax(dim=(2, 3))], dim=1)
        channel_one, channel_other = self.channel(pooled)[:, :, None, None].chunk(2, dim=1)
        place_one, place_other = self.place(both).chunk(2, dim=1)
        return (
            one + 0.5 * (channel_other + place_other) * other,
            other + 0.5 * (channel_one + place_one) * one,
        )


class _Exchange(nn.Module):
    """Linear attention across two streams of tokens ``[B, N, C]``: each asks the context of the other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.split = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(2))
        self.key_value = nn.ModuleList(nn.Linear(width, 2 * width, bias=False) for _ in range(2))
        self.end = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(2))
        self.norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def _by_head(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        return tokens.reshape(batch, count, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, streams: Sequence[Tensor]) -> list[Tensor]:
        kept, asked, contexts = [], [], []
        for number, tokens in enumerate(streams):
            own, question = torch.relu(self.split[number](tokens)).chunk(2, dim=2)
            key, value = (self._by_head(part) for part in self.key_value[number](question).chunk(2, dim=2))
            kept.append(own)
            asked.append(self._by_head(question))
            contexts.append(torch.softmax(key.transpose(2, 3) @ value * self.scale, dim=2))
        found = []
        for number, tokens in enumerate(streams):
            answer = (asked[number] @ contexts[1 - number]).transpose(1, 2).reshape(tokens.shape)
            ended = self.end[number](torch.cat([kept[number], answer], dim=2))
            found.append(self.norm[number](tokens + ended))
        return found


class Fusion(nn.Module):
    """Two maps to one: an exchange of contexts, then channels mixed over a 3 x 3 neighbourhood (CMX, FFM).

    Args:
        width: Channels C.
        heads: Of the exchange.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.exchange = _Exchange(width, heads)
        self.residual = nn.Conv2d(2 * width, width, 1, bias=False)
        self.embed = nn.Sequential(
            nn.Conv2d(2 * width, width, 1),
            nn.Conv2d(width, width, 3, padding=1, groups=width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
            nn.BatchNorm2d(width),
        )
        self.norm = nn.BatchNorm2d(width)
        self.apply(start_weights)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """``[B, C, h, w]`` of two such maps."""
        batch, width, rows, cols = one.shape
        tokens = self.exchange([one.flatten(2).transpose(1, 2), other.flatten(2).transpose(1, 2)])
        both = torch.cat(tokens, dim=2).transpose(1, 2).reshape(batch, 2 * width, rows, cols)
        fused: Tensor = self.norm(self.residual(both) + self.embed(both))
        return fused


class _ConvolutionBlock(nn.Sequential):
    """Two 3 x 3 convolutions with norm and ReLU; the first halves rows and columns."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip


class _TwoStreams(Network):
    """What both networks share: the streams' inputs, their meeting at each stage, the decoder."""

    latents = ("fused",)
    lora_targets = ("fusions.3.*", "rectifications.3.*")
    by_place = True

    def _assemble(self, widths: Sequence[int], heads: Sequence[int], decoder: int) -> None:
        self.rest = self.names[1:] or self.names
        self.mix = nn.Conv2d(sum(self.bands[name] for name in self.rest), _CHANNELS, 1, bias=False)
        self.rectifications = nn.ModuleList(Rectification(width) for width in widths)
        self.fusions = nn.ModuleList(Fusion(width, head) for width, head in zip(widths, heads, strict=True))
        self.head = AllMlpHead(widths, decoder, self.classes)
        nn.init.kaiming_normal_(self.head.fuse.weight)
        nn.init.kaiming_normal_(self.head.classify.weight)
        nn.init.zeros_(self.head.classify.get_parameter("bias"))

    @abstractmethod
    def _stage(self, stream: int, number: int, features: Tensor) -> Tensor:
        """One stage of one stream: ``[B, C, h, w]`` to the next, coarser one."""

    def _run(self, inputs: Inputs, there: Mapping[str, Tensor] | None = None) -> Detail:
        """A forward pass; unimodal are the streams at the end of each stage, which have met after those before it."""
        streams = [inputs[self.names[0]], self.mix(torch.cat([inputs[name] for name in self.rest], dim=1))]
        maps, met = [], []
        for number, (rectify, fuse) in enumerate(zip(self.rectifications, self.fusions, strict=True)):
            met.append([self._stage(stream, number, values) for stream, values in enumerate(streams)])
            streams = list(rectify(*met[-1]))
            maps.append(fuse(*streams))
        logits = F.interpolate(
            self.head(maps), size=inputs[self.names[0]].shape[-2:], mode="bilinear", align_corners=False
        )
        unimodal = {
            name: Unimodal(
                samples,
                tuple(level[stream] if len(samples) == len(logits) else level[stream][samples] for level in met),
            )
            for stream, (name, samples) in enumerate((there or {}).items())
            if len(samples)
        }
        return Detail(logits, {"fused": maps[-1]}, unimodal)

    def detail(self, inputs: Inputs, availability: Tensor) -> Detail:
        """See :meth:`Network.detail`."""
        return self._run(
            {
                name: torch.where(availability[:, number, None, None, None], inputs[name], torch.zeros(()))
                for number, name in enumerate(self.names)
            },
            {
                "+".join(names): availability[:, [self.names.index(name) for name in names]].any(dim=1).nonzero()[:, 0]
                for names in (self.names[:1], self.rest)
            },
        )

    def scenario_logits(self, inputs: Inputs, availability: Tensor, normalise: Normalise) -> Tensor:
        """See :meth:`Network.scenario_logits`."""
        return self._run(
            {
                name: self._input(name, inputs[name], availability[number], normalise)
                for number, name in enumerate(self.names)
            }
        ).logits

    def _input(self, name: str, values: Tensor, available: Tensor, normalise: Normalise) -> Tensor:
        def present(raw: Tensor) -> Tensor:
            return normalise(name, raw).contiguous()

        def absent(raw: Tensor) -> Tensor:
            return torch.zeros(raw.shape, device=raw.device)

        found: Tensor = torch.cond(available, present, absent, (values,))
        return found


class Cmx(_TwoStreams):
    """The published CMX: two MiT encoders.

    Args:
        options: Its options.
        bands: For each modality its number of bands.
        classes: K.
    """

    def __init__(self, options: CmxOptions, bands: Mapping[str, int], classes: int) -> None:
        super().__init__(bands, classes)
        encoder, heads, decoder = _TRANSFORMERS[options.size]
        channels = (bands[self.names[0]], _CHANNELS)
        encoders = [build_encoder(encoder, {_INPUT: count}, options.weights) for count in channels]
        self.streams = nn.ModuleList(encoders)
        self._assemble(encoders[0].widths, heads, decoder)
        self.rectifications.apply(start_weights)

    def _stage(self, stream: int, number: int, features: Tensor) -> Tensor:
        encoder = cast(Encoder, self.streams[stream])
        if number == 0:
            features = encoder.stem(_INPUT, features)
        return encoder.stage(number, features)


class CmxCnn(_TwoStreams):
    """The CMX of the latent-guided sampling paper: two plain convolutional streams of a stem and four stages.

    Args:
        options: Its options.
        bands: For each modality its number of bands.
        classes: K.
    """

    def __init__(self, options: CmxCnnOptions, bands: Mapping[str, int], classes: int) -> None:
        super().__init__(bands, classes)
        widths, heads, decoder = _CNNS[options.size]
        self.streams = nn.ModuleList()
        for channels in (bands[self.names[0]], _CHANNELS):
            widths_from = itertools.pairwise((channels, widths[0], *widths))
            stem, first, *rest = [_ConvolutionBlock(come, width) for come, width in widths_from]
            self.streams.append(nn.ModuleList([nn.Sequential(stem, first), *rest]))
        self._assemble(widths, (heads,) * 4, decoder)

    def _stage(self, stream: int, number: int, features: Tensor) -> Tensor:
        found: Tensor = cast(nn.ModuleList, self.streams[stream])[number](features)
        return found
