"""MATLAB files as rasters: ``scene.mat:variable``, or ``scene.mat`` where only one array in it can be a raster.

Axes are rows, columns and bands, as MATLAB shows them; an array of two axes is one band. A variable is copied to a
GeoTIFF in memory, which all sources of the process share and the last one frees. There is neither georeference nor
nodata: NaN alone is invalid.
"""

from __future__ import annotations

import importlib
import re
import threading
import warnings
import weakref
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.windows import Window

from engine.errors import RasterReadError, how_to_install

# C:\scene.mat and C:\scene.mat:cube are files; HDF5:scene.mat and https://host/scene.mat are GDAL's
_PATH = re.compile(r"(?!\w{2,}:)(?P<file>.+?\.mat)(?::(?P<variable>\w+))?", re.IGNORECASE)

_HDF5 = b"\x89HDF\r\n\x1a\n"
"""How HDF5 starts; MATLAB (version 7.3) writes 512 bytes of its own before it."""

_DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, MemoryError, zlib.error)
"""What SciPy and h5py raise on files that are no MATLAB files, truncated or damaged."""

_CLASSES = {"double": "float64", "single": "float32", "logical": "uint8", "bool": "uint8"}
"""MATLAB's names of data types where they are not NumPy's."""

_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")

_BLOCK = 64


@dataclass(frozen=True)
class _Variable:
    """What a file says of a variable: its class (``double``, ``cell``) and its shape as MATLAB shows it."""

    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """NumPy's data type, or the class as it is where that is none of numbers."""
        return _CLASSES.get(self.kind, self.kind)

    @property
    def numeric(self) -> bool:
        return self.dtype in _DTYPES

    @property
    def image(self) -> bool:
        """Whether it is a raster where none is named: a vector is none."""
        return self.numeric and len(self.shape) in (2, 3) and min(self.shape[:2]) > 1 and 0 not in self.shape

    def __str__(self) -> str:
        return f"{self.name} ({' x '.join(map(str, self.shape))} {self.kind})"


class MatlabCopy:
    """A variable as a GeoTIFF in memory, there for as long as this object is.

    Args:
        values: ``[rows, columns]`` or ``[rows, columns, bands]``.
    """

    def __init__(self, values: NDArray[np.generic]) -> None:
        memory = MemoryFile()
        weakref.finalize(self, memory.close)
        self.path: str = memory.name
        bands = values[None] if values.ndim == 2 else np.moveaxis(values, 2, 0)
        count, height, width = bands.shape
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with memory.open(
                driver="GTiff", height=height, width=width, count=count, dtype=bands.dtype.name, tiled=True,
                blockxsize=_BLOCK, blockysize=_BLOCK, interleave="band", BIGTIFF="IF_SAFER",
                photometric="minisblack",  # four bands of bytes are no colours
            ) as dataset:  # fmt: skip
                for row in range(0, height, _BLOCK):
                    part = np.ascontiguousarray(bands[:, row : row + _BLOCK])
                    dataset.write(part, window=Window(0, row, width, part.shape[1]))


_copies: weakref.WeakValueDictionary[tuple[object, ...], MatlabCopy] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def file_of(path: str) -> str:
    """The file that ``path`` names, without a MATLAB variable."""
    found = _PATH.fullmatch(path)
    return path if found is None else found["file"]


def in_memory(path: str) -> MatlabCopy | None:
    """The array that ``path`` names, as all who hold it now share it; None where ``path`` is no MATLAB file.

    Raises:
        RasterReadError: If the file cannot be read, a library is missing, there is no such variable, none is named
            and there are several, or it is no array that a raster can be.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    file, name = found["file"], found["variable"]
    try:
        status = Path(file).stat()
        with Path(file).open("rb") as opened:
            start = opened.read(512 + len(_HDF5))
    except OSError as error:
        raise RasterReadError(f"{file}: cannot be read: {error.strerror}") from error
    key = (file, name, status.st_size, status.st_mtime_ns)
    with _lock:
        copy = _copies.get(key)
        if copy is None:
            copy = MatlabCopy(_values(file, name, _HDF5 in (start[:8], start[512:])))
            _copies[key] = copy
    return copy


def _values(file: str, name: str | None, hdf5: bool) -> NDArray[np.generic]:
    library = _library("h5py" if hdf5 else "scipy.io", file)
    listed, loaded = (_listed_7_3, _loaded_7_3) if hdf5 else (_listed_5, _loaded_5)
    try:
        variables = listed(library, file)
    except _DAMAGE as error:
        raise RasterReadError(f"{file}: cannot be read as a MATLAB file: {error}; it may be damaged") from error
    chosen = _chosen(file, name, variables)
    try:
        values = loaded(library, file, chosen.name)
    except _DAMAGE as error:
        raise RasterReadError(f"{file}: {chosen} cannot be read: {error}; the file may be damaged") from error
    if values.dtype.kind not in "buif":
        raise RasterReadError(
            f"{file}: {chosen} holds {values.dtype.name}, and a raster real numbers; save what is wanted of them, for "
            f"instance abs({chosen.name})"
        )
    return values.astype(chosen.dtype, copy=False)  # MATLAB saves doubles that are whole numbers as integers


def _chosen(file: str, name: str | None, variables: list[_Variable]) -> _Variable:
    there = ", ".join(map(str, variables)) or "none"
    if name is None:
        images = [variable for variable in variables if variable.image]
        if len(images) > 1:
            raise RasterReadError(f"{file}: holds several arrays ({there}); name one, as in {file}:{images[0].name}")
        if not images:
            raise RasterReadError(f"{file}: holds no array of rows and columns; its variables: {there}")
        return images[0]
    chosen = next((variable for variable in variables if variable.name == name), None)
    if chosen is None:
        raise RasterReadError(f"{file}: holds no variable {name}; its variables: {there}")
    if not chosen.numeric:
        raise RasterReadError(
            f"{file}: {chosen} is no array of logical, {', '.join(_DTYPES)}; save one as a variable of its own"
        )
    if len(chosen.shape) not in (2, 3) or 0 in chosen.shape:
        raise RasterReadError(
            f"{file}: {chosen} is no raster, which has rows, columns and bands; save such a part of it as a variable "
            "of its own"
        )
    return chosen


def _library(name: str, file: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise RasterReadError(
            f"{file}: {name.partition('.')[0]} is needed to read it: {how_to_install('matlab')}"
        ) from error


def _listed_5(scipy_io: ModuleType, file: str) -> list[_Variable]:
    try:
        return [_Variable(name, kind, tuple(shape)) for name, shape, kind in scipy_io.whosmat(file)]
    except scipy_io.matlab.MatReadError as error:
        raise ValueError(error) from error


def _loaded_5(scipy_io: ModuleType, file: str, name: str) -> NDArray[np.generic]:
    try:
        values: NDArray[np.generic] = scipy_io.loadmat(file, variable_names=[name])[name]
    except scipy_io.matlab.MatReadError as error:
        raise ValueError(error) from error
    return values


def _listed_7_3(h5py: ModuleType, file: str) -> list[_Variable]:
    found = []
    with h5py.File(file, "r") as opened:
        for name, item in opened.items():
            if name.startswith("#"):  # what cells and objects refer to
                continue
            if isinstance(item, h5py.Group):
                found.append(_Variable(name, "struct", (1, 1)))
                continue
            kind = item.attrs.get("MATLAB_class", item.dtype.name)
            empty = "MATLAB_empty" in item.attrs or item.shape is None
            shape = (0, 0) if empty else tuple(reversed(item.shape))
            found.append(_Variable(name, kind.decode() if isinstance(kind, bytes) else str(kind), shape))
    return found


def _loaded_7_3(h5py: ModuleType, file: str, name: str) -> NDArray[np.generic]:
    with h5py.File(file, "r") as opened:
        values: NDArray[np.generic] = opened[name][()].transpose()
    return values
