"""Which raster is which of a model's modalities: by band names, number, data type, values, unit, pixel size and name.

A candidate is a raster's bands taken for a modality. What cannot be (data type, values that the model never saw) rules
it out; what speaks for it adds points. A modality takes its best candidate, unless another is about as good.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from engine.availability import Scenario
from engine.errors import BandError, EngineError, GridError, ModalityError, RasterReadError
from engine.grid import Grid
from engine.inference.gridding import COARSER, model_metres
from engine.inference.model import Model
from engine.modality import Modality
from engine.raster.alignment import fits
from engine.raster.sources import RasterSource, SourceSpec, open_source

NAMED, VALUES, UNIT, PIXELS, CALLED = 3.0, 3.0, 1.0, 0.5, 1.5
"""Points for: band names; values as in training (at most); the unit; the pixel size; the layer's name."""

NEEDED = 2.0
"""Points that a candidate needs: a number of bands that fits by chance is not enough."""

TIED = 0.5
"""Candidates that differ by less fit equally well."""

SEEN = 0.5
"""Share of a raster's values that must lie in the training range, widened by a tenth on both sides."""

SAMPLES = 16
"""Squares of SIDE pixels that are read to look at a raster's values."""

SIDE = 64

OVERVIEW = 512
"""Rows and columns to which a raster is thinned where no square has data."""


@dataclass(frozen=True)
class Layer:
    """A raster by the name that its user knows it by."""

    name: str
    spec: SourceSpec


@dataclass(frozen=True)
class Candidate:
    """A raster's bands taken for a modality.

    Args:
        modality: Name.
        layer: The raster.
        bands: Numbers from 1, in the modality's order.
        score: Points.
        reasons: What speaks for it, in words.
    """

    modality: str
    layer: Layer
    bands: tuple[int, ...]
    score: float
    reasons: tuple[str, ...]

    @property
    def spec(self) -> SourceSpec:
        """The source to map from."""
        return SourceSpec(self.layer.spec.path, tuple(map(str, self.bands)))


@dataclass(frozen=True)
class Matching:
    """What each of a model's modalities is mapped from.

    Args:
        names: The model's modalities.
        chosen: The candidate of each modality found.
        missing: For each other modality, why no raster serves.
        tied: For some of the missing ones, the candidates that fit equally well.
        unused: For each raster that serves no modality, why.
    """

    names: tuple[str, ...]
    chosen: Mapping[str, Candidate]
    missing: Mapping[str, str]
    tied: Mapping[str, tuple[Candidate, ...]]
    unused: Mapping[str, str]

    @property
    def sources(self) -> dict[str, list[SourceSpec]]:
        """What to map from.

        Raises:
            ModalityError: If rasters fit equally well, or none fits any modality.
        """
        if self.tied:
            name, candidates = next(iter(self.tied.items()))
            options = " or ".join(f"{name}={_written(candidate)}" for candidate in candidates)
            raise ModalityError(f"several layers fit {name} equally well; choose one: {options}")
        if not self.chosen:
            looked = "; ".join(f"{name}: {why}" for name, why in self.missing.items())
            raise ModalityError(f"no layer serves any modality of the model. Looked for {looked}")
        return {name: [self.chosen[name].spec] for name in self.names if name in self.chosen}

    @property
    def scenario(self) -> str:
        """The modalities found, as in ``rgb+dem``; empty where there is none."""
        return Scenario.of(self.chosen, self.names).label(self.names) if self.chosen else ""


def _written(candidate: Candidate) -> str:
    return f"{candidate.layer.name}@{','.join(map(str, candidate.bands))}"


def match(model: Model, layers: Sequence[Layer]) -> Matching:
    """Finds what each of a model's modalities can be mapped from.

    Args:
        model: The model.
        layers: Rasters; one of which no band is chosen may serve several modalities with different bands.

    A raster that cannot be read is not used, and it is said why.
    """
    candidates: list[Candidate] = []
    refused: dict[str, dict[str, str]] = {name: {} for name in model.names}
    for layer in layers:
        try:
            with open_source(layer.spec) as source:
                found = _candidates(model, layer, source)
        except (
            RasterReadError,
            BandError,
            GridError,
        ) as error:  # one that cannot be read must not keep the others from serving
            found = dict.fromkeys(model.names, str(error))
        for name, outcome in found.items():
            if isinstance(outcome, Candidate):
                candidates.append(outcome)
            else:
                refused[name][layer.name] = outcome
    chosen, tied = _assigned(candidates, model.names)
    missing = {
        name: _missing(modality, refused[name], tied.get(name, ()))
        for name, modality in zip(model.names, model.modalities, strict=True)
        if name not in chosen
    }
    used = {candidate.layer for candidate in (*chosen.values(), *(one for many in tied.values() for one in many))}
    unused = {
        layer.name: "; ".join(
            f"{name}: {refused[name].get(layer.name, 'another layer fits better')}" for name in model.names
        )
        for layer in layers
        if layer not in used
    }
    return Matching(model.names, chosen, missing, tied, unused)


def _missing(modality: Modality, refused: Mapping[str, str], tied: Sequence[Candidate]) -> str:
    if tied:
        return "fitted equally well by " + " and ".join(_written(candidate) for candidate in tied)
    wanted = f"{len(modality.bands)} band{'s' if len(modality.bands) > 1 else ''} ({', '.join(modality.bands)})"
    reasons = "".join(f"; {layer}: {why}" for layer, why in refused.items())
    return f"{wanted} of {modality.dtype}{', ' + modality.unit if modality.unit else ''}{reasons}"


def _assigned(
    candidates: Sequence[Candidate], names: Sequence[str]
) -> tuple[dict[str, Candidate], dict[str, tuple[Candidate, ...]]]:
    """The best candidates, each band of a raster for one modality only; and those that are tied."""
    chosen: dict[str, Candidate] = {}
    tied: dict[str, tuple[Candidate, ...]] = {}
    rest = sorted(candidates, key=lambda one: (-one.score, names.index(one.modality)))
    while rest:
        best = rest[0]
        rivals = [
            one
            for one in rest[1:]
            if one.score > best.score - TIED and one.modality == best.modality and one.spec != best.spec
        ]
        if rivals:
            tied[best.modality] = (best, *rivals)
            rest = [one for one in rest if one.modality != best.modality]
            continue
        # the same bands may serve another modality as well: then it is not known which they are
        others = [
            one
            for one in rest[1:]
            if one.score > best.score - TIED and one.layer == best.layer and set(one.bands) & set(best.bands)
        ]
        if others:
            for one in (best, *others):
                tied[one.modality] = (*tied.get(one.modality, ()), one)
            done = {best.modality, *(one.modality for one in others)}
            rest = [one for one in rest if one.modality not in done]
            continue
        chosen[best.modality] = best
        rest = [
            one
            for one in rest
            if one.modality != best.modality and not (one.layer == best.layer and set(one.bands) & set(best.bands))
        ]
    return chosen, tied


def _candidates(model: Model, layer: Layer, source: RasterSource) -> dict[str, Candidate | str]:
    """For each modality a candidate, or why the raster cannot be it."""
    if source.dataset.colorinterp[source.band_indices[0] - 1] == ColorInterp.palette:
        return dict.fromkeys(model.names, "is a map of classes or colours, not a sensor's image")
    sampled: dict[tuple[int, ...], NDArray[np.float64]] = {}
    wanted = model_metres(model)
    found: dict[str, Candidate | str] = {}
    for modality in model.modalities:
        try:
            found[modality.name] = _candidate(modality, layer, source, sampled, wanted)
        except BandError as error:
            found[modality.name] = str(error)
    return found


def _candidate(
    modality: Modality,
    layer: Layer,
    source: RasterSource,
    sampled: dict[tuple[int, ...], NDArray[np.float64]],
    wanted: float,
) -> Candidate:
    """The raster's bands as a modality.

    Raises:
        BandError: If they cannot be it.
    """
    if not fits(source.dtype, modality.dtype):
        raise BandError(f"is {source.dtype}, which does not fit {modality.dtype}")
    bands, score, reasons = _bands(modality, source)
    if bands not in sampled:
        sampled[bands] = _sample(source, bands)
    values = sampled[bands]
    if values.shape[1] == 0:
        raise BandError("has no valid pixel")
    seen, likeness = _likeness(values, modality)
    if seen < SEEN or _elsewhere(values, modality):
        low, high = (float(np.quantile(values, share)) for share in (0.02, 0.98))
        least = min(band.minimum for band in modality.statistics)
        most = max(band.maximum for band in modality.statistics)
        raise BandError(
            f"its values ({low:.4g} to {high:.4g}) are not those of the training ({least:.4g} to {most:.4g}); "
            "bring it to the training's scale, or assign it by name if they are right"
        )
    score += VALUES * likeness
    reasons.append(f"{seen:.0%} of its values lie in the training range")
    unit = source.dataset.units[bands[0] - 1]
    if unit and modality.unit and _tokens(unit) == _tokens(modality.unit):
        score += UNIT
        reasons.append(f"unit {unit}")
    if source.grid.crs is not None and 1 / COARSER <= source.grid.metres / wanted <= COARSER:
        score += PIXELS
        reasons.append(f"pixels of {source.grid.metres:.3g} m")
    if _tokens(modality.name) <= _tokens(f"{layer.name} {PurePath(layer.spec.path).name}"):
        score += CALLED
        reasons.append(f"its name says {modality.name}")
    if score < NEEDED:
        raise BandError("has nothing that tells it apart: no band names, and values unlike the training's")
    return Candidate(modality.name, layer, bands, score, tuple(reasons))


def _bands(modality: Modality, source: RasterSource) -> tuple[tuple[int, ...], float, list[str]]:
    """The bands that a modality would take, in its order, with points and reasons.

    Raises:
        BandError: If there is no telling.
    """
    described = {band: _tokens(source.dataset.descriptions[band - 1] or "") for band in source.dataset.indexes}
    by_name = [
        [band for band, tokens in described.items() if _tokens(name) and _tokens(name) <= tokens]
        for name in modality.bands
    ]
    single = [bands[0] for bands in by_name if len(bands) == 1]
    if len(single) == len(modality.bands) == len(set(single)):
        return tuple(single), NAMED, [f"band names {', '.join(modality.bands)}"]
    for bands in (source.band_indices, source.dataset.indexes):  # a fourth band is often called alpha and is none
        if len(bands) == len(modality.bands):
            return tuple(bands), 0.0, [f"{len(bands)} band{'s' if len(bands) > 1 else ''}"]
    count = len(source.band_indices)
    raise BandError(
        f"has {count} band{'s' if count > 1 else ''}, none of them named {' or '.join(modality.bands)}"
        if not any(by_name)
        else f"has {count} bands, not all of {', '.join(modality.bands)} among them by one name each"
    )


def _tokens(text: str) -> frozenset[str]:
    """The words and numbers of a name, in lower case."""
    return frozenset(re.findall(r"[a-z]+\d*|\d+", text.lower()))


def _likeness(values: NDArray[np.float64], modality: Modality) -> tuple[float, float]:
    """Share of ``[C, n]`` values in the training range, and how like the training's they are (0 to 1).

    Likeness of a band is exp(-d), d the difference of the medians to the mean in standard deviations, halved.
    """
    seen, alike = [], []
    for band, one in zip(modality.statistics, values, strict=True):
        margin = 0.1 * (band.maximum - band.minimum)
        seen.append(float(np.mean((one >= band.minimum - margin) & (one <= band.maximum + margin))))
        deviation = max(band.std, 1e-6 * max(1.0, abs(band.mean)))
        alike.append(float(np.exp(-abs(np.median(one) - band.mean) / (2 * deviation))))
    return min(seen), float(np.mean(alike)) * min(seen)


def _elsewhere(values: NDArray[np.float64], modality: Modality) -> bool:
    """Whether nearly all of ``[C, n]`` lies, in every band, to one side of the mean: by a standard deviation or more,
    or within less than one. So does a scaled image whose small numbers all occur in the training too.
    """
    low, high = np.quantile(values, (0.02, 0.98), axis=1)
    mean, deviation = (np.array([getattr(band, key) for band in modality.statistics]) for key in ("mean", "std"))
    far = (high < mean - deviation) | (low > mean + deviation)
    narrow = (high - low < deviation) & ((high < mean) | (low > mean))
    return bool(np.all(far | narrow))


def _sample(source: RasterSource, bands: Sequence[int]) -> NDArray[np.float64]:
    """Valid values ``[C, n]`` of squares spread over the raster; of all of it, thinned, where no square has any."""
    squares = [_valid_values(source, bands, window=window) for window in _spread(source.grid)]
    values = np.concatenate(squares, axis=1)
    if values.shape[1]:
        return values
    shape = (len(bands), min(OVERVIEW, source.grid.height), min(OVERVIEW, source.grid.width))
    return _valid_values(source, bands, out_shape=shape)


def _valid_values(source: RasterSource, bands: Sequence[int], **how: object) -> NDArray[np.float64]:
    """Values ``[C, n]`` that are valid in all bands; ``how`` says what to read."""
    try:
        area = source.dataset.read(list(bands), masked=True, **how)
    except (RasterioError, ValueError) as error:
        raise RasterReadError(f"{source.spec.path}: cannot be read: {error}") from error
    values = area.data.astype(np.float64)
    valid = ~np.ma.getmaskarray(area).any(axis=0) & np.isfinite(values).all(axis=0)
    return values[:, valid]


def _spread(grid: Grid) -> Iterable[RasterioWindow]:
    side = int(SAMPLES**0.5)
    rows = np.unique(np.linspace(0, max(0, grid.height - SIDE), side).astype(int))
    cols = np.unique(np.linspace(0, max(0, grid.width - SIDE), side).astype(int))
    for row in rows:
        for col in cols:
            yield RasterioWindow(int(col), int(row), min(SIDE, grid.width), min(SIDE, grid.height))


def assign(model: Model, text: str, layers: Sequence[Layer]) -> dict[str, list[SourceSpec]]:
    """Reads an assignment ``modality=layer[@bands];...``.

    Args:
        model: The model.
        text: Layers stand by their names or paths; a modality that comes again adds its bands behind those before.
        layers: The layers that can be named; others are taken as paths.

    Raises:
        ModalityError: If a part is not of that form, or a modality is unknown.
        RasterReadError: If a layer is unknown and is no path either.
    """
    known = {layer.name: layer for layer in layers}
    found: dict[str, list[SourceSpec]] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, written = (piece.strip() for piece in part.partition("="))
        if not (name and equals and written):
            raise ModalityError(f"assignment {part!r}: expected modality=layer or modality=layer@1,2")
        if name not in model.names:
            raise ModalityError(
                f"assignment {part!r}: the model has no modality {name}; it has {', '.join(model.names)}"
            )
        found.setdefault(name, []).append(_named(written, known, part))
    if not found:
        raise ModalityError(f"assignment {text!r}: names no modality; write modality=layer;...")
    return found


def _named(written: str, known: Mapping[str, Layer], part: str) -> SourceSpec:
    if written in known:
        return known[written].spec
    spec = SourceSpec.parse(written)
    if spec.path in known:
        return SourceSpec(known[spec.path].spec.path, spec.bands)
    try:
        open_source(spec).close()
    except EngineError as error:
        names = ", ".join(known) or "none"
        raise RasterReadError(
            f"assignment {part!r}: {spec.path} is neither a layer ({names}) nor a raster: {error}"
        ) from error
    return spec
