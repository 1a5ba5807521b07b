"""The plugin's life in QGIS: its provider, menu and toolbar icon come with it and go with it."""

import os

from qgis.core import Qgis, QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, QObject, QTimer, QTranslator, QUrl, pyqtSlot
from qgis.PyQt.QtGui import QDesktopServices, QIcon
from qgis.PyQt.QtWidgets import QPushButton
from qgis.utils import iface

from .help import page
from .interpreter import SETUP, EngineNotFoundError, find_interpreter, recover
from .provider import ICON, Provider

MENU = "Robust land cover"


class RobustLandCover(QObject):
    """Registers the Processing provider; ``initProcessing`` alone serves ``qgis_process``."""

    def __init__(self):
        super().__init__()
        self.iface = iface  # None without a window
        self.provider = None
        self.window = self.options = self.message = self.menu = None
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
        from .enginewindow import OptionsPage

        recover()
        self.initProcessing()
        self.options = OptionsPage(self.set_up)
        self.iface.registerOptionsWidgetFactory(self.options)
        QDesktopServices.setUrlHandler(SETUP.partition(":")[0], self.follow)
        self.menu = self.iface.pluginMenu().addMenu(QIcon(ICON), MENU)
        self.action = self.menu.addAction(QIcon(ICON), _tr("Map land cover…"), lambda: self.map())
        self.menu.addAction(_tr("Open the example"), self.example)
        self.menu.addAction(_tr("Set up the engine…"), self.set_up)
        self.menu.addAction(_tr("Help"), self.help)
        self.iface.addToolBarIcon(self.action)
        QTimer.singleShot(0, self._offer)

    def unload(self):
        """Takes all of it away again; what is being set up is stopped."""
        QCoreApplication.removeTranslator(self.translator)
        if self.menu is not None:
            self.iface.removeToolBarIcon(self.action)
            self.iface.pluginMenu().removeAction(self.menu.menuAction())
            self.menu = None
        if self.options is not None:
            QDesktopServices.unsetUrlHandler(SETUP.partition(":")[0])
            self.iface.unregisterOptionsWidgetFactory(self.options)
            self.options = None
        self._withdraw()
        if self.window is not None:
            self.window.widget.cancel()
            self.window.close()
            self.window.deleteLater()
            self.window = None
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None

    def map(self, model=""):
        """Opens the form of the segmentation.

        Args:
            model: Path of the model that is chosen in it.
        """
        from qgis import processing

        dialog = processing.createAlgorithmDialog("robustlandcover:segment", {"MODEL": model} if model else {})
        dialog.show()

    def example(self):
        """Loads the example's scene and opens the form with its model."""
        from .example import open_example

        model = open_example()
        self.iface.zoomFull()
        try:
            find_interpreter()
        except EngineNotFoundError:
            self.set_up()
        else:
            self.map(model)

    def set_up(self):
        """Opens the window in which the engine is set up."""
        from .enginewindow import EngineWindow

        self._withdraw()
        if self.window is None:
            self.window = EngineWindow(self.iface.mainWindow())
            self.window.widget.changed.connect(self._changed)
        self.window.show()
        self.window.raise_()
        self.window.activateWindow()

    def help(self):
        """Opens the help in the browser."""
        QDesktopServices.openUrl(QUrl(page()))

    @pyqtSlot(QUrl)
    def follow(self, _url):
        """A link of the toolbox that opens the window of the engine."""
        self.set_up()

    def _changed(self):
        """What the toolbox says of its algorithms is another thing with another engine."""
        self.provider.refreshAlgorithms()

    def _offer(self):
        """Says at the start that there is no engine, or an old one, with a button."""
        try:
            find_interpreter()
        except EngineNotFoundError as error:
            self.message = self.iface.messageBar().createMessage("Robust land cover", error.short)
            button = QPushButton(_tr("Set up the engine…"))
            button.clicked.connect(self.set_up)
            self.message.layout().addWidget(button)
            self.iface.messageBar().pushWidget(self.message, Qgis.MessageLevel.Info)

    def _withdraw(self):
        if self.message is not None:
            self.iface.messageBar().popWidget(self.message)
            self.message = None


def _tr(text):
    return QCoreApplication.translate("Plugin", text)
