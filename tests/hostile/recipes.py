"""Recipes that are wrong, each named by what is wrong with it; all have to be refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def content() -> dict[str, Any]:
    """Of a recipe that is right."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "recipes" / "synthetic.yaml").read_text(encoding="utf-8"))
    return loaded


def right() -> str:
    """The recipe that the others differ from; JSON is YAML."""
    return json.dumps(content())


SETS: dict[str, tuple[str, str]] = {
    "classes of one name": ("classes.1.name=water", "classes.1.name"),
    "a class without a name": ("classes.1.name=''", "classes.1.name"),
    "a class of a blank": ("classes.1.name=' '", "classes.1.name"),
    "a class of null": ("classes.1.name=null", "classes.1.name"),
    "a class called no": ("classes.1.name=no", "classes.1.name"),
    "classes of one value": ("classes.1.value=1", "classes"),
    "a class below zero": ("classes.1.value=-1", "classes.1"),
    "a class beyond 65534": ("classes.1.value=65535", "classes.1"),
    "a class beyond all": (f"classes.1.value=0x{'f' * 9000}", "classes.1"),
    "a class of NaN": ("classes.1.value=.nan", "classes.1.value"),
    "a colour that is none": ("classes.1.color='#12'", "classes.1"),
    "bands of one name": ("modalities.0.bands=[red, green, red]", "modalities.0.bands.2"),
    "a band without a name": ("modalities.0.bands=[red, '']", "modalities.0.bands.1"),
    "no band": ("modalities.0.bands=[]", "modalities.0.bands"),
    "modalities of one name": ("modalities.1.name=optical", "modalities"),
    "modalities that differ in capitals": ("modalities=[{name: a, bands: [x]}, {name: A, bands: [y]}]", "modalities"),
    "a modality called as torch's own": ("modalities.0.name=keys", "modalities"),
    "a modality called as an output": ("modalities.0.name=classes", "modalities"),
    "a modality with a point": ("modalities.0.name=a.b", "modalities.0.name"),
    "a modality of two lines": ('modalities.0.name="optical\\n"', "modalities.0.name"),
    "a recipe with a NUL": ('name="a\\0b"', "name"),
    "a recipe called by a path": ("name=../../etc", "name"),
    "a band that turns the writing": ('modalities.0.bands=["\\u202eder"]', "modalities.0.bands.0"),
    "a class with an escape sequence": ('classes.0.name="\\e[2Jwater"', "classes.0.name"),
    "a class of two lines": ('classes.0.name="wa\\nter"', "classes.0.name"),
    "a unit that rings": ('modalities.0.unit="\\a"', "modalities.0.unit"),
    "a scene with a NUL": ('data.scenes.0.name="\\0"', "data.scenes.0.name"),
    "a folder with a NUL": ('data.root="\\0"', "data.root"),
    "a key with a NUL": ('network.options={"\\0": 1}', "network.options"),
    "a rate of NaN": ("stages.0.schedule.optimizer.learning_rate=.nan", "learning_rate"),
    "an endless rate": ("stages.0.schedule.optimizer.learning_rate=.inf", "learning_rate"),
    "an endless rate in words": ("stages.0.schedule.optimizer.learning_rate='inf'", "learning_rate"),
    "an endless power": ("stages.0.schedule.decay.power='-inf'", "power"),
    "an endless pixel": ("data.pixel_size='inf'", "data.pixel_size"),
    "a seed beyond all": ("seed=99999999999999999999999", "seed"),
    "epochs in words": ("stages.0.schedule.epochs=many", "epochs"),
    "an epoch and a half": ("stages.0.schedule.epochs=1.5", "epochs"),
    "values of an unknown kind": ("modalities.0.values=seam", "modalities.0.values"),
    "a seam": ("seam=crossfade", "seam"),
    "a data type that is none": ("modalities.0.dtype=object", "modalities.0.dtype"),
    "a network that is none": ("network.name=os.system", "network.name"),
    "a split of nothing": ("data.split={kind: blocks, size: 1, modulo: 2, train: all, validation: []}", "data.split"),
    "a list of scenes that is a text": ("data.scenes=first", "data.scenes"),
    "a value without an equals sign": ("seed", "--set seed"),
    "a value without a key": ("=1", "--set =1"),
    "a key of points": ("data..chip=1", "--set data..chip"),
    "a key of a thousand parts": (f"{'a.' * 1000}a=1", "--set a.a.a"),
    "a key below a number": ("seed.x=1", "--set seed.x"),
    "a position that is none": ("classes.99.name=a", "--set classes.99.name"),
    "a position of another script": ("classes.².name=a", "--set classes.².name"),
    "a value that is no YAML": ("seed=[1", "--set seed"),
    "a value that makes an object": ("seed=!!python/object/apply:os.system [true]", "--set seed"),
    "a value that is no number": ("seed=!!int many", "--set seed"),
    "a value that is no date": ("seed=2024-99-99", "--set seed"),
    "a value nested too deeply": (f"seed={'[' * 5000}", "--set seed"),
}  # fmt: skip
"""What is given with ``--set``, and what the error has to name. The same in a file is the same to the reader."""

_BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{one}: &a{one} [{', '.join([f'*a{one - 1}'] * 10)}]" for one in range(1, 12)]
)
_MERGED = "\n".join(
    ["a0: &a0 {x: 1, y: 2}"] + [f"a{one}: &a{one} {{<<: [{', '.join([f'*a{one - 1}'] * 10)}]}}" for one in range(1, 12)]
)

TEXTS: dict[str, str | bytes] = {
    "nothing": "",
    "a text": "engine",
    "a list": "[1, 2]",
    "two documents": "a: 1\n---\nb: 2\n",
    "a list without an end": "classes: [1, 2",
    "lists nested too deeply": "a: " + "[" * 100_000,
    "mappings nested too deeply": "\n".join(" " * level + "a:" for level in range(1500)),
    "aliases that blow up": _BOMB,
    "merged mappings that blow up": _MERGED,
    "an alias within what it repeats": "a: &a [*a]",
    "an alias of nothing": "a: *b",
    "too many values": f"a: &a [{'1,' * 999}]\nb: [{'*a,' * 200}]",
    "a key that is a list": "? [a, b]\n: 1",
    "a key that is a number": "1: 2",
    "an object of Python": "a: !!python/object/apply:os.system ['true']",
    "a module of Python": "a: !!python/module:os",
    "a truth that is none": "a: !!bool maybe",
    "a number without digits": "a: !!int ''",
    "a date that is none": "a: !!timestamp soon",
    "a number of 5000 digits": "seed: " + "9" * 5000,
    "a NUL": "a: \0",
    "bytes that are no text": bytes(range(256)),
    "another encoding": "name: größe".encode("utf-16"),
    "an older encoding": "name: größe".encode("latin-1"),
    "itself as a base": "base: recipe.yaml",
    "itself as a base by another way": "base: ../{folder}/recipe.yaml",
    "a base that is not there": "base: recipe.yaml.none",
    "a base that is a folder": "base: .",
    "a base with a NUL": 'base: "\\0"',
    "a base that is a list": "base: [a]",
    "a base of an endless name": f"base: {'a' * 5000}",
}

FILES: dict[str, Callable[[Path], object]] = {
    "no file": lambda path: path.with_name("other").touch(),
    "a folder": lambda path: path.mkdir(),
    "a pipe without a writer": lambda path: os.mkfifo(path),
    "a device without an end": lambda path: path.symlink_to("/dev/zero"),
    "a link in a circle": lambda path: path.symlink_to(path.name),
    "a file of a terabyte": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
    "a thousand bases": lambda path: _chain(path),
    "bases in a circle": lambda path: _circle(path),
}


def _chain(path: Path) -> None:
    for number in range(1000):
        path.with_name(f"{number}.yaml").write_text(f"base: {number + 1}.yaml\n")
    path.with_name("1000.yaml").write_text(right())
    path.write_text("base: 0.yaml\n")


def _circle(path: Path) -> None:
    path.write_text("base: one.yaml\n")
    path.with_name("one.yaml").write_text("base: two.yaml\n")
    path.with_name("two.yaml").write_text("base: recipe.yaml\n")


NAMES = (*TEXTS, *FILES)
"""Of those that are wrong as files."""


def write(name: str, path: Path) -> None:
    """Writes one of :data:`NAMES`."""
    if name in FILES:
        FILES[name](path)
        return
    text = TEXTS[name]
    path.write_bytes(text if isinstance(text, bytes) else text.replace("{folder}", path.parent.name).encode())
