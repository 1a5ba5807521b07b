"""What is changed in training chips beside their turns: values as other days would have them, sensors that end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.data.settings import AugmentSettings
from engine.modality import Modality

CUT = (0.1, 0.5)
"""Shares of a chip's area that a sensor may lose."""

NARROWEST = 0.5
"""Height over width of what is cut out, relative to the chip's: from this to its inverse."""


def augmented(
    values: NDArray[np.generic], settings: AugmentSettings, modality: Modality, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Values ``[C, h, w]`` as another acquisition may have them.

    Args:
        values: In the sensor's unit.
        settings: What is changed, by how much.
        modality: With its training statistics.
        rng: Draws; the same numbers of it whatever the values.
    """
    bands = len(values)
    deviations = np.array([band.std for band in modality.statistics])[:, None, None]
    means = np.array([band.mean for band in modality.statistics])[:, None, None]
    found = values.astype(np.float64)
    if settings.speckle is not None:
        speckle = rng.gamma(settings.speckle, 1 / settings.speckle, found.shape)
        found = found + 10 * np.log10(speckle) if "db" in modality.unit.lower().split() else found * speckle
    found *= 1 + settings.gain * rng.uniform(-1, 1)
    found += settings.offset * rng.uniform(-1, 1, (bands, 1, 1)) * deviations + settings.shift * rng.uniform(-1, 1)
    if settings.noise:
        found += settings.noise * rng.standard_normal(found.shape) * deviations
    lost = rng.random(bands) < settings.band_dropout
    lost[rng.integers(bands)] = False
    return np.where(lost[:, None, None], means, found).astype(np.float32)


def cut_out(valid: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Validity ``[M, h, w]`` without a rectangle of one sensor; as it is where fewer than two sensors see anything."""
    there = np.flatnonzero(valid.any(axis=(1, 2)))
    if len(there) < 2:
        return valid
    height, width = valid.shape[1:]
    share, shape = rng.uniform(*CUT), np.exp(rng.uniform(np.log(NARROWEST), -np.log(NARROWEST)))
    rows = min(height, max(1, round(height * (share * shape) ** 0.5)))
    cols = min(width, max(1, round(width * (share / shape) ** 0.5)))
    row, col = int(rng.integers(height - rows + 1)), int(rng.integers(width - cols + 1))
    cut = valid.copy()
    cut[rng.choice(there), row : row + rows, col : col + cols] = False
    return cut
