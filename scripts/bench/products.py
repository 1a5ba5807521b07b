"""What polygons of a large map cost: time and memory at their peak of 20 000 x 20 000 pixels over 5000 x 5000.

``python scripts/bench/products.py [--side 20000] [--minimum HECTARES]`` with an interpreter that has the engine (extra
`vector`). Statistics of the map and its changes against itself are measured too.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window
from scipy.ndimage import gaussian_filter

from engine.products.change import ChangeOptions, change
from engine.products.polygonize import PolygonizeOptions, polygonize
from engine.products.statistics import StatisticsOptions, statistics

_Found = TypeVar("_Found")

TILE = 2500
CLASSES = 6


def make_map(path: Path, side: int) -> None:
    """Patches of six classes with specks, 10 m a pixel; each square of TILE pixels is the first one, turned."""
    rng = np.random.default_rng(0)
    heights = gaussian_filter(rng.normal(size=(TILE, TILE)).astype(np.float32), 6)
    values = (np.digitize(heights, np.quantile(heights, np.arange(1, CLASSES) / CLASSES)) + 1).astype(np.uint8)
    specks = rng.random(values.shape) < 0.002
    values[specks] = rng.integers(1, CLASSES + 1, int(specks.sum()))
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": "uint8", "nodata": 255}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "crs": "EPSG:32631"}
    with rasterio.open(path, "w", **profile, transform=Affine(10, 0, 4e5, 0, -10, 6e6)) as dataset:
        for row in range(0, side, TILE):
            for col in range(0, side, TILE):
                dataset.write(np.rot90(values, (row + col) // TILE), 1, window=Window(col, row, TILE, TILE))


def measured(what: str, folder: Path, minimum: float | None) -> tuple[float, float, str]:
    """Seconds, megabytes at the peak, and what was made; for a process of its own."""
    started = time.perf_counter()
    path = str(folder / "map.tif")
    if what == "polygonize":
        made = polygonize(PolygonizeOptions(map=path, output=folder / "p.gpkg", minimum=minimum, overwrite=True))
        said = f"{made.polygons:,} polygons, {made.merged:,} merged, {(folder / 'p.gpkg').stat().st_size / 1e6:.0f} MB"
    elif what == "statistics":
        said = f"{statistics(StatisticsOptions(map=path, output=folder / 't.csv')).hectares:,.0f} ha"
    else:
        options = ChangeOptions(first=path, second=path, output=folder / "c.tif", table=folder / "c.csv")
        said = f"{change(options).pixels:,} pixels"
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, said


def alone(do: Callable[..., _Found], *arguments: object) -> _Found:
    """What a function gives in a process of its own; a process that is large hands its peak on to those it starts."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(do, *arguments).result()


def main() -> None:
    """Prints time, memory, and the ratio of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--minimum", type=float, default=1.0)
    arguments = parser.parse_args()
    jobs = (("polygonize", None), ("polygonize", arguments.minimum), ("statistics", None), ("change", None))
    peaks: dict[tuple[str, float | None], list[float]] = {job: [] for job in jobs}
    print("job          side  minimum  seconds  peak (MB)")
    for side in (5000, arguments.side):
        with tempfile.TemporaryDirectory() as name:
            alone(make_map, Path(name) / "map.tif", side)
            for what, minimum in jobs:
                seconds, peak, said = alone(measured, what, Path(name), minimum)
                peaks[what, minimum].append(peak)
                print(f"{what:10}  {side:5}  {minimum or 0:7g}  {seconds:7.1f}  {peak:9.0f}  {said}", flush=True)
    for (what, minimum), (small, large) in peaks.items():
        print(f"{what} {minimum or ''}: memory at {arguments.side} over that at 5000: {large / small:.2f}")


if __name__ == "__main__":
    main()
