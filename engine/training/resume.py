"""Whether a training may go on in a run folder: with the recipe, data and machine that it was begun with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any

from engine.data.facts import changes, read_facts
from engine.data.survey import Survey
from engine.errors import RunError
from engine.training import checkpoints
from engine.training.checkpoints import Progress
from engine.training.recipe import Recipe
from engine.training.run import FACTS

_FREE = (
    "data.root",
    "start.run",
    "stages.*.schedule.workers",
    "stages.*.schedule.checkpoint_every",
    "stages.*.schedule.keep_every",
)
"""Keys that the weights do not depend on; of files of language their names count alone."""

_TOLD = 12
_NOTHING = "nothing"
_OTHERWISE = "the weights would not be those of an uninterrupted training"


def differences(there: Recipe, here: Recipe) -> dict[str, tuple[object, object]]:
    """Keys of two recipes, with dots, that decide the weights and differ; by key both values."""
    one, other = (dict(_flat(recipe.model_dump(mode="json"))) for recipe in (there, here))
    keys = dict.fromkeys([*one, *other])
    pairs = {key: (one.get(key, _NOTHING), other.get(key, _NOTHING)) for key in keys}
    return {
        key: (was, now)
        for key, (was, now) in pairs.items()
        if was != now and not any(fnmatchcase(key, free) for free in _FREE) and not _same_file(was, now)
    }


def _flat(content: object, path: str = "") -> Iterator[tuple[str, object]]:
    items: Iterator[tuple[Any, object]]
    if isinstance(content, Mapping) and content:
        items = iter(content.items())
    elif isinstance(content, list) and content:
        items = iter(enumerate(content))
    else:
        yield path, content
        return
    for key, value in items:
        yield from _flat(value, f"{path}.{key}" if path else str(key))


def _same_file(was: object, now: object) -> bool:
    if not (isinstance(was, str) and isinstance(now, str)):
        return False
    return Path(was).is_absolute() and Path(now).is_absolute() and Path(was).name == Path(now).name


def check_recipe(folder: Path, there: Recipe, here: Recipe) -> None:
    """Refuses another recipe than the run's.

    Raises:
        RunError: If a key that decides the weights differs.
    """
    if there.digest == here.digest:
        return
    cure = f"for a new run from these weights set start.run to {folder} and train into another folder"
    if checkpoints.newest(folder / "checkpoints", "last") is None:
        cure = "it has no checkpoint yet: leave out --resume, and it begins anew with this recipe"
    elif grows(there, here):
        cure = f"for more epochs of the last stage use --extend; {cure}"
    raise RunError(f"{folder}: cannot go on: the recipe is another:{recipe_lines(there, here)}\n{_OTHERWISE}; {cure}")


def recipe_lines(there: Recipe, here: Recipe) -> str:
    """Keys that differ, with both values, below one another."""
    found = differences(there, here)
    return _listed(f"{key}: {was} in the run, {now} now" for key, (was, now) in found.items())


def epochs_key(recipe: Recipe) -> str:
    """The key of the epochs of a recipe's last stage."""
    return f"stages.{len(recipe.stages) - 1}.schedule.epochs"


def grows(there: Recipe, here: Recipe) -> bool:
    """Whether a recipe asks for more epochs of the last stage, and for nothing else."""
    more = here.stages[-1].schedule.epochs > there.stages[-1].schedule.epochs
    return more and set(differences(there, here)) == {epochs_key(here)}


def check_data(folder: Path, survey: Survey, say: Callable[[str], None]) -> None:
    """Refuses other data than the run's, as far as labels and the values of training pixels tell.

    Raises:
        RunError: If they differ.
    """
    if not (folder / FACTS).exists():
        say(f"Warning: {folder} does not say what its data held (an older engine began it): they are not compared")
        return
    bands = {modality.name: modality.bands for modality in survey.modalities}
    found = _listed(changes(read_facts(folder / FACTS), survey.scenes, bands))
    if found:
        raise RunError(
            f"{folder}: cannot go on: the data have changed:{found}\n{_OTHERWISE}; restore the data, or for a new run "
            f"from these weights set start.run to {folder} and train into another folder"
        )


def check_machine(folder: Path, there: Progress, here: Progress) -> None:
    """Refuses another number of threads or version of torch than a checkpoint's.

    Raises:
        RunError: If one differs.
    """
    for what, was, now in (
        ("number of threads", there.threads, here.threads),
        ("version of torch", there.torch, here.torch),
    ):
        if was != now:
            raise RunError(f"{folder}: cannot go on: the {what} was {was} and is {now} now; {_OTHERWISE}")


def _listed(lines: Iterator[str]) -> str:
    """Lines below one another, the first few of many."""
    told: Sequence[str] = list(islice(lines, _TOLD))
    more = sum(1 for _ in lines)
    return "".join(f"\n  {line}" for line in (*told, *([f"and {more} more"] if more else [])))
