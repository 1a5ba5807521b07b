"""Writing results: under a temporary name until they are complete, then renamed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow
from typing_extensions import Self

from engine.errors import OutputError
from engine.files import aside, check_target, publish, unwritable, write_text
from engine.grid import Grid, Window
from engine.modality import LandClass, map_dtype
from engine.raster.legend import pam, style


class LayerWriter:
    """A GeoTIFF that appears under its name only when it is complete. A context manager.

    Args:
        path: Its final name.
        grid: Its CRS, transform and shape.
        dtype: Data type.
        nodata: Nodata value, or None.
        bands: Names of the bands.

    Raises:
        OutputError: If it cannot be written there.
    """

    def __init__(self, path: Path, grid: Grid, dtype: str, nodata: float | None, bands: Sequence[str]) -> None:
        self.path = Path(path)
        check_target(self.path)
        self._stack = ExitStack()
        self._aside = self._stack.enter_context(aside(self.path))
        try:
            self._dataset = rasterio.open(
                self._aside,
                "w",
                driver="GTiff",
                height=grid.height,
                width=grid.width,
                count=len(bands),
                dtype=dtype,
                crs=grid.crs,
                transform=grid.transform,
                nodata=nodata,
                compress="deflate",
                predictor=2 if np.issubdtype(dtype, np.integer) else 3,
                tiled=True,
                blockxsize=512,
                blockysize=512,
                bigtiff="if_safer",
            )
        except (RasterioError, OSError) as error:
            self._stack.close()
            raise unwritable(self.path, error) from error
        self._dataset.descriptions = tuple(bands)

    def write(self, window: Window, values: NDArray[np.generic]) -> None:
        """Writes ``[h, w]`` values of a single band or ``[C, h, w]`` of all; the window lies inside of the grid.

        Raises:
            OutputError: If the disk is full, for instance.
        """
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            stacked = values.reshape(-1, window.height, window.width)
            self._dataset.write(stacked.astype(self._dataset.dtypes[0], copy=False), window=area)
        except (RasterioError, OSError) as error:
            raise OutputError(f"{self.path}: cannot be written: {error}; is the disk full?") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._close()
                self._check()
                self._publish()
            else:
                with suppress(OutputError):  # what went wrong first is what the caller should hear of
                    self._close()
        finally:
            self._stack.close()

    def _close(self) -> None:
        try:
            self._dataset.close()
        except (RasterioError, OSError) as error:
            raise OutputError(f"{self.path}: cannot be completed: {error}; is the disk full?") from error

    def _check(self) -> None:
        """Opens what was written: GDAL does not report a disk that fills up while the directory is written."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                rasterio.open(self._aside).close()
        except RasterioError as error:
            raise OutputError(f"{self.path}: cannot be completed: {error}; is the disk full?") from error

    def _publish(self) -> None:
        publish(self._aside, self.path)


class ClassMapWriter(LayerWriter):
    """A class map: class values, nodata 255 (65535 above value 254), colour table and category names.

    The names stand in ``<map>.tif.aux.xml``, where GDAL and QGIS look for them, and QGIS's style in ``<map>.qml``.

    Args:
        path: Its final name.
        grid: Its CRS, transform and shape.
        classes: The model's classes, in the order of their indices.
    """

    def __init__(self, path: Path, grid: Grid, classes: Sequence[LandClass]) -> None:
        dtype, self.nodata = map_dtype(classes)
        super().__init__(path, grid, dtype, self.nodata, ["class"])
        self.classes = tuple(classes)
        self._values = np.array([land_class.value for land_class in classes], dtype=dtype)
        self._dataset.write_colormap(1, {land_class.value: (*land_class.rgb, 255) for land_class in classes})

    def write_classes(self, window: Window, indices: NDArray[np.integer], valid: NDArray[np.bool_]) -> None:
        """Writes ``[h, w]`` class indices as class values; nodata where not ``valid``."""
        self.write(window, np.where(valid, self._values[indices], self._values.dtype.type(self.nodata)))

    def _publish(self) -> None:
        write_text(self.path.with_name(f"{self.path.name}.aux.xml"), pam(self.classes))
        write_text(self.path.with_suffix(".qml"), style(self.classes))
        super()._publish()
