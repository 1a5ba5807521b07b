"""Scenarios drawn by how much each distorts the shared latent.

I. Ulku et al., "Latent Space Guided Scenario Sampling for Multimodal Segmentation Under Missing Modalities" (2026).
Equations by its numbers; defaults are the paper's.

Departures:

* The kernel's width can be the median of the distances between distortions (``sigma: median``): the paper's 1 is
  absolute, while distortions scale with the network.
* Where a sample lacks a modality, its scenario is drawn among the subsets of what it has, by the same probabilities.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from engine.availability import Scenario, scenarios
from engine.data.settings import Settings
from engine.errors import RecipeError, RunError
from engine.files import write_text, writing
from engine.methods.contract import Preparation, ScenarioSampler
from engine.networks.contract import Network
from engine.networks.segmenter import Segmenter

Vector = NDArray[np.float64]


class LatentGuidedOptions(Settings):
    """Options of ``latent_guided``.

    Args:
        latent: Name of the latent; the network's first where None.
        sigma: Width of the kernel (equation 8), or ``median``.
        ridge: Lambda of equation 13.
        temperature: Tau of equation 18.
        mixture: Gamma of equation 19: the share of what is not uniform.
    """

    latent: str | None = None
    sigma: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["median"] = 1.0
    ridge: float = Field(default=1e-3, gt=0)
    temperature: float = Field(default=0.5, ge=0)
    mixture: float = Field(default=0.5, ge=0, le=1)


@dataclass(frozen=True)
class Distribution:
    """How scenarios are drawn, and where that comes from.

    Args:
        distortions: ``[K]`` of each scenario, in their order (equation 6).
        kernel: ``[K, K]`` (equation 9).
        scores: ``[K]`` smoothed over like scenarios (equation 13).
        probabilities: ``[K]``, which sum to one (equation 19).
    """

    distortions: Vector
    kernel: Vector
    scores: Vector
    probabilities: Vector


def distribution(
    distortions: Sequence[float] | Vector,
    sigma: float | Literal["median"] = 1.0,
    ridge: float = 1e-3,
    temperature: float = 0.5,
    mixture: float = 0.5,
) -> Distribution:
    """Distortions to probabilities (equations 8 to 20).

    Args:
        distortions: ``[K]``, not negative.
        sigma: Width of the kernel, or the median of the distances between distortions.
        ridge: Lambda.
        temperature: Tau.
        mixture: Gamma.
    """
    values: Vector = np.asarray(distortions, dtype=np.float64)
    apart = np.abs(values[:, None] - values[None, :])
    if sigma == "median":
        between = apart[np.triu_indices(len(values), 1)]
        sigma = float(np.median(between)) if between.any() else 1.0
    kernel = np.exp(-(apart**2) / (2 * sigma**2))
    scores = kernel @ np.linalg.solve(kernel + ridge * np.eye(len(values)), values)
    spread = scores.std()
    standard = (scores - scores.mean()) / spread if spread > 1e-12 else np.zeros_like(scores)
    weights = np.exp(temperature * (standard - standard.max()))
    mixed = (1 - mixture) / len(values) + mixture * weights / weights.sum()
    return Distribution(values, kernel, scores, mixed / mixed.sum())


def measured_distortions(segmenter: Segmenter, latent: str, preparation: Preparation) -> Vector:
    """Mean squared deviation of a latent from that of all modalities, for each scenario (equations 5 and 6).

    Over the samples of the training split that have every modality, in evaluation mode. A sample's deviation does not
    depend on the others of its batch, and sums are in double precision: the batches' size does not matter.

    Raises:
        RunError: If no sample of the training split has every modality.
    """
    count = len(segmenter.modalities)
    every = scenarios(count)
    sums, samples = np.zeros(len(every)), 0
    was_training = segmenter.training
    segmenter.eval()
    try:
        with torch.inference_mode():
            for inputs in preparation.batches():
                size = len(next(iter(inputs.values())))

                def latents(scenario: Scenario, inputs: dict[str, Tensor] = inputs, size: int = size) -> Tensor:
                    availability = torch.tensor([scenario.members] * size, device=next(iter(inputs.values())).device)
                    return segmenter.detail(inputs, availability).latents[latent].double().flatten(1)

                full = latents(every[-1])
                for place, scenario in enumerate(every[:-1]):
                    sums[place] += float((latents(scenario) - full).square().mean(dim=1).sum())
                samples += size
                preparation.progress(samples)
    finally:
        segmenter.train(was_training)
    if not samples:
        raise RunError(
            "no chip of the training split has every modality, so that no scenario's distortion can be measured; "
            "use scenarios: uniform"
        )
    return sums / samples


class LatentGuidedSampler(ScenarioSampler):
    """Scenarios are drawn by how much each distorts the shared latent, which :meth:`prepare` measures."""

    def __init__(self, options: LatentGuidedOptions) -> None:
        self.options = options
        self.weights: Mapping[Scenario, float] = {}

    def check(self, network: Network) -> None:
        """See :meth:`ScenarioSampler.check`: a latent that is named must be one of the network's."""
        if self.options.latent is not None and self.options.latent not in network.latents:
            raise RecipeError(
                f"method.scenarios.options.latent: {self.options.latent!r} is none of the network's: "
                f"{', '.join(network.latents)}"
            )

    def prepare(self, segmenter: Segmenter, preparation: Preparation) -> None:
        """Measures the distortions with the weights that the stage begins with; on a resume, reads them back.

        They stand in the run, with kernel and probabilities, as JSON and as a plot, and are said.

        Raises:
            RunError: If they cannot be measured.
        """
        latent = self.options.latent or segmenter.network.latents[0]
        path = preparation.folder / f"scenarios-{preparation.stage}.json"
        if path.exists():
            found = distribution_of(path)
        else:
            options = self.options
            found = distribution(
                measured_distortions(segmenter, latent, preparation),
                options.sigma,
                options.ridge,
                options.temperature,
                options.mixture,
            )
            _write(found, path, latent, [modality.name for modality in segmenter.modalities])
        preparation.say(f"scenarios of {preparation.stage}, by the latent {latent}:")
        names = [modality.name for modality in segmenter.modalities]
        for scenario, distortion, probability in zip(
            scenarios(len(names)), found.distortions, found.probabilities, strict=True
        ):
            preparation.say(f"  {probability:.4f}  distortion {distortion:<10.4g}  {scenario.label(names)}")
        self.weights = dict(zip(scenarios(len(names)), found.probabilities.tolist(), strict=True))

    def draw(self, own: np.random.Generator, _together: np.random.Generator, present: Scenario) -> Scenario:
        """See :meth:`ScenarioSampler.draw`."""
        possible = [scenario for scenario in self.weights if scenario <= present]
        weights = np.array([self.weights[scenario] for scenario in possible])
        return possible[int(own.choice(len(possible), p=weights / weights.sum()))]


def distribution_of(path: Path) -> Distribution:
    """Reads what a stage wrote.

    Raises:
        RunError: If it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        keys = ("distortions", "kernel", "scores", "probabilities")
        return Distribution(*(np.array(content[key], dtype=np.float64) for key in keys))
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{path}: cannot be read: {error}; remove it to measure again") from error


def _write(found: Distribution, path: Path, latent: str, names: list[str]) -> None:
    labels = [scenario.label(names) for scenario in scenarios(len(names))]
    content = {
        "latent": latent,
        "scenarios": labels,
        "distortions": found.distortions.tolist(),
        "kernel": found.kernel.tolist(),
        "scores": found.scores.tolist(),
        "probabilities": found.probabilities.tolist(),
    }
    _plot(found, labels, path.with_suffix(".png"))
    write_text(path, json.dumps(content, indent=1))


def _plot(found: Distribution, labels: list[str], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.2 + 0.7 * len(labels), 4.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.bar(labels, found.distortions, color="#888888")
    upper.set_ylabel("distortion")
    lower.bar(labels, found.probabilities, color="#2b6cb0")
    lower.axhline(1 / len(labels), color="black", linewidth=0.8, linestyle="--", label="uniform")
    lower.set_ylabel("probability")
    lower.legend(frameon=False)
    lower.tick_params(axis="x", rotation=45)
    with writing(path) as file:
        figure.savefig(file, dpi=120, format="png")
