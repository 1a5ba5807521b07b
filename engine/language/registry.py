"""Vectors of a recipe's classes, from what it says of language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError, model_validator

from engine.data.settings import Choice, Named, Settings
from engine.errors import LegendError, RecipeError
from engine.language import minilm
from engine.language.contract import EncoderOptions, TextEncoder
from engine.language.descriptions import KINDS, Legend, described, is_name, plain_name, read_legend
from engine.language.hashed import HashedEncoder, HashedOptions
from engine.language.options import ClipOptions, SentenceOptions, is_folder
from engine.language.vectors import ClassVectors, PrecomputedVectors, VectorOptions

_Texts = Mapping[str, Mapping[str, str]]
"""By kind and class."""


def _clip(options: ClipOptions) -> TextEncoder:
    from engine.language.pretrained import clip  # only here: transformers takes seconds to import

    return clip(options)


def _sentence_transformers(options: SentenceOptions) -> TextEncoder:
    from engine.language.sentences import sentence_transformers

    return sentence_transformers(options)


_ENCODERS: Mapping[str, tuple[type[EncoderOptions], Callable[..., TextEncoder]]] = {
    "clip": (ClipOptions, _clip),
    "sentence_transformers": (SentenceOptions, _sentence_transformers),
    "minilm": (minilm.MinilmOptions, minilm.minilm),
    "vectors": (VectorOptions, PrecomputedVectors),
    "hashed": (HashedOptions, HashedEncoder),
}
_AT_HAND = ("vectors", "hashed")
"""Encoders that take no time to load."""


class LanguageSettings(Settings):
    """What is said of the classes, and what makes vectors of it.

    Args:
        legend: A legend by name, or a YAML file; ``vectors`` alone needs none, and checks classes by one that is named.
        encoder: ``clip`` as in the paper, ``sentence_transformers``, ``minilm``, ``vectors`` or, for tests, ``hashed``.
    """

    legend: str | None = None
    encoder: Choice = Named(name="clip")

    @model_validator(mode="after")
    def _text_is_there(self) -> LanguageSettings:
        if self.legend is None and self.encoder.name != "vectors":
            raise ValueError(f"legend: the encoder {self.encoder.name} needs one; engine describe --list names some")
        return self


def with_files(options: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Options as a recipe has them, with the files and folders changed that they name as in :class:`LanguageSettings`.

    Args:
        options: Of any objective, checked or not.
        change: Gives a path for a path.
    """
    changed = dict(options)
    legend, encoder = changed.get("legend"), changed.get("encoder")
    if isinstance(legend, str) and not is_name(legend):
        changed["legend"] = change(legend)
    if isinstance(encoder, Mapping) and isinstance(encoder.get("options"), Mapping):
        inner = dict(encoder["options"])
        if isinstance(inner.get("path"), str):
            inner["path"] = change(inner["path"])
        if isinstance(inner.get("model"), str) and is_folder(inner["model"]):
            inner["model"] = change(inner["model"])
        changed["encoder"] = {**encoder, "options": inner}
    return changed


def encoder_options(chosen: Named) -> EncoderOptions:
    """The options of a text encoder, checked, with its defaults.

    Args:
        chosen: Its name and options, as in a recipe.

    Raises:
        RecipeError: If there is no such encoder, or an option is unknown or wrong.
    """
    if chosen.name not in _ENCODERS:
        raise RecipeError(f"encoder: {chosen.name!r} is none of {', '.join(_ENCODERS)}")
    try:
        return _ENCODERS[chosen.name][0].model_validate(dict(chosen.options))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(("encoder.options", *map(str, problem["loc"])))
        raise RecipeError(f"{where}: {problem['msg']}") from error


def build_encoder(chosen: Named) -> TextEncoder:
    """A text encoder, loaded.

    Args:
        chosen: Its name and options, as in a recipe.

    Raises:
        RecipeError: If there is no such encoder, or an option is unknown or wrong.
        TextEncoderError: If it cannot be had.
    """
    options = encoder_options(chosen)
    return _ENCODERS[chosen.name][1](options)


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
    legend = None if settings.legend is None else read_legend(settings.legend)
    texts = _texts(legend, classes, kinds)
    return _encoded(texts, build_encoder(settings.encoder), legend)


def check_language(settings: LanguageSettings, classes: Sequence[tuple[int, str]], kinds: Sequence[str]) -> int | None:
    """Refuses what :func:`class_vectors` would, as far as that can be seen without loading a language model.

    Returns:
        The vectors' length, where that is known without.

    Raises:
        LegendError: If the legend is wrong, or lacks a class or a kind.
        RecipeError: If a kind, the encoder or one of its options is unknown, or two classes have one name.
        TextEncoderError: If a folder or file is missing, or a file has no vector for a class.
    """
    if settings.encoder.name in _AT_HAND:
        return class_vectors(settings, classes, kinds).width
    encoder_options(settings.encoder).check()
    _texts(None if settings.legend is None else read_legend(settings.legend), classes, kinds)
    return minilm.WIDTH if settings.encoder.name == "minilm" else None


def legend_vectors(legend: Legend, chosen: Named) -> ClassVectors:
    """Vectors of all classes of a legend under all their names, for every kind that it has texts for.

    Args:
        legend: Without errors.
        chosen: The encoder, as in a recipe.

    Raises:
        RecipeError: If there is no such encoder, or an option is unknown or wrong.
        TextEncoderError: If it cannot be had.
    """
    names = {plain_name(name): (name, one) for one in legend.classes for name in reversed(one.names)}
    kinds = [kind for kind in KINDS if kind in legend.classes[0].texts]
    texts = {kind: {name: one.texts[kind] for name, one in names.values()} for kind in kinds}
    return _encoded(texts, build_encoder(chosen), legend)


def _encoded(texts: _Texts, encoder: TextEncoder, legend: Legend | None) -> ClassVectors:
    """Vectors, with the legend and the texts that they are of: those that their file names, if made elsewhere."""
    names = tuple(next(iter(texts.values())))
    vectors = {kind: encoder.encode(kind, said) for kind, said in texts.items()}
    if isinstance(encoder, PrecomputedVectors):
        kept = {kind: encoder.texts(kind, names) for kind in texts}
        kept = {kind: said for kind, said in kept.items() if said}
        return ClassVectors(names, vectors, encoder.name, encoder.legend, kept)
    kept = {kind: tuple(said.values()) for kind, said in texts.items()}
    return ClassVectors(names, vectors, encoder.name, "" if legend is None else legend.name, kept)


def _texts(legend: Legend | None, classes: Sequence[tuple[int, str]], kinds: Sequence[str]) -> _Texts:
    """By kind and class; empty texts where there is no legend."""
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise RecipeError(f"{', '.join(unknown)} is no kind of text; known are {', '.join(KINDS)}")
    names = [name for _, name in classes]
    if len(set(names)) < len(names):
        raise RecipeError(f"classes: their vectors go by name, but two have the same: {', '.join(names)}")
    if legend is None:
        return {kind: dict.fromkeys(names, "") for kind in kinds}
    found = dict(zip(names, described(legend, classes), strict=True))
    for kind in kinds:
        if any(kind not in one.texts for one in found.values()):
            raise LegendError(f"legend {legend.name}: has no texts for {kind}; add them to every class")
    return {kind: {name: one.texts[kind] for name, one in found.items()} for kind in kinds}
