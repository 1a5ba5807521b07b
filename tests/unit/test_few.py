"""Training on a few labelled pixels of each class."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from engine.availability import Scenario
from engine.data.chips import ChipSampler, side_by_side
from engine.data.settings import DataSettings, FewSettings
from engine.data.survey import SceneCollection, survey
from engine.errors import SplitError
from engine.evaluation.scenarios import evaluate
from engine.grid import Window
from engine.methods.scenarios import CompleteSampler, UniformSampler
from engine.modality import IGNORED, LandClass, Modality

Write = Callable[..., Path]
Collect = Callable[..., SceneCollection]
CLASSES = tuple(LandClass(value, f"class {value}", "#000000") for value in (1, 2, 3, 4))
MODALITIES = (Modality("a", ("x",), "uint16"), Modality("b", ("y",), "float32"))
LEFT = {"kind": "regions", "train": [[1000, 4600, 1250, 5000]], "validation": [[1250, 4600, 1500, 5000]]}
WHOLE = Window(0, 0, 40, 50)
TRAINING = np.s_[:, :25]


@pytest.fixture
def truth() -> NDArray[np.uint8]:
    """In the left half, for training, 24 pixels of class 2, 20 of class 3, 7 of class 4, 800 of class 1, rest none.

    In the right half rows of each class.
    """
    values = np.zeros((40, 50), "uint8")
    values[:32, :25] = 1
    values[33, :24] = 2
    values[35, 5:25] = 3
    values[39, :7] = 4
    values[:, 25:] = np.arange(40)[:, None] % 4 + 1
    return values


@pytest.fixture
def collect(truth: NDArray[np.uint8], tmp_path: Path, write_raster: Write) -> Collect:
    """A scene of 40 x 50 pixels (a counts pixels, b is invalid in row 0), or two of them."""
    b = np.linspace(-3, 3, 2000).reshape(1, 40, 50).astype("float32")
    b[:, 0] = -9999
    write_raster("a.tif", np.arange(2000).reshape(1, 40, 50).astype("uint16"))
    write_raster("b.tif", b, nodata=-9999)
    write_raster("labels.tif", truth[None], nodata=0)
    sources = {"a": "a.tif", "b": "b.tif"}

    def make(scenes: int = 1, *, chip: int = 11, split: dict[str, Any] = LEFT, **few: int) -> SceneCollection:
        content = [
            {"name": f"scene {number}", "sources": sources, "labels": {"path": "labels.tif"}}
            for number in range(scenes)
        ]
        data = {"root": tmp_path, "scenes": content, "split": split, "chip": chip}
        data |= {"few": {"per_class": 22, "small": 15} | few}
        return SceneCollection(DataSettings.model_validate(data), tmp_path, MODALITIES, CLASSES)

    return make


def counts(labels: NDArray[np.int16]) -> list[int]:
    return np.bincount(labels[labels != IGNORED], minlength=4).tolist()


def test_classes_give_so_many_and_small_ones_fewer(collect: Collect, truth: NDArray[np.uint8]) -> None:
    """Of 800 and 24 pixels 22 each; of 20, which is no more than 22, 15; of 7 all."""
    labels = collect()[0].labels(WHOLE, "train")
    assert counts(labels) == [22, 22, 15, 7]
    chosen = labels != IGNORED
    np.testing.assert_array_equal(labels[chosen] + 1, truth[chosen])
    assert not chosen[:, 25:].any()


def test_a_class_with_exactly_so_many_is_a_small_one(collect: Collect) -> None:
    assert counts(collect(per_class=20)[0].labels(WHOLE, "train")) == [20, 20, 15, 7]
    assert counts(collect(per_class=24)[0].labels(WHOLE, "train")) == [24, 15, 15, 7]
    assert counts(collect(per_class=19)[0].labels(WHOLE, "train")) == [19, 19, 19, 7]


def test_small_classes_give_all_where_nothing_else_is_said() -> None:
    few = FewSettings(per_class=40)
    assert few.small is None
    with pytest.raises(ValidationError, match="small classes give 41 pixels and others 40"):
        FewSettings(per_class=40, small=41)


def test_other_splits_keep_their_labels(collect: Collect, truth: NDArray[np.uint8]) -> None:
    found = collect()[0].labels(WHOLE, "validation")
    np.testing.assert_array_equal(found[:, 25:], truth[:, 25:].astype(int) - 1)
    assert (found[:, :25] == IGNORED).all()


def test_the_draw_does_not_depend_on_what_is_read(collect: Collect) -> None:
    whole = collect()[0].labels(WHOLE, "train")
    other = collect(chip=16)
    survey(other)
    for window in (Window(30, 3, 10, 9), Window(-4, -4, 20, 20), Window(35, 20, 11, 11)):
        part = np.full((window.height, window.width), IGNORED, np.int16)
        inside = window & WHOLE
        part[inside.within(window)] = whole[inside.within(WHOLE)]
        np.testing.assert_array_equal(other[0].labels(window, "train"), part)
        np.testing.assert_array_equal(other[0].read(window, "train").labels, part)
    cut = [patch.labels for patch in side_by_side(collect(), "train", 13)]
    assert counts(np.stack(cut)) == [22, 22, 15, 7]


def test_a_large_scene_is_drawn_from_square_by_square(collect: Collect, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = collect()[0].labels(WHOLE, "train")
    monkeypatch.setattr("engine.data.few.AREA", 9)
    np.testing.assert_array_equal(collect()[0].labels(WHOLE, "train"), whole)


def test_seeds_draw_apart_and_more_pixels_hold_fewer(collect: Collect) -> None:
    def drawn(**few: int) -> set[int]:
        return set(np.flatnonzero(collect(**few)[0].labels(WHOLE, "train") == 0).tolist())

    assert drawn() == drawn(seed=0) != drawn(seed=1)
    assert len(drawn() & drawn(seed=1)) < 8  # 22 * 22 / 800 are expected, 0.6
    assert drawn() < drawn(per_class=60)


def test_each_pixel_is_drawn_as_often(collect: Collect) -> None:
    """Of 24 pixels 12 are drawn, by 300 seeds: each 150 times, with a deviation of 8.7."""
    times = sum(
        (collect(seed=seed, per_class=12, small=1)[0].labels(Window(33, 0, 1, 24), "train")[0] == 1).astype(int)
        for seed in range(300)
    )
    assert times.sum() == 12 * 300
    assert abs(times - 150).max() < 5 * 8.7
    assert abs(times.std() - 8.7) < 4


def test_pixels_are_drawn_over_all_scenes(collect: Collect) -> None:
    """Two alike scenes: 48 pixels of class 2, 40 of class 3 and 14 of class 4."""
    collection = collect(2)
    found = [collection[number].labels(WHOLE, "train") for number in range(2)]
    assert counts(np.stack(found)) == [22, 22, 22, 14]
    assert all(min(counts(labels)[:3]) > 0 for labels in found)
    assert (found[0] != found[1]).any()


def test_scenes_that_are_not_for_training_give_no_pixels(collect: Collect) -> None:
    split = {"kind": "scenes", "validation": {"match": "scene 0"}, "train": {"match": "*"}}
    collection = collect(2, split=split)
    assert counts(collection[0].labels(WHOLE, "train")) == [0, 0, 0, 0]
    assert counts(collection[1].labels(WHOLE, "train")) == [22, 22, 22, 22]
    assert counts(collection[0].labels(WHOLE, "validation")) == [1050, 274, 270, 257]


def test_statistics_are_of_the_whole_training_split(collect: Collect) -> None:
    """Labelled or not, and of no pixel of another split."""
    found = survey(collect())
    a = np.arange(2000.0).reshape(40, 50)[TRAINING]
    band = found.modalities[0].statistics[0]
    assert (band.mean, band.std) == (pytest.approx(a.mean()), pytest.approx(a.std()))
    assert (band.minimum, band.maximum) == (0, 1974)
    b = np.linspace(-3, 3, 2000).reshape(40, 50)[1:, :25]
    assert found.modalities[1].statistics[0].mean == pytest.approx(b.mean(), rel=1e-5)
    assert found.class_counts.tolist() == [22, 22, 15, 7]


def test_each_chip_has_a_labelled_pixel_in_its_centre(collect: Collect, truth: NDArray[np.uint8]) -> None:
    collection = collect()
    found = survey(collection)
    sampler = ChipSampler(collection, found, 0, 4, CompleteSampler().draw)
    thinned = collection[0].labels(WHOLE, "train")
    thinned[0] = IGNORED  # b is invalid there, so that chips of both have no label
    fill = round(float(found.modalities[0].fill[0]))
    seen, outside = set(), 0
    for sample in range(400):
        chip = sampler.draw(0, sample)
        assert chip.labels.shape == (11, 11)
        place = int(chip.values["a"][0, 5, 5])
        row, col = divmod(place, 50)
        seen.add(place)
        if row == 0:
            continue
        assert chip.labels[5, 5] == truth[row, col] - 1 == thinned[row, col]
        # what is labelled in the chip is what is drawn in the window around the pixel, turned as it is
        window = Window(row - 5, col - 5, 11, 11)
        inside = window & WHOLE
        assert counts(chip.labels) == counts(thinned[inside.within(WHOLE)])
        if inside != window:
            outside += 1
            assert (chip.values["a"] == fill).sum() >= 121 - inside.height * inside.width
    assert outside > 50
    drawn = np.flatnonzero(collection[0].labels(WHOLE, "train").ravel() != IGNORED)
    assert seen == set(drawn.tolist())


def test_chips_are_the_same_whatever_was_drawn_before(collect: Collect) -> None:
    """Those around few labels are kept once they are read; turning and masking leave them as they are."""
    collection = collect()
    found = survey(collection)

    def sampler() -> ChipSampler:
        return ChipSampler(collection, found, 0, 4, UniformSampler().draw)

    one = sampler()
    for sample in range(300):  # of 66 labels
        chip, alone = one.draw(0, sample), sampler().draw(0, sample)
        np.testing.assert_array_equal(chip.labels, alone.labels)
        np.testing.assert_array_equal(chip.availability, alone.availability)
        for name in ("a", "b"):
            np.testing.assert_array_equal(chip.values[name], alone.values[name])


def test_classes_are_drawn_by_their_labelled_pixels(collect: Collect) -> None:
    """At power 0.5: 22, 22, 15 and 7 pixels give 0.30, 0.30, 0.24 and 0.17 of the chips."""
    collection = collect()
    sampler = ChipSampler(collection, survey(collection), 0, 4, CompleteSampler().draw)
    labels = collection[0].labels(WHOLE, "train")
    times = np.zeros(4)
    for sample in range(2000):
        _, window = sampler.window(np.random.default_rng(sample))
        times[labels[window.row + 5, window.col + 5]] += 1
    roots = np.sqrt([22, 22, 15, 7])
    np.testing.assert_allclose(times / 2000, roots / roots.sum(), atol=0.05)


def test_a_class_without_training_pixels_is_named(collect: Collect, truth: NDArray[np.uint8]) -> None:
    top = LEFT | {"train": [[1000, 4700, 1250, 5000]]}
    with pytest.raises(SplitError, match=r"class 2 \(value 2\) has no pixel in data\.split\.train"):
        survey(collect(split=top))
    with pytest.raises(SplitError, match="no labelled pixel lies in it"):
        survey(collect(split=LEFT | {"train": [[0, 0, 1, 1]]}))


def test_the_draw_closes_no_scene_that_is_evaluated(collect: Collect, monkeypatch: pytest.MonkeyPatch) -> None:
    """More scenes than are kept open: the draw reads all of them before the first one is mapped."""
    monkeypatch.setattr("engine.data.survey.OPEN_SCENES", 2)
    collection = collect(4, per_class=3, small=3)
    measured = survey(collection).modalities
    collection.close()
    fresh = SceneCollection(collection.data, collection.root, measured, CLASSES)

    def first(_scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        batch, _, rows, cols = next(iter(inputs.values())).shape
        return np.eye(len(CLASSES), dtype=np.float32)[0][None, :, None, None] * np.ones(
            (batch, 1, rows, cols), np.float32
        )

    found = evaluate(fresh, measured, first, "train", 16, 2)
    drawn = fresh.drawn
    assert drawn is not None
    valid = int((drawn.rows > 0).sum())  # b is invalid in row 0
    assert [score.pixels for score in found.scores] == [12, valid, valid]
