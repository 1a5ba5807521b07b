"""What speaks for it that bands are a modality: names, wavelengths, values, unit, pixels, the layer's name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from engine.errors import BandError, RasterReadError
from engine.grid import Grid
from engine.mapping.candidates import Candidate
from engine.mapping.comparison import Compared, mending
from engine.mapping.gridding import COARSER
from engine.mapping.values import Seen, compare
from engine.modality import Modality
from engine.model.file import Model
from engine.raster.bands import kin, words
from engine.raster.conversion import Conversion, conversions
from engine.raster.mosaics import acquired
from engine.raster.pools import Part, Pool, check_kind, choose, parts_of
from engine.raster.sources import RasterSource, open_source
from engine.raster.validity import Validity
from engine.said import Said

NAMED, VALUES, UNIT, PIXELS, CALLED = 3.0, 3.0, 1.0, 0.5, 1.5
"""Points for: what bands are called; values as in training (at most); the unit; the pixel size; the layer's name."""

STRANGE = 1.0
"""Points that values cost which the training never saw."""

SEEN = 0.5
"""Share of a raster's values that must lie in the training range, widened by a tenth on both sides."""

SAMPLES = 16
"""Squares of SIDE pixels that are read to look at a raster's values."""

SIDE = 64

OVERVIEW = 512
"""Rows and columns to which a raster is thinned where no square has data."""


def candidate(modality: Modality, pool: Pool, model: Model) -> Candidate:
    """A pool's bands as a modality of a model.

    Raises:
        BandError: If they cannot be it.
    """
    if any(len(numbers) > 1 for layer, _ in pool.opened for numbers in (layer.spec.scale, layer.spec.offset)):
        raise BandError("has a scale or offset for each band; give one for all of them, or assign it by name")
    chosen, reasons = choose(modality, pool)
    score = NAMED if reasons else 0.0
    if not reasons:
        check_kind(modality, pool)
        count = len(chosen)
        reasons = [Said("{count} bands in their order", count=count) if count > 1 else Said("one band")]
    first = chosen[0]
    called = _is_called(modality.name, f"{pool.name} {PurePath(first.layer.spec.path).name}", model.names)
    told = score > 0 or called
    parts = parts_of(chosen)
    likeness, said, warnings, strange = _values(modality, parts, told)
    reasons += said
    score += CALLED * called - STRANGE * strange
    unit = first.source.dataset.units[0]
    if unit and modality.unit and words(unit) == words(modality.unit):
        score += UNIT
        reasons.append(Said("unit {unit}", unit=unit))
    grid = first.source.grid
    if grid.crs is not None and 1 / COARSER <= grid.metres / model.metres <= COARSER:
        score += PIXELS
        reasons.append(Said("pixels of {metres:.3g} m", metres=grid.metres))
    if called:
        reasons.append(Said("its name says {name}", name=modality.name))
    try:
        taken = acquired(first.source)
    except BandError:
        taken = None
    return Candidate(modality.name, parts, score, VALUES * likeness, told, tuple(reasons), grid, taken, warnings)


def _is_called(modality: str, name: str, names: Sequence[str]) -> bool:
    """Whether a name says a modality's, or a word for its kind of sensor where the model has no other of that kind."""
    wanted, said = set(words(modality)), set(words(name))
    alike = kin(modality)
    alone = len(wanted) == 1 and not any(alike & set(words(other)) for other in names if other != modality)
    return wanted <= said or (alone and not said.isdisjoint(alike))


def _values(modality: Modality, parts: Sequence[Part], told: bool) -> tuple[float, list[str], tuple[str, ...], bool]:
    """How like the training's the bands' values are, from 0 to 1; that in words; what is to be warned of, and whether
    that are the values as a whole.

    Raises:
        BandError: If they do not fit the data type, or are others and nothing else tells that they are this modality.
    """
    values, valid = _sampled(modality, parts)
    if any(not len(one) for one in values):
        raise BandError("has no valid pixel")
    seen, likeness = _likeness(values, modality)
    compared = _compared(modality, parts, values)
    if not told and (seen < SEEN or _elsewhere(values, modality)):
        low = min(float(np.quantile(one, 0.02)) for one in values)
        high = max(float(np.quantile(one, 0.98)) for one in values)
        least = min(band.minimum for band in modality.statistics)
        most = max(band.maximum for band in modality.statistics)
        raise BandError(
            f"its values ({low:.4g} to {high:.4g}) are not those of the training ({least:.4g} to {most:.4g})"
            + (_cause(compared) or "; assign it by name if they are right")
        )
    warnings = (str(compared),) if compared.finding.warned else ()
    said: list[str] = [Said("{seen:.0%} of its values lie in the training range", seen=seen)]
    if valid <= 0.995:
        said.append(Said("{valid:.0%} of a sample is valid", valid=valid))
    return likeness, said, warnings, compared.finding.unlike


def _compared(modality: Modality, parts: Sequence[Part], values: Sequence[NDArray[np.float64]]) -> Compared:
    """The bands' values beside the training's, as before a map; bands of several files may have other pixels valid."""
    count = min(map(len, values))
    seen = Seen.of(np.stack([one[:count] for one in values]))
    return Compared(compare(seen, modality), tuple(part.spec for part in parts))


def _cause(compared: Compared) -> str:
    """What explains values and what mends them; empty where nothing does."""
    cause = compared.finding.cause
    if cause is None:
        return ""
    return f". It looks as if {cause.said}. To mend it: {mending(compared.finding.modality, compared.specs, cause)}"


def _likeness(values: Sequence[NDArray[np.float64]], modality: Modality) -> tuple[float, float]:
    """Share of each band's values in the training range, the least; and how like the training's they are (0 to 1).

    Likeness of a band is exp(-d), d the difference of the medians to the mean in standard deviations, halved.
    """
    seen, alike = [], []
    for band, one in zip(modality.statistics, values, strict=True):
        margin = 0.1 * (band.maximum - band.minimum)
        seen.append(float(np.mean((one >= band.minimum - margin) & (one <= band.maximum + margin))))
        deviation = max(band.std, 1e-6 * max(1.0, abs(band.mean)))
        alike.append(float(np.exp(-abs(np.median(one) - band.mean) / (2 * deviation))))
    return min(seen), float(np.mean(alike)) * min(seen)


def _elsewhere(values: Sequence[NDArray[np.float64]], modality: Modality) -> bool:
    """Whether nearly all values lie, in every band, to one side of the mean: by a standard deviation or more, or within
    less than one. So does a scaled image whose small numbers all occur in the training too.
    """
    low, high = np.array([np.quantile(one, (0.02, 0.98)) for one in values]).T
    mean, deviation = (np.array([getattr(band, key) for band in modality.statistics]) for key in ("mean", "std"))
    far = (high < mean - deviation) | (low > mean + deviation)
    narrow = (high - low < deviation) & ((high < mean) | (low > mean))
    return bool(np.all(far | narrow))


def _sampled(modality: Modality, parts: Sequence[Part]) -> tuple[list[NDArray[np.float64]], float]:
    """Valid values of each band, as the network would get them: of squares spread over the raster; of all of it,
    thinned, where no square has any. And the share of the squares that is valid, in the file where it is least.

    Raises:
        BandError: If they do not fit the modality's data type or scale.
    """
    found: list[NDArray[np.float64]] = []
    shares = []
    with ExitStack() as stack:
        sources = [stack.enter_context(open_source(part.spec)) for part in parts]
        for source in sources:
            if source.dtype.startswith("complex"):
                raise BandError(f"is {source.dtype}, which does not fit {modality.dtype}")
        for source, convert in zip(sources, conversions(sources, modality), strict=True):
            areas = list(_spread(source.grid))
            values = np.concatenate([_valid(source, convert, modality.dtype, area) for area in areas], axis=1)
            shares.append(values.shape[1] / sum(area.width * area.height for area in areas))
            found += list(values if values.shape[1] else _valid(source, convert, modality.dtype, None))
    return found, min(shares)


def _valid(
    source: RasterSource, convert: Conversion | None, dtype: str, area: RasterioWindow | None
) -> NDArray[np.float64]:
    """Valid values ``[C, n]`` of an area; of all of the raster, thinned, where that is None."""
    bands = source.band_indices
    try:
        if area is not None:
            values, valid = Validity.of(source.dataset, bands, source.dtype).read(source.dataset, area)
        else:
            shape = (len(bands), min(OVERVIEW, source.grid.height), min(OVERVIEW, source.grid.width))
            thinned = source.dataset.read(list(bands), masked=True, out_shape=shape)
            values, valid = thinned.data, np.logical_not(np.ma.getmaskarray(thinned).any(axis=0))
    except (RasterioError, ValueError) as error:
        raise RasterReadError(f"{source.spec.path}: cannot be read: {error}") from error
    if convert is not None:
        values = convert(values, dtype)
    found: NDArray[np.float64] = values[:, valid].astype(np.float64)
    return found[:, np.isfinite(found).all(axis=0)]


def _spread(grid: Grid) -> Iterable[RasterioWindow]:
    side = int(SAMPLES**0.5)
    rows = np.unique(np.linspace(0, max(0, grid.height - SIDE), side).astype(int))
    cols = np.unique(np.linspace(0, max(0, grid.width - SIDE), side).astype(int))
    for row in rows:
        for col in cols:
            yield RasterioWindow(int(col), int(row), min(SIDE, grid.width), min(SIDE, grid.height))
