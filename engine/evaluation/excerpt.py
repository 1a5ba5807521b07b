"""A part of a scene as an evaluation maps it anyway, kept to be looked at beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.data.scenes import Scene
from engine.data.settings import SplitName
from engine.grid import Window
from engine.modality import IGNORED

SIDE = 256
"""Pixels along an excerpt at most."""


@dataclass(frozen=True)
class Excerpt:
    """A part of a scene.

    Args:
        scene: Name of the scene.
        window: Where it lies in the scene.
        truth: ``[h, w]`` class indices of the split; IGNORED (-1) elsewhere.
        maps: ``[S, h, w]`` class indices in each scenario on the pixels that are scored; IGNORED (-1) elsewhere.
    """

    scene: str
    window: Window
    truth: NDArray[np.int16]
    maps: NDArray[np.int16]


class Excerpts:
    """Chooses one: that of the scene with the most sensors, of the most classes, then of the most labelled pixels.

    Scenes are entered one after another, before they are mapped; what was kept of one before goes where a better one
    is entered, so that memory does not grow with the scenes.

    Args:
        scenarios: How many are mapped.
    """

    def __init__(self, scenarios: int) -> None:
        self._scenarios = scenarios
        self._best = (0, 0, 0)
        self._found: Excerpt | None = None

    def enter(self, scene: Scene, split: SplitName) -> bool:
        """Looks for the best part of a scene; whether the split has a labelled pixel there."""
        any_label = False
        for row in range(0, scene.grid.height, SIDE):
            strip = Window(row, 0, SIDE, scene.grid.width) & scene.grid.window
            labels = scene.labels(strip, split)
            for col in range(0, scene.grid.width, SIDE):
                part = labels[:, col : col + SIDE]
                known = part[part != IGNORED]
                if not known.size:
                    continue
                any_label = True
                score = (len(scene.present.indices), len(np.unique(known)), known.size)
                if score > self._best:
                    self._best = score
                    maps = np.full((self._scenarios, *part.shape), IGNORED, dtype=np.int16)
                    self._found = Excerpt(scene.name, Window(row, col, *part.shape), part.copy(), maps)
        return any_label

    def add(
        self,
        scene: Scene,
        scenario: int,
        window: Window,
        mapped: NDArray[np.integer],
        counted: NDArray[np.bool_],
    ) -> None:
        """Keeps what of a part lies in the excerpt.

        Args:
            scene: Which scene it is of.
            scenario: Number of the scenario.
            window: The part.
            mapped: ``[h, w]`` class indices.
            counted: ``[h, w]`` which pixels are scored.
        """
        if self._found is None or self._found.scene != scene.name:
            return
        common = window & self._found.window
        if common.empty:
            return
        here, there = common.within(window), common.within(self._found.window)
        self._found.maps[scenario][there] = np.where(counted[here], mapped[here], IGNORED)

    def of(self, scenarios: Sequence[int]) -> Excerpt | None:
        """The one that is kept, with the maps of some scenarios."""
        found = self._found
        return found and Excerpt(found.scene, found.window, found.truth, found.maps[list(scenarios)])
