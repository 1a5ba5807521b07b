"""`engine describe`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from engine.data.settings import Named
from engine.errors import LegendError, OutputError
from engine.files import check_target, write_text
from engine.language.descriptions import (
    KINDS,
    TEMPLATE,
    Legend,
    check_legend,
    legend_names,
    legend_path,
    load_legend,
    read_legend,
)
from engine.language.registry import legend_vectors


@click.command("describe")
@click.argument("legend", required=False, metavar="NAME|FILE")
@click.option("--list", "listed", is_flag=True, help="Name the legends that ship with the engine.")
@click.option("--template", is_flag=True, help="Write a legend to start from.")
@click.option("--encoder", metavar="NAME[=MODEL]", help="Write the texts' vectors instead; MODEL: hub name or folder.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to: a copy, the template or vectors.")
def command(legend: str | None, listed: bool, template: bool, encoder: str | None, output: Path | None) -> None:
    """Show what is said of a legend's classes, sensor by sensor, and check it; copy it, or encode it.

    \b
    Examples:
      engine describe --list
      engine describe nlcd
      engine describe nlcd -o mine.yaml
      engine describe --template -o mine.yaml
      engine describe mine.yaml
      engine describe mine.yaml --encoder clip=FOLDER -o vectors.npz
    """
    if sum((legend is not None, listed, template)) != 1:
        raise click.UsageError("Give one of NAME|FILE, --list and --template.")
    if listed and output is not None:
        raise click.UsageError("--list writes no file.")
    if encoder is not None and (legend is None or output is None):
        raise click.UsageError("--encoder goes with NAME|FILE and -o.")
    if listed:
        for name in legend_names():
            shipped = load_legend(name)
            click.echo(f"{name:15} {len(shipped.classes):3} classes  {shipped.title}")
    elif template:
        copy(TEMPLATE, output)
    elif legend is not None and encoder is not None and output is not None:
        write_vectors(legend, encoder, output)
    elif legend is not None and output is not None:
        copy(legend_path(legend), output)
    elif legend is not None:
        show(load_legend(legend), legend)


def copy(source: Path, output: Path | None) -> None:
    """Writes a legend with its comments to a file that is not there yet, or to stdout."""
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise LegendError(f"{source}: cannot be read: {error.strerror}") from error
    if output is None:
        click.echo(text, nl=False)
        return
    _check_new(output)
    write_text(output, text)
    click.echo(f"{output}: edit it, then: engine describe {output}")


def _check_new(output: Path) -> None:
    check_target(output)
    if output.exists():
        raise OutputError(f"{output}: cannot be written: it is there already; name another file, or remove it first")


def write_vectors(legend: str, encoder: str, output: Path) -> None:
    """Writes the vectors of all texts of a legend to a file that is not there yet.

    Args:
        legend: By name or file.
        encoder: Its name in recipes, with ``=`` and a model where it takes one.
        output: The ``.npz`` file, which the encoder ``vectors`` reads.
    """
    _check_new(output)
    name, _, model = encoder.partition("=")
    if model and Path(model).is_dir():
        model = str(Path(model).resolve())
    vectors = legend_vectors(read_legend(legend), Named(name=name, options={"model": model} if model else {}))
    vectors.save(output)
    click.echo(f"{output}: {len(vectors.classes)} names, {', '.join(vectors.kinds)}: {vectors.origin}")


def show(legend: Legend, where: str) -> None:
    """Prints a legend and what its check found.

    Raises:
        LegendError: If that is an error.
    """
    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(Text(f"{legend.name}: {legend.title}", "bold"))
    console.print(Text(f"source: {legend.source}"))
    for one in legend.classes:
        also = f" (also {', '.join(one.also)})" if one.also else ""
        console.print(Text(f"\n{', '.join(map(str, one.values))}  {one.name}{also}", "bold"))
        for kind in (*KINDS, *(kind for kind in one.texts if kind not in KINDS)):
            if kind in one.texts:
                console.print(Text(f"  {kind}: {one.texts[kind]}"))
    console.print()
    found = check_legend(legend)
    for finding in found:
        console.print(Text(f"{finding.level}: {finding.message}", "red" if finding.level == "error" else "yellow"))
    count = Counter(finding.level for finding in found)
    if count["error"]:
        raise LegendError(f"{where}: errors found: {count['error']}; engine describe --template shows the form")
    console.print(f"{len(legend.classes)} classes, {count['warning']} warnings, no errors")
