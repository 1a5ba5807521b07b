"""Finished rows of a map on the disk, with a journal: what a killed run left is found again, checked and gone on with.

The spool is a folder: ``plan.json`` (the job and its hash), a file of raw values for each layer, and ``journal.jsonl``,
a line for each finished row of tiles with the hashes of its values. Values are synced to the disk before the line that
names them, so a line never promises what is not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import OutputError

_LAYERS = ("classes", "confidence", "availability")
PLAN, JOURNAL = "plan.json", "journal.jsonl"


@dataclass(frozen=True)
class Line:
    """A finished row of tiles.

    Args:
        first_row: Its first row of the map.
        end_row: One past its last.
        hashes: Of each layer's values in these rows (SHA-256 of their bytes, little-endian, row by row).
        tallies: What is counted over the map: numbers by name and key, which are summed up.
    """

    first_row: int
    end_row: int
    hashes: dict[str, str]
    tallies: dict[str, dict[str, float]]


def job_hash(plan: Mapping[str, object]) -> str:
    """Hash of what decides a map's values."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


class Spool:
    """The folder of one map in the making. A context manager.

    Args:
        folder: It is made, or gone on with where it is of the same job.
        plan: What decides the values.
        layers: Data type of each layer.
        height: Rows of the map.
        width: Columns.

    Raises:
        OutputError: If the folder cannot be written, or is of another job.
    """

    def __init__(
        self, folder: Path, plan: Mapping[str, object], layers: Mapping[str, str], height: int, width: int
    ) -> None:
        self.folder, self.height, self.width = folder, height, width
        self.layers = {name: np.dtype(dtype).newbyteorder("<") for name, dtype in layers.items()}
        self.lines: list[Line] = []
        self._files: dict[str, FileIO] = {}
        try:
            self._open(plan)
        except OSError as error:
            self.close()
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"{folder}: cannot be written: {error.strerror}; check its folder") from error

    @staticmethod
    def hash_of(folder: Path) -> str | None:
        """Hash of the job that a folder holds an unfinished map of; None where it holds none."""
        try:
            return str(json.loads((folder / PLAN).read_text(encoding="utf-8"))["hash"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _open(self, plan: Mapping[str, object]) -> None:
        wanted = job_hash(plan)
        path = self.folder / PLAN
        if path.exists():
            found = self.hash_of(self.folder)
            if found != wanted:
                raise OutputError(
                    f"{self.folder}: holds an unfinished map of another job (other model, sources, bounds or engine); "
                    "finish that one, or start anew with --overwrite"
                )
        else:
            self._clear()
            self.folder.mkdir()
            aside = path.with_suffix(".part")
            aside.write_text(json.dumps({"hash": wanted, "plan": plan}, indent=1), encoding="utf-8")
            sync(aside)
            aside.rename(path)
            sync(self.folder)
        for name, dtype in self.layers.items():
            self.raw(name).touch()
            self._files[name] = FileIO(self.raw(name), "r+")
            self._files[name].truncate(self.height * self.width * dtype.itemsize)
        self._recover()
        self._journal = self._files[JOURNAL] = FileIO(self.folder / JOURNAL, "a")

    def _clear(self) -> None:
        """Removes what lies in the folder: without a plan nothing was promised. What is not a spool's own stays."""
        own = {
            PLAN,
            JOURNAL,
            f"{Path(PLAN).stem}.part",
            *(f"{name}{end}" for name in _LAYERS for end in (".raw", ".vrt")),
        }
        foreign = (
            sorted(path.name for path in self.folder.iterdir() if path.name not in own) if self.folder.exists() else []
        )
        if foreign:
            raise OutputError(
                f"{self.folder}: is where the map is put together, but holds other things ({', '.join(foreign[:3])}); "
                "move them, or name another output"
            )
        shutil.rmtree(self.folder, ignore_errors=True)

    def _recover(self) -> None:
        """Keeps the journal's lines up to the first that is torn, or whose values are not on the disk."""
        path = self.folder / JOURNAL
        text = path.read_bytes() if path.exists() else b""
        good = 0
        for raw in text.splitlines(keepends=True):
            line = _parsed(raw)
            if line is None or line.first_row != self.end_row or line.end_row > self.height:
                break
            if any(self._hash(name, line.first_row, line.end_row) != line.hashes.get(name) for name in self.layers):
                break
            self.lines.append(line)
            good += len(raw)
        if good < len(text):
            os.truncate(path, good)

    @property
    def end_row(self) -> int:
        """One past the last row that is finished."""
        return self.lines[-1].end_row if self.lines else 0

    def commit(
        self,
        end_row: int,
        strips: Mapping[str, NDArray[np.generic]],
        tallies: Mapping[str, Mapping[str, float]],
    ) -> None:
        """Brings the rows up to ``end_row`` to the disk and names them as finished.

        Args:
            end_row: One past the last of them; they start at :attr:`end_row`.
            strips: Each layer's values ``[rows, width]``.
            tallies: See :class:`Line`.

        Raises:
            OutputError: If they cannot be brought to the disk.
        """
        first, hashes = self.end_row, {}
        try:
            for name, dtype in self.layers.items():
                content = np.ascontiguousarray(strips[name], dtype=dtype).tobytes()
                hashes[name] = hashlib.sha256(content).hexdigest()
                file = self._files[name]
                file.seek(first * self.width * dtype.itemsize)
                _write_all(file, content)
                os.fsync(file.fileno())
            line = Line(first, end_row, hashes, {name: dict(counts) for name, counts in tallies.items()})
            _write_all(self._journal, json.dumps(asdict(line)).encode() + b"\n")
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written: {error.strerror}; is the disk full?") from error
        self.lines.append(line)

    def _hash(self, name: str, first_row: int, end_row: int) -> str:
        digest, dtype = hashlib.sha256(), self.layers[name]
        file = self._files[name]
        file.seek(first_row * self.width * dtype.itemsize)
        for row in range(first_row, end_row, 64):
            digest.update(file.read((min(row + 64, end_row) - row) * self.width * dtype.itemsize))
        return digest.hexdigest()

    def tally(self, name: str) -> dict[int, float]:
        """The sums of what was counted under a name, by key."""
        total: dict[int, float] = {}
        for line in self.lines:
            for key, number in line.tallies[name].items():
                total[int(key)] = total.get(int(key), 0) + number
        return total

    def raw(self, name: str) -> Path:
        """The file of a layer's values, row by row, little-endian."""
        return self.folder / f"{name}.raw"

    def close(self) -> None:
        """Closes the files; what was committed stays."""
        for file in self._files.values():
            file.close()

    def remove(self) -> None:
        """Closes and removes the folder."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sync(path: Path) -> None:
    """Brings a file or, where the system can, a folder to the disk."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parsed(raw: bytes) -> Line | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        return Line(**json.loads(raw))
    except (ValueError, TypeError):
        return None


def _write_all(file: FileIO, content: bytes) -> None:
    """Writes all of it: a disk that fills up takes a part first."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
