"""One way to write a file, and one process at a time on an output."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import BusyError, OutputError
from engine.files import aside, aside_folder, check_target, leavings, make_folder, publish, write_text, writing
from engine.locks import Lock

HOLD = """
import sys, time
from pathlib import Path
from engine.locks import Lock
with Lock(Path(sys.argv[1]), native=sys.argv[2] == "native"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_text(path, "old")

    def fail() -> None:
        with writing(path) as file:
            file.write(b"new, but not all of it")
            file.flush()
            assert path.read_text() == "old"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    write_text(path, "né")
    assert path.read_bytes() == "né".encode()
    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]


def test_two_that_write_the_same_file_have_files_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    with aside(path) as one, aside(path) as other:
        assert one != other
        assert one.suffix == other.suffix == ".tif"
        assert sorted(leavings(path)) == sorted([one, other])
        one.write_text("one")
        other.write_text("other")
        publish(one, path)
        publish(other, path)
    assert path.read_text() == "other"
    assert leavings(path) == []


def test_what_others_call_alike_is_no_leaving(tmp_path: Path) -> None:
    for name in (".map.0123456789ab.part.txt", ".map.part.tif", ".mapx.0123456789ab.part.tif", "map.tif.part"):
        (tmp_path / name).touch()
    left = tmp_path / ".map.0123456789ab.part.tif"
    left.touch()
    assert leavings(tmp_path / "map.tif") == [left]


def test_a_folder_appears_with_all_that_is_in_it(tmp_path: Path) -> None:
    with aside_folder(tmp_path / "last-000000010") as found:
        (found / "weights").write_text("w")
        publish(found, tmp_path / "last-000000010")
    assert (tmp_path / "last-000000010" / "weights").read_text() == "w"
    with pytest.raises(OutputError), aside_folder(tmp_path / "other") as found:
        (found / "missing" / "weights").write_text("w")
    assert [one.name for one in tmp_path.iterdir()] == ["last-000000010"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "is a folder; name a file in it"),
        ("pipe", "is a device or pipe"),
        ("missing/map.tif", "there is no folder .*missing; make it first"),
        ("file/map.tif", "there is no folder .*file; make it first"),
        ("a" * 300, "name too long; choose a shorter name"),
        ("a\0b", "is no name of a file"),
    ],
)
def test_names_that_no_file_can_get_are_refused_before_any_work(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match=f"(?i){words}"):
        check_target(tmp_path / name)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder", "pipe"]


def test_a_place_that_cannot_be_written_says_what_to_do() -> None:
    with pytest.raises(OutputError, match=r"/proc/map\.tif: cannot be written: .*; "):
        check_target(Path("/proc/map.tif"))
    with pytest.raises(OutputError, match=r"/proc/runs/zion: cannot be written: .*; "):
        make_folder(Path("/proc/runs/zion"))


@pytest.fixture
def holding() -> object:
    """Starts processes that hold a lock."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path, kind: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), kind], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", ["native", "file"])
def test_the_second_is_told_who_holds_a_lock_and_gets_it_when_that_is_gone(
    tmp_path: Path, kind: str, holding: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    path = tmp_path / "map.tif"
    process = holding(path, kind)
    for steal in (False, True):
        with pytest.raises(BusyError, match=f"process {process.pid} on {socket.gethostname()} is at work on it; wait"):
            Lock(path, steal=steal, native=kind == "native").__enter__()
    process.kill()
    process.wait()
    with Lock(path, native=kind == "native"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_forked_process_does_not_hold_the_lock_of_its_parent(tmp_path: Path) -> None:
    code = f"""
import os, time
from pathlib import Path
from engine.locks import Lock
with Lock(Path({str(tmp_path / "run")!r})):
    if os.fork() == 0:
        print("forked", os.getpid(), flush=True)
        time.sleep(60)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline().split()[1])
    try:
        with pytest.raises(BusyError):
            Lock(tmp_path / "run").__enter__()
        process.kill()
        process.wait()
        with Lock(tmp_path / "run"):
            os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def test_a_lock_file_of_another_host_is_taken_over_on_request_alone(tmp_path: Path) -> None:
    path, file = tmp_path / "map.tif", tmp_path / ".map.tif.lock"
    file.write_text(json.dumps({"host": "elsewhere", "process": 1, "started": "1"}))
    with pytest.raises(BusyError, match=r"process 1 on elsewhere .* take it over with --steal"):
        Lock(path, native=False).__enter__()
    with Lock(path, steal=True, native=False):
        assert json.loads(file.read_text())["process"] == os.getpid()


def test_a_process_that_has_the_number_of_one_before_holds_nothing(tmp_path: Path) -> None:
    file = tmp_path / ".map.tif.lock"
    file.write_text(json.dumps({"host": socket.gethostname(), "process": os.getpid(), "started": "1"}))
    with Lock(tmp_path / "map.tif", native=False):
        assert json.loads(file.read_text())["started"] != "1"
