"""The algorithm "Robust land-cover segmentation"."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsReferencedRectangle,
)
from qgis.PyQt.QtCore import QCoreApplication, QTime

from .algorithm import EngineAlgorithm
from .area import area_file
from .assignment import layer_names, parts
from .interpreter import EngineNotFoundError, find_interpreter
from .layers import LayerError
from .process import EngineCancelledError, EngineError, run_job
from .results import Run

ORDERS = ("given", "finest", "newest")

DEVICES = ("auto", "cpu", "cuda", "tensorrt", "directml", "coreml")


class Segment(EngineAlgorithm):
    """Maps land cover with a model, from whichever of its sensors are loaded."""

    ASSIGNMENT = "ASSIGNMENT"
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
    SCENARIO = "SCENARIO"
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
            QgsProcessingParameterFeatureSource(
                self.AREA, _tr("Area"), [QgsProcessing.SourceType.TypeVectorPolygon], optional=True
            ),
            _tr("Polygons, all or the selected ones; what lies outside of them is neither read nor mapped."),
        )
        self._add_options()
        self._add_outputs()

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
            QgsProcessingParameterBoolean(self.STRICT, _tr("Refuse values that the training never saw"), False),
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
        self.addOutput(QgsProcessingOutputString(self.SCENARIO, _tr("Sensors mapped from")))
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
        self.layers = self._take_layers(parameters, context, feedback, layer_names(self.assignment))
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
        masks = self.parameterAsString(parameters, self.MASKS, context)
        self.masks = _named_by_path(masks, context.project() or QgsProject.instance())
        like = self.parameterAsRasterLayer(parameters, self.LIKE, context)
        self.like = None if like is None else like.source()
        return True

    def processAlgorithm(self, parameters, context, feedback):
        """Runs the engine; see :meth:`shortHelpString`."""
        model = self.parameterAsFile(parameters, self.MODEL, context)
        outputs = {name: self._written(parameters, name, context) for name in self.RASTERS}
        outputs = {name: path for name, path in outputs.items() if path}
        try:
            job = {
                "task": "segment",
                "model": model,
                "layers": self._described_layers(model, self.layers, self.extent, context, feedback),
                "assignment": self.assignment,
                "keep": not outputs[self.OUTPUT].startswith(QgsProcessingUtils.tempFolder()),
                "options": {
                    **{name.lower(): path for name, path in outputs.items()},
                    **self._options(parameters, context),
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
        return {**outputs, self.SCENARIO: result["scenario"], self.DEVICE_USED: result["device"]}

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


def _named_by_path(masks, project):
    """Masks with their layers named by their sources, as the engine knows them."""
    layers = {
        layer.name(): layer.source() for layer in project.mapLayers().values() if isinstance(layer, QgsRasterLayer)
    }
    found = []
    for part in parts(masks):
        modality, equals, written = (piece.strip() for piece in part.partition("="))
        for name in sorted(layers, key=len, reverse=True):
            if written == name or written.startswith((f"{name}:", f"{name}@")):
                written = layers[name] + written[len(name) :]
                break
        found.append(f"{modality}{equals}{written}")
    return found


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
