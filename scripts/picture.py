"""Inputs, truth and map of a scene side by side, as a PNG."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.patches import Patch

from engine.raster.sources import SourceSpec, open_source

LARGEST = 1000


def read(text: str) -> NDArray[np.float64]:
    """Chosen bands ``[C, h, w]`` at 1000 pixels or less to a side, NaN where invalid."""
    with open_source(SourceSpec.parse(text)) as source:
        scale = max(1.0, max(source.grid.height, source.grid.width) / LARGEST)
        shape = (int(source.grid.height / scale), int(source.grid.width / scale))
        bands = list(source.band_indices)
        values = source.dataset.read(bands, out_shape=(len(bands), *shape), resampling=Resampling.nearest)
        valid = source.dataset.read_masks(bands, out_shape=(len(bands), *shape)) > 0
        return np.where(valid, values, np.nan)


def stretched(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bands last, 2 to 98 percent to 0 to 1, white where invalid."""
    low, high = (np.nanpercentile(values, part, axis=(1, 2))[:, None, None] for part in (2, 98))
    image = np.moveaxis(np.clip((values - low) / (high - low), 0, 1), 0, -1)
    return np.where(np.isnan(image), 1.0, image)


def classes(path: str) -> tuple[NDArray[np.float64], dict[int, tuple[str, tuple[float, ...]]]]:
    """A class map as colours ``[h, w, 3]``, and name and colour of each value in it."""
    with rasterio.open(path) as dataset:
        colors = dataset.colormap(1)
        names = {}
        sidecar = Path(f"{path}.aux.xml")
        if sidecar.exists():
            text = sidecar.read_text(encoding="utf-8")
            parts = text.replace("<Category />", "<Category></Category>").split("<Category>")[1:]
            names = {number: part.split("</Category>")[0] for number, part in enumerate(parts)}
    values = read(path)[0]
    image = np.ones((*values.shape, 3))
    legend = {}
    for value in np.unique(values[~np.isnan(values)]).astype(int):
        color = tuple(channel / 255 for channel in colors[value][:3])
        image[values == value] = color
        legend[int(value)] = (names.get(int(value), str(value)), color)
    return image, legend


def main() -> None:
    """Draws what is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("optical", "radar", "truth", "availability"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--map", required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    panels, legend = [], {}
    if given.optical:
        panels.append(("optical (white: clouds)", stretched(read(given.optical))))
    if given.radar:
        panels.append(("radar, VV", np.repeat(stretched(read(given.radar)), 3, axis=-1)))
    if given.truth:
        image, legend = classes(given.truth)
        panels.append(("truth", image))
    image, found = classes(given.map)
    panels.append(("map", image))
    legend |= found
    if given.availability:
        bits = np.nan_to_num(read(given.availability)[0])
        panels.append(("sensors of each pixel", plt.get_cmap("Set2")(bits.astype(int) % 8)[..., :3]))
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 4.8), squeeze=False)
    for axis, (title, image) in zip(axes[0], panels, strict=True):
        axis.imshow(image, interpolation="nearest")
        axis.set_title(title)
        axis.set_axis_off()
    handles = [Patch(color=color, label=name) for name, color in legend.values()]
    figure.legend(handles=handles, loc="lower center", ncol=len(handles), frameon=False)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(given.output, dpi=80)


if __name__ == "__main__":
    main()
