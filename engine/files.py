"""The one way to write a file: aside, synced to the disk, then renamed; and to read one that others made.

What is written lies under a name that no one else can have until it is whole, so that a final name never stands over a
part of a file, whoever is killed and whatever disk is full.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO

from engine.errors import EngineError, InputError, OutputError
from engine.names import shown

_CURES = {
    errno.ENOSPC: "make room on its disk",
    errno.EFBIG: "make room on its disk, or raise the limit of a file's size",
    errno.EDQUOT: "make room within your quota",
    errno.EROFS: "its disk can only be read; name another place",
    errno.EACCES: "ask for the right to write there, or name another place",
    errno.EPERM: "ask for the right to write there, or name another place",
    errno.ENOENT: "make its folder first",
    errno.ENOTDIR: "a file stands where its folder would be; move that file, or name another place",
    errno.ENAMETOOLONG: "choose a shorter name",
}

_LONGEST = 64
"""Characters of a final name that a temporary one repeats: file systems allow 255 bytes."""


def unwritable(path: Path, error: Exception, cure: str = "check its folder") -> OutputError:
    """What a failure to write means, and what to do.

    Args:
        path: The final name.
        error: What was raised.
        cure: What to do where the error's number does not say.
    """
    number = getattr(error, "errno", None) or 0
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return OutputError(f"{path}: cannot be written: {said}; {_CURES.get(number, cure)}")


def check_target(path: Path) -> None:
    """Refuses a name that no file can get, before any work is done for it. A disk without room is found here too.

    Raises:
        OutputError: If a folder or special file is in its way, its folder is missing or takes no file, or it is one of
            GDAL's names for what is no file on a disk.
    """
    if str(path).startswith("/vsi"):
        raise OutputError(f"{path}: is a place that only GDAL knows; name a file on a disk")
    if path == Path():
        raise OutputError("the output has no name; name a file")
    try:
        kind = path.lstat().st_mode
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise unwritable(path, error) from error
        kind = 0
    except ValueError as error:  # a NUL byte
        raise OutputError(f"{path!r}: is no name of a file: {error}") from error
    if stat.S_ISLNK(kind) and not path.exists():
        raise OutputError(f"{path}: is a link to a file that does not exist; remove it, or name another file")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file in it")
    if kind and not (stat.S_ISREG(kind) or stat.S_ISLNK(kind)):
        raise OutputError(f"{path}: is a device or pipe; name a regular file")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: cannot be written: there is no folder {path.parent}; make it first")
    with aside(path) as probe:
        probe.write_bytes(bytes(4096))


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, where they are missing.

    Raises:
        OutputError: If that fails.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error


def aside(path: Path) -> AbstractContextManager[Path]:
    """An empty file of its own beside ``path``, for what writes by name; it is removed unless it was moved.

    Its name ends as ``path`` does. Nobody else has it: it is created exclusively, and no link is followed.

    Raises:
        OutputError: If it cannot be made or, by what is done within, written.
    """
    return _aside(path, _create, lambda found: found.unlink())


def aside_folder(path: Path) -> AbstractContextManager[Path]:
    """As :func:`aside`, a folder; :func:`publish` moves it where nothing stands yet.

    Raises:
        OutputError: If it cannot be made or, by what is done within, written.
    """
    return _aside(path, lambda found: found.mkdir(), shutil.rmtree)


@contextmanager
def _aside(path: Path, make: Callable[[Path], None], remove: Callable[[Path], None]) -> Iterator[Path]:
    found = _aside_name(path)
    try:
        make(found)
        yield found
    except EngineError:
        raise
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError, ValueError):
            remove(found)


def _create(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666))


def _aside_name(path: Path) -> Path:
    return path.with_name(f".{path.stem[:_LONGEST]}.{secrets.token_hex(6)}.part{path.suffix[:_LONGEST]}")


def remove_leavings(path: Path) -> None:
    """Removes what killed runs left beside ``path``: for whoever holds its lock."""
    for left in leavings(path):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        with suppress(OSError):
            left.unlink()


def leavings(path: Path) -> list[Path]:
    """What killed runs left beside ``path``."""
    before, after = f".{path.stem[:_LONGEST]}.", f".part{path.suffix[:_LONGEST]}"
    length = len(before) + 12
    with suppress(OSError):
        return [
            one
            for one in path.parent.iterdir()
            if one.name.startswith(before)
            and one.name[length:].startswith(after)
            and all(letter in "0123456789abcdef" for letter in one.name[len(before) : length])
        ]
    return []


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when the block ends without an error; until then ``path`` is as it was.

    Raises:
        OutputError: If it cannot be written.
    """
    with aside(path) as found:
        with found.open("r+b") as file:
            yield file
        publish(found, path)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file, whole or not at all.

    Raises:
        OutputError: If it cannot be written.
    """
    with writing(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Writes a file in UTF-8, whole or not at all.

    Raises:
        OutputError: If it cannot be written.
    """
    write_bytes(path, content.encode("utf-8"))


def publish(found: Path, path: Path) -> None:
    """Gives a file, or a folder with its files, its final name, once it is on the disk.

    Raises:
        OutputError: If that fails.
    """
    try:
        if found.is_dir():
            for one in found.rglob("*"):
                sync(one)
        sync(found)
        os.replace(found, path)
        sync(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def sync(path: Path) -> None:
    """Brings a file or, where system and file system can, a folder to the disk.

    Raises:
        OSError: If the disk fails.
    """
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows syncs what may be written
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        OSError: If it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def read_regular(path: Path, most: int, error: type[InputError]) -> bytes:
    """All of a file that others made: nothing that never ends, waits for a writer or fills the memory is read.

    Args:
        path: The file.
        most: Bytes that it may hold.
        error: What is raised.

    Raises:
        InputError: As ``error``, if it cannot be read, is a folder, device or pipe, or holds more.
    """
    content = b""
    try:
        status = path.stat()
        regular = stat.S_ISREG(status.st_mode)
        if regular and status.st_size <= most:
            with path.open("rb") as file:
                content = file.read(status.st_size)
    except (OSError, ValueError) as fault:  # a NUL byte in the name
        raise error(f"{shown(path)}: cannot be read: {getattr(fault, 'strerror', None) or fault}") from fault
    if not regular:
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "device or pipe"
        raise error(f"{shown(path)}: is a {kind}; name a regular file")
    if status.st_size > most:
        raise error(f"{shown(path)}: holds more than {most / 1e6:g} MB, too much for what it should be")
    return content
