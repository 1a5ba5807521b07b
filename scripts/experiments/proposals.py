"""Data sets as their users have them, and the recipes that `engine init` writes for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from houston2013 import write_rasters

POLYGONS, SIDE, APART = 60, 5, 12
"""Polygons that are drawn of Zion's labels, pixels along each, and pixels that lie between two at least."""


@dataclass(frozen=True)
class Data:
    """A data set.

    Args:
        rasters: As `engine init` takes them; the script makes files that lie in a folder of the set's own name.
        labels: As it takes them.
        augment: How each sensor's values may be changed.
        windows: Whether `engine init` proposes a classifier of windows.
    """

    rasters: tuple[str, ...]
    labels: str
    augment: dict[str, dict[str, float]] = field(default_factory=dict)
    windows: bool = False


DAYS = ("2021-03", "2021-04", "2021-06", "2021-09")
IMAGES = "ombria/Ombria{0}/train/{1}/{0}_{2}_{{tile}}.png"
LIGHT = {"gain": 0.1, "offset": 0.1, "noise": 0.02}
RADAR = {"offset": 0.1, "noise": 0.1}
ZION = ("optical=zion/zion_landsat8_b2345_30m.tif", "dem=zion/zion_srtm_30m.tif")
LABELS = "zion/zion_nlcd8_30m.tif"
DATA = {
    "zion": Data(ZION, LABELS, {"optical": LIGHT, "dem": {"shift": 50.0}}),
    "ombria": Data(
        tuple(
            f"{name.lower()}=" + IMAGES.format(name, day.upper(), day)
            for name in ("S1", "S2")
            for day in ("before", "after")
        ),
        IMAGES.format("S2", "MASK", "mask"),
        {"s1": RADAR, "s2": LIGHT},
    ),
    "belgium": Data(
        (
            *(f"s2=belgium/be_s2_{day}.tif" for day in DAYS),
            *(f"s1=belgium/be_s1db_{day}.tif" for day in DAYS),
            "dem=belgium/be_dem_slope.tif",
        ),
        "belgium/be_worldcereal_labels.tif",
        {"s2": LIGHT, "s1": RADAR, "dem": {"shift": 5.0}},
    ),
    "synthetic": Data(
        ("optical=synthetic/optical.tif", "sar=synthetic/sar.tif", "dem=synthetic/dem.tif"),
        "synthetic/labels.tif",
        {"optical": LIGHT, "sar": RADAR, "dem": {"shift": 20.0}},
    ),
    "houston": Data(
        ("hyperspectral=houston/hyperspectral.tif", "lidar=houston/lidar.tif"),
        "houston/labels.tif",
        {"hyperspectral": LIGHT, "lidar": LIGHT},
        windows=True,
    ),
    "polygons": Data(ZION, "polygons/polygons.gpkg", {"optical": LIGHT, "dem": {"shift": 50.0}}, windows=True),
}
MADE = ("synthetic", "houston", "polygons")


def proposal(data: str, root: Path, work: Path) -> Path:
    """The recipe that `engine init` writes for a data set; written once.

    Args:
        data: Its name.
        root: Folder of the real data.
        work: Where files are made, and the recipe.
    """
    from engine.files import write_text
    from engine.proposal.recipe import propose

    path = work / f"{data}.yaml"
    if path.exists():
        return path
    one = DATA[data]
    _made(data, root, work)

    def located(name: str) -> str:
        return f"{work if name.partition('/')[0] in MADE else root}/{name}"

    rasters = [f"{name}={located(file)}" for name, _, file in (raster.partition("=") for raster in one.rasters)]
    found = propose(rasters, located(one.labels), work, data)
    write_text(path, found.text())
    return path


def _made(data: str, root: Path, work: Path) -> None:
    """Makes the files of a data set that has none of its own."""
    from engine.data.synthetic import SceneOptions, synthesize

    folder = work / data
    if data == "houston":
        write_rasters(root, folder)
    elif data == "synthetic":
        synthesize(folder, 0, (512, 512), SceneOptions())
    elif data == "polygons":
        folder.mkdir(parents=True, exist_ok=True)
        write_polygons(root / LABELS, folder)


def write_polygons(labels: Path, folder: Path) -> None:
    """Draws small squares of one class each, as many of each class, into ``polygons.gpkg``.

    Args:
        labels: Land cover with a value a class; 0 is none, and water (1), one lake, is left out.
        folder: Gets the file.
    """
    import geopandas as gpd
    import rasterio
    import shapely

    rng = np.random.default_rng(0)
    with rasterio.open(labels) as file:
        values, transform, crs = file.read(1), file.transform, file.crs
    values = np.where(values == 1, 0, values)
    windows = np.lib.stride_tricks.sliding_window_view(values, (SIDE, SIDE))
    pure = np.where((windows == windows[..., :1, :1]).all(axis=(2, 3)), windows[..., 0, 0], 0)
    classes = [int(value) for value in np.unique(pure) if value]
    places = {value: rng.permutation(np.argwhere(pure == value)) for value in classes}
    taken = np.zeros(values.shape, dtype=bool)
    found = []
    for number in range(POLYGONS):
        value = classes[number % len(classes)]
        for row, col in places[value]:
            near = taken[max(0, row - APART) : row + SIDE + APART, max(0, col - APART) : col + SIDE + APART]
            if not near.any():
                taken[row : row + SIDE, col : col + SIDE] = True
                found.append((value, shapely.box(*(transform * (col, row + SIDE)), *(transform * (col + SIDE, row)))))
                break
    frame = gpd.GeoDataFrame({"class": [one for one, _ in found]}, geometry=[one for _, one in found], crs=crs)
    frame.to_file(folder / "polygons.gpkg")
