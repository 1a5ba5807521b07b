"""The algorithm "Match layers with a model": which layer would serve which sensor, before anything is mapped."""

from qgis.core import QgsProcessingException, QgsProcessingOutputString
from qgis.PyQt.QtCore import QCoreApplication

from .algorithm import EngineAlgorithm
from .interpreter import EngineNotFoundError, find_interpreter
from .layers import LayerError
from .process import EngineCancelledError, EngineError, run_job


class MatchLayers(EngineAlgorithm):
    """Says which layer would serve which of a model's sensors, and why."""

    ASSIGNMENT = "ASSIGNMENT"
    SCENARIO = "SCENARIO"

    def name(self):
        """Fixed for ever: scripts and models name it."""
        return "matchlayers"

    def displayName(self):
        """As the toolbox shows it."""
        return _tr("Match layers with a model")

    def shortDescription(self):
        """One sentence."""
        return _tr("Says which layer would serve which of a model's sensors, and why.")

    def shortHelpString(self):
        """What stands beside the parameters."""
        return _tr(
            "Says which layer would serve which of a model's sensors, and why, without mapping anything. The output "
            "“Assignment” can be given to “Robust land-cover segmentation” as it is, or changed before."
        )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self._add_model()
        self._add_layers()
        self.addOutput(QgsProcessingOutputString(self.ASSIGNMENT, _tr("Assignment")))
        self.addOutput(QgsProcessingOutputString(self.SCENARIO, _tr("Sensors to map from")))

    def prepareAlgorithm(self, parameters, context, feedback):
        """Looks at the layers, which belong to the main thread."""
        self.layers = self._take_layers(parameters, context, feedback)
        return True

    def processAlgorithm(self, parameters, context, feedback):
        """Asks the engine."""
        model = self.parameterAsFile(parameters, self.MODEL, context)
        try:
            layers = self._described_layers(model, self.layers, None, context, feedback)
            found = run_job(find_interpreter(), {"task": "match", "model": model, "layers": layers}, feedback)
        except EngineCancelledError as cancelled:
            raise QgsProcessingException(_tr("Cancelled.")) from cancelled
        except (EngineError, EngineNotFoundError, LayerError) as error:
            raise QgsProcessingException(str(error)) from error
        for texts in (found["tied"], found["asked"]):
            for name, many in texts.items():
                feedback.pushWarning(_tr("{}: choose one: {}").format(name, _tr(" or ").join(many)))
        return {self.ASSIGNMENT: found["assignment"], self.SCENARIO: found["scenario"]}


def _tr(text):
    return QCoreApplication.translate("MatchLayers", text)
