"""CBC's encoder: a modality's bands as a volume, by an inflated ResNet to six levels.

Step 1 of the network; see `engine/networks/cbc.py`, which states the departures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 5
"""Levels that the encoder gives; a sixth gathers them."""


@dataclass(frozen=True)
class Size:
    """Widths: base of the fused levels, of the residual stages, and of tokens; edge of the token cube.

    Args:
        base: Channels of a modality's first level behind its adapter.
        stem: Channels of the first convolution.
        widths: Channels of the four stages.
        depths: Blocks of the four stages.
        bottleneck: Whether a block has three convolutions and ends a quarter as narrow inside.
        edge: Edge of the cube of tokens.
        tokens: Width of a token.
        heads: Of the attention.
    """

    base: int
    stem: int
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    bottleneck: bool
    edge: int
    tokens: int
    heads: int


SIZES = {
    "tiny": Size(2, 4, (4, 8, 12, 16), (1, 1, 1, 1), False, 4, 16, 2),
    "small": Size(4, 24, (24, 48, 96, 192), (2, 2, 2, 2), False, 4, 96, 4),
    "paper": Size(8, 64, (256, 512, 1024, 2048), (3, 4, 6, 3), True, 8, 512, 8),
}


def level_widths(size: Size) -> tuple[int, ...]:
    """Channels of a modality's six levels: base times 1, 2, 4, 8, 8, 8."""
    return tuple(size.base * factor for factor in (1, 2, 4, 8, 8, 8))


class _Residual(nn.Module):
    """A residual block whose kernels do not look along the depth."""

    def __init__(self, channels: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()

        def layer(inner: int, outer: int, kernel: int, step: int) -> list[nn.Module]:
            return [
                nn.Conv3d(
                    inner, outer, (1, kernel, kernel), (1, step, step), (0, kernel // 2, kernel // 2), bias=False
                ),
                nn.BatchNorm3d(outer),
            ]

        if bottleneck:
            inner = width // 4
            layers = [*layer(channels, inner, 1, 1), nn.ReLU(), *layer(inner, inner, 3, stride), nn.ReLU()]
            layers += layer(inner, width, 1, 1)
        else:
            layers = [*layer(channels, width, 3, stride), nn.ReLU(), *layer(width, width, 3, 1)]
        self.layers = nn.Sequential(*layers)
        same = channels == width and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*layer(channels, width, 1, stride))

    def forward(self, volume: Tensor) -> Tensor:
        added: Tensor = torch.relu(self.layers(volume) + self.shortcut(volume))
        return added


class Encoder(nn.Module):
    """A modality's volume ``[B, 1, D, H, W]`` to five levels, and those to a cube."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.stem = nn.Sequential(  # ReLU before the norm, as published
            nn.Conv3d(1, size.stem, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False), nn.ReLU(), nn.BatchNorm3d(size.stem)
        )
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        channels, stages = size.stem, []
        for number, (width, depth) in enumerate(zip(size.widths, size.depths, strict=True)):
            blocks = []
            for block in range(depth):
                stride = 2 if number and not block else 1
                blocks.append(_Residual(channels, width, stride, size.bottleneck))
                channels = width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.level_widths = level_widths(size)
        self.adapters = nn.ModuleList(
            nn.Conv3d(inner, outer, 1)
            for inner, outer in zip((size.stem, *size.widths), self.level_widths[:LEVELS], strict=True)
        )
        self.cube = nn.Conv3d(sum(self.level_widths[:LEVELS]), self.level_widths[-1], 1)

    def forward(self, volume: Tensor) -> tuple[Tensor, ...]:
        features = self.pool(self.stem(volume))
        levels = [features]
        for stage in self.stages:
            features = stage(features)
            levels.append(features)
        return tuple(adapter(level) for adapter, level in zip(self.adapters, levels, strict=True))

    def gathered(self, levels: Sequence[Tensor]) -> Tensor:
        """The cube ``[B, C, g, g, g]`` of five levels."""
        edge = (self.size.edge,) * 3
        cubes = [F.interpolate(level, size=edge, mode="trilinear", align_corners=True) for level in levels]
        cube: Tensor = self.cube(torch.cat(cubes, dim=1))
        return cube
