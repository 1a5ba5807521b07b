"""Recipes: the YAML files that fix the modalities, classes, data, network, method and schedule of a training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator
from torch import nn

from engine.data.settings import Choice, DataSettings, MethodSettings, Settings
from engine.errors import EngineError, RecipeError
from engine.language.registry import with_files
from engine.methods.language import check_texts
from engine.methods.registry import build_method
from engine.modality import PHYSICAL, LandClass, Modality, Values
from engine.model.document import AVAILABILITY, OUTPUTS
from engine.networks.contract import Network
from engine.networks.registry import unbuilt_network

SMALLEST_CHIP = 8
"""Pixels along a chip for networks that see all of it; one that classifies windows needs a window."""

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


class ModalitySettings(Settings):
    """A modality: its bands' names in order, data type and unit.

    Args:
        values: ``stored``: the network takes the numbers of the files, and a source of another scale or offset is
            converted to those of the first scene; ``physical``: it takes number * scale + offset of every source.
    """

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    bands: tuple[str, ...] = Field(min_length=1)
    dtype: Literal["uint8", "int16", "uint16", "int32", "float32"] = "float32"
    unit: str = ""
    values: Values = "stored"

    @model_validator(mode="after")
    def _fractions_fit(self) -> ModalitySettings:
        if self.values == "physical" and self.dtype != "float32":
            raise ValueError(f"values: physical needs dtype float32; {self.dtype} has no fractions")
        return self

    def value(self) -> Modality:
        """As a :class:`~engine.modality.Modality` without statistics."""
        scales = (PHYSICAL,) * len(self.bands) if self.values == "physical" else None
        return Modality(self.name, self.bands, self.dtype, self.unit, (), scales, self.values)


class ClassSettings(Settings):
    """A class: its value in the labels and the map, its name and its colour (``#rrggbb``)."""

    value: int
    name: str
    color: str

    def checked(self) -> LandClass:
        """As a :class:`~engine.modality.LandClass`."""
        return LandClass(self.value, self.name, self.color)


class OptimizerSettings(Settings):
    """AdamW or Adam; both with PyTorch's betas."""

    name: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)


class DecaySettings(Settings):
    """How the learning rate changes over a stage.

    Args:
        name: ``poly``: (1 - t) ** power; ``cosine``: half a cosine to zero; ``step``: times gamma every
            ``step_epochs`` epochs; ``constant``.
        warmup: Share of the steps in which the rate rises linearly from ``warmup_from`` times its value.
    """

    name: Literal["poly", "cosine", "step", "constant"] = "poly"
    power: float = 0.9
    gamma: float = Field(default=0.91, gt=0, le=1)
    step_epochs: int = Field(default=5, ge=1)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    warmup_from: float = Field(default=0.1, ge=0, le=1)


class ScheduleSettings(Settings):
    """How long and in what steps.

    Args:
        epochs: Epochs of ``samples`` chips each.
        batch: Chips a step.
        validate_every: Epochs between two evaluations of the validation split, by which the best checkpoint
            is chosen; the last epoch is always evaluated. None: never, the last weights are what there is.
        checkpoint_every: Steps between two checkpoints; there is one at the end of each epoch too.
        keep_every: Steps between two checkpoints whose weights stay, for diagnostics over the training; those before
            the first step stay too. None keeps none.
        workers: Processes that cut chips; 0 cuts them between the steps.
        clip: Largest norm of the gradient; None clips nothing.
    """

    epochs: int = Field(ge=1)
    samples: int = Field(ge=1)
    batch: int = Field(default=8, ge=1)
    validate_every: int | None = Field(default=1, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    keep_every: int | None = Field(default=None, ge=1)
    workers: int = Field(default=0, ge=0)
    clip: float | None = Field(default=1.0, gt=0)
    optimizer: OptimizerSettings = OptimizerSettings()
    decay: DecaySettings = DecaySettings()

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; the last one may be smaller."""
        return -(-self.samples // self.batch)


class LoraSettings(Settings):
    """Low-rank adaptation.

    Args:
        rank: Of the matrices.
        targets: Patterns of the names of the layers that get them; the network's own choice where None.
    """

    rank: int = Field(default=4, ge=1)
    targets: tuple[str, ...] | None = Field(default=None, min_length=1)


class StageSettings(Settings):
    """A part of a training, with its own method, trained parameters, optimiser and schedule.

    Args:
        name: Of the stage, for logs.
        chips: ``labelled``: drawn around labelled pixels of the training split; ``anywhere``: evenly over all of the
            scenes, but for scenes of another split, for a pre-training that asks for no label. A scene that is split
            within itself is learned from as a whole, its test pixels without their labels too.
        trainable: Patterns (``*``, ``?``) of the names of the network's parameters that are trained, as in
            ``head.*``; the rest stays as it is, its running statistics too.
        lora: Train low-rank matrices beside the network's layers instead, and merge them at the end of the stage.
    """

    name: str = Field(default="train", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    method: MethodSettings = MethodSettings()
    schedule: ScheduleSettings
    chips: Literal["labelled", "anywhere"] = "labelled"
    trainable: tuple[str, ...] = Field(default=("*",), min_length=1)
    lora: LoraSettings | None = None

    @model_validator(mode="after")
    def _one_way(self) -> StageSettings:
        if self.lora is not None and self.trainable != ("*",):
            raise ValueError("lora trains its own matrices; leave out trainable")
        return self


class StartSettings(Settings):
    """A run whose weights a training starts from, and whose statistics of the modalities it keeps.

    Args:
        run: Its folder, with the same classes and network; relative to the recipe's folder.
        checkpoint: ``last`` or ``best``.
        modalities: For modalities of the recipe those of the run whose weights they take. The run may then have
            others; statistics are the recipe's own, and weights that the run lacks, or has in another shape, are
            random. Where this is left out both must have the same modalities.
    """

    run: Path
    checkpoint: Literal["last", "best"] = "last"
    modalities: Mapping[str, str] = {}


class Recipe(Settings):
    """A whole training.

    Args:
        start: A run to start from; from random or pretrained weights where None.
        stages: In their order; each goes on from the last weights of the one before it.
        precision: ``auto``: bfloat16 where there is a GPU, else 32 bits.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(default=0, ge=0)
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
            if hasattr(nn.ModuleDict(), name) or hasattr(nn.ParameterDict(), name):
                raise ValueError(f"modalities: {name} is a name that torch uses itself; choose another")
        reserved = sorted(known & {AVAILABILITY, *OUTPUTS})
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
        _with_language_files(content, lambda path: Path(path).name)
        for stage in content["stages"]:
            for key in ("workers", "checkpoint_every", "keep_every"):
                del stage["schedule"][key]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=sorted).encode()).hexdigest()


def read_recipe(path: Path, overrides: Sequence[str] = (), *, trained: bool = False) -> Recipe:
    """Reads a recipe; ``data.root``, ``start.run``, legends and text encoders' files and folders become absolute.

    They are relative to the folder of the file that says them.

    With ``base: other.yaml`` (relative to the recipe's folder) it says only what differs from another recipe: mappings
    are merged key by key, but for those of another ``name`` or ``kind``; all else is replaced, lists as a whole.

    Args:
        path: YAML file.
        overrides: ``key.path=value`` each, values in YAML; list items by number.
        trained: Whether it is that of a run, which needs legends and text encoders no more.

    Raises:
        RecipeError: If the file cannot be read, a key is unknown, missing or wrong, or things do not combine.
    """
    content = _content(path)
    for override in overrides:
        _override(content, override)
    _locate(content, path.parent)
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{path}:\n{_explained(error)}") from error
    root = (path.parent / recipe.data.root).resolve()
    _check(recipe, path, trained=trained)
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"root": root})})


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Writes a recipe that :func:`read_recipe` reads back as it is."""
    content = recipe.model_dump(mode="json", exclude_defaults=False)
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _content(path: Path, derived: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a recipe says, on top of the recipe that it is based on."""
    if path.resolve() in derived:
        raise RecipeError(f"{path}: base: the recipe is based on itself")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys; found {type(content).__name__}")
    _locate(content, path.parent)
    base = content.pop("base", None)
    if base is None:
        if isinstance(content.get("data"), dict):
            content["data"].setdefault("root", str(path.parent.resolve()))
        return content
    if not isinstance(base, str):
        raise RecipeError(f"{path}: base: the path of a recipe is wanted; found {base!r}")
    return _merged(_content(path.parent / base, (*derived, path.resolve())), content)


def _locate(content: dict[str, Any], folder: Path) -> None:
    """Makes paths absolute that are relative to ``folder``."""

    def absolute(path: str) -> str:
        return str((folder / path).resolve())

    for part, key in (("data", "root"), ("start", "run")):
        said = content.get(part)
        if isinstance(said, dict) and isinstance(said.get(key), str):
            said[key] = absolute(said[key])
    _with_language_files(content, absolute)


def _with_language_files(content: Mapping[str, Any], change: Callable[[str], str]) -> None:
    """Changes the paths of legends, and of text encoders' files and folders, in a recipe that may be malformed."""
    for stage in _mappings(content.get("stages")):
        for method in _mappings([stage.get("method")]):
            for objective in _mappings(method.get("objectives")):
                for options in _mappings([objective.get("options")]):
                    objective["options"] = with_files(options, change)


def _mappings(items: object) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _merged(base: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        there = merged.get(key)
        if isinstance(there, dict) and isinstance(value, dict) and not _another(there, value):
            merged[key] = _merged(there, value)
        else:
            merged[key] = value
    return merged


def _another(there: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Whether two mappings are of different things, whose options say nothing to each other."""
    return any(key in value and value[key] != there.get(key) for key in ("name", "kind"))


def _check(recipe: Recipe, path: Path, *, trained: bool) -> None:
    try:
        recipe.class_values  # noqa: B018 (colours and values are checked as they are made)
        bands = {modality.name: len(modality.bands) for modality in recipe.modalities}
        network = unbuilt_network(recipe.network.name, recipe.network.options, bands, len(recipe.classes))
    except EngineError as error:
        raise RecipeError(f"{path}: {error}") from error
    smallest = SMALLEST_CHIP if network.tile is None else 2 * network.margin + 1
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


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f"--set {override}: expected KEY=VALUE, as in schedule.epochs=3")
    target: Any = content
    *parents, last = key.split(".")
    for parent in parents:
        if isinstance(target, list):
            target = target[_position(target, parent, key)]
        elif isinstance(target, dict):
            target = target.setdefault(parent, {})
        else:
            raise RecipeError(f"--set {key}: {parent} is below a single value")
    if isinstance(target, list):
        target[_position(target, last, key)] = yaml.safe_load(value)
    elif isinstance(target, dict):
        target[last] = yaml.safe_load(value)
    else:
        raise RecipeError(f"--set {key}: {last} is below a single value")


def _position(items: list[Any], text: str, key: str) -> int:
    if not text.isdigit() or int(text) >= len(items):
        raise RecipeError(f"--set {key}: {text} is no position in a list of {len(items)}")
    return int(text)


def _explained(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"  {where}: {message}" if where else f"  {message}")
    return "\n".join(lines)
