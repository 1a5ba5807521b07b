"""Numbers of a source brought to the scale and data type that a network was trained on.

A raster may say what its numbers mean: physical value = stored number * scale + offset. A modality keeps what its
training's sources said, so that any other source can be told apart, and converted where that loses nothing that the
network could see. Where the training's sources said nothing, its numbers may be physical values times some factor:
what a sample looks like beside the training's statistics tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.errors import BandError
from engine.modality import PHYSICAL, BandStatistics, LinearScale, Modality
from engine.raster.keys import assigned, keys, mask, usual, written
from engine.raster.sources import RasterSource
from engine.raster.units import MENDED, RIVAL, Moments, after, as_large, named_factor, sampled, unit_factor, unlikeness

FINE = 20
"""Values are rounded to whole numbers where a step is at most this part of each band's deviation in training."""

CUT, MOST = 0.01, 0.5
"""Share of the pixels with values beyond the limits of a data type that are warned about, and that are refused."""

_CLOSE = 1e-9
"""Relative difference of scales and offsets that are written alike."""

_WHOLE = 0.01
"""How far from whole the numbers of float32 may be that were whole before they were scaled."""


@dataclass(frozen=True)
class Conversion:
    """number of the training = stored number * factor + term, for each band.

    Args:
        factors: ``[C]``.
        terms: ``[C]``.
        said: What is done, in a sentence.
        warning: What the user must know of it; empty where there is nothing.
    """

    factors: tuple[float, ...]
    terms: tuple[float, ...]
    said: str
    warning: str = ""

    def exact(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """``[C, ...]`` numbers of the training before they are rounded and cut off."""
        shape = (-1,) + (1,) * (values.ndim - 1)
        found: NDArray[np.float64] = values.astype(np.float64) * np.reshape(self.factors, shape)
        return found + np.reshape(self.terms, shape)

    def __call__(self, values: NDArray[np.generic], dtype: str) -> NDArray[np.generic]:
        """``[C, h, w]`` values in a data type: rounded to whole numbers, and cut off at its limits, where it has such.

        Values that do not fit a float are infinite.
        """
        exact = self.exact(values)
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            exact = np.clip(np.rint(np.nan_to_num(exact)), limits.min, limits.max)
        with np.errstate(over="ignore"):
            return exact.astype(dtype)

    @property
    def whole(self) -> bool:
        """Whether whole numbers stay such."""
        return all(abs(one - round(one)) <= _CLOSE * max(1.0, abs(one)) for one in (*self.factors, *self.terms))


def fits(found: str, wanted: str) -> bool:
    """Whether values of data type ``found`` are taken as ``wanted``: without loss, or rounded to float32's 24 bits."""
    if not is_real(found):
        return False
    rounded = found in ("float64", "int32", "uint32") and wanted == "float32"
    return bool(np.can_cast(found, wanted, "safe")) or rounded


def is_real(dtype: str) -> bool:
    """Whether a data type of rasterio's is one of NumPy's for real numbers; radar's complex ones are not."""
    return not dtype.startswith("complex")


def conversion(source: RasterSource, wanted: Sequence[LinearScale] | None, dtype: str) -> Conversion | None:
    """How a source's numbers become those that a modality takes; None where they are the same.

    Args:
        source: The source.
        wanted: For each of its bands, scale and offset of the numbers that the modality takes; None where that is not
            known, and numbers are taken as they are stored.
        dtype: Data type of the modality.

    Raises:
        BandError: If the source says nothing of its numbers while the training's did.
    """
    declared = source.declared
    if wanted is None or (declared is None and all(one == PHYSICAL for one in wanted)):
        return None
    if declared is None:
        raise BandError(
            f"{source.spec}: says nothing of the scale of its numbers, while the training's sources had "
            f"{written(wanted)}; add {keys(wanted)} behind its name if it holds the same numbers, or "
            f"{keys([PHYSICAL])} if it holds physical values"
        )
    if all(_same(one, other) for one, other in zip(declared, wanted, strict=True)):
        return None
    factors = tuple(scale / target for (scale, _), (target, _) in zip(declared, wanted, strict=True))
    terms = tuple((offset - shift) / target for (_, offset), (target, shift) in zip(declared, wanted, strict=True))
    said = f"{source.spec}: has {written(declared)}, the training's numbers {written(wanted)}; converted"
    return Conversion(factors, terms, f"{said} ({_steps(factors, terms)}{_limits(dtype)})")


@dataclass(frozen=True)
class _Part:
    """A source whose numbers become those of the training, and what the training knew of its bands."""

    source: RasterSource
    wanted: tuple[LinearScale, ...] | None
    known: tuple[BandStatistics, ...]
    linear: Conversion | None
    dtype: str

    @property
    def changed(self) -> bool:
        return self.linear is not None or not fits(self.source.dtype, self.dtype)

    @property
    def conversion(self) -> Conversion:
        """The linear one; where there is none, the numbers in another data type."""
        if self.linear is not None:
            return self.linear
        count = len(self.source.band_indices)
        said = f"{self.source.spec}: is {self.source.dtype}, the model takes {self.dtype}; converted (x 1 + 0"
        return Conversion((1.0,) * count, (0.0,) * count, f"{said}{_limits(self.dtype)})")

    @cached_property
    def stored(self) -> NDArray[np.generic]:
        """A sample ``[C, n]``."""
        return sampled(self.source)

    @cached_property
    def sample(self) -> NDArray[np.float64]:
        """The sample as numbers of the training."""
        return self.conversion.exact(self.stored)

    @property
    def keyed(self) -> bool:
        """Whether the user says what the numbers are."""
        return bool(self.source.spec.scale or self.source.spec.offset)

    @property
    def unsaid(self) -> bool:
        """Whether there is a sample of which nobody says in which unit the training had it.

        What the user says is taken, unless nothing would be left of it in whole numbers.
        """
        if self.wanted is None or set(self.wanted) != {PHYSICAL} or not self.stored.size:
            return False
        if self.keyed:
            return self.linear is not None and bool(self.sample.std(axis=1).max() < 1)
        return self.linear is not None or np.issubdtype(self.source.dtype, np.floating)

    def scaled(self, factor: float) -> list[LinearScale]:
        """Scales by which its physical values are multiplied."""
        own = self.source.declared or (PHYSICAL,) * len(self.source.band_indices)
        return [(scale * factor, offset * factor) for scale, offset in own]


def conversions(sources: Sequence[RasterSource], modality: Modality) -> list[Conversion | None]:
    """How the numbers of sources whose bands make up a modality become those that it takes; None where they are.

    Physical values are multiplied by the factor that the modality's unit names, unless a sample says otherwise. They
    are rounded where the network would hardly see it, and cut off at the limits of the data type.

    Args:
        sources: The sources in order.
        modality: The modality.

    Raises:
        BandError: If a source says nothing of its numbers while the training's did, if its unit is likely another one,
            or if whole numbers would lose what lies between.
        RasterReadError: If a sample cannot be read.
    """
    parts, first = [], 0
    for source in sources:
        bands = slice(first, first + len(source.band_indices))
        first = bands.stop
        wanted = None if modality.scales is None else modality.scales[bands]
        linear = conversion(source, wanted, modality.dtype)
        parts.append(_Part(source, wanted, modality.statistics[bands], linear, modality.dtype))
    factor = _unit([part for part in parts if part.changed], modality)
    return [_settled(part, modality, factor) if part.changed else None for part in parts]


def _unit(parts: Sequence[_Part], modality: Modality) -> float:
    """What physical values are to be multiplied by to be the training's numbers, of which nobody says what they are.

    Raises:
        BandError: If that is likely some factor, but the modality's unit does not say so.
    """
    named, whole = named_factor(modality.unit), np.issubdtype(modality.dtype, np.integer)
    if not (parts and modality.statistics and (named or whole) and all(part.unsaid for part in parts)):
        return 1.0
    known = [one for part in parts for one in part.known]
    bands = [one for part in parts for one in _moments(part.sample)]
    declared = all(part.linear is not None for part in parts)
    as_stored = unlikeness([one for part in parts for one in _moments(part.stored)], known) if declared else np.inf
    factor = unit_factor(bands, known)
    if declared and named and not any(part.keyed for part in parts):
        if as_large(bands, known) < as_large(bands, known, named):
            return 1.0
        if as_stored > MENDED * after(named, bands, known):
            return named
        factor = named
    if factor is None or not whole:
        return 1.0
    left = after(factor, bands, known)
    readings = [(left, [part.scaled(factor) for part in parts])]
    readings += [(as_stored, [[PHYSICAL] * len(part.known) for part in parts])]
    most = RIVAL * min(left, as_stored)
    ways = [_command(modality.name, parts, scales) for figure, scales in sorted(readings) if figure <= most]
    first = parts[0].source
    has = f"has {written(first.declared)}" if first.declared else f"is {first.dtype} and says nothing of its scale"
    right = "" if declared else "; :scale=1 behind its name takes the numbers as they are"
    raise BandError(
        f"{first.spec}: {has}, the training's sources have {written([PHYSICAL])}, and its values look like those of "
        f"the training only in another unit; write {' or, which is about as likely, '.join(ways)}{right}"
    )


def _moments(values: NDArray[np.generic]) -> list[Moments]:
    exact = values.astype(np.float64)
    return list(zip(exact.mean(axis=1).tolist(), exact.std(axis=1).tolist(), strict=True))


def _settled(part: _Part, modality: Modality, factor: float) -> Conversion:
    """A part's conversion with what is to be said of it, physical values being multiplied by a factor before.

    Raises:
        BandError: If whole numbers would lose what lies between.
    """
    chosen = part.conversion
    if factor != 1:
        chosen = replace(
            chosen,
            factors=tuple(one * factor for one in chosen.factors),
            terms=tuple(one * factor for one in chosen.terms),
        )
        steps = f"{_steps(chosen.factors, chosen.terms)}{_limits(part.dtype)}"
        chosen = replace(
            chosen,
            said=f"{part.source.spec}: has {written(part.source.declared or [PHYSICAL])}, the training's numbers are "
            f"{modality.unit}; converted ({steps})",
        )
    if not np.issubdtype(part.dtype, np.integer):
        if part.linear is None:
            raise _unfit(part)
        return chosen
    if not modality.statistics:
        return _untrained(part, chosen)
    exact = chosen.exact(part.stored)
    rounds = np.issubdtype(part.source.dtype, np.floating) or not chosen.whole
    nearest = np.rint(exact)
    if rounds and bool((np.abs(exact - nearest) > _WHOLE * np.minimum(1, np.abs(nearest))).any()):
        _check_fine(part, exact)
        chosen = replace(chosen, said=f"{chosen.said}; rounded to whole numbers, less than 1/{FINE} of a deviation")
    return _cut(part, modality, chosen, exact)


def _unfit(part: _Part) -> BandError:
    return BandError(
        f"{part.source.spec}: is {part.source.dtype}, which does not fit {part.dtype} without loss; convert it to "
        f"{part.dtype} in the units that the model was trained on"
    )


def _untrained(part: _Part, chosen: Conversion) -> Conversion:
    """Before statistics are known: nothing is rounded but what was declared in floats."""
    if part.linear is None:
        raise _unfit(part)
    if np.issubdtype(part.source.dtype, np.integer) and not chosen.whole:
        raise _lossy(part, "converting to them would lose what lies between")
    return chosen


def _check_fine(part: _Part, exact: NDArray[np.float64]) -> None:
    """Refuses to round where a step is not small beside the training's deviations, or larger than the values' own.

    Raises:
        BandError: If so.
    """
    least = min((band.std for band in part.known if band.std > 0), default=np.inf)
    if least < FINE:
        raise _lossy(
            part,
            f"converting to them would lose what lies between: a step is more than 1/{FINE} of the training's deviation"
            f" ({least:.3g})",
        )
    if exact.size and exact.std(axis=1).max() < 1:
        raise _lossy(part, f"of {exact.min():.3g} to {exact.max():.3g}, as they would be, nothing would be left")


def _lossy(part: _Part, why: str) -> BandError:
    declared, cure = part.source.declared, "bring it to the training's unit first"
    has = f"has {written(declared)}" if declared else f"is {part.source.dtype}"
    if part.wanted is not None:
        has += f", the training's sources {written(part.wanted)}"
        cure = "if it holds the training's numbers in another unit, say behind its name what makes them the training's "
        cure += "(:scale=10000:offset=-1000, for number * 10000 - 1000), or train on physical values (values: physical)"
    return BandError(f"{part.source.spec}: {has}; the model takes whole numbers ({part.dtype}), and {why}; {cure}")


def _cut(part: _Part, modality: Modality, chosen: Conversion, exact: NDArray[np.float64]) -> Conversion:
    """With what is said of values beyond the limits of the data type.

    Raises:
        BandError: If most are, and not as they all are one number, which may stand for no data.
    """
    limits = np.iinfo(part.dtype)
    beyond = (exact < limits.min - 0.5) | (exact > limits.max + 0.5)
    pixels = beyond.any(axis=0)
    if not pixels.any():
        return chosen
    share = float(pixels.mean())
    said = f"{chosen.said}; {share:.2%} of a sample lie beyond {limits.min} to {limits.max}"
    number, repeated = usual(part.stored[:, pixels])
    filled = repeated > 0.5 and all(one.minimum > limits.min for one in part.known)  # which the values' check tells
    if share > MOST and repeated <= 0.5:
        low, high = exact[beyond].min(), exact[beyond].max()
        raise _lossy(part, f"{share:.0%} of its pixels have values that do not fit, from {low:.6g} to {high:.6g}")
    if share <= CUT or filled:
        return replace(chosen, said=said)
    warning = (
        f"{part.source.spec}: {share:.0%} of its pixels have values that {part.dtype} does not hold, from "
        f"{exact[beyond].min():.6g} to {exact[beyond].max():.6g}: they are cut off at {limits.min} and {limits.max}"
    )
    if repeated > 0.5:
        hiding = mask(modality.name, part.source.spec, number)
        warning += f"; if {number:.17g} stands for no data, {hiding} leaves it out"
    return replace(chosen, said=said, warning=warning)


def _command(name: str, parts: Sequence[_Part], scales: Sequence[Sequence[LinearScale]]) -> str:
    return " ".join(assigned(name, part.source, own) for part, own in zip(parts, scales, strict=True))


def _same(one: LinearScale, other: LinearScale) -> bool:
    return all(bool(np.isclose(here, there, rtol=_CLOSE, atol=0)) for here, there in zip(one, other, strict=True))


def _steps(factors: Sequence[float], terms: Sequence[float]) -> str:
    steps = dict.fromkeys(zip(factors, terms, strict=True))
    return ", ".join(f"x {factor:.9g} {'-' if term < 0 else '+'} {abs(term):.9g}" for factor, term in steps)


def _limits(dtype: str) -> str:
    return f"; cut off at the limits of {dtype}" if np.issubdtype(dtype, np.integer) else ""
