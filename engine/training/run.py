"""The folder that a training leaves: recipe, statistics, checkpoints, metrics."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from engine.data.facts import write_facts
from engine.data.survey import Survey
from engine.errors import RunError
from engine.files import aside, make_folder, publish, unwritable, write_text
from engine.modality import BandStatistics, Modality
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter
from engine.training.adaptation import adapt_as_at, merge
from engine.training.checkpoints import Kind, find, load, step_of
from engine.training.recipe import Recipe, read_recipe, write_recipe

RECIPE, STATISTICS, FACTS, CHECKPOINTS = "recipe.yaml", "modalities.json", "data.json", "checkpoints"
METRICS, BOARD = "metrics.csv", "tensorboard"
_LEFT = re.compile(r"\..+(\.[0-9a-f]{12}|-[0-9]{9})\.part(\.[a-z]+)?")
"""What is half-written, or half-removed."""

_BEGINNING = {STATISTICS, FACTS, RECIPE, CHECKPOINTS, METRICS, BOARD}
"""What a training writes before its first checkpoint."""


def build_segmenter(recipe: Recipe, modalities: Sequence[Modality]) -> Segmenter:
    """The recipe's network, untrained, with the normalisation of ``modalities``."""
    network = build_network(
        recipe.network.name,
        recipe.network.options,
        {modality.name: len(modality.bands) for modality in modalities},
        len(recipe.classes),
    )
    return Segmenter(network, modalities, recipe.data.scaling)


def check_free(folder: Path) -> None:
    """Refuses a folder that holds something already, but for what a training left without a checkpoint.

    Raises:
        RunError: If it does.
    """
    if not folder.exists():
        return
    if folder.is_dir():
        left = {path.name for path in folder.iterdir() if not _LEFT.fullmatch(path.name)}
        saved = (folder / CHECKPOINTS).is_dir() and any(
            not _LEFT.fullmatch(path.name) for path in (folder / CHECKPOINTS).iterdir()
        )
        if not saved and left <= _BEGINNING:
            tidy(folder)
            for name in left - {CHECKPOINTS}:
                _remove(folder / name)
            return
    raise RunError(f"{folder}: exists and is not empty; choose another folder, or go on with --resume")


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError as error:
        raise unwritable(path, error) from error


def tidy(folder: Path) -> None:
    """Removes what killed trainings left half-written; for whoever holds the run's lock."""
    for path in (*folder.glob(".*"), *(folder / CHECKPOINTS).glob(".*")):
        if _LEFT.fullmatch(path.name):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def create(folder: Path, recipe: Recipe, survey: Survey) -> None:
    """Makes a run folder, with the recipe, the modalities with their training statistics, and what tells the data.

    The recipe comes last.

    Raises:
        OutputError: If it cannot be written.
    """
    make_folder(folder / CHECKPOINTS)
    write_text(folder / STATISTICS, json.dumps([asdict(modality) for modality in survey.modalities], indent=1))
    write_facts(survey.scenes, folder / FACTS)
    keep_recipe(folder, recipe)


def keep_recipe(folder: Path, recipe: Recipe) -> None:
    """Writes the recipe of a run.

    Raises:
        OutputError: If it cannot be written.
    """
    with aside(folder / RECIPE) as found:
        write_recipe(recipe, found)
        publish(found, folder / RECIPE)


def read_modalities(folder: Path) -> tuple[Modality, ...]:
    """The modalities with their training statistics.

    Raises:
        RunError: If the folder has none.
    """
    try:
        content = json.loads((folder / STATISTICS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: is no run folder, or its training never started: {error}") from error
    return tuple(
        Modality(
            item["name"],
            tuple(item["bands"]),
            item["dtype"],
            item["unit"],
            tuple(BandStatistics(**band) for band in item["statistics"]),
            item.get("scales") and tuple((scale, offset) for scale, offset in item["scales"]),
            item.get("values", "stored"),
        )
        for item in content
    )


def recipe_of(folder: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a run.

    Raises:
        RunError: If the folder is no run.
    """
    if not (folder / RECIPE).exists():
        raise RunError(
            f"{folder}: is no run folder: it has no {RECIPE}; a training that never began begins without --resume"
        )
    return read_recipe(folder / RECIPE, overrides, trained=True)


def open_run(folder: Path, kind: Kind, overrides: Sequence[str] = ()) -> tuple[Recipe, Segmenter]:
    """A trained run: its recipe, and its network with the weights of a checkpoint, in evaluation mode.

    Args:
        folder: The run folder.
        kind: Which checkpoint.
        overrides: What to replace in the recipe, as ``--set`` does.

    Raises:
        RunError: If the folder is no run, or has no such checkpoint.
    """
    recipe = recipe_of(folder, overrides)
    return recipe, open_checkpoint(recipe, folder, find(folder, kind))


def open_checkpoint(recipe: Recipe, folder: Path, checkpoint: Path) -> Segmenter:
    """The network of a run with the weights of one of its checkpoints, in evaluation mode.

    Raises:
        RunError: If the checkpoint does not fit the recipe.
    """
    segmenter = build_segmenter(unpretrained(recipe), read_modalities(folder))
    adapted = adapt_as_at(segmenter.network, recipe, step_of(checkpoint))
    load(checkpoint, segmenter)
    if adapted:
        merge(segmenter.network)
    return segmenter.eval()


def unpretrained(recipe: Recipe) -> Recipe:
    """A recipe without the pretrained weights of its network, which a checkpoint replaces."""
    options = {key: value for key, value in recipe.network.options.items() if key != "weights"}
    return recipe.model_copy(update={"network": recipe.network.model_copy(update={"options": options})})
