"""Scenes: for each modality a raster source or nothing, labels, and a split, on one grid."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from glob import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.availability import Scenario
from engine.data.settings import DataSettings, FoldSplit, LabelSource, SceneSettings, SceneSplit, SplitName
from engine.data.splits import SplitMask, scene_splits, split_mask
from engine.errors import BandError, ModalityError, RasterReadError
from engine.grid import Grid, Window
from engine.modality import IGNORED, PHYSICAL, LandClass, Modality
from engine.raster.alignment import AlignedReader
from engine.raster.labels import LabelMapping, LabelReader, open_labels
from engine.raster.masks import MaskSpec, open_modality, parse_masks
from engine.raster.matlab import file_of
from engine.raster.mosaics import Order, extended, grouped
from engine.raster.naming import named
from engine.raster.sources import SourceSpec, open_source


@dataclass(frozen=True)
class SceneSpec:
    """A scene as its files: what must be known to open it."""

    name: str
    sources: dict[str, tuple[SourceSpec, ...]]
    labels: LabelSource | None
    split: SplitName | None
    masks: Mapping[str, tuple[MaskSpec, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Patch:
    """What a window of a scene holds.

    Args:
        values: For each modality ``[C, h, w]`` in its data type; invalid pixels hold anything.
        valid: ``[M, h, w]``: where each modality was observed.
        labels: ``[h, w]`` class indices of the split asked for; IGNORED (-1) elsewhere.
    """

    values: dict[str, NDArray[np.generic]]
    valid: NDArray[np.bool_]
    labels: NDArray[np.int16]


_PREFIXED = re.compile(r'(?P<before>[A-Za-z][A-Za-z0-9_]+:"?|/vsi[a-z0-9]+/(?!/))(?P<file>.+)')
"""GDAL's names of parts of files (``NETCDF:"a.nc":v``) and of files in archives (``/vsizip/a.zip/b.tif``)."""


def located(root: Path, path: str) -> str:
    """A path as it is found from the current folder; what is no file under ``root`` stays as it is.

    Where GDAL's words stand around a file's name, that is found as the longest beginning of the rest that exists. A
    layer of a vector file may follow (``FILE|LAYER``).
    """
    file, bar, _ = path.partition("|")
    if (root / file_of(path)).exists() or "{tile}" in path or (bar and (root / file).is_file()):
        return str(root / path)
    found = _PREFIXED.fullmatch(path)
    if found is None:
        return path
    rest = found["file"]
    for end in range(len(rest), 0, -1):
        if (end == len(rest) or rest[end] in ':"/') and (root / rest[:end]).exists():
            return f"{found['before']}{(root / rest[:end]).absolute()}{rest[end:]}"
    return path


def _source_at(root: Path, text: str) -> SourceSpec:
    spec = SourceSpec.parse(text, root)
    return replace(spec, path=located(root, spec.path))


def _masks_at(root: Path, masks: Mapping[str, Sequence[str]]) -> dict[str, tuple[MaskSpec, ...]]:
    found = parse_masks([(name, text) for name, many in masks.items() for text in many], root)
    return {
        name: tuple(replace(spec, source=replace(spec.source, path=located(root, spec.source.path))) for spec in specs)
        for name, specs in found.items()
    }


def _tiles(root: Path, settings: SceneSettings) -> list[str]:
    """What ``{tile}`` stands for in the file names that match the scene's first pattern, sorted."""
    pattern = next(text for texts in settings.sources.values() for text in texts if "{tile}" in text)
    spec = SourceSpec.parse(pattern, root)
    prefixed = _PREFIXED.fullmatch(spec.path)
    inner = "" if prefixed is None else re.split(r'(?<=\})(.*?)[":/]', prefixed["file"], maxsplit=1)
    for path in (root / pattern, root / spec.file, root / "".join(inner[:2])):  # signs may be the name's own
        before, tile, after = path.name.partition("{tile}")
        if not tile:
            continue
        found = path.parent.glob(f"{escape(before)}*{escape(after)}")
        names = sorted(file.name.removeprefix(before).removesuffix(after) for file in found)
        if names:
            return names
    raise RasterReadError(
        f"data.scenes: scene {settings.name}: no file matches {root / spec.file}; check data.root and the pattern, in "
        "which {tile} stands in the name of a file"
    )


def _filled(text: str, tile: str) -> str:
    return text.replace("{tile}", tile)


def scene_specs(data: DataSettings, root: Path) -> tuple[SceneSpec, ...]:
    """All scenes of a recipe, patterns expanded, in the recipe's order.

    Raises:
        RasterReadError: If a pattern matches no file.
        SplitError: If a split by names matches no scene.
    """
    found: list[tuple[str, SceneSettings, str]] = []
    for scene in data.scenes:
        if any("{tile}" in text for paths in scene.sources.values() for text in paths):
            found += [(f"{scene.name}/{tile}", scene, tile) for tile in _tiles(root, scene)]
        else:
            found.append((scene.name, scene, ""))
    names = [name for name, _, _ in found]
    taken = scene_splits(data.split, names) if isinstance(data.split, SceneSplit | FoldSplit) else dict.fromkeys(names)
    return tuple(
        SceneSpec(
            name,
            {
                modality: tuple(_source_at(root, _filled(text, tile)) for text in paths)
                for modality, paths in scene.sources.items()
            },
            scene.labels
            and scene.labels.model_copy(update={"path": str(_source_at(root, _filled(scene.labels.path, tile)))}),
            taken[name],
            _masks_at(root, {key: [_filled(text, tile) for text in many] for key, many in scene.masks.items()}),
        )
        for name, scene, tile in found
    )


def by_names(spec: SceneSpec, modalities: Sequence[Modality]) -> SceneSpec:
    """A scene whose sources' bands are taken by their names, where none are chosen and names say which they are.

    Raises:
        BandError: If names contradict what would be read, and no order puts that right.
    """
    try:
        taken = named(spec.sources, modalities)
    except BandError as error:
        raise BandError(f"data.scenes: scene {spec.name}: {error}") from error
    return replace(spec, sources=dict(taken.sources), notes=(*taken.notes, *taken.warnings))


def with_scales(modality: Modality, specs: Sequence[SceneSpec]) -> Modality:
    """A modality whose numbers mean what those of its first source do, where it does not say itself what they mean."""
    if modality.scales is not None:
        return modality
    with ExitStack() as stack:
        first = next((spec.sources[modality.name] for spec in specs if modality.name in spec.sources), ())
        sources = [stack.enter_context(open_source(source)) for source in first]
        scales = [
            scale
            for source in (grouped(sources, modality)[0] if sources else [])
            for scale in source.declared or [PHYSICAL] * len(source.band_indices)
        ]
    return replace(modality, scales=tuple(scales) or None)


def _first_source(spec: SceneSpec, modalities: Sequence[Modality]) -> SourceSpec:
    return spec.sources[next(modality.name for modality in modalities if modality.name in spec.sources)][0]


def scene_grid(spec: SceneSpec, modalities: Sequence[Modality], pixel_size: float | None) -> Grid:
    """The grid of the scene's first modality, at ``pixel_size`` where that is given, over all rasters of its mosaic."""
    first = next(modality for modality in modalities if modality.name in spec.sources)
    with ExitStack() as stack:
        sources = [stack.enter_context(open_source(source)) for source in spec.sources[first.name]]
        grid = sources[0].grid if pixel_size is None else sources[0].grid.resized(pixel_size)
        mosaic = len(grouped(sources, first)) > 1
        return extended(grid, [source.grid for source in sources]) if mosaic else grid


class Scene:
    """An open scene. A context manager; reads are by window, so that a scene may be of any size.

    Args:
        spec: Its files.
        modalities: The recipe's modalities.
        classes: The recipe's classes.
        data: The recipe's data settings.
        root: Folder that the split's paths are relative to.
        drawn: Which pixels ``[h, w]`` of a window keep their labels in the training split, asked for when they are
            read; all where None.

    Raises:
        ModalityError: If it has a source for a modality that the recipe does not know.
        BandError: If a modality's sources have another number of bands than the modality.
    """

    def __init__(
        self,
        spec: SceneSpec,
        modalities: Sequence[Modality],
        classes: Sequence[LandClass],
        data: DataSettings,
        root: Path,
        drawn: Callable[[Window], NDArray[np.bool_]] | None = None,
    ) -> None:
        names = [modality.name for modality in modalities]
        unknown = [name for name in spec.sources if name not in names]
        if unknown:
            raise ModalityError(
                f"data.scenes: scene {spec.name} has sources for {', '.join(unknown)}, "
                f"which is none of the recipe's modalities {', '.join(names)}"
            )
        self.name, self._notes = spec.name, spec.notes
        self.modalities = tuple(modalities)
        with open_source(_first_source(spec, modalities)):  # held: a MATLAB array is in memory while a source is open
            self.grid = scene_grid(spec, modalities, data.pixel_size)
            self.readers = {
                modality.name: self._open(spec, modality, data.mosaic)
                for modality in modalities
                if modality.name in spec.sources
            }
        mapping = LabelMapping(tuple(classes), data.labels.remap, frozenset(data.labels.ignore))
        self._labels: LabelReader | None = None
        if spec.labels is not None:
            facts = spec.labels
            self._labels = open_labels(
                facts.path, self.grid, mapping, facts.field, nodata=facts.nodata, all_touched=facts.all_touched
            )
        self.split: SplitMask = split_mask(data.split, self.grid, root, spec.name, spec.split, self._labels)
        self._drawn = drawn

    def _open(self, spec: SceneSpec, modality: Modality, order: Order) -> AlignedReader:
        try:
            masks = spec.masks.get(modality.name, ())
            return open_modality(spec.sources[modality.name], masks, self.grid, modality, order)
        except BandError as error:
            raise BandError(f"data.scenes: scene {spec.name}: {error}") from error

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes its files."""
        for reader in self.readers.values():
            reader.close()
        if self._labels is not None:
            self._labels.close()

    @property
    def warnings(self) -> list[str]:
        """What the user should know of its sources, masks and labels."""
        found = list(self._notes)
        found += [f"{name}: {text}" for name, reader in self.readers.items() for text in self._told(reader)]
        found += [] if self._labels is None else self._labels.warnings
        return [f"scene {self.name}: {text}" for text in found]

    def _told(self, reader: AlignedReader) -> Sequence[str]:
        return (*reader.notes, *reader.warnings(self.grid.window))

    @property
    def present(self) -> Scenario:
        """The modalities that it has a source for."""
        return Scenario.of(self.readers, [modality.name for modality in self.modalities])

    def labels(self, window: Window, split: SplitName) -> NDArray[np.int16]:
        """Class indices ``[h, w]``; IGNORED outside of ``split`` and of the scene, and where none is drawn."""
        labels = self.all_labels(window, split)
        if split == "train" and self._drawn is not None:
            labels[~self._drawn(window)] = IGNORED
        return labels

    def all_labels(self, window: Window, split: SplitName) -> NDArray[np.int16]:
        """As :meth:`labels`, of the training split before some are drawn."""
        return self.split_labels(window, [split])[split]

    def split_labels(self, window: Window, splits: Sequence[SplitName]) -> dict[SplitName, NDArray[np.int16]]:
        """As :meth:`all_labels`, of several splits at once."""
        if self._labels is None:
            return {split: np.full((window.height, window.width), IGNORED, dtype=np.int16) for split in splits}
        labels = self._labels.read(window)
        inside = np.zeros(labels.shape, dtype=bool)
        inside[(window & self.grid.window).within(window)] = True
        return {split: np.where(inside & self.split(window, split), labels, np.int16(IGNORED)) for split in splits}

    def read(self, window: Window, split: SplitName) -> Patch:
        """Values, validity and the labels of ``split``; ``window`` may reach outside of the scene."""
        values: dict[str, NDArray[np.generic]] = {}
        valid = np.zeros((len(self.modalities), window.height, window.width), dtype=bool)
        for number, modality in enumerate(self.modalities):
            if modality.name not in self.readers:
                shape = (len(modality.bands), window.height, window.width)
                values[modality.name] = np.zeros(shape, dtype=modality.dtype)
                continue
            block = self.readers[modality.name].read(window)
            values[modality.name], valid[number] = block.values, block.valid
        return Patch(values, valid, self.labels(window, split))
