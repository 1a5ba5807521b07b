"""What networks share that classify one pixel from the window around it, by a vision transformer.

A dense map comes of them by cutting the window of every pixel inside. What neighbouring windows share is computed once:
the stem, whose convolutions act on single pixels (with patches, on each patch at each place). Behind it every token
carries its position in its own window, so that nothing more is equal between windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from engine.data.settings import Settings
from engine.networks.contract import Network

PIECE = 4_000_000
"""Pairs of tokens that attend to each other at a time, of 268 windows of 11 x 11: 130 MB of scores with 8 heads."""

CORE = 16
"""Rows and columns of windows that a model's tile holds at the least: one piece of windows of 11 x 11."""


def sincos(places: Tensor, width: int) -> Tensor:
    """Sines, then cosines ``[N, width]`` of places ``[N]`` over wavelengths of 2 pi to 10000 * 2 pi, geometrically."""
    rates = torch.exp(-math.log(10000) * torch.arange(width // 2, device=places.device) / (width // 2))
    angles = places[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def sincos_grid(side: int, width: int) -> Tensor:
    """Positions ``[side * side, width]`` of tokens, row by row: the first half codes the column, the other the row."""
    places = torch.arange(side, dtype=torch.float32)
    axis = sincos(places, width // 2)
    rows, cols = axis.repeat_interleave(side, dim=0), axis.repeat(side, 1)
    return torch.cat([cols, rows], dim=1)


class _Norm(nn.BatchNorm2d):
    """A batch norm that takes a single value a channel by its running statistics, having no others."""

    def forward(self, values: Tensor) -> Tensor:
        if self.training and values.numel() == values.shape[1]:
            return self.settled(values)
        return super().forward(values)

    def settled(self, values: Tensor) -> Tensor:
        """By the running statistics, which stay as they are, in training too."""
        return F.batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class Stem(nn.Module):
    """A modality's bands to tokens at every place: two convolutions of 1 x 1 with batch norm, one over each patch.

    Args:
        bands: C.
        width: Channels of a token.
        patch: Side of a token's patch in pixels.
    """

    def __init__(self, bands: int, width: int, patch: int) -> None:
        super().__init__()
        self.bands = nn.Sequential(
            nn.Conv2d(bands, width, 1), _Norm(width), nn.ReLU(),
            nn.Conv2d(width, width, 1), _Norm(width), nn.ReLU(),
        )  # fmt: skip
        self.patch = nn.Conv2d(width, width, patch)

    def forward(self, values: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, d, H - p + 1, W - p + 1]``: the token of the patch that begins at each pixel."""
        return self.patch(self.bands(values))

    def of_others(self, values: Tensor) -> Tensor:
        """As :meth:`forward`, of values that are not the sensor's own: they change no running statistics."""
        for layer in self.bands:
            values = layer.settled(values) if isinstance(layer, _Norm) else layer(values)
        return self.patch(values)


class Attention(nn.Module):
    """Multi-head self-attention with biased projections, of some tokens to all."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(width, width)
        self.offer = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, asking: int | None = None) -> Tensor:
        """``[N, T, d]`` to what the first ``asking`` tokens (all where None) find ``[N, asking, d]``."""
        keys, values = self.offer(tokens).chunk(2, dim=-1)
        found = F.scaled_dot_product_attention(
            self._by_head(self.ask(tokens[:, :asking])), self._by_head(keys), self._by_head(values)
        )
        return self.out(found.transpose(1, 2).flatten(2))

    def _by_head(self, tokens: Tensor) -> Tensor:
        count, length, width = tokens.shape
        return tokens.view(count, length, self.heads, width // self.heads).transpose(1, 2)


class Block(nn.Module):
    """A transformer block that normalises before attention and perceptron (Dosovitskiy et al., 2021)."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.perceptron = nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))

    def forward(self, tokens: Tensor, asking: int | None = None) -> Tensor:
        """``[N, T, d]`` to the first ``asking`` tokens (all where None), renewed."""
        tokens = tokens[:, :asking] + self.attention(self.first_norm(tokens), asking)
        return tokens + self.perceptron(self.second_norm(tokens))


class Transformer(nn.Module):
    """Blocks and a norm."""

    def __init__(self, width: int, depth: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens: Tensor) -> Tensor:
        """``[N, T, d]`` to the same shape."""
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def first(self, tokens: Tensor, prompts: Tensor | None = None) -> Tensor:
        """The first token ``[N, d]`` of what :meth:`forward` gives, without the last block's work on the others.

        Args:
            tokens: ``[N, T, d]``.
            prompts: ``[L, P, d]``: what stands behind the first token in each block, in that one alone.
        """
        for number, block in enumerate(self.blocks):
            last = number == len(self.blocks) - 1
            given = tokens if prompts is None else _led(tokens, prompts[number])
            tokens = block(given, asking=1 if last else None)
            if prompts is not None and not last:
                tokens = torch.cat([tokens[:, :1], tokens[:, 1 + prompts.shape[1] :]], dim=1)
        return self.norm(tokens[:, 0])


def _led(tokens: Tensor, prompts: Tensor) -> Tensor:
    """``[N, T, d]`` with prompts ``[P, d]`` behind the first token."""
    return torch.cat([tokens[:, :1], prompts.expand(len(tokens), -1, -1), tokens[:, 1:]], dim=1)


def start_weights(module: nn.Module) -> None:
    """Weights as masked autoencoders begin with (He et al., 2022): Xavier's uniform, no bias."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight.view(len(module.weight), -1))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class WindowOptions(Settings):
    """Options of networks that classify windows.

    Args:
        window: Side of the window around a pixel, odd.
        patch: Side of a token's patch; it divides the window.
        width: Channels of a token.
        depth: Blocks of an encoder.
        heads: Of the attention; they divide the width.
        ratio: Width of a block's perceptron over that of a token.
        stride: Classify one pixel of each stride x stride alone, for a preview.
    """

    window: int = Field(default=11, ge=1)
    patch: int = Field(default=1, ge=1)
    width: int = Field(default=128, ge=4, multiple_of=4)
    depth: int = Field(default=4, ge=1)
    heads: int = Field(default=8, ge=1)
    ratio: int = Field(default=2, ge=1)
    stride: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _fitting(self) -> WindowOptions:
        if self.window % 2 == 0:
            raise ValueError(f"a window of {self.window} pixels has none in its middle; take an odd one")
        if self.window % self.patch:
            raise ValueError(f"patches of {self.patch} pixels do not fit a window of {self.window}")
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self


class WindowNetwork(Network):
    """A network that gives every pixel an answer from the window around it.

    Args:
        options: Sizes.
        bands: For each modality, in the model's order, its number of bands.
        classes: K.
    """

    def __init__(self, options: WindowOptions, bands: Mapping[str, int], classes: int) -> None:
        super().__init__(bands, classes)
        self.sizes = options
        self.margin, self.stride = options.window // 2, options.stride
        inside = max(CORE, -(-(options.window - 1) // options.stride)) * options.stride
        self.tile = options.window - 1 + inside
        self.side = options.window // options.patch

    def windows_along(self, size: int) -> int:
        """How many windows are classified along a side of ``size`` pixels."""
        return -(-max(1, size - self.sizes.window + 1) // self.sizes.stride)

    def over_windows(
        self, stem: Callable[[Tensor], Tensor], values: Tensor, work: Callable[[Tensor], Tensor], batch: int
    ) -> Tensor:
        """What is found of every window, ``[B, d, h, w]``.

        Args:
            stem: ``[B, C, H, W]`` to the token of the patch that begins at each pixel.
            values: ``[B, C, H, W]``, of any size: around an image smaller than a window there are zeros.
            work: Gives of the tokens of some windows ``[N, side * side, d]`` one vector of each ``[N, d]``.
            batch: B, or 1 where it is not known.
        """
        options = self.sizes
        high, wide = (self.windows_along(size) for size in values.shape[-2:])
        dense = stem(_widened(values, options.window))
        lines: list[list[Tensor]] = []
        for rows, cols in _pieces(high, wide, batch * (self.side**2 + 1) ** 2):
            found = work(cut(dense, rows, cols, self.side, options.patch, options.stride))
            found = found.view(len(values), rows.stop - rows.start, cols.stop - cols.start, -1).permute(0, 3, 1, 2)
            if cols.start == 0:
                lines.append([])
            lines[-1].append(found)
        return torch.cat([torch.cat(line, dim=3) for line in lines], dim=2)

    def spread(self, answers: Tensor, like: Tensor) -> Tensor:
        """Answers ``[B, K, h, w]`` of windows to every pixel of ``like``.

        Each stands for the ``stride`` x ``stride`` pixels from its own on; the border takes that of the nearest window.
        """
        stride = self.sizes.stride
        if stride > 1:
            answers = answers.repeat_interleave(stride, 2).repeat_interleave(stride, 3)
        down, across = (min(size, self.sizes.window) - 1 for size in like.shape[-2:])
        answers = answers[:, :, : like.shape[-2] - down, : like.shape[-1] - across]
        return F.pad(answers, (across // 2, across - across // 2, down // 2, down - down // 2), mode="replicate")


def _widened(values: Tensor, window: int) -> Tensor:
    """``[B, C, H, W]`` with zeros around it where it is smaller than a window."""
    down, across = (max(0, window - size) for size in values.shape[-2:])
    if down == across == 0:
        return values
    return F.pad(values, (across // 2, across - across // 2, down // 2, down - down // 2))


def _pieces(rows: int, cols: int, pairs: int) -> Iterator[tuple[slice, slice]]:
    """Rectangles that cover ``rows`` x ``cols`` windows of so many ``pairs`` of tokens each, PIECE at the most."""
    wide = min(cols, max(1, PIECE // pairs))
    high = max(1, PIECE // (pairs * wide))
    for row in range(0, rows, high):
        for col in range(0, cols, wide):
            yield slice(row, min(row + high, rows)), slice(col, min(col + wide, cols))


def cut(dense: Tensor, rows: slice, cols: slice, side: int, patch: int, stride: int) -> Tensor:
    """The tokens of windows.

    Args:
        dense: ``[B, d, H', W']``: the token of the patch that begins at each pixel.
        rows: Which windows, counted in steps of ``stride`` pixels.
        cols: The same across.
        side: Tokens along a window.
        patch: Pixels from one to the next.
        stride: Pixels from one window to the next.

    Returns:
        ``[B * h * w, side * side, d]``, windows and their tokens row by row.
    """

    def starts(chosen: slice) -> Iterator[slice]:
        first, last = chosen.start * stride, (chosen.stop - 1) * stride
        return (slice(first + place * patch, last + place * patch + 1, stride) for place in range(side))

    windows = torch.stack([dense[:, :, part] for part in starts(rows)], dim=-1)
    windows = torch.stack([windows[:, :, :, part] for part in starts(cols)], dim=-1)  # (B, d, h, w, side, side)
    return windows.permute(0, 2, 3, 4, 5, 1).reshape(-1, side * side, dense.shape[1])
