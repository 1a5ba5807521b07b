"""Faults that mappings and jobs must survive, each tried many times: what went wrong, kind by kind.

``python scripts/bench/faults.py MODEL.onnx NAME=RASTER...``, with a Python that has the engine. Full disks
are made in memory, which needs root. ``tests/integration/test_faults.py`` tries fewer of the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

import faults
from faults import (
    Mapping,
    at_once,
    can_mount,
    damaged_bytes,
    full_disks,
    killed_while_publishing,
    odd_jobs,
    wrong_jobs,
)

from engine.mapping.verify import verify


def main() -> None:
    """Prints a row for each kind, and what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("sources", nargs="+", metavar="NAME=RASTER")
    parser.add_argument("--sizes", type=int, default=30, help="Sizes of disks.")
    parser.add_argument("--pairs", type=int, default=20, help="Pairs of jobs at once.")
    parser.add_argument("--kills", type=int, default=40, help="Kills while maps are compressed and renamed.")
    parser.add_argument("--bytes", type=int, default=180, help="Damaged bytes.")
    given = parser.parse_args()
    faults.SECONDS = 30
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mapping = Mapping(given.model, given.sources, folder / "whole")
        whole = sum(path.stat().st_size for path in (folder / "whole").iterdir()) // 1024
        sizes = sorted({4 + round((3 * whole + 2000) * number / given.sizes) for number in range(given.sizes)})
        for part in ("disks", "once", "kills"):
            (folder / part).mkdir()
        wrong: list[str] = []
        if can_mount():
            found, fitted = full_disks(mapping, folder / "disks", sizes)
            wrong += _row(f"{len(sizes)} sizes of disks ({sizes[0]} to {sizes[-1]} kB, {fitted} large enough)", found)
        wrong += _row(f"{given.pairs} pairs of jobs at once", at_once(mapping, folder / "once", given.pairs, 2))
        found, kills = killed_while_publishing(mapping, folder / "kills", given.kills)
        wrong += _row(f"{given.kills} kills while publishing ({kills} in time)", found)
        wrong += _row(f"{given.bytes} damaged bytes", damaged_bytes(folder / "whole", given.bytes, verify))
        raster = Path(given.sources[0].partition("=")[2])
        lines = odd_jobs(given.model, raster, folder)
        wrong += _row(f"{len(lines)} odd jobs", wrong_jobs(lines))
    print("\n".join(wrong))
    sys.exit(bool(wrong))


_LAST = [time.monotonic()]


def _row(what: str, wrong: list[str]) -> list[str]:
    now = time.monotonic()
    print(f"{what}: {len(wrong)} wrong, {now - _LAST[0]:.0f} s", flush=True)
    _LAST[0] = now
    return wrong


if __name__ == "__main__":
    main()
