"""`engine verify`."""

from __future__ import annotations

from pathlib import Path

import click

from engine.errors import RasterReadError
from engine.mapping.verify import verify


@click.command("verify")
@click.argument("maps", nargs=-1, required=True, metavar="MAP...", type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Compare size and time of the file only.")
def command(maps: tuple[Path, ...], quick: bool) -> None:
    """Check that each MAP still is what was mapped, by the hashes beside it: values, georeference, legend and all.

    \b
    Example:
      engine verify map.tif
    """
    problems = []
    for path in maps:
        try:
            found = verify(path, quick)
        except RasterReadError as error:
            problems.append(str(error))
            continue
        click.echo(f"{path}: {found.text}")
        for addition in found.additions:
            click.echo(f"  {addition}")
    if problems:
        raise RasterReadError("\n".join(problems))
