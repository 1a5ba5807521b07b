"""Low-rank adaptation: a stage that trains small matrices beside frozen ones, merged into them when it ends.

E. J. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022; by `peft`. Rank 4 and a scale of one
are those with which I. Ulku et al., "Latent Space Guided Scenario Sampling for Multimodal Segmentation Under Missing
Modalities" (2026), compare; as there A starts from Kaiming's uniform distribution and B from zero.

Departures: running statistics of frozen norms stay as they are; in the published code they move. Which layers are
adapted in a network that the paper does not adapt, or gives no list for (CMX), is that network's choice: the linear
layers and convolutions of its deepest fusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from engine.errors import RecipeError
from engine.networks.contract import Network
from engine.training.recipe import Recipe
from engine.training.schedule import lay_out

_ADAPTER = "default"
_KINDS = (nn.Linear, nn.Conv2d, nn.Conv3d)


def targets(network: Network, patterns: Sequence[str]) -> list[str]:
    """Names of the linear layers and convolutions that match a pattern.

    Without those that cannot be merged: grouped ones, and ones that pad with other values than zero, which `peft`'s
    matrices do not.

    Raises:
        RecipeError: If a pattern matches none.
    """
    layers = [
        name
        for name, module in network.named_modules()
        if isinstance(module, _KINDS)
        and getattr(module, "groups", 1) == 1
        and getattr(module, "padding_mode", "zeros") == "zeros"
    ]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in layers):
            parts = sorted({name.split(".")[0] for name in layers})
            raise RecipeError(
                f"stages: lora.targets: {pattern!r} matches no linear layer or convolution of the network; "
                f"their names start with {', '.join(parts)}"
            )
    return [name for name in layers if any(fnmatchcase(name, pattern) for pattern in patterns)]


def adapt(network: Network, patterns: Sequence[str], rank: int, seed: int) -> list[nn.Parameter]:
    """Puts low-rank matrices beside the layers that match, which alone ask for gradients then.

    Args:
        network: The network, changed in place.
        patterns: Of the names of layers.
        rank: Of the matrices.
        seed: Of their start.

    Raises:
        RecipeError: If a pattern matches none.
    """
    names = targets(network, patterns)
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=names)
    inject_adapter_in_model(config, network)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def merge(network: Network) -> None:
    """Adds the matrices to the layers that they stand beside, and takes them away.

    Not by `peft`, which takes a 1 x 1 x 1 convolution for one in two dimensions.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, BaseTunerLayer):
            base = module.get_base_layer()
            down, up, scale = (getattr(module, part)[_ADAPTER] for part in ("lora_A", "lora_B", "scaling"))
            with torch.no_grad():
                base.weight += scale * (up.weight.flatten(1) @ down.weight.flatten(1)).view_as(base.weight)
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, base)


def adapt_as_at(network: Network, recipe: Recipe, step: int) -> bool:
    """Gives a network the form that a checkpoint of ``step`` has; true where it is that of a low-rank stage."""
    for stage in lay_out(recipe.stages):
        if stage.settings.lora is not None and stage.first < step <= stage.end:
            lora = stage.settings.lora
            adapt(network, lora.targets or network.lora_targets, lora.rank, 0)
            return True
    return False
