"""Run by a QGIS with a window (``qgis --code``): does in it what a person does, and takes pictures of it.

Reads ``ROBUST_LANDCOVER_WINDOW``: JSON with what is to be ``done`` (names of functions here), and what that takes.
"""

import json
import os
import traceback

import processing
from processing.core.ProcessingResults import resultsList
from qgis import utils
from qgis.core import QgsApplication, QgsMultiBandColorRenderer, QgsProcessingContext, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QEventLoop, QTimer
from qgis.utils import iface

TASK = json.loads(os.environ["ROBUST_LANDCOVER_WINDOW"])
ALGORITHM = "robustlandcover:segment"


def wait(milliseconds):
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec() if hasattr(loop, "exec") else loop.exec_()


def until(done, seconds=60):
    for _ in range(10 * seconds):
        if done():
            return
        wait(100)
    raise TimeoutError


def picture(widget, name):
    widget.grab().save(os.path.join(TASK["folder"], f"{name}.png"))


def open_dialog(**parameters):
    dialog = processing.createAlgorithmDialog(ALGORITHM, {"MODEL": TASK["model"], "DEVICE": "cpu", **parameters})
    dialog.resize(900, 620)
    dialog.show()
    wait(1500)
    return dialog


def log_of(dialog):
    path = os.path.join(TASK["folder"], "log.txt")
    dialog.saveLogToFile(path, type(dialog).FormatPlainText)
    with open(path, encoding="utf-8") as file:
        return file.read()


def run(name, **parameters):
    """Clicks on Run and waits for the end."""
    dialog = open_dialog(**parameters)
    picture(dialog, f"{name}-dialog")
    ended = []
    dialog.algorithmFinished.connect(lambda good, results: ended.append((good, results)))
    dialog.runButton().click()
    until(lambda: ended)
    wait(500)
    picture(dialog, f"{name}-log")
    text = log_of(dialog)
    dialog.close()
    good, results = ended[0]
    return {"good": good, "results": {key: str(value) for key, value in results.items()}, "log": text}


def tree():
    """The groups with the layers in them, and how these are drawn."""
    return [
        [group.name(), [[node.name(), node.layer().renderer().type()] for node in group.findLayers()]]
        for group in QgsProject.instance().layerTreeRoot().findGroups()
    ]


def maps():
    """A first map, then a second one in the same session, with more outputs."""
    first = run("first", OUTPUT="TEMPORARY_OUTPUT")
    (layer,) = [one for one in QgsProject.instance().mapLayers().values() if one.name().startswith("Land cover")]
    legend = [entry.label for entry in layer.renderer().classes()]
    second = run("second", OUTPUT="TEMPORARY_OUTPUT", CONFIDENCE="TEMPORARY_OUTPUT", AVAILABILITY="TEMPORARY_OUTPUT")
    iface.mapCanvas().refresh()
    wait(3000)
    picture(iface.mainWindow(), "window")
    viewer = [result.filename for result in resultsList.getResults()]
    return {"first": first, "second": second, "legend": legend, "tree": tree(), "viewer": viewer}


def cancel():
    """A map of many tiles is cancelled; then it is gone on with."""
    output = os.path.join(TASK["folder"], "cancelled.tif")
    dialog = open_dialog(LAYERS=[TASK["wide"]], OUTPUT=output)
    dialog.runButton().click()
    journal = os.path.join(f"{output}.part", "journal.jsonl")
    until(lambda: os.path.exists(journal) and os.path.getsize(journal))
    dialog.cancelButton().click()
    until(lambda: not dialog.cancelButton().isEnabled() and dialog.runButton().isEnabled())
    wait(300)
    picture(dialog, "cancelled")
    text = log_of(dialog)
    dialog.close()
    return {"log": text, "again": run("again", LAYERS=[TASK["wide"]], OUTPUT=output)["log"]}


def batch():
    """Three rows, their optional outputs left empty."""
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog

    algorithm = QgsApplication.processingRegistry().createAlgorithmById(ALGORITHM)
    dialog = BatchAlgorithmDialog(algorithm, iface.mainWindow())
    dialog.resize(1100, 500)
    dialog.show()
    panel = dialog.mainWidget()
    panel.clear()
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    for row, layer in enumerate(TASK["rows"]):
        panel.addRow()
        values = {"MODEL": TASK["model"], "LAYERS": [layer], "DEVICE": "cpu"}
        for name, value in values.items():
            panel.wrappers[row][panel.parameter_to_column[name]].setParameterValue(value, context)
        cell = panel.tblParameters.cellWidget(row + 1, panel.parameter_to_column["OUTPUT"])
        cell.setValue(os.path.join(TASK["folder"], f"row{row}.tif"))
    panel.checkLoadLayersOnCompletion.setChecked(True)
    wait(500)
    picture(dialog, "batch-dialog")
    dialog.runButton().click()
    until(lambda: "Batch execution completed" in log_of(dialog))
    wait(1000)
    picture(dialog, "batch-log")
    text = log_of(dialog)
    dialog.close()
    return {"log": text, "tree": tree()}


def install():
    """The zip by QGIS's own installer, then a newer one over it."""
    from pyplugin_installer import instance

    found = []
    for path in TASK["zips"]:
        instance().installFromZipFile(path)
        wait(1500)
        found.append(
            {
                "active": "robust_landcover" in utils.active_plugins,
                "version": utils.pluginMetadata("robust_landcover", "version"),
                "answers": utils.plugins["robust_landcover"].__class__.__module__,
                "algorithm": QgsApplication.processingRegistry().algorithmById(ALGORITHM) is not None,
            }
        )
    return found


def work():
    for item in TASK.get("layers", ()):
        layer = QgsRasterLayer(item["path"], item["name"])
        if "bands" in item:
            layer.setRenderer(QgsMultiBandColorRenderer(layer.dataProvider(), *item["bands"]))
            layer.setDefaultContrastEnhancement()
        QgsProject.instance().addMapLayer(layer)
    iface.mainWindow().resize(1280, 800)
    iface.zoomFull()
    return {name: globals()[name]() for name in TASK["done"]}


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
