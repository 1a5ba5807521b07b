"""What a map is made from, opened: the model, the grid, a reader of each modality, and what there is to say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from engine.errors import GridError, ModalityError, OutputError, RasterReadError
from engine.grid import Grid, Window
from engine.mapping.gridding import check_size, choose_grid, window_of_bounds
from engine.mapping.publishing import standing
from engine.mapping.request import MapRequest
from engine.mapping.shifts import shift_warnings
from engine.model.file import Model
from engine.raster.alignment import AlignedReader
from engine.raster.identity import changed, files_of, identity, on_network, outside
from engine.raster.masks import PolygonMask, open_modality
from engine.raster.naming import named
from engine.raster.sources import SourceSpec

NAMED = 3
"""Files that a message names at most."""

Identities = Mapping[str, Sequence[Sequence[object]]]
"""Of each modality, of its masks, and of area: each source with the state of its files."""


@dataclass(frozen=True)
class Inputs:
    """What a map is made from.

    Args:
        model: The model.
        request: What is wanted, its sources with the bands that are read.
        whole: The grid that tiles are anchored to.
        window: The part of it that is mapped.
        interest: The polygons that are mapped within, where there are any.
        readers: Of each modality that is there.
        identities: What tells whether a source was changed.
        notes: What was read otherwise than it was given.
        warnings: What the user should know of how sources fit the grid and the model.
    """

    model: Model
    request: MapRequest
    whole: Grid
    window: Window
    interest: PolygonMask | None
    readers: Mapping[str, AlignedReader]
    identities: Identities
    notes: Sequence[str]
    warnings: Sequence[str]

    @property
    def grid(self) -> Grid:
        """The map's."""
        return self.whole.part(self.window)


def open_inputs(request: MapRequest, model: Model, stack: ExitStack) -> Inputs:
    """Opens what a map is made from; closed with ``stack``.

    Raises:
        ModalityError: If a modality is unknown.
        RasterReadError: If a source or mask cannot be read, or names files on the network that are refused.
        BandError: If a modality's sources have another number of bands than the model takes, or others by their names.
        GridError: If the sources do not go together, or what is to be mapped lies outside of them.
        OutputError: If an output is one of the files that the map is made from.
    """
    for names in (request.sources, request.masks):
        _check_modalities(model, names)
    given = _specs(request)
    told = [text for many in given.values() for spec in many for text in _strangers(spec, request.network)]
    _spare(request, given)
    taken = named(request.sources, model.modalities)
    request = request.model_copy(update={"sources": taken.sources})
    gridding = choose_grid(model, request.sources, request.pixel_size, request.like)
    window = window_of_bounds(gridding.grid, request.bounds, request.bounds_crs)
    interest = None if request.area is None else PolygonMask(request.area, gridding.grid)
    if interest is not None:
        window = _within(interest, window, str(request.area))
    check_size(window)
    readers = {
        one.name: stack.enter_context(
            open_modality(
                request.sources[one.name], request.masks.get(one.name, ()), gridding.grid, one, request.mosaic
            )
        )
        for one in model.modalities
        if one.name in request.sources
    }
    told += [*taken.warnings, *gridding.warnings]
    told += [f"{name}: {text}" for name, one in readers.items() for text in one.warnings(window)]
    told += [] if interest is None else interest.warnings(window)
    told += shift_warnings(readers, gridding.grid)
    return Inputs(
        model,
        request,
        gridding.grid,
        window,
        interest,
        readers,
        _identities(_specs(request)),
        taken.notes,
        list(dict.fromkeys(told)),
    )


def check_unchanged(request: MapRequest, before: Identities) -> None:
    """Compares the sources' files with what they were when the map was begun.

    Raises:
        RasterReadError: If one was changed meanwhile.
    """
    now = _identities(_specs(request))
    files = [name for key in before for one in zip(before[key], now[key], strict=True) for name in changed(*one)]
    if files:
        raise RasterReadError(
            f"{', '.join(files[:NAMED])}: changed while the map was made, so that it would be half of the one and half "
            "of the other; map again with --discard-unfinished"
        )


def _check_modalities(model: Model, named: Mapping[str, object]) -> None:
    unknown = sorted(set(named) - set(model.names))
    if unknown:
        raise ModalityError(
            f"{model.path}: the model's modalities are {', '.join(model.names)}; it does not know {', '.join(unknown)}"
        )


def _specs(request: MapRequest) -> dict[str, list[SourceSpec]]:
    """All that is read, by what it is."""
    found = {name: list(many) for name, many in request.sources.items()}
    found |= {f"mask of {name}": [one.source for one in many] for name, many in request.masks.items()}
    return found | ({"area": [SourceSpec(request.area)]} if request.area is not None else {})


def _identities(specs: Mapping[str, Sequence[SourceSpec]]) -> Identities:
    return {name: [identity(spec) for spec in many] for name, many in specs.items()}


def _strangers(spec: SourceSpec, network: bool) -> list[str]:
    """What is said of files that a source names elsewhere.

    Raises:
        RasterReadError: If they are on the network, and that is refused.
    """
    served = on_network([spec.file])
    names = files_of(spec) if network or not served else []
    served = on_network(names) or served
    if served and not network:
        raise RasterReadError(f"{spec.path}: reads {served[0]} from the network, which --no-network refuses")
    told = []
    if served and served != [spec.file]:
        told.append(f"{spec.path}: reads {', '.join(served[:NAMED])} from the network; --no-network refuses that")
    elsewhere = outside(spec, names)
    if elsewhere:
        told.append(f"{spec.path}: reads files outside of its folder: {', '.join(elsewhere[:NAMED])}")
    return told


def _spare(request: MapRequest, specs: Mapping[str, Sequence[SourceSpec]]) -> None:
    """Refuses to write over what is read."""
    read = {str(request.model)} | ({request.like.file} if request.like is not None else set())
    read |= {name for many in specs.values() for spec in many for name in files_of(spec)}
    taken = {Path(name.partition("|")[0]).resolve() for name in read if "\0" not in name}
    for path in (*request.outputs.values(), *standing(request)):
        if path.resolve() in taken:
            raise OutputError(f"{path}: the map is made from this file; name another output")


def _within(interest: PolygonMask, window: Window, path: str) -> Window:
    extent = interest.window
    part = Window(0, 0, 0, 0) if extent is None else extent & window
    if part.empty:
        raise GridError(f"{path}: none of its polygons meets what is to be mapped")
    return part
