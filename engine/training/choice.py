"""Tile and halo of a run: chosen once, by evaluation or export, whichever comes first, and kept in the run folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engine.data.facts import LabelTally
from engine.data.survey import SceneCollection
from engine.errors import OutputError, RunError
from engine.evaluation.tiling import Candidate, Tiling, choose_tiling
from engine.files import file_digest, write_text
from engine.locks import Lock
from engine.networks.segmenter import Segmenter
from engine.raster.identity import identity
from engine.runtime.batching import Predictor
from engine.training.checkpoints import WEIGHTS
from engine.training.recipe import Recipe

SIDE = 1024
"""Side of the squares that labels are read by, in pixels."""


class _MadeFor(BaseModel):
    """What a choice holds for: a checkpoint and its weights, a recipe with what was replaced in it, validation data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: str
    weights: str
    recipe: str
    data: str


class _Kept(BaseModel):
    """What stands in the run folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    made_for: _MadeFor
    tile: int = Field(ge=1)
    halo: int = Field(ge=0)
    reason: str
    chosen: bool


def tiling_of(
    run: Path,
    checkpoint: Path,
    recipe: Recipe,
    segmenter: Segmenter,
    collection: SceneCollection,
    predict: Predictor,
    say: Callable[[str], None],
    report: Callable[[Candidate], None] = lambda _candidate: None,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> Tiling:
    """The tile and halo that a run is evaluated and exported with.

    They are chosen once for a checkpoint, recipe and validation data (labels, and size and time of the sources' files),
    kept in ``tiling-KIND.json`` of the run, and chosen again where one of these is another. A run folder that cannot be
    written, or that a training is at work on, does not keep them, which is said.

    Args:
        run: The run folder.
        checkpoint: Of the run.
        recipe: Of the run, with what was replaced in it.
        segmenter: The network with the checkpoint's weights; one without tiles of its own.
        collection: The recipe's scenes.
        predict: Gives the probabilities of a tile of any size.
        say: Told in lines what was chosen and why.
        report: Told each candidate that is tried.
        progress: Told what is scored for one of them, and the share of it that is done.

    Raises:
        RunError: If the checkpoint is gone.
    """
    path = run / f"tiling-{checkpoint.name.rpartition('-')[0]}.json"
    made_for = _made_for(checkpoint, recipe, collection)
    kept = _read(path, say)
    if kept is not None and kept.made_for == made_for:
        tiling = Tiling(kept.tile, kept.halo, False, kept.reason, kept.chosen)
        say(f"{tiling} (read from {path})")
        return tiling
    if kept is not None:
        there, here = kept.made_for.model_dump(), made_for.model_dump()
        other = ", ".join(key for key in here if there[key] != here[key])
        say(f"{path}: what tile and halo were chosen for has changed ({other}); chosen again")
    tiling = choose_tiling(collection, segmenter.network, segmenter.modalities, predict, report, progress)
    say(str(tiling))
    found = _Kept(made_for=made_for, tile=tiling.tile, halo=tiling.halo, reason=tiling.reason, chosen=tiling.chosen)
    try:
        with Lock(run.absolute()):
            write_text(path, found.model_dump_json(indent=1))
    except OutputError as error:
        say(f"Warning: the choice is not kept, and will be made again by whatever needs it next: {error}")
    return tiling


def _read(path: Path, say: Callable[[str], None]) -> _Kept | None:
    try:
        return _Kept.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        say(f"Warning: {path}: cannot be read, chosen again: {error}")
        return None


def _made_for(checkpoint: Path, recipe: Recipe, collection: SceneCollection) -> _MadeFor:
    try:
        weights = file_digest(checkpoint / WEIGHTS)
    except OSError as error:
        raise RunError(f"{checkpoint}: is gone, since a training goes on there; try again: {error}") from error
    return _MadeFor(checkpoint=checkpoint.name, weights=weights, recipe=recipe.digest, data=_data(collection))


def _data(collection: SceneCollection) -> str:
    """A hash of the validation labels and where they lie, and of the state of the files of their scenes' sources."""
    digest = hashlib.sha256()
    for number, spec in enumerate(collection.specs):
        if spec.split not in (None, "validation"):
            continue
        scene, tally = collection[number], LabelTally(np.zeros(len(collection.classes), dtype=np.int64))
        for window in scene.grid.windows(SIDE):
            tally.add(window, scene.labels(window, "validation"))
        if tally.counts.any():
            masks = [mask.source for many in spec.masks.values() for mask in many]
            sources = [source for many in spec.sources.values() for source in many]
            states = [state[1:] for one in (*sources, *masks) for state in identity(one) if isinstance(state, list)]
            digest.update(json.dumps([spec.name, tally.counts.tolist(), tally.places, states]).encode())
    return digest.hexdigest()
