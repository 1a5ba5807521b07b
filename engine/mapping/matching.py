"""Which raster is which of a model's modalities; what a name or unit does not say is asked about, never guessed.

A modality takes its best candidate (see :mod:`engine.mapping.scoring`), unless another is about as good. Rasters
side by side that serve it alike are a mosaic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import PurePath

import numpy as np
from rasterio.warp import transform_bounds

from engine.availability import Scenario
from engine.errors import BandError, GridError, ModalityError, RasterReadError
from engine.grid import Bounds, Grid
from engine.mapping.candidates import Candidate
from engine.mapping.scoring import candidate
from engine.modality import Modality
from engine.model.file import Model
from engine.raster.bands import quality_rule
from engine.raster.overlay import GdalError
from engine.raster.pools import Layer, Pool, UnlikelyError, grouped_layers, is_single
from engine.raster.sources import RasterSource, SourceSpec, open_source
from engine.said import Said

TIED = 0.5
"""Candidates that differ by less fit equally well."""

APART = 0.5
"""Share of the smaller raster that two rasters of a mosaic may both cover."""

GAP = 0.05
"""Share of a raster's width or height by which it may lie off another one of its mosaic."""


@dataclass(frozen=True)
class Matching:
    """What each of a model's modalities is mapped from.

    Args:
        names: The model's modalities.
        chosen: The candidate of each modality found.
        missing: For each other modality, what was looked for, or what it could be.
        tied: For some of the missing ones, the candidates that fit equally well.
        asked: For others, the candidates that nothing but number, type and values of bands speaks for.
        unused: For each raster, or the files of an acquisition together, that serve no modality, why.
    """

    names: tuple[str, ...]
    chosen: Mapping[str, Candidate]
    missing: Mapping[str, str]
    tied: Mapping[str, tuple[Candidate, ...]]
    asked: Mapping[str, tuple[Candidate, ...]]
    unused: Mapping[str, str]

    @property
    def sources(self) -> dict[str, list[SourceSpec]]:
        """What to map from.

        Raises:
            ModalityError: If rasters fit equally well, may fit by chance, or none fits any modality.
        """
        if self.tied:
            name, candidates = next(iter(self.tied.items()))
            options = " or ".join(one.assignment for one in candidates)
            dates = ""
            if may_be_mosaic(candidates):
                every = ";".join(one.assignment for one in candidates)
                dates = f"; or take all as a mosaic, the newest first (--mosaic newest): {every}"
            text = Said("several layers fit {name} equally well; choose one: {options}", name=name, options=options)
            raise ModalityError(f"{text}{dates}" if dates else text)
        if self.asked:
            name, candidates = next(iter(self.asked.items()))
            rest = [one.assignment for one in self.chosen.values()]
            without = f", or leave it out: {';'.join(rest)}" if rest else ""
            layers = " or ".join(dict.fromkeys(one.parts[0].layer.name for one in candidates))
            raise ModalityError(
                f"{layers} could be {name}, but no name or wavelength says so; assign it if it is: "
                f"{' or '.join(';'.join([*rest, one.assignment]) for one in candidates)}{without}"
            )
        if not self.chosen:
            looked = "; ".join(f"{name}: {why}" for name, why in self.missing.items())
            raise ModalityError(Said("no layer serves any modality of the model. Looked for {looked}", looked=looked))
        return {name: self.chosen[name].specs for name in self.names if name in self.chosen}

    @property
    def warnings(self) -> list[str]:
        """What the user should know of the values of what is chosen."""
        return [text for one in self.chosen.values() for text in one.warnings]

    @property
    def scenario(self) -> str:
        """The modalities found, as in ``rgb+dem``; empty where there is none."""
        return Scenario.of(self.chosen, self.names).label(self.names) if self.chosen else ""


@dataclass(frozen=True)
class _Subject:
    """What is spoken of: a layer, or the files of an acquisition."""

    name: str
    layers: tuple[Layer, ...]

    def without(self, used: AbstractSet[Layer]) -> str:
        """Those of its layers that are not used, in words."""
        rest = [layer.name for layer in self.layers if layer not in used]
        if len(rest) == 1:
            return rest[0]
        whole = len(rest) == len(self.layers)
        return f"the {len(rest)} files of {self.name}" if whole else f"{len(rest)} more files of {self.name}"


@dataclass(frozen=True)
class _Refused:
    """Why something is no modality; and whether anything spoke for it."""

    modality: str
    subject: _Subject
    why: str
    likely: bool = True


def may_be_mosaic(candidates: Sequence[Candidate]) -> bool:
    """Whether candidates that fit equally well are of one sensor, and dates say which comes first."""
    return len({one.modality for one in candidates}) == 1 and all(one.taken is not None for one in candidates)


def match(model: Model, layers: Sequence[Layer]) -> Matching:
    """Finds what each of a model's modalities can be mapped from.

    Args:
        model: The model.
        layers: Rasters; one of which no band is chosen may serve several modalities with different bands. Files of
            single bands whose names differ in the band alone are taken together.

    A raster that cannot be read is not used, and it is said why.
    """
    candidates: list[Candidate] = []
    refused: list[_Refused] = []
    subjects: dict[_Subject, None] = {}
    for name, many in grouped_layers(layers):
        for subject, outcomes in _outcomes(model, name, many):
            subjects[subject] = None
            candidates += [one for one in outcomes if isinstance(one, Candidate)]
            refused += [one for one in outcomes if isinstance(one, _Refused)]
    placed = [one for one in candidates if one.grid.crs is not None] or candidates
    for one in candidates:
        if one not in placed:
            why = "has no coordinate reference system, while other layers have one; assign it one"
            subject = next(subject for subject in subjects if one.layers <= set(subject.layers))
            refused.append(_Refused(one.modality, subject, why))
    candidates = placed
    chosen, tied = _assigned([one for one in candidates if one.told], model.names)
    asked = _asked([one for one in candidates if not one.told], chosen, tied)
    questions = {**tied, **asked}
    missing = {
        name: _missing(modality, questions.get(name, ()))
        for name, modality in zip(model.names, model.modalities, strict=True)
        if name not in chosen
    }
    kept = (*chosen.values(), *(one for many in questions.values() for one in many))
    used = {layer for one in kept for layer in one.layers}
    unused = {
        subject.without(used): _why(model.names, [one for one in refused if one.subject == subject], subject, used)
        for subject in subjects
        if not used.issuperset(subject.layers)
    }
    return Matching(model.names, chosen, missing, tied, asked, unused)


def _outcomes(
    model: Model, name: str, layers: Sequence[Layer]
) -> Iterator[tuple[_Subject, list[Candidate | _Refused]]]:
    """For each modality a candidate, or why it is none; a file that cannot be used keeps no other from it."""
    with ExitStack() as stack:
        opened: list[tuple[Layer, RasterSource]] = []
        for layer in layers:
            quality, rule = quality_rule(PurePath(layer.spec.path).stem)
            try:
                if quality:
                    how = f"use it with --mask NAME={layer.spec.path}:{rule}" if rule else "it is no sensor's image"
                    raise BandError(f"is a quality or preview layer; {how}")
                source = stack.enter_context(open_source(layer.spec))
                _ = source.grid
                opened.append((layer, source))
            except (RasterReadError, BandError, GridError) as error:
                alone = _Subject(layer.name, (layer,))
                yield alone, [_Refused(modality, alone, str(error)) for modality in model.names]
        single = [item for item in opened if is_single(item[1])]
        pools = [(name, single)] if len(single) > 1 else [(layer.name, [(layer, source)]) for layer, source in single]
        pools += [(layer.name, [(layer, source)]) for layer, source in opened if not is_single(source)]
        for called, items in pools:
            subject = _Subject(_shared([layer for layer, _ in items], called), tuple(layer for layer, _ in items))
            pool = Pool(called, items)
            yield subject, [_outcome(model, modality, pool, subject) for modality in model.modalities]


def _shared(layers: Sequence[Layer], name: str) -> str:
    """What the names of files begin with, up to the band; a layer's own name."""
    letters = zip(*(PurePath(layer.spec.path).stem for layer in layers), strict=False)
    shared = "".join(one[0] for one in takewhile(lambda one: len(set(one)) == 1, letters))
    start = re.sub(r"[_\-. ][^_\-. ]*$", "", shared)
    return start if len(layers) > 1 and start else name


def _outcome(model: Model, modality: Modality, pool: Pool, subject: _Subject) -> Candidate | _Refused:
    try:
        if pool.palette:
            raise BandError("is a map of classes or colours, not a sensor's image")
        return candidate(modality, pool, model)
    except (RasterReadError, BandError, GridError) as error:
        return _Refused(modality.name, subject, str(error), not isinstance(error, UnlikelyError))


def _why(names: Sequence[str], refused: Sequence[_Refused], subject: _Subject, used: AbstractSet[Layer]) -> str:
    """Why layers serve no modality: what is worth a word, once where it is the same for all."""
    if not used.isdisjoint(subject.layers):
        return "none of them is asked for" if len(subject.layers) > 2 else "it is not asked for"
    likely = {one.modality: one.why for one in refused if one.likely}
    if not likely and len(refused) == len(names):
        unlikely = dict.fromkeys(one.why for one in refused)
        return next(iter(unlikely)) if len(unlikely) == 1 else "no name of a band says that it is any of the model's"
    if len(refused) < len(names):
        likely |= {name: "another layer fits better" for name in names if name not in {one.modality for one in refused}}
    if len(likely) == len(names) and len(set(likely.values())) == 1:
        return next(iter(likely.values()))
    return "; ".join(f"{name}: {why}" for name, why in likely.items())


def _missing(modality: Modality, possible: Sequence[Candidate]) -> str:
    if possible:
        return Said("could be {options}", options=" or ".join(one.assignment for one in possible))
    return looked_for(modality)


def looked_for(modality: Modality) -> str:
    """What a modality takes, in words."""
    count, names, kind = len(modality.bands), ", ".join(modality.bands), modality.dtype
    if modality.unit:
        kind += f", {modality.unit}"
    if count == 1:
        return Said("1 band ({names}) of {kind}", names=names, kind=kind)
    return Said("{count} bands ({names}) of {kind}", count=count, names=names, kind=kind)


def _asked(
    candidates: Sequence[Candidate], chosen: Mapping[str, Candidate], tied: Mapping[str, tuple[Candidate, ...]]
) -> dict[str, tuple[Candidate, ...]]:
    """For modalities that are not settled, the candidates that fit by number, type and values of bands alone."""
    asked: dict[str, tuple[Candidate, ...]] = {}
    for one in candidates:
        taken = any(one.shares_bands(other) for other in chosen.values())
        if one.modality not in chosen and one.modality not in tied and not taken:
            asked[one.modality] = (*asked.get(one.modality, ()), one)
    return asked


def _assigned(
    candidates: Sequence[Candidate], names: Sequence[str]
) -> tuple[dict[str, Candidate], dict[str, tuple[Candidate, ...]]]:
    """The best candidates, each band of a raster for one modality only; and those that are tied."""
    chosen: dict[str, Candidate] = {}
    tied: dict[str, tuple[Candidate, ...]] = {}
    rest = sorted(candidates, key=lambda one: (-one.score, -one.likeness, names.index(one.modality)))
    while rest:
        best = rest[0]
        alike = [one for one in rest if one.modality == best.modality and one.specs != best.specs]
        mosaic = _beside(best, alike)
        rivals = [one for one in alike if one.score > best.score - TIED and one not in mosaic]
        if rivals:
            tied[best.modality] = (_together(best, mosaic), *rivals)
            rest = [one for one in rest if one.modality != best.modality]
            continue
        # the same bands may serve another modality as well: then it is not known which they are
        others = [one for one in rest if one.modality != best.modality and one.score > best.score - TIED]
        others = [one for one in others if one.shares_bands(best)]
        if others:
            for one in (best, *others):
                tied[one.modality] = (*tied.get(one.modality, ()), one)
            done = {best.modality, *(one.modality for one in others)}
            rest = [one for one in rest if one.modality not in done]
            continue
        chosen[best.modality] = _together(best, mosaic)
        rest = [one for one in rest if one.modality != best.modality and not one.shares_bands(chosen[best.modality])]
    return chosen, tied


def _beside(best: Candidate, others: Sequence[Candidate]) -> list[Candidate]:
    """Those of the same day, as far as is known, that lie beside a candidate or each other: they make one mosaic."""
    first = _bounds(best.grid, best.grid)
    covered = [] if first is None else [first]
    waiting = [(one, _bounds(one.grid, best.grid)) for one in others if _same_day(best, one)]
    found: list[Candidate] = []
    for _ in others:  # a neighbour of a neighbour too
        for one, bounds in waiting:
            if one not in found and bounds is not None and _apart(bounds, covered) and _touches(bounds, covered):
                covered.append(bounds)
                found.append(one)
    return found


def _same_day(one: Candidate, other: Candidate) -> bool:
    return one.taken is None or other.taken is None or one.taken.date() == other.taken.date()


def _touches(bounds: Bounds, others: Sequence[Bounds]) -> bool:
    across, up = GAP * (bounds[2] - bounds[0]), GAP * (bounds[3] - bounds[1])
    return any(
        min(bounds[2], other[2]) - max(bounds[0], other[0]) >= -across
        and min(bounds[3], other[3]) - max(bounds[1], other[1]) >= -up
        for other in others
    )


def _bounds(grid: Grid, reference: Grid) -> Bounds | None:
    """Bounds in the CRS of another grid; None where they have no image there."""
    if grid.crs is None or reference.crs is None:
        return None
    try:
        bounds = grid.bounds if grid.crs == reference.crs else transform_bounds(grid.crs, reference.crs, *grid.bounds)
    except GdalError:
        return None
    return bounds if np.isfinite(bounds).all() else None


def _apart(bounds: Bounds, others: Sequence[Bounds]) -> bool:
    """Whether bounds share no more than APART of the smaller area with any other."""
    for other in others:
        across = min(bounds[2], other[2]) - max(bounds[0], other[0])
        up = min(bounds[3], other[3]) - max(bounds[1], other[1])
        areas = [(right - left) * (top - bottom) for left, bottom, right, top in (bounds, other)]
        if max(across, 0) * max(up, 0) > APART * min(areas):
            return False
    return True


def _together(best: Candidate, mosaic: Sequence[Candidate]) -> Candidate:
    if not mosaic:
        return best
    parts = tuple(part for one in (best, *mosaic) for part in one.parts)
    warnings = tuple(dict.fromkeys(text for one in (best, *mosaic) for text in one.warnings))
    reasons = (*best.reasons, Said("a mosaic of {count} side by side", count=len(mosaic) + 1))
    return replace(best, parts=parts, reasons=reasons, warnings=warnings)
