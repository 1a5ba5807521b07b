"""Ready Processing models that travel with the plugin, as algorithms of its provider."""

import glob
import os

from qgis.core import QgsProcessingModelAlgorithm
from qgis.PyQt.QtCore import QCoreApplication

FOLDER = os.path.join(os.path.dirname(__file__), "models")


class ReadyModel(QgsProcessingModelAlgorithm):
    """A model from a file, under a name that is fixed for ever: its file's.

    Args:
        path: The ``.model3`` file.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.loaded = self.fromFile(path)

    def createInstance(self):
        """A fresh one for a run."""
        return ReadyModel(self.path)

    def name(self):
        """Scripts and models name it."""
        return os.path.splitext(os.path.basename(self.path))[0]

    def displayName(self):
        """As the toolbox shows it."""
        titles = {
            "mapaspolygons": _tr("Map as polygons"),
            "changeoftwodates": _tr("Change between two dates"),
        }
        return titles.get(self.name(), self.name())

    def group(self):
        """As the toolbox shows it."""
        return _tr("Ready models")

    def groupId(self):
        """Fixed for ever."""
        return "models"


def ready_models():
    """All that load without an error."""
    models = [ReadyModel(path) for path in sorted(glob.glob(os.path.join(glob.escape(FOLDER), "*.model3")))]
    return [model for model in models if model.loaded]


def _tr(text):
    return QCoreApplication.translate("ReadyModel", text)
