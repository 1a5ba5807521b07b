"""The algorithm "Robust land-cover segmentation"."""

import os

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingOutputString,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFile,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
    QgsProcessingUtils,
    QgsProject,
    QgsReferencedRectangle,
)
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon

from .interpreter import EngineNotFoundError, find_interpreter
from .layers import LayerError, UsedLayer, gone, project_layers, set_in_qgis, unique_names
from .process import EngineCancelledError, EngineError, run_job

ORDERS = ("given", "finest", "newest")

DEVICES = ("auto", "cpu", "cuda", "tensorrt", "directml", "coreml")


class _Styler(QgsProcessingLayerPostProcessorInterface):
    """Gives a class map the style that the engine wrote beside it; Processing does not look for one."""

    def postProcessLayer(self, layer, context, feedback):
        layer.loadNamedStyle(os.path.splitext(layer.source())[0] + ".qml")


STYLER = _Styler()
"""QGIS does not keep it alive: it must stay referenced."""

_metadata_of = {}
"""Of each model by (path, time of its change): asked for by every check of the parameters."""


class Segment(QgsProcessingAlgorithm):
    """Maps land cover with a model, from whichever of its sensors are loaded."""

    MODEL = "MODEL"
    LAYERS = "LAYERS"
    ASSIGNMENT = "ASSIGNMENT"
    EXTENT = "EXTENT"
    DEVICE = "DEVICE"
    OUTPUT = "OUTPUT"
    CONFIDENCE = "CONFIDENCE"
    AVAILABILITY = "AVAILABILITY"
    ORIGIN = "ORIGIN"
    MOSAIC = "MOSAIC"
    SCENARIO = "SCENARIO"
    DEVICE_USED = "DEVICE_USED"

    def createInstance(self):
        """A fresh one for a run."""
        return Segment()

    def name(self):
        """Fixed for ever: scripts and models name it."""
        return "segment"

    def displayName(self):
        """As the toolbox shows it."""
        return _tr("Robust land-cover segmentation")

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

    def shortDescription(self):
        """One sentence."""
        return _tr("Maps land cover with a model, from whichever of its sensors are loaded.")

    def shortHelpString(self):
        """What stands beside the parameters."""
        return _tr(
            "Maps land cover with one model from whatever subset of its sensors is there, pixel by pixel: where a "
            "layer has no data, the pixel is mapped by the others.\n\n"
            "<b>Model</b>: an .onnx file of the engine (engine export).\n"
            "<b>Layers</b>: the rasters to map from; none chosen means all rasters of the project that fit. They may "
            "differ in coordinate reference system, resolution and extent.\n"
            "<b>Assignment</b>: which layer is which sensor, if that should not be found out: "
            "<i>modality=layer[@bands];...</i>, as in <i>optical=Sentinel-2@4,3,2;dem=srtm</i>. Bands are numbers or "
            "names; layers are names or paths. A modality that comes again with all its bands is a mosaic: "
            "<i>optical=west;optical=east</i>.\n"
            "<b>Extent</b>: the part to map; all of it where empty.\n"
            "<b>Device</b>: auto takes a GPU where the engine has one that works.\n\n"
            "<b>Class map</b>: class values with the model's colours and names; 255 (65535 in 16 bits) where no sensor "
            "has data.\n"
            "<b>Confidence</b>: probability of the class in percent.\n"
            "<b>Availability</b>: which sensors each pixel had, as bits in the model's order.\n"
            "<b>Origin</b>: which layer of a mosaic each pixel was read from, a band for each sensor.\n\n"
            "The log says which layer was taken for which sensor and why, the engine's command line, and which share "
            "of the map was made by which sensors."
        )

    def canExecute(self):
        """Whether there is an engine; if not, what to do."""
        try:
            find_interpreter()
        except EngineNotFoundError as error:
            return False, str(error)
        return True, ""

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self.addParameter(QgsProcessingParameterFile(self.MODEL, _tr("Model"), extension="onnx"))
        self.addParameter(
            QgsProcessingParameterMultipleLayers(
                self.LAYERS,
                _tr("Layers (none: all rasters of the project that fit)"),
                QgsProcessing.SourceType.TypeRaster,
                optional=True,
            )
        )
        self.addParameter(
            QgsProcessingParameterString(self.ASSIGNMENT, _tr("Assignment (modality=layer[@bands];...)"), optional=True)
        )
        self.addParameter(QgsProcessingParameterExtent(self.EXTENT, _tr("Extent"), optional=True))
        device = QgsProcessingParameterEnum(
            self.DEVICE, _tr("Device"), list(DEVICES), defaultValue="auto", usesStaticStrings=True
        )
        order = QgsProcessingParameterEnum(
            self.MOSAIC, _tr("First in a mosaic"), list(ORDERS), defaultValue="given", usesStaticStrings=True
        )
        for advanced in (device, order):
            advanced.setFlags(advanced.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
            self.addParameter(advanced)
        self.addParameter(QgsProcessingParameterRasterDestination(self.OUTPUT, _tr("Class map")))
        optional = ((self.CONFIDENCE, _tr("Confidence")), (self.AVAILABILITY, _tr("Availability")))
        for name, text in (*optional, (self.ORIGIN, _tr("Origin"))):
            self.addParameter(QgsProcessingParameterRasterDestination(name, text, optional=True, createByDefault=False))
        self.addOutput(QgsProcessingOutputString(self.SCENARIO, _tr("Sensors mapped from")))
        self.addOutput(QgsProcessingOutputString(self.DEVICE_USED, _tr("Device used")))

    def checkParameterValues(self, parameters, context):
        """Also reads the model's metadata, and the assignment with it."""
        good, message = super().checkParameterValues(parameters, context)
        if not good:
            return good, message
        try:
            metadata = self._metadata(self.parameterAsFile(parameters, self.MODEL, context))
        except (EngineError, EngineNotFoundError) as error:
            return False, str(error)
        known = [modality["name"] for modality in metadata["modalities"]]
        for part in _parts(self.parameterAsString(parameters, self.ASSIGNMENT, context)):
            modality, equals, layer = (piece.strip() for piece in part.partition("="))
            if not (modality and equals and layer):
                return False, _tr("Assignment “{}”: expected modality=layer or modality=layer@1,2").format(part)
            if modality not in known:
                return False, _tr("Assignment “{}”: the model has no modality {}; it has {}").format(
                    part, modality, ", ".join(known)
                )
        return True, ""

    def _metadata(self, path):
        key = (path, os.path.getmtime(path) if os.path.exists(path) else None)
        if key not in _metadata_of:
            _metadata_of[key] = run_job(find_interpreter(), {"task": "describe", "model": path})["metadata"]
        return _metadata_of[key]

    def prepareAlgorithm(self, parameters, context, feedback):
        """Looks at the layers, which belong to the main thread."""
        self.assignment = self.parameterAsString(parameters, self.ASSIGNMENT, context)
        layers = self.parameterAsLayerList(parameters, self.LAYERS, context)
        self.chosen = bool(layers)
        self.wanted = {part.partition("=")[2].strip() for part in _parts(self.assignment)}
        self.wanted |= {name.rpartition("@")[0] for name in self.wanted}
        if not layers:
            layers = project_layers(context.project() or QgsProject.instance(), self.wanted, feedback)
        self.layers = []
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
            self.layers.append(UsedLayer(layer, name))
        if not self.layers and not self.assignment.strip():
            raise QgsProcessingException(
                _tr(
                    "There is no layer to map from: load some of the model's sensors into the project, or choose layers"
                )
            )
        rectangle = self.parameterAsExtent(parameters, self.EXTENT, context)
        self.extent = None
        if not rectangle.isNull():
            crs = self.parameterAsExtentCrs(parameters, self.EXTENT, context)
            self.extent = QgsReferencedRectangle(rectangle, crs)
        return True

    def processAlgorithm(self, parameters, context, feedback):
        """Runs the engine; see :meth:`shortHelpString`."""
        model = self.parameterAsFile(parameters, self.MODEL, context)
        outputs = {self.OUTPUT: self.parameterAsOutputLayer(parameters, self.OUTPUT, context)}
        for name in (self.CONFIDENCE, self.AVAILABILITY, self.ORIGIN):
            if parameters.get(name):
                outputs[name] = self.parameterAsOutputLayer(parameters, name, context)
        try:
            options = {
                **{name.lower(): path for name, path in outputs.items()},
                "mosaic": self.parameterAsString(parameters, self.MOSAIC, context) or ORDERS[0],
                "device": self.parameterAsString(parameters, self.DEVICE, context) or DEVICES[0],
                "overwrite": True,  # QGIS has asked
            }
            job = {
                "task": "segment",
                "model": model,
                "layers": self._described_layers(model, context, feedback),
                "assignment": self.assignment,
                "keep": not outputs[self.OUTPUT].startswith(QgsProcessingUtils.tempFolder()),
                "options": options,
            }
            if self.extent is not None:
                crs = self.extent.crs()
                options["bounds"] = [
                    self.extent.xMinimum(),
                    self.extent.yMinimum(),
                    self.extent.xMaximum(),
                    self.extent.yMaximum(),
                ]
                options["bounds_crs"] = _known(crs) if crs.isValid() else None
            result = run_job(find_interpreter(), job, feedback)
        except EngineCancelledError:
            return {}
        except (EngineError, EngineNotFoundError, LayerError) as error:
            raise QgsProcessingException(str(error)) from error
        self._tell(result, feedback)
        path = outputs[self.OUTPUT]
        if context.willLoadLayerOnCompletion(path):
            details = context.layerToLoadOnCompletionDetails(path)
            details.setPostProcessor(STYLER)
            details.name = _tr("Land cover ({model}: {scenario})").format(**result)
        return {**outputs, self.SCENARIO: result["scenario"], self.DEVICE_USED: result["device"]}

    def _described_layers(self, model, context, feedback):
        pixel = self._metadata(model)["pixel_size"]["metres"]
        folder = QgsProcessingUtils.generateTempFilename("layers")
        os.makedirs(folder, exist_ok=True)
        described = []
        for layer in self.layers:
            if layer.path is None and self.wanted and layer.name not in self.wanted:
                continue  # it would be copied for nothing
            try:
                described.append(layer.described(self.extent, pixel, folder, context, feedback))
            except LayerError as error:
                if self.chosen or layer.name in self.wanted:
                    raise
                feedback.pushWarning(_tr("{}; it is left out").format(error))
        return described

    def _tell(self, result, feedback):
        feedback.pushInfo(
            _tr("{width} x {height} pixels in {seconds:.1f} s on {device}").format(
                **{**result, "device": result["device"].upper()}
            )
        )
        for scenario, share in result["shares"].items():
            feedback.pushInfo(f"  {share:7.2%}  {scenario}")


def _known(crs):
    """A CRS as PROJ knows it: the user's own have numbers that only QGIS knows."""
    return crs.authid() if crs.authid().startswith("EPSG:") else crs.toWkt()


def _parts(assignment):
    return [part.strip() for part in assignment.split(";") if part.strip()]


def _tr(text):
    return QCoreApplication.translate("Segment", text)
