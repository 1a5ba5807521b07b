"""Vectors of a recipe's classes, from what it says of language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError, model_validator

from engine.data.settings import Choice, Named, Settings
from engine.errors import LegendError, RecipeError
from engine.language.contract import TextEncoder
from engine.language.descriptions import KINDS, described, read_legend
from engine.language.hashed import HashedEncoder, HashedOptions
from engine.language.minilm import MinilmOptions, minilm
from engine.language.pretrained import ClipOptions, SentenceOptions, clip, sentence_transformers
from engine.language.vectors import ClassVectors, PrecomputedVectors, VectorOptions

_ENCODERS: Mapping[str, tuple[type[Settings], Callable[..., TextEncoder]]] = {
    "clip": (ClipOptions, clip),
    "sentence_transformers": (SentenceOptions, sentence_transformers),
    "minilm": (MinilmOptions, minilm),
    "vectors": (VectorOptions, PrecomputedVectors),
    "hashed": (HashedOptions, HashedEncoder),
}


class LanguageSettings(Settings):
    """What is said of the classes, and what makes vectors of it.

    Args:
        legend: A legend by name, or a YAML file; ``vectors`` alone needs none.
        encoder: ``clip`` as in the paper, ``sentence_transformers``, ``minilm``, ``vectors`` or, for tests, ``hashed``.
    """

    legend: str | None = None
    encoder: Choice = Named(name="clip")

    @model_validator(mode="after")
    def _text_is_there(self) -> LanguageSettings:
        if self.legend is None and self.encoder.name != "vectors":
            raise ValueError(f"legend: the encoder {self.encoder.name} needs one; engine describe --list names some")
        return self


def build_encoder(chosen: Named) -> TextEncoder:
    """A text encoder, loaded.

    Args:
        chosen: Its name and options, as in a recipe.

    Raises:
        RecipeError: If there is no such encoder, or an option is unknown or wrong.
        TextEncoderError: If it cannot be had.
    """
    if chosen.name not in _ENCODERS:
        raise RecipeError(f"language.encoder: {chosen.name!r} is none of {', '.join(_ENCODERS)}")
    kind, build = _ENCODERS[chosen.name]
    try:
        options: Any = kind.model_validate(dict(chosen.options))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(("language.encoder.options", *map(str, problem["loc"])))
        raise RecipeError(f"{where}: {problem['msg']}") from error
    return build(options)


def class_vectors(settings: LanguageSettings, classes: Sequence[tuple[int, str]], kinds: Sequence[str]) -> ClassVectors:
    """Encodes once what is said of the classes; a training keeps the vectors, and nothing else is needed later.

    Args:
        settings: The legend and the encoder.
        classes: Value and name of each, in the recipe's order.
        kinds: Kinds of texts, of :data:`~engine.language.descriptions.KINDS`.

    Raises:
        LegendError: If the legend is wrong, or lacks a class or a kind.
        RecipeError: If a kind, the encoder or one of its options is unknown, or two classes have one name.
        TextEncoderError: If the encoder cannot be had, or has no vector for a class.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise RecipeError(f"language: {', '.join(unknown)} is no kind of text; known are {', '.join(KINDS)}")
    names = tuple(name for _, name in classes)
    if len(set(names)) < len(names):
        raise RecipeError(f"classes: their vectors go by name, but two have the same: {', '.join(names)}")
    texts = _texts(settings, classes, kinds)
    encoder = build_encoder(settings.encoder)
    return ClassVectors(names, {kind: encoder.encode(kind, texts[kind]) for kind in kinds}, encoder.name)


def _texts(
    settings: LanguageSettings, classes: Sequence[tuple[int, str]], kinds: Sequence[str]
) -> dict[str, dict[str, str]]:
    """By kind and class; empty texts where there is no legend."""
    if settings.legend is None:
        return {kind: {name: "" for _, name in classes} for kind in kinds}
    legend = read_legend(settings.legend)
    found = {name: one for (_, name), one in zip(classes, described(legend, classes), strict=True)}
    for kind in kinds:
        if any(kind not in one.texts for one in found.values()):
            raise LegendError(f"{settings.legend}: has no texts for {kind}; add them to every class")
    return {kind: {name: one.texts[kind] for name, one in found.items()} for kind in kinds}
