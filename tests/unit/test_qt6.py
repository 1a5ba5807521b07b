"""The plugin's own widgets under Qt 6, which QGIS 4 has: with a stand-in for the little of QGIS that they use."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_widgets_work_with_qt6(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts/package_plugin.py", "-o", tmp_path / "dist"], check=True)
    (tmp_path / "empty").mkdir()
    scene = ROOT / "models" / "zion"
    model = scene / "zion-landsat-srtm.onnx"
    layers = [f"Landsat={scene / 'landsat8.tif'}", f"SRTM elevation={scene / 'srtm.tif'}"]
    command = [sys.executable, Path(__file__).with_name("qt6_widgets.py"), tmp_path / "dist", model, tmp_path / "empty"]
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "ROBUST_LANDCOVER_PYTHON": sys.executable}
    done = subprocess.run([*command, *layers], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["form"][0] == "optical=Landsat@1,2,3,4;dem=SRTM elevation@1"
    assert found["form"][1].startswith("From <b>optical</b> + <b>dem</b>: expected mIoU 0.")
    assert found["dropped"][0] == "dem=SRTM elevation@1"
    assert found["setup"][0].startswith("The engine is ready")
    assert "The folder of wheels has no robust-landcover" in found["setup"][1]
    assert "all well" in found["copied"]
