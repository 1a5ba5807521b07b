"""How far a command is: a bar or status in a terminal; without one, as in a batch job, plain lines on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.status import Status

INTERVAL = 60.0
"""Seconds between two plain lines at least, but for those of a validation."""


class Shown(Protocol):
    """What shows how far a command is."""

    def update(
        self, text: str, share: float | None = None, *, short: str = "", beside: str = "", at_once: bool = False
    ) -> None:
        """Tells how far it is.

        Args:
            text: What is done, as a plain line or status has it.
            share: How much of that is done, 0-1; None where no one knows.
            short: What stands before a bar; its title where empty.
            beside: What stands behind a bar; the share in percent where empty.
            at_once: Write a plain line now, whenever the last one was.
        """


class Lines:
    """Plain lines on stderr: time since the start, share, text and the time left.

    The time left is judged from the share's growth since it last began anew.

    Args:
        clock: Gives the seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._said = clock()
        self._first: tuple[float, float] | None = None
        self._newest = 0.0

    def update(
        self, text: str, share: float | None = None, *, short: str = "", beside: str = "", at_once: bool = False
    ) -> None:
        """See :meth:`Shown.update`."""
        now = self._clock()
        if share is not None:
            if self._first is None or share < self._newest:
                self._first = (now, share)
            self._newest = share
        if at_once or now - self._said >= INTERVAL:
            self._said = now
            done = "" if share is None else f"{share:4.0%}  "
            click.echo(f"{_duration(now - self._began)}  {done}{text}{self._left(now, share)}", err=True)

    def _left(self, now: float, share: float | None) -> str:
        if share is None or self._first is None or not self._first[1] < share < 1:
            return ""
        began, before = self._first
        return f"; about {_duration((now - began) * (1 - share) / (share - before))} left"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


class _Bar:
    def __init__(self, progress: RichProgress, title: str) -> None:
        self._progress, self._title = progress, title
        self._task = progress.add_task(title, total=1.0, visible=False, beside="")

    def update(
        self, text: str, share: float | None = None, *, short: str = "", beside: str = "", at_once: bool = False
    ) -> None:
        title = short or self._title
        if share is None:
            self._progress.update(self._task, description=title, visible=True)
        else:
            behind = beside or f"{share:4.0%}"
            self._progress.update(self._task, completed=share, description=title, beside=behind, visible=True)


class _Status:
    def __init__(self, status: Status) -> None:
        self._status = status

    def update(
        self, text: str, share: float | None = None, *, short: str = "", beside: str = "", at_once: bool = False
    ) -> None:
        self._status.update(text if share is None else f"{share:4.0%} {text}")


@contextmanager
def bar(title: str) -> Iterator[Shown]:
    """A bar, for what tells its share often. Lines on stdout may be written meanwhile."""
    console = Console(stderr=True)
    if not console.is_interactive:
        yield Lines()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[beside]}", style="progress.percentage", markup=False),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console, redirect_stdout=sys.stdout.isatty()) as progress:
        yield _Bar(progress, title)


@contextmanager
def status(title: str) -> Iterator[Shown]:
    """A status of one line, for what tells its parts by name."""
    console = Console(stderr=True)
    if not console.is_interactive:
        yield Lines()
        return
    with console.status(title) as shown:
        yield _Status(shown)
