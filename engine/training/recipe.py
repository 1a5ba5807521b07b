"""Recipes: the YAML files that fix the modalities, classes, data, network, method and schedule of a training."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator
from torch import nn

from engine.data.settings import Choice, DataSettings, Settings
from engine.errors import EngineError, RecipeError
from engine.files import write_text
from engine.methods.language import check_texts
from engine.methods.registry import build_method
from engine.modality import LandClass, Modality
from engine.model.document import AVAILABILITY, OUTPUTS
from engine.names import shown, steering
from engine.networks.contract import Network
from engine.networks.registry import unbuilt_network
from engine.training.content import (
    change_language_files,
    change_weights,
    locate,
    override,
    recipe_content,
    value_faults,
)
from engine.training.settings import ClassSettings, ModalitySettings, StageSettings

MOST_FAULTS = 20
"""Of a recipe, that are told."""

RESERVED = frozenset({AVAILABILITY, *OUTPUTS})
"""Names that every model uses itself."""

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


class StartSettings(Settings):
    """A run of the same network whose weights a training starts from.

    Statistics of sensors that are described alike in both are the run's, those of others the recipe's own.

    Args:
        run: Its folder; relative to the recipe's folder.
        checkpoint: ``last`` or ``best``.
        modalities: For modalities of the recipe those of the run whose weights they take; those that it does not name
            start from random weights. A band takes the input weights of the run's band of its name, else the mean of
            those that both have. Where this is left out both must have the same modalities.
        classes: For classes of the recipe, by name, those of the run whose weights they take; those that it does not
            name start from random weights. Where this is left out classes of the same value and name are the same,
            and none may agree in one of both alone.
    """

    run: Path
    checkpoint: Literal["last", "best"] = "last"
    modalities: Mapping[str, str] = {}
    classes: Mapping[str, str] | None = None


class Recipe(Settings):
    """A whole training.

    Args:
        start: A run to start from; from random or pretrained weights where None.
        stages: In their order; each goes on from the last weights of the one before it.
        precision: ``auto``: bfloat16 where there is a GPU, else 32 bits.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    precision: Precision = "auto"
    modalities: tuple[ModalitySettings, ...] = Field(min_length=1)
    classes: tuple[ClassSettings, ...] = Field(min_length=2)
    data: DataSettings
    network: Choice
    start: StartSettings | None = None
    stages: tuple[StageSettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        for what, names in (
            ("modalities", [modality.name for modality in self.modalities]),
            ("classes", [str(land_class.value) for land_class in self.classes]),
            ("stages", [stage.name for stage in self.stages]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{what}: {', '.join(sorted(twice))} stands there twice")
        known = {modality.name for modality in self.modalities}
        for name in known:
            if _is_torchs(name):
                raise ValueError(f"modalities: {name} is a name that torch uses itself; choose another")
        reserved = sorted(known & RESERVED)
        if reserved:
            raise ValueError(
                f"modalities: {', '.join(reserved)} is a name that every model uses itself; choose another"
            )
        for number, scene in enumerate(self.data.scenes):
            unknown = sorted(set(scene.sources) - known)
            if unknown:
                raise ValueError(
                    f"data.scenes.{number}.sources: {', '.join(unknown)} is none of the modalities "
                    f"{', '.join(sorted(known))}"
                )
            unmasked = {name.partition(":")[0] for name in scene.masks} - set(scene.sources)
            if unmasked:
                raise ValueError(f"data.scenes.{number}.masks: {', '.join(sorted(unmasked))} is none of its sources")
        unknown = sorted(set(self.data.augment) - known)
        if unknown:
            raise ValueError(f"data.augment: {', '.join(unknown)} is none of the modalities {', '.join(sorted(known))}")
        named = {word for land_class in self.classes for word in (land_class.value, land_class.name)}
        ignored = named & set(self.data.labels.ignore)
        if ignored:
            raise ValueError(f"data.labels.ignore: {sorted(map(str, ignored))} are classes too")
        return self

    @property
    def modality_values(self) -> tuple[Modality, ...]:
        """The modalities, without statistics."""
        return tuple(modality.value() for modality in self.modalities)

    @property
    def class_values(self) -> tuple[LandClass, ...]:
        """The classes."""
        return tuple(land_class.checked() for land_class in self.classes)

    @property
    def digest(self) -> str:
        """A hash of all that decides the weights: everything but where data and runs lie and how often to save."""
        content = self.model_dump(mode="json")
        del content["data"]["root"]
        if self.start is not None:
            del content["start"]["run"]
        change_language_files(content, lambda path: Path(path).name)
        change_weights(content, lambda path: Path(path).name if Path(path).is_absolute() else path)
        for stage in content["stages"]:
            for key in ("workers", "checkpoint_every", "keep_every"):
                del stage["schedule"][key]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=sorted).encode()).hexdigest()


def _is_torchs(name: str) -> bool:
    return hasattr(nn.ModuleDict(), name) or hasattr(nn.ParameterDict(), name)


def is_free(name: str) -> bool:
    """Whether a modality may have a name, which neither torch nor a model uses itself."""
    return not (name in RESERVED or _is_torchs(name))


def read_recipe(path: Path, overrides: Sequence[str] = (), *, trained: bool = False) -> Recipe:
    """Reads a recipe; ``data.root``, ``start.run``, legends and text encoders' files and folders become absolute.

    They are relative to the folder of the file that says them; so are the network's pretrained weights where they are a
    folder there. What overrides say is relative to the working folder.

    With ``base: other.yaml`` (relative to the recipe's folder) it says only what differs from another recipe: mappings
    are merged key by key, but for those of another ``name`` or ``kind``; all else is replaced, lists as a whole.

    Args:
        path: YAML file.
        overrides: ``key.path=value`` each, values in YAML; list items by number.
        trained: Whether it is that of a run, which needs legends and text encoders no more, and may have options that
            are withdrawn since.

    Raises:
        RecipeError: If the file cannot be read, a key is unknown, missing or wrong, or things do not combine.
    """
    content = recipe_content(path)
    for words in overrides:
        override(content, words)
    locate(content, Path.cwd())  # what no override has replaced is absolute
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{path}:\n{_explained(error)}") from error
    root = Path(os.path.realpath(path.parent / recipe.data.root))
    _check(recipe, path, trained=trained)
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"root": root})})


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Writes a recipe that :func:`read_recipe` reads back as it is.

    Raises:
        OutputError: If it cannot be written.
    """
    content = recipe.model_dump(mode="json", exclude_defaults=False)
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _name_faults(recipe: Recipe) -> Iterator[str]:
    """What recipes of before were let have: names that are empty, that stand there twice, or that steer a terminal."""
    lists = [
        ("classes.{}.name", [item.name for item in recipe.classes]),
        ("data.scenes.{}.name", [item.name for item in recipe.data.scenes]),
    ]
    for number, modality in enumerate(recipe.modalities):
        lists.append((f"modalities.{number}.bands.{{}}", [*modality.bands]))
        if steering(modality.unit):
            yield f"modalities.{number}.unit: has the character {steering(modality.unit)}, which no unit may have"
    for key, names in lists:
        places: dict[str, int] = {}
        for place, name in enumerate(names):
            if not name.strip():
                yield f"{key.format(place)}: is empty; give it a name"
            if steering(name):
                yield f"{key.format(place)}: {shown(name)} has the character {steering(name)}, which no name may have"
            if name in places:
                yield f"{key.format(place)}: {name} is the name of {key.format(places[name])} too; choose another"
            places[name] = place
    alike = Counter(modality.name.lower() for modality in recipe.modalities)
    for number, modality in enumerate(recipe.modalities):
        if alike[modality.name.lower()] > 1:
            yield f"modalities.{number}.name: {modality.name} differs from another in its capitals alone; rename one"


def _check(recipe: Recipe, path: Path, *, trained: bool) -> None:
    for fault in value_faults(recipe.model_dump()):
        raise RecipeError(f"{path}: {fault}")
    if not trained:
        for fault in _name_faults(recipe):
            raise RecipeError(f"{path}: {fault}")
    try:
        bands = {modality.name: len(modality.bands) for modality in recipe.modalities}
        network = unbuilt_network(recipe.network.name, recipe.network.options, bands, len(recipe.classes))
    except EngineError as error:
        raise RecipeError(f"{path}: {error}") from error
    smallest = network.smallest_chip if network.tile is None else 2 * network.margin + 1
    if recipe.data.chip < smallest:
        raise RecipeError(
            f"{path}: data.chip: {recipe.data.chip} pixels are too few for {recipe.network.name}: it needs {smallest}"
        )
    methods = []
    for number, stage in enumerate(recipe.stages):
        try:
            method = build_method(stage.method, len(recipe.classes))
            method.check(network)
            _check_trainable(network, stage.trainable)
            if not trained:
                method.check_files(network, recipe.class_values)
        except EngineError as error:
            raise RecipeError(f"{path}: stages.{number}.{error}") from error
        methods.append(method)
        if stage.chips == "anywhere" and method.needs_labels:
            raise RecipeError(
                f"{path}: stages.{number}.chips: anywhere gives chips without labels, and every objective of the stage "
                "learns from labels alone"
            )

    try:
        check_texts(methods)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def _check_trainable(network: Network, trainable: Sequence[str]) -> None:
    names = [name for name, _ in network.named_parameters()]
    for pattern in trainable:
        if not any(fnmatchcase(name, pattern) for name in names):
            parts = sorted({name.split(".")[0] for name in names})
            raise RecipeError(
                f"trainable: {pattern!r} matches no parameter of the network; their names start with {', '.join(parts)}"
            )


def _explained(error: ValidationError) -> str:
    lines = []
    for problem in error.errors()[:MOST_FAULTS]:
        where = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(shown(f"  {where}: {message}" if where else f"  {message}"))
    if error.error_count() > MOST_FAULTS:
        lines.append(f"  and {error.error_count() - MOST_FAULTS:,} more")
    return "\n".join(lines)
