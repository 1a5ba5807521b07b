"""`engine statistics`."""

from __future__ import annotations

from pathlib import Path

import click

from engine.cli.listening import listening
from engine.products.statistics import StatisticsOptions, statistics


@click.command("statistics")
@click.argument("map_", metavar="MAP")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The table (CSV).")
@click.option("--zones", metavar="FILE[|LAYER]", help="Also count within each of these polygons.")
@click.option("--zone-field", metavar="NAME", help="The field that names them [default: their numbers].")
@click.option("--confidence", metavar="RASTER", help="The map's confidence, for means.")
@click.option("--availability", metavar="RASTER", help="The map's availability: also count by scenario.")
@click.option("--overwrite", is_flag=True, help="Write over a file that is there.")
def command(
    map_: str,
    output: Path,
    zones: str | None,
    zone_field: str | None,
    confidence: str | None,
    availability: str | None,
    overwrite: bool,
) -> None:
    """Count what a class MAP holds: pixels, hectares, share and mean confidence by class, scenario and zone.

    \b
    Examples:
      engine statistics map.tif -o table.csv
      engine statistics map.tif -o table.csv --zones parks.gpkg --zone-field name --confidence confidence.tif
    """
    options = StatisticsOptions(
        map=map_,
        output=output,
        zones=zones,
        zone_field=zone_field,
        confidence=confidence,
        availability=availability,
        overwrite=overwrite,
    )
    with listening("counting") as listener:
        found = statistics(options, listener)
    area = "" if found.hectares is None else f", {found.hectares:,.1f} ha"
    zoned = "" if zones is None else f", {found.zones} zones"
    click.echo(f"{output}: {found.pixels:,} pixels of {found.classes} classes{area}{zoned}, {found.seconds:.1f} s")
    for part, _, _, _, name, pixels, size, share, _ in found.rows:
        if part == "map":
            text = f"{pixels:,} pixels" if size is None else f"{size:,.2f} ha"
            click.echo(f"  {share:6.2f}%  {name}, {text}")
