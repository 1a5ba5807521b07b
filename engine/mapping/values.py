"""Whether a sensor's values are those that a model was trained on, and what would make them so.

Values are compared as a whole, by band, with the training's mean, deviation and range, by one figure: how unlike mean
and deviation are (:func:`engine.raster.units.unlikeness`). It is about 0 for the training pixels themselves, and was
below 2.9 on every block and tile of three data sets that limits were chosen on (see docs/benchmarks.md).

A cause is named where undoing it brings the figure down to a part of what it was, and nothing else does as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.modality import FILLED, FILLERS, Modality
from engine.raster.units import CHANGED, MENDED, RIVAL, unlikeness

FEWEST = 256
"""Fewer valid pixels say nothing."""

UNLIKE, OUTSIDE = 3.5, 0.25
"""Without a cause: the figure, and the share of a band outside of the training's range, that are told."""

MOVED, ORDERED = 1.2, 0.6
"""The figure from where an offset, or another order of the bands is named as cause; a factor is from CHANGED."""

REORDERED = 0.25
"""What another order of the bands must bring the figure down to, as a part of it; undoing another cause to MENDED."""

EMPTY = 0.005
"""Share of the pixels from where zeros in all of several bands are told, where every number of the training was more:
what is sensed is hardly ever zero in all bands at once, but the edges of an image are."""

MANTISSA = 14
"""Bits of a float32 that running tallies leave out: numbers are rounded to one in a thousand."""

_LENGTHS, _TEMPERATURES = {"", "m", "metre", "metres", "meter", "meters"}, {"k", "kelvin", "c", "°c", "celsius"}
_FEET = {"ft", "foot", "feet", "us-ft"}


@dataclass(frozen=True)
class Distribution:
    """Numbers of one band, and how often each occurs."""

    values: NDArray[np.float64]
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[Any]) -> Distribution:
        """Of values as they are."""
        found, counts = np.unique(values.astype(np.float64), return_counts=True)
        return cls(found, counts.astype(np.float64))

    @cached_property
    def count(self) -> float:
        """How many there are."""
        return float(self.counts.sum())

    @cached_property
    def mean(self) -> float:
        """Their mean."""
        with np.errstate(over="ignore"):  # of numbers that are no one's unit
            return float(np.average(self.values, weights=self.counts))

    @cached_property
    def std(self) -> float:
        """Their standard deviation."""
        with np.errstate(over="ignore"):
            return math.sqrt(float(np.average((self.values - self.mean) ** 2, weights=self.counts)))

    @cached_property
    def median(self) -> float:
        """The number that half of them do not exceed."""
        order = np.argsort(self.values)
        return float(self.values[order][np.searchsorted(np.cumsum(self.counts[order]), self.count / 2)])

    def share(self, which: NDArray[np.bool_]) -> float:
        """Share of some of the numbers."""
        return float(self.counts[which].sum() / self.count)

    def without(self, value: float) -> Distribution:
        """All but those that are one number."""
        rest = self.values != value
        return Distribution(self.values[rest], self.counts[rest])


@dataclass(frozen=True)
class Seen:
    """What valid pixels of a sensor hold.

    Args:
        bands: Of each band.
        equal: Of the pixels whose bands all hold the same number.
    """

    bands: tuple[Distribution, ...]
    equal: Distribution

    @classmethod
    def of(cls, values: NDArray[np.generic]) -> Seen:
        """Of ``[C, n]`` values."""
        alike = (values == values[:1]).all(axis=0)
        return cls(tuple(map(Distribution.of, values)), Distribution.of(values[0, alike]))

    @classmethod
    def of_tallies(cls, tallies: Sequence[Mapping[int, float]]) -> Seen:
        """Of what :func:`tallied` counted."""
        *bands, equal = map(_decoded, tallies)
        return cls(tuple(bands), equal)


def tallied(values: NDArray[np.generic]) -> list[dict[int, float]]:
    """Of ``[C, n]`` values: how often each number occurs in each band, and last in all bands of a pixel; rounded."""
    codes = _codes(values)
    return [_counted(band) for band in (*codes, codes[0, (values == values[:1]).all(axis=0)])]


def _codes(values: NDArray[np.generic]) -> NDArray[np.uint32]:
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    codes: NDArray[np.uint32] = (bits + np.uint32(1 << MANTISSA - 1)) >> np.uint32(MANTISSA)
    return codes


def _counted(codes: NDArray[np.uint32]) -> dict[int, float]:
    found, counts = np.unique(codes, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _decoded(tally: Mapping[int, float]) -> Distribution:
    codes = np.array(list(tally), dtype=np.uint32)
    values = (codes << np.uint32(MANTISSA)).view(np.float32).astype(np.float64)
    for filler in FILLERS:
        values[codes == _codes(np.array([filler]))] = filler
    return Distribution(values, np.array(list(tally.values()), dtype=np.float64))


@dataclass(frozen=True)
class Cause:
    """What would make values those of the training: ``value * factor + term``, another order, or a formula.

    Args:
        said: What may have happened to them, in words.
        factor: Factor.
        term: Term.
        order: For each of the model's bands, the number from 0 of the one to take instead; as they are where empty.
        formula: For gdal_calc, of ``A``.
    """

    said: str
    factor: float = 1.0
    term: float = 0.0
    order: tuple[int, ...] = ()
    formula: str = ""

    def __call__(self, bands: Sequence[Distribution]) -> list[Distribution]:
        """The bands without it."""
        if self.order:
            return [bands[number] for number in self.order]
        return [Distribution(self._mended(band.values), band.counts) for band in bands]

    def _mended(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self.formula:
            return values * self.factor + self.term
        with np.errstate(all="ignore"):
            return (
                float(self.formula.partition("*")[0]) * np.log10(values)
                if "log" in self.formula
                else 10.0 ** (values / 10)
            )

    @property
    def limits(self) -> tuple[float, float]:
        """The figure that it takes to be looked at, and what must be left of it."""
        if self.order:
            return ORDERED, REORDERED
        return (CHANGED if self.formula or self.factor != 1 else MOVED), MENDED


def _causes(modality: Modality) -> Iterator[Cause]:
    unit = modality.unit.strip().lower()
    yield Cause("they were multiplied by 10 000", 1e-4)
    yield Cause("they were divided by 10 000", 1e4)
    yield Cause("they were multiplied by 255", 1 / 255)
    yield Cause("they were divided by 255", 255)
    yield Cause("they were multiplied by 100", 0.01)
    yield Cause("they were divided by 100", 100)
    radiometry = "" if unit in _LENGTHS - {""} else " (Sentinel-2 adds 1000 since baseline 04.00)"
    yield Cause(f"1000 was added{radiometry}", term=-1000)
    yield Cause(f"1000 was taken off{radiometry}", term=1000)
    yield Cause("they are linear power and not dB", formula="10*log10(A)")
    yield Cause("they are amplitude and not dB", formula="20*log10(A)")
    yield Cause("they are dB and not linear power", formula="10.0**(A/10.0)")
    if unit in _LENGTHS:
        yield Cause("they are feet and not metres", 0.3048)
    if unit in _LENGTHS | _FEET:
        yield Cause("they are metres and not feet", 1 / 0.3048)
    if unit in _TEMPERATURES:
        yield Cause("they are Kelvin and not degrees Celsius", term=-273.15)
        yield Cause("they are degrees Celsius and not Kelvin", term=273.15)
    for order in _orders(len(modality.bands)):
        reverse = order == tuple(reversed(range(len(order))))
        yield Cause("its bands are in reverse" if reverse else "its bands are in another order", order=order)


def _orders(count: int) -> list[tuple[int, ...]]:
    """Orders of bands that are looked at: all of up to four; of more the reverse, and red for blue."""
    own = tuple(range(count))
    if count <= 4:
        return [order for order in permutations(own) if order != own]
    return [own[::-1], (*own[2::-1], *own[3:])]


def figure(bands: Sequence[Distribution], modality: Modality) -> float:
    """How unlike the training's values are; see the module. Infinite for what is no number.

    A band that was constant in training does not count.
    """
    counting = [band for band, known in zip(bands, modality.statistics, strict=True) if known.std > 0]
    if not all(np.isfinite(band.values).all() for band in counting):
        return math.inf
    return unlikeness([(band.mean, band.std) for band in bands], modality.statistics)


def likely_cause(bands: Sequence[Distribution], modality: Modality) -> Cause | None:
    """The one change that explains values, where there is one."""
    before = figure(bands, modality)
    ranked = sorted(((figure(cause(bands), modality), cause) for cause in _causes(modality)), key=lambda one: one[0])
    after, best = ranked[0]
    for other, cause in ranked:  # the plain reverse rather than an order that does about as well
        if best.order and cause.said == "its bands are in reverse" and other <= RIVAL * after:
            after, best = other, cause
    rival = next((other for other, cause in ranked if cause != best and not (cause.order and best.order)), math.inf)
    least, left = best.limits
    return best if before >= least and after <= left * before and rival >= RIVAL * after else None


@dataclass(frozen=True)
class BandFigures:
    """A band beside the training's: shares below and above its range, and what its values are."""

    name: str
    below: float
    above: float
    median: float
    mean: float
    std: float


@dataclass(frozen=True)
class Finding:
    """What is to be said of a sensor.

    Args:
        modality: The sensor.
        pixels: Valid pixels that were looked at.
        bands: Of each band; without the filler.
        unlike: Whether the values are not those of the training.
        cause: What explains that.
        filler: A number that stands in all bands of many pixels and never did in training.
        filled: Share of pixels that hold it.
    """

    modality: Modality
    pixels: int
    bands: tuple[BandFigures, ...]
    unlike: bool = False
    cause: Cause | None = None
    filler: float | None = None
    filled: float = 0.0

    @property
    def warned(self) -> bool:
        """Whether there is something to say."""
        return self.unlike or self.filler is not None


def compare(seen: Seen, modality: Modality) -> Finding:
    """Compares what pixels hold with a modality's statistics."""
    pixels = int(seen.bands[0].count)
    if pixels < FEWEST:
        return Finding(modality, pixels, _figures(seen.bands, modality) if pixels else ())
    filler, filled = _filler(seen, modality)
    bands = seen.bands if filler is None else tuple(band.without(filler) for band in seen.bands)
    if min(band.count for band in bands) < FEWEST:
        return Finding(modality, pixels, _figures(seen.bands, modality), filler=filler, filled=filled)
    figures = _figures(bands, modality)
    cause = likely_cause(bands, modality)
    unlike = figure(bands, modality) > UNLIKE or any(one.below + one.above > OUTSIDE for one in figures)
    return Finding(modality, pixels, figures, unlike or cause is not None, cause, filler, filled)


def _figures(bands: Sequence[Distribution], modality: Modality) -> tuple[BandFigures, ...]:
    return tuple(
        BandFigures(
            name,
            band.share(band.values < known.minimum - 1e-3 * abs(known.minimum)),  # as tallies are rounded
            band.share(band.values > known.maximum + 1e-3 * abs(known.maximum)),
            band.median,
            band.mean,
            band.std,
        )
        for name, band, known in zip(modality.bands, bands, modality.statistics, strict=True)
    )


def _filler(seen: Seen, modality: Modality) -> tuple[float | None, float]:
    """The number that most of the pixels with the same in all bands hold, where it looks like no data; its share.

    So does a number out of the training's range that often stands for no data; a zero that every band of several was
    above in training, from fewer pixels on; and of measured fractions one that repeats, also within the range.
    """
    if not seen.equal.values.size:
        return None, 0.0
    most = int(seen.equal.counts.argmax())
    value, share = float(seen.equal.values[most]), float(seen.equal.counts[most] / seen.bands[0].count)
    known, several = modality.statistics, len(modality.bands) > 1
    if value in FILLERS and any(not one.minimum <= value <= one.maximum for one in known):
        empty = several and value == 0 and all(one.minimum > 0 for one in known)
        return (value, share) if share >= (EMPTY if empty else FILLED) else (None, 0.0)
    return (value, share) if share >= FILLED and _repeats(seen, modality, value, several) else (None, 0.0)


def _repeats(seen: Seen, modality: Modality, value: float, several: bool) -> bool:
    """Whether a number that pixels share is one that a sensor of fractions does not give twice; its limits it may.

    In a single band that is said of zero alone: a lake has one height, and so has what is flat.
    """
    whole = all((band.values == np.rint(band.values)).all() for band in seen.bands)
    limit = any(value in (one.minimum, one.maximum) for one in modality.statistics)
    if whole or limit or not np.issubdtype(modality.dtype, np.floating):
        return False
    return several or (value == 0 and modality.unit.strip().lower() not in _LENGTHS | _FEET)
