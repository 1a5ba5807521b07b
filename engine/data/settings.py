"""The ``data`` part of a recipe: scenes, labels, split, chips."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from engine.grid import Bounds
from engine.raster.mosaics import Order

SplitName = Literal["train", "validation", "test"]


class Settings(BaseModel):
    """Base of everything in a recipe: unknown keys and infinite numbers are refused, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def option_fault(error: ValidationError, known: type[Settings]) -> str:
    """What is wrong with the options of something, as text behind the key that they stand under.

    Args:
        error: What checking them raised.
        known: Whose options they are.
    """
    first = error.errors()[0]
    place = first["loc"]
    same = [one for one in error.errors() if one["loc"][:1] == place[:1]]
    if first["type"] == "extra_forbidden":
        there = ", ".join(known.model_fields) or "none"
        return f".{'.'.join(map(str, place))}: there is no such option; the options are: {there}"
    if len(same) > 1:  # one for each of the types that it may have, whose names stand behind the option's
        place = place[:1]
    where = "".join(f".{part}" for part in place)
    return f"{where}: " + "; or ".join(one["msg"].removeprefix("Value error, ") for one in same)


def _as_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class Named(Settings):
    """Something by name, with its options; a bare name has none."""

    name: str
    options: Mapping[str, Any] = {}


Choice = Annotated[Named, BeforeValidator(_as_name)]


class MethodSettings(Settings):
    """How a stage trains.

    Args:
        scenarios: Draws the scenario that a sample is trained under: ``uniform``, ``dropout``, ``several``,
            ``incomplete``, ``complete`` or ``latent_guided``.
        objectives: What is minimised, added: ``cross_entropy``, ``unimodal_cross_entropy``, ``dice``,
            ``stars``, ``functional_entropy``, ``local_diffusion``, ``language_decoupling``,
            ``language_compensation`` or ``domain_decoupling``.
    """

    scenarios: Choice = Named(name="uniform")
    objectives: Annotated[tuple[Choice, ...], Field(min_length=1)] = (Named(name="cross_entropy"),)

    @model_validator(mode="after")
    def _once(self) -> MethodSettings:
        names = [one.name for one in self.objectives]
        if len(set(names)) < len(names):
            raise ValueError("an objective stands there twice")
        return self

    def __str__(self) -> str:
        return f"{' + '.join(one.name for one in self.objectives)} under {self.scenarios.name} scenarios"


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Paths = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
"""One or more sources. Bands are stacked in this order; what follows when a modality has all its own is a mosaic."""


class LabelSource(Settings):
    """Where the labels of a scene come from: a raster, or features with a class field.

    Args:
        path: ``PATH[@BAND]`` of a raster, ``PATH[|LAYER]`` of a vector file.
        field: The class field of a vector file.
        nodata: Whether a raster's nodata value and masks say where there is no label; if not, all values are labels.
        all_touched: Whether polygons label every pixel that they touch, and not those alone whose centre they hold.
    """

    path: str
    field: str | None = None
    nodata: bool = True
    all_touched: bool = False


class SceneSettings(Settings):
    """One place. A modality that it lacks is left out of ``sources``.

    ``masks`` leave out pixels of a modality, as ``--mask`` of ``engine predict`` does; ``optical:2`` is the second
    raster of its mosaic.

    ``{tile}`` in the paths stands for the part of the file names that differs: one scene for every file that
    matches the first of the patterns.
    """

    name: str
    sources: Mapping[str, Paths] = Field(min_length=1)
    masks: Mapping[str, Paths] = {}
    labels: LabelSource | None = None


def _in_order(values: tuple[int | str | None, ...]) -> tuple[int | str | None, ...]:
    """Each once and in one order, however they were written: a recipe's hash depends on it."""
    return tuple(sorted(set(values), key=lambda value: (isinstance(value, str), str(value).zfill(12))))


def _number(value: object) -> object:
    """A whole number that is written as text, as the keys of JSON are, is that number."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d+", value) else value


LabelValue = Annotated[int | str, BeforeValidator(_number)]


class LabelSettings(Settings):
    """What label values mean: values to replace (merging classes), and values that are never learned.

    Values are numbers, names of classes, or texts of a class field; null stands for features without a value.

    A label raster with three bands holds colours, whose values are ``0xRRGGBB``.
    """

    remap: Mapping[LabelValue, LabelValue] = {}
    ignore: Annotated[tuple[LabelValue | None, ...], AfterValidator(_in_order)] = ()


class BlockSplit(Settings):
    """Square blocks of the scene's grid: k = (row * block row + column * block column) mod modulo.

    Args:
        size: Pixels along a block.
        row: What counts for a block's row.
        column: What counts for a block's column.
        modulo: How many kinds of blocks there are.
        train: The kinds that train.
        validation: The kinds that validate.
        test: The kinds that test.
        buffer: Training pixels within so many pixels of a block for validation or test, along rows, columns and
            diagonals, do not count.
    """

    kind: Literal["blocks"]
    size: int = Field(ge=1)
    row: int = 1
    column: int = 2
    modulo: int = Field(ge=2)
    train: frozenset[int]
    validation: frozenset[int]
    test: frozenset[int] = frozenset()
    buffer: int = Field(default=0, ge=0)


class RegionSplit(Settings):
    """Rectangles (left, bottom, right, top) in the scene's CRS. What lies in none is not used."""

    kind: Literal["regions"]
    train: tuple[Bounds, ...]
    validation: tuple[Bounds, ...]
    test: tuple[Bounds, ...] = ()


class PolygonSplit(Settings):
    """Polygons of a vector file whose ``field`` says train, validation or test."""

    kind: Literal["polygons"]
    path: str
    field: str


class NamePattern(Settings):
    """Scenes by name (shell pattern), or every n-th of them in their order, counted from the first."""

    match: str
    every: int = Field(default=1, ge=1)


class SceneSplit(Settings):
    """Whole scenes, by their names. The first of validation, test, train that matches takes a scene."""

    kind: Literal["scenes"]
    validation: NamePattern
    test: NamePattern | None = None
    train: NamePattern


class FoldSplit(Settings):
    """Whole scenes, for cross-validation: shuffled, cut into folds; one is the test split.

    Args:
        folds: How many.
        fold: Which one is the test split, from 0.
        validation_every: Every n-th of the other scenes is for validation.
        seed: Of the shuffle, the same for all folds.
    """

    kind: Literal["folds"]
    folds: int = Field(default=5, ge=2)
    fold: int = Field(default=0, ge=0)
    validation_every: int = Field(default=10, ge=2)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_of_them(self) -> FoldSplit:
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} is none of 0 to {self.folds - 1}")
        return self


Scaling = Literal["standard", "mean", "band_range", "range", "quantile_range"]
"""How values are normalised: each band to zero mean and unit deviation, to zero mean alone, from 0 to 1, a whole sensor
from 0 to 1, or each band with its quantiles of 2 % and 98 % at -1 and 1.
"""


class ShareSplit(Settings):
    """A split by chance within each scene; what is for neither validation nor test is for training.

    Args:
        validation: Share of the pixels.
        test: Share of the pixels.
        seed: Of the draw.
    """

    validation: float = Field(gt=0, lt=1)
    test: float = Field(default=0, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _some_is_left(self) -> ShareSplit:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing for training")
        return self


class PixelSplit(ShareSplit):
    """Each pixel by itself, as papers on hyperspectral scenes do.

    For comparison with their figures alone: scores read high, since a test pixel's neighbours, which are nearly the
    same and lie in its window, are trained on. Other splits say what a model is worth elsewhere.
    """

    kind: Literal["pixels"]


class ComponentSplit(ShareSplit):
    """Whole connected regions of one class, by diagonals too: polygons, or fields of a label raster.

    For scenes with few scattered polygons, where blocks would leave classes out: no field is trained and tested on,
    though neighbouring ones of other classes may be. Shares are of each class's pixels, as near as its regions allow;
    each class has a region for training, one for test where it has two, and one for validation where it has three.
    Blocks, whole scenes or a buffer keep training and test farther apart.

    Args:
        buffer: Training pixels within so many pixels of a region for validation or test, along rows, columns and
            diagonals, do not count.
    """

    kind: Literal["components"]
    buffer: int = Field(default=0, ge=0)


Split = Annotated[
    BlockSplit | RegionSplit | PolygonSplit | SceneSplit | FoldSplit | PixelSplit | ComponentSplit,
    Field(discriminator="kind"),
]


class FewSettings(Settings):
    """How many of each class's training pixels are labelled for training; drawn at random over all scenes.

    Args:
        per_class: Pixels of a class that has more than so many.
        small: Pixels of a class that has no more; all where it has fewer, or where this is None.
        seed: Of the draw.
    """

    per_class: int = Field(ge=1)
    small: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _no_more(self) -> FewSettings:
        if self.small is not None and self.small > self.per_class:
            raise ValueError(f"small classes give {self.small} pixels and others {self.per_class}; at most as many")
        return self


class AugmentSettings(Settings):
    """How a sensor's values are changed in training chips, drawn anew for each chip; 0 changes nothing.

    Args:
        gain: Values are multiplied by a factor within 1 - gain and 1 + gain, as under another sun or calibration.
        offset: Each band is shifted by up to so many of its training deviations, as by haze.
        shift: All bands are shifted together by up to so much, in the sensor's unit, as heights on another datum.
        noise: Deviation of noise that is added to each pixel, in the band's training deviations.
        speckle: Looks of speckle that intensities are multiplied with: a gamma distribution of mean 1 and variance
            1 / looks. Where the sensor's unit says dB it is added in dB.
        band_dropout: Probability of each band to hold its training mean alone; one band stays at least.
    """

    gain: float = Field(default=0, ge=0, lt=1)
    offset: float = Field(default=0, ge=0)
    shift: float = Field(default=0, ge=0)
    noise: float = Field(default=0, ge=0)
    speckle: float | None = Field(default=None, gt=0)
    band_dropout: float = Field(default=0, ge=0, lt=1)


class DataSettings(Settings):
    """The ``data`` part of a recipe.

    Args:
        root: Folder that paths are relative to; itself relative to the recipe's folder.
        pixel_size: Size of a pixel in the units of the scenes' CRS; None takes that of the first modality.
        mosaic: Which raster comes first where there are several of the same bands: as they are given, the finest or
            the newest.
        sampling_power: A chip is drawn around a class with probability proportional to its share of the
            training pixels to this power: 1 as they occur, 0 every class alike.
        few: Labels only some pixels of the training split, whose other pixels then count for the bands' statistics
            alone. A chip is drawn around one of them, its centre where the chip's size is odd, and may reach outside
            of the scene. None labels all.
        scaling: How values are normalised, by what the training pixels hold.
        zoom: Chips are cropped around their centre to a size drawn from this one, in steps of two pixels, to their own,
            and resized back: one draw for all sensors. None leaves them.
        augment: By sensor, how its values are changed in training.
        cutout: Probability of a chip with two sensors or more to lose one of them in a rectangle of a tenth to a half
            of its area, as where an image ends or a cloud lies.
    """

    root: Path = Path()
    pixel_size: float | None = Field(default=None, gt=0)
    scenes: tuple[SceneSettings, ...] = Field(min_length=1)
    mosaic: Order = "given"
    labels: LabelSettings = LabelSettings()
    split: Split
    few: FewSettings | None = None
    chip: int = Field(default=128, ge=1)
    sampling_power: float = Field(default=0.5, ge=0, le=1)
    flips: bool = True
    quarter_turns: bool = True
    scaling: Scaling = "standard"
    zoom: int | None = Field(default=None, ge=1)
    augment: Mapping[str, AugmentSettings] = {}
    cutout: float = Field(default=0, ge=0, le=1)
    licence: str = ""

    @model_validator(mode="after")
    def _zoom_fits(self) -> DataSettings:
        if self.zoom is not None and self.zoom > self.chip:
            raise ValueError(f"zoom: a crop of {self.zoom} pixels is larger than a chip of {self.chip}")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> DataSettings:
        names = [scene.name for scene in self.scenes]
        if len(set(names)) < len(names):
            raise ValueError("two scenes have the same name")
        return self
