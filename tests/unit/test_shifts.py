"""Shifts between sensors are found and told, and not invented."""

import numpy as np
from numpy.typing import NDArray

from engine.data.landscape import landscape
from engine.data.synthetic import SceneOptions, optical, radar
from engine.grid import Grid, Window
from engine.mapping.shifts import shift, shift_warnings
from engine.raster.alignment import Block


class Memory:
    """A raster in memory, all valid."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values

    def read(self, window: Window) -> Block:
        rows, cols = window.within(Window(0, 0, *self.values.shape[1:]))
        return Block(self.values[:, rows, cols], np.ones((window.height, window.width), dtype=bool))


def sensors() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(5)
    land = landscape(rng, (320, 352))
    return optical(land, rng, SceneOptions())[0], radar(land, rng)


def told(grid: Grid, one: NDArray[np.float32], other: NDArray[np.float32]) -> list[str]:
    part = Grid(grid.crs, grid.transform, *one.shape[1:])
    return shift_warnings({"optical": Memory(one), "sar": Memory(other)}, part)


def test_a_moved_image_is_told_with_its_direction(grid: Grid) -> None:
    image, _ = sensors()
    noisy = np.roll(image, (5, -3), axis=(1, 2)) + np.random.default_rng(0).normal(0, 20, image.shape).astype("float32")
    assert "5 rows down and 3 columns to the left" in told(grid, image, noisy)[0]


def test_aligned_sensors_are_not_accused(grid: Grid) -> None:
    assert told(grid, *sensors()) == []


def test_images_that_have_nothing_in_common_give_no_shift() -> None:
    rng = np.random.default_rng(0)
    assert shift(rng.normal(size=(128, 128)), rng.normal(size=(128, 128))) is None


def test_one_sensor_alone_is_not_compared(grid: Grid) -> None:
    assert shift_warnings({"optical": Memory(sensors()[0])}, grid) == []
