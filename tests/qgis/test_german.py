"""In German: what the engine says of a match, and of layers that do not serve."""

from __future__ import annotations

import shutil
import subprocess

import pytest


@pytest.fixture
def german(qgis, plugins, tmp_path):
    """QGIS's German for a test; what is compiled with the package where Qt's tools are there."""
    from qgis.PyQt.QtCore import QCoreApplication, QTranslator

    tool = shutil.which("lrelease") or shutil.which("lrelease-qt5") or shutil.which("lrelease-qt6")
    assert tool, "Qt's lrelease compiles translations (Debian: qttools5-dev-tools)"
    compiled = tmp_path / "de.qm"
    source = plugins / "robust_landcover" / "i18n" / "robust_landcover_de.ts"
    subprocess.run([tool, "-silent", str(source), "-qm", str(compiled)], check=True)
    translator = QTranslator()
    assert translator.load(str(compiled))
    QCoreApplication.installTranslator(translator)
    yield
    QCoreApplication.removeTranslator(translator)


def test_the_engine_speaks_german(german, project, load, material, feedback):
    import processing
    from qgis.core import QgsProcessingException

    model = str(material / "synthetic.onnx")
    layers = [load(material / "second" / f"{name}.tif") for name in ("dem", "labels")]
    processing.run("robustlandcover:matchlayers", {"MODEL": model, "LAYERS": layers}, feedback=feedback)
    said = "\n".join(feedback.lines)
    assert "optical: fehlt; 4 Kanäle (blue, green, red, nir), uint16, reflectance x 10000" in said
    assert "der Werte liegen im Bereich des Trainings" in said
    assert "nicht gebraucht: labels (" in said
    with pytest.raises(QgsProcessingException, match="kein Layer dient einer Modalität des Modells"):
        processing.run(
            "robustlandcover:segment",
            {"MODEL": model, "LAYERS": layers[1:], "OUTPUT": "TEMPORARY_OUTPUT"},
            feedback=feedback,
        )
