"""The values of a split beside a model's statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.data.settings import SplitName
from engine.data.survey import SceneCollection
from engine.mapping.comparison import Compared
from engine.mapping.values import Seen, compare
from engine.modality import Modality
from engine.raster.sources import SourceSpec

SIDE, MOST = 64, 400
"""Side of the squares that are looked at, and how many of them, spread over the split."""


def compare_split(collection: SceneCollection, modalities: Sequence[Modality], split: SplitName) -> list[Compared]:
    """What a sample of a split says of each modality, over all its scenes together."""
    parts: dict[str, list[NDArray[np.generic]]] = {modality.name: [] for modality in modalities}
    sources: dict[str, tuple[SourceSpec, ...]] = {}
    numbers = [number for number, spec in enumerate(collection.specs) if spec.split in (None, split)]
    numbers = numbers[:: max(1, len(numbers) // MOST)]
    for number in numbers:
        scene = collection[number]
        squares = [window for window in scene.grid.windows(SIDE) if scene.split(window, split).any()]
        for window in squares[:: max(1, len(squares) * len(numbers) // MOST)]:
            inside = scene.split(window, split)
            for name, reader in scene.readers.items():
                block = reader.read(window)
                parts[name].append(block.values[:, block.valid & inside])
        sources = dict(collection.specs[number].sources) | sources
    return [
        Compared(compare(Seen.of(np.concatenate(parts[one.name], axis=1)), one), sources[one.name])
        for one in modalities
        if parts[one.name]
    ]
