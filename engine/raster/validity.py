"""Where a source's pixels are valid: one rule, for what is read as it lies and for what is warped.

A pixel is valid where, for **every chosen band**,

* its value is not the band's own nodata value, as the band's data type holds it,
* its value is finite, and
* every mask that covers the band is opaque: the dataset's (internal or ``.msk``), a band's own, and an alpha band,
  which is found by its colour interpretation wherever it stands.

Nothing wins over anything else: what one of them hides is hidden. A nodata value that the data type cannot hold hides
nothing. Any opacity above zero counts in full, so that half-transparent edges are there and unblended. A band that is
chosen is data, also if it is called alpha.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window as RasterioWindow


@dataclass(frozen=True)
class Validity:
    """What hides pixels of some bands of a dataset.

    Args:
        bands: The chosen bands.
        dtype: Their data type.
        nodata: Of each chosen band the value that it cannot be measured as; None where there is none.
        alpha: The band whose zeros are transparent; None where there is none.
        masks: Bands whose own mask, or the whole dataset's, must be asked.
    """

    bands: tuple[int, ...]
    dtype: str
    nodata: tuple[float | None, ...]
    alpha: int | None
    masks: tuple[int, ...]

    @classmethod
    def of(cls, dataset: rasterio.DatasetReader, bands: Sequence[int], dtype: str) -> Validity:
        """What a dataset says of some of its bands, all of one data type."""
        with np.errstate(over="ignore"):  # float32 with a nodata value of float64
            numbers, every = dataset.nodatavals, dataset.mask_flag_enums
        alphas = [
            band
            for band, kind in zip(dataset.indexes, dataset.colorinterp, strict=True)
            if kind == ColorInterp.alpha and band not in bands
        ]
        masks: list[int] = []
        for band in bands:
            flags = set(every[band - 1])
            if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
                masks = masks or [band]
            elif not flags:  # a mask of this band alone
                masks.append(band)
        nodata = tuple(held(numbers[band - 1], dtype) for band in bands)
        return cls(tuple(bands), dtype, nodata, alphas[0] if alphas else None, tuple(masks))

    @classmethod
    def of_footprint(cls, bands: Sequence[int], dtype: str) -> Validity:
        """That nothing is hidden: a pixel is there wherever the raster reaches."""
        return cls(tuple(bands), dtype, (None,) * len(bands), None, ())

    @property
    def floating(self) -> bool:
        """Whether values may be infinite or not a number."""
        return np.issubdtype(self.dtype, np.floating)

    def read(
        self, dataset: rasterio.DatasetReader, area: RasterioWindow
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Values ``[C, h, w]`` of the chosen bands and validity ``[h, w]``, as they lie."""
        values = dataset.read(list(self.bands), window=area)
        valid = np.ones(values.shape[1:], dtype=bool)
        for band, nodata in zip(values, self.nodata, strict=True):
            if nodata is not None:
                valid &= band != values.dtype.type(nodata)
        if self.floating:
            valid &= np.isfinite(values).all(axis=0)
        if self.alpha is not None:
            valid &= dataset.read(self.alpha, window=area) > 0
        for mask in self.masks:
            valid &= dataset.read_masks(mask, window=area) > 0
        return values, valid

    def vrt(self, dataset: rasterio.DatasetReader, name: str, place: str) -> str:
        """A dataset (GDAL's VRT) of the chosen bands whose mask is their validity, for GDAL to warp.

        Infinite values alone stay in: what a warp mixes with one is not finite and so is not valid.

        Args:
            dataset: The dataset.
            name: That GDAL opens it by.
            place: Elements that say where it lies.
        """
        size = f'rasterXSize="{dataset.width}" rasterYSize="{dataset.height}"'
        bands = "".join(
            f'<VRTRasterBand dataType="{_typename(self.dtype)}" band="{place}">{_source(name, band)}</VRTRasterBand>'
            for place, band in enumerate(self.bands, 1)
        )
        mask = "".join(self._hiding(name, size))
        if mask:
            mask = f'<MaskBand><VRTRasterBand dataType="Byte">{mask}</VRTRasterBand></MaskBand>'
        return f"<VRTDataset {size}>{place}{bands}{mask}</VRTDataset>"

    def _hiding(self, name: str, size: str) -> list[str]:
        """Sources that, laid over each other, are 0 where a pixel is hidden and 255 elsewhere.

        The first covers all; of those above it only zeros are laid on.
        """
        opacities = [*(f"mask,{band}" for band in self.masks), *([] if self.alpha is None else [str(self.alpha)])]
        masks = [(_opacity(name, band, size), "1") for band in opacities]
        not_a_number = (math.nan if self.floating else None,) * len(self.bands)
        for values in (self.nodata, not_a_number):
            places = [place for place, value in enumerate(values, 1) if value is not None]
            if places:
                declared = self._declared(name, size, values)
                masks += [(declared, f"mask,{place}") for place in places]
        return [
            _source(inner, band, "" if number == 0 else "<NODATA>255</NODATA>")
            for number, (inner, band) in enumerate(masks)
        ]

    def _declared(self, name: str, size: str, values: Sequence[float | None]) -> str:
        """The bands with nodata values, of which GDAL makes masks."""
        bands = "".join(
            f'<VRTRasterBand dataType="{_typename(self.dtype)}" band="{place}">'
            + ("" if value is None else f"<NoDataValue>{value!r}</NoDataValue>")
            + f"{_source(name, band)}</VRTRasterBand>"
            for place, (band, value) in enumerate(zip(self.bands, values, strict=True), 1)
        )
        return f"<VRTDataset {size}>{bands}</VRTDataset>"


def held(nodata: float | None, dtype: str) -> float | None:
    """A nodata value as a data type holds it; None where it cannot, or where it is not a number anyway.

    A VRT's may have more digits than the raster's float32.
    """
    if nodata is None or not math.isfinite(nodata):
        return None
    if not np.issubdtype(dtype, np.floating):
        limits = np.iinfo(dtype)
        return nodata if float(nodata).is_integer() and limits.min <= nodata <= limits.max else None
    with np.errstate(over="ignore"):
        value = float(np.dtype(dtype).type(nodata))
    return value if math.isfinite(value) else None


def _typename(dtype: str) -> str:
    return str(typename_fwd[dtype_rev[dtype]])


def _source(name: str, band: int | str, more: str = "") -> str:
    kind = "ComplexSource" if more else "SimpleSource"
    return (
        f'<{kind}><SourceFilename relativeToVRT="0">{escape(name)}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand>{more}</{kind}>"
    )


def _opacity(name: str, band: str, size: str) -> str:
    """A band of opacities as 0 and 255."""
    source = _source(name, band, "<LUT>0:0,1:255</LUT>")
    return f'<VRTDataset {size}><VRTRasterBand dataType="Byte" band="1">{source}</VRTRasterBand></VRTDataset>'
