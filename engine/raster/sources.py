"""Raster sources: a file, URI or subdataset with a choice of bands."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader

from engine.errors import BandError, RasterReadError
from engine.grid import Grid
from engine.raster.matlab import file_of, in_memory


@dataclass(frozen=True)
class SourceSpec:
    """A raster as it is named: ``PATH[@BANDS]``, with bands by number, range or name; no bands means all.

    Args:
        path: File, ``/vsi`` path, URI, subdataset, or a MATLAB file's variable (``scene.mat:cube``).
        bands: Numbers (from 1), ranges of numbers or names, as written.
    """

    path: str
    bands: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> SourceSpec:
        """Reads ``PATH[@BANDS]``. An ``@`` that is part of a file, folder, URI or subdataset stays in the path.

        Raises:
            BandError: If no band follows the ``@``.
        """
        path, at, written = text.rpartition("@")
        of_path = not at or not path or not set('/\\"').isdisjoint(written)
        if of_path or os.path.exists(text):  # noqa: PTH110 (Path.exists raises on a name that is too long)
            return cls(text)
        bands = tuple(band.strip() for band in written.split(",") if band.strip())
        if not bands:
            raise BandError(f"{text}: no band follows the @; write {path}@1,2 for instance, or {path} for all bands")
        return cls(path, bands)

    @property
    def file(self) -> str:
        """The path, of a MATLAB file without its variable."""
        return file_of(self.path)

    def __str__(self) -> str:
        return f"{self.path}@{','.join(self.bands)}" if self.bands else self.path


class RasterSource:
    """An open raster with its chosen bands. A context manager.

    Args:
        spec: What to open.

    Raises:
        RasterReadError: If it cannot be opened.
        BandError: If a band does not exist, or the chosen bands differ in data type.
    """

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self._copy = in_memory(spec.path)
        name = spec.path if self._copy is None else self._copy.path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                self.dataset: DatasetReader = rasterio.open(name)
        except (RasterioError, RasterioIOError) as error:
            raise RasterReadError(f"{spec.path}: cannot be opened as a raster: {error}") from error
        if self.dataset.count == 0:
            names = ", ".join(self.dataset.subdatasets[:5])
            self.dataset.close()
            raise RasterReadError(f"{spec.path}: holds no band itself; name one of its subdatasets: {names}")
        self.grid = Grid(self.dataset.crs, self.dataset.transform, self.dataset.height, self.dataset.width)
        try:
            self.band_indices = self._indices()
            self.dtype = self._dtype()
        except BandError:
            self.dataset.close()
            raise
        descriptions = self.dataset.descriptions
        self.band_names = tuple(descriptions[band - 1] or f"band {band}" for band in self.band_indices)

    def __enter__(self) -> RasterSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self.dataset.close()
        self._copy = None

    def _indices(self) -> tuple[int, ...]:
        if self.spec.bands:
            return tuple(index for band in self.spec.bands for index in self._range(band))
        alpha = rasterio.enums.ColorInterp.alpha
        kinds = self.dataset.colorinterp
        return tuple(band for band in self.dataset.indexes if kinds[band - 1] != alpha or len(kinds) == 1)

    def _range(self, band: str) -> list[int]:
        """The bands that a name, a number or a range of numbers (``1-48``) stands for."""
        first, dash, last = band.partition("-")
        if dash and first.isdigit() and last.isdigit() and band not in self.dataset.descriptions:
            return [self._index(str(number)) for number in range(int(first), int(last) + 1)] or [self._index(band)]
        return [self._index(band)]

    def _index(self, band: str) -> int:
        descriptions = list(self.dataset.descriptions)
        if band in descriptions:
            return descriptions.index(band) + 1
        if band.isdigit() and 1 <= int(band) <= self.dataset.count:
            return int(band)
        named = [name for name in descriptions if name]
        raise BandError(
            f"{self.spec.path}: there is no band {band!r}; it has bands 1 to {self.dataset.count}"
            + (f", named {', '.join(named)}" if named else "")
        )

    def _dtype(self) -> str:
        kinds = self.dataset.dtypes
        found = {str(kinds[band - 1]) for band in self.band_indices}
        if len(found) > 1:
            raise BandError(f"{self.spec}: its bands have several data types: {', '.join(sorted(found))}")
        return found.pop()

    @property
    def nodata(self) -> float | None:
        """The nodata value of the first chosen band, as its data type holds it: a VRT's may have more digits."""
        value: float | None = self.dataset.nodatavals[self.band_indices[0] - 1]
        if value is not None and self.dtype == "float32":
            with np.errstate(over="ignore"):
                value = float(np.float32(value))
        return value


def open_source(spec: SourceSpec) -> RasterSource:
    """Opens a source; see :class:`RasterSource`."""
    return RasterSource(spec)
