"""The example that travels with the plugin: a small scene of two sensors and a model that maps it."""

import os
import shutil

from qgis.core import (
    QgsApplication,
    QgsContrastEnhancement,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterLayer,
)
from qgis.PyQt.QtCore import QCoreApplication

SOURCE = os.path.join(os.path.dirname(__file__), "models", "zion")
MODEL = "zion-landsat-srtm.onnx"
FILES = (MODEL, "landsat8.tif", "srtm.tif", "nlcd.tif", "README.md", "LICENSE")
LOOKS = {"landsat8.tif": (3, 2, 1)}
"""Bands that are shown as red, green and blue."""


def folder():
    """Where the example lies: in the user's profile, so that an update of the plugin does not take open files away."""
    return os.path.join(QgsApplication.qgisSettingsDirPath(), "robust_landcover", "example")


def take():
    """Copies the example out of the plugin, where it is not there yet or is another one; gives the model's path."""
    os.makedirs(folder(), exist_ok=True)
    for name in FILES:
        source, target = os.path.join(SOURCE, name), os.path.join(folder(), name)
        if not os.path.exists(target) or os.path.getsize(target) != os.path.getsize(source):
            shutil.copy(source, target + ".part")
            os.replace(target + ".part", target)
    return os.path.join(folder(), MODEL)


def open_example(project=None):
    """Loads the scene into the project, elevation below Landsat, and gives the model's path."""
    model = take()
    project = project or QgsProject.instance()
    for name, title in (("srtm.tif", _tr("SRTM elevation")), ("landsat8.tif", _tr("Landsat 8"))):
        path = os.path.join(folder(), name)
        if any(layer.source() == path for layer in project.mapLayers().values()):
            continue
        layer = QgsRasterLayer(path, title)
        if name in LOOKS:
            layer.setRenderer(QgsMultiBandColorRenderer(layer.dataProvider(), *LOOKS[name]))
        layer.setContrastEnhancement(QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum)
        project.addMapLayer(layer)
    return model


def _tr(text):
    return QCoreApplication.translate("Example", text)
