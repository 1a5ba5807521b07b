"""`engine describe`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from engine.errors import LegendError, OutputError
from engine.language.descriptions import KINDS, TEMPLATE, Legend, check_legend, legend_names, load_legend


@click.command("describe")
@click.argument("legend", required=False, metavar="NAME|FILE")
@click.option("--list", "listed", is_flag=True, help="Name the legends that ship with the engine.")
@click.option("--template", is_flag=True, help="Write a legend to start from.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to; of --template. [default: stdout]")
def command(legend: str | None, listed: bool, template: bool, output: Path | None) -> None:
    """Show what is said of a legend's classes, sensor by sensor, and check it.

    \b
    Examples:
      engine describe --list
      engine describe nlcd
      engine describe --template -o mine.yaml
      engine describe mine.yaml
    """
    if sum((legend is not None, listed, template)) != 1:
        raise click.UsageError("Give one of NAME|FILE, --list and --template.")
    if output is not None and not template:
        raise click.UsageError("-o goes with --template.")
    if listed:
        for name in legend_names():
            shipped = load_legend(name)
            click.echo(f"{name:15} {len(shipped.classes):3} classes  {shipped.title}")
    elif template:
        write_template(output)
    elif legend is not None:
        show(load_legend(legend), legend)


def write_template(output: Path | None) -> None:
    """Writes the template to a file that is not there yet, or to stdout."""
    text = TEMPLATE.read_text(encoding="utf-8")
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"{output}: cannot be written: {error.strerror}") from error
    click.echo(f"{output}: edit it, then: engine describe {output}")


def show(legend: Legend, where: str) -> None:
    """Prints a legend and what its check found.

    Raises:
        LegendError: If that is an error.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
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
