"""What a training logs: ``metrics.csv``, a row a value in long form (step, name, value), and TensorBoard's events."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from engine.files import sync, unwritable, write_text
from engine.training.run import BOARD, METRICS


class Logs:
    """Both of them, opened to go on. What was logged after the step that a training goes on from is dropped.

    Args:
        folder: The run folder.
        step: Steps done.

    Raises:
        OutputError: If they cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / METRICS
        rows = ([str(cell) for cell in row] for row in (["step", "name", "value"], *_rows(self._path, step)))
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        write_text(self._path, text.getvalue())
        try:
            self._file = self._path.open("a", newline="", encoding="utf-8")
            self._board = SummaryWriter(str(folder / BOARD), purge_step=step + 1)
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._writer = csv.writer(self._file)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Logs values by name, and hands the rows to the operating system.

        Raises:
            OutputError: If they cannot be written.
        """
        try:
            self._writer.writerows([step, name, f"{value:.6g}"] for name, value in values.items())
            self._file.flush()
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def keep(self) -> None:
        """Brings all to the disk: for before a checkpoint, after which no one logs it again.

        Raises:
            OutputError: If that fails.
        """
        try:
            self._file.flush()
            sync(self._path)
            self._board.flush()
        except OSError as error:
            raise unwritable(self._path, error) from error

    def close(self) -> None:
        """Closes both."""
        with suppress(OSError):  # of what was said before
            self._file.close()
        self._board.close()


def scenario_scores(folder: Path, step: int) -> dict[str, float]:
    """The mIoU of each scenario, and ``mean``, that a run's validation found at a step; empty where it found none.

    Args:
        folder: The run folder.
        step: Of the validation.
    """
    start = "validation/miou/"
    return {
        name.removeprefix(start): float(value)
        for number, name, value in _rows(folder / METRICS, step)
        if name.startswith(start) and int(number) == step
    }


def _rows(path: Path, step: int) -> list[list[str]]:
    """Rows up to a step; the last line may be torn."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace").replace("\0", "").rpartition("\n")[0]
    rows = csv.reader(text.splitlines())
    return [row for row in rows if len(row) == 3 and row[0].isdigit() and int(row[0]) <= step]


def means(found: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """The mean over the parts that have it of each value, brought from the device at once."""
    names = list(dict.fromkeys(name for part in found for name in part))
    if not names:
        return {}
    values = torch.stack(
        [torch.stack([part[name].float() for part in found if name in part]).mean() for name in names]
    ).tolist()
    return dict(zip(names, values, strict=True))
