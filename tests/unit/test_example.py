"""The example that ships: its card says what was measured, its scene is what the model takes."""

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio

from engine.mapping.matching import match
from engine.mapping.predict import predict
from engine.mapping.request import map_request
from engine.model.file import Model
from engine.raster.pools import Layer
from engine.raster.sources import SourceSpec

FOLDER = Path(__file__).resolve().parents[2] / "models" / "zion"
MODEL = FOLDER / "zion-landsat-srtm.onnx"


def test_its_files_are_small_and_its_card_repeats_what_the_model_holds() -> None:
    assert MODEL.stat().st_size <= 16e6
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 20e6
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    held = {one.scenario: one for one in Model(MODEL).metadata.accuracy}
    said = re.search(r"validation blocks \(([.\d]+), ([.\d]+) and ([.\d]+)\)", card)
    assert said is not None
    for name, text in zip(("optical", "dem", "optical+dem"), said.groups(), strict=True):
        assert abs(held[name].miou - float(text)) <= 0.0005
        assert held[name].split == "validation"
    assert {path.name for path in FOLDER.iterdir()} >= set(re.findall(r"`([\w-]+\.(?:tif|onnx))`", card))


def test_its_layers_are_recognised_and_mapped_about_as_well_as_it_says(tmp_path: Path) -> None:
    """Over the whole cut, which has more rare classes than the scene: .70, as the card says."""
    names = ("landsat8.tif", "srtm.tif", "nlcd.tif")
    found = match(Model(MODEL), [Layer(name, SourceSpec(str(FOLDER / name))) for name in names])
    assert {name: one.assignment for name, one in found.chosen.items()} == {
        "optical": "optical=landsat8.tif@1,2,3,4",
        "dem": "dem=srtm.tif@1",
    }
    predict(
        map_request(
            model=MODEL,
            sources={name: tuple(many) for name, many in found.sources.items()},
            output=tmp_path / "map.tif",
        )
    )
    with rasterio.open(tmp_path / "map.tif") as made, rasterio.open(FOLDER / "nlcd.tif") as truth:
        classes, reference = made.read(1), truth.read(1)
    counted = (reference > 1) & (classes != 255)
    assert counted.mean() > 0.99
    assert np.mean(classes[counted] == reference[counted]) == pytest.approx(0.70, abs=0.01)
