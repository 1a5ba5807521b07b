"""`engine diagnose`."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import cast

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from engine.data.chips import complete_chips
from engine.data.settings import SplitName
from engine.data.survey import SceneCollection
from engine.errors import RecipeError, SplitError
from engine.evaluation.diagnostics import (
    Activations,
    class_similarity,
    encoder_parameters,
    grad_cam,
    plot_activations,
    plot_parameters,
    plot_similarity,
    telling_chips,
)
from engine.networks.stars import Stars
from engine.training.checkpoints import Kind, find, kept, step_of
from engine.training.run import open_checkpoint, open_run


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
    """Draw what the shared and specific encoders of a STARS run have learned.

    similarity.png: how alike classes look between two sensors, at each step whose weights the recipe keeps
    (schedule.keep_every) and at the checkpoint. parameters.png: the encoders' parameters. activations.png: where the
    encoders see each class (Grad-CAM). The similarities are in similarity.json too.

    \b
    Examples:
      engine train recipes/stars/zion.yaml --set stages.0.schedule.keep_every=2000 -o runs/zion-stars
      engine diagnose runs/zion-stars
    """
    recipe, segmenter = open_run(run, cast(Kind, checkpoint), overrides)
    if not isinstance(segmenter.network, Stars) or len(segmenter.modalities) < 2:
        raise RecipeError(
            f"{run}: its network is {recipe.network.name} with {len(segmenter.modalities)} sensors; "
            "what is diagnosed is stars with two or more"
        )
    folder = output or run / "diagnostics" / split
    folder.mkdir(parents=True, exist_ok=True)
    chosen, classes = cast(SplitName, split), recipe.class_values
    checkpoints = {step_of(path): path for path in (*kept(run), find(run, cast(Kind, checkpoint)))}
    data = SceneCollection(recipe.data, recipe.data.root, segmenter.modalities, classes)
    with closing(data) as collection, Console(stderr=True).status("measuring") as status:
        telling = telling_chips(complete_chips(collection, chosen), len(classes))
        if not telling:
            raise SplitError(f"data.split.{split}: no labelled pixel has every sensor")
        steps = {}
        for step, path in sorted(checkpoints.items()):
            steps[step] = class_similarity(
                open_checkpoint(recipe, run, path),
                complete_chips(collection, chosen),
                lambda count, step=step: status.update(f"similarity at step {step}: {count} chips"),  # type: ignore[misc]
            )
        status.update("activations")
        names = [modality.name for modality in segmenter.modalities]
        rows = [
            Activations(chip, number, {name: grad_cam(segmenter, chip, name, number) for name in names})
            for number, chip in telling.items()
        ]
    plot_similarity(steps, classes, folder / "similarity.png")
    plot_parameters(encoder_parameters(segmenter.network), folder / "parameters.png")
    plot_activations(rows, segmenter.modalities, classes, folder / "activations.png")
    content = {
        "classes": [land_class.name for land_class in classes],
        "similarity": [
            {"step": step, "rows": one, "columns": other, "mean_cosine": _finite(found)}
            for step, pairs in steps.items()
            for (one, other), found in pairs.items()
        ],
    }
    (folder / "similarity.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    for name in ("similarity.png", "similarity.json", "parameters.png", "activations.png"):
        click.echo(folder / name)
