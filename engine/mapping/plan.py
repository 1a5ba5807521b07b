"""How a map is made, laid down before it is begun: the route of its tiles, its memory, and what job it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import engine
from engine.files import file_digest
from engine.mapping.inputs import Inputs
from engine.mapping.outputs import MapOutputs
from engine.mapping.request import MapRequest
from engine.mapping.tiles import Strip, TilePlan
from engine.raster.cog import writing_memory

SMALLEST_CACHE, LARGEST_CACHE = 16 * 1024**2, 512 * 1024**2
"""Bounds of GDAL's cache in bytes."""

PANEL = 4096
"""Columns of a panel in pixels, as far as whole tiles allow. Memory grows with them, and what borders panels is read
twice."""


@dataclass(frozen=True)
class MapPlan:
    """How a map is made.

    Args:
        tiles: The lattice of tiles over the whole grid.
        strips: Tiles in the order in which they are run.
        cache: Bytes for GDAL's cache.
        memory: Bytes that a map takes whatever runs.
        job: What decides the values of the map: model, sources, grid, tiles, classes, device, layers.
    """

    tiles: TilePlan
    strips: tuple[Strip, ...]
    cache: int
    memory: int
    job: Mapping[str, object]

    @property
    def panel(self) -> int:
        """Strips of a panel."""
        return sum(strip.cols == self.strips[0].cols for strip in self.strips)


def plan(request: MapRequest, inputs: Inputs, outputs: MapOutputs, device: str) -> MapPlan:
    """Lays down how a map is made; reads and writes nothing but the model's file.

    Args:
        request: What is wanted.
        inputs: What it is made from.
        outputs: The layers.
        device: The device that is used.
    """
    whole, metadata = inputs.whole, inputs.model.metadata
    tiles = TilePlan(whole.height, whole.width, metadata.tile, metadata.halo, metadata.inner_only)
    widest = max(reader.block_width for reader in inputs.readers.values())
    strips = tiles.strips(inputs.window, None if widest > PANEL else max(1, PANEL // tiles.stride))
    columns = max(strip.part.width for strip in strips) + tiles.tile
    rows = 2 * (tiles.tile + max(reader.block_height for reader in inputs.readers.values()))  # that tiles are read from
    cache = rows * columns * sum(reader.pixel_bytes for reader in inputs.readers.values())
    most = LARGEST_CACHE if request.memory is None else min(LARGEST_CACHE, int(request.memory * 1e9 / 4))
    cache = min(max(cache, SMALLEST_CACHE), most)
    largest = max(layer.pixel_bytes for layer in outputs.layers.values())
    held = 2 * outputs.pixel_bytes + largest  # strips in the making and on their way to the disk, one layer as bytes
    memory = cache + writing_memory(largest)
    memory += columns * (4 * len(outputs.legend.classes) * tiles.overlap + tiles.tile * held)
    return MapPlan(tiles, tuple(strips), cache, memory, _job(request, inputs, outputs, device))


def _job(request: MapRequest, inputs: Inputs, outputs: MapOutputs, device: str) -> dict[str, object]:
    metadata, grid, window = inputs.model.metadata, inputs.grid, inputs.window
    return {
        "engine": engine.__version__,
        "model": file_digest(inputs.model.path),
        "sources": inputs.identities,
        "grid": [grid.crs.to_wkt() if grid.crs else None, *grid.transform, grid.height, grid.width],
        "origin": [window.row, window.col, inputs.whole.height, inputs.whole.width],
        "masks": {
            name: [f"{f'{one.raster}: ' if one.raster else ''}{one}" for one in many]
            for name, many in request.masks.items()
        },
        "order": request.mosaic,
        "classes": [
            [one.value, one.name, one.color, list(members)]
            for one, members in zip(outputs.legend.classes, outputs.legend.members, strict=True)
        ],
        "thresholds": asdict(outputs.thresholds),
        "tile": [metadata.tile, metadata.halo, request.seam],
        "device": device,
        "layers": {name: [layer.dtype, layer.bands] for name, layer in outputs.layers.items()},
    }


def part_folder(output: Path) -> Path:
    """Where a map lies until it is finished."""
    return output.with_name(f"{output.name}.part")
