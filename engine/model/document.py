"""The JSON document of a model file, which says all that a host must know of the graph."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.modality import BandStatistics, LandClass, LinearScale, Modality, Values

KEY = "robust_landcover"
"""The key of the document in the graph's ``metadata_props``."""

SCHEMA = 2
"""Version of the document; a newer one is refused. Version 1 had no intervals and blocks, and never a test split."""

AVAILABILITY = "availability"
"""Name of the graph's input that says which modalities are there; a modality's input has its name."""

WEAK = 1.5
"""Times the mIoU of a guess, below which a scenario is weak."""

OUTPUTS = ("classes", "confidence", "probabilities", "logits")


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BandFacts(_Document):
    """A band's name and its values on the training pixels, in the sensor's units.

    Args:
        scale: What its numbers are multiplied by to be physical values; None in models of engines that did not say.
        offset: What is added then.
    """

    name: str
    mean: float
    std: float
    minimum: float
    maximum: float
    scale: float | None = None
    offset: float | None = None


class ModalityFacts(_Document):
    """A modality; its input has this name, data type and number of bands.

    Args:
        values: Whether it takes numbers as the training's sources stored them, or physical values.
    """

    name: str
    dtype: str
    unit: str
    values: Values = "stored"
    bands: tuple[BandFacts, ...]


class ClassFacts(_Document):
    """A class's value in the map, its name and its colour; its place in the list is its index."""

    value: int
    name: str
    color: str


class PixelSize(_Document):
    """The training pixels, in the units of ``crs`` (None: images without georeference).

    Args:
        metres: Their size on the ground: the root of a pixel's geodesic area where they were; None without
            georeference, and in models of engines that did not say.
    """

    x: float
    y: float
    crs: str | None
    metres: float | None = None


Interval = tuple[float, float]


class ScenarioAccuracy(_Document):
    """Accuracy in one scenario on a split of the training data, mapped with the model's tile and halo.

    Intervals are of 95 %, by a bootstrap over spatial blocks of the split.

    Args:
        chosen: Whether checkpoint, tile or halo were chosen on this split, so that its figures are rather too good;
            None in models of engines that did not say.
        pixels: On how many labelled pixels; None in models of engines that did not say.
        blocks: In how many spatial blocks these lie; None in models of engines that did not say.
        miou_interval: None of too few blocks, and in models of engines that did not say.
        overall_accuracy_interval: As that of the mIoU.
        classes: IoU of each class, in the model's order, None for a class that neither truth nor map had there; None in
            models of engines that did not say.
        class_intervals: Of each class's IoU, None for one that too few blocks had; None as a whole in models of engines
            that did not say.
    """

    scenario: str
    split: str
    chosen: bool | None = None
    miou: float
    miou_interval: Interval | None = None
    overall_accuracy: float
    overall_accuracy_interval: Interval | None = None
    pixels: int | None = None
    blocks: int | None = None
    classes: tuple[float | None, ...] | None = None
    class_intervals: tuple[Interval | None, ...] | None = None

    @property
    def named_split(self) -> str:
        """The split, and whether something was chosen on it."""
        return f"{self.split} (chosen on it)" if self.chosen else self.split


class TrainingFacts(_Document):
    """What the model was trained on and how.

    Args:
        area: West, south, east and north of the training scenes in degrees (WGS 84); None without georeference.
        recipe: A hash of the recipe.
    """

    data: tuple[str, ...]
    area: tuple[float, float, float, float] | None = None
    licence: str
    network: str
    method: str
    recipe: str


class ModelMetadata(_Document):
    """The document.

    Args:
        tile: Size in pixels of the tiles that the model maps: a part of the model, since its answer depends on it.
        halo: Half the overlap of neighbouring tiles.
        inner_only: Whether a tile has no answer in its halo, since the network needs that much around every pixel.
        seam: How neighbours are joined.
        sizes: Whether the graph takes tiles of that size only.
        parity: Largest difference of a logit between network and graph, over the scenarios tested.
    """

    schema_version: int = SCHEMA
    name: str
    engine: str
    modalities: tuple[ModalityFacts, ...] = Field(min_length=1)
    classes: tuple[ClassFacts, ...] = Field(min_length=2)
    pixel_size: PixelSize
    tile: int = Field(ge=1)
    halo: int = Field(ge=0)
    inner_only: bool = False
    seam: str = "crossfade"
    sizes: str = "fixed"
    accuracy: tuple[ScenarioAccuracy, ...] = ()
    training: TrainingFacts
    parity: float | None = None

    @field_validator("modalities")
    @classmethod
    def _names_are_free(cls, modalities: tuple[ModalityFacts, ...]) -> tuple[ModalityFacts, ...]:
        taken = {AVAILABILITY, *OUTPUTS}
        for item in modalities:
            if item.name in taken:
                raise ValueError(
                    f"no modality can be called {item.name}: another has that name, or it is an input or output of "
                    f"every model ({', '.join((AVAILABILITY, *OUTPUTS))})"
                )
            taken.add(item.name)
        return modalities

    @property
    def modality_values(self) -> tuple[Modality, ...]:
        """The modalities with their statistics."""
        return tuple(
            Modality(
                item.name,
                tuple(band.name for band in item.bands),
                item.dtype,
                item.unit,
                tuple(BandStatistics(band.mean, band.std, band.minimum, band.maximum) for band in item.bands),
                _scales(item.bands),
                item.values,
            )
            for item in self.modalities
        )

    @property
    def guess(self) -> float:
        """The mIoU of a guess: of classes that are equally frequent and drawn by lot."""
        return 1 / (2 * len(self.classes) - 1)

    def is_weak(self, miou: float) -> bool:
        """Whether a mIoU, or the IoU of a class, is hardly better than that of a guess."""
        return miou < WEAK * self.guess

    @property
    def expected(self) -> dict[str, ScenarioAccuracy]:
        """The accuracy to expect in each scenario that was measured: on the test split, where that was."""
        return {one.scenario: one for one in sorted(self.accuracy, key=lambda one: one.split == "test")}

    @property
    def class_values(self) -> tuple[LandClass, ...]:
        """The classes in the order of their indices."""
        return tuple(LandClass(item.value, item.name, item.color) for item in self.classes)


def modality_facts(modality: Modality) -> ModalityFacts:
    """A modality as the document holds it."""
    scales = modality.scales or ((None, None),) * len(modality.bands)
    bands = tuple(
        BandFacts(
            name=name,
            mean=band.mean,
            std=band.std,
            minimum=band.minimum,
            maximum=band.maximum,
            scale=scale,
            offset=offset,
        )
        for name, band, (scale, offset) in zip(modality.bands, modality.statistics, scales, strict=True)
    )
    return ModalityFacts(
        name=modality.name, dtype=modality.dtype, unit=modality.unit, values=modality.values, bands=bands
    )


def _scales(bands: Iterable[BandFacts]) -> tuple[LinearScale, ...] | None:
    pairs = [(band.scale, band.offset) for band in bands]
    known = [(scale, offset) for scale, offset in pairs if scale is not None and offset is not None]
    return tuple(known) if len(known) == len(pairs) else None
