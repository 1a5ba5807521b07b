"""The text that says which layer is which sensor: ``modality=layer[@bands];...``, as the engine reads it."""

import re

NONE = "none"
"""The assignment where every sensor is missing; an empty one would mean that the engine is to find out."""

OPEN = "?"
"""Stands for a layer that is still to be chosen."""

_PART = re.compile(r'(?:[^;"]|"(?:[^"]|"")*"|")+')
_QUOTED = re.compile(r'"((?:[^"]|"")+)"[^"]*')


def parts(text):
    """Its parts, without those that are empty; a semicolon in double quotes parts nothing."""
    return [part.strip() for part in _PART.findall(text) if part.strip()]


def layer_names(text):
    """The names that layers may have for it, with and without what may be bands behind an ``@``."""
    names = set()
    for part in parts(text):
        written = part.partition("=")[2].strip()
        quoted = _QUOTED.fullmatch(written)
        names |= {quoted[1].replace('""', '"')} if quoted else {written, written.rpartition("@")[0]}
    return names - {""}


def quoted(name):
    """A layer's name as an assignment holds it."""
    return '"' + name.replace('"', '""') + '"' if set('";=@:') & set(name) else name


def is_open(part):
    """Whether a part names a sensor, but not yet its layer."""
    return part.partition("=")[2].strip() == OPEN
