"""`engine export`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from engine.training.release import release


@click.command("export")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .onnx file.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True)
def command(run: Path, output: Path, checkpoint: str) -> None:
    """Write RUN as one self-describing ONNX model that serves every scenario.

    Tile size and halo are chosen on the validation split, and ONNX Runtime's answers are compared with the
    network's in every scenario.

    \b
    Example:
      engine export runs/zion -o zion.onnx
    """
    console = Console(stderr=True)
    metadata = release(
        run,
        output,
        checkpoint,  # type: ignore[arg-type]
        lambda tile, halo, score: console.print(f"tile {tile}, halo {halo}: validation mIoU {score:.4f}"),
    )
    click.echo(f"{output}: tile {metadata.tile}, halo {metadata.halo}, {output.stat().st_size / 1e6:.1f} MB")
    click.echo(f"largest difference to the network in any scenario: {metadata.parity:.1e}")
