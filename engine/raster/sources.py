"""Raster sources: a file, URI or subdataset with a choice of bands, and what its numbers mean."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader

from engine.errors import BandError, GridError, RasterReadError
from engine.grid import Grid
from engine.modality import PHYSICAL, LinearScale
from engine.raster.matlab import file_of, in_memory
from engine.raster.placing import Placed, Placement, advice, placement_of
from engine.raster.products import declared_beside, declared_in_tags
from engine.raster.validity import Validity

_KEY = re.compile(r":(?P<key>scale|offset|place)=(?P<value>[^:=@/\\]+)$")

_NAME = "name:"
"""Comes before a band's name that would else be taken as a number."""


@dataclass(frozen=True)
class SourceSpec:
    """A raster as it is named: ``PATH[@BANDS][:scale=S][:offset=O][:place=points|rpc]``.

    Args:
        path: File, ``/vsi`` path, URI, subdataset, or a MATLAB file's variable (``scene.mat:cube``).
        bands: As written. A number is a band's position from 1, ``1-4`` a range of positions, anything else a name;
            ``name:8`` is the band that is called 8. None chosen means all but alpha bands.
        scale: What the numbers are multiplied by to be physical values: one, or one for each chosen band. What the
            source itself declares where empty.
        offset: What is added then.
        place: Where a raster has no georeference of its own: by its ground control points, or by its rational
            polynomials.
    """

    path: str
    bands: tuple[str, ...] = ()
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    place: Placement | None = None

    @classmethod
    def parse(cls, text: str, root: Path | None = None) -> SourceSpec:
        """Reads a source. An ``@`` or a key that is part of a file, folder, URI or subdataset stays in the path.

        Args:
            text: As written.
            root: Folder that a relative path is looked for in; the current one where None.

        Raises:
            BandError: If no band follows the ``@``, or a key's value is impossible.
        """
        rest, keys = text, dict[str, str]()
        while not _is_there(rest, root) and (found := _KEY.search(rest)) is not None:
            if found["key"] in keys:
                raise BandError(f"{text}: {found['key']} stands there twice")
            keys[found["key"]] = found["value"]
            rest = rest[: found.start()]
        path, bands = _banded(rest, root)
        places: dict[str | None, Placement | None] = {None: None, "points": "points", "rpc": "rpc"}
        if keys.get("place") not in places:
            raise BandError(f"{text}: place is points (ground control points) or rpc, not {keys['place']}")
        numbers = {key: _numbers(keys[key], key, text) for key in ("scale", "offset") if key in keys}
        if 0 in numbers.get("scale", ()):
            raise BandError(f"{text}: a scale of 0 makes every value the same")
        return cls(path, bands, numbers.get("scale", ()), numbers.get("offset", ()), places[keys.get("place")])

    @property
    def file(self) -> str:
        """The path, of a MATLAB file without its variable."""
        return file_of(self.path)

    def __str__(self) -> str:
        keys = {"scale": self.scale, "offset": self.offset}
        written = [
            f"{key}={','.join(repr(one).removesuffix('.0') for one in values)}"
            for key, values in keys.items()
            if values
        ]
        written += [f"place={self.place}"] if self.place else []
        return ":".join([f"{self.path}{'@' if self.bands else ''}{','.join(self.bands)}", *written])


def _is_there(path: str, root: Path | None) -> bool:
    return os.path.exists(os.path.join(root or "", path))  # noqa: PTH110, PTH118 (Path.exists raises on a long name)


def _banded(text: str, root: Path | None) -> tuple[str, tuple[str, ...]]:
    """Path and bands."""
    path, at, written = text.rpartition("@")
    if not at or not path or not set('/\\"').isdisjoint(written) or _is_there(text, root):
        return text, ()
    bands = tuple(band.strip() for band in written.split(",") if band.strip())
    if not bands:
        raise BandError(f"{text}: no band follows the @; write {path}@1,2 for instance, or {path} for all bands")
    return path, bands


def _numbers(text: str, key: str, where: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise BandError(f"{where}: {key} is a number, or one for each band as in {key}=1,10; not {text}") from error
    if not all(abs(number) < float("inf") for number in numbers):
        raise BandError(f"{where}: {key} is a finite number, not {text}")
    return numbers


class RasterSource:
    """An open raster with its chosen bands. A context manager.

    Args:
        spec: What to open.
        resampling: How pixels are found where the raster is placed by control points or rational polynomials.

    Raises:
        RasterReadError: If it cannot be opened.
        BandError: If a band does not exist, the chosen bands differ in data type, or there are as many scales or
            offsets as neither one nor the bands.
        GridError: If it cannot be placed as ``spec`` says.
    """

    def __init__(self, spec: SourceSpec, resampling: Resampling = Resampling.nearest) -> None:
        self.spec = spec
        self._copy = in_memory(spec.path)
        self.name = spec.path if self._copy is None else self._copy.path
        """That GDAL opens it by."""
        self.dataset = _opened(self.name, spec.path)
        self._placed: Placed | None = None
        try:
            self.band_indices = self.positions = self._indices()
            self.dtype = self._dtype()
            descriptions = self.dataset.descriptions
            self.band_names = tuple(descriptions[band - 1] or f"band {band}" for band in self.band_indices)
            self.declared = self._declared()
            if spec.place is not None:
                self._place(spec.place, resampling)
        except (BandError, GridError):
            self.close()
            raise

    def __enter__(self) -> RasterSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        if self._placed is not None:
            self._placed.close()
        self.dataset.close()
        self._copy = None

    @property
    def grid(self) -> Grid:
        """Where its pixels lie.

        Raises:
            GridError: If only control points or rational polynomials say so and ``spec`` does not ask for them, or if
                it has a coordinate reference system but no place in it.
        """
        crs, transform = self.dataset.crs, self.dataset.transform
        placement = placement_of(self.dataset)
        if placement is not None:
            raise GridError(advice(self.spec.path, placement))
        if crs is not None and transform == Affine.identity():
            raise GridError(
                f"{self.spec.path}: names a coordinate reference system ({crs.to_string()}), but says nowhere where in "
                "it its pixels lie; give it bounds with gdal_edit.py -a_ullr"
            )
        return Grid(crs, transform, self.dataset.height, self.dataset.width)

    def _place(self, placement: Placement, resampling: Resampling) -> None:
        validity = Validity.of(self.dataset, self.band_indices, self.dtype)
        self._placed = Placed(self.dataset, self.name, validity, placement, resampling)
        self.dataset.close()
        self.dataset, self.name = self._placed.dataset, self._placed.name
        self.band_indices = tuple(range(1, len(self.band_indices) + 1))

    def _indices(self) -> tuple[int, ...]:
        if self.spec.bands:
            return tuple(index for band in self.spec.bands for index in self._range(band))
        kinds = self.dataset.colorinterp
        return tuple(band for band in self.dataset.indexes if kinds[band - 1] != ColorInterp.alpha or len(kinds) == 1)

    def _range(self, band: str) -> list[int]:
        """The bands that a position, a range of positions (``1-48``) or a name stands for."""
        ends = re.fullmatch(r"(\d+)(?:-(\d+))?", band)
        if ends is None:
            return [self._named(band.removeprefix(_NAME))]
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if not 1 <= first <= last <= self.dataset.count:
            named = f"; a band that is called {band} is {_NAME}{band}" if band in self.dataset.descriptions else ""
            raise BandError(f"{self.spec.path}: there is no band {band!r}; {self._there()}{named}")
        return list(range(first, last + 1))

    def _named(self, name: str) -> int:
        """The band of that description, else of that colour (``red``, ``nir``)."""
        colours = [kind.name if kind != ColorInterp.undefined else None for kind in self.dataset.colorinterp]
        for names in (self.dataset.descriptions, colours):
            found = [band for band, one in zip(self.dataset.indexes, names, strict=True) if one == name]
            if len(found) > 1:
                raise BandError(
                    f"{self.spec.path}: bands {', '.join(map(str, found))} are all called {name!r}; choose by position"
                )
            if found:
                return found[0]
        raise BandError(f"{self.spec.path}: there is no band {name!r}; {self._there()}")

    def _there(self) -> str:
        every = zip(self.dataset.indexes, self.dataset.descriptions, strict=True)
        named = [f"{band} {name}" for band, name in every if name]
        return f"it has bands 1 to {self.dataset.count}" + (f", named: {', '.join(named)}" if named else "")

    def _dtype(self) -> str:
        kinds = self.dataset.dtypes
        found = {str(kinds[band - 1]) for band in self.band_indices}
        if len(found) > 1:
            raise BandError(f"{self.spec}: its bands have several data types: {', '.join(sorted(found))}")
        return found.pop()

    def _declared(self) -> tuple[LinearScale, ...] | None:
        """Scale and offset of each chosen band: the user's, the raster's own or its product's; None where none is."""
        own = [
            (float(self.dataset.scales[band - 1]), float(self.dataset.offsets[band - 1])) for band in self.band_indices
        ]
        if self.dtype == "uint16" and all(one == PHYSICAL for one in own):
            own = [declared_in_tags(self.dataset, band) or PHYSICAL for band in self.band_indices]
        if self.dtype in ("uint8", "int16", "uint16") and len(self.dataset.indexes) == 1 and own == [PHYSICAL]:
            beside = declared_beside(self.spec.path)
            own = own if beside is None else [beside]
        said = self.spec.scale or self.spec.offset
        if not said:
            return tuple(own) if any(one != PHYSICAL for one in own) else None
        scales = self._each(self.spec.scale, "scale") or [scale for scale, _ in own]
        offsets = self._each(self.spec.offset, "offset") or [offset for _, offset in own]
        return tuple(zip(scales, offsets, strict=True))

    def _each(self, numbers: Sequence[float], key: str) -> list[float]:
        count = len(self.band_indices)
        if len(numbers) not in (0, 1, count):
            raise BandError(f"{self.spec}: {len(numbers)} values of {key} for {count} bands; give one, or one for each")
        return [*numbers] if len(numbers) == count else [*numbers] * count


def _opened(name: str, path: str) -> DatasetReader:
    try:
        with warnings.catch_warnings(), np.errstate(over="ignore"):  # float32 with a nodata value of float64
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset: DatasetReader = rasterio.open(name)
    except (RasterioError, RasterioIOError) as error:
        raise RasterReadError(f"{path}: cannot be opened as a raster: {error}") from error
    if dataset.count == 0:
        names = ", ".join(dataset.subdatasets[:5])
        dataset.close()
        raise RasterReadError(f"{path}: holds no band itself; name one of its subdatasets: {names}")
    return dataset


def open_source(spec: SourceSpec) -> RasterSource:
    """Opens a source; see :class:`RasterSource`."""
    return RasterSource(spec)
