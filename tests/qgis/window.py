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
from qgis.PyQt.QtWidgets import QApplication, QMessageBox, QPushButton, QWidget
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
    found = finish(dialog)
    picture(dialog, f"{name}-log")
    dialog.close()
    return found


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


def form():
    """The rows that the form finds; one is dropped, one gets other bands; a map is made of that."""
    dialog = open_dialog(OUTPUT="TEMPORARY_OUTPUT")
    form = form_of(dialog)
    picture(dialog, "form")

    def state():
        shown = [[row.name, row.layer.currentText(), row.badge.text(), row.badge.toolTip()] for row in form.rows]
        return {"rows": shown, "expected": form.expected.text(), "text": form.text()}

    found = [state()]
    by_name = {row.name: row for row in form.rows}
    by_name["optical"].layer.setCurrentIndex(by_name["optical"].layer.findData(""))
    found.append(state())
    picture(dialog, "form-weak")
    by_name["dem"].layer.setCurrentIndex(by_name["dem"].layer.findData(""))
    found.append(state())
    by_name["optical"].layer.setCurrentIndex(1)
    combos = by_name["optical"].chosen_bands
    combos[0].setCurrentIndex(2)
    combos[2].setCurrentIndex(0)
    found.append(state())
    made = finish(dialog)
    dialog.close()
    return {"states": found, **made}


def form_changes():
    """What becomes of the form when layers and models change under it, and when sensors are named by their place."""
    dialog = open_dialog(OUTPUT="TEMPORARY_OUTPUT")
    form, found = form_of(dialog), {}

    def row(name):
        return {one.name: one for one in form.rows}.get(name)

    layers = {layer.name(): layer for layer in QgsProject.instance().mapLayers().values()}
    layers["elevation"].setName("heights")
    until(lambda: row("dem") and row("dem").layer.currentText() == "heights")
    found["renamed"] = form.text()
    row("optical").layer.setCurrentIndex(row("optical").layer.findText("heights"))
    found["short"] = [row("optical").badge.text(), form.expected.text()]
    row("optical").layer.setCurrentIndex(row("optical").layer.findText("Sentinel-2 of May"))
    row("optical").chosen_bands[0].setCurrentIndex(2)
    QgsProject.instance().removeMapLayer(layers["Sentinel-2 of May"].id())
    row("optical").layer.setCurrentIndex(row("optical").layer.currentIndex())
    until(lambda: row("optical") and row("optical").badge.text() == "✕ not there")
    found["gone"] = form.expected.text()
    dialog.mainWidget().wrappers["MODEL"].setParameterValue(TASK["other"], QgsProcessingContext())
    found["other"] = form.text()
    until(lambda: form.facts)
    dialog.close()
    named = open_dialog(SENSOR_3=TASK["rows"][2], OUTPUT="TEMPORARY_OUTPUT")
    (form,) = [one for one in named.findChildren(QWidget) if type(one).__name__ == "Form"]
    found["named"] = [form.text(), form.state.text()]
    found["made"] = finish(named)["results"]["SCENARIO"]
    named.close()
    return found


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


def batch_of(model, rows, name):
    """A batch with a row for each layer, optional outputs left empty."""
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog

    algorithm = QgsApplication.processingRegistry().createAlgorithmById(ALGORITHM)
    dialog = BatchAlgorithmDialog(algorithm, iface.mainWindow())
    dialog.resize(1100, 500)
    dialog.show()
    panel = dialog.mainWidget()
    panel.clear()
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    for row, layer in enumerate(rows):
        panel.addRow()
        for key, value in {"MODEL": model, "LAYERS": [layer], "DEVICE": "cpu"}.items():
            panel.wrappers[row][panel.parameter_to_column[key]].setParameterValue(value, context)
        cell = panel.tblParameters.cellWidget(row + 1, panel.parameter_to_column["OUTPUT"])
        cell.setValue(os.path.join(TASK["folder"], f"{name}{row}.tif"))
    panel.checkLoadLayersOnCompletion.setChecked(True)
    wait(500)
    picture(dialog, f"{name}-dialog")
    dialog.runButton().click()
    until(lambda: "Batch execution completed" in log_of(dialog))
    wait(1000)
    picture(dialog, f"{name}-log")
    text = log_of(dialog)
    dialog.close()
    return {"log": text, "tree": tree()}


def batch():
    """Three rows of the material."""
    return batch_of(TASK["model"], TASK["rows"], "batch")


def example_batch():
    """Landsat alone, elevation alone, and a mosaic of Landsat's two halves."""
    from robust_landcover.example import folder

    rows = [os.path.join(folder(), name) for name in ("landsat8.tif", "srtm.tif", "landsat8.tif")]
    return batch_of(os.path.join(folder(), "zion-landsat-srtm.onnx"), rows, "example-batch")


def ready_model():
    """The ready model that makes polygons, with the example."""
    from robust_landcover.example import folder

    parameters = {"MODEL": os.path.join(folder(), "zion-landsat-srtm.onnx"), "MINIMUM": 1}
    dialog = processing.createAlgorithmDialog("robustlandcover:mapaspolygons", parameters)
    dialog.resize(900, 620)
    dialog.show()
    wait(1500)
    picture(dialog, "model-dialog")
    found = finish(dialog)
    picture(dialog, "model-log")
    dialog.close()
    iface.zoomFull()
    wait(3000)
    picture(iface.mainWindow(), "model-map")
    return found


def installed(path):
    """A zip by QGIS's own installer."""
    from pyplugin_installer import instance

    instance().installFromZipFile(path)
    wait(1500)
    return {
        "active": "robust_landcover" in utils.active_plugins,
        "version": utils.pluginMetadata("robust_landcover", "version"),
        "algorithm": QgsApplication.processingRegistry().algorithmById(ALGORITHM) is not None,
        "offered": plugin_message(),
    }


def plugin_message():
    message = utils.plugins["robust_landcover"].message
    return message.text() if message is not None else ""


def install():
    return installed(TASK["zip"])


def upgrade():
    found = installed(TASK["newer"])
    picture(iface.mainWindow(), "upgraded")
    return found


def set_up():
    """The engine, from a folder of wheels: asked for at the start, cancelled once, then to its end; a fault before."""
    plugin = utils.plugins["robust_landcover"]
    picture(iface.mainWindow(), "offer")
    plugin.message.findChildren(QPushButton)[-1].click()
    widget = plugin.window.widget
    until(widget.go.isEnabled)
    picture(plugin.window, "setup")
    before = widget.state.text()
    widget.offline.setChecked(True)
    said = []
    for folder, stop in ((TASK["empty"], False), (TASK["wheels"], True), (TASK["wheels"], False)):
        widget.wheels.setFilePath(folder)
        widget.go.click()
        if stop:
            until(lambda: "Processing" in widget.log)
            picture(plugin.window, "setup-running")
            widget.stop.click()
        until(lambda: widget.work is None, 300)
        said.append(widget.step.text())
    picture(plugin.window, "setup-done")
    widget.copy.click()
    until(widget.copy.isEnabled)
    picture(plugin.window, "diagnostics")
    page = plugin.options.createWidget(None)
    page.show()
    wait(500)
    picture(page, "options-page")
    page.close()
    after, copied = widget.state.text(), QApplication.clipboard().text()
    plugin.window.close()
    return {"before": before, "said": said, "after": after, "copied": copied}


def finish(dialog):
    """Clicks on Run and waits for the end."""
    ended = []
    dialog.algorithmFinished.connect(lambda good, results: ended.append((good, results)))
    dialog.runButton().click()
    until(lambda: ended)
    wait(1000)
    good, results = ended[0]
    return {"good": good, "results": {key: str(value) for key, value in results.items()}, "log": log_of(dialog)}


def form_of(dialog):
    (form,) = [one for one in dialog.findChildren(QWidget) if type(one).__name__ == "Form"]
    until(lambda: form.facts)
    wait(300)
    return form


def example():
    """The example by its menu entry: all sensors, then one of them missing."""
    plugin = utils.plugins["robust_landcover"]
    before = set(QApplication.topLevelWidgets())
    plugin.example()
    (dialog,) = [one for one in set(QApplication.topLevelWidgets()) - before if type(one).__name__ == "AlgorithmDialog"]
    dialog.resize(900, 760)
    form = form_of(dialog)
    picture(dialog, "example-form")
    first = finish(dialog)
    iface.zoomFull()
    wait(3000)
    picture(iface.mainWindow(), "example-map")
    dialog.showParameters() if hasattr(dialog, "showParameters") else dialog.mainWidget()
    row = {one.name: one for one in form.rows}["optical"]
    row.layer.setCurrentIndex(row.layer.findData(""))
    picture(dialog, "example-missing")
    second = finish(dialog)
    wait(3000)
    picture(iface.mainWindow(), "example-missing-map")
    dialog.close()
    return {"first": first, "second": second, "expected": form.expected.text(), "tree": tree()}


def remove():
    """The engine again."""
    plugin = utils.plugins["robust_landcover"]
    plugin.set_up()
    widget = plugin.window.widget
    until(widget.go.isEnabled)
    QTimer.singleShot(1000, lambda: QApplication.activeModalWidget().button(QMessageBox.StandardButton.Yes).click())
    widget.drop.click()
    until(lambda: widget.work is None)
    plugin.window.close()
    return {"said": widget.step.text(), "state": widget.state.text()}


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
