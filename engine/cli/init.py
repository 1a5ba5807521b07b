"""`engine init`."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click
import torch

from engine.errors import OutputError
from engine.files import check_target
from engine.proposal.recipe import propose, recipe_name, written
from engine.proposal.timing import duration, training_seconds


@click.command("init")
@click.argument("rasters", nargs=-1, required=True, metavar="RASTER...")
@click.option("--labels", required=True, metavar="PATH", help="A label raster, or a vector file.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The recipe.")
@click.option("--field", metavar="NAME", help="The class field of a vector file [default: the only one that can be].")
@click.option("--ignore", multiple=True, metavar="VALUE", help="A label value or name that is no class.")
@click.option("--overwrite", is_flag=True, help="Write over a recipe that is there.")
def command(
    rasters: tuple[str, ...],
    labels: str,
    output: Path,
    field: str | None,
    ignore: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Write a recipe for your own RASTERs and labels, which `engine train` takes as it is.

    A RASTER is NAME=PATH[@BANDS] or a path alone; rasters of one name are one sensor. {tile} stands for the part of
    the file names that differs from scene to scene. What is seen is shown, and stands in the recipe.

    \b
    Examples:
      engine init optical=landsat.tif dem=srtm.tif --labels nlcd.tif -o recipe.yaml
      engine init landsat.tif --labels fields.gpkg --field crop -o recipe.yaml
      engine init "s1=s1/{tile}.png" "s2=s2/{tile}.png" --labels "masks/{tile}.png" -o flood.yaml
    """
    check_target(output)
    if output.exists() and not overwrite:
        raise OutputError(f"{output}: is there already; name another file, or write over it with --overwrite")
    proposal = propose(
        rasters,
        labels,
        output.parent,
        recipe_name(output),
        field,
        ignore,
        lambda text: click.echo(f"{text} ...", err=True),
    )
    for line in (*proposal.seen, "", *proposal.notes["data.split"]):
        click.echo(line)
    for text in proposal.warnings:
        click.echo(f"Warning: {text}", err=True)
    recipe = written(proposal, output)
    click.echo()
    for line in (*proposal.notes["network"], *proposal.notes["stages"], *proposal.last):
        click.echo(line)
    if not torch.cuda.is_available():
        took = duration(training_seconds(recipe))
        click.echo(
            f"Its steps take about {took} when nothing else runs here, by a few chips that were timed; reading "
            "and validation come on top."
        )
    click.echo(f"{output}: written; docs/choosing.md says how to read it")
    click.echo(f"next: engine train {quote(str(output))} -o runs/{recipe.name}")
