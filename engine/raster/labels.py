"""Labels of a scene as class indices, from a raster or from polygons with a class field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import eq
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import LabelError, RasterReadError
from engine.grid import Grid, Window
from engine.modality import IGNORED, LandClass
from engine.raster.alignment import AlignedReader
from engine.raster.polygons import Burner
from engine.raster.sources import SourceSpec
from engine.raster.vectors import fields_of, read_features

if TYPE_CHECKING:
    from geopandas import GeoDataFrame


NAMED = 20
"""Values that a message names at most."""

Value = int | str | None
"""What labels hold: a number, a text (in the fields of polygons), or nothing."""


@dataclass(frozen=True)
class LabelMapping:
    """What label values mean. A class's name stands for its value wherever a value is written.

    Args:
        classes: A label's index is its class's position here.
        remap: Values to replace by a class's value, which merges classes.
        ignore: Values that are never learned.
    """

    classes: tuple[LandClass, ...]
    remap: Mapping[int | str, int | str]
    ignore: frozenset[Value]

    def index_of(self, value: Value) -> int | None:
        """Class index of a label value, IGNORED where it is to be ignored; None where it is none of these."""
        seen = self._names_of(value)
        target = next((self.remap[one] for one in seen if one is not None and one in self.remap), None)
        meant = seen if target is None else self._names_of(target)
        for index, land_class in enumerate(self.classes):
            if land_class.value in meant:
                return index
        return IGNORED if not self.ignore.isdisjoint({*seen, *meant}) else None

    def _names_of(self, value: Value) -> list[Value]:
        """A value, the number that it is as text, and the name or value of the class that it is."""
        names: list[Value] = [value]
        if isinstance(value, str):
            with suppress(ValueError):
                names.append(int(value))
        for land_class in self.classes:
            if land_class.name in names or land_class.value in names:
                names += [land_class.value, land_class.name]
        return names

    def indices(
        self, values: NDArray[np.generic], valid: NDArray[np.bool_], where: str, form: str = "{}"
    ) -> NDArray[np.int16]:
        """Class indices ``[h, w]`` of label values; IGNORED where not ``valid`` or to be ignored.

        Args:
            values: ``[h, w]`` label values.
            valid: ``[h, w]``.
            where: File and window, for the message.
            form: How a value is written there.

        Raises:
            LabelError: If a value is neither a class's, nor replaced, nor ignored.
        """
        found = np.full(values.shape, IGNORED, dtype=np.int16)
        for raw in np.unique(values[valid]):
            if raw != int(raw):
                raise LabelError(f"{where}: label value {raw} is no whole number; labels are classes, not measurements")
            index = self.index_of(int(raw))
            if index is None:
                raise LabelError(f"{where}: label value {form.format(raw)} {self.unknown(int(raw))}")
            if index != IGNORED:
                found[valid & (values == raw)] = index
        return found

    @property
    def foreign(self) -> list[str]:
        """The texts that are replaced or ignored and name no class: they must stand in labels to mean anything."""
        names = {land_class.name for land_class in self.classes}
        return sorted(one for one in (*self.remap, *self.ignore) if isinstance(one, str) and one not in names)

    def unknown(self, value: Value) -> str:
        """What is wrong with a value that is no class, and what to do."""
        known = ", ".join(f"{item.value} {item.name}" for item in self.classes)
        targets = [self.remap[one] for one in self._names_of(value) if one is not None and one in self.remap]
        if targets:
            return (
                f"is replaced by {targets[0]!r} (data.labels.remap), which is none of the classes ({known}); name "
                "one of them there, or add a class"
            )
        return (
            f"is none of the classes ({known}); add a class, replace it with data.labels.remap, or add it to "
            "data.labels.ignore"
        )


class LabelReader(Protocol):
    """Gives class indices by window."""

    @property
    def warnings(self) -> Sequence[str]:
        """What the user should know of them."""

    def read(self, window: Window) -> NDArray[np.int16]:
        """Class indices ``[h, w]``, IGNORED where there is no label; the window may reach outside."""

    def close(self) -> None:
        """Closes what is open."""


class RasterLabels:
    """Labels from a raster, nearest neighbour where it must be warped.

    Three bands of bytes are colours, whose value is 65536 * red + 256 * green + blue: 0x00FF00 is pure green.

    Args:
        spec: The raster.
        grid: The grid to bring it onto.
        mapping: What the values mean.
        nodata: Whether the raster's nodata value, masks and alpha band say where there is no label; if not, all that is
            stored is one.

    Raises:
        LabelError: If it has another number of bands, or its nodata value is that of a class.
    """

    def __init__(self, spec: SourceSpec, grid: Grid, mapping: LabelMapping, nodata: bool = True) -> None:
        self.spec, self.mapping = spec, mapping
        self._reader = AlignedReader([spec], grid, resampling="nearest", stored=not nodata)
        try:
            if len(self._reader.band_names) not in (1, 3):
                raise LabelError(
                    f"{spec}: labels are one band, or three of colours; this has {len(self._reader.band_names)}; "
                    "choose with @1, or @1,2,3"
                )
            if nodata:
                self._check_nodata()
        except LabelError:
            self._reader.close()
            raise

    def _check_nodata(self) -> None:
        """Refuses a nodata value that is a class's: its pixels would never be labels. GIS software writes such ones."""
        numbers = self._reader.nodata
        mapped = [value for value in self.mapping.remap if isinstance(value, int)]
        for value in (*(land_class.value for land_class in self.mapping.classes), *mapped):
            parts = [value] if len(numbers) == 1 else [value >> 16, value >> 8 & 0xFF, value & 0xFF]
            index = self.mapping.index_of(value)
            if index is None or index == IGNORED or not any(map(eq, parts, numbers)):
                continue
            raise LabelError(
                f"{self.spec}: declares {', '.join(f'{one:g}' for one in numbers if one is not None)} as nodata, "
                f"which hides class {self.mapping.classes[index].name} (value {value}); write `nodata: false` beside "
                "the path of these labels if those pixels are of that class"
            )

    @property
    def warnings(self) -> Sequence[str]:
        """See :class:`LabelReader`."""
        texts = self.mapping.foreign
        if not texts:
            return ()
        return [f"{self.spec}: holds numbers; data.labels names {', '.join(texts)}, which is no class"]

    def read(self, window: Window) -> NDArray[np.int16]:
        """See :class:`LabelReader`."""
        block = self._reader.read(window)
        where = f"{self.spec}, rows {window.row}-{window.end_row - 1}, columns {window.col}-{window.end_col - 1}"
        values: NDArray[np.generic] = block.values[0]
        if len(block.values) == 3:
            if block.values.dtype != np.uint8:
                raise LabelError(f"{where}: three bands of labels are colours in bytes, these are {values.dtype}")
            red, green, blue = block.values.astype(np.int32)
            values = red << 16 | green << 8 | blue
            return self.mapping.indices(values, block.valid, where, "0x{:06X}")
        return self.mapping.indices(values, block.valid, where)

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()


class VectorLabels:
    """Labels from features whose ``field`` holds class values or class names; the later feature wins.

    A pixel belongs to the polygon that holds its centre; points label their pixel, lines those that they cross.

    Args:
        path: ``PATH``, or ``PATH|LAYER`` of a file with several layers.
        field: Its class field.
        grid: The grid to burn onto; features in another CRS are reprojected.
        mapping: What the values mean.
        all_touched: Whether a pixel belongs to every feature that touches it.

    Raises:
        RasterReadError: If the file cannot be read.
        LabelError: If there is no such field, or a value is no class.
        GridError: If only one of file and grid has a CRS.
    """

    def __init__(self, path: str, field: str, grid: Grid, mapping: LabelMapping, all_touched: bool = False) -> None:
        frame = read_features(path, grid)
        indices = class_indices(frame, field, mapping, path)
        self._path, self._field = path, field
        self._values = sorted({str(value) for value in frame[field].unique() if not _is_missing(value)})
        self._foreign = [text for text in mapping.foreign if text not in self._values]
        self._burner = Burner(frame, indices, grid, all_touched)

    @property
    def warnings(self) -> Sequence[str]:
        """See :class:`LabelReader`."""
        told = []
        if self._foreign:
            told.append(
                f"{self._path}: data.labels names {', '.join(self._foreign)}, which is no class and in no feature "
                f"around the image; field {self._field} holds {_few(self._values)}"
            )
        missed = self._burner.missed()
        if missed:
            told.append(
                f"{self._path}: {missed} polygon{'s' if missed > 1 else ''} hold the centre of no pixel and label "
                "nothing; with `all_touched: true` beside the path of these labels every pixel that they touch is "
                "labelled"
            )
        return told

    def read(self, window: Window) -> NDArray[np.int16]:
        """See :class:`LabelReader`."""
        return self._burner.read(window, IGNORED).astype(np.int16, copy=False)

    def close(self) -> None:
        """Nothing is open: the features are in memory."""


def class_indices(frame: GeoDataFrame, field: str, mapping: LabelMapping, path: str) -> list[int]:
    """The class index of every feature by its ``field``; IGNORED where its value is to be ignored.

    Raises:
        LabelError: If there is no such field, or a value is no class.
    """
    if field not in frame.columns:
        fields = ", ".join(str(name) for name in frame.columns if name != frame.geometry.name)
        raise LabelError(f"{path}: there is no field {field!r}; it has {fields}")
    values, where = frame[field], f"{path}, field {field}"
    known = {value: _class_of(value, mapping, where) for value in values.unique() if not _is_missing(value)}
    missing = values.index[values.isna()]
    if len(missing) and mapping.index_of(None) is None:
        first = ", ".join(str(number + 1) for number in missing[:5])
        raise LabelError(
            f"{where}: {len(missing)} of {len(values)} features around the image have no value (feature {first}"
            f"{' ...' if len(missing) > 5 else ''}); fill in their class, or add null to data.labels.ignore"
        )
    return [IGNORED if _is_missing(value) else known[value] for value in values]


def _few(values: Sequence[str]) -> str:
    return ", ".join(values[:NAMED]) + (f" and {len(values) - NAMED} more" if len(values) > NAMED else "")


def _is_missing(value: object) -> bool:
    return value is None or value != value


def _class_of(value: object, mapping: LabelMapping, where: str) -> int:
    if not isinstance(value, str):
        number = float(value)  # type: ignore[arg-type]
        if not number.is_integer():
            raise LabelError(f"{where}: label value {value} is no whole number; labels are classes, not measurements")
        value = int(number)
    index = mapping.index_of(value)
    if index is None:
        raise LabelError(f"{where}: {value!r} {mapping.unknown(value)}")
    return index


def open_labels(
    path: str,
    grid: Grid,
    mapping: LabelMapping,
    field: str | None = None,
    *,
    nodata: bool = True,
    all_touched: bool = False,
) -> LabelReader:
    """Labels from features where a class ``field`` is named, else from a raster ``PATH[@BAND]``.

    Raises:
        LabelError: If the file holds features, and no field is named.
    """
    if field is not None:
        return VectorLabels(path, field, grid, mapping, all_touched)
    try:
        return RasterLabels(SourceSpec.parse(path), grid, mapping, nodata)
    except RasterReadError:
        fields = fields_of(path)
        if fields is None:
            raise
        raise LabelError(
            f"{path}: is a vector file; name the field that holds the classes beside it (field: NAME); it has "
            f"{', '.join(fields) or 'no field'}"
        ) from None
