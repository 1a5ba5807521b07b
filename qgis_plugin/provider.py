"""The Processing provider: its algorithms, and its one setting."""

import os

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon

from .change import Change
from .interpreter import KEY
from .mapfolder import MapFolder
from .matchlayers import MatchLayers
from .modelinfo import ModelInfo
from .polygonize import Polygonize
from .ready import ready_models
from .segment import Segment
from .statistics import Statistics

ICON = os.path.join(os.path.dirname(__file__), "icon.svg")


class Provider(QgsProcessingProvider):
    """Land-cover algorithms that the engine runs."""

    def id(self):
        """Fixed for ever: scripts and models name it."""
        return "robustlandcover"

    def name(self):
        """As the toolbox shows it."""
        return "Robust land cover"

    def icon(self):
        """The plugin's icon."""
        return QIcon(ICON)

    def svgIconPath(self):
        """The plugin's icon."""
        return ICON

    def supportedOutputRasterLayerExtensions(self):
        """The engine writes GeoTIFF."""
        return ["tif"]

    def supportedOutputVectorLayerExtensions(self):
        """The engine writes GeoPackages."""
        return ["gpkg"]

    def supportedOutputTableExtensions(self):
        """The engine writes CSV."""
        return ["csv"]

    def load(self):
        """Adds the setting under Options, Processing, Providers; then the algorithms."""
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        text = QCoreApplication.translate("Provider", "Python interpreter that has the engine")
        ProcessingConfig.addSetting(Setting(self.name(), KEY, text, "", valuetype=Setting.FILE))
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self):
        """Takes the setting away again."""
        ProcessingConfig.removeSetting(KEY)

    def loadAlgorithms(self):
        """One class an algorithm, and the ready models that are made of them."""
        for algorithm in (Segment, MatchLayers, ModelInfo, MapFolder, Polygonize, Statistics, Change):
            self.addAlgorithm(algorithm())
        for model in ready_models():
            self.addAlgorithm(model)
