"""The plugin's life in QGIS: its provider comes with it and goes with it."""

import os

from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, QTranslator

from .provider import Provider


class RobustLandCover:
    """Registers the Processing provider; ``initProcessing`` alone serves ``qgis_process``."""

    def __init__(self):
        self.provider = None
        locale = str(QgsSettings().value("locale/userLocale", "en"))[:2]
        path = os.path.join(os.path.dirname(__file__), "i18n", f"robust_landcover_{locale}.qm")
        self.translator = QTranslator()
        if os.path.exists(path) and self.translator.load(path):
            QCoreApplication.installTranslator(self.translator)

    def initProcessing(self):
        """Adds the provider to the toolbox."""
        self.provider = Provider()
        QgsApplication.processingRegistry().addProvider(self.provider)
        self.provider.refreshAlgorithms()  # ready models find the provider's own algorithms only now

    def initGui(self):
        """Called by QGIS with a window."""
        self.initProcessing()

    def unload(self):
        """Takes the provider away again."""
        QCoreApplication.removeTranslator(self.translator)
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
