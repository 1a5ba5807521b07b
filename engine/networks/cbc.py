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
* Layers that the published code makes and never uses are left out, level 5 of the early fusion with them.
* The last volume is not resampled along its depth: with aligned corners, as published, a resize to depth 1 takes the
  first slice.
* What a resize by nearest values repeats is computed once in the decoder, to the same result
  (`engine/networks/cbc_decoder.py`).

Encoder, attention and decoder stand in files of their own beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from engine.data.settings import Settings
from engine.errors import RecipeError
from engine.networks.cbc_attention import Block, correlated
from engine.networks.cbc_decoder import Decoder, Mixed, Unit
from engine.networks.cbc_encoder import LEVELS, SIZES, Encoder, level_widths
from engine.networks.contract import Detail, Inputs, Network, Normalise, Unimodal


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
    by_place = True

    def __init__(self, options: CbcOptions, bands: Mapping[str, int], classes: int) -> None:
        super().__init__(bands, classes)
        size = SIZES[options.size]
        self.size, self.count = size, len(self.names)
        self.chosen = check_bands(options, bands)
        widths = level_widths(size)
        cells = size.edge**3
        self.encoders = nn.ModuleDict({name: Encoder(size) for name in self.names})
        fused = [self.count * width for width in (*widths[:4], widths[5])]
        self.fusions = nn.ModuleList(Unit(width, width) for width in fused)
        self.lifts = nn.ModuleDict({name: nn.Conv3d(widths[5], size.tokens, 1) for name in self.names})
        self.places = nn.ParameterDict({name: torch.zeros(1, cells, size.tokens) for name in self.names})
        self.blocks = nn.ModuleDict({name: Block(size.tokens, size.heads) for name in self.names})
        self.correlations = nn.ModuleDict({name: nn.Conv3d(size.tokens, 3 * size.tokens, 1) for name in self.names})
        self.fused_lift = nn.Conv3d(fused[-1], size.tokens, 1)
        self.fused_place = nn.Parameter(torch.zeros(1, cells, size.tokens))
        self.mixer = Block(size.tokens, size.heads)
        self.gather = nn.Conv3d((self.count + 1) * size.tokens, fused[-1], 1)
        self.decoder = Decoder(size.base, self.count, options.depth, size.edge, classes)
        for module in self.modules():  # all, as published: nothing of a pretrained ResNet is left
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight)
        for module in self.modules():
            if isinstance(module, Mixed):
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
        for level in range(LEVELS):
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
            name: cast(Encoder, self.encoders[name]).gathered(levels[name]) * there[:, number, None, None, None, None]
            for number, name in enumerate(self.names)
        }
        parts = [*([levels[name][level] for name in self.names] for level in range(4)), list(cubes.values())]
        *skips, cube = [fusion(torch.cat(part, dim=1)) for fusion, part in zip(self.fusions, parts, strict=True)]
        lifted = {name: self._tokens(self.lifts[name](cubes[name])) for name in self.names}
        mixtures = self._correlated(lifted, there)
        sequence = [lifted[name] + self._tokens(mixtures[name]) + self.places[name] for name in self.names]
        sequence.append(self._tokens(self.fused_lift(cube)) + self.fused_place)
        mixed = self.mixer(torch.cat(sequence, dim=1))
        # As published: so many consecutive tokens are stacked at a voxel, not the modalities' tokens of one place.
        stacked = mixed.reshape(batch, size.edge, size.edge, size.edge, (self.count + 1) * size.tokens)
        inter = self.gather(stacked.permute(0, 4, 1, 2, 3))
        bottleneck, latents = self._bottleneck(inter, mixtures, there)
        return Detail(self.decoder(skips, bottleneck, rows, cols), latents)

    def _tokens(self, volume: Tensor) -> Tensor:
        return volume.flatten(2).transpose(1, 2)

    def _correlated(self, lifted: Mapping[str, Tensor], there: Tensor) -> dict[str, Tensor]:
        edge = self.size.edge
        volumes = []
        for name in self.names:
            tokens = self.blocks[name](lifted[name] + self.places[name])
            volume = tokens.transpose(1, 2).reshape(tokens.shape[0], self.size.tokens, edge, edge, edge)
            volumes.append(self.correlations[name](volume))
        return dict(zip(self.names, correlated(volumes, there), strict=True))

    def _bottleneck(
        self, inter: Tensor, _mixtures: Mapping[str, Tensor], _there: Tensor
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
        self, inter: Tensor, mixtures: Mapping[str, Tensor], there: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        shared = self.shared(inter)
        private = [
            self.private[name](mixtures[name]) * there[:, number, None, None, None, None]
            for number, name in enumerate(self.names)
        ]
        return torch.cat([shared, *private], dim=1), {"z_sh": shared, "x6_inter": inter}
