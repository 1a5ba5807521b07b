"""Several rasters of one sensor: stacked as bands, or a mosaic of the same bands, in a stated order."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import PurePath
from typing import Literal

from rasterio.warp import transform_bounds

from engine.errors import BandError
from engine.grid import Grid, Window
from engine.modality import Modality
from engine.raster.sources import RasterSource

Order = Literal["given", "finest", "newest"]
"""Which raster of a mosaic comes first: as they are given, that of the smallest pixels, or the one taken last."""

_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_]?([01]\d)[-_]?([0-3]\d)(?:[ T_-]?([0-2]\d):?([0-5]\d):?([0-5]\d)(?!\d))?"
)
"""A date in a product's or file's name; a name's first one is that of the acquisition in all common schemes."""

_TAGS = (("IMAGERY", "ACQUISITIONDATETIME"), (None, "ACQUISITIONDATETIME"), (None, "acquisition_date"))


def grouped(sources: Sequence[RasterSource], modality: Modality) -> list[list[RasterSource]]:
    """Cuts sources into groups that each have as many bands as a modality, in their order.

    Raises:
        BandError: If they cannot be cut so.
    """
    found: list[list[RasterSource]] = [[]]
    for source in sources:
        if _bands(found[-1]) == len(modality.bands):
            found.append([])
        found[-1].append(source)
    if any(_bands(group) != len(modality.bands) for group in found):
        given = ", ".join(f"{source.spec} gives {len(source.band_indices)}" for source in sources)
        raise BandError(
            f"{modality.name}: the model takes {len(modality.bands)} bands ({', '.join(modality.bands)}), but {given}; "
            "choose bands with PATH@1,2. Files whose bands belong together follow one another, and so do the files of "
            "a mosaic, which have all bands each"
        )
    return found


def extended(grid: Grid, members: Iterable[Grid]) -> Grid:
    """A grid that reaches over all rasters of a mosaic; those on other pixels by the rectangle around their bounds."""
    window = grid.window
    for one in members:
        offset = grid.offset_of(one)
        if offset is not None:
            window = window | Window(*offset, one.height, one.width)
        elif grid.crs is not None and one.crs is not None:
            bounds = one.bounds if one.crs == grid.crs else transform_bounds(one.crs, grid.crs, *one.bounds)
            window = window | grid.window_of(bounds) if all(map(math.isfinite, bounds)) else window
    return grid.part(window)


def _bands(sources: Sequence[RasterSource]) -> int:
    return sum(len(source.band_indices) for source in sources)


def acquired(source: RasterSource) -> datetime:
    """When a raster was taken: by its metadata (GDAL's ``IMAGERY`` domain), else by the first date in its name.

    Raises:
        BandError: If neither says so.
    """
    for domain, key in _TAGS:
        said = source.dataset.tags(ns=domain).get(key)
        if said is not None and (moment := _moment(said)) is not None:
            return moment
    path = PurePath(source.spec.file)
    for name in (path.name, *(parent.name for parent in path.parents)):
        if (moment := _moment(name)) is not None:
            return moment
    raise BandError(
        f"{source.spec}: neither its metadata nor its name says when it was taken; write the date into its name "
        "(20240601), or give the rasters in their order and leave out --mosaic newest"
    )


def _moment(text: str) -> datetime | None:
    for found in _DATE.finditer(text):
        with suppress(ValueError):  # 20249912 is no date
            year, month, day, hour, minute, second = (int(number or 0) for number in found.groups())
            return datetime(year, month, day, hour, minute, second)
    return None
