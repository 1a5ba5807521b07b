"""A person's way: the dialog in a window, a click on Run, the styled map in the project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest


def test_the_dialog_runs_and_loads_the_styled_map(plugins, material, tmp_path):
    qgis, screen = shutil.which("qgis.bin") or shutil.which("qgis"), shutil.which("xvfb-run")
    if not (qgis and screen):
        pytest.skip("needs the QGIS desktop and xvfb-run")
    pictures = os.environ.get("ROBUST_LANDCOVER_PICTURES", str(tmp_path))
    profile = tmp_path / "profiles" / "default" / "QGIS"
    profile.mkdir(parents=True)
    (profile / "QGIS3.ini").write_text("[PythonPlugins]\nrobust_landcover=true\nprocessing=true\n", encoding="utf-8")
    second = material / "second"
    task = {
        "model": str(material / "synthetic.onnx"),
        "layers": [
            {"path": str(second / "optical.tif"), "name": "Sentinel-2 of May", "bands": [3, 2, 1]},
            {"path": str(second / "dem.tif"), "name": "elevation"},
        ],
        "folder": pictures,
    }
    environment = {
        **{key: value for key, value in os.environ.items() if key != "QT_QPA_PLATFORM"},
        "QGIS_PLUGINPATH": str(plugins),
        "ROBUST_LANDCOVER_WINDOW": json.dumps(task),
        "LIBGL_ALWAYS_SOFTWARE": "1",
    }
    subprocess.run(
        [
            *(screen, "-a", "-s", "-screen 0 1400x900x24", qgis, "--nologo", "--noversioncheck"),
            *("--profiles-path", str(tmp_path), "--code", os.path.join(os.path.dirname(__file__), "window.py")),
        ],
        env=environment,
        capture_output=True,
        timeout=240,
    )
    with open(os.path.join(pictures, "found.json")) as file:
        found = json.load(file)
    assert "error" not in found, found["error"]
    assert found["results"]["SCENARIO"] == "optical+dem"
    assert "Land cover (synthetic: optical+dem)" in found["layers"]
    assert found["legend"] == ["water", "forest", "cropland", "grassland", "built-up", "bare"]
    for name in ("dialog.png", "log.png", "window.png"):
        assert os.path.getsize(os.path.join(pictures, name)) > 5000
