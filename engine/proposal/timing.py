"""How long a training will take, by a step of each stage that is run on made-up chips."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from engine.methods.registry import build_method
from engine.modality import BandStatistics
from engine.training.recipe import Recipe
from engine.training.run import build_segmenter
from engine.training.schedule import lay_out

_STATISTICS = BandStatistics(0.5, 0.3, 0.0, 1.0, 0.0, 1.0)

PIXELS = 2**11
"""Of the chips that are timed."""


def training_seconds(recipe: Recipe) -> float:
    """Seconds that all steps take on this machine's processors when nothing else runs, reading and validation apart.

    By the time that processors spend on each stage's second step, on a few chips: the first one sets things up.
    """
    modalities = [replace(one, statistics=(_STATISTICS,) * len(one.bands)) for one in recipe.modality_values]
    segmenter = build_segmenter(recipe, modalities).train()
    seconds, chip = 0.0, recipe.data.chip
    for stage in lay_out(recipe.stages):
        whole = stage.settings.schedule.batch
        batch = min(whole, max(2, PIXELS // chip**2))
        method = build_method(stage.settings.method, len(recipe.classes))
        inputs = {one.name: torch.rand(batch, len(one.bands), chip, chip) for one in modalities}
        availability = torch.ones(batch, len(modalities), dtype=torch.bool)
        labels = torch.from_numpy(np.random.default_rng(0).integers(0, len(recipe.classes), (batch, chip, chip)))
        for _ in range(2):
            started = time.process_time()
            loss = method.loss(segmenter, inputs, availability, labels)
            torch.stack(list(loss.terms.values())).sum().backward()  # type: ignore[no-untyped-call]
            took = (time.process_time() - started) / torch.get_num_threads()
        seconds += took * whole / batch * stage.steps
    return seconds


def duration(seconds: float) -> str:
    """A duration in words, to what an estimate is worth."""
    if seconds < 90:
        return f"{max(1, round(seconds / 10) * 10)} seconds"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"
