"""What a product is given and leaves: its outputs are taken for one job alone, and appear whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import Cancelled, OutputError
from engine.files import aside_folder, check_target, remove_leavings
from engine.locks import Lock
from engine.raster.identity import files_of
from engine.raster.sources import SourceSpec


@dataclass(frozen=True)
class Listener:
    """Whom a job tells how it goes on.

    Args:
        warned: Told what the user should know.
        progress: Told the share that is done.
        cancelled: Asked whether to stop.
    """

    warned: Callable[[str], None] = lambda _text: None
    progress: Callable[[float], None] = lambda _share: None
    cancelled: Callable[[], bool] = lambda: False

    def reached(self, share: float) -> None:
        """Tells the share that is done.

        Raises:
            Cancelled: If it is to go no further.
        """
        if self.cancelled():
            raise Cancelled("stopped; nothing was written")
        self.progress(share)


@contextmanager
def taken(outputs: Sequence[Path], read: Iterable[str], overwrite: bool) -> Iterator[Path]:
    """Takes outputs for this job alone; gives a folder beside the first one for what is not finished.

    Args:
        outputs: Files.
        read: Rasters and vector files that it is made from, as they are named.
        overwrite: Whether something may lie there.

    Raises:
        OutputError: If one cannot be written, lies there already, or is read.
        BusyError: If another process writes it.
    """
    for path in outputs:
        check_target(path)
    files = {Path(name.partition("|")[0]).resolve() for one in read for name in files_of(SourceSpec.parse(one))}
    with ExitStack() as stack:
        for path in sorted(outputs):
            if outputs.count(path) > 1:
                raise OutputError(f"{path}: two outputs would be this file; give them names of their own")
            if path.resolve() in files:
                raise OutputError(f"{path}: is read for this; name another output")
            stack.enter_context(Lock(path))
            remove_leavings(path)
            if path.exists() and not overwrite:
                raise OutputError(f"{path}: is there already; name another output, or write over it with --overwrite")
        yield stack.enter_context(aside_folder(outputs[0]))
