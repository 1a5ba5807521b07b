"""Trainings that start from a run with other classes, sensors or bands."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from engine.errors import RecipeError
from engine.modality import BandStatistics, Modality
from engine.networks.segmenter import Segmenter
from engine.training.checkpoints import Progress, save
from engine.training.recipe import Recipe
from engine.training.run import STATISTICS, build_segmenter, keep_recipe
from engine.training.start import open_start

MakeRecipe = Callable[..., Recipe]
NETWORKS = {
    "mean_fusion": {"encoder": "resnet-tiny"},
    "stars": {"encoder": "resnet-tiny"},
    "cmx": {"size": "tiny"},
    "cmx_cnn": {"size": "tiny"},
    "cbc": {"size": "tiny", "band_lists": {"optical": [0, 1, 2]}},
    "cbc_slp": {"size": "tiny", "band_lists": {"optical": [0, 1, 2]}},
    "lds2ae": {"window": 3, "width": 16, "heads": 2, "depth": 1},
    "lvpcnet": {"window": 3, "width": 16, "heads": 2, "depth": 1},
}
CLASSES = ["water", "forest", "cropland", "grassland", "built-up", "bare"]  # of values 1 to 6, the run's
HEAD = "head.classify.weight"
STEM = "encoder.convolutions.{}.weight"


def network(name: str) -> str:
    return f"network={json.dumps({'name': name, 'options': NETWORKS[name]})}"


def legend(names: dict[int, str]) -> str:
    return (
        f"classes={json.dumps([{'value': value, 'name': name, 'color': '#000000'} for value, name in names.items()])}"
    )


def surveyed(recipe: Recipe, mean: float) -> list[Modality]:
    return [
        replace(item, statistics=(BandStatistics(mean, 1, mean - 2, mean + 2),) * len(item.bands))
        for item in recipe.modality_values
    ]


def make_run(recipe: Recipe, folder: Path) -> dict[str, torch.Tensor]:
    """A run whose only checkpoint is that of its beginning; its weights."""
    modalities = surveyed(recipe, 5)
    segmenter = build_segmenter(recipe, modalities)
    folder.mkdir()
    (folder / STATISTICS).write_text(json.dumps([asdict(item) for item in modalities]))
    keep_recipe(folder, recipe)
    save(folder / "checkpoints", "last", segmenter, None, Progress(0, -1.0, 0, recipe.digest, 1, torch.__version__))
    return segmenter.network.state_dict()


def started(recipe: Recipe, say: Callable[[str], None] = lambda _line: None) -> Segmenter:
    assert recipe.start is not None
    return open_start(recipe, recipe.start, surveyed(recipe, 7), say)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_keeps_the_rows_of_classes_that_both_have(
    name: str, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """In another order, with one more; everything else as it was."""
    given = make_run(make_recipe(tmp_path, [network(name), "data.chip=33"]), tmp_path / "run")
    classes = {6 - place: other for place, other in enumerate(reversed(CLASSES))} | {9: "maize"}
    said: list[str] = []
    recipe = make_recipe(tmp_path, [network(name), "data.chip=33", legend(classes), f"start.run={tmp_path / 'run'}"])
    segmenter = started(recipe, said.append)
    rows = 0
    for key, found in segmenter.network.state_dict().items():
        if found.shape == given[key].shape:
            assert torch.equal(found, given[key]), key
        else:
            assert (len(found), len(given[key])) == (7, 6)
            assert torch.equal(found[:6], given[key].flip(0)), key
            rows += found[6].numel()
    assert rows
    assert said[1] == "  classes: 6 taken: bare, built-up, grassland, cropland, forest, water; 1 new: maize"
    assert said[2] == "  optical: as the run's optical, with the statistics of the run"
    assert f"{rows:,} new, 0 of the run left" in said[-1]
    assert all(item.statistics[0].mean == 5 for item in segmenter.modalities)


def test_a_mapping_of_classes_decides_alone(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    given = make_run(make_recipe(tmp_path), tmp_path / "run")[HEAD]
    words = [legend({1: "lake", 2: "river", 3: "forest", 4: "grassland"}), f"start.run={tmp_path / 'run'}"]
    said: list[str] = []
    mapped = started(
        make_recipe(tmp_path, [*words, "start.classes={lake: water, river: water, forest: forest}"]), said.append
    )
    found = mapped.network.state_dict()[HEAD]
    assert torch.equal(found[:3], given[[0, 0, 1]])
    assert not torch.equal(found[3], given[3])
    assert said[1] == (
        "  classes: 3 taken: lake from water, river from water, forest; 1 new: grassland; "
        "4 of the run left: cropland, grassland, built-up, bare"
    )
    new = started(make_recipe(tmp_path, [*words, "start.classes={}"])).network.state_dict()[HEAD]
    assert not any(torch.equal(row, other) for row in new for other in given)
    for mapping, message in (
        ("{lake: sea}", "sea is none of the run's classes"),
        ("{sea: water}", "sea is none of the recipe's classes"),
    ):
        with pytest.raises(RecipeError, match=message):
            started(make_recipe(tmp_path, [*words, f"start.classes={mapping}"]))


@pytest.mark.parametrize(
    ("classes", "doubt"),
    [
        ({1: "water", 2: "maize"}, "2 maize may be the run's 2 forest"),
        ({1: "water", 9: "forest"}, "9 forest may be the run's 2 forest"),
    ],
)
def test_classes_that_agree_by_half_are_refused_with_the_mapping_to_write(
    classes: dict[int, str], doubt: str, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    make_run(make_recipe(tmp_path), tmp_path / "run")
    with pytest.raises(RecipeError) as refused:
        started(make_recipe(tmp_path, [legend(classes), f"start.run={tmp_path / 'run'}"]))
    mapping = ", ".join(f"{name}: {name}" for name in classes.values() if name in CLASSES)
    assert doubt in str(refused.value)
    assert f"start.classes: {{{mapping}}}" in str(refused.value)
    assert "the run's classes: 1 water, 2 forest, 3 cropland" in str(refused.value)


@pytest.mark.parametrize("name", ["mean_fusion", "cmx"])
def test_bands_that_both_have_keep_their_input_weights(name: str, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    """Others start as their mean times two thirds, as two of three are known. In CMX several sensors share a tensor."""
    given = make_run(make_recipe(tmp_path, [network(name)]), tmp_path / "run")
    words = [network(name), "modalities.1.bands=[VH, HH, VV]", f"start.run={tmp_path / 'run'}"]
    said: list[str] = []
    segmenter = started(make_recipe(tmp_path, [*words, "start.modalities={optical: optical, sar: sar}"]), said.append)
    key = STEM.format("sar") if name == "mean_fusion" else "mix.weight"
    found, base = segmenter.network.state_dict()[key], given[key]
    assert torch.equal(found[:, 0], base[:, 1])
    assert torch.equal(found[:, 2], base[:, 0])
    assert torch.allclose(found[:, 1], (base[:, 0] + base[:, 1]) / 3)
    assert [item.statistics[0].mean for item in segmenter.modalities] == [5, 7, 7]
    assert said[3:6] == [
        "  sar: as the run's sar, with its own statistics; input weights of VH, VV; HH: the mean of these",
        "  dem: new",
        "  left: dem",
    ]
    if name == "mean_fusion":  # sensors have tensors of their own
        assert not torch.equal(segmenter.network.state_dict()[STEM.format("dem")], given[STEM.format("dem")])
    else:
        assert not torch.equal(found[:, 3], base[:, 2])


@pytest.mark.parametrize(
    ("name", "mapping", "warned"),
    [
        ("cmx", "{optical: sar, sar: optical, dem: dem}", True),
        ("cmx", "{sar: optical, dem: sar}", True),
        ("cmx", "{optical: optical, sar: sar}", False),
        ("cmx", "{optical: optical, sar: sar, dem: dem}", False),
        ("mean_fusion", "{optical: sar, sar: optical, dem: dem}", False),
    ],
)
def test_sensors_at_other_places_are_told_of_where_weights_go_by_places(
    name: str, mapping: str, warned: bool, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    make_run(make_recipe(tmp_path, [network(name)]), tmp_path / "run")
    said: list[str] = []
    words = [network(name), f"start.run={tmp_path / 'run'}", f"start.modalities={mapping}"]
    started(make_recipe(tmp_path, words), said.append)
    told = "the run had optical, sar, dem in this order, the recipe has optical, sar, dem"
    assert any("the sensors' places" in line and told in line for line in said) == warned


def test_an_additional_sensor_starts_from_random_weights(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path)
    scenes = tuple(scene.model_copy(update={"sources": {"sar": scene.sources["sar"]}}) for scene in recipe.data.scenes)
    alone = recipe.model_copy(
        update={"modalities": recipe.modalities[1:2], "data": recipe.data.model_copy(update={"scenes": scenes})}
    )
    given = make_run(alone, tmp_path / "run")
    words = [f"start.run={tmp_path / 'run'}"]
    with pytest.raises(RecipeError, match=r"modalities differs.*start\.modalities: {sar: sar}"):
        started(make_recipe(tmp_path, words))
    found = started(make_recipe(tmp_path, [*words, "start.modalities={sar: sar}"])).network.state_dict()
    assert torch.equal(found[STEM.format("sar")], given[STEM.format("sar")])
    assert torch.equal(found[HEAD], given[HEAD])
    assert found.keys() - given.keys() == {key for key in found if ".optical." in key or ".dem." in key}
