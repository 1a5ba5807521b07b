"""Random rasters mapped by a model of single pixels: every pixel is what NumPy and PROJ say (see ``tests/fuzz``)."""

import pytest
from fuzz.case import Case, cases
from fuzz.mapping import by_blocks, by_files, compared
from hypothesis import HealthCheck, given, seed, settings

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def check(case: Case, whole: bool) -> None:
    outcome = compared(case, by_files if whole else by_blocks)
    assert not outcome.differing, outcome.said
    # floating point alone decides about few pixels, or the comparison would say little
    assert outcome.loose <= max(40, outcome.pixels // 4)


@pytest.mark.parametrize("part", range(4))
def test_every_pixel_of_a_map_is_made_from_what_its_sensors_saw(part: int) -> None:
    @seed(part)  # other cases in each part, the same ones in every run
    @settings(max_examples=100, suppress_health_check=SLOW)
    @given(cases())
    def run(case: Case) -> None:
        check(case, whole=False)

    run()


@settings(max_examples=30, derandomize=True, suppress_health_check=SLOW)
@given(cases())
def test_so_is_every_pixel_of_the_files_that_predict_writes(case: Case) -> None:
    check(case, whole=True)
