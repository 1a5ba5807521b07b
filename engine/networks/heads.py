"""Decoders from feature pyramids to logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def resized(values: Tensor, like: Tensor) -> Tensor:
    """``values`` ``[B, C, h, w]`` bilinearly at the rows and columns of ``like``."""
    return F.interpolate(values, size=like.shape[-2:], mode="bilinear", align_corners=False)


class AllMlpHead(nn.Module):
    """SegFormer's decoder: a linear layer a level, all at the finest, fused by a 1 x 1 convolution.

    In evaluation mode each level's linear layer and its slice of the fuse convolution are one matrix that acts
    before the upsampling. That is the same function: all three are linear, and bilinear weights sum to one.

    Args:
        levels: Channels of each level, finest first.
        width: Of the head.
        classes: K.
    """

    def __init__(self, levels: Sequence[int], width: int, classes: int) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in levels)
        self.fuse = nn.Conv2d(width * len(levels), width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout2d(0.1)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits ``[B, K, h, w]`` at the finest level's resolution."""
        return self.classified(self.hidden(maps))

    def classified(self, hidden: Tensor) -> Tensor:
        """Logits of :meth:`hidden`."""
        logits: Tensor = self.classify(self.dropout(hidden))
        return logits

    def hidden(self, maps: Sequence[Tensor]) -> Tensor:
        """Features ``[B, width, h, w]`` before the last layer."""
        plain = all(isinstance(layer, nn.Conv2d) for layer in (self.fuse, *self.linears))  # no adapter beside them
        fused = self._merged(maps) if plain and not self.training else self._straight(maps)
        return torch.relu(self.norm(fused))

    def _straight(self, maps: Sequence[Tensor]) -> Tensor:
        projected = [linear(level) for linear, level in zip(self.linears, maps, strict=True)]
        fused: Tensor = self.fuse(torch.cat([resized(level, maps[0]) for level in projected], dim=1))
        return fused

    def _merged(self, maps: Sequence[Tensor]) -> Tensor:
        slices = self.fuse.weight[:, :, 0, 0].chunk(len(self.linears), dim=1)  # each (width, width)
        mixed = [
            F.conv2d(
                level,
                (part @ linear.get_parameter("weight")[:, :, 0, 0])[:, :, None, None],
                part @ linear.get_parameter("bias"),
            )
            for linear, part, level in zip(self.linears, slices, maps, strict=True)
        ]
        return mixed[0] + sum(resized(level, mixed[0]) for level in mixed[1:])
