"""Networks by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from engine.errors import RecipeError
from engine.networks.contract import Network
from engine.networks.encoders import ENCODERS
from engine.networks.mean_fusion import MeanFusion, MeanFusionOptions

_NETWORKS = {"mean_fusion": (MeanFusionOptions, MeanFusion)}


def check_network(name: str, options: Mapping[str, Any]) -> MeanFusionOptions:
    """The options of a network, checked.

    Raises:
        RecipeError: If there is no such network, or an option is unknown or wrong.
    """
    if name not in _NETWORKS:
        raise RecipeError(f"network.name: {name!r} is none of {', '.join(_NETWORKS)}")
    try:
        checked = _NETWORKS[name][0].model_validate(dict(options))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise RecipeError(f"network.options.{where}: {problem['msg']}") from error
    if checked.encoder not in ENCODERS:
        raise RecipeError(f"network.options.encoder: {checked.encoder!r} is none of {', '.join(ENCODERS)}")
    return checked


def build_network(name: str, options: Mapping[str, Any], bands: Mapping[str, int], classes: int) -> Network:
    """A network by name, with random or pretrained weights.

    Args:
        name: Of the network.
        options: As in a recipe.
        bands: For each modality, in order, its number of bands.
        classes: K.
    """
    checked = check_network(name, options)
    return _NETWORKS[name][1](checked, bands, classes)
