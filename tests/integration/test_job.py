"""`engine job`: what another program says and hears."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio
from jobs import finish, start

from engine.model.file import Model


def segment(model: Path, scene: Path, target: Path, **changes: object) -> dict[str, object]:
    layers = [{"name": name, "path": str(scene / f"{name}.tif")} for name in ("optical", "sar", "dem")]
    job = {"protocol": 3, "task": "segment", "model": str(model), "layers": layers}
    options = {"output": str(target), "device": "cpu"}
    known = {*options, "bounds", "bounds_crs"}
    options |= {key: value for key, value in changes.items() if key in known}
    return job | {"options": options} | {key: value for key, value in changes.items() if key not in known}


@pytest.fixture
def wide(scenes: Path, tmp_path: Path) -> Path:
    """A scene of the second's elevation, repeated until its map takes many seconds."""
    with rasterio.open(scenes / "second/dem.tif") as source:
        profile, values = source.profile, source.read(1)
    size = 6000
    profile |= {"width": size, "height": size, "tiled": True, "compress": "deflate"}
    with rasterio.open(tmp_path / "dem.tif", "w", **profile) as target:
        target.write(
            values.repeat(size // values.shape[0] + 1, 0).repeat(size // values.shape[1] + 1, 1)[:size, :size], 1
        )
    return tmp_path


def test_a_job_is_done_and_told_about(model_path: Path, scenes: Path, tmp_path: Path) -> None:
    output = tmp_path / "map.tif"
    events, status = finish(start(segment(model_path, scenes / "second", output)))
    assert status == 0
    hello, *middle, result = events
    assert hello["event"] == "hello"
    assert {"protocol", "engine", "gdal", "onnxruntime", "providers"} <= hello.keys()
    shares = [event["share"] for event in middle if event["event"] == "progress"]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert result["event"] == "result"
    assert result["scenario"] == "optical+sar+dem"
    assert sum(result["shares"].values()) == pytest.approx(1)
    assert (result["device"], result["width"], result["height"]) == ("cpu", 176, 200)
    known = Model(model_path).metadata.expected["dem"].classes
    assert known is not None
    assert result["class_accuracy"]["dem"] == list(known)
    assert result["classes"] == ["water", "forest", "cropland", "grassland", "built-up", "bare"]
    (command,) = [event["text"] for event in middle if event["event"] == "command"]
    whole = output.read_bytes()
    words = command.split()
    assert words[:2] == ["engine", "predict"]
    subprocess.run([sys.executable, "-m", "engine.cli", *words[1:], "--overwrite"], check=True, capture_output=True)
    assert output.read_bytes() == whole, "the command that was told makes the same map"


def test_options_of_a_map_come_with_the_job(model_path: Path, scenes: Path, tmp_path: Path) -> None:
    job = segment(model_path, scenes / "second", tmp_path / "map.tif")
    chosen = {
        "groups": ["vegetation:#00ff00=forest,4"],
        "minimum_confidence": 100,
        "minimum_accuracy": 0.001,
        "memory": 64,
        "low_priority": True,
    }
    options = {"output": str(tmp_path / "map.tif"), "device": "cpu", **chosen}
    events, status = finish(start(job | {"options": options}))
    assert status == 0, events
    (command,) = [event["text"] for event in events if event["event"] == "command"]
    assert command.endswith(
        "--group 'vegetation:#00ff00=forest,4' --minimum-confidence 100 --minimum-accuracy 0.001 --device cpu "
        "--memory 64.0 --low-priority"
    )
    seen = sum(share for name, share in events[-1]["shares"].items() if name != "no sensor")
    assert events[-1]["left"] == {"confidence below 100 %": pytest.approx(seen)}
    assert any("no pixel has a class" in event["text"] for event in events if event["event"] == "warning")


def test_variables_of_a_desktop_gis_do_not_reach_gdal(model_path: Path, scenes: Path, tmp_path: Path) -> None:
    job = segment(model_path, scenes / "second", tmp_path / "map.tif")
    events, status = finish(start(job, PROJ_LIB="/nowhere", PROJ_DATA="/nowhere", GDAL_DATA="/nowhere"))
    assert status == 0, events


def test_bounds_in_another_crs_are_brought_to_the_map(model_path: Path, scenes: Path, tmp_path: Path) -> None:
    with rasterio.open(scenes / "second/dem.tif") as source:
        left, bottom, right, top = source.bounds
        crs = source.crs
    middle = ((left + right) / 2, (bottom + top) / 2)
    west, south, east, north = rasterio.warp.transform_bounds(crs, "EPSG:4326", left, bottom, *middle)
    job = segment(
        model_path, scenes / "second", tmp_path / "map.tif", bounds=[west, south, east, north], bounds_crs="EPSG:4326"
    )
    events, _ = finish(start(job))
    assert (events[-1]["width"], events[-1]["height"]) == (pytest.approx(88, abs=4), pytest.approx(100, abs=4))


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"protocol": 7}, "InputError", "speaks version 3 of the job protocol, the job version 7"),
        ({"colour": "red"}, "InputError", "the job cannot be read"),
        ({"output": None}, "InputError", "the request cannot be done: output: "),
        ({"device": "cuda"}, "DeviceError", "cuda"),
        ({"assignment": "thermal=dem"}, "ModalityError", "no modality thermal"),
        ({"bounds": [0, 0, 1, 1]}, "GridError", "outside"),
    ],
)
def test_what_is_wrong_comes_as_an_event(
    model_path: Path, scenes: Path, tmp_path: Path, changes: dict[str, object], kind: str, message: str
) -> None:
    events, status = finish(start(segment(model_path, scenes / "second", tmp_path / "map.tif", **changes)))
    assert status == 2
    assert (events[-1]["event"], events[-1]["kind"]) == ("error", kind)
    assert message in events[-1]["text"]
    assert not (tmp_path / "map.tif").exists()


def test_what_is_no_json_comes_as_an_event() -> None:
    events, status = finish(start("hello?"))
    assert (status, events[-1]["kind"]) == (2, "InputError")


def test_describe_and_match(model_path: Path, scenes: Path) -> None:
    events, _ = finish(start({"protocol": 3, "task": "describe", "model": str(model_path)}))
    assert [len(one["classes"]) for one in events[-1]["metadata"]["accuracy"]] == [6] * 14
    assert [item["name"] for item in events[-1]["metadata"]["modalities"]] == ["optical", "sar", "dem"]
    layers = [{"name": "a", "path": str(scenes / "second/sar.tif")}]
    events, _ = finish(start({"protocol": 3, "task": "match", "model": str(model_path), "layers": layers}))
    assert (events[-1]["assignment"], events[-1]["scenario"]) == ("sar=a@1,2", "sar")


@pytest.mark.parametrize(("how", "keep"), [("stdin", True), ("file", False), ("signal", True)])
def test_a_cancel_ends_the_process_and_leaves_no_map(model_path: Path, wide: Path, how: str, keep: bool) -> None:
    target = wide / "maps"
    target.mkdir()
    cancel = wide / "cancel"
    job = segment(model_path, wide, target / "map.tif", cancel=str(cancel), keep=keep)
    process = start(job | {"layers": [{"name": "dem", "path": str(wide / "dem.tif")}]})
    assert process.stdin is not None
    assert process.stdout is not None
    share = 0.0
    while share < 0.02:
        share = json.loads(process.stdout.readline()).get("share", 0)
    if how == "stdin":
        process.stdin.close()
    elif how == "file":
        cancel.touch()
    else:
        process.send_signal(signal.SIGTERM)
    status = process.wait(timeout=30)
    assert status == 130
    assert [path.name for path in target.iterdir()] == (["map.tif.part"] if keep else [])
    process.stdout.close()
    if process.stderr:
        process.stderr.close()
    if how != "stdin":
        process.stdin.close()
