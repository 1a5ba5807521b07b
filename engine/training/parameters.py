"""Which parameters of a network a stage trains."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from engine.training.settings import StageSettings


def freeze(network: nn.Module, trainable: Sequence[str]) -> list[nn.Parameter]:
    """The parameters whose names match a pattern of ``trainable``; the others ask for no gradient any more."""
    chosen = []
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(any(fnmatchcase(name, pattern) for pattern in trainable))
        if parameter.requires_grad:
            chosen.append(parameter)
    return chosen


def train_mode(network: nn.Module) -> None:
    """Training mode, but evaluation mode for parts of which no parameter is trained."""
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def sizes(network: nn.Module, stage: StageSettings) -> str:
    """How many numbers a stage trains, by the pattern that names them first."""
    trained = [(name, parameter.numel()) for name, parameter in network.named_parameters() if parameter.requires_grad]
    if stage.lora is not None:
        found = {"low-rank matrices": sum(size for _, size in trained)}
    else:
        found = dict.fromkeys(stage.trainable, 0)
        for name, size in trained:
            found[next(pattern for pattern in found if fnmatchcase(name, pattern))] += size
    return ", ".join(f"{size:,} in {what}" for what, size in found.items() if size)
