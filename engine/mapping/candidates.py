"""Layers, and bands of them that are taken for a modality."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.grid import Grid
from engine.mapping.assignment import quoted
from engine.raster.pools import Layer, Part
from engine.raster.sources import SourceSpec


@dataclass(frozen=True)
class Candidate:
    """Bands taken for a modality.

    Args:
        modality: Name.
        parts: The layers, with the bands in the modality's order.
        score: Points, but for values.
        likeness: Points for values, which alone tell nothing apart.
        told: Whether a name, a wavelength or a colour says what it is; the rest fits by chance too.
        reasons: What speaks for it, in words.
        grid: Where its first part lies.
        taken: When it was, where its metadata or name says so.
        warnings: What the user should know of its values.
    """

    modality: str
    parts: tuple[Part, ...]
    score: float
    likeness: float
    told: bool
    reasons: tuple[str, ...]
    grid: Grid
    taken: datetime | None
    warnings: tuple[str, ...] = ()

    @property
    def specs(self) -> list[SourceSpec]:
        """The sources to map from."""
        return [part.spec for part in self.parts]

    @property
    def layers(self) -> frozenset[Layer]:
        """The layers that it is made of."""
        return frozenset(part.layer for part in self.parts)

    @property
    def assignment(self) -> str:
        """As :func:`~engine.mapping.assignment.assign` reads it."""
        return ";".join(
            f"{self.modality}={quoted(part.layer.name)}@{','.join(map(str, part.bands))}" for part in self.parts
        )

    def shares_bands(self, other: Candidate) -> bool:
        """Whether a band of a file is in both."""
        used = {(part.layer.spec.path, band) for part in self.parts for band in part.bands}
        return any((part.layer.spec.path, band) in used for part in other.parts for band in part.bands)
