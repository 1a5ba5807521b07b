"""Splits, statistics and chips."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from pydantic import ValidationError

from engine.availability import Scenario
from engine.data.chips import ChipSampler, class_probabilities
from engine.data.scenes import scene_specs
from engine.data.settings import DataSettings, FoldSplit
from engine.data.splits import scene_splits, split_mask
from engine.data.survey import SceneCollection, survey
from engine.errors import LabelError, RecipeError, SplitError
from engine.grid import Grid, Window
from engine.methods.scenarios import CompleteSampler, DropoutSampler, IncompleteSampler, SeveralSampler, UniformSampler
from engine.modality import LandClass, Modality
from engine.training.recipe import read_recipe

Write = Callable[..., Path]
CLASSES = (LandClass(1, "low", "#000000"), LandClass(2, "high", "#ffffff"))
MODALITIES = (Modality("a", ("x",), "uint16"), Modality("b", ("y",), "float32"))
BLOCKS = {"kind": "blocks", "size": 10, "modulo": 2, "column": 1, "train": [0], "validation": [1]}


def data_settings(folder: Path, split: dict[str, object] = BLOCKS, **more: object) -> DataSettings:
    scene = {
        "name": "scene",
        "sources": {"a": "a.tif", "b": "b.tif"},
        "labels": {"path": "labels.tif"},
    }
    return DataSettings.model_validate({"root": folder, "scenes": [scene], "split": split, "chip": 16, **more})


@pytest.fixture
def collection(tmp_path: Path, write_raster: Write) -> SceneCollection:
    """40 x 50 pixels; b is invalid in the right half; class 2 in the lower half, a pixel of class 1 unlabelled."""
    a = np.arange(2000).reshape(1, 40, 50).astype("uint16")
    b = np.linspace(-3, 3, 2000).reshape(1, 40, 50).astype("float32")
    b[:, :, 25:] = -9999
    labels = np.repeat([1, 2], 1000).reshape(1, 40, 50).astype("uint8")
    labels[0, 0, 0] = 0
    write_raster("a.tif", a)
    write_raster("b.tif", b, nodata=-9999)
    write_raster("labels.tif", labels, nodata=0)
    return SceneCollection(data_settings(tmp_path), tmp_path, MODALITIES, CLASSES)


def in_training() -> np.ndarray:
    rows, cols = np.mgrid[:40, :50]
    return ((rows // 10 + cols // 10) % 2 == 0) & ~((rows == 0) & (cols == 0))


def test_statistics_come_from_valid_training_pixels_alone(collection: SceneCollection) -> None:
    found = survey(collection)
    a = np.arange(2000).reshape(40, 50)[in_training()].astype(float)
    band = found.modalities[0].statistics[0]
    assert band.mean == pytest.approx(a.mean())
    assert band.std == pytest.approx(a.std())
    assert (band.minimum, band.maximum) == (a.min(), a.max())
    assert (band.low, band.high) == pytest.approx((np.quantile(a, 0.02), np.quantile(a, 0.98)))
    b = np.linspace(-3, 3, 2000).reshape(40, 50)[:, :25][in_training()[:, :25]]
    assert found.modalities[1].statistics[0].mean == pytest.approx(b.mean(), rel=1e-5)
    assert found.class_counts.tolist() == [499, 500]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data.root: there is no folder .*nowhere"):
        SceneCollection(data_settings(tmp_path), tmp_path / "nowhere", MODALITIES, CLASSES)


def test_a_chip_is_a_function_of_seed_epoch_and_sample(collection: SceneCollection) -> None:
    found = survey(collection)
    samplers = [ChipSampler(collection, found, 3, 4, UniformSampler().draw) for _ in range(2)]
    samplers[0].draw(0, 1)
    one, again = samplers[0].draw(4, 7), samplers[1].draw(4, 7)
    np.testing.assert_array_equal(one.labels, again.labels)
    np.testing.assert_array_equal(one.values["a"], again.values["a"])
    assert not all(np.array_equal(one.labels, samplers[0].draw(4, n).labels) for n in range(8, 14))


def test_a_chip_takes_loss_only_where_its_whole_scenario_is_valid_and_trained_on(collection: SceneCollection) -> None:
    found = survey(collection)
    sampler = ChipSampler(collection, found, 0, 4, CompleteSampler().draw)
    truth = np.repeat([0, 1], 1000).reshape(40, 50)
    seen = 0
    for sample in range(30):
        chip = sampler.draw(0, sample)
        rows, cols = (chip.values["a"][0] // 50).astype(int), (chip.values["a"][0] % 50).astype(int)
        allowed = in_training()[rows, cols]
        if chip.availability[1]:
            allowed &= cols < 25
            assert (chip.values["b"][0][cols >= 25] == found.modalities[1].fill[0]).all()
        np.testing.assert_array_equal(chip.labels, np.where(allowed, truth[rows, cols], -1))
        seen += int(allowed.sum())
    assert seen > 0


def test_classes_are_drawn_by_a_power_of_their_share() -> None:
    np.testing.assert_allclose(class_probabilities(np.array([900, 100]), 0.5), [0.75, 0.25])
    np.testing.assert_allclose(class_probabilities(np.array([900, 100]), 0.0), [0.5, 0.5])


def test_scenarios_are_drawn_uniformly_among_what_a_chip_has() -> None:
    rng = np.random.default_rng(0)
    drawn = [UniformSampler().draw(rng, rng, Scenario((True, False, True))).code for _ in range(3000)]
    counts = {code: drawn.count(code) for code in set(drawn)}
    assert set(counts) == {"100", "001", "101"}
    assert all(abs(count - 1000) < 120 for count in counts.values())


def test_dropout_draws_a_number_of_sensors_and_so_many_of_them_for_a_whole_batch() -> None:
    """k of 1, 2, 3 alike, then a subset of k: 1/9 for each single sensor and each pair, 1/3 for all."""
    everything, partial = Scenario((True, True, True)), Scenario((False, False, True))
    codes = []
    for batch in range(3600):
        own, drawn = np.random.default_rng((1, batch)), []
        for present in (everything, everything, partial):
            drawn.append(DropoutSampler().draw(own, np.random.default_rng((2, batch)), present))
        assert drawn[0] == drawn[1], "all of a batch"
        assert drawn[2] == partial
        codes.append(drawn[0].code)
    counts = {code: codes.count(code) for code in set(codes)}
    assert set(counts) == {"100", "010", "001", "110", "101", "011", "111"}
    assert all(abs(count - (1200 if code == "111" else 400)) < 110 for code, count in counts.items())


def test_several_draws_every_scenario_of_two_or_more() -> None:
    rng = np.random.default_rng(0)
    drawn = [SeveralSampler().draw(rng, rng, Scenario((True, True, False, True))).code for _ in range(4000)]
    counts = {code: drawn.count(code) for code in set(drawn)}
    assert set(counts) == {"1100", "1001", "0101", "1101"}
    assert all(abs(count - 1000) < 120 for count in counts.values())
    for few in (Scenario((True, True)), Scenario((False, True))):
        assert SeveralSampler().draw(rng, rng, few) == few


def test_incomplete_draws_every_scenario_that_lacks_a_sensor() -> None:
    rng = np.random.default_rng(0)
    for present, expected in (
        ((True, True, True), {"100", "010", "001", "110", "101", "011"}),
        ((True, False, True), {"100", "001", "101"}),
        ((True,), {"1"}),
    ):
        drawn = [IncompleteSampler().draw(rng, rng, Scenario(present)).code for _ in range(600 * len(expected))]
        counts = {code: drawn.count(code) for code in set(drawn)}
        assert set(counts) == expected
        assert all(abs(count - 600) < 100 for count in counts.values())


def test_samples_of_a_batch_draw_alike_and_apart(collection: SceneCollection) -> None:
    drawn: list[tuple[float, float]] = []

    def draw(own: np.random.Generator, together: np.random.Generator, present: Scenario) -> Scenario:
        drawn.append((own.random(), together.random()))
        return present

    sampler = ChipSampler(collection, survey(collection), 0, 4, draw)
    for sample in range(12):
        sampler.draw(0, sample)
    own, together = zip(*drawn, strict=True)
    assert len(set(own)) == 12
    assert not set(own) & set(together)
    assert [together[start] for start in range(12)] == [together[start // 4 * 4] for start in range(12)]
    assert len(set(together)) == 3


def test_blocks_follow_the_formula(grid: Grid, tmp_path: Path) -> None:
    split = data_settings(
        tmp_path,
        {
            "kind": "blocks",
            "size": 7,
            "row": 1,
            "column": 2,
            "modulo": 5,
            "train": [2, 3, 4],
            "validation": [1],
            "test": [0],
        },
    ).split
    mask = split_mask(split, grid, tmp_path, "scene", None, None)
    window = Window(5, 9, 20, 30)
    for name, numbers in (("train", {2, 3, 4}), ("validation", {1}), ("test", {0})):
        expected = [[(r // 7 + 2 * (c // 7)) % 5 in numbers for c in range(9, 39)] for r in range(5, 25)]
        np.testing.assert_array_equal(mask(window, name), expected)  # type: ignore[arg-type]


def test_regions_are_rectangles_of_the_crs(grid: Grid, tmp_path: Path) -> None:
    regions = {"kind": "regions", "train": [[1000, 4900, 1100, 5000]], "validation": [[1200, 4600, 1500, 5000]]}
    mask = split_mask(data_settings(tmp_path, regions).split, grid, tmp_path, "scene", None, None)
    train = mask(grid.window, "train")
    assert train.sum() == 100
    assert train[:10, :10].all()
    assert mask(grid.window, "validation")[:, 20:].all()


def test_each_scene_is_tested_in_one_fold(tmp_path: Path) -> None:
    names = [f"s{number:02d}" for number in range(38)]

    def taken(fold: int, seed: int = 0) -> dict[str, set[str]]:
        settings = data_settings(tmp_path, {"kind": "folds", "fold": fold, "seed": seed}).split
        assert isinstance(settings, FoldSplit)
        found = scene_splits(settings, names)
        return {split: {name for name in names if found[name] == split} for split in ("train", "validation", "test")}

    folds = [taken(fold) for fold in range(5)]
    tested = [name for fold in folds for name in fold["test"]]
    assert sorted(tested) == names
    for fold in folds:
        assert set(names) == fold["train"] | fold["validation"] | fold["test"]
        assert sum(map(len, fold.values())) == 38
        assert len(fold["test"]) in (7, 8)
        assert len(fold["validation"]) == -(-(38 - len(fold["test"])) // 10)  # each tenth of the others
    assert taken(0)["test"] == folds[0]["test"] != taken(0, seed=1)["test"]


def test_too_few_scenes_or_no_such_fold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="fold 5 is none of 0 to 4"):
        data_settings(tmp_path, {"kind": "folds", "fold": 5})
    with pytest.raises(SplitError, match="9 scenes are too few for 5 folds"):
        scene_splits(FoldSplit(kind="folds"), [str(number) for number in range(9)])


def test_polygons_split_by_a_field(grid: Grid, tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas")
    from shapely.geometry import box

    frame = geopandas.GeoDataFrame(
        {"use": ["train", "test"]}, geometry=[box(1000, 4900, 1100, 5000), box(1100, 4900, 1200, 5000)],
        crs=grid.crs.to_wkt() if grid.crs else None,
    )  # fmt: skip
    frame.to_file(tmp_path / "split.gpkg")
    settings = data_settings(tmp_path, {"kind": "polygons", "path": "split.gpkg", "field": "use"})
    mask = split_mask(settings.split, grid, tmp_path, "scene", None, None)
    assert mask(grid.window, "train").sum() == 100
    assert mask(grid.window, "test")[:10, 10:20].all()
    assert not mask(grid.window, "validation").any()


def test_tiles_are_found_by_pattern_and_split_by_name(tmp_path: Path, write_raster: Write) -> None:
    for number in range(1, 22):
        write_raster(f"a_{number:03}.tif", np.zeros((1, 4, 4), "uint8"))
    data = DataSettings.model_validate(
        {
            "root": tmp_path,
            "scenes": [{"name": "all", "sources": {"a": "a_{tile}.tif"}}],
            "split": {"kind": "scenes", "validation": {"match": "all/*", "every": 10}, "train": {"match": "all/*"}},
        }
    )
    specs = scene_specs(data, tmp_path)
    assert len(specs) == 21
    assert [spec.name for spec in specs if spec.split == "validation"] == ["all/001", "all/011", "all/021"]


def test_an_empty_split_is_refused(tmp_path: Path, collection: SceneCollection) -> None:
    far = {"kind": "regions", "train": [[0, 0, 1, 1]], "validation": [[0, 0, 1, 1]]}
    empty = SceneCollection(data_settings(tmp_path, far), tmp_path, MODALITIES, CLASSES)
    with pytest.raises(SplitError, match=r"data\.split\.train"):
        survey(empty)


def test_a_class_that_never_occurs_is_named(tmp_path: Path, collection: SceneCollection) -> None:
    more = (*CLASSES, LandClass(9, "glacier", "#00ffff"))
    with pytest.raises(SplitError, match="glacier"):
        survey(SceneCollection(data_settings(tmp_path), tmp_path, MODALITIES, more))


def test_a_scene_smaller_than_a_chip_gives_chips(tmp_path: Path, collection: SceneCollection) -> None:
    small = SceneCollection(data_settings(tmp_path, chip=64), tmp_path, MODALITIES, CLASSES)
    sampler = ChipSampler(small, survey(small), 0, 4, UniformSampler().draw)
    chip = sampler.draw(0, 0)
    assert chip.values["a"].shape == (1, 64, 64)
    assert (chip.labels >= 0).sum() > 0


def test_a_scene_is_brought_to_the_recipes_pixel_size(tmp_path: Path, collection: SceneCollection) -> None:
    coarse = SceneCollection(data_settings(tmp_path, pixel_size=20), tmp_path, MODALITIES, CLASSES)
    assert coarse[0].grid == Grid(collection[0].grid.crs, Affine(20, 0, 1000, 0, -20, 5000), 20, 25)


def test_potsdam_is_read_as_it_is_published(tmp_path: Path, write_raster: Write) -> None:
    for folder in ("1_DSM", "2_Ortho_RGB", "3_Ortho_IRRG", "5_Labels_all"):
        (tmp_path / folder).mkdir()
    plain: dict[str, Any] = {"crs": None, "transform": Affine(0.05, 0, 366676.3, 0, -0.05, 5808498.8)}
    names = [f"{row}_{col}" for row in range(2, 8) for col in range(10, 14)]
    names += [f"{row}_{col}" for row in (6, 7) for col in (7, 8, 9)]
    colours = np.array([[0, 255, 0], [255, 255, 255], [0, 0, 255], [0, 255, 255], [255, 255, 0], [255, 0, 0]])
    for number, name in enumerate(names):
        image = np.full((3, 8, 6), number, np.uint8)
        write_raster(f"2_Ortho_RGB/top_potsdam_{name}_RGB.tif", image, **plain)
        write_raster(f"3_Ortho_IRRG/top_potsdam_{name}_IRRG.tif", image + 100, **plain)
        row, col = name.split("_")
        height = np.full((1, 8, 6), number, np.float32)
        write_raster(f"1_DSM/dsm_potsdam_{row:0>2}_{col:0>2}.tif", height, **plain)
        labels = np.repeat(colours.T[:, None], 8, axis=1).astype(np.uint8)
        write_raster(f"5_Labels_all/top_potsdam_{name}_label.tif", labels, **plain)
    root = Path(__file__).resolve().parents[2]
    for name in ("potsdam-latent-guided", "potsdam-latent-guided-tuned"):
        recipe = read_recipe(root / "recipes" / "papers" / f"{name}.yaml", [f"data.root={tmp_path}", "data.chip=8"])
        collection = SceneCollection(recipe.data, recipe.data.root, recipe.modality_values, recipe.class_values)
        with closing(collection):
            assert len(collection) == len(names) == 30
            for number in range(30):
                patch = collection[number].read(Window(0, 0, 8, 6), "test")  # the first block's split
                rgb, irrg, dsm = (int(patch.values[key][0, 0, 0]) for key in ("rgb", "irrg", "dsm"))
                assert rgb == irrg - 100 == dsm
                np.testing.assert_array_equal(patch.labels, [[1, 0, 0, 0, 0, 0]] * 8)


def test_a_colour_that_is_no_class_is_named_as_one(
    collection: SceneCollection, tmp_path: Path, write_raster: Write
) -> None:
    colours = np.full((3, 40, 50), [[[10]], [[11]], [[255]]], np.uint8)
    write_raster("labels.tif", colours)
    with pytest.raises(LabelError, match="label value 0x0A0BFF is none of the classes"):
        collection[0].labels(Window(0, 0, 4, 4), "train")


def test_colours_of_labels_are_bytes(collection: SceneCollection, tmp_path: Path, write_raster: Write) -> None:
    write_raster("labels.tif", np.ones((3, 40, 50), np.uint16))
    with pytest.raises(LabelError, match="three bands of labels are colours in bytes, these are uint16"):
        collection[0].labels(Window(0, 0, 4, 4), "train")
