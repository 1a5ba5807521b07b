"""Packs the QGIS plugin: a folder `robust_landcover` with the engine's source inside, and a zip of it.

``python3 scripts/package_plugin.py [-o FOLDER]``; the standard library only.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "robust_landcover"
ENGINE_FILES = ("pyproject.toml", "metadata.txt", "README.md", "LICENSE", "constraints.txt")
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


def build(folder: Path) -> Path:
    """Makes the plugin's folder in ``folder``, anew, and gives its path."""
    target = folder / NAME
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "qgis_plugin", target, ignore=_IGNORED)
    for name in ("metadata.txt", "LICENSE"):
        shutil.copy(ROOT / name, target)
    source = target / "engine_source"
    shutil.copytree(ROOT / "engine", source / "engine", ignore=_IGNORED)
    for name in ENGINE_FILES:
        shutil.copy(ROOT / name, source)
    _translate(target / "i18n")
    return target


def _translate(folder: Path) -> None:
    """Compiles the translations where Qt's lrelease is there; without it QGIS shows English."""
    tool = shutil.which("lrelease") or shutil.which("lrelease-qt5") or shutil.which("lrelease-qt6")
    for source in sorted(folder.glob("*.ts")):
        if tool:
            subprocess.run([tool, "-silent", str(source)], check=True)
        else:
            print(f"{source.name}: not compiled, lrelease was not found")


def pack(folder: Path) -> Path:
    """Makes the plugin's zip in ``folder`` and gives its path."""
    target = build(folder)
    version = next(
        line.partition("=")[2]
        for line in (ROOT / "metadata.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith("version=")
    )
    path = folder / f"{NAME}-{version}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(target.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


def main() -> None:
    """Packs into ``dist`` or the folder named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    path = pack(folder)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB; unpacked in {folder / NAME}")


if __name__ == "__main__":
    main()
