"""Learning rates over a stage, and the optimisers."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from engine.training.recipe import DecaySettings, OptimizerSettings


def rate_factor(step: int, steps: int, steps_per_epoch: int, decay: DecaySettings) -> float:
    """What the learning rate is multiplied with at ``step`` (from 0) of a stage of ``steps`` steps."""
    warmup = math.floor(decay.warmup * steps)
    if step < warmup:
        return decay.warmup_from + (1 - decay.warmup_from) * step / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    if decay.name == "poly":
        return float((1 - progress) ** decay.power)
    if decay.name == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    if decay.name == "step":
        return float(decay.gamma ** (step // steps_per_epoch // decay.step_epochs))
    return 1.0


def build_optimizer(parameters: Iterable[torch.nn.Parameter], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """AdamW, or Adam with weight decay as an L2 term."""
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
