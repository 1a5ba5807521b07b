"""Names and colours of classes: a raster's own, those of a QGIS style beside it, else well-separated colours."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from xml.etree import ElementTree  # nosec B405

from matplotlib import colormaps
from matplotlib.colors import to_hex

from engine.errors import EngineError
from engine.modality import LandClass
from engine.names import shown, steering
from engine.products.classmap import ClassMap
from engine.raster.legend import SET
from engine.raster.matlab import file_of
from engine.raster.pam import LARGEST

_HIGHEST = 65534
"""The largest value that a class may have."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Legend:
    """What is known of label values.

    Args:
        names: By value.
        colours: By value, as ``#rrggbb``.
        sources: Where they come from, in words.
    """

    names: Mapping[int | str, str] = field(default_factory=dict)
    colours: Mapping[int | str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()


def raster_legend(path: str) -> Legend:
    """What a label raster (colour table, category names, attribute table) and the QGIS style beside it say."""
    names: dict[int | str, str] = {}
    colours: dict[int | str, str] = {}
    sources: list[str] = []
    with ExitStack() as stack, suppress(EngineError):  # several bands or fractions: such labels have no legend
        found = ClassMap(path, stack)
        names |= {value: name for value, name in found.names.items() if name.strip()}
        colours.update(found.colours.items())
        sources += ["category names"] * bool(names) + ["colour table"] * bool(colours)
    style = _style(Path(file_of(path.partition("@")[0])).with_suffix(".qml"))
    return Legend({**names, **style.names}, {**colours, **style.colours}, (*sources, *style.sources))


def vector_legend(path: str, field_name: str) -> Legend:
    """What the QGIS style beside a vector file says of the values of a field."""
    style = _style(Path(path.partition("|")[0]).with_suffix(".qml"), field_name)
    return Legend(style.names, style.colours, style.sources)


def _style(path: Path, field_name: str | None = None) -> Legend:
    """Names and colours of a QGIS style: palette entries of a raster, or categories of a vector layer's field."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return Legend()
        root = ElementTree.fromstring(path.read_bytes())  # noqa: S314  # nosec B314 (Expat bounds what entities grow to)
    except (OSError, ValueError, ElementTree.ParseError):
        return Legend()
    found = list(_categories(root, field_name) if field_name else _palette(root))
    names = {value: label for value, label, _ in found if label and label != str(value)}
    colours = {value: color.lower() for value, _, color in found if _COLOUR.fullmatch(color)}
    return Legend(names, colours, (f"style {path.name}",) if found else ())


def _palette(root: ElementTree.Element) -> Iterator[tuple[int | str, str, str]]:
    for one in root.iter("paletteEntry"):
        with suppress(ValueError):
            yield int(float(one.get("value", ""))), one.get("label", "").strip(), one.get("color", "")[:7]


def _categories(root: ElementTree.Element, field_name: str) -> Iterator[tuple[int | str, str, str]]:
    renderer = root.find(".//renderer-v2[@type='categorizedSymbol']")
    if renderer is None or renderer.get("attr", "").strip('"') != field_name:
        return
    symbols = {one.get("name"): _symbol_colour(one) for one in renderer.findall("symbols/symbol")}
    for one in renderer.findall("categories/category"):
        text = one.get("value", "")
        value: int | str = int(text) if re.fullmatch(r"-?\d+", text) else text
        if text:
            yield value, one.get("label", "").strip(), symbols.get(one.get("symbol"), "")


def _symbol_colour(symbol: ElementTree.Element) -> str:
    for one in symbol.iter():
        if (one.tag, one.get("k")) == ("prop", "color") or (one.tag, one.get("name")) == ("Option", "color"):
            numbers = re.findall(r"\d+", (one.get("v") or one.get("value") or "").partition("rgb")[0])[:3]
            if len(numbers) == 3:
                return "#{:02x}{:02x}{:02x}".format(*(min(255, int(number)) for number in numbers))
    return ""


def palette() -> Iterator[str]:
    """Colours that are told apart: Paul Tol's sets first, then matplotlib's tab20, tab20b and tab20c, over again."""
    maps = [to_hex(color) for name in ("tab20", "tab20b", "tab20c") for color in colormaps[name].colors]  # type: ignore[attr-defined]
    return cycle(dict.fromkeys([*SET, *maps]))


def class_list(
    values: Sequence[int | str], legend: Legend, renumbered: bool = False
) -> tuple[list[LandClass], dict[int | str, int]]:
    """Classes for label values, and which values they replace.

    A number keeps its value where a class may have it; texts, and other numbers, are numbered. A colour that two
    classes would have is given to neither.

    Args:
        values: Of the labels, none twice.
        legend: What is known of them.
        renumbered: Whether no number keeps its value, as where numbers stand for colours.
    """
    kept = [one for one in values if isinstance(one, int) and 0 <= one <= _HIGHEST and not renumbered]
    free = iter(number for number in range(1, _HIGHEST) if number not in set(kept))
    number_of = {value: value if value in kept else next(free) for value in values}
    often = Counter(legend.colours.get(value) for value in values)
    own = {
        value: legend.colours[value]
        for value in values
        if value in legend.colours and often[legend.colours[value]] == 1
    }
    spare = (color for color in palette() if color not in own.values())
    names: list[str] = []
    classes: list[LandClass] = []
    for value in values:
        name = shown(legend.names.get(value, value if isinstance(value, str) else f"class {value}")).strip()
        name = name if name and name not in names and steering(name) is None else f"{name} {number_of[value]}".strip()
        names.append(name)
        classes.append(LandClass(int(number_of[value]), name, own.get(value) or next(spare)))
    order = sorted(range(len(classes)), key=lambda place: classes[place].value)
    replaced = {
        value: int(number_of[value])
        for value, one in zip(values, classes, strict=True)
        if value != one.value and value != one.name
    }
    return [classes[place] for place in order], replaced
