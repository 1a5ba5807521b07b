"""`engine inspect`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.errors import GridError, RunError
from engine.model.document import Interval, ModelMetadata, ScenarioAccuracy
from engine.model.file import Model
from engine.names import shown
from engine.raster.sources import SourceSpec, open_source
from engine.report.card import write_card


@click.command("inspect")
@click.argument("what", metavar="MODEL|RASTER|RUN")
@click.option("--html", type=click.Path(path_type=Path), help="Write a model's card as an HTML page instead.")
def command(what: str, html: Path | None) -> None:
    """Show what a model, raster or run folder holds.

    \b
    Examples:
      engine inspect zion.onnx
      engine inspect scene.tif
      engine inspect zion.onnx --html zion.html
    """
    path = Path(what)
    if html is not None:
        write_card(Model(path), html)
    elif path.suffix == ".onnx":
        show_model(path)
    elif path.is_dir():
        show_run(path)
    else:
        show_raster(what)


def show_model(path: Path) -> None:
    """Prints a model's metadata."""
    metadata = Model(path).metadata
    console = Console(width=None if sys.stdout.isatty() else 200, markup=False)
    size = metadata.pixel_size
    console.print(
        Text.assemble(
            (metadata.name, "bold"), shown(f", written by engine {metadata.engine}, {path.stat().st_size / 1e6:.1f} MB")
        )
    )
    console.print(f"tile {metadata.tile}, halo {metadata.halo}, seam {metadata.seam}, sizes {metadata.sizes}")
    ground = "" if size.metres is None else f", {size.metres:.4g} m on the ground"
    console.print(f"pixels {size.x:g} x {size.y:g}, {shown(size.crs or 'no coordinate reference system')}{ground}")
    facts = metadata.training
    console.print(shown(f"trained on {', '.join(facts.data)} ({facts.licence or 'no licence stated'})"))
    parity = "unknown" if metadata.parity is None else f"{metadata.parity:.1e}"
    console.print(shown(f"network {facts.network}, method {facts.method}; parity {parity}"))
    bands = Table(title="modalities")
    for column in ("modality", "type", "unit", "band", "mean", "std", "minimum", "maximum"):
        bands.add_column(column)
    for modality in metadata.modalities:
        for band in modality.bands:
            figures = [f"{value:.5g}" for value in (band.mean, band.std, band.minimum, band.maximum)]
            bands.add_row(modality.name, modality.dtype, modality.unit, band.name, *figures)
    console.print(bands)
    classes = Table(title="classes")
    for column in ("value", "name", "colour"):
        classes.add_column(column)
    for item in metadata.classes:
        classes.add_row(str(item.value), item.name, Text.assemble(("    ", f"on {item.color}"), f" {item.color}"))
    console.print(classes)
    accuracy = Table(title="accuracy")
    for column in ("scenario", "mIoU", "95 %", "overall accuracy", "95 %", "labelled pixels", "blocks", "split"):
        accuracy.add_column(column)
    for row in metadata.accuracy:
        accuracy.add_row(
            shown(row.scenario),
            f"{row.miou:.3f}",
            _ends(row.miou_interval),
            f"{row.overall_accuracy:.3f}",
            _ends(row.overall_accuracy_interval),
            "" if row.pixels is None else f"{row.pixels:,}",
            "" if row.blocks is None else str(row.blocks),
            row.named_split,
        )
    console.print(accuracy)
    if any(row.blocks is not None for row in metadata.accuracy):
        console.print("95 %: interval by a bootstrap over spatial blocks; none where too few have labels")
    known = [one for one in metadata.expected.values() if one.classes is not None]
    if known:
        console.print(_by_class(metadata, known))


def _by_class(metadata: ModelMetadata, known: Sequence[ScenarioAccuracy]) -> Table:
    """IoU of each class in each scenario."""
    guess = f"* hardly better than guessing ({metadata.guess:.2f}); - neither labelled nor mapped"
    found = Table(title="IoU of each class", caption=guess)
    found.add_column("class")
    for one in known:
        found.add_column(shown(" + ".join(one.scenario.split("+"))))
    nothing = (None,) * len(metadata.classes)
    for place, item in enumerate(metadata.classes):
        pairs = [((one.classes or nothing)[place], (one.class_intervals or nothing)[place]) for one in known]
        found.add_row(item.name, *(_iou(metadata, *pair) for pair in pairs))
    return found


def _iou(metadata: ModelMetadata, iou: float | None, interval: Interval | None) -> str:
    """A class's IoU, and below it its interval where it has one."""
    if iou is None:
        return "-"
    mark = "*" if metadata.is_weak(iou) else " "
    return f"{iou:.2f}{mark}" + ("" if interval is None else f"\n{_ends(interval)}")


def _ends(interval: Interval | None) -> str:
    return "" if interval is None else "{:.2f}-{:.2f}".format(*interval)


def show_raster(text: str) -> None:
    """Prints a raster's geometry and bands."""
    with open_source(SourceSpec.parse(text)) as source:
        dataset = source.dataset
        click.echo(f"{source.spec}: {dataset.width} x {dataset.height} pixels, {source.dtype}")
        try:
            grid = source.grid
            crs = grid.crs.to_string() if grid.crs else "no coordinate reference system"
            click.echo(f"{crs}, pixels of {grid.pixel_size}, {grid.bounds}")
        except GridError as error:
            click.echo(error)
        for place, (number, name) in enumerate(zip(source.band_indices, source.band_names, strict=True)):
            scale = "" if source.declared is None else "scale {:g}, offset {:g}".format(*source.declared[place])
            nodata = dataset.nodatavals[number - 1]
            facts = ["" if nodata is None else f"nodata {nodata:g}", scale]
            click.echo(", ".join([f"  {number}: {name}", *filter(None, facts)]))


def show_run(folder: Path) -> None:
    """Prints a run's recipe and checkpoints."""
    recipe = folder / "recipe.yaml"
    if not recipe.exists():
        raise RunError(f"{folder}: is no run folder: it has no recipe.yaml")
    click.echo(recipe.read_text(encoding="utf-8"))
    for checkpoint in sorted((folder / "checkpoints").glob("*-*")):
        click.echo(checkpoint)
