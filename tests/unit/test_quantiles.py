"""Quantiles of values that come in parts, beside NumPy's of all at once."""

import numpy as np
import pytest

from engine.data.quantiles import PIXELS, PixelSample
from engine.data.splits import pixel_hashes


def hashes(count: int) -> np.ndarray:
    return pixel_hashes(np.zeros(count, dtype=np.int64), np.arange(count), "test")


def sampled(values: np.ndarray, parts: int) -> PixelSample:
    sample = PixelSample()
    for chosen in np.array_split(np.arange(values.shape[1]), parts):
        sample.add(hashes(values.shape[1])[chosen], values[:, chosen])
    return sample


def test_of_few_pixels_they_are_those_of_all() -> None:
    values = np.random.default_rng(0).normal(100, 20, (3, 5000)).astype("float32")
    found = sampled(values, 7).quantiles()
    np.testing.assert_allclose(found, np.quantile(values.astype(float), (0.02, 0.98), axis=1))


def test_of_many_pixels_the_shares_beside_them_are_right_to_a_quarter_of_a_percent() -> None:
    """Skewed values in an order: the first parts hold the smallest. Five deviations of a sample of 65 536."""
    values = np.sort(np.random.default_rng(1).lognormal(3, 1, (1, 600_000)), axis=1)
    low, high = sampled(values, 40).quantiles()[:, 0]
    assert (values < low).mean() == pytest.approx(0.02, abs=0.0027)
    assert (values > high).mean() == pytest.approx(0.02, abs=0.0027)


def test_order_and_parts_do_not_matter() -> None:
    values = np.random.default_rng(2).integers(0, 60_000, (2, 4 * PIXELS)).astype("uint16")
    half = PIXELS
    every = hashes(4 * PIXELS)
    one, other = PixelSample(), PixelSample()
    one.add(every[:half], values[:, :half])
    other.add(every[half:][::-1], values[:, half:][:, ::-1])
    other.merge(one)
    assert np.array_equal(other.quantiles(), sampled(values, 11).quantiles())


def test_memory_is_bounded() -> None:
    sample = PixelSample()
    for part in range(12):
        rows = np.full(PIXELS, part, dtype=np.int64)
        sample.add(pixel_hashes(rows, np.arange(PIXELS), "test"), np.zeros((1, PIXELS), dtype="uint8"))
        assert sum(values.shape[1] for values in sample._values) <= 2 * PIXELS
