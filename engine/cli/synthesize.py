"""`engine synthesize`."""

from __future__ import annotations

from pathlib import Path

import click

from engine.data.synthetic import SceneOptions, synthesize


@click.command("synthesize")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--size", type=click.IntRange(64), nargs=2, default=(512, 512), show_default=True, help="Rows, columns.")
@click.option("--season", type=click.FloatRange(0, 1), default=0.8, show_default=True, help="0 midwinter, 1 midsummer.")
@click.option("--clouds", type=click.FloatRange(0, 0.95), default=0.0, show_default=True, help="Share under clouds.")
@click.option(
    "--footprint",
    "footprints",
    type=(str, click.FloatRange(0, 1, min_open=True)),
    multiple=True,
    metavar="MODALITY SHARE",
    help="Share of the width that a modality covers, from the left.",
)
@click.option("--hyperspectral", type=click.IntRange(0), default=0, help="Bands of a hyperspectral image.")
@click.option("--thermal", is_flag=True, help="Make a thermal image too.")
def command(
    folder: Path,
    seed: int,
    size: tuple[int, int],
    season: float,
    clouds: float,
    footprints: tuple[tuple[str, float], ...],
    hyperspectral: int,
    thermal: bool,
) -> None:
    """Make a synthetic scene in FOLDER: optical, radar, elevation and labels as GeoTIFFs.

    \b
    Example:
      engine synthesize scene --seed 3 --size 1024 1024 --clouds 0.2 --footprint sar 0.5
    """
    options = SceneOptions(season, clouds, dict(footprints), hyperspectral, thermal)
    synthesize(folder, seed, size, options)
    click.echo(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
