"""The same from ``qgis_process``, headless, on the real scene where it is at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ZION = ROOT.parent / "shared" / "data" / "zion"
LANDSAT, SRTM = ZION / "zion_landsat8_b2345_30m.tif", ZION / "raw" / "srtm.tif"


@pytest.fixture(scope="module")
def qgis_process(plugins, tmp_path_factory):
    """Runs ``qgis_process`` with a profile of its own, in which the plugin is enabled."""
    # Debian's wrapper passes an option that its own binary refuses
    binary = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if binary is None:
        pytest.skip("qgis_process is not installed")
    profile = tmp_path_factory.mktemp("profile")
    environment = {**os.environ, "QGIS_PLUGINPATH": str(plugins), "QGIS_CUSTOM_CONFIG_PATH": str(profile)}

    def run(*arguments):
        words = [binary, *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300)

    enabled = run("plugins", "enable", "robust_landcover")
    assert enabled.returncode == 0, enabled.stderr
    return run


@pytest.fixture
def zion(material):
    """The model of the engine's recipe."""
    if not ZION.is_dir():
        pytest.skip(f"{ZION} is not there: the scene cannot be distributed")
    return material / "zion.onnx"


def class_bytes(path):
    from osgeo import gdal

    return gdal.Open(str(path)).ReadAsArray().tobytes()


def make_project(path, layers):
    from qgis.core import QgsProject, QgsRasterLayer

    project = QgsProject()
    for layer in layers:
        project.addMapLayer(QgsRasterLayer(str(layer), Path(layer).stem))
    assert project.write(str(path))


def test_the_algorithm_is_listed(qgis_process):
    listed = qgis_process("list").stdout
    for name in ("segment", "mapfolder", "polygonize", "statistics", "change", "mapaspolygons", "changeoftwodates"):
        assert f"robustlandcover:{name}" in listed
    assert "ASSIGNMENT" in qgis_process("help", "robustlandcover:segment").stdout


def test_a_project_is_mapped_as_on_the_command_line(qgis, qgis_process, zion, engine, tmp_path):
    make_project(tmp_path / "both.qgs", [LANDSAT, SRTM])
    segment = ("run", "robustlandcover:segment", f"--MODEL={zion}", "--DEVICE=cpu")
    done = qgis_process(*segment, f"--PROJECT_PATH={tmp_path / 'both.qgs'}", f"--OUTPUT={tmp_path / 'map.tif'}")
    assert done.returncode == 0, done.stderr
    assert "SCENARIO:\trgb+nir+dem" in done.stdout
    subprocess.run(
        [
            *(engine, "-I", "-m", "engine.cli", "predict", zion, "--device", "cpu", "-o", tmp_path / "expected.tif"),
            *(f"rgb={LANDSAT}@3,2,1", f"nir={LANDSAT}@4", f"dem={SRTM}"),
        ],
        check=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert class_bytes(tmp_path / "map.tif") == class_bytes(tmp_path / "expected.tif")

    make_project(tmp_path / "one.qgs", [LANDSAT])
    done = qgis_process(*segment, f"--PROJECT_PATH={tmp_path / 'one.qgs'}", f"--OUTPUT={tmp_path / 'less.tif'}")
    assert "SCENARIO:\trgb+nir\n" in done.stdout
    assert class_bytes(tmp_path / "less.tif") != class_bytes(tmp_path / "map.tif")

    make_project(tmp_path / "none.qgs", [ZION / "raw" / "nlcd.tif"])
    done = qgis_process(*segment, f"--PROJECT_PATH={tmp_path / 'none.qgs'}", f"--OUTPUT={tmp_path / 'no.tif'}")
    assert done.returncode != 0
    assert "3 bands (red, green, blue) of uint16" in done.stderr + done.stdout
    assert not (tmp_path / "no.tif").exists()


def test_layers_and_outputs_are_named_on_the_command_line(qgis_process, material, tmp_path):
    second = material / "second"
    done = qgis_process(
        *("run", "robustlandcover:segment", f"--MODEL={material / 'synthetic.onnx'}"),
        *(f"--LAYERS={second / 'sar.tif'}", f"--LAYERS={second / 'dem.tif'}"),
        *(f"--OUTPUT={tmp_path / 'map.tif'}", f"--CONFIDENCE={tmp_path / 'confidence.tif'}"),
    )
    assert done.returncode == 0, done.stderr
    assert "SCENARIO:\tsar+dem" in done.stdout
    assert (tmp_path / "confidence.tif").exists()
    assert not (tmp_path / "availability.tif").exists()
    done = qgis_process(
        *("run", "robustlandcover:segment", f"--MODEL={material / 'synthetic.onnx'}"),
        *(f"--ASSIGNMENT=dem={second / 'dem.tif'}@1", f"--OUTPUT={tmp_path / 'dem.tif'}"),
    )
    assert "SCENARIO:\tdem" in done.stdout, done.stderr + done.stdout


def test_it_speaks_the_users_language(plugins, tmp_path):
    if not (plugins / "robust_landcover" / "i18n" / "robust_landcover_de.qm").exists():
        pytest.skip("lrelease was not found when the plugin was packaged")
    binary = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    (tmp_path / "profiles" / "default" / "QGIS").mkdir(parents=True)
    settings = "[locale]\nuserLocale=de\noverrideFlag=true\n[PythonPlugins]\nrobust_landcover=true\n"
    (tmp_path / "profiles" / "default" / "QGIS" / "QGIS3.ini").write_text(settings, encoding="utf-8")
    environment = {**os.environ, "QGIS_PLUGINPATH": str(plugins), "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path)}
    done = subprocess.run([binary, "list"], capture_output=True, text=True, env=environment, timeout=300)
    assert "Robuste Landbedeckungssegmentierung" in done.stdout
