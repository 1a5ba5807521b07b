"""`engine export`."""

from __future__ import annotations

from pathlib import Path

import click

from engine.cli.progress import status
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
@click.option("--overwrite", is_flag=True, help="Write over a model or STAC item that is there.")
def command(
    source: Path,
    output: Path,
    checkpoint: Kind,
    overrides: tuple[str, ...],
    host: str | None,
    modality: str | None,
    stac: bool,
    overwrite: bool,
) -> None:
    """Write RUN as one self-describing ONNX model that serves every scenario.

    Tile and halo are those that `engine evaluate` maps with: chosen on the validation split by whichever comes first,
    and kept in the run folder; a network of windows has its own. The model holds the accuracy that they give, on the
    test split where it has labels, and on validation. ONNX Runtime's answers are compared with the network's in every
    scenario. With --for deepness, the source is a MODEL written before.

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
        _check_free(output, overwrite)
        if stac or overrides or source.is_dir():
            raise InputError("--for deepness takes a model (.onnx) and no --stac or --set; export the run first")
        taken = export_deepness(Model(source), modality, output)
        click.echo(f"{output}: for Deepness, from {taken.name} ({', '.join(taken.bands)})")
        return
    if modality or not source.is_dir():
        raise InputError(f"{source}: expected a run folder; a model and --modality go with --for deepness")
    item = output.with_name(f"{output.stem}.json")
    _check_free(output, overwrite)
    if stac:
        from engine.export.stac import write_item  # its libraries are optional

        check_target(item)
        if item.exists() and item.resolve().is_relative_to(source.resolve()):
            raise OutputError(f"{item}: is part of the run, and the STAC item would write over it; name another output")
        _check_free(item, overwrite)

    def say(line: str) -> None:
        click.echo(line, err=True)

    with status("reading the run") as shown:
        metadata = release(
            source,
            output,
            checkpoint,
            overrides,
            say,
            lambda tried: say(str(tried)),
            shown.update,
        )
    click.echo(f"{output}: tile {metadata.tile}, halo {metadata.halo}, {output.stat().st_size / 1e6:.1f} MB")
    click.echo(f"largest difference to the network in any scenario: {metadata.parity:.1e}")
    for split in dict.fromkeys(one.named_split for one in metadata.accuracy):
        of_split = [one.miou for one in metadata.accuracy if one.named_split == split]
        click.echo(f"mean mIoU over the scenarios, {split}: {sum(of_split) / len(of_split):.3f}")
    if stac:
        write_item(Model(output), item)
        click.echo(f"{item}: STAC item")


def _check_free(path: Path, overwrite: bool) -> None:
    if path.is_file() and not overwrite:
        raise OutputError(f"{path}: is there already; name another output, or write over it with --overwrite")
