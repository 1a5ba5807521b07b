"""Sets up what the tests need and runs all of them: lint, format, types, behaviour, and the plugin in a real QGIS.

``--qgis all`` also runs the plugin's tests in QGIS 3.40 and 3.44 (root folders made by debootstrap; needs root),
``--qgis none`` leaves QGIS out. ``--slow`` runs a few groups of every controlled experiment too: hours, once a release.
Other arguments go to pytest and leave QGIS out too: ``scripts/test.py -k mosaic``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import real_qgis
from environment import python, run


def processors() -> int:
    """How many of the processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Clock:
    """How long each part took, printed when all are through or one fails."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, float]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Times a part."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.parts.append((name, time.monotonic() - started))

    def show(self) -> None:
        """Prints all parts."""
        print("\nseconds  part")
        for name, seconds in self.parts:
            print(f"{seconds:7.0f}  {name}")
        print(f"{sum(seconds for _, seconds in self.parts):7.0f}  in all", flush=True)


def main() -> None:
    """Runs every check; stops at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qgis", choices=["system", "all", "none"], help="where the plugin is tested")
    parser.add_argument("--slow", action="store_true", help="controlled experiments too")
    arguments, others = parser.parse_known_args()
    clock = Clock()
    try:
        check(clock, arguments.qgis or ("none" if others else "system"), others, arguments.slow)
    finally:
        clock.show()


def check(clock: Clock, where: str, others: list[str], slow: bool) -> None:
    """Runs every check.

    Args:
        clock: Told how long each takes.
        where: QGIS versions.
        others: Arguments of pytest.
        slow: Whether controlled experiments run too.
    """
    with clock.part("environment"):
        interpreter = python()
    with clock.part("lint, format, types"):
        run(interpreter, "-m", "ruff", "check", ".")
        run(interpreter, "-m", "ruff", "format", "--check", ".")
        run(interpreter, "-m", "mypy")
    with clock.part("tests of the engine"):
        workers = [] if others else ["-n", str(processors()), "--dist", "worksteal"]
        run(interpreter, "-m", "pytest", *workers, *others)
    if slow:
        with clock.part("controlled experiments"):
            run(interpreter, "-m", "pytest", "tests/slow")
    if where == "none":
        print("QGIS TESTS LEFT OUT, as asked")
        return
    with clock.part("QGIS itself"):
        there = real_qgis.find_qgis()
    if not there:
        print("QGIS TESTS SKIPPED: /usr/bin/python3 has no QGIS; on Debian run this as root, or install python3-qgis")
        return
    with tempfile.TemporaryDirectory() as folder:
        material = Path(folder) / "material"
        with clock.part("scenes and models for QGIS"):
            real_qgis.make_material(interpreter, material)
        with clock.part("tests in the system's QGIS"):
            real_qgis.run_in_system(interpreter, material)
        for version in real_qgis.ROOTS if where == "all" else ():
            with clock.part(f"tests in QGIS {version}"):
                real_qgis.run_in_root(version, material)


if __name__ == "__main__":
    main()
