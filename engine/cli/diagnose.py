"""`engine diagnose`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import cast

import click
import numpy as np
from numpy.typing import NDArray

from engine.cli.progress import Shown, status
from engine.data.chips import Chip, complete_chips
from engine.data.settings import SplitName
from engine.data.survey import SceneCollection
from engine.errors import SplitError
from engine.evaluation.diagnostics import (
    Activations,
    class_similarity,
    encoder_parameters,
    grad_cam,
    information_over_training,
    plot_activations,
    plot_information,
    plot_parameters,
    plot_similarity,
    saliency,
    telling_chips,
)
from engine.files import check_target, make_folder, write_text
from engine.networks.segmenter import Segmenter
from engine.networks.stars import Stars
from engine.training.checkpoints import Kind, find, kept, step_of
from engine.training.recipe import Recipe
from engine.training.run import open_checkpoint, open_run

INFORMATION, SALIENCY = "information.png", "saliency.png"
SIMILARITY = ("similarity.png", "similarity.json")
STARS = ("parameters.png", "activations.png")


def _finite(values: NDArray[np.float64]) -> list[list[float | None]]:
    """As JSON, which has no NaN."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in values]


@click.command("diagnose")
@click.argument("run", metavar="RUN", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", type=click.Choice(["validation", "test", "train"]), default="validation", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder [default: RUN/diagnostics/SPLIT].")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the run's recipe.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True)
def command(run: Path, split: str, output: Path | None, overrides: tuple[str, ...], checkpoint: str) -> None:
    """Draw what a training did.

    similarity.png and similarity.json: how alike classes look between two sensors, at each step whose weights the
    recipe keeps (schedule.keep_every) and at the checkpoint. saliency.png: which pixels of a sensor change the score of
    a class. information.png: how much each sensor contributes to the prediction and to the features of each stage, over
    the training, where the objective functional_entropy was there to measure it. Of stars also parameters.png: the
    encoders' parameters; activations.png: where the encoders see each class (Grad-CAM).

    \b
    Examples:
      engine train recipes/stars/zion.yaml --set data.root=/data --set stages.0.schedule.keep_every=2000 -o runs/zion
      engine diagnose runs/zion
    """
    kind = cast(Kind, checkpoint)
    recipe, segmenter = open_run(run, kind, overrides)
    information = information_over_training(run / "metrics.csv")
    several = len(segmenter.modalities) > 1
    names = [INFORMATION] if information else []
    names += SIMILARITY if several else ()
    names += [SALIENCY, *(STARS if several and isinstance(segmenter.network, Stars) else ())]
    folder = output or run / "diagnostics" / split
    make_folder(folder)
    for name in names:
        check_target(folder / name)
    if information:
        plot_information(information, folder / INFORMATION)
    data = SceneCollection(recipe.data, recipe.data.root, segmenter.modalities, recipe.class_values)
    with closing(data) as collection, status("looking for chips") as shown:
        chosen = cast(SplitName, split)
        telling = telling_chips(complete_chips(collection, chosen), len(recipe.classes))
        if not telling:
            raise SplitError(f"data.split.{split}: no labelled pixel has every sensor")
        if several:
            steps = {step_of(path): path for path in (*kept(run), find(run, kind))}
            _similarity(recipe, run, dict(sorted(steps.items())), collection, chosen, folder, shown)
        shown.update("saliency")
        _seen(segmenter, telling, lambda *what: {"saliency": saliency(*what)}, folder / SALIENCY, recipe)
    if STARS[0] in names:
        network = cast(Stars, segmenter.network)
        plot_parameters(encoder_parameters(network), folder / STARS[0])
        _seen(segmenter, telling, grad_cam, folder / STARS[1], recipe)
    for name in names:
        click.echo(folder / name)


def _similarity(
    recipe: Recipe,
    run: Path,
    checkpoints: dict[int, Path],
    collection: SceneCollection,
    split: SplitName,
    folder: Path,
    shown: Shown,
) -> None:
    """Draws and writes how alike classes look between sensors at each checkpoint."""
    steps = {}
    for number, (step, path) in enumerate(checkpoints.items()):
        share = number / len(checkpoints)
        steps[step] = class_similarity(
            open_checkpoint(recipe, run, path),
            complete_chips(collection, split),
            lambda count, step=step, share=share: shown.update(  # type: ignore[misc]
                f"similarity at step {step}: {count} chips", share
            ),
        )
    plot_similarity(steps, recipe.class_values, folder / SIMILARITY[0])
    content = {
        "classes": [land_class.name for land_class in recipe.class_values],
        "similarity": [
            {"step": step, "rows": one, "columns": other, "mean_cosine": _finite(found)}
            for step, pairs in steps.items()
            for (one, other), found in pairs.items()
        ],
    }
    write_text(folder / SIMILARITY[1], json.dumps(content, indent=1))


def _seen(
    segmenter: Segmenter,
    telling: Mapping[int, Chip],
    of: Callable[[Segmenter, Chip, str, int], Mapping[str, NDArray[np.float64]]],
    path: Path,
    recipe: Recipe,
) -> None:
    """Draws what each sensor sees of the classes."""
    names = segmenter.network.names
    rows = [
        Activations(chip, number, {name: of(segmenter, chip, name, number) for name in names})
        for number, chip in telling.items()
    ]
    plot_activations(rows, segmenter.modalities, recipe.class_values, path)
