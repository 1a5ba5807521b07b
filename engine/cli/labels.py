"""`engine labels`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import click
from pandas import isna
from rich.console import Console
from rich.table import Table

from engine.cli.progress import status
from engine.data.survey import SceneCollection
from engine.evaluation.label_faults import kinds_of
from engine.evaluation.label_ranking import confused_pairs
from engine.evaluation.labels import CheckedLabels, check_labels
from engine.training.recipe import read_recipe

WORST = 10
"""Regions that are printed."""


@click.command("labels")
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The regions (GeoPackage).")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the recipe.")
@click.option("--overwrite", is_flag=True, help="Write over a file that is there.")
def command(recipe: Path, output: Path, overrides: tuple[str, ...], overwrite: bool) -> None:
    """Find faults in the labels of RECIPE's scenes, and labels that look like another class.

    A region is a polygon or, in a label raster, what is connected and of one class. Each gets its agreement: the mean
    probability of its own class by random forests that never saw the region, on all sensors, over at most 50 of its
    pixels. Rank 1 agrees least: that is no proof, but where to look first. Regions of fewer than 4 pixels are
    not ranked, and neither is the only region of a class. Faults of polygons: invalid, duplicate, overlap of unlike
    classes, sliver, outside of all sensors. Without georeference regions lie in pixels, rows counted downwards from 0.

    \b
    Examples:
      engine labels recipes/zion.yaml --set data.root=/data -o labels.gpkg
      engine labels mine.yaml -o labels.gpkg --overwrite
    """
    settings = read_recipe(recipe, overrides)
    data = SceneCollection(settings.data, settings.data.root, settings.modality_values, settings.class_values)
    with closing(data) as collection, status("reading") as shown:
        checked = check_labels(collection, output, overwrite, shown.update)
    print_labels(checked)
    click.echo(output)


def print_labels(checked: CheckedLabels) -> None:
    """Prints the regions that agree least, pairs of classes that are confused, and how many have which problem."""
    console, table = Console(width=None if sys.stdout.isatty() else 200), checked.table
    ranked = table[table["rank"].notna()]
    worst = Table(title=f"the {min(WORST, len(ranked))} of {len(ranked)} ranked regions that agree least")
    for heading in ("rank", "scene", "where", "class", "looks like", "agreement", "pixels"):
        worst.add_column(heading, justify="right" if heading in ("rank", "agreement", "pixels") else "left")
    for row in ranked.head(WORST).to_dict("records"):
        point = row["geometry"].representative_point()
        where = f"x {point.x:.0f}, y {point.y:.0f}" if isna(row["feature"]) else f"feature {row['feature']}"
        cells = (row["scene"], where, row["class"], row["looks_like"], f"{row['agreement']:.2f}", f"{row['pixels']:,}")
        worst.add_row(str(row["rank"]), *cells)
    console.print(worst)
    for text in confused_pairs(checked.ranking.confusion, checked.classes):
        console.print(f"confused: {text}", highlight=False)
    problems = kinds_of(table["problem"].dropna().tolist())
    found = ", ".join(f"{count:,} {kind}" for kind, count in problems.items())
    console.print(f"{len(table):,} regions; problems: {found or 'none'}", highlight=False)
    for index in checked.ranking.alone:
        name = checked.classes[index]
        console.print(f"{name} has one region, which cannot be cross-validated: label another one", highlight=False)
