"""Masks: quality layers and polygons that make pixels of a modality invalid, or bound an area of interest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import BandError
from engine.grid import Grid, Window
from engine.modality import Modality
from engine.raster.alignment import AlignedReader, Mask
from engine.raster.mosaics import Order
from engine.raster.polygons import Burner
from engine.raster.sources import SourceSpec
from engine.raster.vectors import read_polygons

PRESETS = {
    # Sentinel-2 Level-2A scene classification: no data, saturated, cloud shadow, cloud medium and high, thin cirrus
    "scl": "values=0,1,3,8,9,10",
    # Landsat Collection 2 QA_PIXEL: fill, dilated cloud, cirrus, cloud, cloud shadow
    "qa_pixel": "bits=0,1,2,3,4",
}
"""Rules by name."""

_RULE = re.compile(
    r":(?:(?P<kind>values|bits)=(?P<numbers>-?[\d.]+(?:,-?[\d.]+)*)|(?P<preset>(?!outside$)[a-z_]+))(?P<outside>:outside)?$"
)


@dataclass(frozen=True)
class MaskSpec:
    """A mask as it is named: ``PATH[@BANDS]:RULE[:outside]`` of a raster, or ``PATH[|LAYER]`` of a vector file.

    Args:
        source: The raster with its band, or the vector file.
        kind: ``values``: pixels with one of ``numbers`` (in all bands, where there are several) are masked; ``bits``:
            those with any of these bits set, the lowest being 0; ``polygons``: those whose centre lies in a polygon.
        numbers: Values or bits.
        outside: Whether pixels that the raster does not reach are masked too.
        raster: Which raster of a mosaic it masks, from 1 in the order given; 0 masks all.
    """

    source: SourceSpec
    kind: str
    numbers: tuple[float, ...] = ()
    outside: bool = False
    raster: int = 0

    @classmethod
    def parse(cls, text: str, root: Path | None = None) -> MaskSpec:
        """Reads a mask; rules are ``values=3,8,9``, ``bits=1,3``, ``scl`` (Sentinel-2) and ``qa_pixel`` (Landsat).

        Args:
            text: As written.
            root: Folder that a relative path is looked for in.

        Raises:
            BandError: If the rule is unknown.
        """
        found = _RULE.search(text)
        if found is None:
            return cls(SourceSpec(text), "polygons")
        preset, outside = found["preset"], found["outside"] or ""
        if preset is not None:
            if preset not in PRESETS:
                raise BandError(
                    f"mask {text}: {preset} is none of {', '.join(PRESETS)}; write PATH:values=3,8,9 or PATH:bits=1,3"
                )
            return cls.parse(f"{text[: found.start()]}:{PRESETS[preset]}{outside}", root)
        try:
            numbers = tuple(float(number) for number in found["numbers"].split(","))
        except ValueError as error:
            raise BandError(f"mask {text}: {found['numbers']} is no list of numbers") from error
        if found["kind"] == "bits" and not all(number >= 0 and number.is_integer() for number in numbers):
            raise BandError(f"mask {text}: bits are whole numbers, the lowest being 0")
        source = SourceSpec.parse(text[: found.start()], root)
        return cls(source, found["kind"], numbers, bool(outside))

    def __str__(self) -> str:
        rule = f":{self.kind}={','.join(f'{number:.12g}' for number in self.numbers)}" if self.numbers else ""
        return f"{self.source}{rule}{':outside' if self.outside else ''}"


class _RasterMask:
    """A quality layer: its stored values, nearest neighbour where it must be warped."""

    def __init__(self, spec: MaskSpec, grid: Grid) -> None:
        self._reader = AlignedReader([spec.source], grid, resampling="nearest", stored=True)
        problem = None
        if spec.kind == "bits" and len(self._reader.band_names) != 1:
            problem = f"has {len(self._reader.band_names)} bands; choose one with @1"
        elif spec.kind == "bits" and not np.issubdtype(self._reader.dtype, np.integer):
            problem = f"is {self._reader.dtype}; bits are those of whole numbers"
        elif spec.kind == "bits" and max(spec.numbers) >= 8 * np.dtype(self._reader.dtype).itemsize:
            problem = f"is {self._reader.dtype}, which has no bit {max(spec.numbers):.0f}; the lowest is 0"
        if problem:
            self._reader.close()
            raise BandError(f"mask {spec}: {problem}")
        self._spec = spec

    def read(self, window: Window) -> NDArray[np.bool_]:
        block = self._reader.read(window)
        if self._spec.kind == "values":
            masked = np.isin(block.values, self._spec.numbers).all(axis=0)
        else:
            masked = (block.values[0].astype(np.int64) & sum(1 << int(bit) for bit in self._spec.numbers)) != 0
        reached: NDArray[np.bool_] = block.valid
        return masked | ~reached if self._spec.outside else masked & reached

    def warnings(self, window: Window) -> list[str]:
        share = self._reader.reach(window)
        if share == 1 or self._spec.outside:
            return []
        return [
            f"mask {self._spec}: reaches {share:.1%} of the pixels; beyond it nothing is masked; write "
            f"{self._spec}:outside to mask all of that"
        ]

    def close(self) -> None:
        self._reader.close()


class PolygonMask:
    """Masked where a polygon holds the pixel's centre.

    Args:
        path: ``PATH``, or ``PATH|LAYER`` of a file with several layers.
        grid: The grid.

    Raises:
        RasterReadError: If the file cannot be read, or holds no polygons.
        GridError: If only one of file and grid has a CRS.
    """

    def __init__(self, path: str, grid: Grid) -> None:
        frame = read_polygons(path, grid)
        self._path, self._burner = path, Burner(frame, [1] * len(frame), grid)

    @property
    def window(self) -> Window | None:
        """The pixels around all polygons; None without polygons."""
        return self._burner.window

    def read(self, window: Window) -> NDArray[np.bool_]:
        """See :class:`~engine.raster.alignment.Mask`."""
        return self._burner.read(window, 0) > 0

    def warnings(self, _window: Window) -> list[str]:
        """See :class:`~engine.raster.alignment.Mask`."""
        missed = self._burner.missed()
        return [f"{self._path}: {missed} of its polygons hold the centre of no pixel"] if missed else []

    def close(self) -> None:
        """Nothing is open: the polygons are in memory."""


def open_mask(spec: MaskSpec, grid: Grid) -> Mask:
    """A mask on a grid.

    Raises:
        RasterReadError: If it cannot be read.
        BandError: If its bands do not fit its rule.
        GridError: If it cannot be brought onto the grid.
    """
    return PolygonMask(spec.source.path, grid) if spec.kind == "polygons" else _RasterMask(spec, grid)


def parse_masks(named: Iterable[tuple[str, str]], root: Path | None = None) -> dict[str, list[MaskSpec]]:
    """Masks by modality.

    Args:
        named: A modality's name, with ``:2`` behind it for the second raster of its mosaic alone, and a mask.
        root: Folder that relative paths are looked for in.

    Raises:
        BandError: If a rule is unknown.
    """
    masks: dict[str, list[MaskSpec]] = {}
    for name, text in named:
        modality, colon, number = name.partition(":")
        if colon and not (number.isdigit() and int(number)):
            raise BandError(f"mask {name}={text}: {number!r} is no number of a raster of a mosaic, from 1")
        spec = MaskSpec.parse(text, root)
        masks.setdefault(modality, []).append(replace(spec, raster=int(number or 0)))
    return masks


def open_modality(
    sources: Sequence[SourceSpec], masks: Sequence[MaskSpec], grid: Grid, modality: Modality, order: Order
) -> AlignedReader:
    """A modality's reader, invalid where its masks say so. For what is raised see what opens sources and masks."""
    with ExitStack() as stack:
        opened: dict[int, list[Mask]] = {}
        for spec in masks:
            opened.setdefault(spec.raster, []).append(stack.enter_context(closing(open_mask(spec, grid))))
        reader = AlignedReader(sources, grid, modality, order=order, masks=opened)
        stack.pop_all()
        return reader
