"""The plugin's package: complete, clean for the upload scan, ready for Qt 6."""

import ast
import importlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "qgis_plugin").glob("*.py"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, unpacked."""
    folder = tmp_path_factory.mktemp("package")
    subprocess.run([sys.executable, ROOT / "scripts/package_plugin.py", "-o", folder / "built"], check=True)
    (archive,) = (folder / "built").glob("*.zip")
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        opened.extractall(folder)
    assert archive.stat().st_size < 25e6, "what plugins.qgis.org takes"
    return folder / "robust_landcover"


def scan(*command: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)


def test_the_package_has_what_qgis_asks_for(package: Path) -> None:
    metadata = (package / "metadata.txt").read_text(encoding="utf-8")
    keys = ("name", "version", "qgisMinimumVersion", "qgisMaximumVersion", "description", "about", "author")
    for key in (*keys, "email", "homepage", "repository", "tracker", "changelog"):
        assert f"\n{key}=" in metadata
    assert "hasProcessingProvider=yes" in metadata
    assert {"LICENSE", "icon.svg", "__init__.py", "engine_source"} <= {path.name for path in package.iterdir()}
    assert not [path for path in package.rglob("*") if path.suffix in (".pyc", ".so", ".dll", ".dylib", ".exe")]
    data = {
        path.parent.relative_to(package).parts[0] for path in package.rglob("*") if path.suffix in (".onnx", ".tif")
    }
    assert data <= {"models"}
    assert [path.parent.name for path in package.rglob("*metadata.txt")] == [package.name], "QGIS takes the first"


def test_what_has_placeholders_is_not_packed_to_be_published(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "scripts/package_plugin.py", "-o", tmp_path, "--publish"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "homepage, repository, tracker, changelog, email: write the real ones" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_engine_can_be_installed_from_the_package(package: Path, tmp_path: Path) -> None:
    source = package / "engine_source"
    command = ("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", tmp_path, source)
    done = scan(*command)
    if "No module named 'hatchling'" in done.stderr:
        done = scan(*(word for word in command if word != "--no-build-isolation"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "engine" / "cli" / "job.py").exists()


def test_the_upload_scan_finds_nothing(package: Path) -> None:
    bandit = scan("bandit", "-q", "-r", package, "--severity-level", "all", "--confidence-level", "all")
    assert bandit.returncode == 0, bandit.stdout
    assert secrets(package) == {}


def secrets(package: Path) -> dict[str, object]:
    """What detect-secrets finds, which always ends with 0, and finds nothing outside of the folder that it runs in."""
    done = scan("detect_secrets", "scan", "--all-files", ".", folder=package)
    found: dict[str, object] = json.loads(done.stdout)["results"]
    return found


@pytest.mark.parametrize(
    ("name", "text"),
    [("results.py", "\nPASSWORD = 'Zg7%kq2!vRw9'\n"), ("keys.txt", "AKIA" + "IOSFODNN7ABCDEFG\n")],
)
def test_a_planted_secret_is_found(package: Path, tmp_path: Path, name: str, text: str) -> None:
    planted = tmp_path / "robust_landcover"
    planted.mkdir()
    before = package / name
    (planted / name).write_text((before.read_text(encoding="utf-8") if before.exists() else "") + text)
    assert secrets(planted)


def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    (tmp_path / "fault.py").write_text("assert True\n")  # of the lowest severity
    assert scan("bandit", "-q", "-r", tmp_path, "--severity-level", "all").returncode == 1


def test_the_rules_of_flake8_qgis_hold(package: Path) -> None:
    done = scan("flake8", "--select=QGS1", "--isolated", package)
    assert done.returncode == 0, done.stdout


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Module and name of each ``from module import name``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def chains(tree: ast.AST) -> Iterator[list[str]]:
    """Each dotted name, the longest only: ``QProcess.ProcessState.NotRunning``."""
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node not in inner:
            parts: list[str] = []
            part: ast.expr = node
            while isinstance(part, ast.Attribute):
                parts.append(part.attr)
                part = part.value
                inner.add(part)
            if isinstance(part, ast.Name):
                yield [part.id, *reversed(parts)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_it_imports_qgis_and_the_standard_library_only(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0}
    outside = {name.partition(".")[0] for name in named} - set(sys.stdlib_module_names)
    assert outside <= {"qgis", "processing"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_every_qt_name_exists_in_qt6(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {}
    for module, name in imports(tree):
        if module.startswith("qgis.PyQt."):
            names[name] = getattr(importlib.import_module(module.replace("qgis.PyQt", "PyQt6")), name)
        assert not module.startswith(("PyQt5", "PyQt6")), f"{path.name}: Qt comes from qgis.PyQt"
    for first, *rest in chains(tree):
        found = names.get(first)
        for part in rest if first in names else ():
            assert hasattr(found, part), f"{path.name}: {first}.{'.'.join(rest)} does not exist in Qt 6"
            found = getattr(found, part)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_enum_of_qgis_is_unscoped(path: Path) -> None:
    """``QgsProcessing.TypeRaster`` is gone with Qt 6; ``QgsProcessing.SourceType.TypeRaster`` serves both."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unscoped = [
        ".".join(chain)
        for chain in chains(tree)
        if chain[0].startswith("Qgs") and len(chain) == 2 and chain[1][0].isupper()
        if chain[1] != "SaveVectorOptions"  # which is a class
    ]
    assert unscoped == []


def test_translations_are_up_to_date_and_keep_their_places() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    translations = importlib.import_module("translations")
    texts = set(translations.texts())
    assert len(texts) > 30
    for path in (ROOT / "qgis_plugin" / "i18n").glob("*.ts"):
        found = translations.read(path)
        assert set(found) == texts, f"{path.name} is out of date: python3 scripts/translations.py"
        for (_, source), translated in found.items():
            places = sorted(re.findall(r"\{[^}]*\}", source))
            assert translated == "" or sorted(re.findall(r"\{[^}]*\}", translated)) == places, translated
