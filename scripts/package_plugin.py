"""Packs the QGIS plugin: a folder `robust_landcover` with the engine's source inside, and a zip of it.

``python3 scripts/package_plugin.py [-o FOLDER] [--publish]``; the standard library only.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "robust_landcover"
ENGINE_FILES = ("README.md", "LICENSE", "constraints.txt")
LINKS = ("homepage", "repository", "tracker", "changelog", "email")
"""Of metadata.txt; while they are placeholders the plugin can be tried but not published."""
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


def build(folder: Path) -> Path:
    """Makes the plugin's folder in ``folder``, anew, and gives its path."""
    target = folder / NAME
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "qgis_plugin", target, ignore=_IGNORED)
    shutil.copytree(ROOT / "models", target / "models")
    for name in ("metadata.txt", "LICENSE"):
        shutil.copy(ROOT / name, target)
    source = target / "engine_source"
    shutil.copytree(ROOT / "engine", source / "engine", ignore=_IGNORED)
    for name in ENGINE_FILES:
        shutil.copy(ROOT / name, source)
    (source / "pyproject.toml").write_text(_standing_alone(), encoding="utf-8")
    _translate(target / "i18n")
    return target


def facts() -> dict[str, str]:
    """What metadata.txt says, by key."""
    lines = (ROOT / "metadata.txt").read_text(encoding="utf-8").splitlines()
    return {key: value for key, equals, value in (line.partition("=") for line in lines) if equals}


def _standing_alone() -> str:
    """The engine's pyproject with its version written out.

    QGIS takes the alphabetically first ``*metadata.txt`` of a zip for the plugin's: there must be no other.
    """
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for old, new in (
        ('dynamic = ["version"]', f'version = "{facts()["version"]}"'),
        (', "metadata.txt"]', "]"),
    ):
        if text.count(old) != 1:
            raise ValueError(f"pyproject.toml: expected {old!r} once")
        text = text.replace(old, new)
    before, _, rest = text.partition("[tool.hatch.version]\n")
    return before + rest.partition("\n\n")[2]


def placeholders() -> list[str]:
    """The links that are missing or stand for none."""
    found = facts()
    return [key for key in LINKS if not found.get(key) or "example.org" in found[key]]


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
    path = folder / f"{NAME}-{facts()['version']}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(target.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


def main() -> None:
    """Packs into ``dist`` or the folder named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--publish", action="store_true", help="refuse what plugins.qgis.org would not take")
    arguments = parser.parse_args()
    if arguments.publish and placeholders():
        parser.error(f"metadata.txt: {', '.join(placeholders())}: write the real ones before the plugin is published")
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    path = pack(folder)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB; unpacked in {folder / NAME}")


if __name__ == "__main__":
    main()
