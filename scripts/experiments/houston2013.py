"""Single pixels of Houston 2013 as rasters that a recipe reads: each polygon a line, with an empty one between.

Lines are the connected regions by which `recipes/lds2ae/houston2013.yaml` keeps polygons together; nothing lies beside
a pixel that does in nature, so that windows of one pixel alone have a meaning.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np


def write_rasters(data: Path, folder: Path) -> None:
    """Writes ``hyperspectral.tif``, ``lidar.tif`` and ``labels.tif`` of the pixels that have both sensors.

    Args:
        data: Folder with ``houston2013/houston2013_pixels.npz``.
        folder: Where the rasters are to be.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    folder.mkdir(parents=True, exist_ok=True)
    with np.load(data / "houston2013" / "houston2013_pixels.npz") as pixels:
        polygons = pixels["train_polygon"]
        lines, sizes = np.unique(polygons, return_inverse=True)[1], np.bincount(polygons)
        order = np.argsort(lines, kind="stable")
        rows = 2 * lines[order]
        cols = np.arange(len(order)) - np.searchsorted(lines[order], lines[order])
        shape = (int(rows.max()) + 1, int(sizes.max()))
        layers = {
            "hyperspectral": (pixels["train_hsi"], np.nan),
            "lidar": (pixels["train_lidar"], np.nan),
            "labels": (pixels["train_label"][:, None], 0),
        }
        for name, (values, nothing) in layers.items():
            image = np.full((values.shape[1], *shape), nothing, dtype=values.dtype)
            image[:, rows, cols] = values[order].T
            path = folder / f"{name}.tif"
            part = folder / f"{name}-{os.getpid()}.part"  # of this process: several may begin at a time
            profile = {"count": len(image), "height": shape[0], "width": shape[1], "dtype": image.dtype}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(part, "w", driver="GTiff", nodata=nothing, **profile) as file:
                    file.write(image)
            os.replace(part, path)
