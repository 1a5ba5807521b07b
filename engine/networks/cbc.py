"""CBC and CBC-SLP: cross-band correlation over volumes, with a shared and private latents.

I. Ulku et al., "Latent Space Guided Scenario Sampling for Multimodal Segmentation Under Missing Modalities" (2026),
which fine-tunes both; the blocks are those that its authors published with it. A modality's bands are the depth of a
volume with one channel; three-dimensional ResNets, whose kernels look along the depth in their first layer only, give
five levels of features; the deepest ones meet as cubes of tokens.

Departures:

* The softmax over the modalities in the inter-modal correlation runs for each sample by itself. The published code
  mixes the samples of a batch, so that a prediction depends on its neighbours; with one sample both are the same.
* One head with a channel for each class, giving logits, stands for three maps behind a sigmoid that are trained on the
  same mask, with a loss that applies a sigmoid again.
* Any number of modalities M: the widths behind a fusion are M times those of one modality, as they are for three.
* A modality with more bands than the depth names those it gives in ``band_lists``; fewer are filled up with the last.
* The encoder of a modality sees the samples that have it: the published code feeds all and multiplies by zero behind
  it, which would let what is missing reach the statistics of batch norms.
* Instance norms add 1e-3 to a variance, not PyTorch's 1e-5: without parameters, fourteen of them in a row magnify what
  single precision rounds in channels that hardly vary, until the exported graph is off by more than it may.
* Layers that the published code makes and never uses are left out, level 5 of the early fusion with them.
* The last volume is not resampled along its depth: with aligned corners, as published, a resize to depth 1 takes the
  first slice.
* What a resize by nearest values repeats is computed once in the decoder, to the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from engine.data.settings import Settings
from engine.errors import RecipeError
from engine.networks.contract import Detail, Inputs, Network, Normalise, Unimodal

_LEVELS = 5


@dataclass(frozen=True)
class _Size:
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


_SIZES = {
    "tiny": _Size(2, 4, (4, 8, 12, 16), (1, 1, 1, 1), False, 4, 16, 2),
    "small": _Size(4, 24, (24, 48, 96, 192), (2, 2, 2, 2), False, 4, 96, 4),
    "paper": _Size(8, 64, (256, 512, 1024, 2048), (3, 4, 6, 3), True, 8, 512, 8),
}


class CbcOptions(Settings):
    """Options of ``cbc`` and ``cbc_slp``.

    Args:
        size: ``paper`` as published (ResNet-50, cubes up to 128 pixels), ``small`` or ``tiny``.
        depth: Bands of a modality that the network takes, the depth of its volumes.
        band_lists: For a modality the positions of its bands, from 0, in order; needed where it has more than the
            depth.
    """

    size: Literal["tiny", "small", "paper"] = "paper"
    depth: int = Field(default=3, ge=1, le=8)
    band_lists: Mapping[str, tuple[int, ...]] = {}


def chosen_bands(name: str, count: int, options: CbcOptions) -> list[int]:
    """The positions of the bands that become the depth of a modality's volume; the last one repeated where few.

    Raises:
        RecipeError: If there are more than the depth and no list, or a list does not fit.
    """
    wanted = options.band_lists.get(name)
    if wanted is None:
        if count > options.depth:
            raise RecipeError(
                f"network.options.band_lists: modality {name} has {count} bands, the network takes {options.depth}; "
                f"name them, as in {{{name}: [0, 1, 2]}} (positions from 0)"
            )
        wanted = tuple(range(count))
    if not wanted or len(wanted) > options.depth or not all(0 <= band < count for band in wanted):
        raise RecipeError(
            f"network.options.band_lists.{name}: {list(wanted)} are not 1 to {options.depth} positions below {count}"
        )
    return [*wanted, *[wanted[-1]] * (options.depth - len(wanted))]


def check_bands(options: CbcOptions, bands: Mapping[str, int]) -> dict[str, list[int]]:
    """For each modality, see :func:`chosen_bands`.

    Raises:
        RecipeError: If a list is missing, of no modality, or does not fit.
    """
    for name in options.band_lists:
        if name not in bands:
            raise RecipeError(f"network.options.band_lists: {name} is none of {', '.join(bands)}")
    return {name: chosen_bands(name, count, options) for name, count in bands.items()}


EPSILON = 1e-3
"""Added to a variance by instance norms; see the departures."""


class _InstanceNorm(nn.Module):
    """Instance norm without parameters, with means taken axis by axis.

    ONNX Runtime's sums a volume of 64 x 64 x 64 values one by one, and is wrong in the third digit.

    Args:
        shares: Of the depth that each slice stands for; all alike where None.
    """

    shares: Tensor | None

    def __init__(self, shares: Sequence[float] | None = None) -> None:
        super().__init__()
        weights = None if shares is None else torch.tensor(shares)[:, None, None]
        self.register_buffer("shares", weights, persistent=False)

    def forward(self, volume: Tensor) -> Tensor:
        centred = volume - self._mean(volume)
        normed: Tensor = centred * torch.rsqrt(self._mean(centred * centred) + EPSILON)
        return normed

    def _mean(self, volume: Tensor) -> Tensor:
        flat = volume.mean(dim=4, keepdim=True).mean(dim=3, keepdim=True)
        return flat.mean(dim=2, keepdim=True) if self.shares is None else (flat * self.shares).sum(2, keepdim=True)


class _Unit(nn.Sequential):
    """Convolution, ReLU, instance norm without parameters."""

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int = 1,
        padding_mode: Literal["zeros", "replicate"] = "zeros",
        shares: Sequence[float] | None = None,
    ) -> None:
        super().__init__(
            nn.Conv3d(channels, width, kernel, padding=kernel // 2, padding_mode=padding_mode),
            nn.ReLU(),
            _InstanceNorm(shares),
        )


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


class _Encoder(nn.Module):
    """A modality's volume ``[B, 1, D, H, W]`` to five levels, and those to a cube."""

    def __init__(self, size: _Size) -> None:
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
            for inner, outer in zip((size.stem, *size.widths), self.level_widths[:_LEVELS], strict=True)
        )
        self.cube = nn.Conv3d(sum(self.level_widths[:_LEVELS]), self.level_widths[-1], 1)

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


def level_widths(size: _Size) -> tuple[int, ...]:
    """Channels of a modality's six levels: base times 1, 2, 4, 8, 8, 8."""
    return tuple(size.base * factor for factor in (1, 2, 4, 8, 8, 8))


class _Block(nn.Module):
    """Attention and perceptron over tokens ``[B, N, C]``, each behind a layer norm and added to its input."""

    def __init__(self, width: int, heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.rate = dropout
        self.mlp = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width), nn.Dropout(dropout)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        parts = self.qkv(self.norm1(tokens)).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        rate = self.rate if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=rate)
        tokens = tokens + self.dropout(self.proj(mixed.transpose(1, 2).reshape(batch, count, width)))
        added: Tensor = tokens + self.mlp(self.norm2(tokens))
        return added


class _Slices:
    """The slices of a volume that is alike over much of its depth: each is kept once, with the places where it stands.

    A volume of few bands that is resized to a cube by its nearest values consists of as many different slices as it has
    bands. A convolution of kernel 3 gives three times as many at most: those inside a band, and those beside its
    borders.

    Args:
        places: For each place in the depth, which of the slices stands there.
    """

    def __init__(self, places: Sequence[int]) -> None:
        self.places = list(places)

    @property
    def shares(self) -> list[float]:
        """Of the depth that each slice takes."""
        return [self.places.count(one) / len(self.places) for one in range(max(self.places) + 1)]

    def convolved(self, padding: Literal["zeros", "replicate"]) -> tuple[list[int], _Slices]:
        """What a convolution of kernel 3 along the depth makes of them.

        Returns:
            The slices that the kernel meets, three for each that comes out (one more than there are stands for
            zeros), and those that come out.
        """
        first, last = self.places[0], self.places[-1]
        if padding == "zeros":
            first = last = max(self.places) + 1
        padded = [first, *self.places, last]
        met = [tuple(padded[place : place + 3]) for place in range(len(self.places))]
        different = list(dict.fromkeys(met))
        return [one for three in different for one in three], _Slices([different.index(three) for three in met])


def _along_depth(places: Sequence[int]) -> Tensor:
    return torch.tensor(list(places))


class _SliceConvolution(nn.Module):
    """A convolution of kernel 3 over slices, whose result is that over the whole volume.

    Args:
        channels: Coming in.
        width: Going out.
        slices: What comes in.
        padding: At the ends of the depth and the borders.
    """

    met: Tensor

    def __init__(
        self, channels: int, width: int, slices: _Slices, padding: Literal["zeros", "replicate"], bias: bool = True
    ) -> None:
        super().__init__()
        met, self.slices = slices.convolved(padding)
        self.padding = padding
        self.register_buffer("met", _along_depth(met), persistent=False)
        self.convolution = nn.Conv3d(
            channels, width, 3, stride=(3, 1, 1), padding=(0, 1, 1), padding_mode=padding, bias=bias
        )

    def forward(self, slices: Tensor) -> Tensor:
        if self.padding == "zeros":
            slices = torch.cat([slices, torch.zeros_like(slices[:, :, :1])], dim=2)
        met = slices.index_select(2, self.met).contiguous(memory_format=torch.channels_last_3d)
        found: Tensor = self.convolution(met)
        return found


class _Refined(nn.Sequential):
    """Three convolutions of kernels 1, 3 and 1 that keep the width ("RFM" in the published code), over slices."""

    def __init__(self, width: int, slices: _Slices) -> None:
        middle = _SliceConvolution(width, width, slices, "zeros")
        self.slices = middle.slices
        super().__init__(
            _Unit(width, width, shares=slices.shares),
            nn.Sequential(middle, nn.ReLU(), _InstanceNorm(self.slices.shares)),
            _Unit(width, width, shares=self.slices.shares),
        )


class _Mixed(nn.Module):
    """A 3 x 3 x 3 convolution over a volume and a skip's slices side by side, ReLU, instance norm."""

    everywhere: Tensor

    def __init__(self, channels: int, skip: int, width: int, slices: _Slices) -> None:
        super().__init__()
        self.volume = nn.Conv3d(channels, width, 3, padding=1, padding_mode="replicate")
        self.skip = _SliceConvolution(skip, width, slices, "replicate", bias=False)
        self.register_buffer("everywhere", _along_depth(self.skip.slices.places), persistent=False)
        self.norm = _InstanceNorm()

    def initialise(self) -> None:
        """Starts both convolutions as the one that they are: Kaiming's deviation for all channels together."""
        inner = 27 * (self.volume.in_channels + self.skip.convolution.in_channels)
        for weight in (self.volume.weight, self.skip.convolution.weight):
            nn.init.normal_(weight, std=(2 / inner) ** 0.5)
        nn.init.uniform_(self.volume.get_parameter("bias"), -(inner**-0.5), inner**-0.5)

    def forward(self, volume: Tensor, skip: Tensor) -> Tensor:
        beside = self.skip(skip).index_select(2, self.everywhere)
        normed: Tensor = self.norm(torch.relu(self.volume(volume) + beside))
        return normed


class _Decoder(nn.Module):
    """From the fused cube over four doublings, with the four finest fused levels beside.

    The skips, resized to cubes by their nearest values, are computed for their different slices only.
    """

    def __init__(self, base: int, modalities: int, depth: int, edge: int, classes: int) -> None:
        super().__init__()
        self.edge, self.depth = edge, depth
        fused = [base * factor * modalities for factor in (1, 2, 4, 8)]
        plan = [16 * base, 8 * base, 4 * base, 2 * base, base]
        self.start = nn.Sequential(_Refined(fused[-1], _Slices(range(edge))), _Unit(fused[-1], plan[0]))
        self.skips, self.ups, self.mixes, self.ends = (nn.ModuleList() for _ in range(4))
        for number, skip in enumerate(reversed(fused)):
            width, narrow = plan[number], plan[number + 1]
            come = width if number == 0 else narrow
            edge *= 2
            refined = _Refined(skip, _Slices([place * depth // edge for place in range(edge)]))
            self.skips.append(refined)
            self.ups.append(_Unit(width, come, 3, "replicate"))
            self.mixes.append(_Mixed(come, skip, narrow, refined.slices))
            self.ends.append(_Unit(narrow, narrow))
        self.head = nn.Conv2d(base, classes, 1)

    def forward(self, skips: list[Tensor], cube: Tensor, rows: int, cols: int) -> Tensor:
        # Channels last: few of them, over many voxels; convolutions train twice as fast
        cube, *skips = (volume.contiguous(memory_format=torch.channels_last_3d) for volume in (cube, *skips))
        volume = self.start(cube)
        edge = self.edge
        for skip, refine, up, mix, end in zip(
            reversed(skips), self.skips, self.ups, self.mixes, self.ends, strict=True
        ):
            edge *= 2
            volume = up(F.interpolate(volume, size=(edge, edge, edge), mode="trilinear", align_corners=True))
            volume = end(mix(volume, refine(F.interpolate(skip, size=(self.depth, edge, edge), mode="nearest"))))
        image = F.interpolate(volume[:, :, 0], size=(rows, cols), mode="bilinear", align_corners=True)
        logits: Tensor = self.head(image)
        return logits


class Cbc(Network):
    """Cross-band correlation network.

    Args:
        options: Its options.
        bands: For each modality its number of bands.
        classes: K.

    Raises:
        RecipeError: If a modality's bands do not fit the depth.
    """

    latents: tuple[str, ...] = ("x6_inter",)
    lora_targets = ("mixer.qkv", "mixer.proj", "fusions.*.0")

    def __init__(self, options: CbcOptions, bands: Mapping[str, int], classes: int) -> None:
        super().__init__(bands, classes)
        size = _SIZES[options.size]
        self.size, self.count = size, len(self.names)
        self.chosen = check_bands(options, bands)
        widths = level_widths(size)
        cells = size.edge**3
        self.encoders = nn.ModuleDict({name: _Encoder(size) for name in self.names})
        fused = [self.count * width for width in (*widths[:4], widths[5])]
        self.fusions = nn.ModuleList(_Unit(width, width) for width in fused)
        self.lifts = nn.ModuleDict({name: nn.Conv3d(widths[5], size.tokens, 1) for name in self.names})
        self.places = nn.ParameterDict({name: torch.zeros(1, cells, size.tokens) for name in self.names})
        self.blocks = nn.ModuleDict({name: _Block(size.tokens, size.heads) for name in self.names})
        self.correlations = nn.ModuleDict({name: nn.Conv3d(size.tokens, 3 * size.tokens, 1) for name in self.names})
        self.fused_lift = nn.Conv3d(fused[-1], size.tokens, 1)
        self.fused_place = nn.Parameter(torch.zeros(1, cells, size.tokens))
        self.mixer = _Block(size.tokens, size.heads)
        self.gather = nn.Conv3d((self.count + 1) * size.tokens, fused[-1], 1)
        self.decoder = _Decoder(size.base, self.count, options.depth, size.edge, classes)
        for module in self.modules():  # all, as published: nothing of a pretrained ResNet is left
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight)
        for module in self.modules():
            if isinstance(module, _Mixed):
                module.initialise()

    def detail(self, inputs: Inputs, availability: Tensor) -> Detail:
        """See :meth:`Network.detail`. Only available samples of a modality reach its encoder."""
        levels, unimodal = {}, {}
        for number, name in enumerate(self.names):
            chosen = availability[:, number].nonzero()[:, 0]
            shapes = self._shapes(*inputs[name].shape[-2:])
            found = tuple(inputs[name].new_zeros((len(availability), *shape)) for shape in shapes)
            if len(chosen):
                some = self.encoders[name](self._volume(name, inputs[name][chosen]))
                unimodal[name] = Unimodal(chosen, tuple(some))
                found = tuple(
                    level.to(part.dtype).index_copy(0, chosen, part) for level, part in zip(found, some, strict=True)
                )
            levels[name] = found
        return replace(self._fused(levels, availability, *inputs[self.names[0]].shape[-2:]), unimodal=unimodal)

    def scenario_logits(self, inputs: Inputs, availability: Tensor, normalise: Normalise) -> Tensor:
        """See :meth:`Network.scenario_logits`."""
        rows, cols = inputs[self.names[0]].shape[-2:]
        levels = {
            name: self._branch(name, inputs[name], availability[number], normalise)
            for number, name in enumerate(self.names)
        }
        return self._fused(levels, availability[None], rows, cols).logits

    def _volume(self, name: str, values: Tensor) -> Tensor:
        return torch.stack([values[:, band] for band in self.chosen[name]], dim=1)[:, None]

    def _shapes(self, rows: int, cols: int) -> list[tuple[int, ...]]:
        """Channels, depth, rows and columns of a modality's levels."""
        depth, widths = len(self.chosen[self.names[0]]), level_widths(self.size)
        rows, cols = ((length - 1) // 2 // 2 + 1 for length in (rows, cols))
        shapes: list[tuple[int, ...]] = []
        for level in range(_LEVELS):
            if level > 1:
                rows, cols = (rows - 1) // 2 + 1, (cols - 1) // 2 + 1
            shapes.append((widths[level], depth, rows, cols))
        return shapes

    def _branch(self, name: str, values: Tensor, available: Tensor, normalise: Normalise) -> tuple[Tensor, ...]:
        shapes = self._shapes(*values.shape[-2:])

        def present(raw: Tensor) -> tuple[Tensor, ...]:
            found = self.encoders[name](self._volume(name, normalise(name, raw)))
            return tuple(level.contiguous() for level in found)

        def absent(raw: Tensor) -> tuple[Tensor, ...]:
            return tuple(torch.zeros((raw.shape[0], *shape), device=raw.device) for shape in shapes)

        found: tuple[Tensor, ...] = torch.cond(available, present, absent, (values,))
        return found

    def _fused(self, levels: Mapping[str, tuple[Tensor, ...]], there: Tensor, rows: int, cols: int) -> Detail:
        batch = levels[self.names[0]][0].shape[0]
        size = self.size
        cubes = {
            name: cast(_Encoder, self.encoders[name]).gathered(levels[name]) * there[:, number, None, None, None, None]
            for number, name in enumerate(self.names)
        }
        parts = [*([levels[name][level] for name in self.names] for level in range(4)), list(cubes.values())]
        *skips, cube = [fusion(torch.cat(part, dim=1)) for fusion, part in zip(self.fusions, parts, strict=True)]
        lifted = {name: self._tokens(self.lifts[name](cubes[name])) for name in self.names}
        correlated = self._correlated(lifted, there)
        sequence = [lifted[name] + self._tokens(correlated[name]) + self.places[name] for name in self.names]
        sequence.append(self._tokens(self.fused_lift(cube)) + self.fused_place)
        mixed = self.mixer(torch.cat(sequence, dim=1))
        # As published: so many consecutive tokens are stacked at a voxel, not the modalities' tokens of one place.
        stacked = mixed.reshape(batch, size.edge, size.edge, size.edge, (self.count + 1) * size.tokens)
        inter = self.gather(stacked.permute(0, 4, 1, 2, 3))
        bottleneck, latents = self._bottleneck(inter, correlated, there)
        return Detail(self.decoder(skips, bottleneck, rows, cols), latents)

    def _tokens(self, volume: Tensor) -> Tensor:
        return volume.flatten(2).transpose(1, 2)

    def _correlated(self, lifted: Mapping[str, Tensor], there: Tensor) -> dict[str, Tensor]:
        """Each modality as a mixture of all values, by the softmax of q_t * k_i / sqrt(M) at each channel and voxel."""
        edge = self.size.edge
        parts: list[tuple[Tensor, ...]] = []
        for name in self.names:
            tokens = self.blocks[name](lifted[name] + self.places[name])
            volume = tokens.transpose(1, 2).reshape(tokens.shape[0], self.size.tokens, edge, edge, edge)
            parts.append(self.correlations[name](volume).chunk(3, dim=1))
        queries, keys, values = (torch.stack([part[place] for part in parts]) for place in range(3))
        mixed = {}
        for number, name in enumerate(self.names):
            gates = torch.softmax(queries[number] * keys / self.count**0.5, dim=0)
            mixed[name] = (gates * values).sum(dim=0) * there[:, number, None, None, None, None]
        return mixed

    def _bottleneck(
        self, inter: Tensor, _correlated: Mapping[str, Tensor], _there: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return inter, {"x6_inter": inter}


class CbcSlp(Cbc):
    """CBC whose bottleneck is a shared latent beside a private one for each modality that is there."""

    latents = ("z_sh", "x6_inter")

    def __init__(self, options: CbcOptions, bands: Mapping[str, int], classes: int) -> None:
        super().__init__(options, bands, classes)
        width = 4 * self.size.base
        self.shared = nn.Conv3d(self.gather.out_channels, width * self.count, 1)
        self.private = nn.ModuleDict({name: nn.Conv3d(self.size.tokens, width, 1) for name in self.names})
        for module in (self.shared, *self.private.values()):
            nn.init.kaiming_normal_(module.get_parameter("weight"))

    def _bottleneck(
        self, inter: Tensor, correlated: Mapping[str, Tensor], there: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        shared = self.shared(inter)
        private = [
            self.private[name](correlated[name]) * there[:, number, None, None, None, None]
            for number, name in enumerate(self.names)
        ]
        return torch.cat([shared, *private], dim=1), {"z_sh": shared, "x6_inter": inter}
