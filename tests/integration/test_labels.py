"""`engine labels`: labels that were planted wrong come first, and faults of polygons are named."""

from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import yaml
from commands import engine
from conftest import UTM
from numpy.typing import NDArray
from shapely import Polygon, box

from engine.evaluation import label_ranking
from engine.evaluation.label_ranking import RegionPixels, confused_pairs, rank_regions

Write = Callable[..., Path]
NAMES = ("water", "forest", "crops")
RECIPE = {
    "name": "labels",
    "modalities": [
        {"name": "optical", "bands": ["red", "nir"], "dtype": "uint16"},
        {"name": "dem", "bands": ["height"], "dtype": "float32"},
    ],
    "classes": [{"value": one, "name": name, "color": "#336699"} for one, name in enumerate(NAMES, 1)],
    "network": {"name": "mean_fusion", "options": {"encoder": "resnet-tiny"}},
    "stages": [{"name": "train", "schedule": {"epochs": 1, "samples": 4, "batch": 4}}],
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forests of 20 trees."""
    monkeypatch.setattr(label_ranking, "TREES", 20)


def truth() -> NDArray[np.uint8]:
    """Fields of 8 x 8 pixels in 60 x 60: 36 of them, of class 1 to 3 in turn along each row, with gaps of 2 pixels."""
    values = np.zeros((60, 60), "uint8")
    for row in range(6):
        for col in range(6):
            values[10 * row + 1 : 10 * row + 9, 10 * col + 1 : 10 * col + 9] = (row + col) % 3 + 1
    return values


def sensors(seed: int) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Values that tell the classes; the second sensor does not see the left column of fields."""
    random = np.random.default_rng(seed)
    classes = truth().astype(float)
    optical = 500 + 200 * np.stack([classes, (classes == 2) * 3]) + random.normal(0, 40, (2, 60, 60))
    dem = 100 + 20 * (classes == 3) + random.normal(0, 5, (1, 60, 60))
    dem[:, :, :10] = -9999
    return optical.astype("uint16"), dem.astype("float32")


def recipe(folder: Path, labels: dict[str, object], tile: str = "") -> Path:
    sources = {"optical": f"optical{tile}.tif", "dem": f"dem{tile}.tif"}
    scenes = [{"name": "place", "sources": sources, "labels": labels}]
    split = {"kind": "blocks", "size": 30, "row": 1, "column": 2, "modulo": 4, "test": [0], "train": [1, 2]}
    content = RECIPE | {"data": {"scenes": scenes, "chip": 32, "split": split | {"validation": [3]}}}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def field(row: int, col: int) -> Polygon:
    """The polygon of a field: pixels of 10 m from x 1000, y 5000."""
    left, top = 1000 + 10 * (10 * col + 1), 5000 - 10 * (10 * row + 1)
    return box(left, top - 80, left + 80, top)


def test_polygons_of_a_wrong_class_come_first_and_faults_are_named(tmp_path: Path, write_raster: Write) -> None:
    optical, dem = sensors(0)
    write_raster("optical.tif", optical)
    write_raster("dem.tif", dem, nodata=-9999)
    places = [(row, col) for row in range(6) for col in range(6)]
    classes = [NAMES[(row + col) % 3] for row, col in places]
    shapes = [field(row, col) for row, col in places]
    assert (classes[8], classes[20]) == ("water", "crops")
    classes[8], classes[20] = "forest", "water"  # features 9 and 21
    bow = Polygon([(1010, 4990), (1090, 4910), (1090, 4990), (1010, 4910)])
    extra = [
        (bow, "water"),  # 37: crosses itself, within field 1, also water
        (box(1010, 4950, 1050, 4990), "crops"),  # 38: 40 m x 40 m of field 1, which is water
        (field(5, 5), classes[35]),  # 39: field 36 again
        (box(1500, 4500, 1503, 4560), "forest"),  # 40: 3 m wide
        (box(9000, 9000, 9100, 9100), "forest"),  # 41: elsewhere
    ]
    frame = geopandas.GeoDataFrame(
        {"cover": classes + [name for _, name in extra]}, geometry=shapes + [one for one, _ in extra], crs=UTM.to_wkt()
    )
    frame.to_file(tmp_path / "fields.gpkg")
    path = recipe(tmp_path, {"path": "fields.gpkg", "field": "cover"})
    done = engine("labels", path, "-o", tmp_path / "labels.gpkg")
    assert done.returncode == 0, done.stderr
    found = geopandas.read_file(tmp_path / "labels.gpkg", layer="polygons").set_index("feature")
    assert len(found) == 41
    assert found.crs.to_epsg() == 32631
    by_rank = found[found["rank"].notna()].sort_values("rank")
    wrong = set(by_rank.index[:4].astype(int))
    assert {9, 21} <= wrong, "two fields of a wrong class"
    assert found.loc[9, "looks_like"] == "water"
    assert found.loc[21, "looks_like"] == "crops"
    assert found.loc[[9, 21], "agreement"].max() < 0.3
    assert found.loc[found.index.difference([9, 21, *range(37, 42), 1, 36]), "agreement"].min() > 0.4
    problems = found["problem"].fillna("")
    assert problems[37].startswith("invalid: Self-intersection")
    # 1600 square metres of a map that at 499 km from its meridian is 1.00267 times as large as the ground
    assert "overlap of 0.159 ha with feature 38 (crops)" in problems[1]
    assert "overlap of 0.159 ha with feature 1 (water)" in problems[38]
    assert f"duplicate of feature 36 ({classes[35]})" in problems[39]
    assert "sliver, nowhere a pixel wide" in problems[40] or "sliver of" in problems[40]
    assert problems[41] == "outside of all scenes"
    assert not problems[[9, 21]].any()
    assert "feature 9" in done.stdout
    done = engine("labels", path, "-o", tmp_path / "labels.gpkg")
    assert done.returncode == 1
    assert "--overwrite" in done.stderr


def test_regions_of_label_rasters_without_georeference_are_outlined_in_pixels(tmp_path: Path) -> None:
    for tile in range(2):
        labels = truth()
        if tile:
            labels[21:29, 31:39] = 1 if labels[25, 35] != 1 else 2  # the field in row 2, column 3
        for name, values in zip(("optical", "dem", "labels"), (*sensors(tile), labels[None]), strict=True):
            options = {"nodata": {"dem": -9999, "labels": 0}.get(name), "dtype": values.dtype, "count": len(values)}
            with (
                pytest.warns(rasterio.errors.NotGeoreferencedWarning),
                rasterio.open(tmp_path / f"{name}_{tile}.tif", "w", "GTiff", width=60, height=60, **options) as dataset,
            ):
                dataset.write(values)
    path = recipe(tmp_path, {"path": "labels_{tile}.tif"}, "_{tile}")
    done = engine("labels", path, "-o", tmp_path / "labels.gpkg")
    assert done.returncode == 0, done.stderr
    found = geopandas.read_file(tmp_path / "labels.gpkg", layer="polygons").sort_values("rank")
    assert len(found) == 72
    assert (found["pixels"] == 64).all()
    worst = found.iloc[0]
    assert (worst["scene"], worst["looks_like"]) == ("place/1", NAMES[(2 + 3) % 3])
    assert worst.geometry.equals(box(31, -29, 39, -21))


def test_a_class_with_one_region_is_learned_from_and_not_held_out() -> None:
    random = np.random.default_rng(0)
    regions = np.repeat(np.arange(9), 10)
    classes = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    features = (classes[regions][:, None] + random.normal(0, 0.1, (90, 2))).astype(np.float32)
    features[5, 1] = np.nan
    hashes = random.integers(0, 2**63, 90).astype(np.uint64)
    found = rank_regions(RegionPixels(features, regions, hashes), classes, 3)
    assert found.alone == (2,)
    assert np.isnan(found.agreement[8])
    assert found.rank[8] == 0
    assert sorted(found.rank[:8]) == list(range(1, 9))
    assert found.confusion.sum() == 80


def test_pairs_of_classes_are_named_by_what_they_look_like() -> None:
    matrix = np.array([[80, 20, 0], [5, 95, 0], [4, 0, 96]])
    (told,) = confused_pairs(matrix, NAMES)
    assert told == "forest and water: 5% of forest looks like water, 20% the other way"
