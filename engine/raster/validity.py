"""Where a source's pixels are valid: one rule, for what is read as it lies and for what is warped.

A pixel is valid where, for **every chosen band**,

* its value is not the band's own nodata value, as the band's data type holds it,
* its value is finite, and
* every mask that covers the band is opaque: the dataset's (internal or ``.msk``), a band's own, and an alpha band,
  which is found by its colour interpretation wherever it stands.

Nothing wins over anything else: what one of them hides is hidden. A nodata value that the data type cannot hold hides
nothing. Any opacity above zero counts in full, so that half-transparent edges are there and unblended. A band that is
chosen is data, also if it is called alpha.

Where a raster is warped, each band is resampled from what is valid in that band (masks hide in all of them); a pixel of
the grid is valid where its centre lies in a pixel of the raster that is valid in some band, and every band has a valid
pixel among those that weigh in.
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
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

_NAN, _MASKED = "<NoDataValue>nan</NoDataValue>", "<UseMaskBand>true</UseMaskBand>"

_OPAQUE = "<LUT>0:0,1e-30:255</LUT>"
"""Any opacity in full, also one between 0 and 1, which would be rounded."""


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

    def warpable(self, dataset: rasterio.DatasetReader, name: str, place: str, infinite: bool = False) -> Warpable:
        """The chosen bands for GDAL to warp, so that kernels leave out what is hidden.

        A band's own nodata values and infinities stay out of that band alone, what masks hide out of all. GDAL's warper
        knows nodata values and masks, but not several of them together: where there is more than one nodata value, all
        that is hidden becomes NaN.

        Args:
            dataset: The dataset.
            name: That GDAL opens it by.
            place: Elements of a VRT that say where it lies.
            infinite: Whether infinities are to be left out, which takes half as long again and is hardly ever needed.
        """
        opaque = [*(f"mask,{band}" for band in self.masks), *([] if self.alpha is None else [str(self.alpha)])]
        head = f'<VRTDataset rasterXSize="{dataset.width}" rasterYSize="{dataset.height}">'
        if not (self.floating or opaque or len(set(self.nodata)) > 1 or self._in_between):
            bands = self._bands(self.dtype, [_source(name, band) for band in self.bands])
            return Warpable(f"{head}{place}{bands}</VRTDataset>", self.dtype, self.nodata[0])
        wide = self.dtype if self.floating else str(np.result_type(self.dtype, "float32"))
        hidden = [[value] if value is not None else [] for value in self.nodata]
        levels = [[*(math.inf, -math.inf), *one] if infinite else one for one in hidden]
        sources = [self._marked(head, wide, name, band, one) for band, one in zip(self.bands, levels, strict=True)]
        if opaque:
            inner = f"{head}{self._bands(wide, sources, _NAN)}{_mask(head, name, opaque)}</VRTDataset>"
            sources = [_source(inner, number, _MASKED) for number in range(1, len(self.bands) + 1)]
        return Warpable(f"{head}{place}{self._bands(wide, sources, _NAN)}</VRTDataset>", self.dtype, math.nan)

    def _marked(self, head: str, wide: str, name: str, band: int, hidden: Sequence[float]) -> str:
        """A band in which some values are NaN; GDAL takes one at a time, hence a level for each."""
        source = _source(name, band, f"<NODATA>{hidden[0]!r}</NODATA>" if hidden else "")
        for value in hidden[1:]:
            inner = f"{head}{_band(_typename(wide), 1, source, _NAN)}</VRTDataset>"
            source = _source(inner, 1, f"<NODATA>{value!r}</NODATA>")
        return source

    @property
    def _in_between(self) -> bool:
        """Whether values on both sides of a nodata value may give it when they are interpolated, which GDAL alters."""
        limits = None if self.floating else np.iinfo(self.dtype)
        return any(number not in (None, limits.min, limits.max) for number in self.nodata if limits is not None)

    def _bands(self, dtype: str, sources: Sequence[str], nodata: str = "") -> str:
        return "".join(_band(_typename(dtype), number, source, nodata) for number, source in enumerate(sources, 1))


@dataclass(frozen=True)
class Warpable:
    """Bands in the form of a VRT, and how what is hidden is marked in them.

    Args:
        vrt: The VRT.
        dtype: Data type of the bands as they are stored.
        nodata: What is hidden; None where nothing is.
    """

    vrt: str
    dtype: str
    nodata: float | None

    @property
    def options(self) -> dict[str, object]:
        """rasterio's options of a warp of it."""
        if self.nodata is None:
            return {"add_alpha": True}
        return {"src_nodata": self.nodata, "nodata": self.nodata, "UNIFIED_SRC_NODATA": "PARTIAL"}

    def read(self, warped: WarpedVRT, area: RasterioWindow) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Values ``[C, h, w]`` and validity ``[h, w]`` of a warp with these options.

        They are read at once, since GDAL may warp again for what is asked for later.
        """
        found = warped.read(window=area)
        if self.nodata is None:
            return found[:-1], found[-1] > 0
        if not math.isnan(self.nodata):
            return found, (found != self.nodata).all(axis=0)
        valid = ~np.isnan(found).any(axis=0)
        if found.dtype == self.dtype:
            return found, valid
        return np.rint(np.where(valid, found, 0)).astype(self.dtype), valid


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


def _mask(head: str, name: str, opaque: Sequence[str]) -> str:
    """The mask of a VRT that is open where all of several bands of opacity are: of further ones zeros are laid over."""
    first, *others = opaque
    sources = [_source(name, first, _OPAQUE)]
    for other in others:
        inner = f"{head}{_band('Byte', 1, _source(name, other, _OPAQUE))}</VRTDataset>"
        sources.append(_source(inner, 1, "<NODATA>255</NODATA>"))
    return f"<MaskBand>{_band('Byte', 1, ''.join(sources))}</MaskBand>"


def _typename(dtype: str) -> str:
    return str(typename_fwd[dtype_rev[dtype]])


def _band(kind: str, number: int, source: str, nodata: str = "") -> str:
    return f'<VRTRasterBand dataType="{kind}" band="{number}">{nodata}{source}</VRTRasterBand>'


def _source(name: str, band: int | str, more: str = "") -> str:
    kind = "ComplexSource" if more else "SimpleSource"
    return (
        f'<{kind}><SourceFilename relativeToVRT="0">{escape(name)}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand>{more}</{kind}>"
    )
