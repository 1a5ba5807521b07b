"""Faults that a mapping must survive: full disks, kills, several at once, damaged bytes, odd jobs.

Each function tries a kind a number of times and says what went wrong; nothing should.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from engine.files import file_digest

ENGINE = [sys.executable, "-m", "engine.cli"]
SECONDS = 120
"""After which a process counts as hung."""

LAYERS = ("map", "confidence", "availability")


class Mapping:
    """A mapping to be disturbed.

    Args:
        model: A model.
        sources: ``NAME=PATH`` each.
        folder: Where an undisturbed map is made to compare with.
    """

    def __init__(self, model: Path, sources: Sequence[str], folder: Path) -> None:
        self.model, self.sources = model, list(sources)
        folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        done = self.run(folder)
        self.seconds = time.monotonic() - started
        assert done.returncode == 0, done.stderr
        self.expected = digests(folder)

    def words(self, folder: Path, *more: str) -> list[str]:
        """The command that maps into a folder."""
        outputs = ["-o", str(folder / "map.tif"), *(f"--{name}={folder / f'{name}.tif'}" for name in LAYERS[1:])]
        return [*ENGINE, "predict", str(self.model), *self.sources, *outputs, "--device", "cpu", *more]

    def run(self, folder: Path, *more: str, largest: int | None = None) -> subprocess.CompletedProcess[str]:
        """Maps into a folder; no file may grow beyond ``largest`` kilobytes."""

        def limit() -> None:
            if largest is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * largest, 1024 * largest))

        return subprocess.run(
            self.words(folder, *more),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            preexec_fn=limit,
        )

    def start(self, folder: Path, *more: str) -> subprocess.Popen[str]:
        """Starts to map into a folder."""
        return subprocess.Popen(self.words(folder, *more), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def digests(folder: Path) -> dict[str, str]:
    """Of the rasters in a folder, those in the making left out."""
    return {path.name: file_digest(path) for path in sorted(folder.glob("*.tif")) if not path.name.startswith(".")}


def judged(what: str, done: subprocess.CompletedProcess[str] | subprocess.Popen[str], said: str) -> list[str]:
    """What is wrong with how a process ended: a traceback, or a death of its own."""
    if "Traceback" in said:
        return [f"{what}: traceback: {said[-300:]}"]
    return [] if done.returncode in (0, 1, 2) else [f"{what}: ended with {done.returncode}: {said[-300:]}"]


def can_mount() -> bool:
    """Whether this machine lets a file system in memory be mounted."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def disk(folder: Path, kilobytes: int) -> Iterator[Callable[[int], None]]:
    """A small file system in memory; gives what changes its size."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=True)

    def resize(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}k", str(folder)], check=True)

    try:
        yield resize
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def no_disk(folder: Path) -> Iterator[Callable[[int], None]]:
    """A folder where :func:`disk` would be, for limits on the size of each file."""
    folder.mkdir()
    yield lambda _size: None


def full_disks(mapping: Mapping, folder: Path, sizes: Sequence[int], mount: bool = True) -> tuple[list[str], int]:
    """Maps on disks of so many kilobytes: an error or the map, and the map once there is room.

    Gives also how often it fit at once. Without ``mount`` it is each file that may not grow larger.
    """
    wrong, fitted = [], 0
    for size in sizes:
        place = folder / f"disk{size}"
        with disk(place, size) if mount else no_disk(place) as resize:
            done = mapping.run(place, largest=None if mount else size)
            wrong += judged(f"{size} kB", done, done.stderr)
            if done.returncode == 0:
                fitted += 1
                wrong += [] if digests(place) == mapping.expected else [f"{size} kB: another map, without a word"]
                continue
            wrong += [f"{size} kB: {name} stands under its name" for name in digests(place)]
            left = [path.name for path in place.iterdir() if path.name.endswith(".part.tif")]
            wrong += [f"{size} kB: {name} was left" for name in left]
            resize(64_000)
            done = mapping.run(place)
            wrong += judged(f"{size} kB, then more", done, done.stderr)
            wrong += [] if digests(place) == mapping.expected else [f"{size} kB, then more: another map or none"]
    return wrong, fitted


def at_once(mapping: Mapping, folder: Path, times: int, together: int) -> list[str]:
    """Starts the same job several times at the same moment: one map, and refusals that say why."""
    wrong = []
    for turn in range(times):
        place = folder / f"turn{turn}"
        place.mkdir()
        started = [mapping.start(place) for _ in range(together)]
        ends = []
        for process in started:
            _, said = process.communicate(timeout=SECONDS)
            wrong += judged(f"turn {turn}", process, said)
            ends.append(process.returncode)
            if process.returncode and not ("is at work on it" in said or "is there already" in said):
                wrong.append(f"turn {turn}: refused with: {said[-300:]}")
            if "discard" in said:
                wrong.append(f"turn {turn}: proposes to discard what is running")
        wrong += [] if ends.count(0) == 1 else [f"turn {turn}: {ends.count(0)} of {together} made the map"]
        wrong += [] if digests(place) == mapping.expected else [f"turn {turn}: another map or none"]
        left = sorted(path.name for path in place.iterdir() if path.name.startswith(".") or path.suffix == ".part")
        wrong += [f"turn {turn}: left {', '.join(left)}"] if left else []
    return wrong


def killed_while_publishing(mapping: Mapping, folder: Path, times: int, seed: int = 0) -> tuple[list[str], int]:
    """Kills maps while they are compressed and renamed, over an older map; also how often the kill came in time."""
    rng, wrong, kills = np.random.default_rng(seed), [], 0
    for turn in range(times):
        place = folder / f"turn{turn}"
        place.mkdir()
        for name in LAYERS:
            (place / f"{name}.tif").write_bytes(b"an older map")
        (place / "map.qml").write_text("an older legend")
        process = mapping.start(place, "--overwrite")
        while process.poll() is None and not list(place.glob(".*.part.tif")):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.4 * mapping.seconds) ** 2)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode != 0
        new = {name for name, digest in digests(place).items() if digest == mapping.expected[name]}
        for name, digest in digests(place).items():
            content = (place / name).read_bytes()
            if digest != mapping.expected[name] and content != b"an older map":
                wrong.append(f"turn {turn}: {name} is neither the old map nor the new one")
        legend = (place / "map.qml").read_text() if (place / "map.qml").exists() else None
        if legend is not None and ("map.tif" in new) == (legend == "an older legend"):
            wrong.append(f"turn {turn}: a legend stands beside a map that is not its own")
        done = mapping.run(place, "--overwrite")
        wrong += judged(f"turn {turn}", done, done.stderr)
        wrong += [] if digests(place) == mapping.expected else [f"turn {turn}: another map or none"]
        left = sorted(path.name for path in place.iterdir() if path.name.startswith(".") or path.suffix == ".part")
        wrong += [f"turn {turn}: left {', '.join(left)}"] if left else []
    return wrong, kills


def damaged_bytes(folder: Path, times: int, verify: Callable[[Path], object], seed: int = 0) -> list[str]:
    """Flips a bit in a map or in what stands beside it, anywhere: found each time."""
    rng, wrong = np.random.default_rng(seed), []
    beside = ("map.tif", "map.tif.aux.xml", "map.qml", "map.qmd", "map.tif.hashes.json", "map.tif.provenance.json")
    for turn in range(times):
        path = folder / beside[turn % len(beside)]
        content = path.read_bytes()
        place, bit = int(rng.integers(len(content))), int(rng.integers(8))
        broken = bytearray(content)
        broken[place] ^= 1 << bit
        path.write_bytes(broken)
        try:
            verify(folder / "map.tif")
        except OSError as error:
            if "map.tif" not in str(error):
                wrong.append(f"{path.name}, byte {place}: {error}")
        else:
            wrong.append(f"{path.name}, bit {bit} of byte {place}: not found")
        finally:
            path.write_bytes(content)
    return wrong


def odd_jobs(model: Path, raster: Path, folder: Path) -> list[bytes]:
    """Lines that no plugin sends."""
    job = {"protocol": 3, "task": "segment", "model": str(model)}
    job["layers"] = [{"name": "dem", "path": str(raster)}]
    options = {"output": str(folder / "map.tif"), "device": "cpu"}
    good: dict[str, object] = {**job, "options": options, "assignment": "dem=dem"}

    def changed(**changes: object) -> bytes:
        return json.dumps({**good, **changes}).encode()

    def with_options(**changes: object) -> bytes:
        return changed(options={**options, **changes})

    return [
        b"",
        b"{",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\xff\xfe\x00",
        b"x" * 20_000_000,
        json.dumps("text").encode(),
        changed(protocol=None),
        changed(protocol=True),
        changed(protocol="3"),
        changed(protocol=1e400),
        changed(task="destroy"),
        changed(task=["segment"]),
        changed(model=""),
        changed(model="\0"),
        changed(model="a" * 5000),
        changed(model=str(folder)),
        changed(model="/dev/null"),
        changed(layers=None),
        changed(layers=[{"name": "dem"}]),
        changed(layers=[{"name": "dem", "path": ""}]),
        changed(layers=[{"name": "dem", "path": "a\0b"}]),
        changed(layers=[{"name": "dem", "path": str(raster), "bands": [1]}]),
        changed(layers=[{"name": "dem", "path": str(raster), "bands": ["999999999999999999999"]}]),
        changed(assignment="="),
        changed(assignment=";;;"),
        changed(assignment="dem=\u202e"),
        with_options(output=""),
        with_options(output="\0"),
        with_options(output="/nowhere/map.tif"),
        with_options(output=str(folder / ("a" * 300 + ".tif"))),
        with_options(output=str(folder)),
        with_options(bounds=[float("nan")] * 4),
        with_options(bounds=[1, 2, 3]),
        with_options(bounds=["1", "2", "3", "4"]),
        with_options(threads="2"),
        with_options(threads=-1),
        with_options(strict="yes"),
        with_options(masks=["dem"]),
        with_options(masks={"dem": [1]}),
        with_options(colour="red"),
        with_options(like="\0"),
        with_options(pixel_size=float("inf")),
        with_options(pixel_size=0),
        with_options(device="abacus"),
    ]


def wrong_jobs(lines: Sequence[bytes]) -> list[str]:
    """What is wrong with how `engine job` answers odd lines: each ends soon, in an error event of a known kind."""
    wrong = []
    for number, line in enumerate(lines):
        what = f"line {number} ({line[:60]!r})"
        process = subprocess.Popen(
            [*ENGINE, "job"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            out, said = process.communicate(line + b"\n", timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            wrong.append(f"{what}: hangs")
            continue
        events = [json.loads(one) for one in out.splitlines()]
        if b"Traceback" in said or not events or events[0]["event"] != "hello":
            wrong.append(f"{what}: {said[-300:]!r}")
        elif process.returncode != 130 and (events[-1]["event"] != "error" or not events[-1]["kind"].endswith("Error")):
            wrong.append(f"{what}: ends with {events[-1]}")
    return wrong
