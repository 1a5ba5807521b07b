"""A minimum mapping unit: the rule by the letter, whatever strips a map is read by."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sieving import sieved
from skimage.measure import label

from engine.products.sieve import Sieve

NODATA = -9


def streamed(
    values: NDArray[np.int16], areas: NDArray[np.int64], least: int, height: int
) -> tuple[NDArray[np.int16], int]:
    """What the sieve makes of a map in strips of so many rows."""
    found, written = values.copy().ravel(), np.zeros(values.size, dtype=int)

    def write(places: NDArray[np.int64], changed: NDArray[np.signedinteger]) -> None:
        found[places] = changed
        np.add.at(written, places, 1)

    sieve = Sieve(values.shape[1], NODATA, least, write)
    for row in range(0, len(values), height):
        sieve.add(values[row : row + height], areas[row : row + height], row + height >= len(values))
    assert written.max(initial=0) <= 1
    return found.reshape(values.shape), sieve.merged


def areas_of(values: NDArray[np.int16]) -> NDArray[np.int64]:
    return np.ones(values.shape, dtype=np.int64)


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_rule_by_the_letter_in_strips_of_any_height(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, rng.integers(2, 5), rng.integers(1, 13, 2)).astype(np.int16)
    values[values == 0] = rng.choice([NODATA, 1])
    areas = areas_of(values) if seed % 2 else rng.integers(1, 4, values.shape)
    least = int(rng.integers(1, 12))
    expected, merged = sieved(values, areas, least, NODATA)
    for height in (1, 2, 5, 100):
        found, count = streamed(values, areas, least, height)
        np.testing.assert_array_equal(found, expected)
        assert count == merged


def test_a_speck_goes_to_the_class_with_the_longest_border_not_to_the_largest_neighbour() -> None:
    values = np.array([[1, 1, 1, 1], [2, 3, 1, 1], [2, 2, 1, 1], [1, 1, 1, 1]], dtype=np.int16)
    found, merged = streamed(values, areas_of(values), 2, 1)  # the 3 has two edges with the 1s and two with the 2s
    assert (found[1, 1], merged) == (1, 1), "of equal borders the least value"
    values[1, 2] = 2
    found, _ = streamed(values, areas_of(values), 2, 1)
    assert found[1, 1] == 2


def test_what_has_no_neighbour_stays_and_nodata_is_none() -> None:
    values = np.full((5, 6), NODATA, dtype=np.int16)
    values[1, 1] = 4
    values[3, 2:5] = (5, 6, 6)
    found, merged = streamed(values, areas_of(values), 10, 2)
    assert merged == 1
    np.testing.assert_array_equal(found == NODATA, values == NODATA)
    assert found[1, 1] == 4
    assert found[3, 2:5].tolist() == [6, 6, 6]


def test_the_worst_case_a_checkerboard_leaves_nothing_small() -> None:
    values = (np.indices((300, 300)).sum(axis=0) % 2 + 1).astype(np.int16)
    found, merged = streamed(values, areas_of(values), 11, 64)
    sizes = np.bincount(label(found, connectivity=1).ravel())[1:]
    assert sizes.min() >= 11
    assert sizes.sum() == 90_000
    assert merged > 20_000
    for height in (300, 1):
        np.testing.assert_array_equal(streamed(values, areas_of(values), 11, height)[0], found)


def test_a_region_that_is_large_over_many_strips_is_not_small_in_any() -> None:
    values = np.ones((40, 9), dtype=np.int16)
    values[:, 4] = 2  # one pixel wide, forty long
    found, merged = streamed(values, areas_of(values), 40, 3)
    np.testing.assert_array_equal(found, values)
    assert merged == 0
    assert (streamed(values, areas_of(values), 41, 3)[0] == 1).all()
