"""Masks: quality layers and polygons that make pixels of a modality invalid, or bound an area of interest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import BandError
from engine.grid import Grid, Window
from engine.raster.alignment import AlignedReader, Block
from engine.raster.polygons import Burner, read_polygons
from engine.raster.sources import SourceSpec

PRESETS = {
    # Sentinel-2 Level-2A scene classification: no data, saturated, cloud shadow, cloud medium and high, thin cirrus
    "scl": "values=0,1,3,8,9,10",
    # Landsat Collection 2 QA_PIXEL: fill, dilated cloud, cirrus, cloud, cloud shadow
    "qa_pixel": "bits=0,1,2,3,4",
}
"""Rules by name."""

_RULE = re.compile(r":(?:(?P<kind>values|bits)=(?P<numbers>\d+(?:,\d+)*)|(?P<preset>[a-z_]+))$")


@dataclass(frozen=True)
class MaskSpec:
    """A mask as it is named: ``PATH[@BAND]:RULE`` of a raster, or ``PATH`` of a vector file.

    Args:
        source: The raster with its band, or the vector file.
        kind: ``values``: pixels with one of ``numbers`` are masked; ``bits``: those with any of these bits set, the
            lowest being 0; ``polygons``: those whose centre lies in a polygon.
        numbers: Values or bits.
    """

    source: SourceSpec
    kind: str
    numbers: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> MaskSpec:
        """Reads a mask; rules are ``values=3,8,9``, ``bits=1,3``, ``scl`` (Sentinel-2) and ``qa_pixel`` (Landsat).

        Raises:
            BandError: If the rule is unknown.
        """
        found = _RULE.search(text)
        if found is None:
            return cls(SourceSpec(text), "polygons")
        preset = found["preset"]
        if preset is not None:
            if preset not in PRESETS:
                raise BandError(
                    f"mask {text}: {preset} is none of {', '.join(PRESETS)}; write PATH:values=3,8,9 or PATH:bits=1,3"
                )
            return cls.parse(f"{text[: found.start()]}:{PRESETS[preset]}")
        numbers = tuple(int(number) for number in found["numbers"].split(","))
        return cls(SourceSpec.parse(text[: found.start()]), found["kind"], numbers)

    def __str__(self) -> str:
        rule = f":{self.kind}={','.join(map(str, self.numbers))}" if self.numbers else ""
        return f"{self.source}{rule}"


class Mask(Protocol):
    """Gives by window what is masked."""

    def read(self, window: Window) -> NDArray[np.bool_]:
        """``[h, w]``, true where masked; the window may reach outside of the grid."""

    def close(self) -> None:
        """Closes what is open."""


class _RasterMask:
    """A quality layer; nearest neighbour where it must be warped. Where it has no data, nothing is masked."""

    def __init__(self, spec: MaskSpec, grid: Grid) -> None:
        self._reader = AlignedReader([spec.source], grid, resampling="nearest")
        problem = None
        if len(self._reader.band_names) != 1:
            problem = f"has {len(self._reader.band_names)} bands; choose one with @1"
        elif not np.issubdtype(self._reader.dtype, np.integer):
            problem = f"is {self._reader.dtype}; a mask holds whole numbers"
        elif spec.kind == "bits" and max(spec.numbers) >= 8 * np.dtype(self._reader.dtype).itemsize:
            problem = f"is {self._reader.dtype}, which has no bit {max(spec.numbers)}; the lowest is 0"
        if problem:
            self._reader.close()
            raise BandError(f"mask {spec}: {problem}")
        self._spec = spec

    def read(self, window: Window) -> NDArray[np.bool_]:
        block = self._reader.read(window)
        values = block.values[0]
        if self._spec.kind == "values":
            masked = np.isin(values, self._spec.numbers)
        else:
            masked = (values.astype(np.int64) & sum(1 << bit for bit in self._spec.numbers)) != 0
        return masked & block.valid

    def close(self) -> None:
        self._reader.close()


class PolygonMask:
    """Masked where a polygon holds the pixel's centre.

    Args:
        path: A vector file.
        grid: The grid.

    Raises:
        RasterReadError: If the file cannot be read.
        GridError: If only one of file and grid has a CRS.
    """

    def __init__(self, path: str, grid: Grid) -> None:
        frame = read_polygons(path, grid)
        self._burner = Burner(frame, [1] * len(frame), grid)

    @property
    def window(self) -> Window | None:
        """The pixels around all polygons; None without polygons."""
        return self._burner.window

    def read(self, window: Window) -> NDArray[np.bool_]:
        """See :class:`Mask`."""
        return self._burner.read(window, 0) > 0

    def close(self) -> None:
        """Nothing is open: the polygons are in memory."""


def open_mask(spec: MaskSpec, grid: Grid) -> Mask:
    """A mask on a grid.

    Raises:
        RasterReadError: If it cannot be read.
        BandError: If it has several bands, or none of whole numbers.
        GridError: If it cannot be brought onto the grid.
    """
    return PolygonMask(spec.source.path, grid) if spec.kind == "polygons" else _RasterMask(spec, grid)


class MaskedReader:
    """A modality's reader, invalid where one of its masks says so."""

    def __init__(self, reader: AlignedReader, masks: list[Mask]) -> None:
        self._reader, self._masks = reader, masks
        self.block_width, self.pixel_bytes = reader.block_width, reader.pixel_bytes
        self.notes, self.warnings, self.origins = reader.notes, reader.warnings, reader.origins

    def read(self, window: Window) -> Block:
        """See :meth:`AlignedReader.read`."""
        block = self._reader.read(window)
        for mask in self._masks:
            block.valid[mask.read(window)] = False
        return block
