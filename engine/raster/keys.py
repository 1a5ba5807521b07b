"""Scales, offsets and masks as they are written behind a source, and what they say in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from engine.modality import LinearScale
from engine.raster.sources import RasterSource, SourceSpec, open_source


def written(scales: Sequence[LinearScale]) -> str:
    """Scales and offsets in words."""
    factors, terms = _columns(scales, ", ")
    return f"scale {factors} and offset {terms}"


def keys(scales: Sequence[LinearScale]) -> str:
    """Scales and offsets as keys behind a source."""
    factors, terms = _columns(scales, ",")
    return f":scale={factors}:offset={terms}"


def _columns(scales: Sequence[LinearScale], comma: str) -> list[str]:
    """Scales and offsets as text; one for all bands where they are alike."""
    few = scales[:1] if len(set(scales)) == 1 else scales
    return [comma.join(f"{number:.9g}" for number in numbers) for numbers in zip(*few, strict=True)]


def usual(values: NDArray[np.generic]) -> tuple[float, float]:
    """The number that most of ``[C, n]`` pixels with the same in all bands hold, and their share of all."""
    alike, counts = np.unique(values[0, (values == values[:1]).all(axis=0)], return_counts=True)
    return (float(alike[counts.argmax()]), float(counts.max() / values.shape[1])) if alike.size else (0.0, 0.0)


def mask(name: str, spec: SourceSpec, number: float) -> str:
    """The option that leaves out pixels of a source that hold one stored number in all of its bands."""
    return f"--mask {quote(f'{name}={SourceSpec(spec.path, spec.bands)}:values={number:.17g}')}"


def assigned(name: str, source: RasterSource, scales: Sequence[LinearScale]) -> str:
    """The argument that gives a source to a modality with other scales and offsets than it has."""
    spec = replace(source.spec, scale=(), offset=(), place=None)
    with open_source(replace(source.spec, scale=(), offset=())) as plain:
        silent = plain.declared is None
    factors, terms = _columns(scales, ",")
    found = [f"scale={factors}"] if factors != "1" or not silent else []
    found += [f"offset={terms}"] if terms != "0" or not found or not silent else []
    found += [f"place={source.spec.place}"] if source.spec.place else []
    return quote(f"{name}={':'.join([str(spec), *found])}")
