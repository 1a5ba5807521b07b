"""A change of the data between two surveys is told in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.data.facts import SceneFacts, changes, read_facts, write_facts
from engine.data.settings import DataSettings
from engine.data.survey import SceneCollection, survey
from engine.errors import RunError
from engine.modality import LandClass, Modality

Write = Callable[..., Path]
CLASSES = (LandClass(1, "low", "#000000"), LandClass(2, "high", "#ffffff"))
MODALITIES = (Modality("a", ("x",), "uint16"), Modality("b", ("y", "z"), "float32"))
BANDS = {"a": ("x",), "b": ("y", "z")}


class Data:
    """40 x 50 pixels in blocks of ten columns: training, validation, test, nothing, training again."""

    def __init__(self, folder: Path, write: Write) -> None:
        rows, cols = np.mgrid[:40, :50]
        self.folder, self.write = folder, write
        self.a: NDArray[np.uint16] = (1000 + 100 * rows + cols)[None].astype("uint16")
        self.b = np.random.default_rng(0).normal(size=(2, 40, 50)).astype("float32")
        self.labels = (1 + (rows + cols) % 2)[None].astype("uint8")

    def facts(self) -> tuple[SceneFacts, ...]:
        self.write("a.tif", self.a)
        self.write("b.tif", self.b, nodata=-9999)
        self.write("labels.tif", self.labels)
        split = {"kind": "blocks", "size": 10, "row": 0, "column": 1, "modulo": 4}
        content = {
            "root": self.folder,
            "scenes": [{"name": "s", "sources": {"a": "a.tif", "b": "b.tif"}, "labels": {"path": "labels.tif"}}],
            "split": split | {"train": [0], "validation": [1], "test": [2]},
            "chip": 16,
        }
        collection = SceneCollection(DataSettings.model_validate(content), self.folder, MODALITIES, CLASSES)
        try:
            return survey(collection).scenes
        finally:
            collection.close()


@pytest.fixture
def data(tmp_path: Path, write_raster: Write) -> Data:
    return Data(tmp_path, write_raster)


def test_a_scene_is_told_by_its_labels_and_values(data: Data) -> None:
    (facts,) = data.facts()
    assert facts.labels == {
        "train": {"1 low": 400, "2 high": 400},
        "validation": {"1 low": 200, "2 high": 200},
        "test": {"1 low": 200, "2 high": 200},
    }
    assert facts.values["a"].pixels == 800
    (band,) = facts.values["a"].bands
    assert band.mean == pytest.approx(1000 + 100 * 19.5 + (4.5 + 44.5) / 2)
    assert (band.minimum, band.maximum) == (1000, 4949)


def test_the_same_data_have_not_changed_and_are_read_back(data: Data, tmp_path: Path) -> None:
    there = data.facts()
    assert list(changes(there, data.facts(), BANDS)) == []
    write_facts(there, tmp_path / "data.json")
    assert read_facts(tmp_path / "data.json") == there
    (tmp_path / "data.json").write_text((tmp_path / "data.json").read_text()[:-5])
    with pytest.raises(RunError, match=r"data\.json: cannot be read.*remove it"):
        read_facts(tmp_path / "data.json")


def test_what_an_older_engine_did_not_measure_is_not_compared(data: Data, tmp_path: Path) -> None:
    there = data.facts()
    write_facts(there, tmp_path / "data.json")
    content = json.loads((tmp_path / "data.json").read_text())
    for scene in content:
        for values in scene["values"].values():
            for band in values["bands"]:
                del band["low"], band["high"]
    (tmp_path / "data.json").write_text(json.dumps(content))
    assert list(changes(read_facts(tmp_path / "data.json"), there, BANDS)) == []


def test_a_label_that_changed_is_told_with_its_split(data: Data) -> None:
    there = data.facts()
    data.labels[0, 0, 10] = 2  # row 0, column 10 was 1
    assert list(changes(there, data.facts(), BANDS)) == [
        "scene s, validation: class 1 low: 200 pixels in the run, 199 now",
        "scene s, validation: class 2 high: 200 pixels in the run, 201 now",
    ]


def test_labels_that_changed_places_are_told(data: Data) -> None:
    there = data.facts()
    data.labels[0, 0, :2] = 2, 1
    assert list(changes(there, data.facts(), BANDS)) == ["scene s, train: as many labels of each class lie elsewhere"]


def test_a_value_that_changed_is_told_with_its_band(data: Data) -> None:
    there = data.facts()
    data.b[1, 5, 5] += 1
    (found,) = changes(there, data.facts(), BANDS)
    assert found.startswith("scene s, b, band z: in the run mean ")
    data.b[:, 5, 5] = -9999
    assert list(changes(there, data.facts(), BANDS)) == [
        "scene s, b: 800 training pixels are valid in the run, 799 now"
    ]


def test_scenes_that_came_are_told(data: Data) -> None:
    there = data.facts()
    assert list(changes(there, there * 2, BANDS)) == ["the scenes were s; they are s, s now"]
