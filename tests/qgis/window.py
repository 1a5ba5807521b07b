"""Run by a QGIS with a window (``qgis --code``): the dialog is opened and pictured, a map is made, styled and pictured.

Reads ``ROBUST_LANDCOVER_WINDOW``: JSON with model, layers, bands to show, folder for the pictures.
"""

import json
import os
import traceback

import processing
from qgis.core import (
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterLayer,
)
from qgis.PyQt.QtCore import QEventLoop, QTimer
from qgis.utils import iface

TASK = json.loads(os.environ["ROBUST_LANDCOVER_WINDOW"])


def wait(milliseconds):
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec() if hasattr(loop, "exec") else loop.exec_()


def work():
    for item in TASK["layers"]:
        layer = QgsRasterLayer(item["path"], item["name"])
        if "bands" in item:
            layer.setRenderer(QgsMultiBandColorRenderer(layer.dataProvider(), *item["bands"]))
            layer.setDefaultContrastEnhancement()
        QgsProject.instance().addMapLayer(layer)
    iface.mainWindow().resize(1280, 800)
    iface.zoomFull()
    dialog = processing.createAlgorithmDialog(
        "robustlandcover:segment", {"MODEL": TASK["model"], "OUTPUT": "TEMPORARY_OUTPUT"}
    )
    dialog.resize(900, 620)
    dialog.show()
    wait(1500)
    dialog.grab().save(os.path.join(TASK["folder"], "dialog.png"))
    dialog.runButton().click()
    for _ in range(600):
        wait(100)
        if dialog.results() or dialog.messageBar().currentItem() is not None:
            break
    wait(1500)
    dialog.grab().save(os.path.join(TASK["folder"], "log.png"))
    results = dialog.results()
    dialog.close()
    layers = {layer.name(): layer for layer in QgsProject.instance().mapLayers().values()}
    legend = [
        entry.label
        for name, layer in layers.items()
        if name.startswith("Land cover") and layer.renderer().type() == "paletted"
        for entry in layer.renderer().classes()
    ]
    iface.mapCanvas().refresh()
    wait(3000)
    iface.mainWindow().grab().save(os.path.join(TASK["folder"], "window.png"))
    return {"results": {key: str(value) for key, value in results.items()}, "layers": list(layers), "legend": legend}


def main():
    try:
        found = work()
    except Exception:  # whatever it is, the test must hear of it, and the window must close
        found = {"error": traceback.format_exc()}
    with open(os.path.join(TASK["folder"], "found.json"), "w") as file:
        json.dump(found, file)
    QgsProject.instance().setDirty(False)
    os._exit(0)


QTimer.singleShot(2000, main)
