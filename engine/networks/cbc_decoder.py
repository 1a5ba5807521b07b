"""CBC's decoder: from the fused cube over four doublings, with the four finest fused levels beside.

Steps 3 (its layers) and 8 of the network; see `engine/networks/cbc.py`, which states the departures.

A skip is refined at its own resolution, a few bands deep, and then resized to a cube by its nearest values, so that the
cube consists of as many different slices as there are bands. A convolution of kernel 3 makes three times as many of
them at most: those inside a band, and those beside its borders. These alone are computed, to the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5
"""Added to a variance by instance norms."""


class InstanceNorm(nn.Module):
    """Instance norm without parameters, with means taken axis by axis.

    ONNX Runtime's sums a volume of 64 x 64 x 64 values one by one, and is wrong in the third digit.
    """

    def forward(self, volume: Tensor) -> Tensor:
        """``[B, C, D, H, W]`` of the same."""
        centred = volume - self._mean(volume)
        normed: Tensor = centred * torch.rsqrt(self._mean(centred * centred) + EPSILON)
        return normed

    @staticmethod
    def _mean(volume: Tensor) -> Tensor:
        return volume.mean(dim=4, keepdim=True).mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)


class Unit(nn.Sequential):
    """Convolution, ReLU, instance norm.

    Args:
        channels: Coming in.
        width: Going out.
        kernel: Of the convolution, along each axis.
        padding_mode: At the borders.
    """

    def __init__(
        self, channels: int, width: int, kernel: int = 1, padding_mode: Literal["zeros", "replicate"] = "zeros"
    ) -> None:
        super().__init__(
            nn.Conv3d(channels, width, kernel, padding=kernel // 2, padding_mode=padding_mode),
            nn.ReLU(),
            InstanceNorm(),
        )


def _refined(width: int) -> nn.Sequential:
    """Three convolutions of kernels 1, 3 and 1 that keep the width ("RFM" in the published code)."""
    return nn.Sequential(Unit(width, width), Unit(width, width, 3), Unit(width, width))


def neighbours(depth: int, edge: int) -> tuple[list[int], list[int]]:
    """What a convolution of kernel 3 meets along the depth of a volume that was resized by its nearest values.

    Args:
        depth: Slices before the resize.
        edge: Slices behind it.

    Returns:
        The slices that the kernel meets wherever that differs, three each, the outermost repeated at the ends; and for
        each place along the edge the position among these.
    """
    places = [place * depth // edge for place in range(edge)]
    padded = [places[0], *places, places[-1]]
    met = [tuple(padded[place : place + 3]) for place in range(edge)]
    different = list(dict.fromkeys(met))
    return [one for three in different for one in three], [different.index(three) for three in met]


class Mixed(nn.Module):
    """A 3 x 3 x 3 convolution over a volume and a resized skip side by side, ReLU, instance norm.

    Args:
        channels: Of the volume.
        skip: Channels of the skip.
        width: Going out.
        depth: Slices of the skip.
        edge: Of the volume.
    """

    met: Tensor
    everywhere: Tensor

    def __init__(self, channels: int, skip: int, width: int, depth: int, edge: int) -> None:
        super().__init__()
        self.edge = edge
        self.volume = nn.Conv3d(channels, width, 3, padding=1, padding_mode="replicate")
        self.skip = nn.Conv3d(skip, width, 3, stride=(3, 1, 1), padding=(0, 1, 1), padding_mode="replicate", bias=False)
        met, everywhere = neighbours(depth, edge)
        self.register_buffer("met", torch.tensor(met), persistent=False)
        self.register_buffer("everywhere", torch.tensor(everywhere), persistent=False)
        self.norm = InstanceNorm()

    def initialise(self) -> None:
        """Starts both convolutions as the one that they are: Kaiming's deviation for all channels together."""
        inner = 27 * (self.volume.in_channels + self.skip.in_channels)
        for weight in (self.volume.weight, self.skip.weight):
            nn.init.normal_(weight, std=(2 / inner) ** 0.5)
        nn.init.uniform_(self.volume.get_parameter("bias"), -(inner**-0.5), inner**-0.5)

    def forward(self, volume: Tensor, skip: Tensor) -> Tensor:
        """``[B, width, e, e, e]`` of a volume ``[B, C, e, e, e]`` and a skip ``[B, S, D, h, w]``."""
        plane = F.interpolate(skip, size=(skip.shape[2], self.edge, self.edge), mode="nearest")
        met = plane.index_select(2, self.met).contiguous(memory_format=torch.channels_last_3d)
        beside = self.skip(met).index_select(2, self.everywhere)
        normed: Tensor = self.norm(torch.relu(self.volume(volume) + beside))
        return normed


class Decoder(nn.Module):
    """Logits of an image.

    Args:
        base: Channels of a modality's first level.
        modalities: M.
        depth: Bands of a modality.
        edge: Of the fused cube.
        classes: K.
    """

    def __init__(self, base: int, modalities: int, depth: int, edge: int, classes: int) -> None:
        super().__init__()
        self.edge = edge
        fused = [base * factor * modalities for factor in (1, 2, 4, 8)]
        plan = [16 * base, 8 * base, 4 * base, 2 * base, base]
        self.start = nn.Sequential(_refined(fused[-1]), nn.Conv3d(fused[-1], plan[0], 1))
        self.skips, self.ups, self.mixes, self.ends = (nn.ModuleList() for _ in range(4))
        for number, skip in enumerate(reversed(fused)):
            width, narrow = plan[number], plan[number + 1]
            come = width if number == 0 else narrow
            edge *= 2
            self.skips.append(_refined(skip))
            self.ups.append(Unit(width, come, 3, "replicate"))
            self.mixes.append(Mixed(come, skip, narrow, depth, edge))
            self.ends.append(Unit(narrow, narrow))
        self.head = nn.Conv2d(base, classes, 1)

    def forward(self, skips: Sequence[Tensor], cube: Tensor, rows: int, cols: int) -> Tensor:
        """``[B, K, rows, cols]``.

        Args:
            skips: Fused levels ``[B, M * base * (1, 2, 4, 8), D, h, w]``, finest first.
            cube: ``[B, M * base * 8, g, g, g]``.
            rows: Of the image.
            cols: Of the image.
        """
        # Channels last: few of them, over many voxels; convolutions train twice as fast
        cube, *skips = (volume.contiguous(memory_format=torch.channels_last_3d) for volume in (cube, *skips))
        volume = self.start(cube)
        edge = self.edge
        for skip, refine, up, mix, end in zip(
            reversed(skips), self.skips, self.ups, self.mixes, self.ends, strict=True
        ):
            edge *= 2
            volume = up(F.interpolate(volume, size=(edge, edge, edge), mode="trilinear", align_corners=True))
            volume = end(mix(volume, refine(skip)))
        image = F.interpolate(volume[:, :, 0], size=(rows, cols), mode="bilinear", align_corners=True)
        logits: Tensor = self.head(image)
        return logits
