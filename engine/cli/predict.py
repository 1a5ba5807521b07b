"""`engine predict`."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from engine.errors import ModalityError
from engine.mapping.predict import predict
from engine.raster.masks import parse_masks
from engine.raster.mosaics import Order
from engine.raster.sources import SourceSpec
from engine.runtime.session import DEVICES
from engine.runtime.sizing import said


def parse_sources(arguments: tuple[str, ...]) -> dict[str, list[SourceSpec]]:
    """``NAME=PATH[@BANDS]`` each; a name that comes again adds its bands behind those before.

    Raises:
        ModalityError: If one is not of that form.
    """
    sources: dict[str, list[SourceSpec]] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not (name and equals and path):
            raise ModalityError(f"{argument}: expected NAME=PATH[@BANDS], as in optical=scene.tif@3,2,1")
        sources.setdefault(name, []).append(SourceSpec.parse(path))
    return sources


def named(arguments: tuple[str, ...]) -> list[tuple[str, str]]:
    """``NAME=MASK`` each, in two.

    Raises:
        ModalityError: If one is not of that form.
    """
    found = []
    for argument in arguments:
        name, equals, mask = argument.partition("=")
        if not (name and equals and mask):
            raise ModalityError(f"--mask {argument}: expected NAME=MASK, as in optical=scl.tif:values=3,8,9")
        found.append((name, mask))
    return found


@click.command("predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("sources", nargs=-1, required=True, metavar="NAME=PATH[@BANDS]...")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The class map (GeoTIFF).")
@click.option("--confidence", type=click.Path(path_type=Path), help="Also write the confidence, 0-100.")
@click.option(
    "--availability",
    type=click.Path(path_type=Path),
    help="Also write which sensors each pixel had, as bits.",
)
@click.option("--probabilities", type=click.Path(path_type=Path), help="Also write those of all classes, 0-100.")
@click.option(
    "--origin", type=click.Path(path_type=Path), help="Also write which raster of a mosaic each pixel was read from."
)
@click.option("--bounds", type=float, nargs=4, metavar="LEFT BOTTOM RIGHT TOP", help="Map this part.")
@click.option("--bounds-crs", help="CRS of the bounds, as in EPSG:4326 [default: the map's].")
@click.option("--area", metavar="FILE[|LAYER]", help="Map within these polygons only.")
@click.option("--like", metavar="RASTER", help="Map on the grid of this raster.")
@click.option(
    "--mask",
    "masks",
    multiple=True,
    metavar="NAME=MASK",
    help="Leave out pixels of a modality: NAME=PATH[@BAND]:values=3,8,9, NAME=PATH[@BAND]:bits=1,3, "
    "NAME=PATH:scl (Sentinel-2), NAME=PATH:qa_pixel (Landsat), or NAME=POLYGONS[|LAYER]. NAME:2 for the second "
    "raster of a mosaic; :outside at the end masks what the mask does not reach.",
)
@click.option(
    "--mosaic",
    type=click.Choice(get_args(Order)),
    default="given",
    show_default=True,
    help="Which of several rasters of the same bands comes first.",
)
@click.option("--pixel-size", type=float, help="Size of a pixel in the map's CRS [default: the model's].")
@click.option("--device", default="auto", show_default=True, help=f"One of {', '.join(DEVICES)}.")
@click.option("--threads", type=click.IntRange(1), help="Threads [default: the processors this process may use].")
@click.option("--overwrite", is_flag=True, help="Start anew where an unfinished map lies at the output.")
@click.option("--strict", is_flag=True, help="Refuse values that are not those of the training.")
def command(
    model: Path,
    sources: tuple[str, ...],
    output: Path,
    confidence: Path | None,
    availability: Path | None,
    probabilities: Path | None,
    origin: Path | None,
    bounds: tuple[float, float, float, float] | None,
    bounds_crs: str | None,
    area: str | None,
    like: str | None,
    masks: tuple[str, ...],
    mosaic: str,
    pixel_size: float | None,
    device: str,
    threads: int | None,
    overwrite: bool,
    strict: bool,
) -> None:
    """Map rasters with MODEL, whichever of its sensors they are.

    What is finished lies in OUTPUT.part/ until all is: the same command goes on there after a crash or Ctrl-C.

    \b
    Examples:
      engine predict zion.onnx rgb=landsat.tif@3,2,1 dem=srtm.tif -o map.tif
      engine predict flood.onnx s1=before.tif s1=after.tif -o flood.tif --confidence confidence.tif
      engine predict zion.onnx rgb=west.tif rgb=east.tif -o map.tif     (each has all bands: a mosaic)
    """
    columns = (TextColumn("mapping"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("mapping", total=1.0)
        early: list[str] = []

        def warned(text: str) -> None:
            early.append(text)
            click.echo(f"Warning: {text}", err=True)

        summary = predict(
            model,
            parse_sources(sources),
            output,
            confidence=confidence,
            availability=availability,
            probabilities=probabilities,
            origin=origin,
            bounds=bounds,
            bounds_crs=bounds_crs,
            area=area,
            like=None if like is None else SourceSpec.parse(like),
            masks=parse_masks(named(masks)),
            order=cast(Order, mosaic),
            pixel_size=pixel_size,
            device=device,
            threads=threads,
            leftover="discard" if overwrite else "refuse",
            strict=strict,
            warned=warned,
            expected=lambda found: bar.console.print(said(found), highlight=False),
            progress=lambda share: bar.update(task, completed=share),
        )
    for note in summary.notes:
        click.echo(note)
    for warning in summary.warnings:
        if warning not in early:
            click.echo(f"Warning: {warning}", err=True)
    grid = summary.grid
    if summary.resumed:
        click.echo(f"went on from {summary.resumed:.0%}, which a run before had finished")
    click.echo(f"{output}: {grid.width} x {grid.height} pixels, {summary.device}, {summary.seconds:.1f} s")
    for label, share in summary.shares.items():
        click.echo(f"  {share:6.2%}  {label}")
