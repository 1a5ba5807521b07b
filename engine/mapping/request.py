"""A map as one request: what the command line, a job and the Python interface are made from.

An option stands here once, with the words of the command line; :func:`command_line` writes a request as a command.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from engine.errors import InputError, ModalityError
from engine.mapping.groups import Group
from engine.mapping.mosaic import Seam
from engine.raster.masks import MaskSpec, parse_masks
from engine.raster.mosaics import Order
from engine.raster.sources import SourceSpec
from engine.runtime.session import DEVICES

Unfinished = Literal["refuse", "replace", "discard"]
"""What to do where an unfinished map lies at the output. One of the same job is gone on with, unless it is to be
discarded; one of another job is refused or replaced."""


@dataclass(frozen=True)
class Option:
    """How the command line calls a field of a request.

    Args:
        flag: As in ``--like``; of a field with fixed values, ``--discard-unfinished=discard`` sets one of them.
        help: One sentence.
        metavar: What its value is called.
    """

    flag: str
    help: str
    metavar: str | None = None


def _pairs(text: str, what: str, example: str) -> tuple[str, str]:
    name, equals, rest = text.partition("=")
    if not (name and equals and rest):
        raise ModalityError(f"{text}: expected {what}, as in {example}")
    return name, rest


def parse_sources(texts: tuple[str, ...]) -> dict[str, tuple[SourceSpec, ...]]:
    """``NAME=PATH[@BANDS]`` each; a name that comes again adds its bands behind those before.

    Raises:
        ModalityError: If one is not of that form.
        BandError: If its bands or keys are not.
    """
    sources: dict[str, tuple[SourceSpec, ...]] = {}
    for text in texts:
        name, path = _pairs(text, "NAME=PATH[@BANDS]", "optical=scene.tif@3,2,1")
        sources[name] = (*sources.get(name, ()), SourceSpec.parse(path))
    return sources


def parse_named_masks(texts: tuple[str, ...]) -> dict[str, tuple[MaskSpec, ...]]:
    """``NAME=MASK`` each, with ``NAME:2`` for the second raster of a mosaic.

    Raises:
        ModalityError: If one is not of that form.
        BandError: If a rule is unknown.
    """
    named = [_pairs(text, "NAME=MASK", "optical=scl.tif:values=3,8,9") for text in texts]
    return {name: tuple(masks) for name, masks in parse_masks(named).items()}


def _source(value: object) -> object:
    return SourceSpec.parse(value) if isinstance(value, str) else value


def _sources(value: object) -> object:
    if isinstance(value, Mapping):
        return {
            name: tuple(map(_source, many if isinstance(many, list | tuple) else [many]))
            for name, many in value.items()
        }
    return value


def _masks(value: object) -> object:
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return parse_named_masks(tuple(value))
    return value


def _groups(value: object) -> object:
    if isinstance(value, list | tuple):
        return tuple(Group.parse(one) if isinstance(one, str) else one for one in value)
    return value


def _named_masks(masks: Mapping[str, tuple[MaskSpec, ...]]) -> list[str]:
    return [f"{name}{f':{mask.raster}' if mask.raster else ''}={mask}" for name, many in masks.items() for mask in many]


Source = Annotated[SourceSpec, BeforeValidator(_source), PlainSerializer(str)]
Sources = Annotated[Mapping[str, tuple[Source, ...]], BeforeValidator(_sources), Field(min_length=1)]
Masks = Annotated[Mapping[str, tuple[MaskSpec, ...]], BeforeValidator(_masks), PlainSerializer(_named_masks)]
Groups = Annotated[tuple[Group, ...], BeforeValidator(_groups), PlainSerializer(lambda many: list(map(str, many)))]

REPEATED = ("masks", "groups")
"""Fields whose option may come several times, with a part of the value each."""


class MapOptions(BaseModel):
    """How to map, whatever is mapped. A field holds a value or, as in JSON, the text that stands for it.

    Args:
        output: The class map.
        confidence: Also write the probability of each pixel's class in percent (nodata 255).
        availability: Also write the modalities of each pixel as a bit mask (nodata 0).
        probabilities: Also write the probability of every class in percent, a band each (nodata 255).
        origin: Also write which raster of each modality's mosaic a pixel was read from (from 1; 0 none), a band each.
        report: Also write a page on the map for people (HTML): areas, sensors, expected accuracy, how it was made.
        bounds: Left, bottom, right, top of the part to map.
        bounds_crs: Their CRS (``EPSG:...`` or WKT), the map's where None.
        area: A vector file (``PATH|LAYER``); what lies outside of its polygons is nodata, and neither read nor run.
        like: A raster whose grid the map gets.
        pixel_size: Size of a pixel in the CRS of the map, instead of the model's.
        masks: For each modality, what makes pixels of it invalid.
        mosaic: Which raster of a mosaic comes first.
        seam: How neighbouring tiles are joined.
        groups: Classes that are mapped as one.
        minimum_confidence: Percent below which a pixel has no class: nodata in the class map alone.
        minimum_accuracy: The mIoU, as the model's document expects it in a pixel's scenario, below which the pixel has
            no class; a scenario that was not measured does not have it.
        device: One of :data:`~engine.runtime.session.DEVICES`.
        threads: Tiles at a time; as many as there are processors where None. Fewer where memory is short.
        memory: Gigabytes (1e9 bytes) that this process may take, as far as is known before the map is begun.
        low_priority: Whether other programs come first, until this process ends.
        strict: Refuse values that are not those of the training. Where only the whole map shows that, what is finished
            is kept: a run that is not strict publishes it at once.
        network: Whether rasters may name files on the network, as a VRT can.
        overwrite: Whether a finished map may lie at the output.
        unfinished: What to do with an unfinished one.
        steal: Take the output over from another computer that seems to be at work on it, and is gone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)

    output: Annotated[Path, Option("-o", "The class map (GeoTIFF).", "MAP")]
    confidence: Annotated[Path | None, Option("--confidence", "Also write the confidence, 0-100.")] = None
    availability: Annotated[
        Path | None, Option("--availability", "Also write which sensors each pixel had, as bits.")
    ] = None
    probabilities: Annotated[
        Path | None, Option("--probabilities", "Also write the probabilities of all classes, 0-100.")
    ] = None
    origin: Annotated[
        Path | None, Option("--origin", "Also write which raster of a mosaic each pixel was read from.")
    ] = None
    report: Annotated[Path | None, Option("--report", "Also write a page on the map (HTML).")] = None
    bounds: Annotated[
        tuple[float, float, float, float] | None, Option("--bounds", "Map this part.", "LEFT BOTTOM RIGHT TOP")
    ] = None
    bounds_crs: Annotated[
        str | None, Option("--bounds-crs", "CRS of the bounds, as in EPSG:4326 [default: the map's].", "CRS")
    ] = None
    area: Annotated[str | None, Option("--area", "Map within these polygons only.", "FILE[|LAYER]")] = None
    like: Annotated[Source | None, Option("--like", "Map on the grid of this raster.", "RASTER")] = None
    pixel_size: Annotated[
        float | None,
        Field(gt=0),
        Option("--pixel-size", "Size of a pixel in the map's CRS [default: the model's].", "SIZE"),
    ] = None
    masks: Annotated[
        Masks,
        Option(
            "--mask",
            "Leave out pixels of a modality: NAME=PATH[@BAND]:values=3,8,9, NAME=PATH[@BAND]:bits=1,3, NAME=PATH:scl "
            "(Sentinel-2), NAME=PATH:qa_pixel (Landsat), or NAME=POLYGONS[|LAYER]. NAME:2 for the second raster of a "
            "mosaic; :outside at the end masks what the mask does not reach.",
            "NAME=MASK",
        ),
    ] = {}
    mosaic: Annotated[Order, Option("--mosaic", "Which of several rasters of the same bands comes first.")] = "given"
    seam: Annotated[Seam, Option("--seam", "Blend neighbouring tiles over their overlap, or crop each.")] = "crossfade"
    groups: Annotated[
        Groups,
        Option(
            "--group",
            "Map several classes, by name or value, as one: vegetation=forest,shrubland, or with a colour "
            "vegetation:#1c6330=forest,shrubland. It has the lowest value of its classes, and that one's colour unless "
            'it is given one. A name with one of " = , ; stands in double quotes.',
            "NAME=CLASS,...",
        ),
    ] = ()
    minimum_confidence: Annotated[
        int | None,
        Field(ge=1, le=100),
        Option("--minimum-confidence", "Leave pixels without a class whose confidence is below this.", "PERCENT"),
    ] = None
    minimum_accuracy: Annotated[
        float | None,
        Field(gt=0, le=1),
        Option(
            "--minimum-accuracy",
            "Leave pixels without a class from whose sensors the model, by its own figures, has a lower mIoU (0-1).",
            "MIOU",
        ),
    ] = None
    device: Annotated[str, Option("--device", f"One of {', '.join(DEVICES)}.", "DEVICE")] = "auto"
    threads: Annotated[
        int | None,
        Field(ge=1),
        Option("--threads", "Tiles at a time [default: the processors this process may use].", "N"),
    ] = None
    memory: Annotated[
        float | None, Field(gt=0), Option("--memory", "Take no more memory than this, by fewer tiles at a time.", "GB")
    ] = None
    low_priority: Annotated[bool, Option("--low-priority", "Let other programs come first.")] = False
    strict: Annotated[bool, Option("--strict", "Refuse values that are not those of the training.")] = False
    network: Annotated[bool, Option("--no-network", "Refuse rasters that name files on the network.")] = True
    overwrite: Annotated[bool, Option("--overwrite", "Write over a map that is there.")] = False
    unfinished: Annotated[
        Unfinished, Option("--discard-unfinished=discard", "Start anew where an unfinished map lies at the output.")
    ] = "refuse"
    steal: Annotated[
        bool, Option("--steal", "Take the output over from another computer that is gone, but seems at work on it.")
    ] = False


class MapRequest(MapOptions):
    """What to map with which model, and how.

    Args:
        model: The ``.onnx`` file.
        sources: For each modality that there is, its sources: the bands of files that follow each other are stacked
            until there are as many as the model takes; what follows then is another raster of a mosaic.
    """

    model: Path
    sources: Sources

    @property
    def outputs(self) -> dict[str, Path]:
        """The file of each layer that is wanted, the class map first."""
        wanted = {
            "classes": self.output,
            "confidence": self.confidence,
            "availability": self.availability,
            "probabilities": self.probabilities,
            "origin": self.origin,
        }
        return {name: path for name, path in wanted.items() if path is not None}

    @property
    def targets(self) -> list[Path]:
        """Every file that it names to be written."""
        return [*self.outputs.values(), *([] if self.report is None else [self.report])]


def map_request(**values: object) -> MapRequest:
    """A request of values, or of the texts that stand for them.

    Raises:
        InputError: If one is missing, unknown or impossible.
    """
    try:
        return MapRequest.model_validate(values)
    except ValidationError as error:
        raise InputError("the request cannot be done: " + explained(error)) from error


def map_options(text: str) -> MapOptions:
    """Options of a JSON object; a value must have the type of its field.

    Raises:
        InputError: If one is missing, unknown or impossible.
    """
    try:
        return MapOptions.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise InputError("the request cannot be done: " + explained(error)) from error


def explained(error: ValidationError) -> str:
    """What is wrong with which field."""
    said = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        said.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}" if where else problem["msg"])
    return "; ".join(said)


def options() -> dict[str, Option]:
    """The command line's options by the field that they set."""
    return {
        name: next(item for item in field.metadata if isinstance(item, Option))
        for name, field in MapOptions.model_fields.items()
    }


def command_line(request: MapRequest) -> str:
    """A request as a command to copy."""
    words = ["engine", "predict", str(request.model)]
    words += [f"{name}={spec}" for name, many in request.sources.items() for spec in many]
    for name, option in options().items():
        value: Any = getattr(request, name)
        flag, fixed, setting = option.flag.partition("=")
        if value == MapOptions.model_fields[name].default:
            continue
        if isinstance(value, bool):
            words.append(flag)
        elif fixed:
            words += [flag] if value == setting else []
        elif name in REPEATED:
            for text in _named_masks(value) if name == "masks" else map(str, value):
                words += [flag, text]
        elif isinstance(value, tuple):
            words += [flag, *(repr(number) for number in value)]
        else:
            words += [flag, str(value)]
    return shlex.join(words)
