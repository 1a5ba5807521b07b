"""Finished parts of a map on the disk, with a journal: what a killed run left is found again, checked and gone on with.

The spool is a folder: ``plan.json`` (the job and its hash), a file of raw values for each layer, ``borders.raw`` (what
panels owe to each other) and ``journal.jsonl``, a line for each finished strip of tiles with the hashes of its values.
Values are synced to the disk before the line that names them, so a line never promises what is not there.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from io import FileIO
from itertools import accumulate
from operator import or_
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import OutputError
from engine.files import leavings, unwritable, write_text
from engine.grid import Window
from engine.raster.identity import changed

PLAN, JOURNAL, BORDERS, PUBLISHED = "plan.json", "journal.jsonl", "borders.raw", "published"


@dataclass(frozen=True)
class SpoolLayer:
    """A layer's data type and number of bands."""

    dtype: str
    bands: int = 1

    @property
    def kind(self) -> np.dtype[np.generic]:
        """The data type as it lies in the file."""
        return np.dtype(self.dtype).newbyteorder("<")

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel."""
        return self.bands * self.kind.itemsize


@dataclass(frozen=True)
class Line:
    """A finished strip of tiles.

    Args:
        part: First row, first column, height and width of its pixels.
        hashes: Of each layer's values there (SHA-256 of their bytes, little-endian, row by row, in a row band by band),
            and of what the strip owes to the next panel.
    """

    part: list[int]
    hashes: dict[str, str]


PIECE = 1 << 20
"""Bytes that are read at a time."""


def by_rows(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Values ``[bands, rows, columns]`` as they lie in the file, and are hashed: ``[rows, bands, columns]``."""
    return values.transpose(1, 0, 2)


def job_hash(plan: Mapping[str, object]) -> str:
    """Hash of what decides a map's values."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


class Spool:
    """The folder of one map in the making. A context manager.

    Args:
        folder: It is made, or gone on with where it is of the same job.
        plan: What decides the values.
        layers: The layers by name.
        height: Rows of the map.
        width: Columns.
        parts: The pixels of each strip of tiles, in their order; together they cover the map.
        panel: Strips in a panel.
        border: Shape of what a strip owes to the next panel.

    Raises:
        OutputError: If the folder cannot be written, the disk has no room for it, or it is of another job.
    """

    def __init__(
        self,
        folder: Path,
        plan: Mapping[str, object],
        layers: Mapping[str, SpoolLayer],
        height: int,
        width: int,
        parts: Sequence[Window],
        panel: int,
        border: tuple[int, int, int],
    ) -> None:
        self.folder, self.layers, self.height, self.width = folder, dict(layers), height, width
        self.parts, self.panel, self.border = list(parts), panel, border
        self.lines: list[Line] = []
        self._tallies: dict[str, dict[int, float]] = {}
        self._starts = [0, *accumulate(part.height * part.width for part in self.parts)]
        self._borders: dict[int, str] = {}
        self._files: dict[str, FileIO] = {}
        try:
            self._open(plan)
        except OSError as error:
            self.close()
            if isinstance(error, OutputError):
                raise
            raise unwritable(folder, error) from error

    @staticmethod
    def found(folder: Path) -> tuple[str, dict[str, object]] | None:
        """Hash and plan of the job that a folder holds an unfinished map of; None where it holds none."""
        try:
            content = json.loads((folder / PLAN).read_text(encoding="utf-8"))
            return str(content["hash"]), dict(content["plan"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _open(self, plan: Mapping[str, object]) -> None:
        wanted = job_hash(plan)
        path = self.folder / PLAN
        if path.exists():
            found = self.found(self.folder)
            if found is None or found[0] != wanted:
                raise OutputError(f"{self.folder}: holds an unfinished map {_difference(found, plan)}")
        else:
            self._clear()
            self.folder.mkdir()
            write_text(path, json.dumps({"hash": wanted, "plan": plan}, indent=1))
        self._make_room()
        for name in (*self.layers, BORDERS):
            path = self.folder / BORDERS if name == BORDERS else self.raw(name)
            path.touch()
            self._files[name] = FileIO(path, "r+")
        self._recover()
        self._journal = self._files[JOURNAL] = FileIO(self.folder / JOURNAL, "a")

    def _make_room(self) -> None:
        """Refuses a map whose values have no room on the disk; what lies there already has its own."""
        needed = self.height * self.width * sum(layer.pixel_bytes for layer in self.layers.values())
        if len(self.parts) > self.panel:
            needed += (2 * self.panel + 2) * 4 * math.prod(self.border)
        if not (self.folder / JOURNAL).exists() and needed > (free := shutil.disk_usage(self.folder).free):
            shutil.rmtree(self.folder, ignore_errors=True)
            raise OutputError(
                f"{self.folder}: the map takes {_size(needed)} while it is made, but only {_size(free)} are "
                "free on its disk; make room, map a part (--bounds), or name an output on another disk"
            )

    @staticmethod
    def published(folder: Path) -> bool:
        """Whether the map that a folder holds was being given its names when its run ended."""
        return (folder / PUBLISHED).exists()

    def begin_publishing(self) -> None:
        """Notes that files get their final names from now on."""
        (self.folder / PUBLISHED).touch()

    def _clear(self) -> None:
        """Removes what lies in the folder: without a plan nothing was promised. What is not a spool's own stays."""
        own = {PLAN, JOURNAL, PUBLISHED, *(path.name for path in leavings(self.folder / PLAN))}
        found = list(self.folder.iterdir()) if self.folder.exists() else []
        foreign = sorted(path.name for path in found if path.name not in own and path.suffix not in (".raw", ".vrt"))
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
        raw_lines = text.splitlines(keepends=True)
        for number, raw in enumerate(raw_lines[: len(self.parts)]):
            found = _parsed(raw)
            if found is None or found[0].part != _numbers(self.parts[number]):
                break
            line, tallies = found
            if any(self._hash(name, number) != line.hashes.get(name) for name in self.layers):
                break
            self.lines.append(line)
            self._count(tallies)
        count = len(self.lines)
        owed = range(max(0, count - 1 - self.panel), count)
        if not all(map(self._border_is_there, owed)):
            self.lines = []
            self._tallies.clear()
        good = sum(map(len, raw_lines[: len(self.lines)]))
        if good < len(text):
            os.truncate(path, good)

    @property
    def done(self) -> int:
        """Strips that are finished."""
        return len(self.lines)

    @property
    def share(self) -> float:
        """Share of the map that is finished."""
        return sum(line.part[2] * line.part[3] for line in self.lines) / (self.height * self.width)

    def commit(self, strips: Mapping[str, NDArray[np.generic]], tallies: Mapping[str, Mapping[str, float]]) -> None:
        """Brings the next strip to the disk.

        Args:
            strips: Each layer's values ``[bands, rows, columns]`` of the strip's part.
            tallies: What is counted over the map: numbers by name and key, which are summed up.

        Raises:
            OutputError: If they cannot be brought to the disk.
        """
        number, hashes = self.done, {}
        try:
            for name, layer in self.layers.items():
                content = by_rows(strips[name]).astype(layer.kind, copy=False).tobytes()
                hashes[name] = hashlib.sha256(content).hexdigest()
                file = self._files[name]
                file.seek(self._starts[number] * layer.pixel_bytes)
                _write_all(file, content)
                os.fsync(file.fileno())
            if number in self._borders:
                hashes[BORDERS] = self._borders.pop(number)
                os.fsync(self._files[BORDERS].fileno())
            line = Line(_numbers(self.parts[number]), hashes)
            counted = {name: dict(counts) for name, counts in tallies.items()}
            _write_all(self._journal, json.dumps({**asdict(line), "tallies": counted}).encode() + b"\n")
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self.lines.append(line)
        self._count(tallies)

    def _count(self, tallies: Mapping[str, Mapping[str, float]]) -> None:
        """Adds to the sums; those of the strips are not kept, so that memory does not grow with the map."""
        for name, counts in tallies.items():
            total = self._tallies.setdefault(name, {})
            for key, number in counts.items():
                total[int(key)] = total.get(int(key), 0) + number

    def _hash(self, name: str, number: int) -> str:
        digest, layer, file = hashlib.sha256(), self.layers[name], self._files[name]
        start, end = (place * layer.pixel_bytes for place in self._starts[number : number + 2])
        file.seek(start)
        for place in range(start, end, PIECE):
            digest.update(file.read(min(PIECE, end - place)))
        return digest.hexdigest()

    def put(self, strip: int, sums: NDArray[np.float32]) -> None:
        """Keeps what a strip owes to the next panel; done before the strip is committed.

        Two panels' worth is kept, and two more since strips are committed one later: a strip needs what the panel
        before left, and leaves its own.
        """
        content = sums.astype("<f4", copy=False).tobytes()
        try:
            file = self._files[BORDERS]
            file.seek(self._slot(strip))
            _write_all(file, content)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self._borders[strip] = hashlib.sha256(content).hexdigest()

    def get(self, strip: int) -> NDArray[np.float32]:
        """What was put under a number, one or two panels ago at most."""
        return np.frombuffer(self._border_bytes(strip), dtype="<f4").reshape(self.border)

    def _slot(self, strip: int) -> int:
        return strip % (2 * self.panel + 2) * 4 * math.prod(self.border)

    def _border_bytes(self, strip: int) -> bytes:
        file = self._files[BORDERS]
        file.seek(self._slot(strip))
        return file.read(4 * math.prod(self.border))

    def _border_is_there(self, strip: int) -> bool:
        wanted = self.lines[strip].hashes.get(BORDERS)
        return wanted is None or hashlib.sha256(self._border_bytes(strip)).hexdigest() == wanted

    def tally(self, name: str) -> dict[int, float]:
        """The sums of what was counted under a name, by key."""
        return self._tallies.get(name, {})

    def raw(self, name: str) -> Path:
        """The file of a layer's values: panel by panel, row by row, in a row band by band, little-endian."""
        return self.folder / f"{name}.raw"

    @property
    def panels(self) -> list[Window]:
        """The pixels of each panel."""
        firsts = range(0, len(self.parts), self.panel)
        found = [reduce(or_, self.parts[first : first + self.panel]) for first in firsts]
        return [panel for panel in found if not panel.empty]

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


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _difference(found: tuple[str, dict[str, object]] | None, plan: Mapping[str, object]) -> str:
    """In what an unfinished map differs from what is wanted, and what to do, in words."""
    anew = "start anew with --discard-unfinished"
    if found is None:
        return f"whose plan cannot be read; {anew}"
    here = json.loads(json.dumps(plan))
    keys = [key for key in here if found[1].get(key) != here[key]]
    sources = found[1].get("sources")
    if keys == ["sources"] and isinstance(sources, dict) and sources.keys() == here["sources"].keys():
        pairs = [pair for name, many in here["sources"].items() for pair in zip(sources[name], many, strict=False)]
        if all(before[0] == now[0] for before, now in pairs):
            files = [name for before, now in pairs for name in changed(before, now)]
            if files:
                return f"of sources that were changed since ({', '.join(files[:3])}); {anew}"
    return f"of another job (other {', '.join(keys) or 'plan'}); finish that one, or {anew}"


def _numbers(part: Window) -> list[int]:
    return [part.row, part.col, part.height, part.width]


def _parsed(raw: bytes) -> tuple[Line, dict[str, dict[str, float]]] | None:
    """A line of the journal and its tallies; None where it is torn."""
    if not raw.endswith(b"\n"):
        return None
    try:
        content = json.loads(raw)
        tallies = content.pop("tallies")
        return Line(**content), tallies
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _write_all(file: FileIO, content: bytes) -> None:
    """Writes all of it: a disk that fills up takes a part first."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
