"""Methods by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from engine.errors import RecipeError
from engine.methods.contract import Method
from engine.methods.latent_guided import LatentGuided, LatentGuidedOptions
from engine.methods.stars import StarsMethod, StarsMethodOptions
from engine.methods.uniform import Uniform, UniformOptions

_METHODS: Mapping[str, tuple[type[UniformOptions], Callable[..., Method]]] = {
    "uniform": (UniformOptions, Uniform),
    "latent_guided": (LatentGuidedOptions, LatentGuided),
    "stars": (StarsMethodOptions, StarsMethod),
}


def build_method(name: str, options: Mapping[str, Any], classes: int) -> Method:
    """A method by name.

    Args:
        name: Of the method.
        options: As in a recipe.
        classes: K.

    Raises:
        RecipeError: If there is no such method, or an option is unknown or wrong.
    """
    if name not in _METHODS:
        raise RecipeError(f"method.name: {name!r} is none of {', '.join(_METHODS)}")
    try:
        checked = _METHODS[name][0].model_validate(dict(options))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise RecipeError(f"method.options.{where}: {problem['msg']}") from error
    if checked.class_weights is not None and len(checked.class_weights) != classes:
        raise RecipeError(
            f"method.options.class_weights: there are {classes} classes, but {len(checked.class_weights)} weights"
        )
    return _METHODS[name][1](checked)
