"""What a map leaves without a class, classes as groups, and what a mapping takes of the machine."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import rasterio
from commands import engine
from making import make_map
from numpy.typing import NDArray

from engine.availability import Scenario
from engine.errors import Cancelled, InputError, LabelError, ModelError, OutputError, ResourceError
from engine.files import file_digest
from engine.mapping.predict import Summary
from engine.mapping.request import command_line, map_request
from engine.mapping.verify import verify
from engine.model.document import KEY
from engine.model.file import Model
from engine.runtime.session import Sessions
from engine.runtime.sizing import Estimate, estimate

ALL = ("optical", "sar", "dem")
LAYERS = ("confidence", "availability", "probabilities")


@pytest.fixture(scope="module")
def scene(scenes: Path) -> dict[str, list[str]]:
    return {name: [str(scenes / "second" / f"{name}.tif")] for name in ALL}


def run(model: Path, scene: dict[str, list[str]], folder: Path, **options: object) -> Summary:
    folder.mkdir(exist_ok=True)
    layers = {name: folder / f"{name}.tif" for name in LAYERS}
    return make_map(model, scene, folder / "map.tif", **{"device": "cpu", "threads": 2, **layers, **options})


def read(folder: Path, name: str = "map") -> NDArray[Any]:
    with rasterio.open(folder / f"{name}.tif") as dataset:
        found: NDArray[Any] = dataset.read() if name == "probabilities" else dataset.read(1)
    return found


@pytest.fixture(scope="module")
def plain(model_path: Path, scene: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map with all layers and no option."""
    folder = tmp_path_factory.mktemp("plain")
    run(model_path, scene, folder)
    return folder


@pytest.fixture
def changed(model_path: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], object]], Path]:
    """A copy of the model with another document."""

    def change(by: Callable[[dict[str, Any]], object]) -> Path:
        proto = onnx.load(str(model_path))
        (entry,) = (one for one in proto.metadata_props if one.key == KEY)
        document = json.loads(entry.value)
        by(document)
        entry.value = json.dumps(document)
        onnx.save(proto, str(tmp_path / "changed.onnx"))
        return tmp_path / "changed.onnx"

    return change


def table(folder: Path) -> list[list[str]]:
    """Rows of an attribute table: value, class, red, green, blue, alpha, pixels, hectares, confidence."""
    text = (folder / "map.tif.aux.xml").read_text(encoding="utf-8")
    rows = re.findall(r"<Row [^>]*>(.*?)</Row>", text)
    return [[unescape(cell) for cell in re.findall("<F>(.*?)</F>", row)] for row in rows]


def test_pixels_of_too_little_confidence_have_no_class(
    model_path: Path, scene: dict[str, list[str]], plain: Path, tmp_path: Path
) -> None:
    confidence, classes = read(plain, "confidence"), read(plain)
    least = int(np.median(confidence[classes != 255])) + 1
    summary = run(model_path, scene, tmp_path, minimum_confidence=least)
    unsure = (confidence < least) & (classes != 255)
    assert 0.1 < unsure.mean() < 0.9
    np.testing.assert_array_equal(read(tmp_path), np.where(unsure, 255, classes))
    for name in LAYERS:
        np.testing.assert_array_equal(read(tmp_path, name), read(plain, name))
    assert summary.left == {f"confidence below {least} %": pytest.approx(unsure.mean())}
    kept = (classes != 255) & ~unsure
    assert [int(row[6]) for row in table(tmp_path)] == [(kept & (classes == value)).sum() for value in range(1, 7)]
    assert sum(float(row[7]) for row in table(tmp_path)) == pytest.approx(kept.sum() / 100, rel=2e-3)  # 10 m pixels
    said = json.loads((tmp_path / "map.tif.provenance.json").read_text(encoding="utf-8"))
    assert said["left"] == summary.left
    assert f"--minimum-confidence {least}" in said["command"]


def test_a_map_of_which_nothing_is_left_says_so(model_path: Path, scene: dict[str, list[str]], tmp_path: Path) -> None:
    summary = run(model_path, scene, tmp_path, minimum_confidence=100)
    assert (read(tmp_path) == 255).all()
    assert "no pixel has a class: confidence below 100 %; ask for less" in summary.warnings


def accuracies(**figures: float) -> Callable[[dict[str, Any]], object]:
    """Figures by ``scenario_split``, with ``_`` between sensors too."""
    rows = [(name.rpartition("_"), miou) for name, miou in figures.items()]
    accuracy = [
        {"scenario": name.replace("_", "+"), "split": split, "miou": miou, "overall_accuracy": 0.5}
        for (name, _, split), miou in rows
    ]
    return lambda document: document.update(accuracy=accuracy)


def test_pixels_of_scenarios_that_the_model_maps_badly_have_no_class(
    changed: Callable[..., Path], scene: dict[str, list[str]], plain: Path, tmp_path: Path
) -> None:
    """The test split says that elevation alone is bad and all together are good; of radar and elevation none does."""
    figures = {
        "optical_sar_dem_test": 0.6, "optical_sar_dem_validation": 0.2, "optical_dem_validation": 0.4,
        "dem_test": 0.1234, "dem_validation": 0.9,
    }  # fmt: skip
    model = changed(accuracies(**figures))
    summary = run(model, scene, tmp_path, minimum_accuracy=0.4)
    bits, classes = read(plain, "availability"), read(plain)
    assert {4, 5, 6, 7} <= set(np.unique(bits))  # dem, optical + dem, sar + dem, all
    np.testing.assert_array_equal(read(tmp_path), np.where(np.isin(bits, (5, 7)), classes, 255))
    np.testing.assert_array_equal(read(tmp_path, "confidence"), read(plain, "confidence"))
    assert summary.left == {
        "dem: expected mIoU 0.123": pytest.approx((bits == 4).mean()),
        "sar+dem: its accuracy was not measured": pytest.approx((bits == 6).mean()),
    }
    both = run(model, scene, tmp_path, minimum_accuracy=0.4, minimum_confidence=100)
    assert both.left["confidence below 100 %"] == pytest.approx(np.isin(bits, (5, 7)).mean()), "the shares add up"


def test_an_accuracy_that_the_model_does_not_have_is_refused(
    changed: Callable[..., Path], scene: dict[str, list[str]], tmp_path: Path
) -> None:
    silent = changed(accuracies())
    with pytest.raises(
        ModelError, match=r"changed\.onnx: does not say how well it maps; leave the minimum accuracy out"
    ):
        run(silent, scene, tmp_path / "map", minimum_accuracy=0.1)
    model = changed(accuracies(optical_sar_dem_validation=0.9, sar_dem_validation=0.3, dem_validation=0.2))
    elevation = {name: scene[name] for name in ("sar", "dem")}
    with pytest.raises(InputError, match=r"from sar\+dem and parts of it .* a mIoU of 0\.300 at most"):
        run(model, elevation, tmp_path / "map", minimum_accuracy=0.5)
    assert list((tmp_path / "map").iterdir()) == []


def test_groups_are_mapped_by_the_sum_of_their_probabilities(
    model_path: Path, scene: dict[str, list[str]], plain: Path, tmp_path: Path
) -> None:
    groups = ["Grün & 植生:#1c6330=grassland,forest,cropland", '"bare = open"=bare,built-up']
    run(model_path, scene, tmp_path, groups=groups)
    singles, found = read(plain, "probabilities").astype(int), read(tmp_path, "probabilities").astype(int)
    seen = read(plain) != 255
    sums = np.stack([singles[0], singles[1:4].sum(axis=0), singles[4:].sum(axis=0)])
    assert abs(found - sums)[:, seen].max() <= 2  # three percents, each rounded by half of one
    classes, confidence = read(tmp_path), read(tmp_path, "confidence")
    np.testing.assert_array_equal(confidence[seen], found.max(axis=0)[seen])
    place = np.searchsorted([1, 2, 5], classes[seen])
    np.testing.assert_array_equal(np.take_along_axis(found[:, seen], place[None], 0)[0], confidence[seen])
    assert len(np.unique(read(plain)[classes == 2])) > 1, "several classes are in the group"
    with rasterio.open(tmp_path / "map.tif") as dataset:
        colours = {value: colour[:3] for value, colour in dataset.colormap(1).items() if any(colour[:3])}
    assert colours == {1: (0x2B, 0x6C, 0xB0), 2: (0x1C, 0x63, 0x30), 5: (0xC0, 0x39, 0x2B)}
    with rasterio.open(tmp_path / "probabilities.tif") as dataset:
        assert dataset.descriptions == ("water in percent", "Grün & 植生 in percent", "bare = open in percent")
    assert [row[:2] + row[6:7] for row in table(tmp_path)] == [
        [str(value), name, str((classes == value).sum())]
        for value, name in ((1, "water"), (2, "Grün & 植生"), (5, "bare = open"))
    ]
    legend = re.findall(r'value="(\d+)" color="(#\w+)"', (tmp_path / "map.qml").read_text(encoding="utf-8"))
    assert legend == [("1", "#2b6cb0"), ("2", "#1c6330"), ("5", "#c0392b")]
    assert verify(tmp_path / "map.tif").text == "unchanged"
    said = json.loads((tmp_path / "map.tif.provenance.json").read_text(encoding="utf-8"))
    members = {"Grün & 植生": ["forest", "cropland", "grassland"], "bare = open": ["built-up", "bare"]}
    assert said["groups"] == members


def test_groups_of_high_values_fit_a_map_of_bytes_where_they_take_a_low_one(
    changed: Callable[..., Path], scene: dict[str, list[str]], plain: Path, tmp_path: Path
) -> None:
    def renumber(document: dict[str, Any]) -> None:
        for number, item in enumerate(document["classes"]):
            item["value"] = 1000 - number if number else 9

    model = changed(renumber)
    run(model, scene, tmp_path / "wide", groups=["land=forest,cropland"])
    assert read(tmp_path / "wide").dtype == "uint16"
    assert set(np.unique(read(tmp_path / "wide"))) <= {9, 998, 997, 996, 995, 65535}
    run(model, scene, tmp_path / "narrow", groups=["all=water,forest,cropland,grassland,built-up,bare"])
    classes = read(tmp_path / "narrow")
    assert classes.dtype == "uint8"
    np.testing.assert_array_equal(classes, np.where(read(plain) == 255, 255, 9))


@pytest.mark.parametrize(
    ("group", "message"),
    [("a=woods", "the model has no class woods"), ("a", "the request cannot be done: groups: group a: expected")],
)
def test_a_wrong_group_is_refused_on_the_command_line(
    model_path: Path, scene: dict[str, list[str]], tmp_path: Path, group: str, message: str
) -> None:
    words = [f"{name}={many[0]}" for name, many in scene.items()]
    done = engine("predict", model_path, *words, "-o", tmp_path / "map.tif", "--group", group)
    assert done.returncode == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_to_copy_makes_the_same_map(model_path: Path, scene: dict[str, list[str]], tmp_path: Path) -> None:
    options = {
        "groups": ['"a, ""b"" = c:#0000ff":#00ff00=forest,3', "Äcker=4"],
        "minimum_confidence": 25,
        "minimum_accuracy": 0.001,
        "memory": 64.5,
    }
    request = map_request(model=model_path, sources=scene, output=tmp_path / "first.tif", device="cpu", **options)
    make_map(model_path, scene, tmp_path / "first.tif", device="cpu", **options)
    words = shlex.split(command_line(request).replace("first.tif", "second.tif"))
    done = engine(*words[1:])
    assert done.returncode == 0, done.stderr
    assert "  left without a class: confidence below 25 %" in done.stdout
    assert file_digest(tmp_path / "first.tif") == file_digest(tmp_path / "second.tif")


def stop(share: float) -> dict[str, object]:
    reached = [0.0]
    return {
        "progress": lambda now: reached.__setitem__(0, now),
        "cancelled": lambda: reached[0] >= share,
        "threads": 1,
    }


def test_options_that_change_a_map_make_another_job_and_others_do_not(
    model_path: Path, scene: dict[str, list[str]], plain: Path, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        run(model_path, scene, tmp_path, **stop(0.6))
    for options, key in (
        ({"groups": ["a=forest"]}, "classes"),
        ({"minimum_confidence": 1}, "thresholds"),
        ({"minimum_accuracy": 0.001}, "thresholds"),
    ):
        with pytest.raises(OutputError, match=rf"of another job \(other {key}\)"):
            run(model_path, scene, tmp_path, **options)
    layers = [word for name in LAYERS for word in (f"--{name}", str(tmp_path / f"{name}.tif"))]
    sources = [f"{name}={many[0]}" for name, many in scene.items()]
    code = (
        "import os, sys; from engine.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print('niceness', os.nice(0))"
    )
    words = ["predict", str(model_path), *sources, "-o", str(tmp_path / "map.tif"), *layers, "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--memory", "64", "--low-priority"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "went on from" in done.stdout
    assert f"niceness {max(10, os.nice(0))}" in done.stdout
    for name in ("map", *LAYERS):
        assert file_digest(tmp_path / f"{name}.tif") == file_digest(plain / f"{name}.tif")


def test_a_limit_of_memory_means_fewer_tiles_at_a_time(model_path: Path) -> None:
    model = Model(model_path)
    sessions, scenario = Sessions(model, "cpu"), Scenario((True, True, True))

    def sizes(threads: int, most: int | None = None) -> Estimate:
        return estimate(sessions, scenario, model.metadata.tile, 100, threads, 1, 0, occurring=1, most=most)

    sizes(1)  # from here on runs take no more memory
    one, many = sizes(1), sizes(64)
    assert (one.threads, many.threads) == (1, 64)
    middle = (one.memory + many.memory) // 2
    found = sizes(64, middle)
    assert 1 < found.threads < 64
    assert found.memory <= middle


def test_where_not_even_one_tile_fits_the_limit_it_is_said(
    model_path: Path, scene: dict[str, list[str]], tmp_path: Path
) -> None:
    """The libraries alone take more than 50 MB."""
    said = r"GB of memory, but --memory allows 0\.05 GB, of which the engine has .* already; allow \d+\.\d GB"
    with pytest.raises(ResourceError, match=said):
        run(model_path, scene, tmp_path / "map", memory=0.05)
    assert list((tmp_path / "map").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minimum_confidence": 0}, "minimum_confidence: Input should be greater than or equal to 1"),
        ({"minimum_accuracy": 40}, "minimum_accuracy: Input should be less than or equal to 1"),
        ({"memory": 0}, "memory: Input should be greater than 0"),
        ({"groups": [1]}, "groups.0"),
    ],
)
def test_figures_that_mean_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        map_request(model="m.onnx", sources={"dem": "dem.tif"}, output="map.tif", **options)


def test_groups_need_classes_of_the_model(model_path: Path, scene: dict[str, list[str]], tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="groups a and b: water is in both"):
        run(model_path, scene, tmp_path / "map", groups=["a=water", "b=1"])
    assert list((tmp_path / "map").iterdir()) == []
