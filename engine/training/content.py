"""What recipe files say, as one mapping: YAML on top of the recipes that it is based on, and single keys replaced."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from engine.errors import RecipeError
from engine.files import read_regular
from engine.language.registry import with_files
from engine.names import shown

MOST_BYTES = 4_000_000
"""Of a recipe's file."""

MOST_VALUES = 100_000
"""Of a recipe, each counted as often as aliases repeat it."""

DEEPEST = 64
"""Mappings and lists within each other, and recipes that are based on each other."""


class _ExcessError(Exception):
    """YAML says more than a recipe may."""


class _Loader(yaml.SafeLoader):
    """Counts what it reads, and what aliases make of it, before any of it is made."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.count = 0
        self.sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        before = self.count
        self.depth += 1
        self.count += 1
        if self.depth > DEEPEST:
            raise _ExcessError(f"nests more than {DEEPEST} deep")
        alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if alias:
            if id(node) not in self.sizes:
                raise _ExcessError("an alias stands within what it repeats")
            self.count += self.sizes[id(node)]
        if self.count > MOST_VALUES:
            raise _ExcessError(f"holds more than {MOST_VALUES:,} values")
        self.depth -= 1
        self.sizes[id(node)] = self.count - before
        return node


def yaml_value(text: str, where: str) -> Any:  # noqa: ANN401 (YAML)
    """What a text says in YAML.

    Args:
        text: The text.
        where: What comes before an error's message.

    Raises:
        RecipeError: If it is no YAML, or asks for more than values, lists and mappings of a bearable size.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # nosec B506 (a safe loader with limits)
    except _ExcessError as error:
        raise RecipeError(f"{where}: {error}; a recipe is no such file") from error
    except yaml.YAMLError as error:
        said = "\n".join(shown(line) for line in str(error).splitlines())
        raise RecipeError(f"{where}: is not YAML: {said}") from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise RecipeError(f"{where}: is not YAML: a value that is none: {shown(error)}") from error


def recipe_content(path: Path) -> dict[str, Any]:
    """What a recipe says, on top of the recipes that it is based on; paths are absolute.

    Raises:
        RecipeError: If a file cannot be read or is no recipe, or is based on itself.
    """
    found: list[tuple[Path, dict[str, Any]]] = []
    while True:
        content = _one(path)
        if any(path.samefile(other) for other, _ in found):
            raise RecipeError(f"{shown(path)}: base: the recipe is based on itself")
        if len(found) == DEEPEST:
            raise RecipeError(f"{shown(path)}: base: more than {DEEPEST} recipes are based on each other")
        locate(content, path.parent)
        base = content.pop("base", None)
        found.append((path, content))
        if base is None:
            break
        if not isinstance(base, str):
            raise RecipeError(f"{shown(path)}: base: the path of a recipe is wanted; found {base!r}")
        path = path.parent / base
    if isinstance(content.get("data"), dict):
        content["data"].setdefault("root", str(path.parent.resolve()))
    for _, own in found[-2::-1]:
        content = _merged(content, own)
    return content


def _one(path: Path) -> dict[str, Any]:
    """What one file says."""
    try:
        text = read_regular(path, MOST_BYTES, RecipeError).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{shown(path)}: is not YAML: {error}; save it as UTF-8") from error
    content = yaml_value(text, shown(path))
    if not isinstance(content, dict):
        raise RecipeError(f"{shown(path)}: a recipe is a mapping of keys; found {type(content).__name__}")
    for fault in value_faults(content):
        raise RecipeError(f"{shown(path)}: {fault}")
    return content


def value_faults(content: object, key: str = "") -> Iterator[str]:
    """What no recipe may have, wherever it stands: texts with a NUL, and numbers that are none or endless."""
    if isinstance(content, str) and "\0" in content:
        yield f"{shown(key)}: {shown(content)[:80]} has the character U+0000, which no text may have"
    elif isinstance(content, float) and not math.isfinite(content):
        yield f"{shown(key)}: {content} is no finite number"
    elif isinstance(content, list | tuple):
        for place, value in enumerate(content):
            yield from value_faults(value, f"{key}.{place}")
    elif isinstance(content, Mapping):
        for name, value in content.items():
            where = f"{key}.{name}" if key else str(name)
            yield from value_faults(name, where)
            yield from value_faults(value, where)


def locate(content: dict[str, Any], folder: Path) -> None:
    """Makes paths absolute that are relative to ``folder``."""

    def absolute(path: str) -> str:
        return os.path.realpath(folder / path)  # which, unlike Path.resolve, bears links in a circle

    for part, key in (("data", "root"), ("start", "run")):
        said = content.get(part)
        if isinstance(said, dict) and isinstance(said.get(key), str):
            said[key] = absolute(said[key])
    change_language_files(content, absolute)
    # os.path.isdir, unlike Path.is_dir, bears names that no file can have
    change_weights(content, lambda path: absolute(path) if path and os.path.isdir(folder / path) else path)  # noqa: PTH112


def change_weights(content: Mapping[str, Any], change: Callable[[str], str]) -> None:
    """Changes the name or folder of the network's pretrained weights, in a recipe that may be malformed."""
    for network in _mappings([content.get("network")]):
        for options in _mappings([network.get("options")]):
            if isinstance(options.get("weights"), str):
                options["weights"] = change(options["weights"])


def change_language_files(content: Mapping[str, Any], change: Callable[[str], str]) -> None:
    """Changes the paths of legends, and of text encoders' files and folders, in a recipe that may be malformed."""
    for stage in _mappings(content.get("stages")):
        for method in _mappings([stage.get("method")]):
            for objective in _mappings(method.get("objectives")):
                for options in _mappings([objective.get("options")]):
                    objective["options"] = with_files(options, change)


def _mappings(items: object) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _merged(base: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        there = merged.get(key)
        if isinstance(there, dict) and isinstance(value, dict) and not _another(there, value):
            merged[key] = _merged(there, value)
        else:
            merged[key] = value
    return merged


def _another(there: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Whether two mappings are of different things, whose options say nothing to each other."""
    return any(key in value and value[key] != there.get(key) for key in ("name", "kind"))


def override(content: dict[str, Any], words: str) -> None:
    """Replaces one value of a recipe.

    Args:
        content: Of the recipe; it is changed.
        words: ``key.path=value``, the value in YAML; list items by number.

    Raises:
        RecipeError: If there is no such place, or the value cannot be read.
    """
    key, equals, text = words.partition("=")
    key = shown(key)
    if not equals or not all(key.split(".")):
        raise RecipeError(f"--set {shown(words)}: expected KEY=VALUE, as in schedule.epochs=3")
    *parents, last = key.split(".")
    if len(parents) > DEEPEST:
        raise RecipeError(f"--set {key[:80]}...: nests more than {DEEPEST} deep")
    value = yaml_value(text, f"--set {key}")
    for fault in value_faults(value, key):
        raise RecipeError(f"--set {fault}")
    target: Any = content
    for parent in parents:
        if isinstance(target, list):
            target = target[_position(target, parent, key)]
        elif isinstance(target, dict):
            target = target.setdefault(parent, {})
        else:
            raise RecipeError(f"--set {key}: {parent} is below a single value")
    if isinstance(target, list):
        target[_position(target, last, key)] = value
    elif isinstance(target, dict):
        target[last] = value
    else:
        raise RecipeError(f"--set {key}: {last} is below a single value")


def _position(items: list[Any], text: str, key: str) -> int:
    if not text.isdecimal() or len(text) > 9 or int(text) >= len(items):
        raise RecipeError(f"--set {key}: {text} is no position in a list of {len(items)}")
    return int(text)
