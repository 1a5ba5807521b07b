"""What comes after a map, and many maps, as commands and as jobs of another program."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from commands import engine
from jobs import finish, start
from rasterio.crs import CRS

from engine.errors import Cancelled, InputError, RasterReadError
from engine.mapping.folder import FolderOptions, map_folder, scenes_of
from engine.mapping.predict import Listener
from engine.model.file import Model

PLACE = {"crs": CRS.from_epsg(32631), "transform": Affine(10, 0, 600_000, 0, -10, 5_650_000)}


def job(task: str, **options: object) -> dict[str, object]:
    return {"protocol": 3, "task": task, "options": {name: str(value) for name, value in options.items()}}


@pytest.fixture(scope="module")
def mapped(model_path: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a map of the second scene, its confidence and availability."""
    folder = tmp_path_factory.mktemp("mapped")
    sources = [f"{name}={scenes / 'second' / name}.tif" for name in ("optical", "sar", "dem")]
    companions = ["--confidence", folder / "confidence.tif", "--availability", folder / "availability.tif"]
    done = engine("predict", model_path, *sources, "-o", folder / "map.tif", *companions, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_map_becomes_polygons_with_the_areas_of_its_attribute_table(mapped: Path, tmp_path: Path) -> None:
    companions = ("--confidence", mapped / "confidence.tif", "--availability", mapped / "availability.tif")
    done = engine("polygonize", mapped / "map.tif", "-o", tmp_path / "p.gpkg", *companions)
    assert done.returncode == 0, done.stderr
    assert "polygons of" in done.stdout
    frame = geopandas.read_file(tmp_path / "p.gpkg", layer="polygons")
    counted = engine("statistics", mapped / "map.tif", "-o", tmp_path / "t.csv", *companions)
    assert counted.returncode == 0, counted.stderr
    with (tmp_path / "t.csv").open(encoding="utf-8") as file:
        rows = {row["class"]: row for row in csv.DictReader(file) if row["part"] == "map"}
    table = (mapped / "map.tif.aux.xml").read_text(encoding="utf-8")
    for name, found in frame.groupby("class"):
        assert found.pixels.sum() == int(rows[name]["pixels"])
        assert found.hectares.sum() == pytest.approx(float(rows[name]["hectares"]))
        cells = table.partition(f"<F>{name}</F>")[2].partition("</Row>")[0].split("<F>")[5:]
        pixels, hectares, confidence = (float(cell.removesuffix("</F>")) for cell in cells)
        assert pixels == found.pixels.sum()
        assert hectares == pytest.approx(found.hectares.sum(), rel=1e-4)
        assert confidence == pytest.approx(float(rows[name]["confidence"]), abs=0.01)
        assert np.average(found.confidence, weights=found.pixels) == pytest.approx(confidence, abs=0.01)
    assert set(frame.scenario) <= {"optical+sar+dem", "optical+dem", "sar+dem", "dem"}


def test_other_programs_have_the_same_as_jobs(mapped: Path, tmp_path: Path) -> None:
    events, status = finish(start(job("polygonize", map=mapped / "map.tif", output=tmp_path / "p.gpkg")))
    assert status == 0, events
    assert events[-1]["polygons"] == len(geopandas.read_file(tmp_path / "p.gpkg", layer="polygons"))
    assert [event["share"] for event in events if event["event"] == "progress"][-1] == 1
    zones = f"{tmp_path / 'p.gpkg'}|polygons"
    options = {"map": mapped / "map.tif", "output": tmp_path / "t.csv", "zones": zones, "zone_field": "class"}
    events, _ = finish(start(job("statistics", **options)))
    assert events[-1]["pixels"] == 200 * 176
    assert events[-1]["zones"] > 1
    pair = {"first": mapped / "map.tif", "second": mapped / "map.tif"}
    both = {"output": tmp_path / "c.tif", "table": tmp_path / "c.csv"}
    sensors = {f"{name}_availability": mapped / "availability.tif" for name in pair}
    events, _ = finish(start(job("change", **pair, **both, **sensors)))
    assert (events[-1]["changed"], events[-1]["other_sensors"], events[-1]["pixels"]) == (0, 0, 200 * 176)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"protocol": 3, "task": "segment"}, "model: the task segment needs one; name an .onnx file"),
        (job("polygonize", map="map.tif"), "the request cannot be done: output: Field required"),
        (job("statistics", map="map.tif", output="t.csv", colour=1), "the request cannot be done: colour: "),
        ({**job("polygonize", map="m.tif", output="p.gpkg"), "options": {"minimum": -1}}, "minimum: Input should be"),
        (job("polygonize", map="no map.tif", output="p.gpkg"), "no map.tif: cannot be opened as a raster"),
    ],
)
def test_what_is_wrong_is_said(asked: dict[str, object], message: str) -> None:
    events, status = finish(start(asked))
    assert status == 2
    assert message in events[-1]["text"]


@pytest.mark.parametrize("task", ["polygonize", "change"])
def test_a_cancel_ends_the_process_and_leaves_nothing(task: str, write_raster: Callable[..., Path]) -> None:
    noise = np.random.default_rng(0).integers(1, 6, (1, 3000, 3000)).astype(np.uint8)
    path = write_raster("noise.tif", noise, **PLACE)
    folder = path.parent / "out"
    folder.mkdir()
    asked = {
        "polygonize": job("polygonize", map=path, output=folder / "p.gpkg"),
        "change": job("change", first=path, second=path, output=folder / "c.tif", table=folder / "c.csv"),
    }[task]
    process = start(asked)
    assert process.stdin is not None
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["event"] != "progress":
        pass
    process.stdin.close()
    assert process.wait(timeout=30) == 130
    assert list(folder.iterdir()) == []
    process.stdout.close()
    if process.stderr:
        process.stderr.close()


@pytest.fixture
def folder(scenes: Path, tmp_path: Path) -> Path:
    """Scenes by subfolder: one with all sensors, one with radar alone, one that is broken, and what is no scene."""
    found = tmp_path / "Szenen"
    for name, layers in (("Mai", ("optical", "sar", "dem")), ("Juni", ("sar",)), ("broken", ("labels",))):
        (found / name).mkdir(parents=True)
        for layer in layers:
            (found / name / f"{layer}.tif").symlink_to(scenes / "second" / f"{layer}.tif")
    (found / "notes").mkdir()
    (found / "notes" / "readme.txt").touch()
    return found


def test_every_scene_of_a_folder_is_mapped_and_what_fails_is_told(
    folder: Path, model_path: Path, mapped: Path, tmp_path: Path
) -> None:
    maps = tmp_path / "maps"
    words = ("mapfolder", model_path, folder, "-o", maps, "--confidence", "--device", "cpu")
    done = engine(*words)
    assert done.returncode == 1
    assert "2 scenes mapped, 0 were there already, 1 failed" in done.stdout
    assert "Warning: broken: " in done.stderr
    with rasterio.open(maps / "Mai.tif") as found, rasterio.open(mapped / "map.tif") as expected:
        np.testing.assert_array_equal(found.read(1), expected.read(1))
    assert {path.name for path in maps.glob("*.tif")} == {
        *("Mai.tif", "Mai_confidence.tif", "Juni.tif", "Juni_confidence.tif")
    }
    (maps / "Juni.tif").unlink()
    before = (maps / "Mai.tif").stat().st_mtime_ns
    done = engine(*words)
    assert "Warning: Juni: " in done.stderr, "half of a map is not written over unasked"
    assert "is there already" in done.stderr
    for path in maps.glob("Juni*"):
        path.unlink()
    done = engine(*words)
    assert "1 scenes mapped, 1 were there already, 1 failed" in done.stdout
    assert (maps / "Mai.tif").stat().st_mtime_ns == before


def test_a_pattern_takes_files_together_and_an_assignment_names_them(scenes: Path, tmp_path: Path) -> None:
    for scene in ("2024_05", "2024_06"):
        for layer in ("sar", "dem"):
            (tmp_path / f"{scene}_{layer}.tif").symlink_to(scenes / "second" / f"{layer}.tif")
    (tmp_path / "readme_sar.txt").touch()
    found = scenes_of(tmp_path, "{scene}_*.tif")
    assert {name: [path.name for path in paths] for name, paths in found.items()} == {
        "2024_05": ["2024_05_dem.tif", "2024_05_sar.tif"],
        "2024_06": ["2024_06_dem.tif", "2024_06_sar.tif"],
    }
    assert list(scenes_of(tmp_path, "*_{scene}.tif")) == ["05_dem", "05_sar", "06_dem", "06_sar"]
    maps = tmp_path / "maps"
    (maps / "old").mkdir(parents=True)
    (maps / "old" / "2024_07_sar.tif").touch()
    assert list(scenes_of(tmp_path, "maps/old/{scene}_*.tif")) == ["2024_07"]
    assert scenes_of(tmp_path, "{scene}_*.tif", maps) == found
    with pytest.raises(RasterReadError, match="none of its subfolders holds a raster"):
        scenes_of(tmp_path, maps=maps)
    with pytest.raises(InputError, match="name another folder for the maps"):
        scenes_of(tmp_path, "{scene}_*.tif", tmp_path)
    with pytest.raises(InputError, match=r"\{scene\} must stand in it once"):
        scenes_of(tmp_path, "*.tif")
    with pytest.raises(RasterReadError, match="no raster in it is called as"):
        scenes_of(tmp_path, "{scene}.jp2")


def test_an_assignment_serves_every_scene_and_a_cancel_ends_all(scenes: Path, model_path: Path, tmp_path: Path) -> None:
    for scene in ("a", "b"):
        (tmp_path / f"{scene}_radar.tif").symlink_to(scenes / "second" / "sar.tif")
    options = FolderOptions(
        folder=tmp_path,
        output=tmp_path / "maps",
        pattern="{scene}_*.tif",
        assignment="sar={scene}_radar.tif",
        map={"device": "cpu"},
    )
    told: list[str] = []
    shares: list[float] = []
    found = map_folder(Model(model_path), options, Listener(progress=shares.append), told.append)
    assert [(one.scene, one.state, one.sensors) for one in found] == [("a", "mapped", "sar"), ("b", "mapped", "sar")]
    assert told == [f"{one}: sar={tmp_path / one}_radar.tif" for one in ("a", "b")]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    again = FolderOptions(**{**dict(options), "overwrite": True})
    with pytest.raises(Cancelled):
        map_folder(Model(model_path), again, Listener(cancelled=lambda: True), told.append)


def test_a_folder_as_a_job(folder: Path, model_path: Path, tmp_path: Path) -> None:
    options = {"folder": str(folder), "output": str(tmp_path / "maps"), "availability": True, "map": {"device": "cpu"}}
    asked = {"protocol": 3, "task": "mapfolder", "model": str(model_path), "options": options}
    events, status = finish(start(asked))
    assert status == 0, events
    states = {one["scene"]: one["state"] for one in events[-1]["scenes"]}
    assert states == {"Mai": "mapped", "Juni": "mapped", "broken": "failed"}
    assert (tmp_path / "maps" / "Juni_availability.tif").exists()
