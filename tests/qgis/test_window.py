"""A person's way: dialogs in a window, clicks on Run and Cancel, maps in the project, the zip in the installer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def window(tmp_path):
    """Does a task in a QGIS with a window, in a profile of its own, and gives what was found."""
    qgis, screen = shutil.which("qgis.bin") or shutil.which("qgis"), shutil.which("xvfb-run")
    if not (qgis and screen):
        pytest.skip("needs the QGIS desktop and xvfb-run")

    def do(plugins=None, engine=True, **task):
        folder = os.environ.get("ROBUST_LANDCOVER_PICTURES") or str(tmp_path)
        profiles = tmp_path / "Zoë at home"
        profile = profiles / "profiles" / "default" / "QGIS"
        profile.mkdir(parents=True)
        enabled = "processing=true\n" + ("robust_landcover=true\n" if plugins else "")
        (profile / "QGIS3.ini").write_text(f"[PythonPlugins]\n{enabled}", encoding="utf-8")
        unwanted = ["QT_QPA_PLATFORM", *([] if engine else ["ROBUST_LANDCOVER_PYTHON"])]
        environment = {
            **{key: value for key, value in os.environ.items() if key not in unwanted},
            **({"QGIS_PLUGINPATH": str(plugins)} if plugins else {}),
            "ROBUST_LANDCOVER_WINDOW": json.dumps({**task, "folder": folder}),
            "LIBGL_ALWAYS_SOFTWARE": "1",
        }
        done = subprocess.run(
            [
                *(screen, "-a", "-s", "-screen 0 1400x900x24", qgis, "--nologo", "--noversioncheck"),
                *("--profiles-path", str(profiles), "--code", str(Path(__file__).with_name("window.py"))),
            ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        answer = Path(folder) / "found.json"
        assert answer.exists(), f"QGIS ended with {done.returncode}: {done.stderr[-2000:]}"
        found = json.loads(answer.read_text(encoding="utf-8"))
        answer.unlink()
        assert "error" not in found, found["error"]
        return found

    return do


def test_maps_are_made_one_after_the_other_cancelled_gone_on_with_and_in_a_batch(window, plugins, material, tmp_path):
    from osgeo import gdal

    second = material / "second"
    gdal.Translate(
        str(tmp_path / "wide.tif"), str(second / "dem.tif"), width=4000, height=4000,
        outputBounds=[500_000, 4_040_000, 540_000, 4_000_000], creationOptions=["TILED=YES"],
    )  # fmt: skip
    found = window(
        plugins,
        done=["maps", "cancel", "batch", "form", "form_changes"],
        other=str(material / "windows.onnx"),
        model=str(material / "synthetic.onnx"),
        layers=[
            {"path": str(second / "optical.tif"), "name": "Sentinel-2 of May", "bands": [3, 2, 1]},
            {"path": str(second / "dem.tif"), "name": "elevation"},
        ],
        wide=str(tmp_path / "wide.tif"),
        rows=[str(second / f"{name}.tif") for name in ("optical", "sar", "dem")],
    )
    first, weak, none, bands = found["form"]["states"]
    assert [row[:3] for row in first["rows"]] == [
        ["optical", "Sentinel-2 of May", "✔ sure"],
        ["sar", "— missing —", "○ missing"],
        ["dem", "elevation", "✔ sure"],
    ]
    assert "of its values lie in the training range" in first["rows"][0][3]
    assert "From <b>optical</b> + <b>dem</b>: expected mIoU 0." in first["expected"]
    assert first["text"] == "optical=Sentinel-2 of May@1,2,3,4;dem=elevation@1"
    assert "hardly better than guessing" in weak["expected"]
    assert none["text"] == "none"
    assert bands["text"] == "optical=Sentinel-2 of May@3,2,1,4"
    assert found["form"]["results"]["SCENARIO"] == "optical"
    assert "@3,2,1,4" in found["form"]["log"]
    changes = found["form_changes"]
    assert changes["renamed"] == "optical=Sentinel-2 of May@1,2,3,4;dem=heights@1"
    assert changes["short"][0] == "✕ too few bands"
    assert changes["short"][1].startswith("From <b>dem</b>: ")
    assert changes["gone"].startswith("From <b>dem</b>: ")
    assert changes["other"] == "", "what was said of another model is gone at once"
    assert changes["named"][0] == ""
    assert "Sensor 3: " in changes["named"][1]
    assert changes["made"] == "dem"
    maps = found["maps"]
    assert maps["first"]["good"], maps["first"]["log"]
    assert maps["second"]["good"], maps["second"]["log"]
    assert maps["first"]["results"]["SCENARIO"] == "optical+dem"
    assert maps["viewer"] == [maps[name]["results"]["REPORT"] for name in ("first", "second")]
    assert maps["legend"] == ["water", "forest", "cropland", "grassland", "built-up", "bare"]
    name = "Land cover (synthetic: optical+dem)"
    kinds = [[name, "paletted"], ["Confidence", "singlebandpseudocolor"], ["Availability", "paletted"]]
    assert sorted((layers for _, layers in maps["tree"]), key=len) == [kinds[:1], kinds]
    assert "Cancelled." in found["cancel"]["log"]
    assert "run again with the same inputs and output to go on from there" in found["cancel"]["log"]
    assert "% of the map was there already" in found["cancel"]["again"]
    assert "failed" not in found["batch"]["log"]
    assert len(found["batch"]["tree"]) == len(found["maps"]["tree"]) + 1 + 3


def newer(path, target, version):
    """The plugin's zip as another version."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            if name == "robust_landcover/metadata.txt":
                lines = content.decode().splitlines()
                content = "\n".join(
                    f"version={version}" if line.startswith("version=") else line for line in lines
                ).encode()
            copy.writestr(name, content)
    return str(target)


def test_a_whole_session_from_the_zip_to_a_model_and_an_upgrade(window, wheels, tmp_path):
    """In a bare profile, with nothing typed in a terminal."""
    subprocess.run([sys.executable, ROOT / "scripts/package_plugin.py", "-o", tmp_path / "dist"], check=True)
    (path,) = (tmp_path / "dist").glob("*.zip")
    (tmp_path / "empty").mkdir()
    found = window(
        engine=False,
        done=["install", "set_up", "example", "example_batch", "ready_model", "upgrade", "remove"],
        zip=str(path),
        newer=newer(path, tmp_path / "newer.zip", "9.8.7"),
        wheels=str(wheels),
        empty=str(tmp_path / "empty"),
    )
    assert found["install"]["active"]
    assert found["install"]["algorithm"]
    done = found["set_up"]
    assert found["install"]["offered"] == done["before"] == "The engine is not set up."
    missing, cancelled, ready = done["said"]
    assert "The folder of wheels has no robust-landcover" in missing
    assert "Cancelled; nothing was changed." in cancelled
    assert ready.startswith("The engine is set up.")
    assert done["after"].startswith("The engine is ready: version ")
    assert "all well" in done["copied"]
    assert str(Path.home()) not in done["copied"]
    first, second = found["example"]["first"], found["example"]["second"]
    assert first["good"], first["log"]
    assert (first["results"]["SCENARIO"], second["results"]["SCENARIO"]) == ("optical+dem", "dem")
    assert "expected mIoU 0.27" in found["example"]["expected"]
    assert "failed" not in found["example_batch"]["log"]
    assert len(found["example_batch"]["tree"]) == len(found["example"]["tree"]) + 3
    assert found["ready_model"]["good"], found["ready_model"]["log"]
    after = found["upgrade"]
    assert after["active"]
    assert after["algorithm"]
    assert after["version"] == "9.8.7"
    assert "The engine has version 0.1.0, this plugin version 9.8.7: update it." in after["offered"]
    assert found["remove"]["said"].startswith("The engine is removed.")
    left = tmp_path / "Zoë at home" / "profiles" / "default" / "robust_landcover"
    assert [one.name for one in left.iterdir()] == ["example"]
