"""Tiles and mosaics: every pixel in its own scenario, whatever the tiles, bounds and threads."""

import time
from collections.abc import Mapping
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.availability import Scenario, from_bits
from engine.errors import Cancelled, InputError, ModelError
from engine.grid import Window
from engine.mapping.mosaic import MapBlock, map_blocks
from engine.mapping.tiles import TilePlan
from engine.modality import BandStatistics, Modality
from engine.raster.alignment import Block

HEIGHT, WIDTH, CLASSES = 90, 118, 4
MODALITIES = tuple(
    Modality(name, ("band",), "float32", "", (BandStatistics(mean, 1, -9, 9),))
    for name, mean in (("a", 0.5), ("b", -0.25))
)


class Memory:
    """A raster in memory."""

    def __init__(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        self.values, self.valid = values, valid

    def read(self, window: Window) -> Block:
        whole = Window(0, 0, HEIGHT, WIDTH)
        values = np.full((1, window.height, window.width), np.nan, dtype=np.float32)
        valid = np.zeros(values.shape[1:], dtype=bool)
        part = window & whole
        if not part.empty:
            values[(slice(None), *part.within(window))] = self.values[part.within(whole)]
            valid[part.within(window)] = self.valid[part.within(whole)]
        return Block(values, valid)


def readers() -> dict[str, Memory]:
    rng = np.random.default_rng(0)
    full = np.ones((HEIGHT, WIDTH), dtype=bool)
    half = full.copy()
    half[:, 61:] = False
    half[20:24, 30:40] = False
    full[:5, 100:] = False
    return {
        "a": Memory(rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32), full),
        "b": Memory(rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32), half),
    }


def by_pixel(scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    """A network without context: a softmax of linear functions of each pixel, other ones in each scenario."""
    total = sum(values[:, 0] * (2 + index) for index, values in enumerate(inputs.values()))
    logits = np.stack([np.sin(total * (k + 1) + scenario.bits) for k in range(CLASSES)], axis=1)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def with_context(scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    """A network that sees its whole tile: its mean shifts every pixel."""
    shifted = {name: values + values.mean() * 3 for name, values in inputs.items()}
    return by_pixel(scenario, shifted)


class Shelf:
    """Borders in memory; each is given once."""

    def __init__(self) -> None:
        self.kept: dict[int, NDArray[np.float32]] = {}

    def put(self, strip: int, sums: NDArray[np.float32]) -> None:
        self.kept[strip] = sums.copy()

    def get(self, strip: int) -> NDArray[np.float32]:
        return self.kept[strip]


def mapped(
    tile: int,
    halo: int,
    window: Window | None = None,
    panel: int | None = None,
    inner_only: bool = False,
    **options: object,
) -> dict[str, NDArray[np.generic]]:
    arguments: dict[str, object] = {"predict": by_pixel, "readers": readers(), "threads": 1} | options
    plan = TilePlan(HEIGHT, WIDTH, tile, halo, inner_only)
    area = window or Window(0, 0, HEIGHT, WIDTH)
    arguments |= {"strips": plan.strips(area, panel), "borders": Shelf()}
    result = {key: np.full((area.height, area.width), -1, dtype=np.int64) for key in ("classes", "bits", "confidence")}
    blocks = map_blocks(modalities=MODALITIES, plan=plan, window=area, classes=CLASSES, **arguments)  # type: ignore[arg-type]
    for block in blocks:
        part = block.window.within(area)
        assert (result["bits"][part] == -1).all(), "blocks overlap"
        result["classes"][part], result["bits"][part] = block.classes, block.availability
        result["confidence"][part] = block.confidence
    assert (result["bits"] >= 0).all(), "blocks leave a gap"
    return result


def expected() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Classes and bits pixel by pixel, without tiles."""
    sources = readers()
    bits = sources["a"].valid * 1 + sources["b"].valid * 2
    classes = np.zeros(bits.shape, dtype=np.int64)
    for mask in (1, 2, 3):
        scenario = from_bits(mask, 2)
        inputs = {MODALITIES[i].name: sources[MODALITIES[i].name].values[None, None] for i in scenario.indices}
        chosen = by_pixel(scenario, inputs)[0].argmax(axis=0)
        classes[bits == mask] = chosen[bits == mask]
    return classes, bits


@pytest.mark.parametrize(("tile", "halo"), [(32, 0), (32, 8), (32, 3), (48, 12), (90, 8), (256, 64)])
@pytest.mark.parametrize("seam", ["crossfade", "crop"])
def test_without_context_every_pixel_is_the_result_of_its_own_scenario(tile: int, halo: int, seam: str) -> None:
    classes, bits = expected()
    result = mapped(tile, halo, seam=seam)
    np.testing.assert_array_equal(result["bits"], bits)
    seen = bits > 0
    np.testing.assert_array_equal(result["classes"][seen], classes[seen])


def test_where_a_sensor_ends_the_map_is_that_without_it() -> None:
    both, alone = mapped(32, 8), mapped(32, 8, readers={"a": readers()["a"]})
    without = both["bits"] == 1
    assert without.any()
    np.testing.assert_array_equal(both["classes"][without], alone["classes"][without])


@given(st.integers(0, 70), st.integers(0, 90), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=25)
def test_bounds_do_not_change_the_map(row: int, col: int, height: int, width: int) -> None:
    area = Window(row, col, height, width) & Window(0, 0, HEIGHT, WIDTH)
    whole, part = mapped(32, 8, predict=with_context), mapped(32, 8, area, predict=with_context)
    for key in ("classes", "bits", "confidence"):
        np.testing.assert_array_equal(part[key], whole[key][area.within(Window(0, 0, HEIGHT, WIDTH))])


def test_threads_do_not_change_the_map() -> None:
    one, four = mapped(32, 8, predict=with_context), mapped(32, 8, predict=with_context, threads=4)
    for key, values in one.items():
        np.testing.assert_array_equal(four[key], values)


@pytest.mark.parametrize(("tile", "halo"), [(32, 8), (32, 0), (48, 12), (20, 3)])
@pytest.mark.parametrize("window", [Window(0, 0, HEIGHT, WIDTH), Window(11, 20, 70, 60), Window(50, 33, 3, 1)])
@pytest.mark.parametrize("panel", [1, 2, 3])
def test_panels_do_not_change_the_map(tile: int, halo: int, window: Window, panel: int) -> None:
    whole = mapped(tile, halo, window, predict=with_context)
    found = mapped(tile, halo, window, panel, predict=with_context, threads=2)
    for key, values in whole.items():
        np.testing.assert_array_equal(found[key], values)


def by_window(scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    """A network that classifies a pixel from the 5 x 5 around it, and has nothing to say where these reach outside."""
    means = {}
    for name, values in inputs.items():
        windows = np.lib.stride_tricks.sliding_window_view(values, (5, 5), axis=(2, 3))
        means[name] = np.pad(windows.mean(axis=(4, 5)), ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=7e6)
    return by_pixel(scenario, means)


@pytest.mark.parametrize(("tile", "window", "panel"), [
    (20, Window(0, 0, 90, 118), None), (9, Window(0, 0, 90, 118), 3), (200, Window(0, 0, 90, 118), None),
    (16, Window(11, 29, 40, 50), 2), (16, Window(0, WIDTH - 1, 1, 1), None),
])  # fmt: skip
def test_where_only_the_inside_of_a_tile_counts_it_is_as_if_there_were_no_tiles(
    tile: int, window: Window, panel: int | None
) -> None:
    """The same over the whole raster at once, with means around it, at its borders too."""
    result = mapped(tile, 2, window, panel, inner_only=True, predict=by_window)
    sources, part = readers(), window.within(Window(0, 0, HEIGHT, WIDTH))
    bits = sources["a"].valid * 1 + sources["b"].valid * 2
    for mask in (1, 2, 3):
        scenario = from_bits(mask, 2)
        inputs = {}
        for index in scenario.indices:
            item = MODALITIES[index]
            block = sources[item.name]
            filled = np.where(block.valid, block.values, item.fill[:, None, None])
            around = np.broadcast_to(item.fill[:, None, None], (len(item.fill), HEIGHT + 4, WIDTH + 4)).copy()
            around[:, 2:-2, 2:-2] = filled
            inputs[item.name] = around[None]
        classes = by_window(scenario, inputs)[0, :, 2:-2, 2:-2].argmax(axis=0)
        chosen = bits[part] == mask
        np.testing.assert_array_equal(result["classes"][chosen], classes[part][chosen])
    np.testing.assert_array_equal(result["bits"], bits[part])


def test_probabilities_are_given_on_request() -> None:
    plan = TilePlan(HEIGHT, WIDTH, 32, 8)
    area = Window(0, 0, HEIGHT, WIDTH)
    blocks = map_blocks(
        modalities=MODALITIES, readers=readers(), plan=plan, window=area, classes=CLASSES, predict=by_pixel,
        strips=plan.strips(area), probabilities=True,
    )  # fmt: skip
    for block in blocks:
        seen = block.availability > 0
        assert block.probabilities is not None
        best = np.take_along_axis(block.probabilities, block.classes[None].astype(int), axis=0)[0]
        np.testing.assert_array_equal(best[seen], block.confidence[seen])
        assert abs(block.probabilities.astype(int).sum(axis=0)[seen] - 100).max() <= CLASSES / 2


def test_a_model_that_gives_nan_is_no_silent_map() -> None:
    def broken(scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        return np.where(inputs["a"] > 2, np.float32(np.nan), by_pixel(scenario, inputs))

    with pytest.raises(ModelError, match=r"NaN.* at rows \d+-\d+, columns \d+-\d+"):
        mapped(32, 8, predict=broken)


def test_a_raster_of_exactly_one_tile_runs_once_a_scenario() -> None:
    calls: list[int] = []

    def counting(scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        calls.append(scenario.bits)
        return by_pixel(scenario, inputs)

    mapped(118, 16, predict=counting)
    assert sorted(calls) == sorted({1, 2, 3} & set(calls))
    assert set(calls) == {int(bit) for bit in np.unique(expected()[1]) if bit}


def test_invalid_pixels_are_filled_with_the_training_mean() -> None:
    def checking(scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        assert all(np.isfinite(values).all() for values in inputs.values())
        if "b" in inputs:
            assert (inputs["b"][0, 0, :, 61:] == -0.25).all()
        return by_pixel(scenario, inputs)

    mapped(118, 16, predict=checking)


@given(st.integers(1, 300), st.integers(8, 64), st.integers(0, 16))
def test_the_weights_of_all_tiles_sum_to_one(length: int, tile: int, halo: int) -> None:
    if 4 * halo > tile:
        with pytest.raises(InputError):
            TilePlan(length, 1, tile, halo)
        return
    plan = TilePlan(length, 1, tile, halo)
    for weigh in (plan.weights, plan.core_weights):
        total = np.zeros(max(length, (plan.rows - 1) * plan.stride + tile))
        for place in range(plan.rows):
            total[place * plan.stride : place * plan.stride + tile] += weigh(place, plan.rows)
        np.testing.assert_allclose(total[:length], 1, atol=1e-6)


@given(st.integers(1, 300), st.integers(0, 299), st.integers(1, 100), st.booleans())
def test_the_tiles_over_a_window_are_those_that_touch_it(length: int, start: int, extent: int, inner: bool) -> None:
    plan = TilePlan(length, 1, 32, 5, inner)
    window = Window(start, 0, extent, 1) & Window(0, 0, length, 1)
    if window.empty:
        return
    touching = [row for row in range(plan.rows) if not (plan.window(row, 0) & window).empty]
    assert list(plan.over(window)[0]) == touching


def test_a_cancel_stops_between_tiles() -> None:
    done: list[MapBlock] = []
    asked = count()
    plan, area = TilePlan(HEIGHT, WIDTH, 32, 4), Window(0, 0, HEIGHT, WIDTH)
    blocks = map_blocks(
        modalities=MODALITIES, readers=readers(), plan=plan, window=area, classes=CLASSES, predict=by_pixel,
        strips=plan.strips(area), cancelled=lambda: next(asked) == 2,
    )  # fmt: skip
    with pytest.raises(Cancelled):
        next(block for block in blocks if done.append(block))  # type: ignore[func-returns-value]
    assert len(done) == 2


def test_an_error_stops_the_reading_of_what_waits() -> None:
    asked: list[Window] = []

    class Failing(Memory):
        def read(self, window: Window) -> Block:
            asked.append(window)
            if len(asked) == 1:
                raise OSError("gone")
            time.sleep(0.05)
            return super().read(window)

    source = readers()["a"]
    with pytest.raises(OSError, match="gone"):
        mapped(16, 2, readers={"a": Failing(source.values, source.valid)}, threads=8)
    assert len(asked) <= 3


@pytest.mark.parametrize(("tile", "halo"), [(32, 8), (32, 0), (48, 12), (256, 64)])
@pytest.mark.parametrize("window", [Window(0, 0, HEIGHT, WIDTH), Window(11, 20, 70, 60)])
@pytest.mark.parametrize("panel", [None, 2])
def test_a_map_that_goes_on_after_any_strip_is_the_same(
    tile: int, halo: int, window: Window, panel: int | None
) -> None:
    plan = TilePlan(HEIGHT, WIDTH, tile, halo)
    whole = mapped(tile, halo, window, predict=with_context)
    strips = plan.strips(window, panel)
    shelf = Shelf()
    before = np.zeros((window.height, window.width), dtype=bool)
    for done in range(len(strips)):
        blocks = map_blocks(
            modalities=MODALITIES, readers=readers(), plan=plan, window=window, classes=CLASSES,
            predict=with_context, strips=strips, borders=shelf, done=done,
        )  # fmt: skip
        covered = before.copy()
        first = np.zeros_like(before)
        for number, block in enumerate(blocks):
            part = block.window.within(window)
            assert not covered[part].any()
            covered[part] = True
            if number < len(strips[done].cols):
                first[part] = True
            seen = block.availability > 0
            np.testing.assert_array_equal(block.classes[seen], whole["classes"][part][seen])
            np.testing.assert_array_equal(block.confidence, whole["confidence"][part])
            np.testing.assert_array_equal(block.availability, whole["bits"][part])
        assert covered.all()
        assert first.sum() == strips[done].part.height * strips[done].part.width
        before |= first


def test_tiles_outside_of_the_area_of_interest_are_neither_read_nor_run() -> None:
    area = np.zeros((HEIGHT, WIDTH), dtype=bool)
    area[40:50, 50:70] = True
    asked: list[Window] = []
    sources = readers()

    class Counting(Memory):
        def read(self, window: Window) -> Block:
            asked.append(window)
            return super().read(window)

    def outside(window: Window) -> NDArray[np.bool_]:
        found = np.ones((window.height, window.width), dtype=bool)
        part = window & Window(0, 0, HEIGHT, WIDTH)
        found[part.within(window)] = ~area[part.within(Window(0, 0, HEIGHT, WIDTH))]
        return found

    counting = {name: Counting(source.values, source.valid) for name, source in sources.items()}
    found = mapped(32, 4, readers=counting, outside=outside)
    classes, bits = expected()
    np.testing.assert_array_equal(found["bits"], np.where(area, bits, 0))
    np.testing.assert_array_equal(found["classes"][area], classes[area])
    assert asked
    touched = Window(40, 50, 10, 20)
    assert all(not (window & touched).empty for window in asked)
