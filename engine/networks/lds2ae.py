"""LDS2AE: one encoder for the windows of all sensors, a decoder for each to learn it from what others see.

J. Qu, Y. Yang, W. Dong and Y. Yang, "LDS2AE: Local Diffusion Shared-Specific Autoencoder for Multimodal Remote Sensing
Image Classification with Arbitrary Missing Modalities" (AAAI 2024). Its objective of pre-training is `local_diffusion`
(`engine/methods/local_diffusion.py`).

A pixel's window becomes tokens by the stem of its sensor; a class token, to which the step of diffusion is added, goes
with them through the encoder that all sensors share (Eq. 6). Class tokens are what is classified; decoders (Eq. 7) are
for training alone and no part of an exported model.

Where the paper and its authors' code differ or are silent:

* Sizes are those of the code: width 128, 4 blocks of 8 heads for the encoder, 3 of the same width for each decoder (the
  paper calls them narrower too), windows of 11 pixels in patches of 1. Houston's windows of 27 have patches of 3.
* The step of diffusion is added to the class token alone, as in the code, by an embedding of each sensor's own. The
  decoder gets the class token too: it is the only one that knows how much noise there was.
* The paper's linear projection behind the encoder stands in neither forward pass of the code; it is left out.
* Missing sensors: the code has no path for them. The class tokens of all sensors stand side by side before one linear
  layer (`pool: concat`, the code's computation where all are there); the slot of one that is missing is zero. With
  `pool: mean` the head takes the mean of those that are there.
* A clean window is seen at step 0. The code draws a step for each prediction, fine-tuning and test alike, so that its
  answers change from call to call.
* Positions are fixed in pre-training and trained in fine-tuning, as in the code. They are one table for all sensors;
  the code has one for each, alike but for what fine-tuning makes of them, with a place for the class token, which adds
  to a vector that is trained already. All weights are fine-tuned, as there; the paper says in one place that the last
  layer alone is.
* `stride` is ours: a preview that classifies one pixel of each stride x stride.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from engine.networks.contract import Detail, Inputs, Normalise, Unimodal
from engine.networks.windows import (
    Stem,
    Transformer,
    WindowNetwork,
    WindowOptions,
    sincos,
    sincos_grid,
    start_weights,
)

STEP_WIDTH = 256
"""Sines and cosines that code a step of diffusion."""


class Lds2aeOptions(WindowOptions):
    """Options of ``lds2ae``.

    Args:
        decoder_depth: Blocks of each decoder.
        pool: How the sensors' class tokens are put together: ``concat`` or ``mean``.
    """

    decoder_depth: int = Field(default=3, ge=1)
    pool: Literal["concat", "mean"] = "concat"


class Decoder(nn.Module):
    """Reconstructs a sensor's window from encoded tokens (Eq. 7)."""

    def __init__(self, options: Lds2aeOptions, bands: int) -> None:
        super().__init__()
        width, patch = options.width, options.patch
        self.side, self.patch = options.window // patch, patch
        self.enter = nn.Linear(width, width)
        self.hidden = nn.Parameter(torch.zeros(width))
        self.blocks = Transformer(width, options.decoder_depth, options.heads, options.ratio)
        self.leave = nn.Sequential(nn.Linear(width, width), nn.Linear(width, width * patch * patch))
        self.bands = nn.Conv2d(width, bands, 1)
        self.positions: Tensor
        self.register_buffer("positions", sincos_grid(self.side, width), persistent=False)

    def forward(self, tokens: Tensor, kept: Tensor) -> Tensor:
        """Windows ``[N, C, w, w]``.

        Args:
            tokens: ``[N, 1 + n, d]``: the class token and those of the visible patches.
            kept: ``[N, n]``: the places of the latter among the window's patches.
        """
        tokens = self.enter(tokens)
        count, _, width = tokens.shape
        whole = self.hidden.to(tokens.dtype).expand(count, self.side**2, width)
        whole = whole.scatter(1, kept[..., None].expand(-1, -1, width), tokens[:, 1:])
        whole = torch.cat([tokens[:, :1], whole + self.positions], dim=1)
        patches = self.leave(self.blocks(whole)[:, 1:])  # (N, side * side, d * p * p)
        patches = patches.view(count, self.side, self.side, width, self.patch, self.patch)
        size = self.side * self.patch
        return self.bands(patches.permute(0, 3, 1, 4, 2, 5).reshape(count, width, size, size))


class Lds2ae(WindowNetwork):
    """Windows through one encoder, class tokens side by side before a linear head.

    The latent ``shared`` is the mean of the class tokens over the sensors that are there.
    """

    latents = ("shared",)
    lora_targets = ("encoder.blocks.*.attention.*", "encoder.blocks.*.perceptron.*", "head*")
    predicts_alone = True

    def __init__(self, options: Lds2aeOptions, bands: Mapping[str, int], classes: int) -> None:
        super().__init__(options, bands, classes)
        self.options = options
        width = options.width
        self.stems = nn.ModuleDict({name: Stem(count, width, options.patch) for name, count in bands.items()})
        self.tokens = nn.ParameterDict({name: nn.Parameter(torch.empty(width)) for name in bands})
        self.steps = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(STEP_WIDTH, width), nn.SiLU(), nn.Linear(width, width)) for name in bands}
        )
        self.positions = nn.Parameter(sincos_grid(self.side, width))
        self.encoder = Transformer(width, options.depth, options.heads, options.ratio)
        self.decoders = nn.ModuleDict({name: Decoder(options, count) for name, count in bands.items()})
        if options.pool == "concat":  # one layer over all slots, slot by slot
            self.heads = nn.ModuleDict({name: nn.Linear(width, classes, bias=False) for name in bands})
        else:
            self.head = nn.Linear(width, classes, bias=False)
        self.bias = nn.Parameter(torch.zeros(classes))
        self.apply(start_weights)
        for name, parameter in self.named_parameters():
            if name.startswith("head"):
                nn.init.trunc_normal_(parameter, std=2e-5)
        for token in self.tokens.values():
            nn.init.normal_(token, std=0.02)

    def class_token(self, name: str, steps: Tensor) -> Tensor:
        """``[N, 1, d]``: the class token of a sensor at steps of diffusion ``[N]``."""
        return (self.tokens[name] + self.steps[name](_coded(steps).to(self.tokens[name].dtype)))[:, None]

    def encode(self, name: str, windows: Tensor, steps: Tensor, kept: Tensor) -> Tensor:
        """Tokens ``[N, 1 + n, d]`` of visible patches behind the class token (Eq. 6).

        Args:
            name: Of the sensor.
            windows: ``[N, C, w, w]`` normalised, with noise.
            steps: ``[N]`` steps of diffusion.
            kept: ``[N, n]`` places of the visible patches among the window's, row by row.
        """
        dense = self.stems[name](windows)[:, :, :: self.options.patch, :: self.options.patch]
        tokens = dense.flatten(2).transpose(1, 2) + self.positions.detach()
        tokens = tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[-1]))
        return self.encoder(torch.cat([self.class_token(name, steps), tokens], dim=1))

    def decode(self, name: str, tokens: Tensor, kept: Tensor) -> Tensor:
        """Windows ``[N, C, w, w]`` of a sensor from encoded tokens of any; see :class:`Decoder`."""
        return self.decoders[name](tokens, kept)

    def detail(self, inputs: Inputs, availability: Tensor) -> Detail:
        """See :meth:`Network.detail`. Only available samples of a modality are computed."""
        image = inputs[self.names[0]]
        parts: dict[str, Tensor] = {}
        samples: dict[str, Tensor] = {}
        for number, name in enumerate(self.names):
            chosen = availability[:, number].nonzero()[:, 0]
            if len(chosen):
                samples[name] = chosen
                parts[name] = self._encoded(name, inputs[name][chosen], len(chosen))
        count = availability.sum(dim=1)[:, None, None, None]
        first = next(iter(parts.values()))
        shared = first.new_zeros((len(availability), *first.shape[1:]))
        logits = first.new_zeros((len(availability), self.classes, *first.shape[2:]))
        unimodal = {}
        for name, tokens in parts.items():
            answer = self._answer(name, tokens)
            shared = shared.index_add(0, samples[name], tokens)
            logits = logits.index_add(0, samples[name], answer.to(logits.dtype))  # mixed precision has two kinds
            alone = self.spread(answer + self.bias[:, None, None], image)
            unimodal[name] = Unimodal(samples[name], (tokens,), alone)
        if self.options.pool == "mean":
            logits = logits / count
        logits = logits + self.bias[:, None, None]
        return Detail(self.spread(logits, image), {"shared": shared / count}, unimodal)

    def _encoded(self, name: str, values: Tensor, batch: int) -> Tensor:
        """Class tokens ``[B, d, h, w]`` of all windows of ``[B, C, H, W]``."""
        token = self.class_token(name, torch.zeros(1, device=values.device))

        def first(windows: Tensor) -> Tensor:
            tokens = torch.cat([token.expand(len(windows), -1, -1), windows + self.positions], dim=1)
            return self.encoder.first(tokens)

        return self.over_windows(self.stems[name], values, first, batch)

    def _answer(self, name: str, tokens: Tensor) -> Tensor:
        """What a sensor's class tokens ``[B, d, h, w]`` add to the logits ``[B, K, h, w]``."""
        head = self.heads[name] if self.options.pool == "concat" else self.head
        return head(tokens.movedim(1, -1)).movedim(-1, 1)

    def scenario_logits(self, inputs: Inputs, availability: Tensor, normalise: Normalise) -> Tensor:
        """See :meth:`Network.scenario_logits`."""
        branches = [
            self._branch(name, inputs[name], availability[number], normalise) for number, name in enumerate(self.names)
        ]
        logits = torch.stack(branches).sum(dim=0)
        if self.options.pool == "mean":
            logits = logits / availability.sum()
        logits = logits + self.bias[:, None, None]
        return self.spread(logits, inputs[self.names[0]])

    def _branch(self, name: str, values: Tensor, available: Tensor, normalise: Normalise) -> Tensor:
        """What a sensor adds to the logits ``[B, K, h, w]``; zeros where it is missing."""
        high, wide = (self.windows_along(size) for size in values.shape[-2:])

        def present(raw: Tensor) -> Tensor:
            tokens = self._encoded(name, normalise(name, raw), 1)
            return self._answer(name, tokens).contiguous()  # both branches must have the same strides

        def absent(raw: Tensor) -> Tensor:
            return torch.zeros((raw.shape[0], self.classes, high, wide), device=raw.device)

        found: Tensor = torch.cond(available, present, absent, (values,))
        return found


def _coded(steps: Tensor) -> Tensor:
    """``[N, 256]`` of steps ``[N]``: cosines, then sines."""
    sines, cosines = sincos(steps.float(), STEP_WIDTH).chunk(2, dim=1)
    return torch.cat([cosines, sines], dim=1)
