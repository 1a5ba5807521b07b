"""Language-visual alignment: features are drawn to the text of their class, those of a missing sensor too.

"Language-Guided Visual Prompt Compensation for Multi-Modal Remote Sensing Image Classification with Modality Absence"
(ACM MM 2024, anonymous draft); equations by its numbers, the network is `lvpcnet`. The first stage adds
`language_decoupling` (Eq. 10) to cross-entropy (Eq. 9, 11), the second one, in which prompts alone learn,
`language_compensation` (Eq. 8, 12). `domain_decoupling` is the paper's variant without language (v1).

Departures, and what the paper leaves open:

* Weights of the terms are 1, the temperature is 0.07; the paper gives neither.
* Equation 4 sums over samples and has negatives alone below the line; here it is the mean over the samples, and all of
  them stand there, as in supervised contrast elsewhere.
* Vectors of a text shorter than the network's `text_width` are filled up with zeros, which changes no cosine: networks
  for two text encoders are the same.
* Of a missing sensor that several others recreate, the terms of all are averaged.
* For v1, the divergence is Jensen and Shannon's of softmaxes over channels, at the places that every sensor has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from engine.errors import RecipeError, RunError, TextEncoderError
from engine.language.descriptions import SENSORS, SHARED
from engine.language.registry import LanguageSettings, check_language, class_vectors, encoder_options
from engine.language.vectors import CLASS_VECTORS, ClassVectors
from engine.methods.contract import Loss, Method, Objective, Preparation, Step
from engine.methods.scenarios import NoOptions
from engine.modality import IGNORED, LandClass
from engine.networks.contract import Network
from engine.networks.lvpcnet import Features, Lvpcnet, LvpcnetDetail
from engine.networks.segmenter import Segmenter


class LanguageOptions(LanguageSettings):
    """Options of ``language_decoupling`` and ``language_compensation``; paths are relative to the recipe's folder.

    All objectives of a recipe that align with language have the same legend, encoder and sensors: a run has one set of
    vectors.

    Args:
        sensors: For each modality what kind of sensor it is: optical, hyperspectral, radar, elevation or thermal.
        temperature: Of the contrast.
        weight: Of the terms.
    """

    sensors: Mapping[str, str]
    temperature: float = Field(default=0.07, gt=0)
    weight: float = Field(default=1.0, ge=0)


def alignment(features: Tensor, labels: Tensor, texts: Tensor, temperature: float) -> Tensor:
    """Contrast of features with the texts of all samples, both ways (equation 4, mean over the samples).

    Texts are by class, so that a sample's sum over the texts of a batch is one over classes, weighted by how often they
    occur; classes that do not occur take no part.

    Args:
        features: ``[N, D]``.
        labels: ``[N]`` class indices.
        texts: ``[K, D]``.
        temperature: Tau.
    """
    with torch.autocast(features.device.type, enabled=False):  # near its floor, half precision leaves no gradient
        seen, words = F.normalize(features.float(), dim=1), F.normalize(texts.float(), dim=1)
        likeness = seen @ words.T / temperature  # (N, K)
        counts = torch.bincount(labels, minlength=len(texts))
        there = counts > 0
        among_texts = likeness[:, there] + counts[there].log()
        right = likeness.gather(1, labels[:, None])[:, 0]
        to_text = right - among_texts.logsumexp(dim=1)
        to_features = right - likeness.logsumexp(dim=0)[labels]
        return -(to_text + to_features).mean()


def labelled(features: Features, labels: Tensor, network: Lvpcnet) -> tuple[Tensor, Tensor]:
    """Features ``[P, d]`` of the windows around labelled pixels, and their classes ``[P]``.

    Args:
        features: Of windows.
        labels: ``[B, H, W]`` of the images that they lie in.
        network: Which cut them.
    """
    margin, stride = network.margin, network.sizes.stride
    rows, cols = (slice(margin, size - margin, stride) for size in labels.shape[-2:])
    classes = labels[features.samples][:, rows, cols]
    known = classes != IGNORED
    return features.tokens.movedim(1, -1)[known], classes[known]


def _network(step: Step) -> tuple[Lvpcnet, LvpcnetDetail]:
    network, detail = step.segmenter.network, step.detail
    if not isinstance(network, Lvpcnet) or not isinstance(detail, LvpcnetDetail):
        raise TypeError(f"alignment with language cannot train {type(network).__name__}")
    return network, detail


def _values(classes: Sequence[LandClass]) -> list[tuple[int, str]]:
    return [(item.value, item.name) for item in classes]


class _Language(Objective):
    """What both stages share: vectors of the classes, made before the first step and kept in the run."""

    sufficient = False

    def __init__(self, options: LanguageOptions) -> None:
        self.options = options
        self._vectors: ClassVectors | None = None

    def check(self, network: Network) -> None:
        """See :meth:`Objective.check`."""
        if not isinstance(network, Lvpcnet):
            raise RecipeError("alignment with language needs the encoders of the network lvpcnet")
        if set(self.options.sensors) != set(network.names):
            raise RecipeError(
                f"options.sensors: names {', '.join(self.options.sensors)}; expected the kind of each of "
                f"{', '.join(network.names)}"
            )
        unknown = sorted(set(self.options.sensors.values()) - set(SENSORS))
        if unknown:
            raise RecipeError(f"options.sensors: {unknown[0]} is none of {', '.join(SENSORS)}")
        encoder_options(self.options.encoder)

    def check_files(self, network: Network, classes: Sequence[LandClass]) -> None:
        """See :meth:`Objective.check_files`: legend, or vectors, have all classes, and the vectors are short enough."""
        width = check_language(self.options, _values(classes), self._kinds)
        if width is not None:
            self._check_width(network, width)

    def prepare(self, segmenter: Segmenter, preparation: Preparation) -> None:
        """Encodes the texts, or reads what an objective of this or an earlier stage, or of the first run, has encoded.

        Raises:
            LegendError: If the legend is wrong, or lacks a class or a kind.
            TextEncoderError: If the encoder cannot be had, or has no vector for a class.
            RecipeError: If vectors are longer than the network's projections.
            RunError: If vectors in the run are damaged, or others than the recipe's.
        """
        path = preparation.folder / CLASS_VECTORS
        if path.exists():
            self._vectors = self._read(path, preparation.classes)
        else:
            self._vectors = class_vectors(self.options, _values(preparation.classes), self._kinds)
            self._vectors.save(path)
        self._check_width(segmenter.network, self._vectors.width)
        preparation.say(f"{preparation.stage}: texts by {self._vectors.encoder}, {self._vectors.width} numbers each")

    @property
    def _kinds(self) -> list[str]:
        """Alike for all objectives, so that the first one encodes for all."""
        return sorted({SHARED, *self.options.sensors.values()})

    def _check_width(self, network: Network, width: int) -> None:
        if isinstance(network, Lvpcnet) and width > network.options.text_width:
            raise RecipeError(
                f"network.options.text_width: {network.options.text_width} is less than the {width} numbers that the "
                f"encoder {self.options.encoder.name} gives"
            )

    def _read(self, path: Path, classes: Sequence[LandClass]) -> ClassVectors:
        try:
            vectors = ClassVectors.load(path)
        except TextEncoderError as error:
            raise RunError(f"{error}. Delete it, and the texts are encoded anew") from error
        title = encoder_options(self.options.encoder).title
        enough = set(self._kinds) <= set(vectors.kinds)  # those of a run that it was started from may be more
        for what, there, here in (
            ("classes", list(vectors.classes), [item.name for item in classes]),
            ("the encoder", [vectors.encoder], [title or vectors.encoder]),
            ("kinds of text", self._kinds if enough else sorted(vectors.kinds), self._kinds),
        ):
            if there != here:
                raise RunError(
                    f"{path}: {what}: found {', '.join(there)}; the recipe has {', '.join(here)}. The weights "
                    "of this run, or of the one that it started from, were aligned with these: take the same, or train "
                    "anew, without start, into another folder"
                )
        return vectors

    def _texts(self, kind: str, network: Lvpcnet, like: Tensor) -> Tensor:
        """``[K, D]`` of a kind of text, as wide as the network's projections."""
        if self._vectors is None:
            raise RunError("the texts were not encoded before the first step")
        texts = torch.tensor(self._vectors.kinds[kind], device=like.device)
        return F.pad(texts, (0, network.options.text_width - texts.shape[1]))

    def _aligned(self, network: Lvpcnet, name: str | None, kind: str, features: Features, labels: Tensor) -> Tensor:
        """The contrast of features with a kind of text; zero without a label."""
        seen, classes = labelled(features, labels, network)
        if len(seen) == 0:
            return features.tokens.sum() * 0
        projected = network.projected(name, seen)
        return alignment(projected, classes, self._texts(kind, network, seen), self.options.temperature)


def check_texts(methods: Sequence[Method]) -> None:
    """Refuses stages that align with different texts: what one has learned would mean nothing to the next.

    Args:
        methods: Of all stages.

    Raises:
        RecipeError: If legends, encoders or kinds of sensors differ.
    """
    first: dict[str, object] = {}
    for stage, method in enumerate(methods):
        for number, objective in enumerate(method.objectives):
            if not isinstance(objective, _Language):
                continue
            options = objective.options
            said = {
                "legend": options.legend,
                "encoder": (options.encoder.name, encoder_options(options.encoder)),
                "sensors": dict(options.sensors),
            }
            for key, value in said.items():
                if first.setdefault(key, value) != value:
                    raise RecipeError(
                        f"stages.{stage}.method.objectives.{number}.options.{key}: differs from that of an earlier "
                        "objective; all that align with language have the same legend, encoder and sensors"
                    )


class LanguageDecoupling(_Language):
    """Shared features with what a class is, each sensor's own with what that kind of sensor sees of it."""

    def loss(self, step: Step) -> Loss:
        """``language_shared`` (equation 3), of a network that has shared features, and ``language_specific``."""
        network, detail = _network(step)
        weight, sensors = self.options.weight, self.options.sensors
        own = [
            self._aligned(network, name, sensors[name], features, step.labels) for name, features in detail.own.items()
        ]
        terms = {"language_specific": weight * torch.stack(own).sum()}
        if detail.shared:
            shared = [self._aligned(network, None, SHARED, one, step.labels) for one in detail.shared.values()]
            terms["language_shared"] = weight * torch.stack(shared).sum()
        return Loss(terms)


class LanguageCompensation(_Language):
    """What is recreated of a missing sensor with what that kind of sensor sees of a class."""

    def check(self, network: Network) -> None:
        """See :meth:`Objective.check`."""
        super().check(network)
        if isinstance(network, Lvpcnet) and network.options.compensation == "none":
            raise RecipeError("language_compensation: the network recreates nothing; see compensation")
        if len(network.names) == 1:
            raise RecipeError("language_compensation: with one sensor there is none to recreate another from")

    def loss(self, step: Step) -> Loss:
        """``language_compensation`` (equation 8)."""
        network, detail = _network(step)
        found: dict[str, list[Tensor]] = {}
        for (missing, _), features in detail.recreated.items():
            kind = self.options.sensors[missing]
            found.setdefault(missing, []).append(self._aligned(network, missing, kind, features, step.labels))
        terms = [torch.stack(one).mean() for one in found.values()]
        total = torch.stack(terms).sum() if terms else step.detail.logits.sum() * 0
        return Loss({"language_compensation": self.options.weight * total})


def divergence(features: Sequence[Tensor]) -> Tensor:
    """Jensen and Shannon's divergence of softmaxes over channels, mean over places.

    Args:
        features: Of each sensor ``[P, d]``, at the same places.
    """
    chances = torch.stack([one.float().softmax(dim=1) for one in features])
    mean = chances.mean(dim=0)

    def entropy(given: Tensor) -> Tensor:
        return -torch.special.xlogy(given, given).sum(dim=-1)

    return (entropy(mean) - entropy(chances).mean(dim=0)).mean()


class DomainDecoupling(Objective):
    """Without language: shared features alike for all sensors, each sensor's own such that they tell which it is."""

    sufficient = False

    def __init__(self, _options: NoOptions) -> None:
        pass

    def check(self, network: Network) -> None:
        """See :meth:`Objective.check`."""
        if not isinstance(network, Lvpcnet) or not network.options.decoupled or not network.options.domains:
            raise RecipeError("domain_decoupling needs the network lvpcnet with domains: true, and decoupled")

    def loss(self, step: Step) -> Loss:
        """``divergence`` of shared features at places that all sensors have, and ``domain`` of specific ones."""
        network, detail = _network(step)
        seen = {name: labelled(one, step.labels, network)[0] for name, one in detail.own.items()}
        tokens = torch.cat(list(seen.values()))
        domains = torch.cat(
            [torch.full((len(one),), network.names.index(name), device=one.device) for name, one in seen.items()]
        )
        everywhere = step.availability.all(dim=1).nonzero()[:, 0]
        common = []
        for one in detail.shared.values():
            places = torch.isin(one.samples, everywhere)
            common.append(labelled(Features(one.samples[places], one.tokens[places]), step.labels, network)[0])
        terms = {"domain": F.cross_entropy(network.domain(tokens), domains) if len(tokens) else tokens.sum() * 0}
        terms["divergence"] = divergence(common) if len(common[0]) else tokens.sum() * 0
        return Loss(terms)
