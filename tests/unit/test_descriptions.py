"""Legends in words: those that ship, the check of one's own, and which text a recipe's class gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from engine.cli.describe import command
from engine.cli.main import main
from engine.errors import LegendError
from engine.language.descriptions import (
    KINDS,
    TEMPLATE,
    Legend,
    check_legend,
    described,
    legend_names,
    load_legend,
    read_legend,
)
from engine.language.registry import LanguageSettings, class_vectors
from engine.language.vectors import ClassVectors
from engine.training.recipe import read_recipe

ROOT = Path(__file__).resolve().parents[2]
VALUES = {  # the first value of each class, as the legends' makers have them
    "augsburg": range(1, 8),
    "berlin": range(1, 9),
    "corine": (11, 12, 13, 14, 21, 22, 23, 24, 31, 32, 33, 41, 42, 51, 52),
    "dstl": range(1, 11),
    "dynamic_world": range(9),
    "earthmiss": range(1, 9),
    "flood": (1, 0),
    "houston2013": range(1, 16),
    "hunan": range(7),
    "nlcd": (11, 12, 21, 22, 23, 24, 31, 41, 42, 43, 51, 52, 71, 72, 73, 74, 81, 82, 90, 95),
    "potsdam": range(1, 7),
    "trento": range(1, 7),
    "whu_opt_sar": range(10, 80, 10),
    "worldcover": (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100),
    "zion": range(1, 9),
}
OF_RECIPES = {  # the legend of a recipe's data set, by what its file's name begins with
    "crops": "dstl",
    "earthmiss": "earthmiss",
    "forest": "hunan",
    "houston2013": "houston2013",
    "ombria": "flood",
    "potsdam": "potsdam",
    "synthetic": "worldcover",
    "zion": "zion",
}
RECIPES = sorted(
    path.relative_to(ROOT / "recipes").as_posix()
    for path in (ROOT / "recipes").rglob("*.yaml")
    if not path.name.startswith("muses-")  # what a car sees, of which nothing is said
)


@pytest.fixture
def content() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    return loaded


def written(content: object, folder: Path) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def messages(content: dict[str, Any], level: str) -> list[str]:
    return [found.message for found in check_legend(Legend.model_validate(content)) if found.level == level]


def test_every_legend_that_ships_is_known_here() -> None:
    assert legend_names() == tuple(VALUES)


@pytest.mark.parametrize("name", VALUES)
def test_a_legend_that_ships_has_the_classes_of_its_makers_all_described_for_every_sensor(name: str) -> None:
    legend = read_legend(name)
    assert [one.values[0] for one in legend.classes] == list(VALUES[name])
    assert all(tuple(one.texts) == KINDS for one in legend.classes)
    assert check_legend(legend) == ()


@pytest.mark.parametrize("name", VALUES)
def test_what_a_class_is_begins_with_its_name_and_no_sentence_serves_two_classes(name: str) -> None:
    legend = read_legend(name)
    for one in legend.classes:
        assert one.texts["shared"].startswith(f"{one.name}: ")
    sentences = [part for one in legend.classes for text in one.texts.values() for part in text.split(". ")]
    assert len(set(sentences)) == len(sentences)


def test_the_template_is_a_legend_without_findings() -> None:
    assert check_legend(read_legend(TEMPLATE)) == ()


@pytest.mark.parametrize(
    ("recipe", "legend", "names"),
    [
        (
            "zion.yaml",
            "zion",
            ["Developed", "Barren", "Forest", "Shrubland", "Herbaceous", "Cultivated", "Wetlands"],
        ),
        ("ombria.yaml", "flood", ["Not flooded", "Flooded"]),
        (
            "synthetic.yaml",
            "worldcover",
            [
                "Permanent water bodies",
                "Tree cover",
                "Cropland",
                "Grassland",
                "Built-up",
                "Bare / sparse vegetation",
            ],
        ),
        ("papers/potsdam-stars.yaml", "potsdam", ["Impervious surface", "Building", "Low vegetation", "Tree", "Car"]),
        (
            "lds2ae/houston2013.yaml",
            "houston2013",
            [
                "Healthy grass",
                "Stressed grass",
                "Trees",
                "Soil",
                "Water",
                "Residential",
                "Commercial",
                "Road",
                "Highway",
                "Railway",
                "Parking Lot 1",
                "Parking Lot 2",
                "Running Track",
            ],
        ),
    ],
)
def test_a_recipes_classes_get_the_texts_of_their_names(recipe: str, legend: str, names: list[str]) -> None:
    classes = [(one.value, one.name) for one in read_recipe(ROOT / "recipes" / recipe).classes]
    assert [one.name for one in described(read_legend(legend), classes)] == names


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_legend_of_a_recipes_data_set_describes_each_of_its_classes(recipe: str) -> None:
    """But for what a recipe that looks for a single class calls "other"."""
    classes = [(one.value, one.name) for one in read_recipe(ROOT / "recipes" / recipe).classes]
    legend = read_legend(OF_RECIPES[Path(recipe).stem.partition("-")[0]])
    wanted = [one for one in classes if one[1] != "other"]
    assert len(described(legend, wanted)) == len(wanted) > 0


@pytest.mark.parametrize("legend", ["dstl", "hunan", "potsdam"])
def test_all_but_one_class_is_no_class_of_a_legend(legend: str) -> None:
    """Texts on clutter or built-up land would mislead a recipe whose "other" is everything but trees."""
    with pytest.raises(LegendError, match="no description of class 0 'other'"):
        described(read_legend(legend), [(0, "other")])


@pytest.mark.parametrize(("colour", "name"), [(0x00FF00, "Tree"), (0xFF0000, "Clutter/background")])
def test_the_colours_of_potsdams_label_images_are_values(colour: int, name: str) -> None:
    assert [one.name for one in read_legend("potsdam").classes if colour in one.values] == [name]


def test_case_and_punctuation_of_a_name_do_not_matter() -> None:
    (found,) = described(read_legend("nlcd"), [(7, "developed - open space")])
    assert found.values == (21,)


def test_a_class_without_a_description_is_named_with_what_its_value_is_there() -> None:
    with pytest.raises(LegendError, match=r"class 2 'moor' \(value 2 is 'Developed' there\); 99 'lava'\. It describes"):
        described(read_legend("zion"), [(1, "water"), (2, "moor"), (99, "lava")])


def test_two_classes_cannot_have_one_description() -> None:
    with pytest.raises(LegendError, match="classes forest, trees have the same description, that of Tree cover"):
        described(read_legend("worldcover"), [(1, "forest"), (2, "trees")])


def test_unknown_and_missing_kinds_are_errors(content: dict[str, Any]) -> None:
    texts = content["classes"][0]["texts"]
    texts["lidar"] = texts.pop("elevation")
    found = messages(content, "error")
    assert found[0].startswith("Water: 'lidar' is no kind of text; known are shared, optical")
    assert found[1] == "Water: elevation: the text is missing"


def test_a_sensor_that_no_class_is_described_for_is_a_warning(content: dict[str, Any]) -> None:
    for one in content["classes"]:
        del one["texts"]["thermal"]
    assert messages(content, "error") == []
    assert messages(content, "warning") == ["no class has a text for thermal; the legend cannot serve such a sensor"]


def test_what_all_sensors_share_cannot_be_left_out(content: dict[str, Any]) -> None:
    for one in content["classes"]:
        del one["texts"]["shared"]
    assert messages(content, "error") == ["Water: shared: the text is missing", "Forest: shared: the text is missing"]


@pytest.mark.parametrize("text", ["", "  ", "Dark and smooth."])
def test_empty_and_short_texts_are_errors(content: dict[str, Any], text: str) -> None:
    content["classes"][0]["texts"]["optical"] = text
    (found,) = messages(content, "error")
    assert found.startswith(f"Water: optical: a text of {len(text.split())} words")


def test_long_texts_are_warned_about(content: dict[str, Any]) -> None:
    content["classes"][0]["texts"]["optical"] = "Dark and smooth water. " * 14
    (found,) = messages(content, "warning")
    assert found.startswith("Water: optical: 56 words; more than 55 may not fit")


def test_classes_with_the_same_text_are_errors(content: dict[str, Any]) -> None:
    water, forest = (one["texts"] for one in content["classes"])
    forest["radar"] = water["radar"].upper()
    assert messages(content, "error") == ["Water and Forest: radar: the texts are the same"]


def test_names_and_values_of_two_classes_are_errors(content: dict[str, Any]) -> None:
    content["classes"][1] |= {"values": [2, 1], "also": ["LAKE"]}
    assert messages(content, "error") == [
        "Forest: name 'LAKE' stands for Water too",
        "Forest: value 1 stands for Water too",
    ]


def test_errors_make_a_legend_unusable(content: dict[str, Any], tmp_path: Path) -> None:
    content["classes"][0]["texts"]["optical"] = ""
    path = written(content, tmp_path)
    assert load_legend(path).classes[0].texts["optical"] == ""
    with pytest.raises(LegendError, match="cannot be used:\n  Water: optical: a text of 0 words"):
        read_legend(path)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"name": "x"}, "is no legend:\n  title: Field required"),
        ([1], "is no legend"),
    ],
)
def test_a_file_of_another_form_is_no_legend(broken: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(LegendError, match=message):
        load_legend(written(broken, tmp_path))


def test_a_key_that_is_wrong_is_named(content: dict[str, Any], tmp_path: Path) -> None:
    content["classes"][1]["value"] = content["classes"][1].pop("values")
    with pytest.raises(LegendError, match=r"classes\.1\.values: Field required\n  classes\.1\.value: Extra"):
        load_legend(written(content, tmp_path))


def test_the_name_of_a_legend_is_found_whatever_its_case() -> None:
    assert load_legend("NLCD") == load_legend("nlcd")


def test_a_key_that_stands_twice_is_refused_at_every_depth(content: dict[str, Any], tmp_path: Path) -> None:
    """The latter would win in silence."""
    path = written(content, tmp_path)
    text = path.read_text(encoding="utf-8")
    for line in ("name: my_legend\n", "  name: Water\n"):
        path.write_text(text.replace(line, 2 * line), encoding="utf-8")
        assert path.read_text(encoding="utf-8") != text
        with pytest.raises(LegendError, match="key 'name' stands there twice"):
            load_legend(path)


MERGED = """
name: mine
title: t
source: s
classes:
  - values: [1]
    name: Water
    texts: &water {shared: the open surface of lakes, radar: dark}
  - values: [2]
    name: Wetland
    texts: &wetland {<<: *water, shared: plants that stand in water}
  - values: [3]
    name: Bog
    texts: {radar: bright, <<: *wetland}
"""


def test_what_a_mapping_merges_yields_to_its_own_keys(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MERGED, encoding="utf-8")
    assert [dict(one.texts) for one in load_legend(path).classes] == [
        {"shared": "the open surface of lakes", "radar": "dark"},
        {"shared": "plants that stand in water", "radar": "dark"},
        {"shared": "plants that stand in water", "radar": "bright"},
    ]


@pytest.mark.parametrize(
    ("again", "key"), [("radar: bright, radar: dim, <<: *wetland", "radar"), ("<<: *water, <<: *wetland", "<<")]
)
def test_a_key_that_stands_twice_beside_a_merge_is_refused(again: str, key: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MERGED.replace("radar: bright, <<: *wetland", again), encoding="utf-8")
    with pytest.raises(LegendError, match=f"key '{key}' stands there twice"):
        load_legend(path)


def test_a_class_of_another_form_is_named_alone(content: dict[str, Any], tmp_path: Path) -> None:
    content["classes"][1] = "forest"
    with pytest.raises(LegendError) as caught:
        load_legend(written(content, tmp_path))
    assert str(caught.value).splitlines()[1:-1] == ["  classes.1: expected a mapping of keys"]


def test_an_empty_file_is_no_legend(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    with pytest.raises(LegendError, match=r"empty\.yaml: is no legend:\n  expected a mapping of keys"):
        load_legend(tmp_path / "empty.yaml")


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(LegendError, match="worldcover2: is neither a YAML file nor one of augsburg, berlin"):
        load_legend("worldcover2")
    with pytest.raises(LegendError, match=r"none\.yaml: no such file"):
        load_legend(tmp_path / "none.yaml")
    with pytest.raises(LegendError, match=r"none: no such file"):
        load_legend(tmp_path / "none")
    (tmp_path / "broken.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(LegendError, match="is not YAML"):
        load_legend(tmp_path / "broken.yaml")


def test_describe_lists_and_shows_legends() -> None:
    listed = CliRunner().invoke(command, ["--list"]).output.splitlines()
    assert [line.split()[:2] for line in listed] == [[name, str(len(VALUES[name]))] for name in VALUES]
    shown = CliRunner().invoke(command, ["zion"]).output
    assert "5  Shrubland (also shrub, shrub/scrub)\n  shared: Shrubland: sagebrush" in shown
    assert shown.endswith("8 classes, 0 warnings, no errors\n")


def test_describe_breaks_no_lines_where_they_are_piped() -> None:
    text = max((one.texts["shared"] for one in read_legend("zion").classes), key=len)
    assert len(text) > 120
    assert f"  shared: {text}\n" in CliRunner().invoke(command, ["zion"]).output


def test_describe_ends_with_status_2_where_texts_are_wrong(
    content: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content["classes"][0]["texts"] |= {"optical": "Dark.", "sonar": "A text on what sonar hears of water."}
    path = written(content, tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["describe", str(path)])
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert "  sonar: A text on what sonar hears" in printed.out
    assert "error: Water: optical: a text of 1 words" in printed.out
    assert f"{path}: errors found: 2" in printed.err


def test_describe_writes_a_template_and_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    assert CliRunner().invoke(command, ["--template", "-o", str(path)]).exit_code == 0
    assert path.read_text(encoding="utf-8") == TEMPLATE.read_text(encoding="utf-8")
    path.write_text("mine", encoding="utf-8")
    assert CliRunner().invoke(command, ["--template", "-o", str(path)]).exit_code == 1
    assert path.read_text(encoding="utf-8") == "mine"
    assert CliRunner().invoke(command, ["--template"]).output == TEMPLATE.read_text(encoding="utf-8")


def test_describe_writes_a_legend_that_ships_with_its_comments_and_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert CliRunner().invoke(command, ["NLCD", "-o", str(path)]).exit_code == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert load_legend(path) == load_legend("nlcd")
    assert CliRunner().invoke(command, ["zion", "-o", str(path)]).exit_code == 1
    assert path.read_text(encoding="utf-8") == text


def test_describe_writes_vectors_that_a_recipe_reads(tmp_path: Path) -> None:
    """Under all names of a class, in all kinds, with their texts."""
    path = tmp_path / "vectors.npz"
    assert CliRunner().invoke(command, ["zion", "--encoder", "hashed", "-o", str(path)]).exit_code == 0
    classes = [(1, "Shrub, Scrub"), (2, "water")]
    made, read = (
        class_vectors(LanguageSettings.model_validate(options), classes, KINDS)
        for options in (
            {"legend": "zion", "encoder": "hashed"},
            {"encoder": {"name": "vectors", "options": {"path": str(path)}}},
        )
    )
    assert read.digest == made.digest
    stored = ClassVectors.load(path)
    water = read_legend("zion").classes[[one.name for one in read_legend("zion").classes].index("Water")]
    assert stored.texts["radar"][stored.classes.index("Water")] == water.texts["radar"]
    before = path.read_bytes()
    assert CliRunner().invoke(command, ["zion", "--encoder", "hashed", "-o", str(path)]).exit_code == 1
    assert path.read_bytes() == before


def test_describe_takes_the_model_of_an_encoder(tmp_path: Path) -> None:
    arguments = ["zion", "--encoder", f"clip={tmp_path / 'none'}", "-o", str(tmp_path / "vectors.npz")]
    found = CliRunner().invoke(command, arguments).exception
    assert str(found) == f"{tmp_path / 'none'}: no such folder"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments", [[], ["zion", "--list"], ["--list", "-o", "new.yaml"], ["zion", "--encoder", "hashed"]]
)
def test_describe_wants_one_thing_at_a_time(arguments: list[str]) -> None:
    assert CliRunner().invoke(command, arguments).exit_code == 2
