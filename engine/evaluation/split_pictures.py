"""Where the labels of each split lie in a scene, at reduced size."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.data.scenes import Scene
from engine.data.splits import SPLITS
from engine.data.survey import SceneCollection
from engine.grid import Window
from engine.modality import IGNORED
from engine.report.pictures import framed, palette

SCENES = 3
"""Scenes that are shown."""

READ = 340
"""Rows and columns that are read of a scene at most."""

UNLABELLED = "#dddddd"
COLORS = {"train": "#33638d", "validation": "#e69f00", "test": "#009e73", "unlabelled": UNLABELLED}
"""Of each split, and of pixels in none of them."""


def split_pictures(collection: SceneCollection) -> list[dict[str, Any]]:
    """Pictures of the first scenes that have labels, with their names."""
    found: list[dict[str, Any]] = []
    for number, spec in enumerate(collection.specs):
        if spec.labels is not None and len(found) < SCENES:
            found.append(_picture(collection[number]))
    return found


def _picture(scene: Scene) -> dict[str, Any]:
    """Every n-th row and column, row by row, so that a scene may be of any size."""
    grid = scene.grid
    step = -(-max(grid.height, grid.width) // READ)
    rows = range(0, grid.height, step)
    places = np.full((len(rows), len(range(0, grid.width, step))), len(SPLITS))
    for place, row in enumerate(rows):
        labels = scene.split_labels(Window(row, 0, 1, grid.width), SPLITS)
        for index, split in enumerate(SPLITS):
            places[place, labels[split][0, ::step] != IGNORED] = index
    colors = dict(enumerate([*(COLORS[split] for split in SPLITS), UNLABELLED]))
    return framed(palette(places, colors), f"The split of {scene.name}.") | {"name": scene.name, "step": step}
