"""What many polygons cost: time of a window of 128 x 128 pixels among 100 000 of them over that among 1000.

``python scripts/bench/polygons.py`` with an interpreter that has the engine (extra `vector`).
"""

from __future__ import annotations

import argparse
import time

import geopandas
import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS

from engine.grid import Grid, Window
from engine.raster.polygons import Burner

SIDE = 10_000
"""Rows and columns of the grid."""


def seconds(count: int, windows: int) -> tuple[float, float]:
    """Time to prepare so many fields of 20 x 20 pixels, scattered over a grid, and of reading a window."""
    rng = np.random.default_rng(0)
    left, top = rng.uniform(0, 10 * SIDE, (2, count))
    shapes = shapely.box(left, top - 200, left + 200, top)
    frame = geopandas.GeoDataFrame(geometry=shapes, crs=32631)
    grid = Grid(CRS.from_epsg(32631), Affine(10, 0, 0, 0, -10, 10 * SIDE), SIDE, SIDE)
    started = time.perf_counter()
    burner = Burner(frame, [1] * count, grid)
    ready = time.perf_counter()
    for row, col in rng.integers(0, SIDE - 128, (windows, 2)):
        burner.read(Window(int(row), int(col), 128, 128), 0)
    return ready - started, (time.perf_counter() - ready) / windows


def main() -> None:
    """Prints times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=200)
    windows = parser.parse_args().windows
    few, many = seconds(1000, windows), seconds(100_000, windows)
    print("polygons  prepare (s)  a window (ms)")
    for count, (ready, each) in ((1000, few), (100_000, many)):
        print(f"{count:8}  {ready:11.3f}  {1000 * each:13.3f}")
    print(f"a window among 100 000 over one among 1000: {many[1] / few[1]:.2f}")


if __name__ == "__main__":
    main()
