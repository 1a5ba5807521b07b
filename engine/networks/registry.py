"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import ValidationError

from engine.data.settings import Settings, option_fault
from engine.errors import RecipeError
from engine.networks.cbc import Cbc, CbcOptions, CbcSlp, check_bands
from engine.networks.cmx import Cmx, CmxCnn, CmxCnnOptions, CmxOptions
from engine.networks.contract import Network
from engine.networks.encoders import ENCODERS
from engine.networks.lds2ae import Lds2ae, Lds2aeOptions
from engine.networks.lvpcnet import Lvpcnet, LvpcnetOptions
from engine.networks.mean_fusion import MeanFusion, MeanFusionOptions
from engine.networks.stars import Stars, StarsOptions

_NETWORKS: Mapping[str, tuple[type[Settings], Callable[..., Network]]] = {
    "mean_fusion": (MeanFusionOptions, MeanFusion),
    "cbc": (CbcOptions, Cbc),
    "cbc_slp": (CbcOptions, CbcSlp),
    "cmx": (CmxOptions, Cmx),
    "cmx_cnn": (CmxCnnOptions, CmxCnn),
    "stars": (StarsOptions, Stars),
    "lds2ae": (Lds2aeOptions, Lds2ae),
    "lvpcnet": (LvpcnetOptions, Lvpcnet),
}


def network_options(name: str, options: Mapping[str, Any]) -> Settings:
    """The options of a network, checked, with its defaults.

    Raises:
        RecipeError: If there is no such network, or an option is unknown or wrong.
    """
    if name not in _NETWORKS:
        raise RecipeError(f"network.name: {name!r} is none of {', '.join(_NETWORKS)}")
    kind = _NETWORKS[name][0]
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        raise RecipeError(f"network.options{option_fault(error, kind)}") from error


def check_network(name: str, options: Mapping[str, Any], bands: Mapping[str, int]) -> None:
    """Refuses what no network can be built from.

    Args:
        name: Of the network.
        options: As in a recipe.
        bands: For each modality its number of bands.

    Raises:
        RecipeError: If there is no such network, or an option is unknown or wrong.
    """
    checked = network_options(name, options)
    if isinstance(checked, MeanFusionOptions | StarsOptions) and checked.encoder not in ENCODERS:
        raise RecipeError(f"network.options.encoder: {checked.encoder!r} is none of {', '.join(ENCODERS)}")
    if isinstance(checked, CbcOptions):
        check_bands(checked, bands)


def unbuilt_network(name: str, options: Mapping[str, Any], bands: Mapping[str, int], classes: int) -> Network:
    """The same without memory or weights, to be asked what it is.

    Raises:
        RecipeError: If there is no such network, or an option is unknown or wrong.
    """
    check_network(name, options, bands)
    without = {key: value for key, value in options.items() if key != "weights"}
    with torch.device("meta"):
        return build_network(name, without, bands, classes)


def build_network(name: str, options: Mapping[str, Any], bands: Mapping[str, int], classes: int) -> Network:
    """A network by name, with random or pretrained weights.

    Args:
        name: Of the network.
        options: As in a recipe.
        bands: For each modality, in order, its number of bands.
        classes: K.

    Raises:
        RecipeError: If there is no such network, or an option is unknown or wrong.
    """
    check_network(name, options, bands)
    return _NETWORKS[name][1](network_options(name, options), bands, classes)
