"""`engine synthesize`."""

from __future__ import annotations

from pathlib import Path

import click

from engine.data.synthetic import synthesize


@click.command("synthesize")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--size", type=click.IntRange(64), nargs=2, default=(512, 512), show_default=True, help="Rows, columns.")
def command(folder: Path, seed: int, size: tuple[int, int]) -> None:
    """Make a synthetic scene in FOLDER: optical, radar, elevation and labels as GeoTIFFs.

    \b
    Example:
      engine synthesize scene --seed 3 --size 1024 1024
    """
    synthesize(folder, seed=seed, size=size)
    click.echo(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
