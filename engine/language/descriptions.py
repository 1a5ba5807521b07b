"""Descriptions of classes, one text for each kind of sensor: legends that ship with the engine, and one's own.

LVPCnet aligns what its encoders see with what is said of a class ("Language-Guided Visual Prompt Compensation for
Multi-Modal Remote Sensing Image Classification with Modality Absence", ACM MM 2024, section 3.2.1): one text that all
sensors share, and one for each sensor on what that sensor alone reflects. The paper has a large language model write
them, for three data sets; here they are files to read, check and edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError
from yaml.constructor import ConstructorError

from engine.data.settings import Settings
from engine.errors import LegendError

SHARED = "shared"
"""The text on what a class is, whatever looks at it."""

SENSORS = ("optical", "hyperspectral", "radar", "elevation", "thermal")
KINDS = (SHARED, *SENSORS)
"""Kinds of texts."""

FEWEST_WORDS = 6
MOST_WORDS = 55
"""About what CLIP's 77 tokens hold."""

TEMPLATE = Path(__file__).parent / "template.yaml"
_SHIPPED = Path(__file__).parent / "legends"


class ClassDescription(Settings):
    """A class in words.

    Args:
        values: Its makers' codes of it; label rasters may be coded otherwise, and recipes go by name.
        name: As the legend has it.
        also: Other names by which recipes call it.
        texts: By kind, one of :data:`KINDS`.
    """

    values: tuple[int, ...] = Field(min_length=1)
    name: str = Field(min_length=1)
    also: tuple[str, ...] = ()
    texts: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the legend's own first."""
        return (self.name, *self.also)


class Legend(Settings):
    """The classes of a legend in words.

    Args:
        name: Short name.
        title: What it is, in a line.
        source: Where its classes are defined.
    """

    name: str = Field(min_length=1)
    title: str
    source: str
    classes: tuple[ClassDescription, ...] = Field(min_length=2)


@dataclass(frozen=True)
class Finding:
    """What the check of a legend found; errors make it unusable, warnings do not."""

    level: Literal["error", "warning"]
    message: str


def legend_names() -> tuple[str, ...]:
    """The legends that ship with the engine."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.yaml")))


def load_legend(path_or_name: str | Path) -> Legend:
    """A legend as it stands, with whatever :func:`check_legend` would find.

    Args:
        path_or_name: A YAML file, or the name of a legend that ships with the engine.

    Raises:
        LegendError: If there is no such legend, or the file is no legend.
    """
    path = legend_path(path_or_name)
    try:
        content = _EachKeyOnce(path.read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError as error:
        raise LegendError(f"{path}: no such file") from error
    except OSError as error:
        raise LegendError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LegendError(f"{path}: is not YAML: {error}") from error
    try:
        return Legend.model_validate(content)
    except ValidationError as error:
        problems = "\n  ".join(_problems(error))
        raise LegendError(f"{path}: is no legend:\n  {problems}\nengine describe --template shows the form") from error


def legend_path(path_or_name: str | Path) -> Path:
    """The file of a legend.

    Args:
        path_or_name: A YAML file, or the name of a legend that ships with the engine, whatever its case.

    Raises:
        LegendError: If it is a name and there is no such legend.
    """
    path = Path(path_or_name)
    if is_name(str(path_or_name)):
        name = path.name.casefold()
        if name not in legend_names():
            raise LegendError(f"{path_or_name}: is neither a YAML file nor one of {', '.join(legend_names())}")
        return _SHIPPED / f"{name}.yaml"
    return path


def is_name(path_or_name: str) -> bool:
    """Whether a legend is named, not a file."""
    path = Path(path_or_name)
    return not path.suffix and len(path.parts) == 1


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses a key that is written twice in a mapping; otherwise the latter would win in silence.

    What a mapping merges (``<<: *other``) is no key of it: its own come before those.
    """

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: list[object] = []
        for key_node, _ in node.value:
            merges = key_node.tag == "tag:yaml.org,2002:merge"
            key = key_node.value if merges else self.construct_object(key_node, deep=True)
            if key in seen:
                raise ConstructorError(None, None, f"key {key!r} stands there twice", key_node.start_mark)
            seen.append(key)
        return node


def _problems(error: ValidationError) -> Iterator[str]:
    """A line on each thing that is wrong; a list is not said to be short for items that are wrong themselves."""
    found = error.errors()
    for one in found:
        inner = [other for other in found if other["loc"][: len(one["loc"])] == one["loc"]]
        if one["type"] == "too_short" and len(inner) > 1:
            continue
        where = ".".join(map(str, one["loc"]))
        message = "expected a mapping of keys" if one["type"] == "model_type" else one["msg"]
        yield f"{where}: {message}" if where else message


def read_legend(path_or_name: str | Path) -> Legend:
    """A legend without errors.

    Args:
        path_or_name: A YAML file, or the name of a legend that ships with the engine.

    Raises:
        LegendError: If there is no such legend, the file is no legend, or its check finds an error.
    """
    legend = load_legend(path_or_name)
    errors = [found.message for found in check_legend(legend) if found.level == "error"]
    if errors:
        raise LegendError(f"{path_or_name}: the descriptions cannot be used:\n  " + "\n  ".join(errors))
    return legend


def check_legend(legend: Legend) -> tuple[Finding, ...]:
    """What is wrong with a legend: errors first, each in the order of the classes."""
    found = [*_repeated(legend), *_kinds(legend), *_lengths(legend), *_alike(legend)]
    return tuple(sorted(found, key=lambda one: one.level != "error"))


def described(legend: Legend, classes: Sequence[tuple[int, str]]) -> tuple[ClassDescription, ...]:
    """For each class of a recipe its description.

    The name decides, whatever its case and punctuation, since recipes number classes anew; a class whose value alone
    is in the legend is refused, and the message says what the legend calls that value.

    Args:
        legend: Without errors.
        classes: Value and name of each.

    Raises:
        LegendError: If classes have no description, or two have the same one.
    """
    by_name = {plain_name(name): one for one in legend.classes for name in one.names}
    missing = [f"{value} {name!r}{_hint(legend, value)}" for value, name in classes if plain_name(name) not in by_name]
    if missing:
        names = ", ".join(one.name for one in legend.classes)
        raise LegendError(
            f"legend {legend.name}: no description of class {'; '.join(missing)}. It describes: {names}. Name the "
            "classes so, or add the names in a copy (engine describe NAME -o FILE), under also"
        )
    found = tuple(by_name[plain_name(name)] for _, name in classes)
    for one in found:
        same = [name for (_, name), other in zip(classes, found, strict=True) if other is one]
        if len(same) > 1:
            raise LegendError(
                f"legend {legend.name}: classes {', '.join(same)} have the same description, that of {one.name}: "
                "nothing would tell them apart. Describe each in a legend of your own"
            )
    return found


def plain_name(name: str) -> str:
    """A name without case and punctuation, by which classes are found."""
    return " ".join("".join(letter if letter.isalnum() else " " for letter in name.casefold()).split())


def _hint(legend: Legend, value: int) -> str:
    there = next((one.name for one in legend.classes if value in one.values), None)
    return f" (value {value} is {there!r} there)" if there is not None else ""


def _repeated(legend: Legend) -> Iterator[Finding]:
    """Names and values that stand for two classes."""
    names: dict[str, ClassDescription] = {}
    values: dict[int, ClassDescription] = {}
    for one in legend.classes:
        for name in one.names:
            if names.setdefault(plain_name(name), one) is not one:
                yield Finding("error", f"{one.name}: name {name!r} stands for {names[plain_name(name)].name} too")
        for value in one.values:
            if values.setdefault(value, one) is not one:
                yield Finding("error", f"{one.name}: value {value} stands for {values[value].name} too")


def _kinds(legend: Legend) -> Iterator[Finding]:
    """Unknown and missing kinds; one that no class has is only warned about."""
    used = {kind for one in legend.classes for kind in one.texts}
    for one in legend.classes:
        for kind in sorted(set(one.texts) - set(KINDS)):
            yield Finding("error", f"{one.name}: {kind!r} is no kind of text; known are {', '.join(KINDS)}")
        for kind in KINDS:
            if kind not in one.texts and (kind in used or kind == SHARED):
                yield Finding("error", f"{one.name}: {kind}: the text is missing")
    for kind in SENSORS:
        if kind not in used:
            yield Finding("warning", f"no class has a text for {kind}; the legend cannot serve such a sensor")


def _lengths(legend: Legend) -> Iterator[Finding]:
    for one in legend.classes:
        for kind, text in one.texts.items():
            words = len(text.split())
            if words < FEWEST_WORDS:
                yield Finding(
                    "error", f"{one.name}: {kind}: a text of {words} words; {FEWEST_WORDS} are the least, a sentence"
                )
            if words > MOST_WORDS:
                yield Finding(
                    "warning",
                    f"{one.name}: {kind}: {words} words; more than {MOST_WORDS} may not fit a text encoder, which then "
                    "takes it in parts and averages them",
                )


def _alike(legend: Legend) -> Iterator[Finding]:
    """Classes with the same text for a kind."""
    for kind in KINDS:
        texts: dict[str, str] = {}
        for one in legend.classes:
            text = plain_name(one.texts.get(kind, ""))
            if text and text in texts:
                yield Finding("error", f"{texts[text]} and {one.name}: {kind}: the texts are the same")
            texts[text] = one.name
