"""Layers of STARS: excitation, fusion of two maps, decoder, translation.

T. Wang et al., "STARS: Shared-specific Translation and Alignment for missing-modality Remote Sensing Semantic
Segmentation" (2026). Figures 3 and 4 and equation 1 by its numbers; see :mod:`engine.networks.stars` for departures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.networks.heads import resized

TranslationNorm = Literal["instance", "affine", "none"]


class Excitation(nn.Module):
    """Squeeze and excitation over channels and over places, added (Fig. 4).

    Args:
        width: Channels C.
        reduction: d of the channels' bottleneck.
    """

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        inner = max(1, width // reduction)
        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, inner, 1), nn.ReLU(), nn.Conv2d(inner, width, 1), nn.Sigmoid()
        )
        self.place = nn.Sequential(nn.Conv2d(width, 1, 1), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        """``[B, C, h, w]`` of the same."""
        excited: Tensor = features * self.channel(features) + features * self.place(features)
        return excited


class SharedSpecificFusion(nn.Module):
    """Two maps to one of as many channels (Fig. 3, without its residual and its last concatenation).

    Args:
        width: Channels C.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.other, self.both = Excitation(width), Excitation(width), Excitation(width)
        self.mix = nn.Sequential(nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """``[B, C, h, w]`` of two such maps."""
        fused: Tensor = self.both(self.mix(torch.cat([self.one(one), self.other(other)], dim=1)))
        return fused


class PyramidDecoder(nn.Module):
    """A feature pyramid, whose levels are brought to the finest one, averaged and classified.

    Args:
        levels: Channels of each level, finest first.
        pyramid: Channels of the pyramid.
        width: Channels behind it.
        classes: K.
    """

    def __init__(self, levels: Sequence[int], pyramid: int, width: int, classes: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(channels, pyramid, 1) for channels in levels)
        self.outputs = nn.ModuleList(nn.Conv2d(pyramid, pyramid, 3, padding=1) for _ in levels)
        self.stacks = nn.ModuleList(
            nn.ModuleList(
                nn.Sequential(
                    nn.Conv2d(width if step else pyramid, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                )
                for step in range(max(1, level))
            )
            for level in range(len(levels))
        )
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits ``[B, K, h, w]`` at the finest level's resolution."""
        tops = [lateral(level) for lateral, level in zip(self.laterals, maps, strict=True)]
        for level in range(len(tops) - 2, -1, -1):
            tops[level] = tops[level] + F.interpolate(tops[level + 1], size=tops[level].shape[-2:], mode="nearest")
        finest = []
        for level, (output, stack) in enumerate(zip(self.outputs, self.stacks, strict=True)):
            features = output(tops[level])
            for step, layer in enumerate(cast(nn.ModuleList, stack)):
                features = layer(features)
                if level:
                    features = resized(features, tops[level - 1 - step])
            finest.append(features)
        logits: Tensor = self.classify(torch.stack(finest).mean(dim=0))
        return logits


class Translation(nn.Sequential):
    """Maps one modality's shared features to another's (equation 1).

    The paper's normalisation brings each channel of a sample to mean 0 and variance 1 over its places. With it goes the
    level of the image: of a chip that holds a single class nothing is left that names the class.

    Args:
        width: Channels C.
        norm: ``instance`` as in the paper; ``affine`` with a learned scale and shift of each channel, the same for all
            images, which does not bring an image's level back; ``none`` leaves it.
    """

    def __init__(self, width: int, norm: TranslationNorm = "instance") -> None:
        middle = nn.Identity() if norm == "none" else nn.InstanceNorm2d(width, affine=norm == "affine")
        super().__init__(nn.Conv2d(width, width, 1), middle, nn.SiLU(), nn.Conv2d(width, width, 1))
