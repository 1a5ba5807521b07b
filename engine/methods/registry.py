"""Methods from what a recipe says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from engine.data.settings import MethodSettings, Named, Settings, option_fault
from engine.errors import RecipeError
from engine.methods.contract import Method, Objective, ScenarioSampler
from engine.methods.cross_entropy import (
    CrossEntropy,
    CrossEntropyOptions,
    UnimodalCrossEntropy,
    UnimodalCrossEntropyOptions,
)
from engine.methods.dice import Dice, DiceOptions
from engine.methods.functional_entropy import FunctionalEntropy, FunctionalEntropyOptions
from engine.methods.language import DomainDecoupling, LanguageCompensation, LanguageDecoupling, LanguageOptions
from engine.methods.latent_guided import LatentGuidedOptions, LatentGuidedSampler
from engine.methods.local_diffusion import LocalDiffusion, LocalDiffusionOptions
from engine.methods.scenarios import (
    CompleteOptions,
    CompleteSampler,
    DropoutSampler,
    IncompleteSampler,
    NoOptions,
    SeveralSampler,
    UniformSampler,
)
from engine.methods.stars import StarsObjective, StarsObjectiveOptions

_Part = TypeVar("_Part", ScenarioSampler, Objective)
_Known = Mapping[str, tuple[type[Settings], Callable[..., _Part]]]

_SAMPLERS: _Known[ScenarioSampler] = {
    "uniform": (NoOptions, lambda _options: UniformSampler()),
    "dropout": (NoOptions, lambda _options: DropoutSampler()),
    "several": (NoOptions, lambda _options: SeveralSampler()),
    "incomplete": (NoOptions, lambda _options: IncompleteSampler()),
    "complete": (CompleteOptions, lambda options: CompleteSampler(options.strict)),
    "latent_guided": (LatentGuidedOptions, LatentGuidedSampler),
}
_OBJECTIVES: _Known[Objective] = {
    "cross_entropy": (CrossEntropyOptions, CrossEntropy),
    "unimodal_cross_entropy": (UnimodalCrossEntropyOptions, UnimodalCrossEntropy),
    "dice": (DiceOptions, Dice),
    "stars": (StarsObjectiveOptions, StarsObjective),
    "functional_entropy": (FunctionalEntropyOptions, FunctionalEntropy),
    "local_diffusion": (LocalDiffusionOptions, LocalDiffusion),
    "language_decoupling": (LanguageOptions, LanguageDecoupling),
    "language_compensation": (LanguageOptions, LanguageCompensation),
    "domain_decoupling": (NoOptions, DomainDecoupling),
}


def _built(known: _Known[_Part], chosen: Named, key: str, classes: int) -> _Part:
    if chosen.name not in known:
        raise RecipeError(f"method.{key}: {chosen.name!r} is none of {', '.join(known)}")
    kind, build = known[chosen.name]
    try:
        options: Any = kind.model_validate(dict(chosen.options))
    except ValidationError as error:
        raise RecipeError(f"method.{key}.options{option_fault(error, kind)}") from error
    weights = getattr(options, "class_weights", None)
    if isinstance(weights, tuple) and len(weights) != classes:
        raise RecipeError(
            f"method.{key}.options.class_weights: there are {classes} classes, but {len(weights)} weights"
        )
    return build(options)


def build_method(settings: MethodSettings, classes: int) -> Method:
    """A method from its settings.

    Args:
        settings: As in a recipe.
        classes: K.

    Raises:
        RecipeError: If there is no such sampler or objective, or an option is unknown or wrong.
    """
    return Method(
        _built(_SAMPLERS, settings.scenarios, "scenarios", classes),
        [
            _built(_OBJECTIVES, chosen, f"objectives.{number}", classes)
            for number, chosen in enumerate(settings.objectives)
        ],
    )
