"""Makes the folder of wheels from which the plugin sets up the engine where there is no network.

``python3 scripts/wheels.py FOLDER`` on a computer that has one, with the same system and the same Python as the other;
or for another: ``--platform win_amd64 --python 3.12``. The standard library and pip only. In QGIS: Plugins, Robust land
cover, Set up the engine, Comes from: a folder of wheels.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def wheels(folder: Path, extras: list[str], target: list[str]) -> None:
    """Fills the folder.

    Args:
        folder: Made where it does not exist; what is in it stays.
        extras: Of the engine.
        target: pip's options that name another system; empty: this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    constraints = ROOT / "constraints.txt"
    with tempfile.TemporaryDirectory() as place:
        _pip("wheel", "--no-deps", "-w", place, str(ROOT))
        (wheel,) = Path(place).glob("robust_landcover-*.whl")
        only = ["--only-binary=:all:", *target] if target else []
        _pip("download", *only, "-d", str(folder), "-c", str(constraints), f"{wheel}[{','.join(extras)}]", "pip")
        for old in folder.glob("robust_landcover-*.whl"):
            old.unlink()
        (folder / wheel.name).write_bytes(wheel.read_bytes())


def _pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", arguments[0], "--quiet", *arguments[1:]], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gpu", action="store_true", help="for NVIDIA's GPUs")
    parser.add_argument("--train", action="store_true", help="with all that training takes")
    parser.add_argument("--platform", action="append", help="as pip names it (win_amd64, macosx_11_0_arm64)")
    parser.add_argument("--python", help="version of the other computer's Python (3.12)")
    arguments = parser.parse_args()
    extras = ["gpu" if arguments.gpu else "cpu", "vector", *(["train"] if arguments.train else [])]
    target = [word for name in arguments.platform or () for word in ("--platform", name)]
    target += ["--python-version", arguments.python] if arguments.python else []
    wheels(arguments.folder, extras, target)
    files = list(arguments.folder.glob("*.whl"))
    print(f"{arguments.folder}: {len(files)} wheels, {sum(file.stat().st_size for file in files) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
