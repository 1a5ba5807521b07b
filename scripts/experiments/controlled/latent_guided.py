"""Latent-guided scenario sampling where one scenario is far more distorting than the others.

The paper fine-tunes a base that was trained under uniformly drawn scenarios, and draws a scenario the more often the
more it distorts the shared latent (its gain over uniform draws: .1 to .4 points). For that to help, a scenario that
distorts more must be one that has more to learn. Here that is so by construction:

* Four classes are two bits of a pixel. The sensors ``a`` and ``b`` show each bit in a band, under noise. ``c`` shows
  each as the product of two bands, of which one is a random sign: its bands by themselves say nothing. What ``c`` has
  is learned late, and not at all where ``a`` or ``b`` are there too, so that ``c`` alone distorts the latent most.
* The base (`cmx_cnn`, the smaller of the paper's two networks, at `tiny`) ends long before ``c`` alone is learned.

All fine-tunings of a group go on from one base, on the same chips in the same order with the same random numbers, for
as many steps; they differ in the probabilities of the seven scenarios alone:

* ``uniform``, and ``guided``: as the paper draws, by the engine's sampler with its defaults.
* ``inverted``: the same with the sign of the temperature turned.
* ``oracle``: half of the draws uniform, half the scenario that is worst on validation chips.

Predicted: the gain of a scenario rises with its probability (slope of guided - uniform over the seven scenarios, in
points a tenth of probability); on ``c`` alone oracle > guided > uniform > inverted; and on the mean over the scenarios
guided > uniform, which is the paper's claim.

    python scripts/experiments/controlled/latent_guided.py [--groups 64] [--jobs 2]
    python scripts/experiments/controlled/latent_guided.py --table
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from trial import Effect, Experiment, Rows, accuracy, answers, batches, fit, main, method, segmenter

if TYPE_CHECKING:
    from torch import Tensor

    from engine.networks.segmenter import Segmenter

SIDE, CLASSES = 48, 4
BANDS = {"a": 2, "b": 2, "c": 4}
BASE, TUNING = 60, 60
"""Steps of eight chips."""
RATE = 2e-3
TRAINING, VALIDATION, TEST = 128, 32, 64
"""Chips."""


def scenes(rng: np.random.Generator, count: int) -> tuple[dict[str, Tensor], Tensor]:
    """Chips of the three sensors ``[N, C, 48, 48]``, and their classes ``[N, 48, 48]``."""
    import torch

    def blocks(side: int, bits: int) -> np.ndarray:
        """Random signs, alike over squares of a side."""
        coarse = rng.choice([-1.0, 1.0], (count, bits, SIDE // side, SIDE // side))
        return coarse.repeat(side, axis=2).repeat(side, axis=3)

    signs, hidden = blocks(16, 2), blocks(4, 2)
    shown = {
        "a": signs,
        "b": np.stack([signs[:, 1], signs[:, 0]], axis=1),
        "c": np.concatenate([signs * hidden, hidden], axis=1),
    }
    noise = {"a": 1.0, "b": 1.5, "c": 0.5}
    inputs = {
        name: torch.tensor(values + noise[name] * rng.standard_normal(values.shape), dtype=torch.float32)
        for name, values in shown.items()
    }
    bits = (signs > 0).astype(np.int64)
    return inputs, torch.tensor(bits[:, 0] + 2 * bits[:, 1])


def distributions(base: Segmenter, inputs: dict[str, Tensor]) -> tuple[list[float], list[float]]:
    """Probabilities of the scenarios as the paper draws them, and with the temperature's sign turned."""
    from engine.methods.contract import Preparation
    from engine.methods.latent_guided import LatentGuidedOptions, distribution, measured_distortions

    options = LatentGuidedOptions()
    preparation = Preparation(
        "tune", Path(), (), SIDE, lambda: batches(inputs, 8), lambda _done: None, lambda _line: None
    )
    distortions = measured_distortions(base, base.network.latents[0], preparation)
    guided, inverted = (
        distribution(distortions, options.sigma, options.ridge, sign * options.temperature, options.mixture)
        for sign in (1, -1)
    )
    return guided.probabilities.tolist(), inverted.probabilities.tolist()


def group(number: int, _part: str) -> Rows:
    """A base and its four fine-tunings."""
    import torch

    from engine.availability import scenarios
    from engine.methods.latent_guided import LatentGuidedSampler

    rng = np.random.default_rng([7, number])
    (inputs, labels), (seen, true), (unseen, truth) = (scenes(rng, count) for count in (TRAINING, VALIDATION, TEST))
    torch.manual_seed(number)
    base = segmenter("cmx_cnn", {"size": "tiny"}, BANDS, CLASSES)
    by = method("latent_guided", "cross_entropy", classes=CLASSES)
    sampler = by.sampler
    if not isinstance(sampler, LatentGuidedSampler):
        raise TypeError(sampler)
    every = scenarios(len(BANDS))
    names = [one.label(tuple(BANDS)) for one in every]

    def scored(trained: Segmenter, chips: dict[str, Tensor], classes: Tensor) -> list[float]:
        return [accuracy(answers(trained, chips, one.members), classes) for one in every]

    sampler.weights = dict.fromkeys(every, 1.0)
    fit(base, by, inputs, labels, steps=BASE, seed=number, rate=RATE)
    worst = int(np.argmin(scored(base, seen, true)))
    guided, inverted = distributions(base, inputs)
    uniform = [1 / len(every)] * len(every)
    oracle = [0.5 * one + 0.5 * (place == worst) for place, one in enumerate(uniform)]
    found = {"base": scored(base, unseen, truth)}
    for arm, drawn in {"uniform": uniform, "guided": guided, "inverted": inverted, "oracle": oracle}.items():
        tuned = copy.deepcopy(base)
        sampler.weights = dict(zip(every, drawn, strict=True))
        fit(tuned, by, inputs, labels, steps=TUNING, seed=1_000_000 + number, rate=RATE)
        found[arm] = scored(tuned, unseen, truth)
    rows = [
        {"arm": arm, "measure": measure, "value": value}
        for arm, values in found.items()
        for measure, value in zip([*names, "mean"], [*values, float(np.mean(values))], strict=True)
    ]
    gains = [one - other for one, other in zip(found["guided"], found["uniform"], strict=True)]
    slope = float(np.polyfit(guided, gains, 1)[0]) / 10
    rows += [{"arm": "slope", "measure": "gain", "value": slope}, {"arm": "nothing", "measure": "gain", "value": 0.0}]
    return rows + [
        {"arm": "probability", "measure": measure, "value": value} for measure, value in zip(names, guided, strict=True)
    ]


EXPERIMENT = Experiment(
    "latent_guided",
    group,
    (
        Effect("slope", "nothing", "gain", 0.5),
        Effect("oracle", "guided", "c", 1),
        Effect("guided", "uniform", "c", 1),
        Effect("uniform", "inverted", "c", 1),
        Effect("guided", "uniform", "mean", 0.2),
    ),
    groups=64,
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
