"""What a map costs in which many scenarios occur, beside one of the same size in which few do.

``python scripts/bench/scenarios.py MODEL.onnx``, with a Python that has the engine. The rasters are made: values that
the model's statistics allow, and squares of 32 pixels of which each lacks other sensors.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from engine.mapping.predict import predict
from engine.mapping.request import map_request
from engine.model.file import Model
from engine.raster.sources import SourceSpec

SIDE, SQUARE = 1024, 32


def rasters(model: Model, largest: int, folder: Path) -> dict[str, list[SourceSpec]]:
    """A raster for each modality; in each square those are valid whose bits make a number of 1 to ``largest``."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    squares = np.minimum(rng.integers(1, 2 ** len(model.names), (SIDE // SQUARE, SIDE // SQUARE)), largest)
    bits = squares.repeat(SQUARE, axis=0).repeat(SQUARE, axis=1)
    found = {}
    for number, modality in enumerate(model.modalities):
        path = folder / f"{modality.name}.tif"
        values = np.stack([rng.normal(item.mean, item.std, (SIDE, SIDE)) for item in modality.statistics])
        if modality.dtype.startswith(("uint", "int")):
            values = values.clip(np.iinfo(modality.dtype).min, np.iinfo(modality.dtype).max)
        mask = np.where(bits >> number & 1, 255, 0).astype(np.uint8)
        size = model.metres
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(
            path, "w", driver="GTiff", width=SIDE, height=SIDE, count=len(values), dtype=modality.dtype,
            crs="EPSG:32631", transform=Affine(size, 0, 500_000, 0, -size, 5_000_000), tiled=True,
        ) as dataset:  # fmt: skip
            dataset.write(values.astype(modality.dtype))
            dataset.write_mask(mask)
            for band, name in enumerate(modality.bands, start=1):
                dataset.set_band_description(band, name)
        found[modality.name] = [SourceSpec(str(path))]
    return found


def main() -> None:
    """Prints what few and all scenarios cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    given = parser.parse_args()
    model = Model(given.model)
    every = 2 ** len(model.names) - 1
    with tempfile.TemporaryDirectory() as name:
        for largest in (every // 2 + 1, every):
            sources = rasters(model, largest, Path(name) / str(largest))
            started, before = time.perf_counter(), sum(os.times()[:2])
            predict(map_request(model=given.model, sources=sources, output=Path(name) / f"{largest}.tif", device="cpu"))
            wall, cpu = time.perf_counter() - started, sum(os.times()[:2]) - before
            print(f"{largest:4} scenarios: {wall:.1f} s, {cpu:.1f} s of processor time", flush=True)


if __name__ == "__main__":
    main()
