"""Recipes at the papers' sizes read files of the published shapes, and train what the papers print."""

import csv
import importlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from engine.availability import scenarios
from engine.data.scenes import scene_specs
from engine.data.survey import SceneCollection
from engine.evaluation.images import FIGURES
from engine.evaluation.scenarios import SUMMARY
from engine.networks.contract import Network
from engine.networks.registry import unbuilt_network
from engine.training.recipe import Recipe, read_recipe
from engine.training.schedule import lay_out, rate_factor

ROOT = Path(__file__).resolve().parents[2]
PROTOCOLS = (
    "latent_guided", "latent_guided-cbc", "latent_guided-cmx", "stars", "stars-potsdam", "functional_entropy",
    "functional_entropy-terms", "lds2ae", "lds2ae-three", "lvpcnet",
)  # fmt: skip
Shared = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="module")
def scripts() -> Iterator[ModuleType]:
    """The script that trains the tables' rows."""
    folder = str(ROOT / "scripts" / "experiments" / "papers")
    sys.path.insert(0, folder)
    yield importlib.import_module("reproduce")
    sys.path.remove(folder)


Read = Callable[[str, str], Recipe]


@pytest.fixture(scope="module")
def read(scripts: ModuleType, shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Reads the recipe of a row, as large as it is, with files of its data set's shape."""

    @cache
    def recipe(protocol: str, arm: str) -> Recipe:
        found = scripts.PROTOCOLS[protocol]
        data = shared(f"papers-{found.data}", scripts.MAKERS[found.data])
        (one,) = [one for one in found.arms if one.name == arm]
        path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
        path.write_text(yaml.safe_dump(scripts.content_of(one, found.repeats[0], data)), encoding="utf-8")
        return read_recipe(path)

    return recipe


def rate(recipe: Recipe, step: int, stage: int = 0) -> float:
    found = lay_out(recipe.stages)[stage]
    schedule = found.settings.schedule
    factor = rate_factor(step, found.steps, schedule.steps_per_epoch, schedule.decay)
    return schedule.optimizer.learning_rate * factor


def network_of(recipe: Recipe) -> Network:
    bands = {one.name: len(one.bands) for one in recipe.modalities}
    return unbuilt_network(recipe.network.name, recipe.network.options, bands, len(recipe.classes))


def size(network: Network, part: str = "") -> int:
    return sum(one.numel() for name, one in network.named_parameters() if name.startswith(part))


@pytest.mark.parametrize(
    ("protocol", "arm", "counts"),
    [
        ("latent_guided", "No fine-tuning", {None: 38}),
        ("stars", "STARS", {"train": 14, "validation": 6, "test": 6}),
        ("stars-potsdam", "STARS", {"train": 23, "validation": 1, "test": 14}),
        ("stars-potsdam", "baseline-RGB", {"train": 23, "validation": 1, "test": 14}),
        ("functional_entropy", "Ours", {"train": 8, "validation": 8}),
        ("lds2ae-three", "LDS2AE", {None: 1}),
    ],
)
def test_every_file_of_a_data_set_is_one_scene_of_its_split(
    read: Read, protocol: str, arm: str, counts: dict[str | None, int]
) -> None:
    recipe = read(protocol, arm)
    specs = scene_specs(recipe.data, recipe.data.root)
    assert Counter(spec.split for spec in specs) == counts
    first = [spec.sources[recipe.modalities[0].name][0].path for spec in specs]
    assert len(set(first)) == len(specs), "no file is two scenes"
    with closing(SceneCollection(recipe.data, recipe.data.root, recipe.modality_values, recipe.class_values)) as scenes:
        patch = scenes[0].read(scenes[0].grid.window, specs[0].split or "test")
    assert patch.valid.all()
    assert (patch.labels >= 0).any()
    assert {name: values.dtype.name for name, values in patch.values.items()} == {
        one.name: one.dtype for one in recipe.modalities
    }


def test_the_official_images_of_potsdam_are_tested_on(read: Read) -> None:
    recipe = read("stars-potsdam", "STARS")
    specs = scene_specs(recipe.data, recipe.data.root)
    names = {spec.sources["irrg"][0].path.split("potsdam_")[-1][:4] for spec in specs if spec.split == "test"}
    assert names == {
        "2_13", "2_14", "3_13", "3_14", "4_13", "4_14", "4_15", "5_13", "5_14", "5_15", "6_13", "6_14", "6_15", "7_13",
    }  # fmt: skip


def test_stars_learns_80_000_steps_at_the_papers_rates(read: Read) -> None:
    recipe = read("stars", "STARS")
    assert lay_out(recipe.stages)[-1].end == 80_000
    steps = {0: 1e-6, 500: 50.5e-6, 1000: 1e-4, 1000 + 79_000 // 2: 5e-5}
    assert [rate(recipe, step) for step in steps] == pytest.approx(list(steps.values()))
    assert rate(recipe, 79_999) < 1e-12
    assert recipe.stages[0].schedule.clip == 5


def test_latent_guided_sampling_tunes_for_10_epochs_what_learned_for_70(read: Read) -> None:
    base, tuned = (read("latent_guided", arm) for arm in ("No fine-tuning", "Fine-tune with our strategy"))
    assert [one.stages[0].schedule.epochs for one in (base, tuned)] == [70, 10]
    assert [one.stages[0].method.scenarios.name for one in (base, tuned)] == ["uniform", "latent_guided"]
    epoch = base.stages[0].schedule.steps_per_epoch
    assert epoch == 2312, "18 495 patches by 8"
    assert rate(base, 5 * epoch - 1) == pytest.approx(1e-4)
    assert rate(base, 69 * epoch) == pytest.approx(1e-4 * 0.91**13)


def test_functional_entropy_learns_200_epochs_after_a_slow_start(read: Read) -> None:
    recipe = read("functional_entropy", "Ours")
    epoch = recipe.stages[0].schedule.steps_per_epoch
    assert lay_out(recipe.stages)[-1].end == 200 * epoch == 75_000
    assert [rate(recipe, step * epoch) for step in (0, 10, 105)] == pytest.approx([6e-6, 6e-5, 6e-5 * 0.5**0.9])


def test_lds2ae_is_tuned_at_a_tenth_after_100_epochs_and_a_hundredth_after_131(read: Read) -> None:
    recipe = read("lds2ae", "LDS2AE")
    assert [stage.schedule.epochs for stage in recipe.stages] == [400, 150]
    assert rate(recipe, 200) == pytest.approx(5e-4), "half a cosine"
    assert [rate(recipe, epoch, stage=1) for epoch in (99, 100, 130, 131)] == pytest.approx([1e-3, 1e-4, 1e-4, 1e-5])


def test_networks_are_as_large_as_the_papers(read: Read) -> None:
    assert size(network_of(read("latent_guided", "No fine-tuning"))) == pytest.approx(85.55e6, rel=0.005)
    assert size(network_of(read("functional_entropy", "Ours"))) == pytest.approx(6.10e6, rel=0.002)
    prompted = read("lvpcnet", "LVPCnet")
    assert [stage.schedule.epochs for stage in prompted.stages] == [500, 300]
    assert size(network_of(prompted), "prompts.") == 2 * 1024, "for each of two missing sensors"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_rows_of_a_table_are_read_and_all_have_the_papers_figures(
    scripts: ModuleType, read: Read, protocol: str
) -> None:
    found = scripts.PROTOCOLS[protocol]
    with (ROOT / "docs" / "experiments" / "papers.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["protocol"] == protocol]
    assert {row["arm"] for row in rows} == {arm.name for arm in found.arms}
    assert {f"Table {row['table']}" for row in rows} == {found.table.partition(":")[0]}
    for arm in found.arms[-1:]:
        recipe = read(protocol, arm.name)
        names = [one.name for one in recipe.modalities]
        known = {"mean", *(scenario.label(names) for scenario in scenarios(len(names)))}
        images = {f"{figure}_{part}" for figure in FIGURES for part in ("mean", "std")}
        figures = {*SUMMARY, *images, *(f"iou_{one.name}" for one in recipe.classes)}
        for row in rows:
            if row["arm"] == arm.name:
                assert row["scenario"] in known
                assert row["figure"] in figures


def test_every_patch_is_tested_in_one_fold_alone(scripts: ModuleType) -> None:
    parts: list[dict[str, Any]] = [
        {word.partition("=")[0].rpartition(".")[2]: yaml.safe_load(word.partition("=")[2]) for word in repeat}
        for repeat in scripts.PROTOCOLS["latent_guided"].repeats
    ]
    assert sorted(number for part in parts for number in part["test"]) == list(range(25))
    for part in parts:
        assert [len(part[name]) / 25 for name in ("train", "validation", "test")] == [0.72, 0.08, 0.2]
        assert sorted([*part["train"], *part["validation"], *part["test"]]) == list(range(25))


def test_figures_stand_beside_the_papers(scripts: ModuleType, tmp_path: Path) -> None:
    for number, share in enumerate((0.5, 0.7)):
        folder = tmp_path / "evaluation" / f"LDS2AE-{number}"
        folder.mkdir(parents=True)
        text = f"scenario,overall_accuracy,average_accuracy,kappa\nlidar,{share},{share},{share}\n"
        (folder / "scenarios.csv").write_text(text, encoding="utf-8")
    text = scripts.table(list(scripts.lines("lds2ae", tmp_path / "evaluation")))
    assert "| LDS2AE | lidar | overall_accuracy | 79.79 | 60.00 ± 14.14 | -19.79 |" in text
    assert "| LDS2AE | hyperspectral | overall_accuracy | 95.78 | - | - |" in text
    assert "| DMAE (HS) | hyperspectral | kappa | 94.27 | - | - |" in text


def test_an_evaluation_says_which_runs_it_is_of(scripts: ModuleType, tmp_path: Path) -> None:
    """So that one of the first fold alone is not taken for one of all."""
    assert scripts._scored(tmp_path) == []
    (tmp_path / "lgss.csv").touch()
    (tmp_path / "lgss.json").write_text('{"of": ["Uniform-0"]}', encoding="utf-8")
    assert scripts._scored(tmp_path) == ["Uniform-0"]
