"""Learning rates over a stage, and the optimisers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from engine.training.settings import DecaySettings, OptimizerSettings, StageSettings

FEWEST_STEPS = 200
"""Of a whole training of a network that classifies windows, below which it has hardly begun to learn."""


@dataclass(frozen=True)
class Stage:
    """A stage's place in a training.

    Args:
        settings: Of the stage.
        first: Its first step, counted over the whole training.
        first_epoch: Epochs before it.
    """

    settings: StageSettings
    first: int
    first_epoch: int

    @property
    def steps(self) -> int:
        """Its number of steps."""
        return self.settings.schedule.epochs * self.settings.schedule.steps_per_epoch

    @property
    def end(self) -> int:
        """The step after its last one."""
        return self.first + self.steps

    def out_of_patience(self, step: int, best_step: int) -> bool:
        """Whether, before the end, so many validations as the stage's patience have come since the best one."""
        schedule = self.settings.schedule
        if schedule.patience is None or schedule.validate_every is None or step == self.end:
            return False
        return step - best_step >= schedule.patience * schedule.validate_every * schedule.steps_per_epoch


def lay_out(settings: Sequence[StageSettings]) -> tuple[Stage, ...]:
    """The stages one after another."""
    stages: list[Stage] = []
    step = epoch = 0
    for one in settings:
        stages.append(Stage(one, step, epoch))
        step, epoch = stages[-1].end, epoch + one.schedule.epochs
    return tuple(stages)


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
        epoch = step // steps_per_epoch
        falls = (
            epoch // decay.step_epochs if decay.milestones is None else sum(epoch >= one for one in decay.milestones)
        )
        return float(decay.gamma**falls)
    return 1.0


def build_optimizer(parameters: Iterable[torch.nn.Parameter], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """AdamW, or Adam with weight decay as an L2 term."""
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
