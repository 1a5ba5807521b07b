"""What scenes are told by when a training goes on: counts and places of labels, and statistics of the values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.data.settings import SplitName
from engine.errors import RunError
from engine.files import write_text
from engine.grid import Window
from engine.modality import IGNORED, BandStatistics, LandClass

_SAME = 1e-11
"""Share of a band's largest value up to which figures are the same: sums round differently on other processors."""


@dataclass(frozen=True)
class Values:
    """What a modality has on a scene's training pixels.

    Args:
        pixels: Where it is valid.
        bands: Statistics of each band; none where it is valid nowhere.
    """

    pixels: int
    bands: tuple[BandStatistics, ...]


@dataclass(frozen=True)
class SceneFacts:
    """What a scene holds.

    Args:
        name: Of the scene.
        labels: By split, pixels by class.
        places: By split, a hash of which label lies where.
        values: By modality.
    """

    name: str
    labels: Mapping[SplitName, Mapping[str, int]]
    places: Mapping[SplitName, str]
    values: Mapping[str, Values]


@dataclass
class LabelTally:
    """Counts the labels of a split of a scene, window by window."""

    counts: NDArray[np.int64]
    _places: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=8))

    def add(self, window: Window, labels: NDArray[np.int16]) -> None:
        """Adds the labels ``[h, w]`` of a window; those that are IGNORED do not count."""
        counted = labels[labels != IGNORED]
        if len(counted):
            self.counts += np.bincount(counted, minlength=len(self.counts))
            self._places.update(f"{window.row} {window.col}".encode() + labels.astype("<i2").tobytes())

    def by_class(self, classes: Sequence[LandClass]) -> dict[str, int]:
        """Pixels of each class."""
        return {f"{one.value} {one.name}": int(count) for one, count in zip(classes, self.counts, strict=True)}

    @property
    def places(self) -> str:
        """A hash of which label lies where."""
        return self._places.hexdigest()


def write_facts(scenes: Sequence[SceneFacts], path: Path) -> None:
    """Writes what scenes hold.

    Raises:
        OutputError: If it cannot be written.
    """
    write_text(path, json.dumps([asdict(scene) for scene in scenes], indent=1))


def read_facts(path: Path) -> tuple[SceneFacts, ...]:
    """Reads what :func:`write_facts` wrote.

    Raises:
        RunError: If that is damaged.
    """
    try:
        return tuple(
            SceneFacts(
                scene["name"],
                scene["labels"],
                scene["places"],
                {
                    name: Values(one["pixels"], tuple(BandStatistics(**band) for band in one["bands"]))
                    for name, one in scene["values"].items()
                },
            )
            for scene in json.loads(path.read_bytes())
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(
            f"{path}: cannot be read: {error}; remove it to go on without comparing the data with the run's"
        ) from error


def changes(
    there: Sequence[SceneFacts], here: Sequence[SceneFacts], bands: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """In words, what scenes hold now that they did not hold in a run.

    Args:
        there: The run's.
        here: Now.
        bands: Names of the bands of each modality.
    """
    was, now = [scene.name for scene in there], [scene.name for scene in here]
    if was != now:
        yield f"the scenes were {', '.join(was)}; they are {', '.join(now)} now"
        return
    for one, other in zip(there, here, strict=True):
        yield from _label_changes(one, other)
        yield from _value_changes(one, other, bands)


def _label_changes(there: SceneFacts, here: SceneFacts) -> Iterator[str]:
    for split, counts in there.labels.items():
        found = here.labels[split]
        other = [(name, count, found.get(name, 0)) for name, count in counts.items() if count != found.get(name, 0)]
        for name, count, present in other:
            yield f"scene {there.name}, {split}: class {name}: {count} pixels in the run, {present} now"
        if not other and there.places[split] != here.places[split]:
            yield f"scene {there.name}, {split}: as many labels of each class lie elsewhere"


def _value_changes(there: SceneFacts, here: SceneFacts, bands: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, run in there.values.items():
        now = here.values[name]
        if run.pixels != now.pixels:
            yield f"scene {there.name}, {name}: {run.pixels} training pixels are valid in the run, {now.pixels} now"
            continue
        for band, one, other in zip(bands[name], run.bands, now.bands, strict=False):
            allowed = _SAME * max(abs(one.minimum), abs(one.maximum))
            known = {key: value for key, value in asdict(one).items() if value is not None}
            figures = ((key, value, asdict(other)[key]) for key, value in known.items())
            told = [f"{key} {was:.10g}, {now:.10g} now" for key, was, now in figures if abs(was - now) > allowed]
            if told:
                yield f"scene {there.name}, {name}, band {band}: in the run {'; '.join(told)}"
