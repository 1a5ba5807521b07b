"""The layers of a map in the making: what each holds of a pixel, brought into the spool strip by strip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from engine.grid import Grid, PixelAreas, Window
from engine.mapping.groups import Legend
from engine.mapping.mosaic import MapBlock
from engine.mapping.spool import Spool, SpoolLayer
from engine.mapping.tally import Tally, tally_name
from engine.mapping.thresholds import Thresholds
from engine.mapping.values import Seen
from engine.modality import Modality, map_dtype
from engine.model.file import Model

PERCENT_NODATA = 255


class MapOutputs:
    """The layers of one map.

    Args:
        model: Its model.
        grid: The map's.
        legend: Its classes.
        thresholds: What a pixel must have to get one.
        wanted: Names of the layers, as :attr:`~engine.mapping.request.MapRequest.outputs` has them.
    """

    def __init__(self, model: Model, grid: Grid, legend: Legend, thresholds: Thresholds, wanted: Sequence[str]) -> None:
        self.model, self.grid, self.legend, self.thresholds = model, grid, legend, thresholds
        dtype, self.nodata = map_dtype(legend.classes)
        self._values = np.array([item.value for item in legend.classes], dtype=dtype)
        masks = "uint8" if len(model.names) <= 8 else "uint16" if len(model.names) <= 16 else "uint32"
        kinds = {
            "classes": SpoolLayer(dtype),
            "confidence": SpoolLayer("uint8"),
            "availability": SpoolLayer(masks),
            "probabilities": SpoolLayer("uint8", len(legend.classes)),
            "origin": SpoolLayer("uint16", len(model.names)),
        }
        self.layers = {name: kinds[name] for name in wanted}
        self.areas = None if grid.crs is None else PixelAreas(grid)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel in all layers."""
        return sum(layer.pixel_bytes for layer in self.layers.values())

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
        tally = Tally(self.model.modalities, len(self.legend.classes), self.grid, self.areas)
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
                        mapped = self.thresholds.met(block)
                        place = (slice(None), *area.within(part))
                        for name, values in self._layers_of(block, mapped).items():
                            strips[name][place] = values
                        tally.add(block, mapped, area)
                if written is not None:
                    written.result()
                written = writer.submit(spool.commit, strips, tally.taken())
            if written is not None:
                written.result()

    def _layers_of(self, block: MapBlock, mapped: NDArray[np.bool_]) -> dict[str, NDArray[np.generic]]:
        valid = block.availability > 0
        found: dict[str, NDArray[np.generic]] = {
            "classes": np.where(mapped, self._values[block.classes], self._values.dtype.type(self.nodata))
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
