"""Whether a map still is what was mapped: its values, what it says of itself, and what stands beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.errors import RasterioError

from engine.errors import RasterReadError
from engine.files import file_digest
from engine.grid import Window
from engine.mapping.facts import changed_facts, damaged, facts_of, places, self_digest
from engine.mapping.publishing import beside
from engine.raster.pam import xml_digest


@dataclass(frozen=True)
class Verified:
    """What was found right.

    Args:
        text: In words.
        additions: What others have put beside the map, or into what stands there, without harm.
    """

    text: str
    additions: tuple[str, ...] = ()


def verify(path: Path, quick: bool = False) -> Verified:
    """Compares a map with the hashes that were written beside it.

    Args:
        path: A class map, or another raster that was written with one.
        quick: Compare size and time of the raster only.

    Raises:
        RasterReadError: If something was changed, is missing or cannot be read; it says what, and for values in which
            rows and columns.
    """
    if not path.is_file():
        raise RasterReadError(f"{path}: there is no such file; name a map")
    hashes = _document(beside(path, "")["hashes"], path)
    if quick:
        status = _status(path)
        if [status.st_size, status.st_mtime_ns] != [hashes.get("size"), hashes.get("time")]:
            raise RasterReadError(f"{path}: size or time are not those of the map; leave out --quick to see more")
        return Verified("size and time are unchanged")
    problems, text = _raster(path, hashes)
    additions: list[str] = []
    if path.with_name(f"{path.name}.msk").exists():
        problems.append(f"{path.name}.msk, which another program put beside it, hides pixels")
    if path.with_name(f"{path.name}.ovr").exists():
        additions.append(f"{path.name}.ovr was put beside it by another program")
    if hashes.get("layer") == "classes":
        found, added = _sidecars(path, hashes)
        problems, additions = problems + found, additions + added
    else:
        there = beside(path, str(hashes.get("layer")))
        hashed = [kind for kind in ("style", "metadata") if kind in hashes]
        problems += [problem for kind in hashed for problem in _file(there[kind], hashes[kind])]
    if problems:
        raise RasterReadError(f"{path}: {'; '.join(problems)}; map again")
    return Verified(text, tuple(additions))


def _status(path: Path) -> Any:  # noqa: ANN401 (os.stat_result)
    try:
        return path.stat()
    except OSError as error:
        raise RasterReadError(f"{path}: cannot be read: {error.strerror}; map again") from error


def _document(path: Path, raster: Path) -> dict[str, Any]:
    """A JSON document that holds its own hash, where it is of an engine that wrote one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except OSError as error:
        raise RasterReadError(
            f"{raster}: there is nothing to compare with: {path.name} cannot be read ({error.strerror}); copy a "
            "map with all that stands beside it, or map again"
        ) from error
    except ValueError as error:
        raise RasterReadError(f"{raster}: {path.name} was changed or damaged ({error}); map again") from error
    if ("facts" in content or "files" in content) and content.get("digest") != self_digest(content):
        raise RasterReadError(f"{raster}: {path.name} was changed or damaged; map again")
    return content


def _raster(path: Path, hashes: dict[str, Any]) -> tuple[list[str], str]:
    """What is wrong with a raster, and what is right, in words."""
    try:
        parts = [(Window(*map(int, part)), str(one)) for *part, one in hashes["parts"]]
        unchanged = file_digest(path) == hashes["sha256"]
        wrong = damaged(path, parts)
        changed = changed_facts(hashes.get("facts", {}), facts_of(path))  # GDAL reads some of them beside the raster
        size = path.stat().st_size
    except (KeyError, TypeError, ValueError) as error:
        raise RasterReadError(f"{path}: there are no hashes to compare with: {error}") from error
    except (OSError, RasterioError) as error:
        raise RasterReadError(f"{path}: cannot be read: {error}; map again") from error
    problems = [f"values are not those that were mapped, in {places(wrong)}"] if wrong else []
    if changed:
        problems.append(f"changed: {', '.join(changed)}")
    if not (unchanged or problems) and size == hashes.get("size"):
        problems.append("the file has other bytes, though its values are those that were mapped")
    return problems, "unchanged" if unchanged else "the file was rewritten, its values are unchanged"


def _file(file: Path, digest: str) -> list[str]:
    try:
        return [] if file_digest(file) == digest else [f"{file.name} was changed or damaged"]
    except OSError as error:
        return [f"{file.name} cannot be read ({error.strerror})"]


def _sidecars(path: Path, hashes: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What is wrong with what stands beside a class map, and what others have added to it."""
    there = beside(path, "classes")
    provenance = _document(there["provenance"], path)
    files = provenance.get("files")
    if not isinstance(files, dict):
        if "facts" in hashes:  # an engine that wrote one wrote the other
            return [f"{there['provenance'].name} was changed or damaged"], []
        return [], ["what stands beside it has no hashes to compare with: an older engine wrote it"]
    named = beside(path.with_name(_name(files, path)), "classes")
    problems: list[str] = []
    additions: list[str] = []
    kinds = ["legend", "style", "hashes"]
    if named["metadata"].name in files:  # which engines of before did not write
        kinds.append("metadata")
    for kind in kinds:
        file = there[kind]
        try:
            if file_digest(file) == files.get(named[kind].name):
                continue
            if kind == "legend" and _legend(file) == provenance.get("legend"):
                additions.append(f"{file.name} holds statistics that another program added")
                continue
        except OSError as error:
            problems.append(f"{file.name} cannot be read ({error.strerror})")
            continue
        problems.append(f"{file.name} was changed or damaged")
    return problems, additions


def _name(files: dict[str, Any], path: Path) -> str:
    """What the class map was called when it was made, which may have been renamed since."""
    legends = [name.removesuffix(".aux.xml") for name in files if name.endswith(".aux.xml")]
    return legends[0] if len(legends) == 1 and legends[0] in files else path.name


def _legend(file: Path) -> str | None:
    try:
        return xml_digest(file.read_text(encoding="utf-8"))
    except ValueError:
        return None
