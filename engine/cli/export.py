"""`engine export`."""

from __future__ import annotations

import math
from pathlib import Path

import click
from rich.console import Console

from engine.errors import InputError, OutputError
from engine.export.deepness import export_deepness
from engine.files import check_target
from engine.model.file import Model
from engine.training.checkpoints import Kind
from engine.training.release import release


@click.command("export")
@click.argument("source", metavar="RUN|MODEL", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .onnx file.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the run's recipe.")
@click.option("--for", "host", type=click.Choice(["deepness"]), help="Write one modality in another host's form.")
@click.option("--modality", help="The modality, where the other host takes one and the model has several.")
@click.option("--stac", is_flag=True, help="Write a STAC item (MLM extension) beside the model.")
def command(
    source: Path,
    output: Path,
    checkpoint: Kind,
    overrides: tuple[str, ...],
    host: str | None,
    modality: str | None,
    stac: bool,
) -> None:
    """Write RUN as one self-describing ONNX model that serves every scenario.

    Tile size and halo are chosen on the validation split (a network of windows, whose tile is its own, is scored on
    some of it), and ONNX Runtime's answers are compared with the
    network's in every scenario. With --for deepness, the source is a MODEL written before.

    \b
    Examples:
      engine export runs/zion -o zion.onnx --stac
      engine export runs/zion-lds2ae -o preview.onnx --set network.options.stride=4
      engine export zion.onnx -o zion-rgb.onnx --for deepness --modality rgb
    """
    if output.suffix.lower() != ".onnx":
        raise OutputError(f"{output}: a model's name ends in .onnx")
    if host:
        if output.exists() and output.samefile(source):
            raise OutputError(f"{output}: is the model that is read; name another output")
        if stac or overrides or source.is_dir():
            raise InputError("--for deepness takes a model (.onnx) and no --stac or --set; export the run first")
        taken = export_deepness(Model(source), modality, output)
        click.echo(f"{output}: for Deepness, from {taken.name} ({', '.join(taken.bands)})")
        return
    if modality or not source.is_dir():
        raise InputError(f"{source}: expected a run folder; a model and --modality go with --for deepness")
    item = output.with_name(f"{output.stem}.json")
    if stac:
        from engine.export.stac import write_item  # its libraries are optional

        check_target(item)
        if item.exists() and item.resolve().is_relative_to(source.resolve()):
            raise OutputError(f"{item}: is part of the run, and the STAC item would write over it; name another output")
    console = Console(stderr=True)
    with console.status("reading the run") as status:
        metadata = release(
            source,
            output,
            checkpoint,
            overrides,
            lambda tile, halo, score, seam: console.print(
                f"tile {tile}, halo {halo}: validation mIoU {score:.4f}"
                + (f", seams {seam:.2f}" if math.isfinite(seam) else "")
            ),
            lambda what, share: status.update(f"{share:4.0%} {what}"),
        )
    click.echo(f"{output}: tile {metadata.tile}, halo {metadata.halo}, {output.stat().st_size / 1e6:.1f} MB")
    click.echo(f"largest difference to the network in any scenario: {metadata.parity:.1e}")
    if stac:
        write_item(Model(output), item)
        click.echo(f"{item}: STAC item")
