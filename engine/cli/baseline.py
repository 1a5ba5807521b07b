"""`engine baseline`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import cast

import click
from rich.console import Console
from rich.table import Table

from engine.availability import scenarios
from engine.cli.progress import status
from engine.data.settings import SplitName
from engine.data.survey import SceneCollection
from engine.evaluation.baseline import BASELINE, baseline_folder, write_baseline
from engine.evaluation.forests import KINDS, Kind, score_forests
from engine.evaluation.scenarios import Evaluation
from engine.files import check_target, make_folder
from engine.training.recipe import read_recipe
from engine.training.run import read_modalities, recipe_of


@click.command("baseline")
@click.argument("what", metavar="RUN|RECIPE", type=click.Path(exists=True, path_type=Path))
@click.option("--split", type=click.Choice(["validation", "test", "train"]), default="validation", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder [default: RUN/baseline/SPLIT].")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the recipe.")
def command(what: Path, split: str, output: Path | None, overrides: tuple[str, ...]) -> None:
    """Score random forests, one for each scenario, on the pixels that a run is trained and scored on.

    They are grown on the labelled pixels of the training split, at most 5000 of each class, drawn by a fixed seed, and
    weighted by data.sampling_power as chips are drawn. One sees a pixel's values alone, another also mean and deviation
    over the 5 x 5 pixels around it; each has 100 trees. `engine evaluate` then shows the better one beside the run.

    \b
    Examples:
      engine baseline runs/zion
      engine baseline runs/zion --split test
      engine baseline recipes/zion.yaml --set data.root=/data -o forests      before any training
    """
    run = what.is_dir()
    if not run and output is None:
        raise click.UsageError("a recipe has no folder for results yet: name one with -o")
    chosen = cast(SplitName, split)
    recipe = recipe_of(what, overrides) if run else read_recipe(what, overrides)
    modalities = read_modalities(what) if run else recipe.modality_values
    folder = output or baseline_folder(what, chosen)
    make_folder(folder)
    files = [folder / name for name in BASELINE]
    for file in files:
        check_target(file)
    data = SceneCollection(recipe.data, recipe.data.root, modalities, recipe.class_values)
    with closing(data) as collection, status("reading") as shown:
        found = score_forests(collection, chosen, shown.update)
    for scenario in scenarios(len(modalities)):
        if scenario not in found[KINDS[0]].scenarios:
            label = scenario.label([modality.name for modality in modalities])
            click.echo(
                f"Warning: {label}: no forest: all its sensors are valid on no labelled pixel of one of the splits",
                err=True,
            )
    write_baseline(found, folder, {"of": what.name, "split": split})
    print_forests(found)
    for file in files:
        click.echo(file)


def print_forests(forests: Mapping[Kind, Evaluation]) -> None:
    """Prints mIoU and overall accuracy of the forests of every scenario."""
    table = Table(title="random forests")
    table.add_column("scenario", no_wrap=True)
    for kind in KINDS:
        table.add_column(f"mIoU, {kind}", justify="right")
        table.add_column(f"OA, {kind}", justify="right")
    for rows in zip(*(forests[kind].rows() for kind in KINDS), strict=True):
        figures = (f"{row[figure]:.3f}" for row in rows for figure in ("miou", "overall_accuracy"))
        table.add_row(str(rows[0]["scenario"]), *figures)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
