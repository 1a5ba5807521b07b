"""The layers of the engine: imports point down only, and what maps needs neither torch nor QGIS."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = (
    {"errors", "availability", "modality", "ground", "grid", "names", "files", "locks", "said"},
    {"raster"},
    {"data"},
    {"language"},
    {"networks"},
    {"methods"},
    {"model"},
    {"report"},
    {"runtime"},
    {"mapping"},
    {"products"},
    {"export"},
    {"evaluation"},
    {"training"},
    {"proposal"},
    {"cli"},
)
WITHOUT_TORCH = (
    "errors",
    "availability",
    "modality",
    "ground",
    "grid",
    "names",
    "files",
    "locks",
    "said",
    "raster",
    "model",
    "runtime",
    "mapping",
    "products",
    "report",
)
FILES = sorted((ROOT / "engine").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def part(path: Path) -> str:
    return path.relative_to(ROOT / "engine").with_suffix("").parts[0]


def level(name: str) -> int:
    return next((number for number, layer in enumerate(LAYERS) if name in layer), -1)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    for name in imported(path):
        if name.startswith("engine."):
            assert level(name.split(".")[1]) <= level(part(path)) or part(path) == "__init__", f"{path} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_mapping_needs_no_torch_and_nothing_needs_qgis(path: Path) -> None:
    for name in imported(path):
        root = name.split(".")[0]
        assert root not in ("qgis", "PyQt5", "PyQt6")
        if part(path) in WITHOUT_TORCH:
            assert root not in ("torch", "transformers", "lightning_fabric"), f"{path} imports {name}"
            assert not name.startswith(("engine.data", "engine.networks", "engine.methods", "engine.training"))
