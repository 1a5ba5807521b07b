"""LVPCnet: what sensors share, what is each one's own, and prompts that recreate what a missing one would have added.

"Language-Guided Visual Prompt Compensation for Multi-Modal Remote Sensing Image Classification with Modality Absence"
(ACM MM 2024, anonymous draft).

A pixel's window goes through an encoder that all sensors share and through one of its sensor's own (Eq. 2); both are
vision transformers whose class tokens are the features. A missing sensor's own encoder reads what an available one
sees, brought to its bands by a convolution (Eq. 5, 6) and led by prompts in every layer (Eq. 7); the classifier gets
the shared feature, what is each available sensor's own, and what was recreated (Eq. 1).

Departures, and what the paper leaves open (no public code; sizes are those of LDS2AE, by the same group):

* Width 128, 4 layers of 8 heads, perceptrons of twice the width, windows of 11 pixels in patches of 1, 2 prompts a
  layer: 4 x 2 x 128 = 1024 parameters for a missing sensor, the paper's number.
* Sensors have other bands: each has a stem, a class token and positions of its own before the layers that are shared.
* The shared feature is the mean over the available sensors, so that one classifier serves every subset.
* With more than two sensors a set of prompts belongs to an ordered pair (available, missing), M (M - 1) of them for all
  2^M - 1 scenarios; what several available sensors recreate of a missing one is averaged.
* The convolution of Eq. 5 is trained with the prompts, though the paper says that prompts alone are: a random one that
  stays as it is would hand over noise. It is counted apart (`matches.*`), and a recipe can leave it out of `trainable`.
* What it hands over goes through the missing sensor's stem by that stem's running statistics, in training too, and does
  not change them: they are those of the sensor itself.
* These convolutions, reconstructions and v1's layer begin as PyTorch's layers do; all else as masked autoencoders.
* The paper's "extra learnable classification token" of the prompted encoder is the missing sensor's own, frozen.
* In the first stage no sensor is missing, so that the classifier never meets the shared features of some of them alone,
  which it gets later. `shared_subsets` has it learn from random subsets; each sensor's own features stay complete.
* The first stage learns from complete samples (`complete`, `strict: true`), the second one from incomplete ones
  (`incomplete`): it has nothing to learn of others.
* Prompts stand behind the class token; what a layer makes of them is dropped, and the next layer gets its own.
* Alignment is of two-layer projections to the width of the text's vectors; the classifier reads the features.

What it costs: a sensor that is there takes its own encoder and the shared one, and one run of each missing sensor's
own. With two sensors that is three runs of an encoder for one and four for both; with three 4, 6 and 6. In a model,
prompted encoders run only where they are needed; the shared one and a sensor's own are skipped with their sensor.

Variants of the paper's ablations: `compensation: none` (vp1), `reconstruction` (vp2: a perceptron from the available
sensor's two features, of about as many parameters as the paper's), `decoupled: false` (vf: an encoder for each sensor,
nothing shared).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from engine.networks.contract import Detail, Inputs, Normalise, Unimodal
from engine.networks.windows import Stem, Transformer, WindowNetwork, WindowOptions, sincos_grid, start_weights

RECONSTRUCTION_WIDTH = 445
"""Hidden width of the reconstruction of a feature at width 128: 171 453 parameters, the paper's has 171 584."""


class LvpcnetOptions(WindowOptions):
    """Options of ``lvpcnet``.

    Args:
        prompts: Prompts in each layer, for a missing sensor.
        compensation: How what a missing sensor would add is recreated: by ``prompts``; by a perceptron
            (``reconstruction``, vp2 in the paper); ``none`` leaves it out (vp1).
        decoupled: Whether there is an encoder that the sensors share beside their own (without: vf).
        shared_subsets: In training, whether the classifier gets, of a sample that has every sensor, the mean of the
            shared features of a random subset, each as likely as any other (not in the paper: of all).
        text_width: Longest vectors of text that features can be aligned with.
        domains: Whether there is a layer that tells sensors apart by their own features (for v1).
    """

    prompts: int = Field(default=2, ge=1)
    compensation: Literal["prompts", "reconstruction", "none"] = "prompts"
    decoupled: bool = True
    shared_subsets: bool = False
    text_width: int = Field(default=512, ge=1)
    domains: bool = False

    @model_validator(mode="after")
    def _something_shared(self) -> LvpcnetOptions:
        if self.shared_subsets and not self.decoupled:
            raise ValueError("shared_subsets: with decoupled: false no feature is shared; leave one of the two out")
        return self


@dataclass(frozen=True)
class Features:
    """Class tokens of windows.

    Args:
        samples: ``[N]``: of which samples of the batch.
        tokens: ``[N, d, h, w]``.
    """

    samples: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class LvpcnetDetail(Detail):
    """What the alignment needs of a forward pass.

    Args:
        shared: For each sensor that is there what it has in common with others (Eq. 2).
        own: For each sensor that is there what is its own (Eq. 2).
        recreated: For each missing sensor and each that is there what is the former's own by the latter (Eq. 7).
    """

    shared: Mapping[str, Features] = field(default_factory=dict)
    own: Mapping[str, Features] = field(default_factory=dict)
    recreated: Mapping[tuple[str, str], Features] = field(default_factory=dict)


class Embedding(nn.Module):
    """What comes before the layers of an encoder: stem, class token, positions."""

    def __init__(self, options: LvpcnetOptions, bands: int) -> None:
        super().__init__()
        self.stem = Stem(bands, options.width, options.patch)
        self.token = nn.Parameter(0.02 * torch.randn(options.width))
        self.positions = nn.Parameter(sincos_grid(options.window // options.patch, options.width))

    def tokens(self, windows: Tensor) -> Tensor:
        """Tokens of windows ``[N, T, d]`` with their positions, behind the class token ``[N, 1 + T, d]``."""
        return torch.cat([self.token.expand(len(windows), 1, -1), windows + self.positions], dim=1)


class Lvpcnet(WindowNetwork):
    """A shared and specific encoders, prompts for what is missing, one linear head.

    The latent ``shared`` is the mean over the available sensors of what they have in common (of what is their own where
    there is no shared encoder).
    """

    latents = ("shared",)
    lora_targets = ("specific.*.blocks.*.attention.*", "heads.*")

    def __init__(self, options: LvpcnetOptions, bands: Mapping[str, int], classes: int) -> None:
        super().__init__(options, bands, classes)
        self.options = options
        sizes = (options.width, options.depth, options.heads, options.ratio)
        if options.decoupled:
            self.shared = Transformer(*sizes)
            self.shared_embeddings = nn.ModuleDict({name: Embedding(options, count) for name, count in bands.items()})
            self.shared_projection = _projection(options)
        self.embeddings = nn.ModuleDict({name: Embedding(options, count) for name, count in bands.items()})
        self.specific = nn.ModuleDict({name: Transformer(*sizes) for name in bands})
        self.projections = nn.ModuleDict({name: _projection(options) for name in bands})
        self.heads = nn.ModuleDict({name: nn.Linear(options.width, classes, bias=False) for name in bands})
        if options.decoupled:  # one layer over all features, slot by slot
            self.shared_head = nn.Linear(options.width, classes, bias=False)
        self.bias = nn.Parameter(torch.zeros(classes))
        self.apply(start_weights)
        if options.compensation == "prompts":
            self.matches = _by_pairs(bands, lambda there, missing: nn.Conv2d(bands[there], bands[missing], 1))
            shape = (options.depth, options.prompts, options.width)
            self.prompts = nn.ModuleDict(
                {
                    there: nn.ParameterDict(
                        {missing: nn.Parameter(0.02 * torch.randn(shape)) for missing in bands if missing != there}
                    )
                    for there in bands
                }
            )
        if options.compensation == "reconstruction":
            self.reconstructions = _by_pairs(bands, lambda _there, _missing: _reconstruction(options))
        if options.domains:  # last, so that a variant begins with the same weights
            self.domain = nn.Linear(options.width, len(bands))

    def detail(self, inputs: Inputs, availability: Tensor) -> LvpcnetDetail:
        """See :meth:`Network.detail`. Only what samples have is computed, and what they lack."""
        there = dict(zip(self.names, availability.T, strict=True))
        shared: dict[str, Features] = {}
        own: dict[str, Features] = {}
        recreated: dict[tuple[str, str], Features] = {}
        for name, present in there.items():
            chosen = present.nonzero()[:, 0]
            if len(chosen):
                values = inputs[name][chosen]
                own[name] = Features(chosen, self._own(name, values, len(chosen)))
                if self.options.decoupled:
                    shared[name] = Features(chosen, self._shared(name, values, len(chosen)))
        for source, missing in self._pairs():
            chosen = (there[source] & ~there[missing]).nonzero()[:, 0]
            if len(chosen):
                if self.options.compensation == "prompts":
                    tokens = self._prompted(source, missing, inputs[source][chosen], len(chosen))
                else:
                    places = torch.searchsorted(own[source].samples, chosen)
                    given = [found[source].tokens[places] for found in (shared, own) if source in found]
                    tokens = self._reconstructed(source, missing, given)
                recreated[missing, source] = Features(chosen, tokens)
        return self._told(inputs[self.names[0]], availability, shared, own, recreated)

    def _told(
        self,
        image: Tensor,
        availability: Tensor,
        shared: Mapping[str, Features],
        own: Mapping[str, Features],
        recreated: Mapping[tuple[str, str], Features],
    ) -> LvpcnetDetail:
        count = availability.sum(dim=1)[:, None, None, None]
        first = next(iter(own.values())).tokens
        logits = first.new_zeros((len(availability), self.classes, *first.shape[2:]))
        for name, found in own.items():
            logits = logits.index_add(0, found.samples, self._answer(name, found.tokens).to(logits.dtype))
        for (missing, _), found in recreated.items():
            part = self._answer(missing, found.tokens) / count[found.samples]
            logits = logits.index_add(0, found.samples, part.to(logits.dtype))
        latent = self._mean(shared or own, availability)
        if shared:
            reduced = self.training and self.options.shared_subsets
            slot = self._mean(shared, _subsets(availability)) if reduced else latent
            logits = logits + self._answer(None, slot)
        logits = self.spread(logits + self.bias[:, None, None], image)
        unimodal = {
            name: Unimodal(found.samples, (*([shared[name].tokens] if shared else []), found.tokens))
            for name, found in own.items()
        }
        return LvpcnetDetail(logits, {"shared": latent}, unimodal, shared, own, recreated)

    def _mean(self, features: Mapping[str, Features], whose: Tensor) -> Tensor:
        """Mean ``[B, d, h, w]`` of the features of those sensors that ``whose`` ``[B, M]`` names for each sample."""
        first = next(iter(features.values())).tokens
        total = first.new_zeros((len(whose), *first.shape[1:]))
        for name, found in features.items():
            named = whose[found.samples, self.names.index(name)]
            total = total.index_add(0, found.samples, found.tokens * named[:, None, None, None])
        return total / whose.sum(dim=1)[:, None, None, None]

    def projected(self, name: str | None, tokens: Tensor) -> Tensor:
        """Features ``[P, d]`` of a sensor's own encoder (None: of the shared one) in the space of the text."""
        return (self.shared_projection if name is None else self.projections[name])(tokens)

    def _pairs(self) -> list[tuple[str, str]]:
        """Sensors that are there with those that they recreate; none where nothing is recreated."""
        if self.options.compensation == "none":
            return []
        return [(source, missing) for source in self.names for missing in self.names if missing != source]

    def _shared(self, name: str, values: Tensor, batch: int) -> Tensor:
        """What all sensors share, in one of them: ``[B, d, h, w]`` of ``[B, C, H, W]`` (Eq. 2)."""
        embedding = cast(Embedding, self.shared_embeddings[name])
        return self.over_windows(
            embedding.stem, values, lambda windows: self.shared.first(embedding.tokens(windows)), batch
        )

    def _own(self, name: str, values: Tensor, batch: int) -> Tensor:
        """What is a sensor's own: ``[B, d, h, w]`` of ``[B, C, H, W]`` (Eq. 2)."""
        embedding, encoder = cast(Embedding, self.embeddings[name]), cast(Transformer, self.specific[name])
        return self.over_windows(
            embedding.stem, values, lambda windows: encoder.first(embedding.tokens(windows)), batch
        )

    def _reconstructed(self, source: str, missing: str, tokens: Sequence[Tensor]) -> Tensor:
        """A missing sensor's own ``[B, d, h, w]``, of the features of one that is there, what it shares first (vp2)."""
        given = torch.cat(list(tokens), dim=1).movedim(1, -1)
        return self.get_submodule(f"reconstructions.{source}.{missing}")(given).movedim(-1, 1)

    def _prompted(self, source: str, missing: str, values: Tensor, batch: int) -> Tensor:
        """A missing sensor's own ``[B, d, h, w]``, by what another sees ``[B, C, H, W]`` (Eq. 5 to 7)."""
        embedding, encoder = cast(Embedding, self.embeddings[missing]), cast(Transformer, self.specific[missing])
        match = self.get_submodule(f"matches.{source}.{missing}")
        prompts = self.get_parameter(f"prompts.{source}.{missing}")
        return self.over_windows(
            lambda seen: embedding.stem.of_others(match(seen)),
            values,
            lambda windows: encoder.first(embedding.tokens(windows), prompts),
            batch,
        )

    def _answer(self, name: str | None, tokens: Tensor) -> Tensor:
        """What a sensor's own features ``[B, d, h, w]`` add to the logits ``[B, K, h, w]``; None: what is shared."""
        head = self.shared_head if name is None else self.heads[name]
        return head(tokens.movedim(1, -1)).movedim(-1, 1)

    def scenario_logits(self, inputs: Inputs, availability: Tensor, normalise: Normalise) -> Tensor:
        """See :meth:`Network.scenario_logits`.

        A missing sensor's own encoder, with its stem, runs on what the available ones see; all else of it is skipped.
        """
        there = dict(zip(self.names, availability.unbind(), strict=True))
        count = availability.sum()
        logits = self.bias[:, None, None]
        for name in self.names:
            own, shared, *recreated = self._branch(name, inputs[name], there[name], normalise).unbind()
            logits = logits + own + shared / count
            for missing, part in zip(self._reconstructed_by(name), recreated, strict=True):
                logits = logits + part * ~there[missing] / count
        if self.options.compensation == "prompts":
            for source, missing in self._pairs():
                needed = there[source] & ~there[missing]
                logits = logits + self._prompted_logits(source, missing, inputs[source], needed, normalise) / count
        return self.spread(logits, inputs[self.names[0]])

    def _reconstructed_by(self, source: str) -> list[str]:
        """The sensors whose features a perceptron reconstructs from those of another."""
        return [name for name in self.names if name != source and self.options.compensation == "reconstruction"]

    def _branch(self, name: str, values: Tensor, available: Tensor, normalise: Normalise) -> Tensor:
        """Logits ``[P, B, K, h, w]`` of what is a sensor's own, what is shared, and what it reconstructs of others."""
        high, wide = (self.windows_along(size) for size in values.shape[-2:])
        others = self._reconstructed_by(name)

        def present(raw: Tensor) -> Tensor:
            seen = normalise(name, raw)
            own = self._own(name, seen, 1)
            shared = [self._shared(name, seen, 1)] if self.options.decoupled else []
            found = [self._answer(name, own), *(self._answer(None, one) for one in shared)]
            found += [torch.zeros_like(found[0])] * (2 - len(found))
            found += [self._answer(one, self._reconstructed(name, one, [*shared, own])) for one in others]
            return torch.stack(found).contiguous()  # both branches must have the same strides

        def absent(raw: Tensor) -> Tensor:
            return torch.zeros((2 + len(others), raw.shape[0], self.classes, high, wide), device=raw.device)

        found: Tensor = torch.cond(available, present, absent, (values,))
        return found

    def _prompted_logits(
        self, source: str, missing: str, values: Tensor, needed: Tensor, normalise: Normalise
    ) -> Tensor:
        """Logits ``[B, K, h, w]`` of what a sensor recreates of another; zeros where that is not needed."""
        high, wide = (self.windows_along(size) for size in values.shape[-2:])

        def present(raw: Tensor) -> Tensor:
            tokens = self._prompted(source, missing, normalise(source, raw), 1)
            return self._answer(missing, tokens).contiguous()  # both branches must have the same strides

        def absent(raw: Tensor) -> Tensor:
            return torch.zeros((raw.shape[0], self.classes, high, wide), device=raw.device)

        found: Tensor = torch.cond(needed, present, absent, (values,))
        return found


def _subsets(availability: Tensor) -> Tensor:
    """``availability`` ``[B, M]``, but of each sample that has every sensor a random subset of one or more."""
    count = availability.shape[1]
    bits = torch.randint(1, 1 << count, (len(availability), 1), device=availability.device)
    drawn = (bits >> torch.arange(count, device=availability.device) & 1).bool()
    return torch.where(availability.all(dim=1, keepdim=True), drawn, availability)


def _by_pairs(bands: Mapping[str, int], build: Callable[[str, str], nn.Module]) -> nn.ModuleDict:
    """A module for each sensor that is there and each that may be missing beside it."""
    return nn.ModuleDict(
        {
            source: nn.ModuleDict({missing: build(source, missing) for missing in bands if missing != source})
            for source in bands
        }
    )


def _projection(options: LvpcnetOptions) -> nn.Sequential:
    """To the space of the text."""
    hidden = options.text_width
    return nn.Sequential(nn.Linear(options.width, hidden), nn.GELU(), nn.Linear(hidden, hidden))


def _reconstruction(options: LvpcnetOptions) -> nn.Sequential:
    """From all features of a sensor that is there to those that are another's own."""
    hidden = RECONSTRUCTION_WIDTH * options.width // 128
    given = (1 + options.decoupled) * options.width
    return nn.Sequential(nn.Linear(given, hidden), nn.ReLU(), nn.Linear(hidden, options.width))
