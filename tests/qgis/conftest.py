"""A real QGIS with the packaged plugin, and what it maps."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGINE = os.environ.get("ROBUST_LANDCOVER_PYTHON", "")

if "PYTEST_XDIST_WORKER" in os.environ:  # two QGIS at once must not share a profile
    os.environ["HOME"] = tempfile.mkdtemp(dir=os.environ["HOME"])

sys.path.insert(0, str(ROOT / "scripts"))
sys.path.append("/usr/share/qgis/python/plugins")


@pytest.fixture(scope="session")
def engine() -> str:
    """The interpreter that has the engine."""
    assert ENGINE, "set ROBUST_LANDCOVER_PYTHON to a Python that has the engine; scripts/test.py does"
    return ENGINE


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory, engine: str) -> Path:
    """Folder with scenes ``first`` and ``second``, ``synthetic.onnx``, and ``zion.onnx`` where there is data."""
    if "ROBUST_LANDCOVER_MATERIAL" in os.environ:
        return Path(os.environ["ROBUST_LANDCOVER_MATERIAL"])
    folder = tmp_path_factory.mktemp("material")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("QT_", "QGIS_"))}
    subprocess.run([engine, ROOT / "tests/qgis/material.py", folder], check=True, env=environment)
    return folder


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the packaged plugin."""
    from package_plugin import build

    return build(tmp_path_factory.mktemp("plugins")).parent


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """The folder of wheels, which a computer with a network makes for others, by the Python that will use it."""
    folder = tmp_path_factory.mktemp("wheels for Zoë")
    python = tmp_path_factory.mktemp("pip")
    subprocess.run(["/usr/bin/python3", "-m", "venv", python], check=True)
    subprocess.run([python / "bin" / "python", ROOT / "scripts/wheels.py", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def qgis(plugins: Path):
    """A running QGIS without windows, with Processing and the plugin."""
    from qgis.core import QgsApplication

    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    sys.path.insert(0, str(plugins))
    from processing.core.Processing import Processing

    Processing.initialize()
    import robust_landcover

    plugin = robust_landcover.classFactory(None)
    plugin.initProcessing()
    yield application
    plugin.unload()
    application.exitQgis()


@pytest.fixture
def project(qgis):
    """An empty project."""
    from qgis.core import QgsProject

    project = QgsProject.instance()
    project.clear()
    yield project
    project.clear()


@pytest.fixture
def load(project):
    """Loads a raster into the project."""
    from qgis.core import QgsRasterLayer

    def load(path, name=None, provider="gdal"):
        layer = QgsRasterLayer(str(path), name or Path(str(path)).stem, provider)
        assert layer.isValid(), path
        project.addMapLayer(layer)
        return layer

    return load


class Feedback:
    """Keeps what is said; made on first use, when QGIS can be imported."""

    def __new__(cls):
        from qgis.core import QgsProcessingFeedback

        class Recorder(QgsProcessingFeedback):
            def __init__(self):
                super().__init__(False)
                self.lines = []
                self.warnings = []
                self.on_progress = None
                self.progressChanged.connect(self._progressed)

            def _progressed(self, share):
                if self.on_progress:
                    self.on_progress(share)

            def pushInfo(self, text):
                self.lines.append(text)

            pushCommandInfo = pushDebugInfo = pushConsoleInfo = pushInfo  # noqa: N815

            def pushWarning(self, text):
                self.warnings.append(text)

            def reportError(self, text, fatalError=False):
                self.warnings.append(text)

        return Recorder()


@pytest.fixture
def feedback(qgis):
    """A feedback that keeps what is said."""
    return Feedback()
