"""Files in the folders, under the names and with the bands, types and labels of the papers' data sets, but small.

Their values are noise, brighter by class: a dry run reads, trains and scores as on the real ones, and its figures mean
nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]

POTSDAM_TILES = tuple(
    f"{row}_{column}"
    for row, columns in {2: (10, 15), 3: (10, 15), 4: (10, 16), 5: (10, 16), 6: (7, 16), 7: (7, 14)}.items()
    for column in range(*columns)
)
"""The 38 images of Potsdam."""

POTSDAM_COLOURS = ((255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0))

EARTHMISS_CITIES = (
    "America-Eugene", "America-Louisville", "French-Paris", "Morocco-Casablanca", "Nanjing", "Netherlands-Rotterdam",
    "Singapore", "Australia-PortHedland", "America-Pake", "Russian-Engels", "America-NewYork", "Japan-Hakodate",
    "Peru-Callao",
)  # fmt: skip


def _classes(rng: np.random.Generator, count: int, height: int, width: int, side: int = 8) -> Image:
    """Squares of classes 0 to ``count`` - 1, ``[h, w]``; each occurs where there are as many squares."""
    rows, columns = -(-height // side), -(-width // side)
    squares = rng.permutation(np.arange(rows * columns) % count).reshape(rows, columns)
    return squares.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]


def _bands(rng: np.random.Generator, classes: Image, count: int, most: float) -> Image:
    """Noise ``[count, h, w]`` from 0 to ``most``, brighter by class."""
    brightness = classes / max(1, classes.max())
    return most * (0.5 * brightness + 0.5 * rng.random((count, *classes.shape)))


def _write(path: Path, values: Image, driver: str = "GTiff") -> None:
    """A raster ``[C, h, w]`` that lies nowhere."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    profile = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver=driver, **profile) as file:
            file.write(values)


def potsdam(folder: Path) -> None:
    """Potsdam: RGB, IRRG, surface model and labels as colours, of 32 x 32 pixels."""
    rng = np.random.default_rng(0)
    colours = np.array(POTSDAM_COLOURS, np.uint8)
    for tile in POTSDAM_TILES:
        row, column = tile.split("_")
        classes = _classes(rng, len(colours), 32, 32)
        for name in ("2_Ortho_RGB/top_potsdam_{}_RGB.tif", "3_Ortho_IRRG/top_potsdam_{}_IRRG.tif"):
            _write(folder / name.format(tile), _bands(rng, classes, 3, 255).astype(np.uint8))
        heights = 30 + _bands(rng, classes, 1, 40)
        _write(folder / f"1_DSM/dsm_potsdam_{row:0>2}_{column:0>2}.tif", heights.astype(np.float32))
        _write(folder / f"5_Labels_all/top_potsdam_{tile}_label.tif", np.moveaxis(colours[classes], -1, 0))


def earthmiss(folder: Path) -> None:
    """EarthMiss: radar, RGB and masks from 0 (no label) to 8, two images of 64 x 64 pixels for each city."""
    rng = np.random.default_rng(0)
    for city in EARTHMISS_CITIES:
        for number in range(2):
            classes = _classes(rng, 9, 64, 64)
            name = f"{city}_{number}"
            _write(folder / city / f"images/SAR/{name}_SAR.tif", _bands(rng, classes, 1, 255).astype(np.uint8))
            _write(folder / city / f"images/RGB/{name}.tif", _bands(rng, classes, 3, 255).astype(np.uint8))
            _write(folder / city / f"masks/{name}_mask.tif", classes[None].astype(np.uint8))


def muses(folder: Path) -> None:
    """MUSES: frames, events and LiDAR laid over them, labels from 0 to 18 and 255, an image of 64 x 96 pixels each."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for weather in ("clear", "fog", "rain", "snow"):
            for time in ("day", "night"):
                place = f"{split}/{weather}/{time}/REC0001_frame_000001"
                classes = _classes(rng, 20, 64, 96)
                events = _bands(rng, classes, 3, 9).astype(np.uint8)
                events[2] = 0
                lidar = (150 * (100 + _bands(rng, classes, 3, 80))).astype(np.uint16)
                labels = np.where(classes == 19, 255, classes)[None].astype(np.uint8)
                frame = _bands(rng, classes, 3, 255).astype(np.uint8)
                images: dict[str, Image] = {
                    f"frame_camera/{place}_frame_camera.png": frame,
                    f"projected_to_rgb/event_camera/{place}_event_camera.png": events,
                    f"projected_to_rgb/lidar/{place}_lidar.png": lidar,
                    f"gt_semantic/{place}_gt_labelTrainIds.png": labels,
                }
                for path, values in images.items():
                    _write(folder / path, values, "PNG")


def houston2013(folder: Path) -> None:
    """Houston 2013: MATLAB files of 144 bands, heights, 8 bands, and labels from 0 (none) to 15; 32 x 40 pixels."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    classes = _classes(rng, 16, 32, 40)
    for name, count, most in (("HSI_data", 144, 8000), ("MS_data", 8, 8000), ("LiDAR_data", 1, 50)):
        values = np.moveaxis(_bands(rng, classes, count, most), 0, -1).astype(np.float32)
        savemat(folder / f"{name}.mat", {name: values[..., 0] if count == 1 else values})
    savemat(folder / "All_Label.mat", {"All_Label": classes.astype(np.uint8)})


MAKERS: Mapping[str, Callable[[Path], None]] = {
    "potsdam": potsdam,
    "earthmiss": earthmiss,
    "muses": muses,
    "houston2013": houston2013,
}
"""By the data sets' names."""
