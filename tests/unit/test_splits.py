"""Splits by chance within a scene: of pixels, and of connected regions."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from engine.data.scenes import Scene, scene_specs
from engine.data.settings import ComponentSplit, DataSettings, PixelSplit, Split
from engine.data.splits import SPLITS, SplitMask, component_splits, pixel_hashes, split_mask
from engine.grid import Grid, Window
from engine.modality import LandClass, Modality

Write = Callable[..., Path]
GRID = Grid(None, Affine.identity(), 400, 300)
ALL = GRID.window


def pixel_mask(scene: str = "scene", **settings: Any) -> SplitMask:  # noqa: ANN401
    return split_mask(PixelSplit(kind="pixels", **settings), GRID, Path(), scene, None, None)


def mixed(number: int) -> int:
    """SplitMix64 without its step, in Python's whole numbers."""
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) % 2**64
    return number ^ (number >> 31)


def test_hashes_are_those_of_splitmix() -> None:
    """The first numbers of the generator for the seed 1234567, as its authors' code gives them."""
    assert mixed(1234567 + 0x9E3779B97F4A7C15) == 6457827717110365317
    start = int.from_bytes(bytes.fromhex("2d711642b726b044"), "little")  # SHA-256 of "x"
    rows, cols = np.array([-1, 0, 5, 2**40]), np.array([3, 0, -7, 2**33])
    expected = [mixed((mixed((int(r) + start) % 2**64) + int(c)) % 2**64) for r, c in zip(rows, cols, strict=True)]
    assert pixel_hashes(rows, cols, "x").tolist() == expected


def test_pixels_are_split_in_shares_and_each_in_one_split() -> None:
    mask = pixel_mask(validation=0.1, test=0.6)
    masks = {name: mask(ALL, name) for name in SPLITS}
    assert (sum(part.astype(int) for part in masks.values()) == 1).all()
    for name, share in (("train", 0.3), ("validation", 0.1), ("test", 0.6)):
        assert masks[name].mean() == pytest.approx(share, abs=5 * (share * (1 - share) / 120_000) ** 0.5)


def test_neighbouring_pixels_are_split_independently() -> None:
    test = pixel_mask(validation=0.1, test=0.5)(ALL, "test")
    for one, other in ((test[1:], test[:-1]), (test[:, 1:], test[:, :-1]), (test[1:, 1:], test[:-1, :-1])):
        assert (one & other).mean() == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 120_000) ** 0.5)


def test_a_pixels_split_does_not_depend_on_the_window() -> None:
    mask = pixel_mask(validation=0.2, test=0.3)
    for window in (Window(17, 100, 31, 5), Window(399, 299, 1, 1)):
        np.testing.assert_array_equal(mask(window, "test"), mask(ALL, "test")[window.within(ALL)])
    around = Window(-3, -4, 10, 10)
    np.testing.assert_array_equal(mask(around, "train")[3:, 4:], mask(ALL, "train")[:7, :6])


def test_seeds_and_scenes_are_split_apart() -> None:
    found = [
        pixel_mask(scene, validation=0.1, test=0.5, seed=seed)(ALL, "test")
        for scene, seed in (("a", 0), ("b", 0), ("a", 1), ("a", 0))
    ]
    np.testing.assert_array_equal(found[0], found[3])
    for other in (found[1], found[2]):
        assert (found[0] == other).mean() == pytest.approx(0.5, abs=5 * (0.25 / 120_000) ** 0.5)


@pytest.mark.parametrize("kind", ["pixels", "components"])
def test_something_is_left_for_training(kind: str) -> None:
    with pytest.raises(ValidationError, match=r"validation 0\.5 and test 0\.5 leave nothing for training"):
        TypeAdapter[Any](Split).validate_python({"kind": kind, "validation": 0.5, "test": 0.5})


def components(text: str, **settings: Any) -> NDArray[np.int8]:  # noqa: ANN401
    """Splits of a map of digits, where ``.`` is no label."""
    labels = np.array([[-1 if mark == "." else int(mark) for mark in line] for line in text.split()], "int16")
    return component_splits(labels, ComponentSplit(kind="components", **settings), "scene")


def test_regions_touch_by_diagonals_and_have_one_class() -> None:
    pytest.importorskip("skimage")
    splits = components("0.1 .0. 1.0", validation=0.3, test=0.3)
    # the diagonal of class 0 is one region, for training; class 1 has two, for training and test
    assert splits[0, 0] == splits[1, 1] == splits[2, 2] == 0
    assert sorted((splits[0, 2], splits[2, 0])) == [0, 2]
    assert (splits[[0, 1, 1, 2], [1, 0, 2, 1]] == -1).all()


def test_each_class_trains_then_tests_then_validates() -> None:
    pytest.importorskip("skimage")
    drawn = [components("0.1.1 ..... 2.2.2", validation=0.45, test=0.45, seed=seed) for seed in range(20)]
    assert len({splits.tobytes() for splits in drawn}) > 3
    for splits in drawn:
        assert splits[0, 0] == 0
        assert sorted(splits[0, [2, 4]]) == [0, 2]
        assert sorted(splits[2, [0, 2, 4]]) == [0, 1, 2]


def test_a_split_without_share_gets_no_region() -> None:
    pytest.importorskip("skimage")
    assert set(components("0.0.0.0.0", validation=0.3)[0]) == {-1, 0, 1}


def test_the_large_region_is_trained_on_and_small_ones_tested() -> None:
    """Shares of 10 and 10 of 100 pixels: whatever the order, the two small regions are the nearest to them."""
    pytest.importorskip("skimage")
    labels = np.full((10, 12), -1, "int16")
    labels[:8, :10], labels[9, :10], labels[:10, 11] = 3, 3, 3
    for seed in range(10):
        splits = component_splits(labels, ComponentSplit(kind="components", validation=0.1, test=0.1, seed=seed), "s")
        assert (splits[:8, :10] == 0).all()
        assert sorted((splits[9, 0], splits[0, 11])) == [1, 2]


def test_shares_are_of_each_classs_pixels() -> None:
    """Fields of 4 to 36 pixels: the deviation from a share is less than the largest field."""
    pytest.importorskip("skimage")
    rng = np.random.default_rng(0)
    labels = np.full((240, 240), -1, "int16")
    for row in range(0, 240, 8):
        for col in range(0, 240, 8):
            height, width = rng.integers(2, 7, 2)
            labels[row : row + height, col : col + width] = rng.choice([0, 1, 2], p=[0.8, 0.15, 0.05])
    splits = component_splits(labels, ComponentSplit(kind="components", validation=0.1, test=0.3), "scene")
    for number in range(3):
        mine = splits[labels == number]
        for place, share in enumerate((0.6, 0.1, 0.3)):
            assert abs((mine == place).sum() - share * mine.size) < 36
    assert ((splits == -1) == (labels == -1)).all()


def flooded(labels: NDArray[np.int16], row: int, col: int) -> list[tuple[int, int]]:
    """The pixels of the region around a pixel, found by walking."""
    seen, waiting = {(row, col)}, deque([(row, col)])
    while waiting:
        r, c = waiting.popleft()
        for near in ((r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
            inside = 0 <= near[0] < labels.shape[0] and 0 <= near[1] < labels.shape[1]
            if inside and near not in seen and labels[near] == labels[r, c]:
                seen.add(near)
                waiting.append(near)
    return sorted(seen)


@given(cells=st.lists(st.integers(-1, 2), min_size=56, max_size=56), seed=st.integers(0, 3))
def test_regions_go_whole_whatever_their_form(cells: list[int], seed: int) -> None:
    pytest.importorskip("skimage")
    labels = np.array(cells, "int16").reshape(7, 8)
    splits = component_splits(labels, ComponentSplit(kind="components", validation=0.3, test=0.3, seed=seed), "scene")
    assert ((splits == -1) == (labels == -1)).all()
    regions: dict[int, set[tuple[tuple[int, int], ...]]] = {}
    for row, col in np.argwhere(labels >= 0):
        region = tuple(flooded(labels, int(row), int(col)))
        assert len({int(splits[place]) for place in region}) == 1
        regions.setdefault(int(labels[row, col]), set()).add(region)
    for number, found in regions.items():
        wanted = {0, 2, 1} if len(found) >= 3 else {0, 2} if len(found) == 2 else {0}
        assert wanted <= set(splits[labels == number].tolist())


def scene_of(folder: Path, labels: dict[str, str], **settings: Any) -> Scene:  # noqa: ANN401
    content = {"name": "scene", "sources": {"a": "a.tif"}, "labels": labels}
    split = {"kind": "components", "validation": 0.3, "test": 0.3, **settings}
    data = DataSettings.model_validate({"root": folder, "scenes": [content], "split": split})
    classes = (LandClass(1, "low", "#000000"), LandClass(2, "high", "#ffffff"))
    return Scene(scene_specs(data, folder)[0], (Modality("a", ("x",), "uint8"),), classes, data, folder)


def test_polygons_go_whole_to_a_split_whatever_the_window(tmp_path: Path, write_raster: Write) -> None:
    geopandas = pytest.importorskip("geopandas")
    from shapely.geometry import box

    write_raster("a.tif", np.zeros((1, 40, 50), "uint8"))
    # four fields of class 1 of 5 x 5 pixels along the top, two of class 2 along the bottom
    boxes = [box(1000 + 120 * n, 4950, 1050 + 120 * n, 5000) for n in range(4)]
    boxes += [box(1000 + 200 * n, 4600, 1100 + 200 * n, 4700) for n in range(2)]
    frame = geopandas.GeoDataFrame({"cover": [1] * 4 + [2] * 2}, geometry=boxes, crs="EPSG:32631")
    frame.to_file(tmp_path / "fields.gpkg")
    with scene_of(tmp_path, {"path": "fields.gpkg", "field": "cover"}) as scene:
        found = {name: scene.labels(scene.grid.window, name) for name in SPLITS}
        counts = {name: [int((part == number).sum()) for number in (0, 1)] for name, part in found.items()}
        assert counts["validation"] == [25, 0]
        assert sorted((counts["train"][0], counts["test"][0])) == [25, 50]
        assert counts["train"][1] == counts["test"][1] == 100
        for name, part in found.items():
            around = scene.labels(Window(-2, -3, 30, 30), name)
            np.testing.assert_array_equal(around[2:, 3:], part[:28, :27])
            assert (around[:2] == -1).all()


def test_a_scene_without_labels_is_in_no_split_by_components(tmp_path: Path) -> None:
    settings = ComponentSplit(kind="components", validation=0.3)
    assert not split_mask(settings, GRID, tmp_path, "scene", None, None)(Window(0, 0, 4, 4), "train").any()
