"""What the plugin's algorithms share: the model and the layers they look at, and the engine that does the work."""

import os
from functools import partial
from html import escape

from qgis.core import (
    QgsApplication,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFile,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingUtils,
    QgsProject,
)
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon

from .help import page
from .interpreter import SETUP, EngineNotFoundError, find_interpreter
from .layers import LayerError, UsedLayer, gone, project_layers, set_in_qgis, unique_names
from .process import run_job


class EngineAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that the engine does, with a model and layers."""

    MODEL = "MODEL"
    LAYERS = "LAYERS"
    chosen, wanted = False, frozenset()

    def createInstance(self):
        """A fresh one for a run."""
        return type(self)()

    def group(self):
        """As the toolbox shows it."""
        return _tr("Mapping")

    def groupId(self):
        """Fixed for ever."""
        return "mapping"

    def tags(self):
        """Words that find it."""
        return _tr("land cover,classification,deep learning,onnx,multimodal,missing,sensor,segmentation").split(",")

    def icon(self):
        """The plugin's icon."""
        return QIcon(os.path.join(os.path.dirname(__file__), "icon.svg"))

    def helpUrl(self):
        """The help that travels with the plugin."""
        return page(self.name())

    def canExecute(self):
        """Whether there is an engine; if not, what to do."""
        try:
            find_interpreter()
        except EngineNotFoundError as error:
            if QgsApplication.platform() != "desktop":
                return False, str(error)
            link = f'<a href="{SETUP}">{escape(_tr("Set up the engine"))}</a>'
            return False, f"<p>{escape(error.short)}</p><p>{link}</p>"
        return True, ""

    def _add(self, parameter, text, advanced=False):
        """A parameter with its help."""
        parameter.setHelp(text)
        if advanced:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        self.addParameter(parameter)

    def _add_model(self):
        self._add(
            QgsProcessingParameterFile(self.MODEL, _tr("Model"), extension="onnx"),
            _tr("An .onnx file that “engine export” wrote."),
        )

    def _add_layers(self):
        self._add(
            QgsProcessingParameterMultipleLayers(
                self.LAYERS,
                _tr("Layers (none: all rasters of the project that fit)"),
                QgsProcessing.SourceType.TypeRaster,
                optional=True,
            ),
            _tr("The rasters to map from; none chosen means all rasters of the project that fit."),
        )

    def _choice(self, parameters, name, choices, context):
        """One of an option's values, by its name or by its number, which is what qgis_process lists."""
        chosen = self.parameterAsString(parameters, name, context) or choices[0]
        return choices[int(chosen)] if chosen.isdigit() and int(chosen) < len(choices) else chosen

    def _take_layers(self, parameters, context, feedback, wanted=frozenset()):
        """Looks at the layers, which belong to the main thread, and gives those to choose from.

        Args:
            parameters: Of the run.
            context: ``QgsProcessingContext``.
            feedback: ``QgsProcessingFeedback``.
            wanted: Names of layers that are to be taken whatever they are.
        """
        layers = self.parameterAsLayerList(parameters, self.LAYERS, context)
        self.chosen, self.wanted = bool(layers), wanted
        if not layers:
            layers = project_layers(context.project() or QgsProject.instance(), wanted, feedback)
        return self._taken(layers, feedback)

    def _taken(self, layers, feedback):
        """Layers with what another thread needs of them."""
        taken = []
        for layer, name in zip(layers, unique_names(layers)):
            if not layer.isValid() or gone(layer):
                raise QgsProcessingException(
                    _tr("Layer {} cannot be read: {} does not exist or is no raster").format(name, layer.source())
                )
            if layer.providerType() == "gdal" and set_in_qgis(layer):
                feedback.pushWarning(
                    _tr(
                        "{}: the nodata value or coordinate reference system set in QGIS is not used; the file's is"
                    ).format(name)
                )
            taken.append(UsedLayer(layer, name))
        return taken

    def _described_layers(self, model, layers, extent, context, feedback, needed=False):
        """Layers as a job names them; what GDAL does not read is copied for the extent.

        Args:
            model: Path of the model.
            layers: See :meth:`_take_layers`.
            extent: ``QgsReferencedRectangle`` to map, or None.
            context: ``QgsProcessingContext``.
            feedback: ``QgsProcessingFeedback``.
            needed: Whether none of them can be left out.
        """
        folder = QgsProcessingUtils.generateTempFilename("layers")
        os.makedirs(folder, exist_ok=True)
        described = []
        for layer in layers:
            if layer.path is None and self.wanted and layer.name not in self.wanted and not needed:
                continue  # it would be copied for nothing
            try:
                described.append(layer.described(extent, partial(_pixel_size, model), folder, context, feedback))
            except LayerError as error:
                if needed or self.chosen or layer.name in self.wanted:
                    raise
                feedback.pushWarning(_tr("{}; it is left out").format(error))
        return described


def _pixel_size(model):
    """Of a model in metres on the ground."""
    return run_job(find_interpreter(), {"task": "describe", "model": model})["metadata"]["pixel_size"]["metres"]


def _tr(text):
    return QCoreApplication.translate("Algorithm", text)
