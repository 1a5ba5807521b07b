"""What every network is: a dict of modality tensors and an availability mask in, class logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

Inputs = Mapping[str, Tensor]
Normalise = Callable[[str, Tensor], Tensor]
"""Turns a modality's raw values ``[B, C, H, W]`` into what the network was trained on."""


@dataclass(frozen=True)
class Unimodal:
    """What a network finds of one modality; of its first stage, and mostly of all, before it meets others.

    Args:
        samples: ``[N]``: the samples that have it, by their positions in the batch.
        features: Maps ``[N, C, ...]`` of its encoder's stages, finest first.
        prediction: ``[N, K, h, w]``: logits of its own at any resolution; None where the network has none.
    """

    samples: Tensor
    features: tuple[Tensor, ...]
    prediction: Tensor | None = None


@dataclass(frozen=True)
class Detail:
    """What a training may need of a forward pass; networks add to it.

    Args:
        logits: ``[B, K, H, W]``.
        latents: Tensors ``[B, ...]`` by name that all modalities share, those of :attr:`Network.latents`.
        unimodal: What is found of each modality that a sample has, by its name; of those that a network reads as one
            by their names with ``+`` between. A modality that no sample has is left out.
    """

    logits: Tensor
    latents: Mapping[str, Tensor] = field(default_factory=dict)
    unimodal: Mapping[str, Unimodal] = field(default_factory=dict)


class Network(nn.Module, ABC):
    """A network for M >= 1 modalities and K >= 2 classes.

    What lies in an unavailable modality's tensor (zeros, noise, NaN) never changes a logit.

    Args:
        bands: For each modality, in the model's order, its number of bands.
        classes: K.

    Attributes:
        latents: Names of the latents that :attr:`Detail.latents` holds, the one that the network is known by first.
        predicts_alone: Whether it gives a prediction of each modality's own in training.
        by_place: Whether weights in which modalities meet belong to their places among them and not to their names.
        margin: Pixels along the border of its inputs that take the answer of the nearest pixel farther inside: half the
            window of a network that classifies each pixel from the window around it.
        stride: Pixels from one that is classified to the next; those between take its answer.
        smallest_chip: Pixels along a training chip at the least.
        tile: Size of the tiles that it maps best, where its answer does not depend on them; else None.
        lora_targets: Patterns of the names of modules that low-rank adaptation trains, unless a recipe names others.
    """

    latents: tuple[str, ...]
    lora_targets: tuple[str, ...]
    predicts_alone = False
    by_place = False
    margin = 0
    stride = 1
    smallest_chip = 8
    tile: int | None = None

    def __init__(self, bands: Mapping[str, int], classes: int) -> None:
        super().__init__()
        self.bands = dict(bands)
        self.names = tuple(bands)
        self.classes = classes

    @abstractmethod
    def detail(self, inputs: Inputs, availability: Tensor) -> Detail:
        """A forward pass with what a training needs of it.

        Args:
            inputs: For each modality normalised values ``[B, C_m, H, W]``.
            availability: ``[B, M]`` bool, a member or more in each row.
        """

    @abstractmethod
    def scenario_logits(self, inputs: Inputs, availability: Tensor, normalise: Normalise) -> Tensor:
        """Logits ``[B, K, H, W]`` of a batch under one scenario, in a form that exports.

        Each modality's path, its normalisation included, stands in a ``torch.cond`` on its availability.

        Args:
            inputs: For each modality raw values ``[B, C_m, H, W]``.
            availability: ``[M]`` bool.
            normalise: Brings raw values to the network's scale.
        """

    def forward(self, inputs: Inputs, availability: Tensor) -> Tensor:
        """Class logits ``[B, K, H, W]``; see :meth:`detail`."""
        return self.detail(inputs, availability).logits
