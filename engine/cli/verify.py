"""`engine verify`."""

from __future__ import annotations

from pathlib import Path

import click

from engine.mapping.verify import verify


@click.command("verify")
@click.argument("maps", nargs=-1, required=True, metavar="MAP...", type=click.Path(path_type=Path))
def command(maps: tuple[Path, ...]) -> None:
    """Check that each MAP still holds what was mapped, by the hashes beside it.

    \b
    Example:
      engine verify map.tif
    """
    for path in maps:
        click.echo(f"{path}: {verify(path)}")
