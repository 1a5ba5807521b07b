"""STARS' objectives: cross-entropy of every decoder, translation alignment, semantic alignment of pixels.

T. Wang et al., "STARS: Shared-specific Translation and Alignment for missing-modality Remote Sensing Semantic
Segmentation" (2026). Equations by its numbers; the weights are the paper's.

Departures:

* The background is drawn like any class unless ``background`` names it: land cover mostly has none, and of two classes
  one alone would leave nothing to contrast with.
* Anchors of equation 5 are the pixels of the sensor that the recipe names first of a pair; the paper's are radar's.
* Equation 5 is the mean over the anchors, not their sum: with 32 pixels of each of eight classes the sum is some 500 at
  the start and drowns the cross-entropy at the paper's weight. Its temperature, which the paper does not give, is 0.1.
* Terms are means over the ordered pairs (translation) or pairs (semantic) of modalities that a batch has together, and
  over the stages; with two modalities they are the paper's. A sample without one of a pair is left out of it.
* Of more than three modalities each is translated to the mean of the others that a sample has.
* Equation 6 is the mean over the branches that a batch has samples for, each over its own.
* Places of a sample where a sensor has no data hold its training mean and take part in equation 4, not in the others.
* Pixels are drawn from the labels at full resolution, once for both stages; each takes the features of the place that
  it lies in. A class with few or scattered labels is so drawn like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import cast

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from engine.data.settings import Settings
from engine.errors import RecipeError
from engine.methods.contract import Loss, Preparation, Step
from engine.methods.cross_entropy import ClassWeights, Weighted, cross_entropy
from engine.networks.contract import Network
from engine.networks.segmenter import Segmenter
from engine.networks.stars import ALIGNED, Stars, StarsDetail

PLACES = 8
"""Along the deepest maps there should be so many or more."""


class StarsObjectiveOptions(Settings):
    """Options of the objective ``stars``.

    Args:
        class_weights: Of the cross-entropies; see :data:`~engine.methods.cross_entropy.ClassWeights`.
        semantic: Weight alpha of the semantic alignment (equation 7).
        translation: Weight beta of the translation alignment.
        pixels: Drawn of each class in a batch.
        temperature: Of the semantic alignment.
        background: Positions, from 0, of the classes that are not drawn.
        detach: Whether no gradient flows into what a translation is compared with.
        translate: Whether features are translated before they are compared.
    """

    class_weights: ClassWeights = None
    semantic: float = Field(default=0.5, ge=0)
    translation: float = Field(default=0.2, ge=0)
    pixels: int = Field(default=32, ge=1)
    temperature: float = Field(default=0.1, gt=0)
    background: tuple[int, ...] = ()
    detach: bool = True
    translate: bool = True


def translation_loss(translated: Tensor, target: Tensor, detach: bool = True) -> Tensor:
    """Negative cosine of two maps' channels, mean over places and samples (a half of equation 4).

    Args:
        translated: ``[N, C, h, w]``.
        target: ``[N, C, h, w]``.
        detach: Whether no gradient flows into ``target``.
    """
    fixed = target.detach() if detach else target
    return -F.cosine_similarity(translated.float(), fixed.float(), dim=1).mean()


def drawn_pixels(labels: Tensor, pixels: int, background: Sequence[int] = ()) -> Tensor:
    """Positions ``[classes * pixels]`` in the flat ``labels``, so many of each class that is there.

    Without repetition where a class has enough; else all of its pixels, again and again.

    Args:
        labels: Class indices of any shape, negative where ignored.
        pixels: Of each class.
        background: Classes that are not drawn.
    """
    flat = labels.flatten()
    drawn = []
    for one in torch.unique(flat[flat >= 0]).tolist():
        if one not in background:
            places = (flat == one).nonzero()[:, 0]
            order = places[torch.randperm(len(places), device=places.device)]
            drawn.append(order.repeat(-(-pixels // len(order)))[:pixels])
    return torch.cat(drawn) if drawn else flat.new_zeros(0)


def semantic_loss(anchors: Tensor, others: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """Contrast of drawn pixels between two modalities (equation 5, mean over the anchors).

    Args:
        anchors: ``[N, C]`` features of the first modality.
        others: ``[N, C]`` of the second at the same places.
        classes: ``[N]``.
        temperature: Tau.
    """
    one, other = F.normalize(anchors.float(), dim=1), F.normalize(others.float(), dim=1)
    likeness = one @ other.T / temperature
    partners = likeness.masked_fill(classes[:, None] != classes[None, :], -torch.inf)
    return (likeness.logsumexp(dim=1) - partners.logsumexp(dim=1)).mean()


class StarsObjective(Weighted):
    """Cross-entropy of all branches, with the alignment of the shared features of pairs of modalities."""

    def __init__(self, options: StarsObjectiveOptions) -> None:
        super().__init__(options.class_weights)
        self.options = options

    def check(self, network: Network) -> None:
        """See :meth:`Objective.check`: the network must be ``stars``."""
        if not isinstance(network, Stars):
            raise RecipeError("stars aligns the branches of the network stars; choose that network")
        beyond = [one for one in self.options.background if not 0 <= one < network.classes]
        if beyond:
            raise RecipeError(f"stars: background: {beyond[0]} is no position below {network.classes}")

    def prepare(self, segmenter: Segmenter, preparation: Preparation) -> None:
        """See :meth:`Objective.prepare`: weighs classes, and says where there are few places to compare."""
        super().prepare(segmenter, preparation)
        places = -(-preparation.chip // 32)
        if places < PLACES and len(segmenter.modalities) > 1:
            preparation.say(
                f"Warning: data.chip: {preparation.chip} pixels leave {places} x {places} places to align at 1/32 (the "
                f"paper has 16 x 16). Take {32 * PLACES} pixels or more where the data have them"
            )

    def loss(self, step: Step) -> Loss:
        """``segmentation`` (equation 6), ``semantic`` and ``translation`` with their weights (equation 7)."""
        segmenter, availability, labels = step.segmenter, step.availability, step.labels
        detail = cast(StarsDetail, step.detail)
        branches = [
            (one.prediction, labels[one.samples]) for one in detail.unimodal.values() if one.prediction is not None
        ]
        together = availability.sum(dim=1) > 1
        if together.any():
            branches.append((detail.logits[together], labels[together]))
        terms = [cross_entropy(logits.float(), wanted, self.class_weights) for logits, wanted in branches]
        found = {"segmentation": torch.stack(terms).mean()}
        if len(segmenter.modalities) > 1:
            has = {modality.name: availability[:, place] for place, modality in enumerate(segmenter.modalities)}
            routes = cast(Stars, segmenter.network).routes
            found["semantic"] = self.options.semantic * self._semantic(detail, has, labels)
            found["translation"] = self.options.translation * self._translation(detail, has, routes)
        return Loss(found)

    def _semantic(self, detail: StarsDetail, has: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        terms = []
        for one, other in combinations(detail.unimodal, 2):
            together = (has[one] & has[other]).nonzero()[:, 0]
            if not len(together):
                continue
            known = labels[together]
            drawn = drawn_pixels(known, self.options.pixels, self.options.background)
            if not len(drawn):
                continue
            pixels = torch.unravel_index(drawn, known.shape)
            for maps in zip(_of(detail, one, has, together), _of(detail, other, has, together), strict=True):
                anchors, partners = (_at(features, pixels, known.shape) for features in maps)
                terms.append(semantic_loss(anchors, partners, known[pixels], self.options.temperature))
        return torch.stack(terms).mean() if terms else detail.logits.new_zeros(())

    def _translation(
        self, detail: StarsDetail, has: Mapping[str, Tensor], routes: Mapping[str, tuple[str, tuple[str, ...]]]
    ) -> Tensor:
        terms = []
        for key, (source, targets) in routes.items():
            counts = torch.stack([has[name] for name in targets]).sum(dim=0)
            together = (has[source] & (counts > 0)).nonzero()[:, 0]
            if not len(together):
                continue
            given = detail.translated[key] if self.options.translate else _shared(detail, source)
            place = _places(has[source], together)
            for stage, translated in enumerate(given):
                sums = torch.zeros_like(_shared(detail, source)[stage][place])
                for name in targets:
                    there = has[name][together].nonzero()[:, 0]
                    if len(there):
                        some = _shared(detail, name)[stage][_places(has[name], together[there])]
                        sums = sums.index_add(0, there, some.to(sums.dtype))
                # the mean's direction is that of the sum
                terms.append(translation_loss(translated[place], sums, self.options.detach))
        return torch.stack(terms).mean() if terms else detail.logits.new_zeros(())


def _at(features: Tensor, pixels: Sequence[Tensor], shape: torch.Size) -> Tensor:
    """``[N, C]``: features ``[B, C, h, w]`` at the samples, rows and columns of pixels of images ``[B, H, W]``."""
    sample, row, col = pixels
    rows, cols = features.shape[-2:]
    return features[sample, :, row * rows // shape[1], col * cols // shape[2]]


def _places(has: Tensor, samples: Tensor) -> Tensor:
    """Where the features of a batch's samples stand among those of the samples that have the modality."""
    return (has.cumsum(dim=0) - 1)[samples]


def _of(detail: StarsDetail, name: str, has: Mapping[str, Tensor], samples: Tensor) -> list[Tensor]:
    return [maps[_places(has[name], samples)] for maps in _shared(detail, name)]


def _shared(detail: StarsDetail, name: str) -> list[Tensor]:
    return [detail.unimodal[name].features[stage] for stage in ALIGNED]
