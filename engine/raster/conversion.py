"""Numbers of a source brought to the scale that a network was trained on.

A raster may say what its numbers mean: physical value = stored number * scale + offset. A modality keeps what its
training's sources said, so that any other source can be told apart, and converted where that loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import BandError
from engine.modality import PHYSICAL, LinearScale
from engine.raster.sources import RasterSource

_CLOSE = 1e-9
"""Relative difference of scales and offsets that are written alike."""


@dataclass(frozen=True)
class Conversion:
    """number of the training = stored number * factor + term, for each band.

    Args:
        factors: ``[C]``.
        terms: ``[C]``.
        said: What is done, in a sentence.
    """

    factors: tuple[float, ...]
    terms: tuple[float, ...]
    said: str

    def __call__(self, values: NDArray[np.generic], dtype: str) -> NDArray[np.generic]:
        """``[C, h, w]`` values in a data type: rounded to whole numbers, and cut off at its limits, where it has such.

        Values that do not fit a float are infinite.
        """
        shape = (-1, 1, 1)
        exact = values.astype(np.float64) * np.reshape(self.factors, shape) + np.reshape(self.terms, shape)
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            exact = np.clip(np.rint(np.nan_to_num(exact)), limits.min, limits.max)
        with np.errstate(over="ignore"):
            return exact.astype(dtype)


def conversion(source: RasterSource, wanted: Sequence[LinearScale] | None, dtype: str) -> Conversion | None:
    """How a source's numbers become those that a modality takes; None where they are the same.

    Args:
        source: The source.
        wanted: For each of its bands, scale and offset of the numbers that the modality takes; None where that is not
            known, and numbers are taken as they are stored.
        dtype: Data type of the modality.

    Raises:
        BandError: If the source says nothing of its numbers while the training's did, or they cannot be converted
            without loss.
    """
    if wanted is None:
        return None
    declared = source.declared
    if declared is None:
        if all(one == PHYSICAL for one in wanted):
            return None
        raise BandError(
            f"{source.spec}: says nothing of the scale of its numbers, while the training's sources had "
            f"{written(wanted)}; add {_keys(wanted)} behind its name if it holds the same numbers, or "
            f"{_keys([PHYSICAL])} if it holds physical values"
        )
    if all(_same(one, other) for one, other in zip(declared, wanted, strict=True)):
        return None
    factors = tuple(scale / target for (scale, _), (target, _) in zip(declared, wanted, strict=True))
    terms = tuple((offset - shift) / target for (_, offset), (target, shift) in zip(declared, wanted, strict=True))
    whole = np.issubdtype(dtype, np.integer) and np.issubdtype(source.dtype, np.integer)
    if whole and not all(_whole(number) for number in (*factors, *terms)):
        raise BandError(
            f"{source.spec}: has {written(declared)}, the training's sources {written(wanted)}; the model takes "
            f"whole numbers ({dtype}), and converting to them would lose what lies between; add {_keys(wanted)} behind "
            "its name if it holds the training's numbers in truth, or train on physical values (values: physical)"
        )
    said = (
        f"{source.spec}: has {written(declared)}, the training's numbers {written(wanted)}; converted "
        f"({_steps(factors, terms)}{'; cut off at the limits of ' + dtype if np.issubdtype(dtype, np.integer) else ''})"
    )
    return Conversion(factors, terms, said)


def _same(one: LinearScale, other: LinearScale) -> bool:
    return all(bool(np.isclose(here, there, rtol=_CLOSE, atol=0)) for here, there in zip(one, other, strict=True))


def _whole(number: float) -> bool:
    return abs(number - round(number)) <= _CLOSE * max(1.0, abs(number))


def written(scales: Sequence[LinearScale]) -> str:
    """Scales and offsets in words."""
    factors, terms = _columns(scales, ", ")
    return f"scale {factors} and offset {terms}"


def _keys(scales: Sequence[LinearScale]) -> str:
    factors, terms = _columns(scales, ",")
    return f":scale={factors}:offset={terms}"


def _columns(scales: Sequence[LinearScale], comma: str) -> list[str]:
    """Scales and offsets as text; one for all bands where they are alike."""
    few = scales[:1] if len(set(scales)) == 1 else scales
    return [comma.join(f"{number:.9g}" for number in numbers) for numbers in zip(*few, strict=True)]


def _steps(factors: Sequence[float], terms: Sequence[float]) -> str:
    steps = dict.fromkeys(zip(factors, terms, strict=True))
    return ", ".join(f"x {factor:.9g} {'-' if term < 0 else '+'} {abs(term):.9g}" for factor, term in steps)
