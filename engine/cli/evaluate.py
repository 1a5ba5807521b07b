"""`engine evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table

from engine.data.survey import SceneCollection
from engine.errors import RecipeError
from engine.evaluation.predictors import torch_predictor
from engine.evaluation.scenarios import SUMMARY, Evaluation, evaluate, write_report
from engine.inference.machine import usable_processors
from engine.inference.model import Model
from engine.inference.mosaic import Predictor
from engine.inference.session import Sessions
from engine.modality import Modality
from engine.training.recipe import Recipe, read_recipe
from engine.training.run import open_run


@click.command("evaluate")
@click.argument("what", metavar="RUN|MODEL.onnx", type=click.Path(exists=True, path_type=Path))
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Recipe whose data to use.")
@click.option("--split", type=click.Choice(["validation", "test", "train"]), default="validation", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder [default: evaluation/SPLIT beside WHAT].")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the --data recipe.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True)
@click.option("--tile", type=click.IntRange(8), help="Tile of a run [default: the recipe's chip]; a model has its own.")
def command(
    what: Path,
    data: Path | None,
    split: str,
    output: Path | None,
    overrides: tuple[str, ...],
    checkpoint: str,
    tile: int | None,
) -> None:
    """Score a run, or a model with --data, on a split in every scenario.

    Whole scenes are mapped as `engine predict` does; a pixel counts in a scenario where all its sensors are valid.

    \b
    Examples:
      engine evaluate runs/zion
      engine evaluate zion.onnx --data recipes/zion.yaml --split test
    """
    recipe = read_recipe(data, overrides) if data else None
    if what.is_dir():
        trained, segmenter = open_run(what, checkpoint)  # type: ignore[arg-type]
        recipe = recipe or trained
        modalities = segmenter.modalities
        predict: Predictor = torch_predictor(segmenter, torch.device("cpu"))
        size, halo = tile or recipe.data.chip, (tile or recipe.data.chip) // 8
    else:
        recipe, modalities, predict, size, halo = _model(what, recipe)
    folder = output or (what if what.is_dir() else what.parent) / "evaluation" / split
    with Console(stderr=True).status("evaluating") as status:
        collection = SceneCollection(recipe.data, recipe.data.root, modalities, recipe.class_values)
        try:
            result = evaluate(
                collection,
                modalities,
                predict,
                split,  # type: ignore[arg-type]
                size,
                halo,
                threads=1 if what.is_dir() else usable_processors(),
                progress=lambda name, share: status.update(f"{share:4.0%} {name}"),
            )
        finally:
            collection.close()
    write_report(result, folder, {"of": what.name, "split": split, "tile": size, "halo": halo})
    print_tables(result)
    click.echo(f"{folder / 'scenarios.csv'}\n{folder / 'report.json'}")


def _model(path: Path, recipe: Recipe | None) -> tuple[Recipe, tuple[Modality, ...], Predictor, int, int]:
    if recipe is None:
        raise click.UsageError("a model holds no data: name a recipe with --data")
    model = Model(path)
    metadata = model.metadata
    for what, there, here in (
        ("classes", [item.value for item in model.classes], [item.value for item in recipe.classes]),
        ("modalities", list(model.names), [item.name for item in recipe.modalities]),
    ):
        if there != here:
            raise RecipeError(f"{path}: its {what} are {there}, the recipe's are {here}; they must be the same")
    sessions = Sessions(model)

    return recipe, model.modalities, sessions.probabilities, metadata.tile, metadata.halo


def print_tables(evaluation: Evaluation) -> None:
    """Prints the summary figures, and each class's IoU, of every scenario."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    figures = dict(zip(SUMMARY, ("mIoU", "mF1", "OA", "AA", "kappa"), strict=True))
    console.print(_table("per scenario", evaluation, figures))
    classes = {f"iou_{land_class.name}": land_class.name for land_class in evaluation.classes}
    console.print(_table("IoU of each class", evaluation, classes))


def _table(title: str, evaluation: Evaluation, columns: dict[str, str]) -> Table:
    table = Table(title=title)
    table.add_column("scenario", no_wrap=True)
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for row in evaluation.rows():
        if any(key in row for key in columns):
            cells = [f"{row[key]:.3f}" for key in columns]
            table.add_row(str(row["scenario"]), *cells)
    return table
