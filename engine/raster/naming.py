"""The bands of sources that no one chose, taken by their names: another order than the model's is put right.

Only what names, wavelengths and colours say with certainty counts, as matching takes it. Where
they contradict what would be read, and no order puts that right, it is refused. What the user chose with ``@`` is read
as it is written; a contradiction is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import PurePath
from shlex import quote

from rasterio.enums import ColorInterp

from engine.errors import BandError, EngineError
from engine.modality import Modality
from engine.raster.bands import alike
from engine.raster.pools import Band, Layer, Pool, by_names, grouped_layers, meant_by, own_words, parts_of
from engine.raster.sources import RasterSource, SourceSpec, open_source

Sources = Mapping[str, Sequence[SourceSpec]]

_COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


@dataclass(frozen=True)
class Named:
    """Sources with their bands by name.

    Args:
        sources: As many as there were for each modality, perhaps in another order and with bands chosen.
        notes: What was taken otherwise than it was given.
        warnings: What the user chose, and names contradict.
    """

    sources: Mapping[str, tuple[SourceSpec, ...]]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Given:
    """A source as it is given, open, with the bands that are read of it."""

    spec: SourceSpec
    source: RasterSource
    bands: tuple[Band, ...]

    @property
    def name(self) -> str:
        return PurePath(self.spec.path).name


def named(sources: Sources, modalities: Sequence[Modality]) -> Named:
    """Takes bands by their names where none are chosen.

    Args:
        sources: Of each modality; what cannot be opened is left as it is, for its reader to say so.
        modalities: The model's.

    Raises:
        BandError: If names contradict what would be read, and no order puts that right.
    """
    found: dict[str, tuple[SourceSpec, ...]] = {name: tuple(specs) for name, specs in sources.items()}
    notes: list[str] = []
    warnings: list[str] = []
    for modality in modalities:
        with ExitStack() as stack:
            try:
                given = [_given(stack.enter_context(open_source(spec)), spec) for spec in found.get(modality.name, ())]
            except EngineError:
                continue
            taken: list[SourceSpec] = []
            for run in _runs(given, modality):
                specs, note = _in_order(modality, run)
                taken += specs
                notes += [f"{modality.name}: {note}"] if note else []
                warnings += [] if note else _told(modality, run)
            if taken:
                found[modality.name] = tuple(taken)
    return Named(found, tuple(notes), tuple(warnings))


def _given(source: RasterSource, spec: SourceSpec) -> _Given:
    pool = Pool(PurePath(spec.path).name, [(Layer(PurePath(spec.path).name, replace(spec, bands=())), source)])
    known = {band.position: band for band in pool.bands}
    return _Given(spec, source, tuple(_certain(known[position], source) for position in source.positions))


def _certain(band: Band, source: RasterSource) -> Band:
    """A band without the identity that is GDAL's default alone: of any bytes the first three bands are colours."""
    dataset = source.dataset
    default = dataset.driver == "GTiff" and source.dtype == "uint8" and dataset.colorinterp[:3] == _COLOURS
    return replace(band, identity=None) if default and not band.said and dataset.count > 1 else band


def _runs(given: Sequence[_Given], modality: Modality) -> Iterator[list[_Given]]:
    """Sources of which each has all bands that are needed, by themselves; and those between, together."""
    run: list[_Given] = []
    for one in given:
        if not one.spec.bands and len(one.bands) >= len(modality.bands):
            if run:
                yield run
            run = []
            yield [one]
        else:
            run.append(one)
    if run:
        yield run


def _in_order(modality: Modality, run: Sequence[_Given]) -> tuple[list[SourceSpec], str]:
    """The sources to read instead of some, and that in words; themselves and no word where they are left as they are.

    Raises:
        BandError: If that cannot be, and names contradict what would be read.
    """
    if len(run) == 1 and not run[0].spec.bands and len(run[0].bands) >= len(modality.bands):
        taken = _by_name(modality, run[0].bands)
        if taken is not None and taken != list(run[0].bands):
            chosen = _choice(run[0], [run[0].bands.index(band) for band in taken])
            return [chosen], f"{run[0].name}: bands {', '.join(chosen.bands)} taken by their names"
    elif all(not one.spec.bands and len(one.bands) == 1 for one in run):
        ordered = _regrouped(modality, run)
        if ordered is not None and ordered != list(run):
            names = ", ".join(one.name for one in ordered)
            return [one.spec for one in ordered], f"{names}: taken in this order by their names"
    wrong = [said for one, said in _contradictions(modality, run) if not one.spec.bands]
    if wrong:
        raise BandError(f"{modality.name}: {'; '.join(wrong)}. {_cure(modality, run)}")
    return [one.spec for one in run], ""


def _by_name(modality: Modality, bands: Sequence[Band]) -> list[Band] | None:
    """The bands of a modality, where every one is certain."""
    own = own_words(modality)
    taken = [
        band for band in by_names(modality, [band for band in bands if not band.derived - own]) if band is not None
    ]
    return taken if len({id(band) for band in taken}) == len(modality.bands) else None


def _choice(given: _Given, numbers: Sequence[int]) -> SourceSpec:
    """A source with some of its bands, by their numbers from 0; a scale or offset of each goes with it."""
    spec, count = given.spec, len(given.bands)
    scale, offset = (
        tuple(many[number] for number in numbers) if len(many) == count > 1 else many
        for many in (spec.scale, spec.offset)
    )
    bands = tuple(str(given.bands[number].position) for number in numbers)
    return replace(spec, bands=bands, scale=scale, offset=offset)


def _regrouped(modality: Modality, run: Sequence[_Given]) -> list[_Given] | None:
    """Single-band files by acquisition, and in the modality's order; None where that is not certain."""
    count = len(modality.bands)
    layers = {Layer(str(number), one.spec): one for number, one in enumerate(run)}
    groups = [[layers[layer] for layer in many] for _, many in grouped_layers(list(layers))]
    if len(run) == count:
        groups = [list(run)]  # they are one raster, whatever the rest of their names
    ordered: list[_Given] = []
    for group in groups:
        taken = _by_name(modality, [one.bands[0] for one in group]) if len(group) == count else None
        if taken is None:
            return None
        ordered += [next(one for one in group if one.bands[0] is band) for band in taken]
    return ordered


def _contradictions(modality: Modality, run: Sequence[_Given]) -> Iterator[tuple[_Given, str]]:
    """The sources whose bands are certainly others than those that they would be read as."""
    meant, place = meant_by(modality), 0
    if sum(len(one.bands) for one in run) % len(meant) or any(len(one.bands) > len(meant) for one in run):
        return  # they do not fit, which their reader says
    for one in run:
        wrong = []
        for band in one.bands:
            wanted, name = meant[place % len(meant)], modality.bands[place % len(meant)]
            place += 1
            if wanted is not None and band.identity is not None and not alike(wanted, band.identity):
                which = f"band {band.position} " if one.source.dataset.count > 1 else ""
                wrong.append(f"{which}stands for {name}, but is {band.identity} by its name")
        if wrong:
            yield one, f"{one.name}: {', '.join(wrong)}"


def _told(modality: Modality, run: Sequence[_Given]) -> list[str]:
    """What names say against bands that the user chose."""
    said = [text for _, text in _contradictions(modality, run)]
    return (
        [f"{modality.name}: {'; '.join(said)}. It is read as it is written. {_by_names(modality, run)}"] if said else []
    )


def _cure(modality: Modality, run: Sequence[_Given]) -> str:
    written = [f"{modality.name}={_choice(one, range(len(one.bands)))}" for one in run]
    return (
        f"{_by_names(modality, run)} If the names are wrong, choose the bands yourself: {' '.join(map(quote, written))}"
    )


def _by_names(modality: Modality, run: Sequence[_Given]) -> str:
    taken = _by_name(modality, [band for one in run for band in one.bands])
    if taken is None:
        return f"Give all bands ({', '.join(modality.bands)}) of one raster after the other."
    return f"By names it would be {' '.join(quote(f'{modality.name}={part.spec}') for part in parts_of(taken))}."
