"""STARS: a shared encoder beside one for each modality, fused, with a decoder for each sensor and one for all together.

T. Wang et al., "STARS: Shared-specific Translation and Alignment for missing-modality Remote Sensing Semantic
Segmentation" (2026). Figures 2 to 4 by its numbers; what it leaves open follows MetaRS, whose fusion and decoders it
takes up: reduction 16 in the squeeze-and-excitation blocks, one set of fusion weights for all modalities, 256 channels
in the pyramids and 128 behind them.

Which decoder answers: with one sensor its own, which reads shared and specific features; with two or more the fused
one, which reads shared features alone. A sensor's own encoder and decoder run only where it is alone, and in training.

Departures:

* Any number of modalities (the paper's future work). The fused branch takes two maps, as in the paper: those of the
  first sensor that is there, and the mean of the others'. With two sensors that is the paper's.
* With three sensors or more the fused branch should see subsets of them in training (the scenarios ``several``).
* Translation modules (equation 1) stand for each ordered pair of up to three modalities; of more, each modality has one
  that translates to the mean of the others, whose number grows with M and not with its square.
* In training the shared encoder's batch norms see all sensors' samples at once, which are what their running statistics
  describe. MetaRS runs the encoder once a sensor: in training each is normed by its own statistics, in use by a mean of
  both. ``shared_norms: by_sensor`` does so.
* Stacks of the decoders resize to the next finer level's size instead of doubling, which fits every tile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from engine.data.settings import Settings
from engine.networks.contract import Detail, Inputs, Network, Normalise, Unimodal
from engine.networks.encoders import Encoder, build_encoder
from engine.networks.stars_layers import PyramidDecoder, SharedSpecificFusion, Translation, TranslationNorm

ALIGNED = (2, 3)
"""The stages whose shared features are aligned, from 0: the paper's stages 3 and 4."""
PAIRWISE = 3
"""Up to so many modalities each ordered pair has translation modules of its own."""


class StarsOptions(Settings):
    """Options of ``stars``.

    Args:
        encoder: Name of the encoders.
        weights: Hub name or folder of pretrained weights of all encoders; random ones where None.
        pyramid: Channels of the decoders' pyramids.
        width: Channels of the decoders behind their pyramids.
        translation_norm: Normalisation in the translation modules, see :class:`Translation`.
        shared_norms: What the batch norms of the shared encoder take their statistics from in training: ``together``
            all sensors' samples, ``by_sensor`` those of one sensor at a time, as MetaRS does. Either way there is one
            set of weights and of running statistics, so that the answer of given weights does not depend on it.
    """

    encoder: str = "resnet-50"
    weights: str | None = None
    pyramid: int = Field(default=256, ge=1)
    width: int = Field(default=128, ge=1)
    translation_norm: TranslationNorm = "instance"
    shared_norms: Literal["together", "by_sensor"] = "together"


@dataclass(frozen=True)
class StarsDetail(Detail):
    """A forward pass with every branch.

    The logits are the fused decoder's for samples with two modalities or more, and the modality's own decoder's for
    those with one. What is unimodal are the shared encoder's features, and in training its own decoder's prediction.

    Args:
        translated: In training for the name of each translation its modality's features of the stages :data:`ALIGNED`,
            translated.
    """

    translated: Mapping[str, tuple[Tensor, ...]] = field(kw_only=True)


class Stars(Network):
    """Shared and specific encoders with a decoder for each sensor and one for several.

    The latent ``shared`` is the mean of the shared encoder's deepest features over the modalities that are there.

    Args:
        options: Its options.
        bands: For each modality its number of bands.
        classes: K.
    """

    latents = ("shared",)
    lora_targets: tuple[str, ...] = ("fusions.3.*", "fused_fusions.3.*")
    predicts_alone = True
    smallest_chip = 33  # with 32 the deepest maps have a single place, and there is nothing to compare

    def __init__(self, options: StarsOptions, bands: Mapping[str, int], classes: int) -> None:
        super().__init__(bands, classes)
        self.shared: Encoder = build_encoder(options.encoder, bands, options.weights)  # with all stems
        self.by_sensor = options.shared_norms == "by_sensor"
        self.specific = nn.ModuleDict({name: build_encoder(options.encoder, {}, options.weights) for name in bands})
        widths = self.shared.widths
        if len(bands) == 1:
            self.lora_targets = ("fusions.3.*",)
        self.fusions = nn.ModuleList(SharedSpecificFusion(width) for width in widths)
        double = [2 * width for width in widths]
        sizes = options.pyramid, options.width, classes
        self.decoders = nn.ModuleDict({name: PyramidDecoder(double, *sizes) for name in bands})
        self.translations = nn.ModuleDict()
        if len(self.names) > 1:
            self.fused_fusions = nn.ModuleList(SharedSpecificFusion(width) for width in widths)
            self.fused_decoder = PyramidDecoder(widths, *sizes)
            for key in self.routes:
                self.translations[key] = nn.ModuleList(
                    Translation(widths[stage], options.translation_norm) for stage in ALIGNED
                )

    @property
    def routes(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """What is translated: for each translation module's name the modality, and those whose mean is the target."""
        names = self.names
        if len(names) > PAIRWISE:
            return {f"{place}": (one, tuple(name for name in names if name != one)) for place, one in enumerate(names)}
        return {
            f"{place}-{target}": (one, (other,))
            for place, one in enumerate(names)
            for target, other in enumerate(names)
            if one != other
        }

    def detail(self, inputs: Inputs, availability: Tensor) -> StarsDetail:
        """See :meth:`Network.detail`. In evaluation mode only the decoder that answers for a sample runs."""
        having = {name: availability[:, number].nonzero()[:, 0] for number, name in enumerate(self.names)}
        stems = {name: self.shared.stem(name, inputs[name][some]) for name, some in having.items() if len(some)}
        shared, levels = self._stages(stems)

        alone = availability.sum(dim=1) == 1
        size = inputs[self.names[0]].shape[-2:]
        logits = levels[0].new_zeros((len(availability), self.classes, *size))
        predictions: dict[str, Tensor] = {}
        for name, stem in stems.items():
            answering = alone[having[name]].nonzero()[:, 0]
            if self.training:
                predictions[name] = self._alone(name, stem, shared[name], *size)
                own = predictions[name][answering]
            elif len(answering):
                own = self._alone(name, stem[answering], [level[answering] for level in shared[name]], *size)
            else:
                continue
            logits = logits.index_copy(0, having[name][answering], own.to(logits.dtype))

        sample = torch.cat([having[name] for name in stems])
        modality = torch.cat([torch.full_like(having[name], self.names.index(name)) for name in stems])
        together = (~alone).nonzero()[:, 0]
        if len(together):
            first, others = (
                [self._gathered(level, sample, share[sample, modality], len(alone))[together] for level in levels]
                for share in self._shares(availability)
            )
            fused = self._together(list(zip(first, others, strict=True)), *size)
            logits = logits.index_copy(0, together, fused.to(logits.dtype))
        mean = self._gathered(levels[-1], sample, 1 / availability.sum(dim=1)[sample], len(alone))
        return StarsDetail(
            logits,
            {"shared": mean},
            {name: Unimodal(having[name], tuple(maps), predictions.get(name)) for name, maps in shared.items()},
            translated=self._translated(shared) if self.training else {},
        )

    def _stages(self, stems: Mapping[str, Tensor]) -> tuple[dict[str, list[Tensor]], list[Tensor]]:
        """The shared encoder's maps of all stages, by modality and, put together from these, of all modalities."""
        if self.by_sensor:
            shared = {name: self.shared.stages(stem) for name, stem in stems.items()}
        else:
            levels = self.shared.stages(torch.cat(list(stems.values())))
            split = [torch.split(level, [len(stem) for stem in stems.values()]) for level in levels]
            shared = {name: [level[number] for level in split] for number, name in enumerate(stems)}
        return shared, [torch.cat(maps) for maps in zip(*shared.values(), strict=True)]

    def _translated(self, shared: Mapping[str, Sequence[Tensor]]) -> dict[str, tuple[Tensor, ...]]:
        found = {}
        for key, (name, _) in self.routes.items():
            if name in shared:
                modules = cast(nn.ModuleList, self.translations[key])
                found[key] = tuple(module(shared[name][stage]) for module, stage in zip(modules, ALIGNED, strict=True))
        return found

    def scenario_logits(self, inputs: Inputs, availability: Tensor, normalise: Normalise) -> Tensor:
        """See :meth:`Network.scenario_logits`."""
        rows, cols = inputs[self.names[0]].shape[-2:]
        alone = availability.sum() == 1
        own = [
            self._alone_if(name, inputs[name], availability[number] & alone, normalise)
            for number, name in enumerate(self.names)
        ]
        logits = sum(own[1:], own[0])
        if len(self.names) == 1:
            return logits
        maps = [
            self._shared_if(name, inputs[name], availability[number] & ~alone, normalise)
            for number, name in enumerate(self.names)
        ]
        first, others = (share[0] for share in self._shares(availability[None]))
        levels = len(maps[0])

        def several(first: Tensor, others: Tensor, *flat: Tensor) -> Tensor:
            def shared(level: int, share: Tensor) -> Tensor:
                same = [share[number] * features for number, features in enumerate(flat[level::levels])]
                return sum(same[1:], same[0])

            pairs = [(shared(level, first), shared(level, others)) for level in range(levels)]
            return self._together(pairs, rows, cols).contiguous()

        def none(first: Tensor, _others: Tensor, *flat: Tensor) -> Tensor:
            return torch.zeros((flat[0].shape[0], self.classes, rows, cols), device=first.device)

        flat = [level for one in maps for level in one]
        fused: Tensor = torch.cond(~alone, several, none, (first, others, *flat))
        return logits + fused

    def _alone(self, name: str, stem: Tensor, shared: Sequence[Tensor], rows: int, cols: int) -> Tensor:
        """Logits ``[B, K, H, W]`` of one modality's own decoder."""
        levels = []
        for fusion, own, common in zip(
            self.fusions, cast(Encoder, self.specific[name]).stages(stem), shared, strict=True
        ):
            levels.append(torch.cat([own + fusion(own, common), common], dim=1))
        return self._upsampled(self.decoders[name](levels), rows, cols)

    def _together(self, pairs: Sequence[tuple[Tensor, Tensor]], rows: int, cols: int) -> Tensor:
        """Logits ``[B, K, H, W]`` of the fused decoder, of two maps a level."""
        levels = [fusion(one, other) for fusion, (one, other) in zip(self.fused_fusions, pairs, strict=True)]
        return self._upsampled(self.fused_decoder(levels), rows, cols)

    @staticmethod
    def _shares(availability: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, M]`` each: 1 for the first modality that is there; for the others what makes their mean."""
        first = availability & (availability.cumsum(dim=1) == 1)
        others = (availability & ~first).to(torch.float32)
        return first.to(torch.float32), others / others.sum(dim=1, keepdim=True).clamp(min=1)

    @staticmethod
    def _gathered(features: Tensor, sample: Tensor, weights: Tensor, batch: int) -> Tensor:
        """``[batch, C, h, w]``: the weighted sums of features ``[N, C, h, w]`` over those of each sample."""
        weighted = features * weights[:, None, None, None].to(features.dtype)
        return features.new_zeros((batch, *features.shape[1:])).index_add(0, sample, weighted)

    @staticmethod
    def _upsampled(logits: Tensor, rows: int, cols: int) -> Tensor:
        return F.interpolate(logits, size=(rows, cols), mode="bilinear", align_corners=False)

    def _alone_if(self, name: str, values: Tensor, run: Tensor, normalise: Normalise) -> Tensor:
        rows, cols = values.shape[-2:]

        def present(raw: Tensor) -> Tensor:
            stem = self.shared.stem(name, normalise(name, raw))
            return self._alone(name, stem, self.shared.stages(stem), rows, cols).contiguous()

        def absent(raw: Tensor) -> Tensor:
            return torch.zeros((raw.shape[0], self.classes, rows, cols), device=raw.device)

        found: Tensor = torch.cond(run, present, absent, (values,))
        return found

    def _shared_if(self, name: str, values: Tensor, run: Tensor, normalise: Normalise) -> tuple[Tensor, ...]:
        # The encoders halve with odd kernels and half-kernel padding: each stride-2 step gives (n - 1) // 2 + 1.
        rows, cols = ((size - 1) // 2 // 2 + 1 for size in values.shape[-2:])
        shapes = []
        for width in self.shared.widths:
            shapes.append((width, rows, cols))
            rows, cols = (rows - 1) // 2 + 1, (cols - 1) // 2 + 1

        def present(raw: Tensor) -> tuple[Tensor, ...]:
            maps = self.shared.stages(self.shared.stem(name, normalise(name, raw)))
            return tuple(level.contiguous() for level in maps)

        def absent(raw: Tensor) -> tuple[Tensor, ...]:
            return tuple(torch.zeros((raw.shape[0], *shape), device=raw.device) for shape in shapes)

        found: tuple[Tensor, ...] = torch.cond(run, present, absent, (values,))
        return found
