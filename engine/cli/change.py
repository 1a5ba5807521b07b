"""`engine change`."""

from __future__ import annotations

from pathlib import Path

import click

from engine.cli.listening import listening
from engine.products.change import ChangeOptions, change


@click.command("change")
@click.argument("first", metavar="FIRST")
@click.argument("second", metavar="SECOND")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The changes (GeoTIFF).")
@click.option("--table", type=click.Path(path_type=Path), required=True, help="From what to what, in hectares (CSV).")
@click.option("--first-availability", metavar="RASTER", help="Which sensors the first map's pixels had.")
@click.option("--second-availability", metavar="RASTER", help="Which sensors the second map's pixels had.")
@click.option("--overwrite", is_flag=True, help="Write over files that are there.")
def command(
    first: str,
    second: str,
    output: Path,
    table: Path,
    first_availability: str | None,
    second_availability: str | None,
    overwrite: bool,
) -> None:
    """Find what has changed from the class map FIRST to SECOND, which lie on one grid.

    A pixel's code is from-class and to-class side by side: 405 is from 4 to 5, and 10405 the same where the pixel was
    mapped from other sensors than before, so that the change may be theirs.

    \b
    Examples:
      engine predict zion.onnx rgb=june.tif -o june_map.tif --availability june_sensors.tif
      engine predict zion.onnx rgb=july.tif -o july_map.tif --availability july_sensors.tif --like june_map.tif
      engine change june_map.tif july_map.tif -o change.tif --table change.csv \\
        --first-availability june_sensors.tif --second-availability july_sensors.tif
    """
    options = ChangeOptions(
        first=first,
        second=second,
        output=output,
        table=table,
        first_availability=first_availability,
        second_availability=second_availability,
        overwrite=overwrite,
    )
    with listening("comparing") as listener:
        found = change(options, listener)
    area = "" if found.hectares is None else f", {found.hectares:,.1f} ha"
    click.echo(f"{output}: {found.changed:.2%} of {found.pixels:,} pixels changed{area}, {found.seconds:.1f} s")
    if found.other_sensors is not None:
        click.echo(f"  {found.other_sensors:.2%} were mapped from other sensors than before")
    if found.one_map:
        click.echo(f"  {found.one_map:,} pixels have a class in one map alone, and are nodata")
