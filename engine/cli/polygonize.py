"""`engine polygonize`."""

from __future__ import annotations

from pathlib import Path

import click

from engine.cli.listening import listening
from engine.products.polygonize import PolygonizeOptions, polygonize


@click.command("polygonize")
@click.argument("map_", metavar="MAP")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The polygons (GeoPackage).")
@click.option("--confidence", metavar="RASTER", help="The map's confidence, for the mean of each polygon.")
@click.option("--availability", metavar="RASTER", help="The map's availability, for the scenario of each polygon.")
@click.option(
    "--minimum",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HECTARES",
    help="Merge regions below this area into the class that they share the longest border with, the smallest first.",
)
@click.option("--overwrite", is_flag=True, help="Write over a file that is there.")
def command(
    map_: str,
    output: Path,
    confidence: str | None,
    availability: str | None,
    minimum: float | None,
    overwrite: bool,
) -> None:
    """Make polygons of a class MAP, along its pixels' exact edges.

    \b
    Examples:
      engine polygonize map.tif -o polygons.gpkg
      engine polygonize map.tif -o polygons.gpkg --minimum 1 --confidence confidence.tif --availability availability.tif
    """
    options = PolygonizeOptions(
        map=map_,
        output=output,
        confidence=confidence,
        availability=availability,
        minimum=minimum,
        overwrite=overwrite,
    )
    with listening("polygons") as listener:
        made = polygonize(options, listener)
    merged = "" if minimum is None else f", {made.merged:,} regions below {minimum:g} ha merged"
    click.echo(f"{output}: {made.polygons:,} polygons of {made.classes} classes{merged}, {made.seconds:.1f} s")
