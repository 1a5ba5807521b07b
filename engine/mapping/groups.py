"""The classes of a map: those of its model, or groups of them that are mapped as one.

A group is written ``NAME[:#rrggbb]=CLASS,CLASS``, its classes by their names or values. A name that has one of
``" = , ;`` stands in double quotes; a quote in it is doubled: ``"built-up, dense":#a00000=23,24``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import LabelError
from engine.modality import LandClass
from engine.names import shown, steering

_NAME = r'(?:"(?:[^"]|"")+"\s*|[^"=,;\s][^"=,;]*)'
_GROUP = re.compile(rf'\s*(?P<head>{_NAME}(?::[^"=,;]*)?)=\s*(?P<classes>{_NAME}(?:,\s*{_NAME})*)')
_COLORED = re.compile(r'(?P<name>.*):\s*(?P<color>#[^"]*)')


@dataclass(frozen=True)
class Group:
    """Classes that are mapped as one.

    Args:
        name: Its name in the map.
        classes: Names or values.
        color: ``#rrggbb``; that of the class with the lowest value where None.
    """

    name: str
    classes: tuple[str, ...]
    color: str | None = None

    @classmethod
    def parse(cls, text: str) -> Group:
        """A group as it is written.

        Raises:
            LabelError: If the text is not of that form, or a name has a character that no name may have.
        """
        found = _GROUP.fullmatch(text)
        if found is None:
            raise LabelError(
                f"group {shown(text)}: expected NAME=CLASS,CLASS or NAME:#rrggbb=CLASS,CLASS, as in "
                'vegetation=forest,shrubland; a name with one of " = , ; stands in double quotes'
            )
        colored = _COLORED.fullmatch(found["head"])
        name = _plain(found["head"] if colored is None else colored["name"])
        if not name.strip() or steering(name):
            raise LabelError(f"group {shown(text)}: its name is empty or has a character that no name may have")
        classes = tuple(_plain(one) for one in re.findall(_NAME, found["classes"]))
        return cls(name, classes, None if colored is None else colored["color"].strip())

    def __str__(self) -> str:
        color = "" if self.color is None else f":{self.color}"
        return f"{_written(self.name)}{color}={','.join(map(_written, self.classes))}"


def _plain(written: str) -> str:
    name = written.strip()
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _written(name: str) -> str:
    plain = set('":=,;').isdisjoint(name) and name == name.strip()
    return name if plain else '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Legend:
    """The classes of a map.

    Args:
        classes: In the order of their indices.
        members: Of each, the indices of the model's classes that it is made from.
    """

    classes: tuple[LandClass, ...]
    members: tuple[tuple[int, ...], ...]

    def groups(self, classes: Sequence[LandClass]) -> dict[str, list[str]]:
        """Names of the model's ``classes`` in each that is a group, or has another name than the model's."""
        found = {}
        for item, members in zip(self.classes, self.members, strict=True):
            names = [classes[index].name for index in members]
            if names != [item.name]:
                found[item.name] = names
        return found

    def summed(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``[B, K, T, T]`` of the model's classes as those of the map's ``[B, L, T, T]``."""
        if len(self.members) == probabilities.shape[1]:
            return probabilities
        batch, _, height, width = probabilities.shape
        sums = np.empty((batch, len(self.members), height, width), dtype=probabilities.dtype)
        for place, (first, *others) in enumerate(self.members):
            sums[:, place] = probabilities[:, first]
            for other in others:
                sums[:, place] += probabilities[:, other]
        return sums


def legend(classes: Sequence[LandClass], groups: Sequence[Group] = ()) -> Legend:
    """The classes of a map. A group stands in the place of its class with the lowest value, and has that value.

    Args:
        classes: The model's.
        groups: Those of them that are mapped as one; what is in none stays as it is.

    Raises:
        LabelError: If a class is unknown, named ambiguously or in two groups, or two classes of the map would have one
            name.
    """
    taken: dict[int, Group] = {}
    for group in groups:
        for named in group.classes:
            index = _index(classes, group, named)
            if index in taken:
                raise LabelError(
                    f"groups {taken[index].name} and {group.name}: {classes[index].name} is in both, or twice in one"
                )
            taken[index] = group
    entries: list[tuple[LandClass, tuple[int, ...]]] = []
    for index, item in enumerate(classes):
        if index not in taken:
            entries.append((item, (index,)))
            continue
        group = taken[index]
        members = tuple(one for one, other in taken.items() if other is group)
        if index == min(members, key=lambda one: classes[one].value):
            entries.append((LandClass(item.value, group.name, group.color or item.color), tuple(sorted(members))))
    names = [item.name for item, _ in entries]
    for group in groups:
        if names.count(group.name) > 1:
            raise LabelError(f"group {group.name}: the map would have two classes of this name; call it otherwise")
    found, members_of = zip(*entries, strict=True)
    return Legend(found, members_of)


def _index(classes: Sequence[LandClass], group: Group, named: str) -> int:
    found = [index for index, item in enumerate(classes) if item.name == named]
    found = found or [index for index, item in enumerate(classes) if str(item.value) == named]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{_written(item.name)} ({item.value})" for item in classes)
    if found:
        raise LabelError(f"group {group.name}: several classes are called {named}; name them by value: {known}")
    raise LabelError(f"group {group.name}: the model has no class {named}; it has {known}")
