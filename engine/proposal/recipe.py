"""A recipe from rasters and labels: what they hold, in words, and the training that fits."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.data.evidence import ENOUGH, weak_validation
from engine.data.scenes import located, scene_specs
from engine.data.settings import DataSettings, LabelSettings
from engine.data.survey import SceneCollection
from engine.errors import LabelError, RecipeError
from engine.files import aside, publish
from engine.modality import LandClass
from engine.proposal.advice import BUFFER, COUNTS
from engine.proposal.labels import Labels, Value, read_labels, without_label
from engine.proposal.legend import class_list
from engine.proposal.network import Plan, planned, window_of
from engine.proposal.sensors import TILE, Sensor, described, sensors_given
from engine.proposal.sight import EVERYTHING, Sight, look
from engine.proposal.splitting import Choice, Splitter
from engine.proposal.tables import class_table, sensor_lines, split_table
from engine.proposal.writing import recipe_text
from engine.raster.sources import SourceSpec
from engine.training.recipe import Recipe, read_recipe


@dataclass(frozen=True)
class Proposal:
    """A recipe, and what was seen.

    Args:
        content: The recipe, as YAML holds it.
        notes: Comments by key.
        seen: What the files hold, in lines.
        counts: What each split holds, in lines.
        warnings: What the user should know.
        last: What is said at the end.
    """

    content: dict[str, Any]
    notes: dict[str, list[str]]
    seen: list[str]
    counts: list[str]
    warnings: list[str]
    last: tuple[str, ...]

    def text(self) -> str:
        """The recipe's file."""
        head = ["Made by engine init, which saw:", *self.seen]
        head += [f"Warning: {text}" for text in self.warnings]
        return recipe_text(head, self.content, self.notes, self.last)


@dataclass(frozen=True)
class _Known:
    """Labels as a recipe takes them, and what the scenes hold of their classes."""

    classes: list[LandClass]
    settings: LabelSettings
    data: DataSettings
    sight: Sight


def propose(
    rasters: Sequence[str],
    labels: str,
    folder: Path,
    name: str,
    field: str | None = None,
    ignore: Sequence[str] = (),
    say: Callable[[str], None] = lambda _line: None,
) -> Proposal:
    """Looks at files and writes a recipe for them.

    Args:
        rasters: ``NAME=PATH[@BANDS][:key=value]`` or a path alone each, with ``{tile}`` where there are many scenes.
        labels: A raster, or a vector file ``PATH[|LAYER]``; with ``{tile}`` where the rasters have it.
        folder: The recipe's; paths are relative to it where they can be.
        name: The recipe's.
        field: The class field of a vector file; found where there is only one that can be.
        ignore: Values or names of labels that are no class.
        say: Told in words what is done.

    Raises:
        RasterReadError: If a file is missing or cannot be read.
        BandError: If bands cannot be taken as they are named.
        GridError: If rasters and labels do not show the same place.
        LabelError: If labels are no classes, no field can be their classes, or fewer than two classes are left.
        RecipeError: If ``{tile}`` stands in the rasters or the labels alone.
    """
    given, told = sensors_given(rasters)
    sensors = described(given)
    tiled = any(TILE in source for one in given for source in one.sources)
    if tiled != (TILE in labels):
        raise RecipeError(
            f"--labels {labels}: {TILE} stands in {'the rasters' if tiled else 'the labels'} alone; a file of labels "
            "goes with each scene, so that both have it"
        )
    scene: dict[str, Any] = {
        "name": "tiles" if tiled else "scene",
        "sources": {one.name: [_relative(source, folder) for source in one.sources] for one in given},
        "labels": {"path": _relative(labels, folder)},
    }
    data = DataSettings.model_validate({"scenes": [scene], "split": EVERYTHING})
    say("reading the labels")
    paths = [spec.labels.path for spec in scene_specs(data, folder) if spec.labels is not None]
    held = read_labels(paths, field)
    if held.field is not None:
        scene["labels"]["field"] = held.field
    nothing, why = without_label(held, ignore)
    say("looking at the pixels")
    known = _known(held, nothing, scene, sensors, folder, why)
    say("choosing a split")
    modalities = [one.settings.value() for one in sensors]
    window = window_of(known.sight)
    choice = Splitter(known.data, folder, modalities, known.classes, known.sight, window).choose()
    weak = weak_validation(known.classes, choice.counts)
    plan = planned(known.sight, len(known.classes), validated=not _few(choice))
    seen = [
        *sensor_lines(sensors, known.sight),
        *(f"labels: {text}" for text in (*held.facts, *(f"names or colours by {one}" for one in held.legend.sources))),
        *class_table(known.classes, known.sight),
    ]
    missing = _left_out(known.classes, choice)
    content = _content(name, sensors, known, scene, choice, plan)
    counts = split_table(known.classes, choice.counts)
    return Proposal(content, _notes(choice, plan, counts), seen, counts, [*told, *why, *missing, *weak], plan.last)


def _known(
    held: Labels, nothing: list[Value], scene: dict[str, Any], sensors: Sequence[Sensor], folder: Path, why: list[str]
) -> _Known:
    """Classes and what the scenes hold; values that lie on no scene are no classes, which is added to ``why``."""
    while True:
        values = [value for value in held.values if value not in nothing]
        if len(values) < 2:
            named = ", ".join(str(value) for value in values) or "none"
            raise LabelError(
                f"labels: {named} is the only value left that is a class; a map needs two classes. Label what lies "
                "beside it too (as background, say), or take less out with --ignore"
            )
        classes, remap = class_list(values, held.legend, held.colours)
        settings = LabelSettings.model_validate({"remap": remap, "ignore": nothing})
        data = DataSettings.model_validate({"scenes": [scene], "split": EVERYTHING, "labels": settings})
        collection = SceneCollection(data, folder, [one.settings.value() for one in sensors], classes)
        try:
            sight = look(collection)
        finally:
            collection.close()
        absent = {one.value for one, pixels in zip(classes, sight.labelled, strict=True) if not pixels}
        gone = [value for value in values if {value, remap.get(value)} & absent or _named(value, classes) in absent]
        if not gone:
            return _Known(classes, settings, data, sight)
        nothing += gone
        why.append(
            f"labels: {', '.join(map(str, gone))} lie on no pixel of the rasters and are left out of the classes"
        )


def _named(value: int | str, classes: Sequence[LandClass]) -> int | None:
    return next((one.value for one in classes if one.name == value), None)


def _few(choice: Choice) -> bool:
    return bool((choice.counts.pixels["validation"] < ENOUGH).any())


def _left_out(classes: Sequence[LandClass], choice: Choice) -> list[str]:
    """Classes that a split has no pixel of."""
    told = []
    for split, what in (("train", "trained"), ("test", "tested")):
        names = [one.name for one, held in zip(classes, choice.counts.pixels[split], strict=True) if not held]  # type: ignore[index]
        if names:
            told.append(
                f"data.split: no pixel of {', '.join(names)} is {what}, whatever split was tried: a class needs three "
                "regions that lie apart. Label more of it, or leave it out with --ignore"
            )
    return told


def _relative(text: str, folder: Path) -> str:
    """A source as a recipe in ``folder`` names it: relative, unless only the root of the disk is common to both."""
    file, bar, layer = text.partition("|")
    spec = SourceSpec.parse(file)
    path = located(Path.cwd(), spec.path)
    if Path(path).is_absolute():
        here = os.path.abspath(folder)  # noqa: PTH100 (links stay as they are named)
        common = os.path.commonpath([path, here])
        if common != os.path.dirname(common):  # noqa: PTH120
            path = os.path.relpath(path, here)
    return f"{replace(spec, path=path)}{bar}{layer}"


def _content(
    name: str, sensors: Sequence[Sensor], known: _Known, scene: dict[str, Any], choice: Choice, plan: Plan
) -> dict[str, Any]:
    labels = known.settings.model_dump(mode="json", exclude_defaults=True)
    sources = {key: many[0] if len(many) == 1 else many for key, many in scene["sources"].items()}
    split = choice.split.model_dump(mode="json", exclude_defaults=True)
    split = {
        key: sorted(value) if key in ("train", "validation", "test") and isinstance(value, list) else value
        for key, value in ({"kind": choice.split.kind} | split).items()
    }
    return {
        "name": name,
        "seed": 0,
        "modalities": [
            one.settings.model_dump(mode="json", exclude_defaults=True) | {"dtype": one.dtype} for one in sensors
        ],
        "classes": [{"value": one.value, "name": one.name, "color": one.color} for one in known.classes],
        "data": {
            "root": ".",
            "scenes": [{**scene, "sources": sources}],
            **({"labels": labels} if labels else {}),
            "split": split,
            **plan.data,
            "licence": "",
        },
        "network": dict(plan.network),
        "stages": plan.stages,
    }


def _notes(choice: Choice, plan: Plan, counts: Sequence[str]) -> dict[str, list[str]]:
    notes = {key: list(texts) for key, texts in plan.notes.items()}
    notes["modalities"] = [
        "unit: in words, as in dB or m; it helps to recognise the sensor. values: physical trains on"
        " number * scale + offset."
    ]
    notes["data.split"] = [
        f"Split: {choice.reason}." + (f" {BUFFER}" if getattr(choice.split, "buffer", 0) else ""),
        *counts,
        COUNTS,
    ]
    notes["data.licence"] = ["Of the data; models name it."]
    return notes


def written(proposal: Proposal, path: Path) -> Recipe:
    """Writes a recipe, once it reads back; the recipe.

    Raises:
        OutputError: If it cannot be written.
        RecipeError: If a key is wrong.
    """
    with aside(path) as found:
        found.write_text(proposal.text(), encoding="utf-8")
        recipe = read_recipe(found)
        publish(found, path)
    return recipe


def recipe_name(path: Path) -> str:
    """A recipe's name after its file's."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-._") or "recipe"
