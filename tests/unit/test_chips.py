"""What is done to chips: one zoom for all sensors, places without labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from engine.data.chips import ChipSampler
from engine.data.settings import DataSettings
from engine.data.survey import SceneCollection, survey
from engine.methods.scenarios import CompleteSampler
from engine.modality import IGNORED, LandClass, Modality

Write = Callable[..., Path]
CLASSES = (LandClass(1, "low", "#000000"), LandClass(2, "high", "#ffffff"))
MODALITIES = (Modality("a", ("x",), "uint16"), Modality("b", ("y", "z"), "float32"))


def opened(folder: Path, **more: object) -> SceneCollection:
    scene = {"name": "s", "sources": {"a": "a.tif", "b": "b.tif"}, "labels": {"path": "labels.tif"}}
    content: dict[str, Any] = {
        "root": folder,
        "scenes": [scene],
        "split": {"kind": "blocks", "size": 10, "modulo": 4, "column": 1, "train": [0], "validation": [1]},
        "chip": 11,
        "flips": False,
        "quarter_turns": False,
    }
    return SceneCollection(DataSettings.model_validate(content | more), folder, MODALITIES, CLASSES)


@pytest.fixture
def folder(tmp_path: Path, write_raster: Write) -> Path:
    """40 x 50 pixels with a smooth and a rough sensor, the latter without data in the right half."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:40, :50]
    a = (1000 + 100 * rows + cols)[None].astype("uint16")
    b = rng.normal(size=(2, 40, 50)).astype("float32")
    b[:, :, 30:] = -9999
    write_raster("a.tif", a)
    write_raster("b.tif", b, nodata=-9999)
    write_raster("labels.tif", (1 + (rows + cols) % 2)[None].astype("uint8"))
    return tmp_path


def test_a_zoom_is_one_for_all_sensors_and_keeps_the_centre(folder: Path) -> None:
    """Against PyTorch's bilinear resizing of the same crops, of 7, 9 and 11 pixels."""
    whole, zoomed = opened(folder), opened(folder, zoom=7)
    found = survey(whole)
    samplers = [ChipSampler(one, found, 0, 1, CompleteSampler().draw) for one in (whole, zoomed)]
    sizes = set()
    missing = found.modalities[1].fill[0]
    for sample in range(30):
        plain, chip = (sampler.draw(0, sample) for sampler in samplers)
        fits, known = [], chip.values["b"][0] != missing
        if not known.any():
            continue
        for size in (7, 9, 11):
            start = (11 - size) // 2
            cut = slice(start, start + size)
            expected = {}
            for name, values in plain.values.items():
                crop = torch.from_numpy(values[:, cut, cut].astype(np.float64))[None]
                expected[name] = torch.nn.functional.interpolate(crop, size=(11, 11), mode="bilinear")[0].numpy()
            alike = [
                np.allclose(chip.values["a"], expected["a"], rtol=0, atol=0.5 + 1e-9),
                np.allclose(chip.values["b"][:, known], expected["b"][:, known], atol=1e-5),
            ]
            if all(alike):
                fits.append(size)
        assert len(fits) == 1
        sizes |= set(fits)
        assert chip.labels[5, 5] == plain.labels[5, 5]
        assert chip.values["a"].dtype == np.uint16
    assert sizes == {7, 9, 11}


def test_a_strict_chip_takes_no_loss_without_a_sensor_and_says_which_it_lacks(folder: Path) -> None:
    """A sensor that saw nothing of a chip is none of it: its norms learn nothing of means that stand in for it."""
    collection = opened(folder)
    found = survey(collection)
    strict, loose = (ChipSampler(collection, found, 0, 1, CompleteSampler(one).draw) for one in (True, False))
    missing, lacking = found.modalities[1].fill[0], 0
    for sample in range(60):
        chip, plain = strict.draw(0, sample), loose.draw(0, sample)
        seen = chip.values["b"][0] != missing
        assert chip.availability.tolist() == [True, bool(seen.any())]
        np.testing.assert_array_equal(chip.labels, np.where(seen, plain.labels, IGNORED))
        lacking += not seen.any()
    assert 0 < lacking < 60


def test_a_zoom_larger_than_a_chip_is_refused(folder: Path) -> None:
    with pytest.raises(ValidationError, match="larger than a chip"):
        opened(folder, zoom=13)


def test_chips_without_labels_come_from_anywhere(folder: Path) -> None:
    """Their middles reach all of the scene but its rim; what labels they hold is the training split's."""
    collection = opened(folder)
    sampler = ChipSampler(collection, survey(collection), 0, 1, CompleteSampler().draw, anywhere=True)
    places = set()
    for sample in range(600):
        chip = sampler.draw(0, sample)
        row, col = divmod(int(chip.values["a"][0, 5, 5]) - 1000, 100)
        places.add((row // 10, col // 10))
        rows, cols = np.mgrid[row - 5 : row + 6, col - 5 : col + 6]
        assert (chip.labels[(rows // 10 + cols // 10) % 4 != 0] == IGNORED).all()
    assert places == {(row, col) for row in range(4) for col in range(5)}


def test_labels_and_validity_are_zoomed_with_the_values(folder: Path) -> None:
    """By the nearest pixel of the crop: where a sensor ends and where a label stands move outwards alike."""
    collection = opened(folder, zoom=7)
    plain = opened(folder)
    found = survey(plain)
    for sample in range(40):
        whole = ChipSampler(plain, found, 0, 1, CompleteSampler().draw).draw(0, sample)
        zoomed = ChipSampler(collection, found, 0, 1, CompleteSampler().draw).draw(0, sample)
        fits = []
        for size in (7, 9, 11):
            nearest = (11 - size) // 2 + ((np.arange(11) + 0.5) * size / 11).astype(int)
            labels = whole.labels[nearest][:, nearest]
            missing = (whole.values["b"][0] == found.modalities[1].fill[0])[nearest][:, nearest]
            fits.append(
                np.array_equal(labels, zoomed.labels)
                and (zoomed.values["b"][0][missing] == found.modalities[1].fill[0]).all()
            )
        assert any(fits)


def test_chips_without_labels_leave_out_scenes_of_other_splits(tmp_path: Path, write_raster: Write) -> None:
    """Two scenes for training, of 40 x 40 and 20 x 20 pixels, drawn by their areas; one for test, never."""
    sizes = {"one": 40, "two": 20, "test": 40}
    for number, (name, size) in enumerate(sizes.items()):
        write_raster(f"{name}-a.tif", np.full((1, size, size), 100 * (number + 1), "uint16"))
        write_raster(f"{name}-b.tif", np.ones((2, size, size), "float32"))
        write_raster(f"{name}-l.tif", np.resize([1, 2], (1, size, size)).astype("uint8"))
    scenes = [
        {
            "name": name,
            "sources": {"a": f"{name}-a.tif", "b": f"{name}-b.tif"},
            "labels": {"path": f"{name}-l.tif"},
        }
        for name in sizes
    ]
    split = {"kind": "scenes", "validation": {"match": "test"}, "train": {"match": "*"}}
    collection = opened(tmp_path, scenes=scenes, split=split)
    sampler = ChipSampler(collection, survey(collection), 0, 1, CompleteSampler().draw, anywhere=True)
    seen = [int(sampler.draw(0, sample).values["a"][0, 5, 5]) for sample in range(300)]
    assert set(seen) == {100, 200}
    assert seen.count(200) / 300 == pytest.approx(0.2, abs=0.07)


def test_chips_without_labels_come_from_where_a_sensor_saw_something(tmp_path: Path, write_raster: Write) -> None:
    a = np.full((1, 40, 60), 65535, "uint16")
    a[:, :, :12] = 7
    write_raster("a.tif", a, nodata=65535)
    write_raster("b.tif", np.full((2, 40, 60), -9999, "float32"), nodata=-9999)
    values = np.full((2, 40, 60), -9999, "float32")
    values[:, :3, :3] = 1
    write_raster("b.tif", values, nodata=-9999)
    write_raster("labels.tif", np.resize([1, 2], (1, 40, 60)).astype("uint8"))
    collection = opened(tmp_path)
    sampler = ChipSampler(collection, survey(collection), 0, 1, CompleteSampler().draw, anywhere=True)
    for sample in range(60):
        assert (sampler.draw(0, sample).values["a"] == 7).any()
        assert sampler.draw(0, sample).availability[0]


def test_chips_of_one_pixel_are_turned_and_flipped_so_that_torch_takes_them(folder: Path) -> None:
    collection = opened(folder, chip=1, flips=True, quarter_turns=True, few={"per_class": 5})
    sampler = ChipSampler(collection, survey(collection), 0, 1, CompleteSampler().draw)
    for sample in range(16):  # of eight ways to turn and flip
        chip = sampler.draw(0, sample)
        assert all(torch.from_numpy(values).shape[1:] == (1, 1) for values in chip.values.values())
        assert torch.from_numpy(chip.labels).shape == (1, 1)
