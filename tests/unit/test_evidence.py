"""What splits hold of each class, and the buffer between them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.data.evidence import RegionCounter, count_splits
from engine.data.settings import BlockSplit, ComponentSplit, DataSettings
from engine.data.splits import SPLITS, component_splits, split_mask
from engine.data.survey import SceneCollection, survey
from engine.grid import Grid, Window
from engine.modality import IGNORED, LandClass, Modality

ndimage = pytest.importorskip("scipy.ndimage")
Write = Callable[..., Path]
CLASSES = (LandClass(1, "one", "#000000"), LandClass(2, "two", "#ffffff"))


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 12), st.integers(1, 4))
def test_regions_are_those_of_the_whole_image_whatever_the_strips(seed: int, high: int, wide: int, strip: int) -> None:
    labels = np.random.default_rng(seed).integers(-1, 3, (high, wide)).astype(np.int16)
    counter = RegionCounter(4)
    for row in range(0, high, strip):
        counter.add(labels[row : row + strip])
    whole = [ndimage.label(labels == number, structure=np.ones((3, 3)))[1] for number in range(4)]
    assert counter.counts.tolist() == whole


def held_out_near(held: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """By the chessboard distance to the nearest pixel that is held out."""
    return ndimage.distance_transform_cdt(~held, metric="chessboard") <= distance if held.any() else held


@pytest.mark.parametrize("buffer", [1, 3, 9])
def test_training_blocks_keep_away_from_those_held_out(buffer: int) -> None:
    grid = Grid(None, Affine.identity(), 70, 53)
    settings = {"size": 8, "modulo": 5, "train": {2, 3}, "validation": {1}, "test": {0}}
    plain, kept = (
        split_mask(BlockSplit(kind="blocks", buffer=far, **settings), grid, Path(), "s", None, None)
        for far in (0, buffer)
    )
    held = plain(grid.window, "validation") | plain(grid.window, "test")
    expected = plain(grid.window, "train") & ~held_out_near(held, buffer)
    np.testing.assert_array_equal(kept(grid.window, "train"), expected)
    for split in ("validation", "test"):
        np.testing.assert_array_equal(kept(grid.window, split), plain(grid.window, split))
    part = Window(13, 40, 30, 13)
    np.testing.assert_array_equal(kept(part, "train"), expected[part.within(grid.window)])


def test_blocks_outside_of_the_scene_hold_nothing_out() -> None:
    grid = Grid(None, Affine.identity(), 8, 16)
    split = BlockSplit(kind="blocks", size=8, row=1, column=1, modulo=3, train={0}, validation={1, 2}, buffer=3)
    train = split_mask(split, grid, Path(), "s", None, None)(grid.window, "train")
    assert train[:, :5].all()
    assert not train[:, 5:].any()


def test_training_regions_keep_away_from_those_held_out() -> None:
    pytest.importorskip("skimage")
    rng = np.random.default_rng(3)
    labels = np.full((120, 90), IGNORED, dtype=np.int16)
    for row in range(0, 120, 6):
        for col in range(0, 90, 6):
            labels[row : row + rng.integers(2, 6), col : col + rng.integers(2, 6)] = rng.integers(2)
    plain, kept = (
        component_splits(labels, ComponentSplit(kind="components", validation=0.2, test=0.2, buffer=far), "s")
        for far in (0, 4)
    )
    lost = (plain == 0) & held_out_near(plain > 0, 4)
    assert 0 < lost.sum() < (plain == 0).sum()
    np.testing.assert_array_equal(kept, np.where(lost, -1, plain))


def collection(folder: Path, write_raster: Write, labels: NDArray[np.uint8]) -> SceneCollection:
    write_raster("labels.tif", labels[None], nodata=0)
    write_raster("image.tif", np.arange(labels.size, dtype=np.uint16).reshape(1, *labels.shape))
    split = {"kind": "blocks", "size": 10, "row": 0, "column": 1, "modulo": 3, "train": [0], "validation": [1]}
    data = DataSettings.model_validate(
        {
            "scenes": [{"name": "s", "sources": {"image": "image.tif"}, "labels": {"path": "labels.tif"}}],
            "split": split,
            "chip": 8,
        }
    )
    return SceneCollection(data, folder, [Modality("image", ("a",), "uint16")], CLASSES)


def test_counts_are_those_of_each_split(tmp_path: Path, write_raster: Write) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (25, 30)).astype(np.uint8)
    counts = count_splits(collection(tmp_path, write_raster, labels))
    for split, columns in (("train", slice(0, 10)), ("validation", slice(10, 20))):
        part = labels[:, columns]
        assert counts.pixels[split].tolist() == [(part == value).sum() for value in (1, 2)]
        assert counts.regions[split].tolist() == [
            ndimage.label(part == value, structure=np.ones((3, 3)))[1] for value in (1, 2)
        ]
    assert counts.pixels["test"].tolist() == [0, 0]
    assert set(counts.pixels) == set(SPLITS)


def test_a_training_says_that_validation_is_too_small(tmp_path: Path, write_raster: Write) -> None:
    labels = np.full((20, 30), 1, dtype=np.uint8)
    labels[:2, ::3] = 2  # 20 pixels of every third column, 6 or 8 of them for validation
    held = int((labels[:, 10:20] == 2).sum())
    told = "\n".join(survey(collection(tmp_path, write_raster, labels)).warnings)
    assert f"validation holds fewer than 30 labelled pixels of two ({held});" in told
    assert "all validation pixels of one lie in one region" in told


def test_a_training_with_enough_to_validate_says_nothing(tmp_path: Path, write_raster: Write) -> None:
    labels = np.full((20, 30), 1, dtype=np.uint8)
    labels[:, ::5] = 0
    labels[:, 2::5] = 2
    assert not survey(collection(tmp_path, write_raster, labels)).warnings
