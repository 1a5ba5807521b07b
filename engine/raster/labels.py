"""Labels of a scene as class indices, from a raster or from polygons with a class field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import LabelError
from engine.grid import Grid, Window
from engine.modality import LandClass
from engine.raster.alignment import AlignedReader
from engine.raster.polygons import Burner, read_polygons
from engine.raster.sources import SourceSpec

IGNORED = -1
"""Class index of a pixel that is not learned and not scored."""


@dataclass(frozen=True)
class LabelMapping:
    """What label values mean.

    Args:
        classes: A label's index is its class's position here.
        remap: Values to replace by a class's value, which merges classes.
        ignore: Values that are never learned.
    """

    classes: tuple[LandClass, ...]
    remap: Mapping[int, int]
    ignore: frozenset[int]

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
        position = {land_class.value: index for index, land_class in enumerate(self.classes)}
        for raw in np.unique(values[valid]):
            if raw != int(raw):
                raise LabelError(f"{where}: label value {raw} is no whole number; labels are classes, not measurements")
            value = self.remap.get(int(raw), int(raw))
            if value in position:
                found[valid & (values == raw)] = position[value]
            elif int(raw) not in self.ignore and value not in self.ignore:
                known = ", ".join(f"{item.value} {item.name}" for item in self.classes)
                raise LabelError(
                    f"{where}: label value {form.format(raw)} is none of the classes ({known}); add a class, replace "
                    "it with data.labels.remap, or add it to data.labels.ignore"
                )
        return found


class LabelReader(Protocol):
    """Gives class indices by window."""

    def read(self, window: Window) -> NDArray[np.int16]:
        """Class indices ``[h, w]``, IGNORED where there is no label; the window may reach outside."""

    def close(self) -> None:
        """Closes what is open."""


class RasterLabels:
    """Labels from a raster, nearest neighbour where it must be warped.

    Three bands of bytes are colours, whose value is 65536 * red + 256 * green + blue: 0x00FF00 is pure green.
    """

    def __init__(self, spec: SourceSpec, grid: Grid, mapping: LabelMapping) -> None:
        self.spec, self.mapping = spec, mapping
        self._reader = AlignedReader([spec], grid, resampling="nearest")
        if len(self._reader.band_names) not in (1, 3):
            self._reader.close()
            raise LabelError(
                f"{spec}: labels are one band, or three of colours; this has {len(self._reader.band_names)}; "
                "choose with @1, or @1,2,3"
            )

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
    """Labels from polygons whose ``field`` holds class values or class names; the later polygon wins.

    Args:
        path: A vector file.
        field: Its class field.
        grid: The grid to burn onto; polygons in another CRS are reprojected.
        mapping: What the values mean.
        layer: Layer of a file with several.

    Raises:
        RasterReadError: If the file cannot be read.
        LabelError: If there is no such field, or a value is no class.
        GridError: If only one of file and grid has a CRS.
    """

    def __init__(self, path: str, field: str, grid: Grid, mapping: LabelMapping, layer: str | None = None) -> None:
        frame = read_polygons(path, grid, layer)
        if field not in frame.columns:
            fields = ", ".join(str(name) for name in frame.columns if name != "geometry")
            raise LabelError(f"{path}: there is no field {field!r}; it has {fields}")
        indices = [_class_of(value, mapping, f"{path}, field {field}") for value in frame[field]]
        self._burner = Burner(frame, indices, grid)

    def read(self, window: Window) -> NDArray[np.int16]:
        """See :class:`LabelReader`. A pixel belongs to the polygon that holds its centre."""
        return self._burner.read(window, IGNORED)

    def close(self) -> None:
        """Nothing is open: the polygons are in memory."""


def _class_of(value: object, mapping: LabelMapping, where: str) -> int:
    names = {land_class.name: index for index, land_class in enumerate(mapping.classes)}
    if isinstance(value, str) and value in names:
        return names[value]
    try:
        number = int(value) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
        if not np.isfinite(number):
            raise ValueError(f"{number} is no class")
    except (TypeError, ValueError) as error:
        raise LabelError(f"{where}: {value!r} is neither a class's value nor its name") from error
    return int(mapping.indices(np.array([[number]]), np.array([[True]]), where)[0, 0])


def open_labels(
    path: str, grid: Grid, mapping: LabelMapping, field: str | None = None, layer: str | None = None
) -> LabelReader:
    """Labels from polygons where a class ``field`` is named, else from a raster ``PATH[@BAND]``."""
    if field is not None:
        return VectorLabels(path, field, grid, mapping, layer)
    return RasterLabels(SourceSpec.parse(path), grid, mapping)
