"""From the spool to the files that a map leaves: written aside, read again and compared, then renamed.

Beside a class map ``map.tif`` stand ``map.tif.aux.xml`` (category names, attribute table with pixels, hectares and mean
confidence), ``map.qml`` (QGIS's style; beside confidence and availability too), ``map.qmd`` (what QGIS tells of it)
and ``map.tif.hashes.json`` (for ``engine verify``), both beside every raster, and ``map.tif.provenance.json`` (how and
when it was made, and the hash of every file). The rasters hold no dates: equal jobs give equal bytes.

All that stood beside an older map goes first, then the rasters get their names, the class map last, then what stands
beside them: a run that is killed in between leaves a map with its own legend or with none, never with another's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime
import rasterio
from rasterio.errors import RasterioError

import engine
from engine.errors import OutputError
from engine.files import aside, file_digest, publish, unwritable
from engine.grid import Window
from engine.mapping.facts import damaged, facts_of, places, self_digest
from engine.mapping.outputs import PERCENT_NODATA, MapOutputs
from engine.mapping.request import MapRequest
from engine.mapping.spool import Spool
from engine.raster.cog import RawLayer, write_cog
from engine.raster.legend import ClassRow, availability_style, layer_metadata, pam, percent_style, style
from engine.raster.pam import xml_digest

STYLED = ("classes", "confidence", "availability")
"""Layers that get a style; probabilities and origin have a band for each class or modality."""

TITLES = {
    "classes": "Land cover",
    "confidence": "Confidence of land cover, in percent",
    "availability": "Sensors that each pixel of land cover had, as bits",
    "probabilities": "Probabilities of land-cover classes, in percent",
    "origin": "Raster of a mosaic that land cover was made from, by sensor",
}
"""What layers are called."""


@dataclass(frozen=True)
class Provenance:
    """How a map was made.

    Args:
        device: The device that was used.
        seconds: Of this run until the rasters were written.
        resumed: Share of the map that a run before had finished.
        shares: Share of the pixels in each scenario.
        sources: For each modality, its sources with the state of every file.
        model: SHA-256 of the model file.
        warnings: What the user was told.
        values: For each modality how its values compare with the training's.
        origins: For each modality the rasters of its mosaic in their order.
        groups: For each class of the map that is a group, the model's classes in it.
        left: Share of the pixels that sensors saw and that were left without a class, by why.
        command: The request as a command.
    """

    device: str
    seconds: float
    resumed: float
    shares: Mapping[str, float]
    sources: object
    model: str
    warnings: Sequence[str]
    values: object
    origins: Mapping[str, Sequence[str]]
    groups: Mapping[str, Sequence[str]]
    left: Mapping[str, float]
    command: str


def beside(raster: Path, layer: str) -> dict[str, Path]:
    """What stands beside a raster of a map, by what it is."""
    found = {"hashes": raster.with_name(f"{raster.name}.hashes.json"), "metadata": raster.with_suffix(".qmd")}
    if layer in STYLED:
        found["style"] = raster.with_suffix(".qml")
    if layer == "classes":
        found["legend"] = raster.with_name(f"{raster.name}.aux.xml")
        found["provenance"] = raster.with_name(f"{raster.name}.provenance.json")
    return found


def around(raster: Path) -> list[Path]:
    """Every file that GDAL, QGIS or an engine takes to belong to a raster, whatever layer it is of.

    Left beside a new raster, a legend, statistics, a mask or overviews of an older one would speak for it.
    """
    ends = (".hashes.json", ".aux.xml", ".provenance.json", ".msk", ".ovr")
    named = (raster.with_name(f"{raster.name}{end}") for end in ends)
    return [*named, *map(raster.with_suffix, (".qml", ".qmd"))]


def standing(request: MapRequest) -> list[Path]:
    """Every file that, left by an older map, would speak for a new one: what is beside its rasters, and its report."""
    found = [one for raster in request.outputs.values() for one in around(raster)]
    return [*found, *([] if request.report is None else [request.report])]


def publish_map(outputs: MapOutputs, request: MapRequest, spool: Spool, provenance: Provenance) -> None:
    """Writes the rasters of a map and what stands beside them, each aside, and gives all of them their names.

    Args:
        outputs: The layers.
        request: Names the file of each.
        spool: Holds their values.
        provenance: How they were made.

    Raises:
        OutputError: If something cannot be written, or is not read as it was written; the spool stays.
    """
    paths = request.outputs
    with ExitStack() as stack:
        rasters = {name: stack.enter_context(aside(path)) for name, path in paths.items()}
        for name, found in rasters.items():
            write_cog(_raw(outputs, name, spool, provenance), outputs.grid, found, paths[name])
            _check(found, paths[name], _parts(spool, name))
        texts = _texts(outputs, paths, rasters, spool, provenance)
        sidecars = {path: stack.enter_context(aside(path)) for path in texts}
        for path, text in texts.items():
            sidecars[path].write_bytes(text)
        spool.begin_publishing()
        for old in standing(request):
            try:
                old.unlink(missing_ok=True)
            except OSError as error:
                raise unwritable(old, error) from error
        for name in reversed(list(rasters)):
            publish(rasters[name], paths[name])
        for path, found in sidecars.items():
            publish(found, path)


def _parts(spool: Spool, name: str) -> list[tuple[Window, str]]:
    return [(Window(*line.part), line.hashes[name]) for line in spool.lines]


def _check(found: Path, path: Path, parts: Sequence[tuple[Window, str]]) -> None:
    """Reads a raster again: GDAL does not always report a disk that fills up, and a disk may not keep what it took."""
    try:
        wrong = damaged(found, parts)
    except (RasterioError, OSError) as error:
        raise OutputError(f"{path}: cannot be read once it is written: {error}; is the disk full?") from error
    if wrong:
        raise OutputError(
            f"{path}: is not read as it was written, in {places(wrong)}; is the disk full or failing? Map again: what "
            "is finished is kept"
        )


def _texts(
    outputs: MapOutputs, paths: Mapping[str, Path], rasters: Mapping[str, Path], spool: Spool, provenance: Provenance
) -> dict[Path, bytes]:
    """The content of each file that stands beside a raster; the one that names all others comes last."""
    there = beside(paths["classes"], "classes")
    legend = pam(outputs.legend.classes, class_rows(outputs, spool))
    found = {there["legend"]: legend}
    digests: dict[str, str] = {}
    for name, raster in rasters.items():
        digests[paths[name].name] = file_digest(raster)
        status = raster.stat()
        hashes: dict[str, Any] = {
            "layer": name,
            "sha256": digests[paths[name].name],
            "size": status.st_size,
            "time": status.st_mtime_ns,
            "facts": facts_of(raster),
            "parts": [[*line.part, line.hashes[name]] for line in spool.lines],
        }
        texts = {"metadata": _metadata(outputs, name, provenance)}
        if name in STYLED:
            texts["style"] = _style(outputs, name, spool)
        for kind, text in texts.items():
            found[beside(paths[name], name)[kind]] = text
            hashes[kind] = _digest(text)
        found[beside(paths[name], name)["hashes"]] = json.dumps(hashes | {"digest": self_digest(hashes)})
    facts = {
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **versions(),
        "model_name": outputs.model.metadata.name,
        "model_path": str(outputs.model.path),
        **asdict(provenance),
    }
    facts = json.loads(json.dumps(facts))  # as it is read again, for the digest
    facts["files"] = digests | {one.name: _digest(text) for one, text in found.items()}
    facts["legend"] = xml_digest(legend)
    found[there["provenance"]] = json.dumps(facts | {"digest": self_digest(facts)}, indent=1)
    return {one: text.encode() for one, text in found.items()}


def versions() -> dict[str, str]:
    """Of what makes a map."""
    return {
        "engine": engine.__version__,
        "gdal": rasterio.__gdal_version__,
        "onnxruntime": onnxruntime.__version__,
    }


def _metadata(outputs: MapOutputs, name: str, provenance: Provenance) -> str:
    """What QGIS tells of a layer: what it is, and how well the model maps with the sensors that it had."""
    metadata = outputs.model.metadata
    lines = [
        f"Made by the model {metadata.name} (SHA-256 {provenance.model}) with engine {engine.__version__}.",
        "Shares of the pixels by the sensors that they had, and the mIoU to expect there, as measured in the training:",
    ]
    for scenario, share in provenance.shares.items():
        known = metadata.expected.get(scenario)
        told = "" if known is None else f", mIoU {known.miou:.2f}"
        weak = known is not None and metadata.is_weak(known.miou)
        lines.append(f"{scenario}: {share:.2%}{told}{', hardly better than guessing' if weak else ''}")
    return layer_metadata(f"{TITLES[name]} ({metadata.name})", "\n".join(lines), provenance.command)


def _style(outputs: MapOutputs, name: str, spool: Spool) -> str:
    if name == "classes":
        return style(outputs.legend.classes)
    if name == "confidence":
        return percent_style()
    return availability_style(outputs.model.names, filter(None, spool.tally("availability")))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _raw(outputs: MapOutputs, name: str, spool: Spool, provenance: Provenance) -> RawLayer:
    metadata = outputs.model.metadata
    tags = {
        "ENGINE": engine.__version__,
        "MODEL": metadata.name,
        "MODEL_SHA256": provenance.model,
        "SCENARIO_SHARES": json.dumps(dict(provenance.shares)),
    }
    raw = partial(RawLayer, spool.raw(name), spool.panels, outputs.layers[name].dtype)
    if name == "classes":
        return raw(outputs.nodata, ["class"], "mode", outputs.legend.classes, tags)
    if name == "confidence":
        return raw(PERCENT_NODATA, ["confidence in percent"], "average", (), tags)
    if name == "probabilities":
        bands = [f"{item.name} in percent" for item in outputs.legend.classes]
        return raw(PERCENT_NODATA, bands, "average", (), tags)
    if name == "origin":
        rasters = {
            f"{modality.upper()}_{number}": raster
            for modality, many in provenance.origins.items()
            for number, raster in enumerate(many, 1)
        }
        return raw(0, [f"raster of {modality}" for modality in outputs.model.names], "mode", (), tags | rasters)
    return raw(0, ["availability: " + ", ".join(outputs.model.names)], "mode", (), tags)


def class_rows(outputs: MapOutputs, spool: Spool) -> list[ClassRow]:
    """What the map has of each class."""
    pixels, confidence = spool.tally("pixels"), spool.tally("confidence")
    areas = None if outputs.areas is None else spool.tally("area")
    return [
        ClassRow(
            item,
            int(pixels[index]),
            None if areas is None else areas[index] / 10_000,
            confidence[index] / pixels[index] if pixels[index] else None,
        )
        for index, item in enumerate(outputs.legend.classes)
    ]
