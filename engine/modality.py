"""A modality: one sensor input of a model; and a class of its map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import BandError, LabelError

DTYPES = ("uint8", "int16", "uint16", "int32", "float32")
"""Data types in which a model takes its inputs. A host casts others to the smallest of these that loses nothing."""


IGNORED = -1
"""Class index of a pixel that is not learned and not scored."""

LinearScale = tuple[float, float]
"""Scale and offset of a band: physical value = number * scale + offset."""

FILLERS = (0.0, -1.0, -9999.0, -99999.0, -32768.0, 32767.0, 255.0, 65535.0)
"""Numbers that stand for no data where nobody says so."""

SINGLE = (0.0, -1.0, 255.0)
"""Those of them that a single band may well measure, as the sea in an elevation model."""

FILLED = 0.05
"""Share of a sensor's pixels with one of them in all bands from where it is told."""

Values = Literal["stored", "physical"]

PHYSICAL: LinearScale = (1.0, 0.0)
"""Of numbers that are physical values, and of those of which nobody says what they are."""


@dataclass(frozen=True)
class BandStatistics:
    """What the valid training pixels of a band look like, in the sensor's own units.

    Args:
        mean: Of all.
        std: The population's standard deviation.
        minimum: The smallest value.
        maximum: The largest value.
        low: 2 % of the values are smaller; None in what older engines wrote, and in models, which need it no more.
        high: 2 % of the values are larger; None as ``low``.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Modality:
    """One sensor input of a model.

    Args:
        name: Short name, as in ``optical``.
        bands: Names of the bands in the order in which the model takes them.
        dtype: Data type of the values, one of :data:`DTYPES`.
        unit: Unit of the values in words, as in ``m`` or ``digital numbers``.
        statistics: For each band, from training pixels; empty until they are known.
        scales: For each band, what the numbers that the network takes mean; None where that is not known, as in models
            that did not say, so that numbers are taken as they are stored.
        values: Whether the network takes the numbers that the training's sources stored, or physical values.
    """

    name: str
    bands: tuple[str, ...]
    dtype: str = "float32"
    unit: str = ""
    statistics: tuple[BandStatistics, ...] = ()
    scales: tuple[LinearScale, ...] | None = None
    values: Values = "stored"

    def __post_init__(self) -> None:
        if not self.bands:
            raise BandError(f"modality {self.name} has no band")
        if self.dtype not in DTYPES:
            raise BandError(f"modality {self.name}: data type {self.dtype} is none of {', '.join(DTYPES)}")
        if self.statistics and len(self.statistics) != len(self.bands):
            raise BandError(
                f"modality {self.name} has {len(self.bands)} bands, but statistics of {len(self.statistics)}"
            )
        if self.scales is not None and len(self.scales) != len(self.bands):
            raise BandError(f"modality {self.name} has {len(self.bands)} bands, but scales of {len(self.scales)}")

    @property
    def fill(self) -> NDArray[np.generic]:
        """Per band, the value of an invalid pixel ``[C]``: the training mean, representable in ``dtype``.

        Under the standard scaling the network normalises it to zero (to within half a unit for whole numbers).
        """
        means = np.array([band.mean for band in self.statistics], dtype=np.float64)
        if np.issubdtype(self.dtype, np.integer):
            means = np.rint(means)
        return means.astype(self.dtype)

    def filled(self, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.generic]:
        """``values`` ``[C, h, w]`` with :attr:`fill` where ``valid`` ``[h, w]`` is false."""
        return values if valid.all() else np.where(valid, values, self.fill[:, None, None].astype(values.dtype))


@dataclass(frozen=True)
class LegendEntry:
    """What a legend says of a value: its name and colour (``#rrggbb``)."""

    value: int
    name: str
    color: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, 0-255."""
        digits = self.color.removeprefix("#")
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


@dataclass(frozen=True)
class LandClass(LegendEntry):
    """One class of a model: its value in rasters, its name and its colour (``#rrggbb``)."""

    def __post_init__(self) -> None:
        digits = self.color.removeprefix("#")
        if len(digits) != 6 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            raise LabelError(f"class {self.name}: colour {self.color!r} is not of the form #rrggbb")
        if not 0 <= self.value <= 65534:
            raise LabelError(f"class {self.name}: value {self.value} is not within 0 and 65534")


def map_dtype(classes: Sequence[LandClass]) -> tuple[str, int]:
    """Data type and nodata value of a class map: uint8 and 255, or uint16 and 65535 above value 254."""
    if max(land_class.value for land_class in classes) > 254:
        return "uint16", 65535
    return "uint8", 255
