"""What labels hold: values, names, colours, and values that stand for no label."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from engine.data.evidence import STRIP
from engine.errors import LabelError, RasterReadError
from engine.names import shown
from engine.proposal.legend import Legend, raster_legend, vector_legend
from engine.raster.sources import RasterSource, SourceSpec
from engine.raster.validity import Validity
from engine.raster.vectors import fields_of, read_table

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MOST = 256
"""Values beyond which labels are no classes."""

FILLERS = (0, 255, 65535, -1, -9999, -32768)
"""Numbers that often stand for no label where nobody says so."""

DOMINANT = 0.5
"""Share of the labels from which a filler without a name may well stand for no label."""

_NOTHING = re.compile(
    r"(?i)\W*(un ?label+ed|un ?classified|un ?defined|un ?known|back ?ground|no[ _-]?(data|label|class|value)|none|null"
    r"|nan|void|ignored?|missing|mask(ed)?|not (labelled|labeled|classified|mapped)|n/?a)\W*"
)
"""Names of what is no class."""

_IDENTIFIERS = re.compile(
    r"(?i)(o?g?c?_?fid|(object|feature|poly(gon)?|gl?o?b?a?l?|u?u)?_?id(_?\d)?|area|perimeter|"
    r"(shape_?)?(leng(th)?|area)|layer|path|date|year)"
)
"""Fields that are no classes whatever they hold."""

Value = int | str | None


@dataclass(frozen=True)
class Labels:
    """What labels hold, as they are stored.

    Args:
        field: The class field of a vector file.
        counts: By value, pixels of a raster, or features; None: features without a value.
        legend: Names and colours.
        facts: What to tell of them.
        colours: Whether values are colours (``0xRRGGBB``).
    """

    field: str | None
    counts: Mapping[Value, int]
    legend: Legend
    facts: tuple[str, ...]
    colours: bool = False

    @property
    def values(self) -> list[int | str]:
        """The values that occur, numbers first."""
        numbers = sorted(one for one in self.counts if isinstance(one, int))
        return [*numbers, *sorted(one for one in self.counts if isinstance(one, str))]


def read_labels(paths: Sequence[str], field: str | None) -> Labels:
    """Reads all labels once, window by window, as they are stored.

    Args:
        paths: Of all scenes: rasters ``PATH[@BAND]``, or vector files ``PATH[|LAYER]``.
        field: The class field of vector files; the only one that can be where None.

    Raises:
        RasterReadError: If a file cannot be read.
        LabelError: If they hold no classes, or no one field can be their classes.
    """
    unique = list(dict.fromkeys(paths))
    if field is None and _is_raster(unique[0]):
        return _rasters(unique)
    return _vectors(unique, field)


def _is_raster(path: str) -> bool:
    try:
        RasterSource(SourceSpec.parse(path)).close()
    except RasterReadError:
        if fields_of(path) is None:
            raise
        return False
    return True


def _rasters(paths: Sequence[str]) -> Labels:
    counts: Counter[Value] = Counter()
    for path in paths:
        counts.update(_raster_values(path))
        if len(counts) > MOST:
            raise LabelError(
                f"{path}: holds more than {MOST} values; labels are classes, not measurements. Name a band with "
                f"{path}@1, or a raster of classes"
            )
    with RasterSource(SourceSpec.parse(paths[0])) as first:
        grid, bands = first.grid, len(first.band_indices)
        nodata = first.dataset.nodatavals[first.band_indices[0] - 1]
        facts = (
            f"{first.dtype}, {grid.width} x {grid.height} pixels"
            + (f" in each of {len(paths)} files" if len(paths) > 1 else "")
            + (", no nodata value declared" if nodata is None else f", nodata {nodata:g} (no label)"),
        )
    if bands == 3:
        hexed: dict[int | str, str] = {one: f"#{one:06x}" for one in counts if isinstance(one, int)}
        return Labels(None, counts, Legend(hexed, hexed, ("the labels' own colours",)), facts, colours=True)
    return Labels(None, counts, raster_legend(paths[0]), facts)


def _raster_values(path: str) -> Counter[Value]:
    """Valid values of a label raster and their pixels."""
    found: Counter[Value] = Counter()
    with RasterSource(SourceSpec.parse(path)) as source:
        if len(source.band_indices) not in (1, 3):
            raise LabelError(
                f"{path}: labels are one band, or three of colours; this has {len(source.band_indices)}; choose with "
                f"{path}@1"
            )
        dataset, validity = source.dataset, Validity.of(source.dataset, source.band_indices, source.dtype)
        height = max(1, STRIP // dataset.width)
        for row in range(0, dataset.height, height):
            area = RasterioWindow(0, row, dataset.width, min(height, dataset.height - row))
            try:
                values, valid = validity.read(dataset, area)
            except RasterioError as error:
                raise RasterReadError(f"{path}: cannot be read from row {row}: {error}; it may be damaged") from error
            if len(values) == 3:
                red, green, blue = (band.astype(np.int64) for band in values)
                values = (red << 16 | green << 8 | blue)[None]
            numbers, pixels = np.unique(values[0][valid], return_counts=True)
            broken = numbers[numbers != np.floor(numbers)]
            if len(broken):
                raise LabelError(f"{path}: label value {broken[0]:g} is no whole number; labels are classes")
            if len(numbers) > MOST:
                return Counter(dict.fromkeys(numbers.astype(np.int64).tolist(), 1))
            found.update(dict(zip(numbers.astype(np.int64).tolist(), pixels.tolist(), strict=True)))
    return found


def _vectors(paths: Sequence[str], field: str | None) -> Labels:
    tables = [read_table(path) for path in paths]
    if field is None:
        field = _guessed(paths[0], tables[0])
        facts = [f"classes by field {field!r}, the only one that can be"]
    else:
        facts = [f"classes by field {field!r}"]
    counts: Counter[Value] = Counter()
    for path, table in zip(paths, tables, strict=True):
        if field not in table.columns:
            raise LabelError(f"{path}: there is no field {field!r}; {_fields(table)}")
        counts.update(_value(one, path, field) for one in table[field])
    if len(counts) > MOST:
        raise LabelError(f"{paths[0]}: field {field!r} holds {len(counts)} values, too many for classes; name another")
    return Labels(field, counts, vector_legend(paths[0], field), (f"{sum(counts.values()):,} features", *facts))


def _value(one: object, path: str, field: str) -> Value:
    if one is None or one != one:
        return None
    if isinstance(one, str):
        return one
    number = float(one)  # type: ignore[arg-type]
    if not number.is_integer():
        raise LabelError(f"{path}: field {field!r} holds {number:g}, which is no class; name another with --field")
    return int(number)


def _guessed(path: str, table: DataFrame) -> str:
    """The one field that can hold classes: few texts or whole numbers, each of several features."""
    possible = [str(name) for name in table.columns if _may_be_classes(str(name), table[name])]
    texts = [name for name in possible if table[name].map(type).eq(str).any()]
    chosen = texts if len(texts) == 1 and _same_classes(table, possible) else possible
    if len(chosen) == 1:
        return chosen[0]
    raise LabelError(
        f"{path}: {'several fields may' if chosen else 'no field seems to'} hold the classes; name one with --field. "
        f"{_fields(table)}"
    )


def _same_classes(table: DataFrame, names: Sequence[str]) -> bool:
    """Whether fields divide the features in the same way, as a class's number and its name do."""
    pairs = table[list(names)].drop_duplicates()
    return all(len(pairs) == table[name].nunique(dropna=False) for name in names)


def _may_be_classes(name: str, values: Series[object]) -> bool:
    known = values.dropna()
    if _IDENTIFIERS.fullmatch(name) or not len(known):
        return False
    if not all(isinstance(one, str) or (np.isscalar(one) and float(one).is_integer()) for one in known.unique()):  # type: ignore[arg-type]
        return False
    return bool(2 <= known.nunique() <= min(MOST, max(2, len(known) // 2)))


def _fields(table: DataFrame) -> str:
    told = []
    for name in table.columns:
        held = [str(one) for one in table[name].dropna().unique()]
        told.append(f"{name} ({', '.join(held[:4])}{' ...' if len(held) > 4 else ''})")
    return shown(f"Its fields: {'; '.join(told) or 'none'}")


def without_label(labels: Labels, asked: Sequence[str]) -> tuple[list[Value], list[str]]:
    """The values that stand for no label, and what the user should know of the choice.

    Certain are those that the user names, those whose names say so, and fillers without a name among values with names.

    Args:
        labels: What they hold.
        asked: What the user says is no label: values or names.

    Raises:
        LabelError: If one of these is no value of the labels.
    """
    names = {value: labels.legend.names.get(value, value if isinstance(value, str) else "") for value in labels.values}
    chosen: list[Value] = []
    told: list[str] = []
    for text in asked:
        found = [value for value in labels.values if text in (str(value), names[value])]
        if not found:
            held = ", ".join(str(value) for value in labels.values[:20])
            raise LabelError(f"--ignore {text}: is no value of the labels; they hold {held}")
        chosen += found
    total = max(1, sum(labels.counts.values()))
    for value in labels.values:
        share = labels.counts[value] / total
        if value in chosen:
            continue
        if _NOTHING.fullmatch(names[value]):
            chosen.append(value)
            told.append(f"labels: value {value} is called {names[value]!r} and is taken as no label")
        elif labels.colours or names[value] or value not in FILLERS:
            continue
        elif any(names.values()):
            chosen.append(value)
            told.append(f"labels: value {value} has no name, as others have, and is taken as no label")
        elif share >= DOMINANT and len(labels.values) > 2:
            told.append(
                f"labels: value {value} covers {share:.0%} of what is labelled; it is taken as a class. If it stands "
                f"for no label, run this again with --ignore {value}"
            )
    if None in labels.counts:
        chosen.append(None)
        told.append(f"labels: {labels.counts[None]:,} features have no value and are taken as no label")
    return chosen, told
