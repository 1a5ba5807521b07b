"""What a map leaves: class map and what else is wanted as cloud-optimised GeoTIFFs, and what stands beside them.

Beside a class map ``map.tif`` stand ``map.tif.aux.xml`` (category names, attribute table with pixels, hectares and mean
confidence), ``map.qml`` (QGIS's style), ``map.tif.hashes.json`` (for ``engine verify``) and ``map.tif.provenance.json``
(how and when it was made). The rasters themselves hold no dates: equal jobs give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime
import rasterio
from numpy.typing import NDArray

import engine
from engine.errors import OutputError
from engine.grid import Grid, PixelAreas, Window, even_part
from engine.mapping.mosaic import MapBlock
from engine.mapping.spool import Spool, SpoolLayer
from engine.mapping.values import Seen, tallied
from engine.modality import Modality, map_dtype
from engine.model.file import Model
from engine.raster.cog import RawLayer, write_cog
from engine.raster.legend import ClassRow, pam, style
from engine.raster.sources import SourceSpec
from engine.raster.writing import part_of, publish, write_beside

PERCENT_NODATA = 255


@dataclass(frozen=True)
class Provenance:
    """How a map was made.

    Args:
        device: The device that was used.
        seconds: Of this run until the rasters were written.
        resumed: Share of the map that a run before had finished.
        shares: Share of the pixels in each scenario.
        sources: For each modality, its sources with size and time of change.
        model: SHA-256 of the model file.
        warnings: What the user was told.
        values: For each modality how its values compare with the training's.
        origins: For each modality the rasters of its mosaic in their order.
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


class MapOutputs:
    """The rasters of one map.

    Args:
        model: Its model.
        grid: The map's.
        output: The class map.
        confidence: The confidence, where it is wanted.
        availability: The availability, where it is wanted.
        probabilities: The probabilities of all classes, where they are wanted.
        origin: For each modality the raster of its mosaic that a pixel was read from, where that is wanted.

    Raises:
        OutputError: If one of them cannot be written there.
    """

    def __init__(
        self,
        model: Model,
        grid: Grid,
        output: Path,
        confidence: Path | None,
        availability: Path | None,
        probabilities: Path | None,
        origin: Path | None,
    ) -> None:
        self.model, self.grid = model, grid
        wanted = {
            "classes": output,
            "confidence": confidence,
            "availability": availability,
            "probabilities": probabilities,
            "origin": origin,
        }
        self.paths = {name: Path(path) for name, path in wanted.items() if path is not None}
        if len(set(self.paths.values())) < len(self.paths):
            raise OutputError(f"{output}: {', '.join(self.paths)} need files of their own")
        for path in self.paths.values():
            if path.is_dir():
                raise OutputError(f"{path}: is a folder; name a file in it")
            if not path.parent.is_dir():
                raise OutputError(f"{path}: cannot be written: there is no folder {path.parent}")
        dtype, self.nodata = map_dtype(model.classes)
        self._values = np.array([item.value for item in model.classes], dtype=dtype)
        masks = "uint8" if len(model.names) <= 8 else "uint16" if len(model.names) <= 16 else "uint32"
        kinds = {
            "classes": SpoolLayer(dtype),
            "confidence": SpoolLayer("uint8"),
            "availability": SpoolLayer(masks),
            "probabilities": SpoolLayer("uint8", len(model.classes)),
            "origin": SpoolLayer("uint16", len(model.names)),
        }
        self.layers = {name: kinds[name] for name in self.paths}
        self._areas = None if grid.crs is None else PixelAreas(grid)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel in all layers."""
        return sum(layer.pixel_bytes for layer in self.layers.values())

    def spare(self, inputs: Sequence[str]) -> None:
        """Refuses to write over what is read.

        Args:
            inputs: Paths of all that the map is made from.

        Raises:
            OutputError: If an output is one of them.
        """
        taken = {Path(path).resolve() for path in inputs}
        for path in self.paths.values():
            if path.resolve() in taken:
                raise OutputError(f"{path}: the map is made from this file; name another output")

    def collect(self, blocks: Iterator[MapBlock], window: Window, spool: Spool, tiles: Sequence[int]) -> None:
        """Puts all blocks of ``window`` into the spool, a strip at a time.

        Args:
            blocks: Of the strips that the spool lacks.
            window: What is mapped.
            spool: The spool.
            tiles: How many each of these strips has.

        Raises:
            OutputError: If the disk is full, for instance.
        """
        tally = _Tally(self.model, self._areas)
        with ThreadPoolExecutor(1) as writer:  # a disk that is slow now and then does not keep the tiles waiting
            written: Future[None] | None = None
            for part, count in zip(spool.parts[spool.done :], tiles, strict=True):
                strips = {
                    name: np.empty((layer.bands, part.height, part.width), dtype=layer.kind)
                    for name, layer in self.layers.items()
                }
                for block in islice(blocks, count):
                    if not block.window.empty:
                        area = block.window.shifted(-window.row, -window.col)
                        valid = block.availability > 0
                        place = (slice(None), *area.within(part))
                        for name, values in self._layers_of(block, valid).items():
                            strips[name][place] = values
                        tally.add(block, valid, area)
                if written is not None:
                    written.result()
                written = writer.submit(spool.commit, strips, tally.taken())
            if written is not None:
                written.result()

    def _layers_of(self, block: MapBlock, valid: NDArray[np.bool_]) -> dict[str, NDArray[np.generic]]:
        found: dict[str, NDArray[np.generic]] = {
            "classes": np.where(valid, self._values[block.classes], self._values.dtype.type(self.nodata))
        }
        if "confidence" in self.layers:
            found["confidence"] = np.where(valid, block.confidence, np.uint8(PERCENT_NODATA))
        if "availability" in self.layers:
            found["availability"] = block.availability
        if block.probabilities is not None:
            found["probabilities"] = np.where(valid, block.probabilities, np.uint8(PERCENT_NODATA))
        if block.origin is not None:
            found["origin"] = block.origin
        return found

    def seen(self, spool: Spool, modality: Modality) -> Seen:
        """What the map's pixels hold of a modality."""
        tallies = [spool.tally(tally_name(modality.name, number)) for number in range(len(modality.bands) + 1)]
        return Seen.of_tallies(tallies)

    def publish(self, spool: Spool, provenance: Provenance) -> None:
        """Writes the rasters, then what stands beside them, and renames them, the class map last.

        Raises:
            OutputError: If something cannot be written; the spool stays.
        """
        asides = {name: part_of(path) for name, path in self.paths.items()}
        try:
            for name, aside in asides.items():
                write_cog(self._raw(name, spool, provenance), self.grid, aside)
                aside.with_name(f"{aside.name}.aux.xml").unlink(missing_ok=True)  # GDAL's; ours says more
            digests = {name: file_digest(aside) for name, aside in asides.items()}
            self._write_sidecars(spool, provenance, digests)
            for name in reversed(list(asides)):
                publish(asides[name], self.paths[name])
        finally:
            for aside in asides.values():
                with suppress(OSError):
                    aside.unlink(missing_ok=True)

    def _raw(self, name: str, spool: Spool, provenance: Provenance) -> RawLayer:
        metadata = self.model.metadata
        tags = {
            "ENGINE": engine.__version__,
            "MODEL": metadata.name,
            "MODEL_SHA256": provenance.model,
            "SCENARIO_SHARES": json.dumps(dict(provenance.shares)),
        }
        raw = partial(RawLayer, spool.raw(name), spool.panels, self.layers[name].dtype)
        if name == "classes":
            return raw(self.nodata, ["class"], "mode", self.model.classes, tags)
        if name == "confidence":
            return raw(PERCENT_NODATA, ["confidence in percent"], "average", (), tags)
        if name == "probabilities":
            bands = [f"{item.name} in percent" for item in self.model.classes]
            return raw(PERCENT_NODATA, bands, "average", (), tags)
        if name == "origin":
            rasters = {
                f"{modality.upper()}_{number}": raster
                for modality, many in provenance.origins.items()
                for number, raster in enumerate(many, 1)
            }
            return raw(0, [f"raster of {modality}" for modality in self.model.names], "mode", (), tags | rasters)
        return raw(0, ["availability: " + ", ".join(self.model.names)], "mode", (), tags)

    def _write_sidecars(self, spool: Spool, provenance: Provenance, digests: Mapping[str, str]) -> None:
        path = self.paths["classes"]
        write_beside(path.with_name(f"{path.name}.aux.xml"), pam(self.model.classes, self._rows(spool)))
        write_beside(path.with_suffix(".qml"), style(self.model.classes))
        for name, raster in self.paths.items():
            hashes = {
                "sha256": digests[name],
                "parts": [[*line.part, line.hashes[name]] for line in spool.lines],
            }
            write_beside(raster.with_name(f"{raster.name}.hashes.json"), json.dumps(hashes))
        facts = {
            "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "engine": engine.__version__,
            "gdal": rasterio.__gdal_version__,
            "onnxruntime": onnxruntime.__version__,
            "model_name": self.model.metadata.name,
            "model_path": str(self.model.path),
            **asdict(provenance),
        }
        write_beside(path.with_name(f"{path.name}.provenance.json"), json.dumps(facts, indent=1))

    def _rows(self, spool: Spool) -> list[ClassRow]:
        pixels, confidence = spool.tally("pixels"), spool.tally("confidence")
        areas = None if self._areas is None else spool.tally("area")
        return [
            ClassRow(
                item,
                int(pixels[index]),
                None if areas is None else areas[index] / 10_000,
                confidence[index] / pixels[index] if pixels[index] else None,
            )
            for index, item in enumerate(self.model.classes)
        ]


class _Tally:
    """Counts a row of tiles: pixels, confidence and area of each class, and pixels of each availability."""

    def __init__(self, model: Model, areas: PixelAreas | None) -> None:
        self.count, self.areas = len(model.classes), areas
        self.joint = np.zeros((self.count + 1) * 101, dtype=np.int64)
        self.area = np.zeros(self.count)
        self.masks: Counter[int] = Counter()
        self.bands = {modality.name: len(modality.bands) for modality in model.modalities}
        self.seen: dict[str, list[NDArray[np.generic]]] = {name: [] for name in self.bands}

    def add(self, block: MapBlock, valid: NDArray[np.bool_], area: Window) -> None:
        """Adds a block that lies at ``area`` of the map."""
        for name, values in block.seen.items():
            self.seen[name].append(values)
        classes = np.where(valid, block.classes, self.count).astype(np.int32)
        joint = np.bincount((classes * 101 + block.confidence).ravel(), minlength=len(self.joint))
        self.joint += joint
        if self.areas is not None:
            areas = self.areas.parts(area)
            counts = joint.reshape(-1, 101).sum(axis=1) if areas.size == 1 else self._by_part(classes, *areas.shape)
            self.area += areas.ravel() @ counts.reshape(areas.size, -1)[:, : self.count]
        first = int(block.availability.flat[0])
        if (block.availability == first).all():
            self.masks[first] += block.availability.size
        else:
            masks, numbers = np.unique(block.availability, return_counts=True)
            self.masks.update(dict(zip(masks.tolist(), numbers.tolist(), strict=True)))

    def _by_part(self, classes: NDArray[np.int32], down: int, across: int) -> NDArray[np.int64]:
        """Pixels of each class in each part of :meth:`PixelAreas.parts`, the nodata last."""
        height, width = classes.shape
        size = self.count + 1
        places = classes + (even_part(height, down) * across * size).astype(np.int32)[:, None]
        places += (even_part(width, across) * size).astype(np.int32)
        return np.bincount(places.ravel(), minlength=down * across * size)

    def taken(self) -> dict[str, dict[str, float]]:
        """The sums, by name and key; counts anew from here."""
        by_class = self.joint.reshape(-1, 101)[: self.count]
        found = {
            "pixels": by_class.sum(axis=1).tolist(),
            "confidence": (by_class @ np.arange(101)).tolist(),
            "area": self.area.tolist(),
        }
        tallies = {name: {str(key): number for key, number in enumerate(sums)} for name, sums in found.items()}
        tallies["availability"] = _keyed(self.masks)
        for name, parts in self.seen.items():
            counted = tallied(np.concatenate(parts, axis=1) if parts else np.empty((self.bands[name], 0)))
            tallies |= {tally_name(name, band): _keyed(counts) for band, counts in enumerate(counted)}
            parts.clear()
        self.joint[:], self.area[:] = 0, 0
        self.masks.clear()
        return tallies


def tally_name(modality: str, number: int) -> str:
    """What the tally of a modality's band, or behind the last one of what all bands hold alike, is called."""
    return f"{modality} {number}"


def _keyed(counts: Mapping[int, float]) -> dict[str, float]:
    return {str(key): number for key, number in counts.items()}


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def source_identity(spec: SourceSpec) -> list[object]:
    """A source's name and, where it is a file, size and time of change: what tells a job from another."""
    try:
        status = Path(spec.file).stat()
    except OSError:  # a URI or subdataset
        return [str(spec)]
    return [str(spec), status.st_size, status.st_mtime_ns]
