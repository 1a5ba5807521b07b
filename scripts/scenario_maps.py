"""Maps of a run in every scenario, beside the truth, as a PNG.

python scripts/scenario_maps.py RUN -o maps.png [--scenes test/0001 test/0002] [--inputs]
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import get_args

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.patches import Patch

from engine.availability import scenarios
from engine.data.scenes import Scene
from engine.data.settings import SplitName
from engine.data.survey import SceneCollection
from engine.evaluation.diagnostics import picture
from engine.evaluation.predictors import torch_predictor
from engine.evaluation.tiling import tiles_of
from engine.mapping.mosaic import map_blocks
from engine.mapping.tiles import TilePlan
from engine.modality import LandClass
from engine.training.run import open_run

ACROSS = 6


def coloured(indices: NDArray[np.integer], classes: tuple[LandClass, ...]) -> NDArray[np.uint8]:
    """Class indices ``[h, w]`` as colours, black where there is none."""
    palette = [[int(item.color[place : place + 2], 16) for place in (1, 3, 5)] for item in classes]
    return np.array([*palette, [0, 0, 0]], dtype=np.uint8)[indices]


def truth(scene: Scene) -> NDArray[np.int16]:
    """Class indices of all splits, -1 elsewhere."""
    parts = [scene.labels(scene.grid.window, split) for split in get_args(SplitName)]
    found: NDArray[np.int16] = np.max(parts, axis=0)
    return found


def main() -> None:
    """Draws what is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--scenes", nargs="+", help="their names; all where left out")
    parser.add_argument("--inputs", action="store_true", help="show what the sensors saw too")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="replace values of the recipe")
    given = parser.parse_args()
    recipe, segmenter = open_run(given.run, "last", given.set)
    modalities, classes = segmenter.modalities, recipe.class_values
    names = [modality.name for modality in modalities]
    predict = torch_predictor(segmenter, torch.device("cpu"))
    rows = []
    with closing(SceneCollection(recipe.data, recipe.data.root, modalities, classes)) as collection:
        known = [spec.name for spec in collection.specs]
        for number, spec in enumerate(collection.specs):
            if given.scenes and spec.name not in given.scenes:
                continue
            scene = collection[number]
            plan = TilePlan(scene.grid.height, scene.grid.width, *tiles_of(segmenter.network, recipe.data.chip))
            panels = [("truth", coloured(truth(scene), classes))]
            if given.inputs:
                whole = scene.read(scene.grid.window, "test")
                for place, item in reversed(list(enumerate(modalities))):
                    seen = picture(item.filled(whole.values[item.name], whole.valid[place]), item)
                    panels.insert(0, (item.name, (255 * seen).astype(np.uint8)))
            for scenario in scenarios(len(modalities)):
                found = np.full((scene.grid.height, scene.grid.width), -1)
                for block in map_blocks(
                    modalities=modalities,
                    readers={names[index]: scene.readers[names[index]] for index in scenario.indices},
                    plan=plan,
                    window=scene.grid.window,
                    classes=len(classes),
                    predict=predict,
                    strips=plan.strips(scene.grid.window),
                    threads=1,
                ):
                    inside = np.where(block.availability == scenario.bits, block.classes.astype(np.int16), -1)
                    found[block.window.within(scene.grid.window)] = inside
                panels.append((scenario.label(names), coloured(found, classes)))
            rows.append((spec.name, panels))
    if not rows:
        parser.error(f"--scenes: none of these is a scene of the run; its scenes are {', '.join(known)}")
    across = min(ACROSS, len(rows[0][1]))
    deep = -(-len(rows[0][1]) // across)
    height, width = rows[0][1][0][1].shape[:2]
    figure, axes = plt.subplots(
        deep * len(rows),
        across,
        squeeze=False,
        figsize=(2.6 * across, (2.6 * height / width + 0.25) * deep * len(rows) + 0.5),
    )
    for place, (name, panels) in enumerate(rows):
        for axis, panel in zip(axes[deep * place : deep * (place + 1)].flat, panels, strict=False):
            axis.imshow(panel[1], interpolation="nearest")
            axis.set_title(panel[0] if len(rows) == 1 or not place else "", fontsize="medium")
        if len(rows) > 1:
            axes[deep * place][0].set_ylabel(name)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_frame_on(False)
    handles = [Patch(color=item.color, label=item.name) for item in classes]
    figure.tight_layout(rect=(0, 0.5 / figure.get_figheight(), 1, 1))
    figure.legend(handles=handles, loc="lower center", ncol=len(handles), frameon=False)
    figure.savefig(given.output, dpi=90)


if __name__ == "__main__":
    main()
