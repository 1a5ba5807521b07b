"""Scenarios: their order, names and bits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.availability import Scenario, from_bits, scenarios
from engine.errors import ModalityError


def test_scenarios_come_in_the_papers_order() -> None:
    assert [scenario.code for scenario in scenarios(3)] == ["100", "010", "001", "110", "101", "011", "111"]


@given(st.integers(1, 8))
def test_there_are_two_to_the_m_less_one_different_scenarios(count: int) -> None:
    assert len(set(scenarios(count))) == 2**count - 1


@given(st.integers(1, 8).flatmap(lambda m: st.tuples(st.just(m), st.integers(1, 2**m - 1))))
def test_bits_give_the_scenario_back(case: tuple[int, int]) -> None:
    count, bits = case
    assert from_bits(bits, count).bits == bits


def test_names_make_a_scenario_and_its_label() -> None:
    scenario = Scenario.of(["dem", "rgb"], ["rgb", "nir", "dem"])
    assert scenario.code == "101"
    assert scenario.bits == 0b101
    assert scenario.label(["rgb", "nir", "dem"]) == "rgb+dem"


def test_subsets_compare() -> None:
    assert from_bits(0b001, 3) <= from_bits(0b101, 3)
    assert not from_bits(0b010, 3) <= from_bits(0b101, 3)


def test_a_scenario_without_members_is_refused() -> None:
    with pytest.raises(ModalityError, match="at least one"):
        Scenario((False, False))


def test_an_unknown_name_is_refused_and_named() -> None:
    with pytest.raises(ModalityError, match="thermal"):
        Scenario.of(["thermal"], ["rgb", "dem"])
