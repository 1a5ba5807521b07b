"""Which pixels of a map are left without a class, though sensors saw them: what is said of them would be too unsure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.availability import Scenario, from_bits
from engine.errors import InputError, ModelError
from engine.mapping.mosaic import MapBlock
from engine.model.file import Model


@dataclass(frozen=True)
class Thresholds:
    """What a pixel must have to get its class.

    Args:
        confidence: Percent at the least, 0-100, as the confidence layer has it.
        scenarios: Bits of the scenarios that are mapped well enough; None where all are.
    """

    confidence: int = 0
    scenarios: tuple[int, ...] | None = None

    def met(self, block: MapBlock) -> NDArray[np.bool_]:
        """``[h, w]``: where a block has its class."""
        met = block.availability > 0 if self.scenarios is None else np.isin(block.availability, self.scenarios)
        return met & (block.confidence >= self.confidence) if self.confidence else met


def thresholds(model: Model, confidence: int | None, accuracy: float | None, fullest: Scenario) -> Thresholds:
    """What a pixel of a map must have.

    Args:
        model: The model.
        confidence: Percent at the least.
        accuracy: The mIoU at the least that the model's document expects in a pixel's scenario. One that was not
            measured does not have it.
        fullest: The scenario of all sources.

    Raises:
        ModelError: If the model says of no scenario how well it maps.
        InputError: If no scenario of the sources is mapped that well.
    """
    if accuracy is None:
        return Thresholds(confidence or 0)
    expected = model.metadata.expected
    if not expected:
        raise ModelError(
            f"{model.path}: does not say how well it maps; leave the minimum accuracy out, or export the model again"
        )
    possible = {
        name: one.miou
        for name, one in expected.items()
        if set(name.split("+")) <= set(fullest.label(model.names).split("+"))
    }
    best = max(possible.values(), default=0.0)
    if best < accuracy:
        raise InputError(
            f"no pixel would be mapped: from {fullest.label(model.names)} and parts of it {model.path} has a mIoU of "
            f"{best:.3f} at most, and the minimum accuracy is {accuracy:g}; add a sensor, or ask for less"
        )
    good = [name for name, miou in possible.items() if miou >= accuracy]
    return Thresholds(confidence or 0, tuple(Scenario.of(name.split("+"), model.names).bits for name in good))


def left_out(limits: Thresholds, model: Model, counts: Mapping[int, float], mapped: float) -> dict[str, float]:
    """Pixels that sensors saw and that have no class, by why.

    Args:
        limits: What they must have had.
        model: The model.
        counts: Pixels of each availability.
        mapped: Pixels that have a class.
    """
    known, found = model.metadata.expected, {}
    seen = {bits: number for bits, number in counts.items() if bits}
    good = seen if limits.scenarios is None else {bits: seen[bits] for bits in seen if bits in limits.scenarios}
    for bits in sorted(seen.keys() - good.keys(), key=lambda bits: -seen[bits]):
        name = from_bits(bits, len(model.names)).label(model.names)
        why = f"expected mIoU {known[name].miou:.3f}" if name in known else "its accuracy was not measured"
        found[f"{name}: {why}"] = seen[bits]
    if limits.confidence:
        found[f"confidence below {limits.confidence} %"] = sum(good.values()) - mapped
    return found
