"""A recipe as text, with comments above its keys."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

import yaml

WIDTH = 120

Notes = Mapping[str, Sequence[str]]
"""Comments by key, with dots and numbers from the top."""


def recipe_text(head: Sequence[str], content: Mapping[str, object], notes: Notes, foot: Sequence[str]) -> str:
    """A recipe.

    Args:
        head: Comments before everything, a line each; long ones are wrapped.
        content: The recipe, as YAML can hold it.
        notes: Comments above keys.
        foot: Comments behind everything.
    """
    return "\n".join([*commented(head), *_mapping(content, notes, "", ""), *commented(foot), ""])


def commented(texts: Sequence[str], indent: str = "") -> list[str]:
    """Texts as comments."""
    return [line for text in texts for line in _wrapped(text, f"{indent}# ")]


def _wrapped(text: str, start: str) -> list[str]:
    if len(start) + len(text) <= WIDTH:
        return [f"{start}{text}".rstrip()]
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=f"{start}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _mapping(content: Mapping[str, object], notes: Notes, path: str, indent: str) -> Iterator[str]:
    for key, value in content.items():
        where = f"{path}{key}"
        yield from commented(notes.get(where, ()), indent)
        name = _flow(key)
        if isinstance(value, Mapping) and value and (_noted(notes, where) or not _fits(indent, name, value)):
            yield f"{indent}{name}:"
            yield from _mapping(value, notes, f"{where}.", f"{indent}  ")
        elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
            yield f"{indent}{name}:"
            yield from _list(value, notes, f"{where}.", f"{indent}  ")
        else:
            yield from _folded(f"{indent}{name}: ", value, indent)


def _list(items: Sequence[object], notes: Notes, path: str, indent: str) -> Iterator[str]:
    for number, item in enumerate(items):
        where = f"{path}{number}"
        yield from commented(notes.get(where, ()), indent)
        if isinstance(item, Mapping) and (_noted(notes, where) or not _fits(indent, "-", item)):
            lines = list(_mapping(item, notes, f"{where}.", f"{indent}  "))
            first = next(place for place, line in enumerate(lines) if not line.lstrip().startswith("#"))
            yield from lines[:first]
            yield f"{indent}- {lines[first].lstrip()}"
            yield from lines[first + 1 :]
        else:
            yield f"{indent}- {_flow(item)}"


def _noted(notes: Notes, where: str) -> bool:
    return any(key.startswith(f"{where}.") for key in notes)


def _fits(indent: str, name: str, value: object) -> bool:
    nested = isinstance(value, Mapping) and any(isinstance(one, Mapping) for one in value.values())
    return not nested and len(f"{indent}{name}: {_flow(value)}") <= WIDTH


def _folded(start: str, value: object, indent: str) -> Iterator[str]:
    """One line, or a long list over several."""
    line = f"{start}{_flow(value)}"
    if len(line) <= WIDTH or not isinstance(value, list):
        yield line
        return
    yield f"{start}["
    items = [f"{_flow([one])[1:-1]}," for one in value]  # as they are quoted within a list
    row = f"{indent}  "
    for item in items:
        if row.strip() and len(row) + len(item) + 1 > WIDTH:
            yield row.rstrip()
            row = f"{indent}  "
        row += f"{item} "
    yield row.rstrip()
    yield f"{indent}]"


def _flow(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=2**31 - 1)
    return text.removesuffix("\n").removesuffix("\n...")
