"""Run by a test: the plugin's own widgets under Qt 6, with a stand-in for what of QGIS they use; prints JSON.

``python qt6_widgets.py PLUGIN MODEL EMPTY-FOLDER NAME=RASTER...``
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import types
from typing import Any

from PyQt6.QtCore import QEventLoop, QObject, QTimer, pyqtSignal
from PyQt6.QtWidgets import QApplication, QGroupBox, QLineEdit, QWidget

plugin, model, empty, *rasters = sys.argv[1:]
profile = tempfile.mkdtemp()


class Settings:
    values: dict[str, Any] = {}  # noqa: RUF012

    def value(self, name: str, default: Any = None, type: Any = None) -> Any:  # noqa: A002, ANN401
        return self.values.get(name, default)

    def setValue(self, name: str, value: Any) -> None:  # noqa: ANN401, N802
        self.values[name] = value


class RasterLayer(QObject):
    def __init__(self, path: str, name: str) -> None:
        super().__init__()
        self.path, self.called = path, name

    def name(self) -> str:
        return self.called

    def source(self) -> str:
        return self.path

    def providerType(self) -> str:  # noqa: N802
        return "gdal"

    def isValid(self) -> bool:  # noqa: N802
        return True

    def bandCount(self) -> int:  # noqa: N802
        return 4 if "landsat" in self.path else 1

    def bandName(self, number: int) -> str:  # noqa: N802
        return f"Band {number}"


class Tree(QObject):
    nameChanged = pyqtSignal(object, str)  # noqa: N815


tree = Tree()


class Project(QObject):
    layersAdded = pyqtSignal(list)  # noqa: N815
    layersRemoved = pyqtSignal(list)  # noqa: N815

    def layerTreeRoot(self) -> Tree:  # noqa: N802
        return tree

    def mapLayers(self) -> dict[str, RasterLayer]:  # noqa: N802
        return {text: RasterLayer(text.partition("=")[2], text.partition("=")[0]) for text in rasters}


class FileWidget(QLineEdit):
    StorageMode = types.SimpleNamespace(GetDirectory=1)

    def filePath(self) -> str:  # noqa: N802
        return self.text()

    def setFilePath(self, path: str) -> None:  # noqa: N802
        self.setText(path)

    def setStorageMode(self, mode: int) -> None:  # noqa: N802
        pass


class Module(types.ModuleType):
    """Has any class that is asked for."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def stand_in() -> None:
    """Modules as QGIS has them."""
    for name in ("QtCore", "QtGui", "QtWidgets"):
        sys.modules[f"qgis.PyQt.{name}"] = importlib.import_module(f"PyQt6.{name}")
    for name in ("qgis", "qgis.PyQt", "qgis.core", "qgis.gui", "qgis.utils", "processing", "processing.gui"):
        sys.modules[name] = Module(name)
    sys.modules["qgis.PyQt"].sip = importlib.import_module("PyQt6.sip")
    sys.modules["processing.gui.wrappers"] = Module("wrappers")
    core, gui = sys.modules["qgis.core"], sys.modules["qgis.gui"]
    project = Project()
    core.QgsSettings = Settings
    core.QgsApplication = types.SimpleNamespace(qgisSettingsDirPath=lambda: profile, prefixPath=lambda: "/usr")
    core.QgsProject = types.SimpleNamespace(instance=lambda: project)
    core.QgsRasterLayer = RasterLayer
    core.QgsProcessingFeedback = lambda _log: None
    core.Qgis = types.SimpleNamespace(QGIS_VERSION="stand-in")
    gui.QgsFileWidget = FileWidget
    gui.QgsCollapsibleGroupBox = type("Box", (QGroupBox,), {"setCollapsed": lambda self, on: None})
    gui.QgsOptionsPageWidget, gui.QgsOptionsWidgetFactory = QWidget, QObject


def until(done: Any) -> None:  # noqa: ANN401
    """Lets Qt work until something holds; gives up after a minute."""
    for _ in range(600):
        if done():
            return
        loop = QEventLoop()
        QTimer.singleShot(100, loop.quit)
        loop.exec()
    raise TimeoutError


def main() -> None:
    """Sets up from a folder that has nothing, copies diagnostics, fills the form."""
    application = QApplication([])
    stand_in()
    sys.path.insert(0, plugin)
    engine = importlib.import_module("robust_landcover.enginewindow").EngineWidget()
    engine.show()
    until(engine.go.isEnabled)
    engine.offline.setChecked(True)
    engine.wheels.setFilePath(empty)
    engine.go.click()
    until(lambda: engine.work is None)
    said = [engine.state.text(), engine.step.text()]
    engine.copy.click()
    until(engine.copy.isEnabled)
    form = importlib.import_module("robust_landcover.form").Form()
    form.show()
    form.listen(lambda: model, list)
    form.soon()
    until(lambda: form.facts)
    found: dict[str, Any] = {"setup": said, "form": [form.text(), form.expected.text()]}
    form.rows[0].layer.setCurrentIndex(form.rows[0].layer.findData(""))
    found["dropped"] = [form.text(), form.expected.text()]
    clipboard = application.clipboard()
    found["copied"] = "" if clipboard is None else clipboard.text()
    print(json.dumps(found))  # noqa: T201


main()
