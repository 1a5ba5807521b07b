"""Sensors' values beside a model's statistics: a sample before a run, and in words what is wrong and what mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.dtypes import dtype_rev, typename_fwd

from engine.errors import ValuesError
from engine.grid import Window
from engine.mapping.mosaic import Reader
from engine.mapping.values import Cause, Finding, Seen, compare
from engine.modality import PHYSICAL, LinearScale, Modality
from engine.raster.alignment import Block
from engine.raster.conversion import FINE
from engine.raster.keys import assigned, mask, usual
from engine.raster.mosaics import grouped
from engine.raster.sources import RasterSource, SourceSpec, open_source
from engine.raster.units import SIDE, places, sampled

NAMED = 3
"""Bands that a warning names at most."""


@dataclass(frozen=True)
class Compared:
    """A finding with the sources that it is of.

    Args:
        finding: What was found.
        specs: The sources, as they are stacked.
    """

    finding: Finding
    specs: tuple[SourceSpec, ...]

    def __str__(self) -> str:
        return " ".join(said for said in (self._filled(), self._unlike()) if said)

    def _filled(self) -> str:
        finding, name = self.finding, self.finding.modality.name
        if finding.filler is None:
            return ""
        said = f"{name}: {finding.filler:g} stands in all bands of {_percent(finding.filled)} of its pixels"
        known = finding.modality.statistics
        inside = all(band.minimum <= finding.filler <= band.maximum for band in known)
        said += ", while a sensor hardly gives one number twice" if inside else ", and never did in the training's"
        dtype = finding.modality.dtype
        if np.issubdtype(dtype, np.integer) and finding.filler == np.iinfo(dtype).max > 0:
            said += f"; it is the largest number of {dtype}: values were cut off there, as where they were multiplied "
            said += "(by 10 000, say), or it stands for no data"
        else:
            said += "; it seems to stand for no data"
        return f"{said}, which {self._hiding(finding.filler)} would leave out."

    def _hiding(self, filler: float) -> str:
        """Options that mask the filler, in the numbers that the sources store."""
        options = []
        for spec in self.specs:
            with open_source(spec) as source:
                number, share = usual(sampled(source))
            found = share >= self.finding.filled / 2  # not so in a mosaic's other raster
            options.append(mask(self.finding.modality.name, spec, number if found else filler))
        return " ".join(options)

    def _unlike(self) -> str:
        finding, name = self.finding, self.finding.modality.name
        if not finding.unlike:
            return ""
        said = f"{name}: its values are not those of the training: {self._bands()}."
        cause = finding.cause
        if cause is None:
            return f"{said} Check its unit, scale and order of bands."
        return f"{said} It looks as if {cause.said}. To mend it: {mending(finding.modality, self.specs, cause)}"

    def _bands(self) -> str:
        every = zip(self.finding.bands, self.finding.modality.statistics, strict=True)
        said = []
        for band, known in sorted(every, key=lambda pair: -(pair[0].below + pair[0].above)):
            ends = {"below": band.below, "above": band.above}
            outside = " and ".join(f"{share:.0%} {side}" for side, share in ends.items() if share >= 0.005)
            said.append(
                f"{band.name} has a mean of {band.mean:.4g} and deviation {band.std:.3g} (training {known.mean:.4g} "
                f"and {known.std:.3g}), {outside or 'nothing outside of'} the range of {known.minimum:.4g} to "
                f"{known.maximum:.4g}"
            )
        return "; ".join(said[:NAMED]) + (f"; and {len(said) - NAMED} more" if len(said) > NAMED else "")


def values_facts(samples: Sequence[Compared], whole: Sequence[Compared]) -> dict[str, Any]:
    """What is kept beside a map: for each modality how the sample and the whole map compare with the training."""
    return {
        key: {one.finding.modality.name: _facts(one.finding) for one in found}
        for key, found in (("sample", samples), ("map", whole))
    }


def _facts(finding: Finding) -> dict[str, Any]:
    return {
        "pixels": finding.pixels,
        "cause": finding.cause and finding.cause.said,
        "filler": finding.filler,
        "filled": finding.filled,
        "bands": [asdict(band) for band in finding.bands],
    }


def sample(readers: Mapping[str, Reader], window: Window) -> list[dict[str, Block]]:
    """What all readers give of squares that are spread over a window."""
    return [
        {name: reader.read(Window(row, col, SIDE, SIDE) & window) for name, reader in readers.items()}
        for row in places(window.row, window.height)
        for col in places(window.col, window.width)
    ]


def occurring(squares: Sequence[Mapping[str, Block]]) -> int:
    """How many scenarios occur in a sample; 1 where no sensor is valid anywhere."""
    found: set[int] = set()
    for square in squares:
        bits = np.zeros(next(iter(square.values())).valid.shape, dtype=np.int64)
        for number, block in enumerate(square.values()):
            bits |= block.valid.astype(np.int64) << number
        found.update(np.unique(bits).tolist())
    return max(1, len(found - {0}))


def by_raster(blocks: Iterable[Block]) -> list[NDArray[np.generic]]:
    """Valid values ``[C, n]`` of blocks: of each raster of a mosaic that has any."""
    found: dict[int, list[NDArray[np.generic]]] = {}
    for block in blocks:
        origin = block.valid.astype(np.uint16) if block.origin is None else block.origin * block.valid
        for number in np.unique(origin[origin > 0]).tolist():
            found.setdefault(number, []).append(block.values[:, origin == number])
    return [np.concatenate(found[number], axis=1) for number in sorted(found)]


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def compare_samples(
    modalities: Sequence[Modality],
    squares: Sequence[Mapping[str, Block]],
    sources: Mapping[str, Sequence[SourceSpec]],
) -> list[Compared]:
    """What a sample of each modality's values says.

    Of a mosaic each raster is looked at by itself, and what is said of the worst of them is given.
    """
    found = []
    for modality in modalities:
        blocks = [square[modality.name] for square in squares if modality.name in square]
        every = [compare(Seen.of(values), modality) for values in by_raster(blocks)]
        if every:
            worst = max(every, key=lambda one: (one.warned, one.pixels))
            found.append(Compared(worst, tuple(sources[modality.name])))
    return found


def tell(found: Sequence[Compared], strict: bool, told: Callable[[str], None]) -> list[str]:
    """Tells what there is to be said.

    Args:
        found: What was found.
        strict: Refuse values that there is something to say of.
        told: Told each sentence.

    Raises:
        ValuesError: If so.
    """
    said = [str(one) for one in found if one.finding.warned]
    if strict and said:
        raise ValuesError("\n".join([*said, "Without --strict they are taken all the same."]))
    for text in said:
        told(text)
    return said


def mending(modality: Modality, specs: Sequence[SourceSpec], cause: Cause) -> str:
    """The source or command that undoes a cause, for the sources of a modality."""
    if not specs:
        return "convert the files"
    if cause.formula:
        return _calculated(specs, cause.formula, modality.dtype)
    with ExitStack() as stack:
        sources = [stack.enter_context(open_source(spec)) for spec in specs]
        groups = grouped(sources, modality)
        if cause.order:
            return _reordered(modality, groups, cause.order)
        if modality.scales is None or _coarse(modality):
            return _calculated(specs, _formula(cause), modality.dtype)
        return " ".join(_scaled(modality, group, cause) for group in groups)


def _coarse(modality: Modality) -> bool:
    """Whether its whole numbers are too coarse for numbers that lie between to be rounded to them."""
    least = min((band.std for band in modality.statistics if band.std > 0), default=0)
    return np.issubdtype(modality.dtype, np.integer) and least < FINE


def _formula(cause: Cause) -> str:
    term = f"{cause.term:+g}" if cause.term else ""
    return f"A*{cause.factor:.9g}{term}" if cause.factor != 1 else f"A{term}"


def _calculated(specs: Sequence[SourceSpec], formula: str, dtype: str) -> str:
    kind = typename_fwd[dtype_rev[dtype]]
    return "; ".join(
        f'gdal_calc.py -A {quote(spec.path)} --allBands=A --calc="{formula}" --type={kind} --outfile=mended.tif'
        for spec in specs
    )


def _reordered(modality: Modality, groups: Sequence[Sequence[RasterSource]], order: Sequence[int]) -> str:
    said = []
    for group in groups:
        bands = [(source, band) for source in group for band in source.band_indices]
        parts: list[tuple[RasterSource, list[int]]] = []
        for number in order:
            source, band = bands[number]
            if parts and parts[-1][0] is source:
                parts[-1][1].append(band)
            else:
                parts.append((source, [band]))
        said += [
            quote(f"{modality.name}={replace(source.spec, bands=tuple(map(str, chosen)))}") for source, chosen in parts
        ]
    return " ".join(said)


def _scaled(modality: Modality, group: Sequence[RasterSource], cause: Cause) -> str:
    """A group's sources with the keys that make a number ``x`` of the network ``x * factor + term``."""
    wanted = modality.scales or (PHYSICAL,) * len(modality.bands)
    said, first = [], 0
    for source in group:
        bands = wanted[first : first + len(source.band_indices)]
        first += len(bands)
        own = source.declared or (PHYSICAL,) * len(bands)
        keys = [_changed(one, band, cause) for one, band in zip(own, bands, strict=True)]
        said.append(assigned(modality.name, source, keys))
    return " ".join(said)


def _changed(own: LinearScale, wanted: LinearScale, cause: Cause) -> LinearScale:
    (scale, offset), (unit, shift) = own, wanted
    return scale * cause.factor, (offset - shift) * cause.factor + cause.term * unit + shift
