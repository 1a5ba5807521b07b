"""Classes of a model as groups of them: how groups are written, and the legend that a map has with them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import LabelError
from engine.mapping.groups import Group, legend
from engine.modality import LandClass

CLASSES = (
    LandClass(41, "forest", "#1e6b34"),
    LandClass(300, "water", "#2b6cb0"),
    LandClass(23, "built-up, dense", "#c0392b"),
    LandClass(7, "Äcker = 水", "#e0b84c"),
    LandClass(52, "shrubland", "#a6d96a"),
)


@pytest.mark.parametrize(
    ("text", "name", "classes", "color"),
    [
        ("green=forest,shrubland", "green", ("forest", "shrubland"), None),
        (" green : #00ff00 = forest , 52 ", "green", ("forest", "52"), "#00ff00"),
        ('"a, b":#00ff00="built-up, dense"', "a, b", ("built-up, dense",), "#00ff00"),
        ('"say ""no"""="Äcker = 水", 41', 'say "no"', ("Äcker = 水", "41"), None),
        ('"x:#00ff00"=forest', "x:#00ff00", ("forest",), None),
        ("b:c=forest", "b:c", ("forest",), None),
    ],
)
def test_a_group_is_read_as_it_is_written(text: str, name: str, classes: tuple[str, ...], color: str | None) -> None:
    assert Group.parse(text) == Group(name, classes, color)


names = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp")), min_size=1).filter(str.strip)


@given(st.builds(Group, names, st.lists(names, min_size=1).map(tuple), st.none() | st.just("#12ab9f")))
def test_any_names_survive_being_written_and_read(group: Group) -> None:
    assert Group.parse(str(group)) == group


@pytest.mark.parametrize(
    "text",
    ["", "a", "a=", "=forest", "a=b,,c", "a=b,", "a=b;c=d", "a=b=c", '"a=b', 'a"b=c', '" "=forest', "a\nb=c"],
)
def test_what_is_no_group_is_refused(text: str) -> None:
    with pytest.raises(LabelError, match=r"^group "):
        Group.parse(text)


def test_a_group_has_the_lowest_value_of_its_classes_and_stands_in_its_place() -> None:
    found = legend(CLASSES, [Group.parse('vegetation="Äcker = 水",forest,52'), Group.parse("See:#0000ff=300")])
    assert found.classes == (
        LandClass(300, "See", "#0000ff"),
        LandClass(23, "built-up, dense", "#c0392b"),
        LandClass(7, "vegetation", "#e0b84c"),
    )
    assert found.groups(CLASSES) == {"See": ["water"], "vegetation": ["forest", "Äcker = 水", "shrubland"]}
    shares = np.arange(5 * 6, dtype=np.float32).reshape(1, 5, 2, 3)
    expected = np.stack([shares[0, 1], shares[0, 2], shares[0, 0] + shares[0, 3] + shares[0, 4]])[None]
    np.testing.assert_array_equal(found.summed(shares), expected)


def test_without_groups_the_classes_are_the_models() -> None:
    found = legend(CLASSES)
    shares = np.zeros((1, 5, 2, 3), dtype=np.float32)
    assert (found.classes, found.groups(CLASSES)) == (CLASSES, {})
    assert found.summed(shares) is shares


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a=woods"], r'group a: the model has no class woods; it has forest \(41\), .*"Äcker = 水" \(7\)'),
        (["a=forest,shrubland", "b=52"], "groups a and b: shrubland is in both"),
        (["a=forest,41"], "groups a and a: forest is in both, or twice in one"),
        (["a=forest", "a=shrubland"], "group a: the map would have two classes of this name"),
        (["water=forest"], "group water: the map would have two classes of this name"),
        (["a:#12=forest"], "class a: colour '#12' is not of the form #rrggbb"),
    ],
)
def test_groups_that_do_not_fit_the_model_are_refused(groups: list[str], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        legend(CLASSES, [Group.parse(one) for one in groups])


def test_classes_of_one_name_are_told_apart_by_their_values() -> None:
    twice = (*CLASSES, LandClass(90, "forest", "#000000"))
    with pytest.raises(LabelError, match="several classes are called forest; name them by value"):
        legend(twice, [Group.parse("a=forest")])
    assert legend(twice, [Group.parse("a=41,90")]).members[0] == (0, 5)


def test_a_name_comes_before_a_value() -> None:
    classes = (LandClass(1, "2", "#000000"), LandClass(2, "two", "#000000"))
    assert legend(classes, [Group.parse("a=2")]).classes == (LandClass(1, "a", "#000000"), classes[1])
