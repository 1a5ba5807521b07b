"""Sets up what the tests need and runs all of them: lint, format, types, behaviour, and the plugin in a real QGIS.

``--qgis all`` also runs the plugin's tests in QGIS 3.40 and 3.44 (root folders made by debootstrap; needs root),
``--qgis none`` leaves QGIS out. Other arguments go to pytest and leave QGIS out too: ``scripts/test.py -k mosaic``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import real_qgis
from environment import python, run


def main() -> None:
    """Runs every check; stops at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qgis", choices=["system", "all", "none"], help="where the plugin is tested")
    arguments, others = parser.parse_known_args()
    interpreter = python()
    run(interpreter, "-m", "ruff", "check", ".")
    run(interpreter, "-m", "ruff", "format", "--check", ".")
    run(interpreter, "-m", "mypy")
    workers = [] if others else ["-n", str(os.cpu_count() or 1), "--dist", "worksteal"]
    run(interpreter, "-m", "pytest", *workers, *others)
    where = arguments.qgis or ("none" if others else "system")
    if where == "none":
        print("QGIS TESTS LEFT OUT, as asked")
        return
    if not real_qgis.find_qgis():
        print("QGIS TESTS SKIPPED: /usr/bin/python3 has no QGIS; on Debian run this as root, or install python3-qgis")
        return
    with tempfile.TemporaryDirectory() as folder:
        material = Path(folder) / "material"
        real_qgis.make_material(interpreter, material)
        real_qgis.run_in_system(interpreter, material)
        for version in real_qgis.ROOTS if where == "all" else ():
            real_qgis.run_in_root(version, material)


if __name__ == "__main__":
    main()
