"""The algorithm "Show a model's card"."""

from qgis.core import (
    QgsProcessingException,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterFileDestination,
)
from qgis.PyQt.QtCore import QCoreApplication

from .algorithm import EngineAlgorithm
from .interpreter import EngineNotFoundError, find_interpreter
from .process import EngineCancelledError, EngineError, run_job


class ModelInfo(EngineAlgorithm):
    """Says what a model maps, from what, how well in each scenario, and what it learned from."""

    OUTPUT = "OUTPUT"
    NAME = "NAME"
    SENSORS = "SENSORS"
    CLASSES = "CLASSES"

    def name(self):
        """Fixed for ever: scripts and models name it."""
        return "modelinfo"

    def displayName(self):
        """As the toolbox shows it."""
        return _tr("Show a model's card")

    def shortDescription(self):
        """One sentence."""
        return _tr("Says what a model maps, from which sensors, how well with each subset of them, and its licence.")

    def shortHelpString(self):
        """What stands beside the parameters."""
        return _tr(
            "Writes a page that says what a model maps, from which sensors, how well with each subset of them, what it "
            "learned from and under which licence. It opens in the results viewer."
        )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self._add_model()
        self._add(
            QgsProcessingParameterFileDestination(self.OUTPUT, _tr("Card"), _tr("HTML files (*.html)")),
            _tr("The page, an HTML file."),
        )
        self.addOutput(QgsProcessingOutputString(self.NAME, _tr("Name of the model")))
        self.addOutput(QgsProcessingOutputString(self.SENSORS, _tr("Sensors")))
        self.addOutput(QgsProcessingOutputNumber(self.CLASSES, _tr("Number of classes")))

    def processAlgorithm(self, parameters, context, feedback):
        """Asks the engine."""
        model = self.parameterAsFile(parameters, self.MODEL, context)
        path = self.parameterAsFileOutput(parameters, self.OUTPUT, context)
        job = {"task": "card", "model": model, "options": {"output": path}}
        try:
            found = run_job(find_interpreter(), job, feedback)
        except EngineCancelledError as cancelled:
            raise QgsProcessingException(_tr("Cancelled.")) from cancelled
        except (EngineError, EngineNotFoundError) as error:
            raise QgsProcessingException(str(error)) from error
        return {
            self.OUTPUT: path,
            self.NAME: found["model"],
            self.SENSORS: ", ".join(found["sensors"]),
            self.CLASSES: found["classes"],
        }


def _tr(text):
    return QCoreApplication.translate("ModelInfo", text)
