"""How far a job on a map is, and its warnings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from engine.cli.progress import bar
from engine.products.outputs import Listener


@contextmanager
def listening(title: str) -> Iterator[Listener]:
    """A listener that shows progress, and warnings on stderr."""
    with bar(title) as shown:
        yield Listener(
            warned=lambda text: click.echo(f"Warning: {text}", err=True),
            progress=lambda share: shown.update(title, share),
        )
