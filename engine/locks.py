"""One job an output, one training a run folder: whoever comes second is told who holds it.

The operating system's lock goes with the process that holds it, however that ends. Where a file system has none, a lock
file says which process on which host holds it, and since when: numbers of processes recur.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from engine.errors import BusyError
from engine.files import unwritable

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)  # what lies before can be read by others
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_FAR = 4096
_HELD = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


HELD: list[Lock] = []
"""The locks of this process, for whoever ends it at once."""


class Lock:
    """A lock on an output or a run folder; a context manager.

    Args:
        path: What is locked; the lock file ``.<name>.lock`` lies beside it while it is held.
        steal: Take it from a process on another host that cannot be asked whether it still runs. What the operating
            system holds is never taken.
        native: Ask the operating system; where the file system has no locks, or False, a lock file alone counts.

    Raises:
        BusyError: If another process holds it.
        OutputError: If no lock file can be written there.
    """

    def __init__(self, path: Path, steal: bool = False, native: bool = True) -> None:
        self.path, self.steal, self.native = path, steal, native
        self.file = path.with_name(f".{path.name}.lock")
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        try:
            if not (self.native and self._locked()):
                self._claim()
        except (OSError, ValueError) as error:
            if isinstance(error, BusyError):
                raise
            raise unwritable(self.path, error) from error
        HELD.append(self)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Gives the lock back, where it is held."""
        if self not in HELD:
            return
        HELD.remove(self)
        if self._descriptor is not None and sys.platform == "win32":
            os.close(self._descriptor)  # what is open cannot be removed there
            self._descriptor = None
        with suppress(OSError):
            self.file.unlink()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def forget(self) -> None:
        """Leaves the lock to the process that this one was forked from, with whose end it goes."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _locked(self) -> bool:
        """Takes the operating system's lock; False where the file system has none."""
        while True:
            descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            try:
                _lock(descriptor)
                current = self.file.stat()
            except FileNotFoundError:  # whoever held it has removed it meanwhile
                os.close(descriptor)
                continue
            except OSError as error:
                os.close(descriptor)
                if error.errno in _NO_LOCKS:
                    return False
                if error.errno in _HELD:
                    raise self._busy() from error
                raise
            if os.path.samestat(current, os.fstat(descriptor)):
                break
            os.close(descriptor)
        self._descriptor = descriptor
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.truncate(descriptor, 0)
        os.write(descriptor, json.dumps(_self()).encode())
        return True

    def _claim(self) -> None:
        """Makes the lock file, in the place of one whose process is gone."""
        self.native = False
        for _ in range(2):
            try:
                descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError as error:
                holder = _read(self.file)
                if not self._is_gone(holder):
                    raise self._busy() from error
                self._clear(holder)
            else:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(_self(), file)
                return
        raise self._busy()

    def _clear(self, gone: dict[str, object]) -> None:
        """Removes the lock file of a process that is gone, and no one else's who was faster."""
        taken = self.file.with_name(f"{self.file.name}.{secrets.token_hex(6)}")
        with suppress(OSError):
            self.file.rename(taken)
            if _read(taken) != gone:
                os.link(taken, self.file)
            taken.unlink()

    def _is_gone(self, holder: dict[str, object]) -> bool:
        if holder.get("host") != socket.gethostname():
            return self.steal
        process = holder.get("process")
        return not isinstance(process, int) or _started(process) != holder.get("started")

    def _busy(self) -> BusyError:
        holder = _read(self.file)
        who = "another process"
        if holder:
            who = f"process {holder.get('process')} on {holder.get('host')}"
        hint = "wait until it is done, or name another place"
        if not self.native and holder.get("host") != socket.gethostname():
            hint += "; if that computer no longer works on it, take it over with --steal"
        return BusyError(f"{self.path}: {who} is at work on it; {hint}")


def _read(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def _self() -> dict[str, object]:
    return {"host": socket.gethostname(), "process": os.getpid(), "started": _started(os.getpid())}


def _started(process: int) -> str | None:
    """When a process of this host began, in the system's own count; None where it is gone.

    Where the system does not say, a process that is there has the same empty answer.
    """
    stat = Path(f"/proc/{process}/stat")
    try:
        return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(process, 0)
    except OSError:
        return None
    return ""


def _forget() -> None:
    while HELD:
        HELD.pop().forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
