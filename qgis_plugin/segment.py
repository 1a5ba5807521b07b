"""The algorithm "Robust land-cover segmentation"."""

import json
import os

from qgis.core import (
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingUtils,
    QgsProject,
    QgsReferencedRectangle,
)
from qgis.PyQt.QtCore import QCoreApplication, QTime

from .algorithm import EngineAlgorithm
from .area import area_file
from .assignment import NONE, is_open, layer_names, parts
from .interpreter import EngineNotFoundError, find_interpreter
from .layers import LayerError, masks_by_path
from .options import GROUPS, more_options, more_parameters
from .process import EngineCancelledError, EngineError, run_job
from .results import Run

ORDERS = ("given", "finest", "newest")

DEVICES = ("auto", "cpu", "cuda", "tensorrt", "directml", "coreml")


class Segment(EngineAlgorithm):
    """Maps land cover with a model, from whichever of its sensors are loaded."""

    ASSIGNMENT = "ASSIGNMENT"
    SENSORS = tuple(f"SENSOR_{number}" for number in range(1, 9))
    BANDS = "BANDS"
    EXTENT = "EXTENT"
    AREA = "AREA"
    MASKS = "MASKS"
    LIKE = "LIKE"
    PIXEL_SIZE = "PIXEL_SIZE"
    STRICT = "STRICT"
    THREADS = "THREADS"
    DEVICE = "DEVICE"
    MOSAIC = "MOSAIC"
    OUTPUT = "OUTPUT"
    CONFIDENCE = "CONFIDENCE"
    PROBABILITIES = "PROBABILITIES"
    AVAILABILITY = "AVAILABILITY"
    ORIGIN = "ORIGIN"
    RASTERS = (OUTPUT, CONFIDENCE, PROBABILITIES, AVAILABILITY, ORIGIN)
    REPORT = "REPORT"
    SCENARIO = "SCENARIO"
    SHARES = "SHARES"
    AREAS = "AREAS"
    MAPPED = "MAPPED"
    DEVICE_USED = "DEVICE_USED"

    def name(self):
        """Fixed for ever: scripts and models name it."""
        return "segment"

    def displayName(self):
        """As the toolbox shows it."""
        return _tr("Robust land-cover segmentation")

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

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self._add_model()
        self._add_layers()
        assignment = QgsProcessingParameterString(
            self.ASSIGNMENT, _tr("Assignment (modality=layer[@bands];...)"), optional=True
        )
        assignment.setMetadata({"widget_wrapper": {"class": f"{__package__}.form.FormWrapper"}})
        self._add(
            assignment,
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
            QgsProcessingParameterFeatureSource(
                self.AREA, _tr("Area"), [QgsProcessing.SourceType.TypeVectorPolygon], optional=True
            ),
            _tr("Polygons, all or the selected ones; what lies outside of them is neither read nor mapped."),
        )
        self._add_sensors()
        self._add_options()
        self._add_outputs()

    def _add_sensors(self):
        """A layer for each sensor by its place, for models and scripts; the dialog has the form for it."""
        for number, name in enumerate(self.SENSORS, 1):
            layer = QgsProcessingParameterRasterLayer(name, _tr("Sensor {}").format(number), optional=True)
            layer.setMetadata({"widget_wrapper": {"class": f"{__package__}.form.SlotWrapper"}})
            text = _tr("The layer of the model's sensor number {}, in place of layers and assignment; its bands follow")
            self._add(layer, text.format(number), advanced=True)
        bands = QgsProcessingParameterString(self.BANDS, _tr("Bands of the sensors' layers"), optional=True)
        bands.setMetadata({"widget_wrapper": {"class": f"{__package__}.form.SlotWrapper"}})
        text = _tr("For sensor 1, 2 and so on, in the model's order, as in 4,3,2;1; where empty, by their names.")
        self._add(bands, text, advanced=True)

    def _add_options(self):
        """What few runs need."""
        self._add(
            QgsProcessingParameterString(self.MASKS, _tr("Masks (modality=mask;...)"), optional=True),
            _tr(
                "What makes pixels of a sensor invalid, as in optical=SCL:scl (Sentinel-2), optical=QA:qa_pixel "
                "(Landsat), optical=clouds:values=1,2, optical=flags:bits=1,3, or polygons by their path. A raster is "
                "named by its layer or its path."
            ),
            advanced=True,
        )
        self._add(
            QgsProcessingParameterRasterLayer(self.LIKE, _tr("Grid of a layer"), optional=True),
            _tr("The map gets the pixels of this layer, whatever the model's pixel size."),
            advanced=True,
        )
        self._add(
            QgsProcessingParameterNumber(
                self.PIXEL_SIZE,
                _tr("Pixel size"),
                QgsProcessingParameterNumber.Type.Double,
                optional=True,
                minValue=0,
            ),
            _tr("In units of the map's coordinate reference system; the model's where empty."),
            advanced=True,
        )
        self._add(
            QgsProcessingParameterBoolean(
                self.STRICT, _tr("Refuse values that the training never saw"), False, optional=True
            ),
            _tr("Where values cannot be those of the training, the run ends with an error instead of a warning."),
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
            QgsProcessingParameterEnum(
                self.DEVICE, _tr("Device"), list(DEVICES), defaultValue="auto", usesStaticStrings=True
            ),
            _tr("Where the network runs, by name; auto takes a GPU where the engine has one that works."),
            advanced=True,
        )
        self._add(
            QgsProcessingParameterNumber(
                self.THREADS,
                _tr("Threads"),
                QgsProcessingParameterNumber.Type.Integer,
                optional=True,
                minValue=1,
            ),
            _tr("Tiles at a time: fewer take less memory and leave processors to other programs. All where empty."),
            advanced=True,
        )
        for parameter, text in more_parameters():
            self._add(parameter, text, advanced=True)

    def _add_outputs(self):
        self._add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, _tr("Class map")),
            _tr("Class values with the model's colours and names; 255 (65535 in 16 bits) where no sensor has data."),
        )
        for name, title, what in (
            (self.CONFIDENCE, _tr("Confidence"), _tr("Probability of each pixel's class in percent.")),
            (
                self.PROBABILITIES,
                _tr("Probabilities"),
                _tr("Probability of every class in percent, a band for each."),
            ),
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
            self._add(QgsProcessingParameterRasterDestination(name, title, optional=True, createByDefault=False), what)
        self._add(
            QgsProcessingParameterFileDestination(
                self.REPORT, _tr("Report on the map"), _tr("HTML files (*.html)"), optional=True
            ),
            _tr(
                "A page on the map: areas by class and sensors, the accuracy to expect, and how it was made. It opens "
                "in the results viewer."
            ),
        )
        self.addOutput(QgsProcessingOutputString(self.SCENARIO, _tr("Sensors mapped from")))
        self.addOutput(QgsProcessingOutputString(self.SHARES, _tr("Share of the pixels by sensors (JSON)")))
        self.addOutput(QgsProcessingOutputString(self.AREAS, _tr("Hectares by class (JSON)")))
        self.addOutput(QgsProcessingOutputNumber(self.MAPPED, _tr("Share of the pixels that are mapped")))
        self.addOutput(QgsProcessingOutputString(self.DEVICE_USED, _tr("Device used")))

    def checkParameterValues(self, parameters, context):
        """Also looks at the forms of assignment and outputs; the engine, which may take long, is not asked here."""
        named = {
            name: self._choice(parameters, name, choices, context)
            for name, choices in ((self.DEVICE, DEVICES), (self.MOSAIC, ORDERS))
        }
        good, message = super().checkParameterValues({**parameters, **named}, context)
        if not good:
            return good, message
        if self.parameterAsString(parameters, self.ASSIGNMENT, context).strip() == NONE:
            return False, self._nothing()
        for part in parts(self.parameterAsString(parameters, self.ASSIGNMENT, context)):
            modality, equals, layer = (piece.strip() for piece in part.partition("="))
            if is_open(part):
                return False, _tr("{}: choose the layer that it is, or “missing”").format(modality)
            if not (modality and equals and layer):
                return False, _tr("Assignment “{}”: expected modality=layer or modality=layer@1,2").format(part)
        if any(parameters.get(name) for name in self.SENSORS) and parameters.get(self.LAYERS):
            return False, _tr("Name layers by sensor or together, not both")
        for part in parts(self.parameterAsString(parameters, GROUPS, context)):
            group, equals, held = (piece.strip() for piece in part.partition("="))
            if not (group and equals and held):
                return False, _tr("Group “{}”: expected group=class,class").format(part)
        for name in self.RASTERS:
            path = self._written(parameters, name, context)
            if path and not path.lower().endswith((".tif", ".tiff")):
                return False, _tr("{}: maps are GeoTIFF files; give it a name that ends in .tif").format(path)
        return True, ""

    def _nothing(self):
        return _tr("There is no layer to map from: load some of the model's sensors into the project, or choose layers")

    def _written(self, parameters, name, context):
        """Where an output goes; empty where it is not wanted, as batch says it: an output without a place."""
        value = parameters.get(name)
        if isinstance(value, QgsProcessingOutputLayerDefinition):
            value = value.sink.valueAsString(context.expressionContext())[0]
        if not value:
            return ""
        if name == self.REPORT:
            return self.parameterAsFileOutput(parameters, name, context)
        return self.parameterAsOutputLayer(parameters, name, context)

    def prepareAlgorithm(self, parameters, context, feedback):
        """Looks at the layers, which belong to the main thread."""
        self.assignment = self.parameterAsString(parameters, self.ASSIGNMENT, context)
        self.sensors = self._take_sensors(parameters, context, feedback)
        self.layers = []
        if self.assignment.strip() or not any(self.sensors):
            self.layers = self._take_layers(parameters, context, feedback, layer_names(self.assignment))
        if not self.layers and not self.assignment.strip() and not any(self.sensors):
            raise QgsProcessingException(self._nothing())
        rectangle = self.parameterAsExtent(parameters, self.EXTENT, context)
        self.extent = None
        if not rectangle.isNull():
            crs = self.parameterAsExtentCrs(parameters, self.EXTENT, context)
            self.extent = QgsReferencedRectangle(rectangle, crs)
        masks = self.parameterAsString(parameters, self.MASKS, context)
        self.masks = masks_by_path(masks, context.project() or QgsProject.instance())
        like = self.parameterAsRasterLayer(parameters, self.LIKE, context)
        self.like = None if like is None else like.source()
        return True

    def _take_sensors(self, parameters, context, feedback):
        """The layers that are named by the place of their sensor, with their bands; None where none is."""
        layers = [self.parameterAsRasterLayer(parameters, name, context) for name in self.SENSORS]
        bands = self.parameterAsString(parameters, self.BANDS, context).split(";")
        bands += [""] * (len(layers) - len(bands))
        taken = iter(self._taken([one for one in layers if one is not None], feedback))
        return [None if one is None else (next(taken), _listed(text)) for one, text in zip(layers, bands)]

    def processAlgorithm(self, parameters, context, feedback):
        """Runs the engine; see :meth:`shortHelpString`."""
        model = self.parameterAsFile(parameters, self.MODEL, context)
        outputs = {name: self._written(parameters, name, context) for name in self.RASTERS}
        outputs = {name: path for name, path in outputs.items() if path}
        report = self._written(parameters, self.REPORT, context)
        try:
            job = {
                "task": "segment",
                "model": model,
                "layers": self._described_layers(model, self.layers, self.extent, context, feedback),
                "assignment": self.assignment,
                "sensors": self._described_sensors(model, context, feedback),
                "insist": self.chosen,
                "keep": not outputs[self.OUTPUT].startswith(QgsProcessingUtils.tempFolder()),
                "options": {
                    **{name.lower(): path for name, path in outputs.items()},
                    **self._options(parameters, context),
                    **({self.REPORT.lower(): report} if report else {}),
                },
            }
            result = run_job(find_interpreter(), job, feedback)
        except EngineCancelledError as cancelled:
            raise QgsProcessingException(_cancelled(cancelled.share, job)) from cancelled
        except (EngineError, EngineNotFoundError, LayerError) as error:
            raise QgsProcessingException(str(error)) from error
        self._tell(result, feedback)
        group = Run(_tr("Land cover: {model}, {time}").format(model=result["model"], time=_now()))
        name = _tr("Land cover ({model}: {scenario})").format(**result)
        for place, (key, path) in enumerate(outputs.items()):
            default = self.parameterDefinition(key).description()
            group.load(context, path, place, default, name if key == self.OUTPUT else None)
        if os.path.exists(report):  # it was warned of what kept it from being written
            outputs[self.REPORT] = report
        return {
            **outputs,
            self.SCENARIO: result["scenario"],
            self.SHARES: json.dumps(result["shares"], ensure_ascii=False),
            self.AREAS: json.dumps(result["areas"], ensure_ascii=False),
            self.MAPPED: result["mapped"],
            self.DEVICE_USED: result["device"],
        }

    def _described_sensors(self, model, context, feedback):
        layers = [one[0] for one in self.sensors if one is not None]
        described = iter(self._described_layers(model, layers, self.extent, context, feedback, needed=True))
        return [None if one is None else {**next(described), "bands": one[1]} for one in self.sensors]

    def _options(self, parameters, context):
        """How to map, as a job has it; what was not chosen is left out."""
        options = {
            "mosaic": self._choice(parameters, self.MOSAIC, ORDERS, context),
            "device": self._choice(parameters, self.DEVICE, DEVICES, context),
            "strict": self.parameterAsBool(parameters, self.STRICT, context),
            "area": area_file(self, self.AREA, parameters, context),
            "masks": self.masks,
            "like": self.like,
            "overwrite": True,  # QGIS has asked
            **more_options(self, parameters, context),
        }
        if parameters.get(self.PIXEL_SIZE) is not None:
            options["pixel_size"] = self.parameterAsDouble(parameters, self.PIXEL_SIZE, context)
        if parameters.get(self.THREADS) is not None:
            options["threads"] = self.parameterAsInt(parameters, self.THREADS, context)
        if self.extent is not None:
            crs, area = self.extent.crs(), self.extent
            options["bounds"] = [area.xMinimum(), area.yMinimum(), area.xMaximum(), area.yMaximum()]
            options["bounds_crs"] = _known(crs) if crs.isValid() else None
        return {name: value for name, value in options.items() if value not in (None, [])}

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
            miou = result["accuracy"].get(scenario)
            known = "" if miou is None else _tr(" (expected mIoU {:.2f})").format(miou)
            feedback.pushInfo(f"  {share:7.2%}  {scenario}{known}")
        for why, share in result["left"].items():
            feedback.pushInfo(f"  {share:7.2%}  " + _tr("left without a class: {}").format(why))
        for scenario, share in result["shares"].items():
            if scenario in result["weak"]:
                feedback.pushWarning(
                    _tr(
                        "{share:.0%} of the map is made from {scenario}, where the model's mIoU was {miou:.2f}: hardly "
                        "better than guessing ({guess:.2f}). Add a layer of another sensor, or do not use that part"
                    ).format(
                        share=share,
                        scenario=scenario,
                        miou=result["accuracy"][scenario],
                        guess=result["guess"],
                    )
                )


def _listed(text):
    return [band.strip() for band in text.split(",") if band.strip()]


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
