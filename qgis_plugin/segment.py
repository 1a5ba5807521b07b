"""The algorithm "Robust land-cover segmentation"."""

import os
from functools import partial
from html import escape

from qgis.core import (
    QgsApplication,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingOutputLayerDefinition,
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
from qgis.PyQt.QtCore import QCoreApplication, QTime
from qgis.PyQt.QtGui import QIcon

from .assignment import layer_names, parts
from .interpreter import EngineNotFoundError, find_interpreter
from .layers import LayerError, UsedLayer, gone, project_layers, set_in_qgis, unique_names
from .process import EngineCancelledError, EngineError, run_job
from .results import Run

ORDERS = ("given", "finest", "newest")

DEVICES = ("auto", "cpu", "cuda", "tensorrt", "directml", "coreml")


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
    RASTERS = (OUTPUT, CONFIDENCE, AVAILABILITY, ORIGIN)
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
            "layer has no data, the pixel is mapped by the others. Layers may differ in coordinate reference system, "
            "resolution and extent.\n\n"
            "The log says which layer was taken for which sensor and why, the engine's command line, and which share "
            "of the map was made by which sensors."
        )

    def canExecute(self):
        """Whether there is an engine; if not, what to do."""
        try:
            find_interpreter()
        except EngineNotFoundError as error:
            windows = QgsApplication.platform() == "desktop"  # which show it as HTML
            return False, escape(str(error)).replace("\n", "<br>") if windows else str(error)
        return True, ""

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self._add(
            QgsProcessingParameterFile(self.MODEL, _tr("Model"), extension="onnx"),
            _tr("An .onnx file that “engine export” wrote."),
        )
        self._add(
            QgsProcessingParameterMultipleLayers(
                self.LAYERS,
                _tr("Layers (none: all rasters of the project that fit)"),
                QgsProcessing.SourceType.TypeRaster,
                optional=True,
            ),
            _tr("The rasters to map from; none chosen means all rasters of the project that fit."),
        )
        self._add(
            QgsProcessingParameterString(
                self.ASSIGNMENT, _tr("Assignment (modality=layer[@bands];...)"), optional=True
            ),
            _tr(
                "Which layer is which sensor, if that should not be found out, as in "
                "optical=Sentinel-2@4,3,2;dem=srtm. Bands are numbers or names; layers are names or paths, in double "
                "quotes where they hold a sign that stands for something here (; = @). A modality that comes again "
                "with all its bands is a mosaic: optical=west;optical=east."
            ),
        )
        self._add(
            QgsProcessingParameterExtent(self.EXTENT, _tr("Extent"), optional=True),
            _tr("The part to map; all of it where empty."),
        )
        self._add(
            QgsProcessingParameterEnum(
                self.DEVICE, _tr("Device"), list(DEVICES), defaultValue="auto", usesStaticStrings=True
            ),
            _tr("Where the network runs, by name; auto takes a GPU where the engine has one that works."),
            advanced=True,
        )
        self._add(
            QgsProcessingParameterEnum(
                self.MOSAIC, _tr("First in a mosaic"), list(ORDERS), defaultValue="given", usesStaticStrings=True
            ),
            _tr(
                "Which layer is read where several of one sensor have data: the first that was given, the finest, or "
                "the newest."
            ),
            advanced=True,
        )
        self._add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, _tr("Class map")),
            _tr("Class values with the model's colours and names; 255 (65535 in 16 bits) where no sensor has data."),
        )
        for name, text, what in (
            (self.CONFIDENCE, _tr("Confidence"), _tr("Probability of each pixel's class in percent.")),
            (
                self.AVAILABILITY,
                _tr("Availability"),
                _tr("Which sensors each pixel had, as bits in the model's order."),
            ),
            (
                self.ORIGIN,
                _tr("Origin"),
                _tr("Which layer of a mosaic each pixel was read from, a band for each sensor."),
            ),
        ):
            self._add(QgsProcessingParameterRasterDestination(name, text, optional=True, createByDefault=False), what)
        self.addOutput(QgsProcessingOutputString(self.SCENARIO, _tr("Sensors mapped from")))
        self.addOutput(QgsProcessingOutputString(self.DEVICE_USED, _tr("Device used")))

    def _add(self, parameter, text, advanced=False):
        parameter.setHelp(text)
        if advanced:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        self.addParameter(parameter)

    def checkParameterValues(self, parameters, context):
        """Also looks at the forms of assignment and outputs; the engine, which may take long, is not asked here."""
        named = {
            name: self._choice(parameters, name, choices, context)
            for name, choices in ((self.DEVICE, DEVICES), (self.MOSAIC, ORDERS))
        }
        good, message = super().checkParameterValues({**parameters, **named}, context)
        if not good:
            return good, message
        for part in parts(self.parameterAsString(parameters, self.ASSIGNMENT, context)):
            modality, equals, layer = (piece.strip() for piece in part.partition("="))
            if not (modality and equals and layer):
                return False, _tr("Assignment “{}”: expected modality=layer or modality=layer@1,2").format(part)
        for name in self.RASTERS:
            path = self._written(parameters, name, context)
            if path and not path.lower().endswith((".tif", ".tiff")):
                return False, _tr("{}: maps are GeoTIFF files; give it a name that ends in .tif").format(path)
        return True, ""

    def _written(self, parameters, name, context):
        """Where an output goes; empty where it is not wanted, as batch says it: an output without a place."""
        value = parameters.get(name)
        if isinstance(value, QgsProcessingOutputLayerDefinition):
            value = value.sink.valueAsString(context.expressionContext())[0]
        return self.parameterAsOutputLayer(parameters, name, context) if value else ""

    def prepareAlgorithm(self, parameters, context, feedback):
        """Looks at the layers, which belong to the main thread."""
        self.assignment = self.parameterAsString(parameters, self.ASSIGNMENT, context)
        layers = self.parameterAsLayerList(parameters, self.LAYERS, context)
        self.chosen = bool(layers)
        self.wanted = layer_names(self.assignment)
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
        outputs = {name: self._written(parameters, name, context) for name in self.RASTERS}
        outputs = {name: path for name, path in outputs.items() if path}
        try:
            options = {
                **{name.lower(): path for name, path in outputs.items()},
                "mosaic": self._choice(parameters, self.MOSAIC, ORDERS, context),
                "device": self._choice(parameters, self.DEVICE, DEVICES, context),
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
        except EngineCancelledError as cancelled:
            raise QgsProcessingException(_cancelled(cancelled.share, job)) from cancelled
        except (EngineError, EngineNotFoundError, LayerError) as error:
            raise QgsProcessingException(str(error)) from error
        self._tell(result, feedback)
        self.run = Run(_tr("Land cover: {model}, {time}").format(model=result["model"], time=_now()))
        name = _tr("Land cover ({model}: {scenario})").format(**result)
        for place, (key, path) in enumerate(outputs.items()):
            default = self.parameterDefinition(key).description()
            self.run.load(context, path, place, default, name if key == self.OUTPUT else None)
        return {**outputs, self.SCENARIO: result["scenario"], self.DEVICE_USED: result["device"]}

    def _choice(self, parameters, name, choices, context):
        """One of an option's values, by its name or by its number, which is what qgis_process lists."""
        chosen = self.parameterAsString(parameters, name, context) or choices[0]
        return choices[int(chosen)] if chosen.isdigit() and int(chosen) < len(choices) else chosen

    def _described_layers(self, model, context, feedback):
        folder = QgsProcessingUtils.generateTempFilename("layers")
        os.makedirs(folder, exist_ok=True)
        described = []
        for layer in self.layers:
            if layer.path is None and self.wanted and layer.name not in self.wanted:
                continue  # it would be copied for nothing
            try:
                described.append(layer.described(self.extent, partial(_pixel_size, model), folder, context, feedback))
            except LayerError as error:
                if self.chosen or layer.name in self.wanted:
                    raise
                feedback.pushWarning(_tr("{}; it is left out").format(error))
        return described

    def _tell(self, result, feedback):
        if result["resumed"]:
            feedback.pushInfo(
                _tr("{:.0%} of the map was there already, from a run that did not end").format(result["resumed"])
            )
        feedback.pushInfo(
            _tr("{width} x {height} pixels in {seconds:.1f} s on {device}").format(
                **{**result, "device": result["device"].upper()}
            )
        )
        for scenario, share in result["shares"].items():
            feedback.pushInfo(f"  {share:7.2%}  {scenario}")


def _pixel_size(model):
    """Of a model in metres on the ground."""
    return run_job(find_interpreter(), {"task": "describe", "model": model})["metadata"]["pixel_size"]["metres"]


def _cancelled(share, job):
    """What a cancelled run leaves, in words."""
    if not job["keep"]:
        return _tr("Cancelled. A temporary map is not kept; nothing was written.")
    return _tr(
        "Cancelled. {share:.0%} of the map is kept in {folder}; run again with the same inputs and output to go on "
        "from there, or delete the folder."
    ).format(share=share, folder=job["options"]["output"] + ".part")


def _now():
    return QTime.currentTime().toString("HH:mm:ss")


def _known(crs):
    """A CRS as PROJ knows it: the user's own have numbers that only QGIS knows."""
    return crs.authid() if crs.authid().startswith("EPSG:") else crs.toWkt()


def _tr(text):
    return QCoreApplication.translate("Segment", text)
