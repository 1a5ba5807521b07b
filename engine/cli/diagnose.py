"""`engine diagnose`."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import cast

import click
import numpy as np
from numpy.typing import NDArray

from engine.cli.progress import status
from engine.data.chips import complete_chips
from engine.data.settings import SplitName
from engine.data.survey import SceneCollection
from engine.errors import RecipeError, SplitError
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
    telling_chips,
)
from engine.files import check_target, make_folder, write_text
from engine.networks.segmenter import Segmenter
from engine.networks.stars import Stars
from engine.training.checkpoints import Kind, find, kept, step_of
from engine.training.recipe import Recipe
from engine.training.run import open_checkpoint, open_run

INFORMATION = "information.png"
STARS = ("similarity.png", "similarity.json", "parameters.png", "activations.png")


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

    information.png: how much each sensor contributes to the prediction and to the features of each stage, over the
    training, where the objective functional_entropy was there to measure it. Of stars also similarity.png and
    similarity.json: how alike classes look between two sensors, at each step whose weights the recipe keeps
    (schedule.keep_every) and at the checkpoint; parameters.png: the encoders' parameters; activations.png: where the
    encoders see each class (Grad-CAM).

    \b
    Examples:
      engine train recipes/stars/zion.yaml --set data.root=/data --set stages.0.schedule.keep_every=2000 -o runs/zion
      engine diagnose runs/zion
    """
    kind = cast(Kind, checkpoint)
    recipe, segmenter = open_run(run, kind, overrides)
    information = information_over_training(run / "metrics.csv")
    stars = isinstance(segmenter.network, Stars) and len(segmenter.modalities) > 1
    if not information and not stars:
        raise RecipeError(
            f"{run}: there is nothing to draw: no objective functional_entropy logged informations, and its network "
            f"is {recipe.network.name} with {len(segmenter.modalities)} sensors, not stars with two or more"
        )
    folder = output or run / "diagnostics" / split
    make_folder(folder)
    for name in (*([INFORMATION] if information else []), *(STARS if stars else [])):
        check_target(folder / name)
    if information:
        plot_information(information, folder / INFORMATION)
        click.echo(folder / INFORMATION)
    if stars:
        steps = {step_of(path): path for path in (*kept(run), find(run, kind))}
        for path in _stars(recipe, segmenter, run, dict(sorted(steps.items())), cast(SplitName, split), folder):
            click.echo(path)


def _stars(
    recipe: Recipe, segmenter: Segmenter, run: Path, checkpoints: dict[int, Path], split: SplitName, folder: Path
) -> list[Path]:
    """Draws what is of shared and specific encoders; the files."""
    classes = recipe.class_values
    data = SceneCollection(recipe.data, recipe.data.root, segmenter.modalities, classes)
    with closing(data) as collection, status("measuring") as shown:
        telling = telling_chips(complete_chips(collection, split), len(classes))
        if not telling:
            raise SplitError(f"data.split.{split}: no labelled pixel has every sensor")
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
        shown.update("activations")
        names = [modality.name for modality in segmenter.modalities]
        rows = [
            Activations(chip, number, {name: grad_cam(segmenter, chip, name, number) for name in names})
            for number, chip in telling.items()
        ]
    files = [folder / name for name in STARS]
    plot_similarity(steps, classes, files[0])
    content = {
        "classes": [land_class.name for land_class in classes],
        "similarity": [
            {"step": step, "rows": one, "columns": other, "mean_cosine": _finite(found)}
            for step, pairs in steps.items()
            for (one, other), found in pairs.items()
        ],
    }
    write_text(files[1], json.dumps(content, indent=1))
    plot_parameters(encoder_parameters(cast(Stars, segmenter.network)), files[2])
    plot_activations(rows, segmenter.modalities, classes, files[3])
    return files
