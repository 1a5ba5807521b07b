"""`engine mapfolder`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from engine.cli.listening import listening
from engine.mapping.folder import FolderOptions, map_folder
from engine.mapping.predict import Listener
from engine.model.file import Model
from engine.runtime.session import DEVICES


@click.command("mapfolder")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The folder of the maps.")
@click.option("--pattern", default="", metavar="PATTERN", help="What a scene's files are called: {scene}_*.tif.")
@click.option("--assignment", default="", metavar="TEXT", help="Which file is which modality: optical=a.tif;dem=b.tif.")
@click.option("--confidence", is_flag=True, help="Also write SCENE_confidence.tif.")
@click.option("--availability", is_flag=True, help="Also write SCENE_availability.tif.")
@click.option("--device", default="auto", show_default=True, metavar="DEVICE", help=f"One of {', '.join(DEVICES)}.")
@click.option("--overwrite", is_flag=True, help="Map again what is there.")
def command(
    model: Path,
    folder: Path,
    output: Path,
    pattern: str,
    assignment: str,
    confidence: bool,
    availability: bool,
    device: str,
    overwrite: bool,
) -> None:
    """Map every scene of FOLDER with MODEL: each subfolder, or what a pattern takes together.

    What fails is told, and the rest mapped; the same command goes on where it was. The exit status is 1 where a scene
    failed.

    \b
    Examples:
      engine mapfolder zion.onnx scenes -o maps
      engine mapfolder zion.onnx scenes -o maps --pattern "{scene}_*.tif"
    """
    options = FolderOptions(
        folder=folder,
        output=output,
        pattern=pattern,
        assignment=assignment,
        confidence=confidence,
        availability=availability,
        overwrite=overwrite,
        map={"device": device},
    )
    with listening("mapping") as heard:
        found = map_folder(Model(model), options, Listener(warned=heard.warned, progress=heard.progress), click.echo)
    count = {state: sum(one.state == state for one in found) for state in ("mapped", "there", "failed")}
    click.echo(
        f"{output}: {count['mapped']} scenes mapped, {count['there']} were there already, {count['failed']} failed"
    )
    if count["failed"]:
        sys.exit(1)
