"""From what to what a map has changed between two dates, as a raster and a table.

A pixel's code is read in the decimal system: ``405`` is from class 4 to class 5 where class values have two digits at
most, ``4005`` where they have three. Where the sensors that a pixel was mapped from differ between the dates, a 1
stands before that (``10405``): such a change may be the sensors' and not the land's. Pixels that one of the maps leaves
out are nodata.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.errors import GridError, LabelError, ModalityError
from engine.files import publish, unwritable, write_text
from engine.grid import Window
from engine.modality import LegendEntry
from engine.products.classmap import Areas, Availability, ClassMap, opened_map, strips
from engine.products.outputs import Listener, taken
from engine.products.table import ClassSums, csv_text
from engine.raster.cog import RawLayer, write_cog
from engine.raster.legend import ClassRow, pam, style

COLUMNS = (
    *("from", "from_class", "to", "to_class", "pixels", "hectares"),
    *("pixels_same_sensors", "hectares_same_sensors", "pixels_other_sensors", "hectares_other_sensors"),
)
"""Of the table; the last four are empty where no availability was given."""

HIGHEST = 9999
"""Class value that a code can hold at most."""

_SAME, _SAME_BY_OTHERS = "#ededed", "#d4d4d4"
"""Colours of what has not changed: mapped from the same sensors, and from others."""


class ChangeOptions(BaseModel):
    """What to compare.

    Args:
        first: The class map of the first date, ``PATH[@BAND]``.
        second: That of the second date, on the same grid.
        output: The raster of changes (GeoTIFF).
        table: The table (CSV).
        first_availability: Which sensors the first map's pixels had.
        second_availability: Those of the second map.
        overwrite: Whether something may lie at the outputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: str = Field(min_length=1)
    second: str = Field(min_length=1)
    output: Path
    table: Path
    first_availability: str | None = None
    second_availability: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Changes:
    """What was found.

    Args:
        rows: Of the table, by :data:`COLUMNS`; None where a number is not known.
        pixels: That both maps have.
        changed: Share of them that changed.
        other_sensors: Share of them that were mapped from other sensors; None where that is not known.
        hectares: Area that changed; None where the maps have no coordinate reference system.
        one_map: Pixels that one of the maps alone has.
        seconds: Wall time.
    """

    rows: tuple[tuple[object, ...], ...]
    pixels: int
    changed: float
    other_sensors: float | None
    hectares: float | None
    one_map: int
    seconds: float


@dataclass(frozen=True)
class _Pair:
    """Two maps on one grid."""

    first: ClassMap
    second: ClassMap
    sensors: tuple[Availability, Availability] | None

    def classes(
        self, strip: Window
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Class values of both ``[h, w]``, and where each has one."""
        one, other = self.first.classes(strip), self.second.classes(strip)
        return one.astype(np.int64), other.astype(np.int64), one != self.first.nodata, other != self.second.nodata

    def differ(self, strip: Window) -> NDArray[np.bool_]:
        """Where the sensors differ ``[h, w]``, by their names."""
        if self.sensors is None:
            return np.zeros((strip.height, strip.width), dtype=bool)
        before, after = self.sensors
        names = tuple(dict.fromkeys((*before.names, *after.names)))
        found: NDArray[np.bool_] = _by(names, before, strip) != _by(names, after, strip)
        return found


def _by(names: tuple[str, ...], availability: Availability, strip: Window) -> NDArray[np.int64]:
    """Bit masks in an order of sensors that may be another than the raster's."""
    bits = availability.bits(strip)
    if names[: len(availability.names)] == availability.names:
        return bits
    found = np.zeros_like(bits)
    for number, name in enumerate(availability.names):
        found |= (bits >> number & 1) << names.index(name)
    return found


def change(options: ChangeOptions, listener: Listener | None = None) -> Changes:
    """Compares two class maps by strips; writes the changes as raster and table.

    Beside the raster lie an attribute table and a QGIS style: what has not changed is grey, what has changed has the
    colour of the class that it is now, paler where the sensors differ.

    Raises:
        RasterReadError: If a raster cannot be read.
        BandError: If one has several bands, or no whole numbers.
        LabelError: If values are no classes, negative, or above :data:`HIGHEST`.
        GridError: If the rasters do not lie on one grid.
        ModalityError: If the availability of one map alone is given.
        OutputError: If a result cannot be written.
        BusyError: If another process writes it.
        Cancelled: If the listener said so.
    """
    from engine.mapping.publishing import around, beside

    started, listener = time.monotonic(), listener or Listener()
    read = (options.first, options.second, options.first_availability, options.second_availability)
    with ExitStack() as stack:
        pair = _opened(options, stack)
        outputs = [options.output, options.table]
        folder = stack.enter_context(taken(outputs, [one for one in read if one is not None], options.overwrite))
        codes = _Codes(_factor(pair, options, listener))
        one_map = _write_codes(pair, codes, folder / "codes.raw", listener)
        rows = tuple(_rows(pair, codes))
        for text in _other_names(pair, codes):
            listener.warned(text)
        legend = _legend(pair, codes)
        found = folder / "change.tif"
        window = pair.first.grid.window
        layer = RawLayer(folder / "codes.raw", [window], codes.dtype, codes.nodata, ["change"], "mode")
        write_cog(layer, pair.first.stored_grid, found, options.output)
        listener.reached(0.99)
        for old in around(options.output):
            try:
                old.unlink(missing_ok=True)
            except OSError as error:
                raise unwritable(old, error) from error
        publish(found, options.output)
        there = beside(options.output, "classes")
        write_text(there["legend"], pam((), [ClassRow(one, *codes.size(one.value), None) for one in legend]))
        write_text(there["style"], style(legend))
        write_text(options.table, csv_text(COLUMNS, rows))
        listener.progress(1)
    changed = [code for code in codes.sums.sums if len(set(codes.read_off(code)[1:])) > 1]
    other = [code for code in codes.sums.sums if codes.read_off(code)[0]]
    pixels = int(codes.sums.total[0])
    return Changes(
        rows,
        pixels,
        codes.pixels(changed) / max(1, pixels),
        None if pair.sensors is None else codes.pixels(other) / max(1, pixels),
        None if pair.first.grid.crs is None else sum(codes.sums.sums[code][1] for code in changed) / 10_000,
        one_map,
        time.monotonic() - started,
    )


@dataclass(frozen=True)
class _Codes:
    """Codes of changes, and what is counted of them.

    Args:
        factor: What a class value is multiplied by that another follows.
        sums: Pixels and square metres.
    """

    factor: int
    sums: ClassSums = field(default_factory=lambda: ClassSums(1))

    @property
    def dtype(self) -> str:
        """Data type that holds them."""
        return "uint16" if self.factor == 100 else "uint32"

    @property
    def nodata(self) -> int:
        """What is no code."""
        return int(np.iinfo(self.dtype).max)

    def read_off(self, code: int) -> tuple[bool, int, int]:
        """Whether the sensors differ, and the class values that a code is from and to."""
        return code >= self.factor**2, code // self.factor % self.factor, code % self.factor

    def pixels(self, codes: Iterable[int]) -> int:
        """Of several codes."""
        return int(sum(self.sums.sums[code][0] for code in codes))

    def size(self, *codes: int) -> tuple[int, float | None]:
        """Pixels and hectares of codes, which need not occur; None where areas are not known."""
        pixels, area = np.sum([self.sums.sums.get(code, np.zeros(2)) for code in codes], axis=0).tolist()
        return int(pixels), area / 10_000 if np.isfinite(self.sums.total[1]) else None


def _opened(options: ChangeOptions, stack: ExitStack) -> _Pair:
    given = (options.first_availability, options.second_availability)
    if (given[0] is None) != (given[1] is None):
        raise ModalityError("the availability of one map alone says nothing of a change of sensors; give both or none")
    first, _, before = opened_map(options.first, None, given[0], stack)
    second, _, after = opened_map(options.second, None, given[1], stack)
    try:
        second.lies_on(first)
    except GridError as error:
        raise GridError(f"{error}; map again on the grid of the first one: --like {options.first}") from error
    return _Pair(first, second, None if before is None or after is None else (before, after))


def _factor(pair: _Pair, options: ChangeOptions, listener: Listener) -> int:
    """What a class value is multiplied by that another follows; all values are looked at."""
    most = 0
    for strip in strips(pair.first.grid):
        listener.reached(0.3 * strip.row / pair.first.grid.height)
        one, other, here, there = pair.classes(strip)
        for values, path in ((one[here], options.first), (other[there], options.second)):
            if values.size and not 0 <= values.min() <= values.max() <= HIGHEST:
                raise LabelError(
                    f"{path}: holds class values from {values.min()} to {values.max()}; codes of changes hold 0 to "
                    f"{HIGHEST}; give the classes other values"
                )
            most = max(most, int(values.max(initial=0)))
    return next(factor for factor in (100, 1000, 10_000) if most < factor)


def _write_codes(pair: _Pair, codes: _Codes, raw: Path, listener: Listener) -> int:
    """Writes the codes one after the other, and counts them; gives how many pixels one map alone has."""
    grid = pair.first.grid
    areas = None if grid.crs is None else Areas(grid)
    one_map = 0
    with raw.open("wb") as file:
        for strip in strips(grid):
            listener.reached(0.3 + 0.5 * strip.row / grid.height)
            one, other, here, there = pair.classes(strip)
            found = (pair.differ(strip) * codes.factor + one) * codes.factor + other
            both = here & there
            one_map += int((here != there).sum())
            area = np.full(found.shape, np.nan) if areas is None else areas.of(strip)
            codes.sums.add(found[both], [area[both]])
            little = np.dtype(codes.dtype).newbyteorder("<")
            file.write(np.where(both, found, codes.nodata).astype(little).tobytes())
    return one_map


def _other_names(pair: _Pair, codes: _Codes) -> Iterator[str]:
    """Says where the maps call a value by different names."""
    one, other = pair.first, pair.second
    for value in sorted({value for code in codes.sums.sums for value in codes.read_off(code)[1:]}):
        names = one.name(value), other.name(value)
        if names[0] != names[1] and str(value) not in names:
            yield (
                f"value {value} is {names[0]} in {one.path} and {names[1]} in {other.path}; it counts as unchanged; "
                "compare maps of one legend"
            )


def _legend(pair: _Pair, codes: _Codes) -> list[LegendEntry]:
    """What each code means: grey where nothing has changed, else the colour of what it is now."""
    ends = {codes.read_off(code)[2] for code in codes.sums.sums}
    targets = {one.value: one for one in pair.second.legend(list(ends))}
    entries = []
    for code in sorted(codes.sums.sums):
        differs, before, after = codes.read_off(code)
        target, other = targets[after], " (other sensors)" if differs else ""
        if before == after:
            color = _SAME_BY_OTHERS if differs else _SAME
            entries.append(LegendEntry(code, f"{pair.first.name(before)}, unchanged{other}", color))
        else:
            pale = "#" + "".join(f"{(part + 255) // 2:02x}" for part in target.rgb)
            name = f"{pair.first.name(before)} → {target.name}{other}"
            entries.append(LegendEntry(code, name, pale if differs else target.color))
    return entries


def _rows(pair: _Pair, codes: _Codes) -> Iterator[tuple[object, ...]]:
    """The rows of the table: one for each pair of classes."""
    mark = codes.factor**2
    for code in sorted({code % mark for code in codes.sums.sums}):
        _, before, after = codes.read_off(code)
        names = (before, pair.first.name(before), after, pair.second.name(after))
        parts = (None,) * 4 if pair.sensors is None else (*codes.size(code), *codes.size(code + mark))
        yield (*names, *codes.size(code, code + mark), *parts)
