"""A bar in the terminal for jobs on a map."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from engine.products.outputs import Listener


@contextmanager
def listening(title: str) -> Iterator[Listener]:
    """A listener that shows progress, and warnings on stderr."""
    with Progress(TextColumn(title), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(title, total=1.0)
        yield Listener(
            warned=lambda text: click.echo(f"Warning: {text}", err=True),
            progress=lambda share: bar.update(task, completed=share),
        )
