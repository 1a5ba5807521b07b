"""The parts of a recipe that say what is trained and how: modalities, classes, schedules, stages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.data.settings import MethodSettings, Settings
from engine.modality import PHYSICAL, LandClass, Modality, Values


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

    @model_validator(mode="after")
    def _possible(self) -> ClassSettings:
        self.checked()
        return self

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
            ``step_epochs`` epochs, or after each of ``milestones``; ``constant``.
        milestones: Epochs of the stage, in their order, after which the rate falls in place of every ``step_epochs``.
        warmup: Share of the steps in which the rate rises linearly from ``warmup_from`` times its value.
    """

    name: Literal["poly", "cosine", "step", "constant"] = "poly"
    power: float = 0.9
    gamma: float = Field(default=0.91, gt=0, le=1)
    step_epochs: int = Field(default=5, ge=1)
    milestones: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] | None = None
    warmup: float = Field(default=0.05, ge=0, lt=1)
    warmup_from: float = Field(default=0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _milestones_are_steps(self) -> DecaySettings:
        if self.milestones is not None and self.name != "step":
            raise ValueError(f"milestones: {self.name} has none; choose name: step, or leave them out")
        if self.milestones is not None and list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones: the epochs do not rise; put them in their order, each once")
        return self


class ScheduleSettings(Settings):
    """How long and in what steps.

    Args:
        epochs: Epochs of ``samples`` chips each.
        batch: Chips a step.
        accumulate: Parts that the chips of a step are computed in, one after the other, where they do not fit into the
            memory together. The step's loss is the mean of its parts'; batch norms see a part.
        ema: What the exponential moving average of the weights keeps at each step, as .999: the average is validated,
            kept and gone on with in place of the weights themselves. None averages nothing.
        patience: Validations without a better score after which the stage ends early. None: it never does.
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
    accumulate: int = Field(default=1, ge=1)
    ema: float | None = Field(default=None, gt=0, lt=1)
    patience: int | None = Field(default=None, ge=1)
    validate_every: int | None = Field(default=1, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    keep_every: int | None = Field(default=None, ge=1)
    workers: int = Field(default=0, ge=0)
    clip: float | None = Field(default=1.0, gt=0)
    optimizer: OptimizerSettings = OptimizerSettings()
    decay: DecaySettings = DecaySettings()

    @model_validator(mode="after")
    def _goes_together(self) -> ScheduleSettings:
        if self.patience is not None and self.validate_every is None:
            raise ValueError("patience counts validations; set validate_every, or leave patience out")
        if self.accumulate > self.batch:
            raise ValueError(f"accumulate: a step of {self.batch} chips has no {self.accumulate} parts")
        return self

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
