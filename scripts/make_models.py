"""Makes the ready Processing models in ``models/``, with the Python of QGIS 3.22, whose files all later ones read.

``QT_QPA_PLATFORM=offscreen python3 scripts/make_models.py``, where QGIS and an interpreter with the engine are set up.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from package_plugin import build
from qgis.core import (
    QgsApplication,
    QgsProcessing,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
)
from qgis.PyQt.QtCore import QPointF

ROOT = Path(__file__).resolve().parent.parent
Source = QgsProcessingModelChildParameterSource
MODEL_HELP = "An .onnx file that “engine export” wrote."
"""Of the parameter that every model has."""


class Making:
    """A model in the making.

    Args:
        title: As the modeler shows it.
        text: What it does.
    """

    def __init__(self, title: str, text: str) -> None:
        self.model = QgsProcessingModelAlgorithm(title, "Ready models")
        self.help = {"ALG_DESC": text, "ALG_CREATOR": "Robust Land Cover contributors"}
        self.inputs = self.children = 0

    def add(self, parameter: QgsProcessingParameterDefinition, text: str) -> None:
        """Adds an input with its help."""
        place = QgsProcessingModelParameter(parameter.name())
        place.setPosition(QPointF(150 + 230 * self.inputs, 80))
        self.inputs += 1
        self.model.addModelParameter(parameter, place)
        self.help[parameter.name()] = text

    def run(
        self, child_id: str, algorithm: str, sources: dict[str, object], outputs: dict[str, tuple[str, str]]
    ) -> None:
        """Adds a step.

        Args:
            child_id: Its name within the model.
            algorithm: Of the plugin's provider.
            sources: Where each of its parameters comes from: the name of an input, or step and output.
            outputs: Which of its outputs are the model's, with title and help.
        """
        child = QgsProcessingModelChildAlgorithm(f"robustlandcover:{algorithm}")
        if child.algorithm() is None:
            raise ValueError(f"there is no algorithm {algorithm}")
        child.setChildId(child_id)
        child.setDescription(child.algorithm().displayName())
        child.setPosition(QPointF(200 + 320 * self.children, 260 + 60 * self.children))
        self.children += 1
        for name, source in sources.items():
            taken = Source.fromModelParameter(source) if isinstance(source, str) else Source.fromChildOutput(*source)
            child.addParameterSources(name, [taken])
        for (
            definition
        ) in child.algorithm().parameterDefinitions():  # what is neither given nor optional has its default
            optional = definition.flags() & QgsProcessingParameterDefinition.Flag.FlagOptional
            if not (definition.isDestination() or definition.name() in sources or optional):
                child.addParameterSources(definition.name(), [Source.fromStaticValue(definition.defaultValue())])
        given = {}
        for name, (title, text) in outputs.items():
            output = QgsProcessingModelOutput(title, title)
            output.setChildId(child_id)
            output.setChildOutputName(name)
            output.setPosition(child.position() + QPointF(0, 90 + 40 * len(given)))
            given[title] = output
            self.help[f"{child_id}:{title}"] = text
        child.setModelOutputs(given)
        self.model.addChildAlgorithm(child)

    def write(self, name: str) -> None:
        """Writes the file."""
        self.model.setHelpContent(self.help)
        good, message = self.model.validate()
        path = ROOT / "models" / f"{name}.model3"
        if not (good and self.model.toFile(str(path))):
            raise ValueError(f"{path} cannot be made: {message}")
        print(path)


def model_file() -> QgsProcessingParameterFile:
    """The parameter for the engine's model."""
    return QgsProcessingParameterFile("MODEL", "Model", extension="onnx")


def layers(name: str, title: str, optional: bool) -> QgsProcessingParameterMultipleLayers:
    """A parameter for rasters to map from."""
    return QgsProcessingParameterMultipleLayers(name, title, QgsProcessing.SourceType.TypeRaster, optional=optional)


def map_as_polygons() -> None:
    """Map, and make polygons with a minimum mapping unit."""
    made = Making(
        "Map as polygons",
        "Maps land cover from whichever of a model's sensors are there, and makes polygons of the map with mean "
        "confidence and the sensors that most of their pixels had. Regions below a minimum area are merged into the "
        "class that they share the longest border with.",
    )
    made.add(model_file(), MODEL_HELP)
    made.add(
        layers("LAYERS", "Layers (none: all rasters of the project that fit)", True),
        "The rasters to map from; none chosen means all rasters of the project that fit.",
    )
    made.add(
        QgsProcessingParameterFeatureSource(
            "AREA", "Area", [QgsProcessing.SourceType.TypeVectorPolygon], optional=True
        ),
        "Polygons, all or the selected ones; what lies outside of them is neither read nor mapped.",
    )
    made.add(
        QgsProcessingParameterNumber(
            "MINIMUM", "Minimum area in hectares", QgsProcessingParameterNumber.Type.Double, 1.0, minValue=0
        ),
        "Smaller regions become part of their neighbours; 0 keeps all.",
    )
    made.run(
        "segment",
        "segment",
        {"MODEL": "MODEL", "LAYERS": "LAYERS", "AREA": "AREA"},
        {"OUTPUT": ("Class map", "The map as it is, before anything is merged.")},
    )
    made.run(
        "polygonize",
        "polygonize",
        {
            "INPUT": ("segment", "OUTPUT"),
            "CONFIDENCE": ("segment", "CONFIDENCE"),
            "AVAILABILITY": ("segment", "AVAILABILITY"),
            "MINIMUM": "MINIMUM",
        },
        {"OUTPUT": ("Polygons", "The polygons, a GeoPackage with its style.")},
    )
    made.write("mapaspolygons")


def change_of_two_dates() -> None:
    """Map two dates on one grid, and compare them."""
    made = Making(
        "Change between two dates",
        "Maps two dates with one model on one grid, and finds from what to what each pixel has changed. Where a pixel "
        "was mapped from other sensors than before, the change is marked: it may be the sensors', not the land's.",
    )
    made.add(model_file(), MODEL_HELP)
    made.add(layers("FIRST_LAYERS", "Layers of the first date", False), "The rasters to map the first date from.")
    made.add(
        layers("SECOND_LAYERS", "Layers of the second date", False),
        "The rasters to map the second date from; they may be other sensors than before.",
    )
    made.run(
        "first",
        "segment",
        {"MODEL": "MODEL", "LAYERS": "FIRST_LAYERS"},
        {"OUTPUT": ("First class map", "The map of the first date.")},
    )
    made.run(
        "second",
        "segment",
        {"MODEL": "MODEL", "LAYERS": "SECOND_LAYERS", "LIKE": ("first", "OUTPUT")},
        {"OUTPUT": ("Second class map", "The map of the second date, on the grid of the first one.")},
    )
    made.run(
        "change",
        "change",
        {
            "FIRST": ("first", "OUTPUT"),
            "SECOND": ("second", "OUTPUT"),
            "FIRST_AVAILABILITY": ("first", "AVAILABILITY"),
            "SECOND_AVAILABILITY": ("second", "AVAILABILITY"),
        },
        {
            "OUTPUT": ("Changes", "From-to codes with a legend."),
            "TABLE": ("Table of changes", "From what to what, in pixels and hectares (CSV)."),
        },
    )
    made.write("changeoftwodates")


def main() -> None:
    """Makes all models."""
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    sys.path.append("/usr/share/qgis/python/plugins")
    from processing.core.Processing import Processing

    Processing.initialize()
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, str(build(Path(folder)).parent))
        import robust_landcover

        plugin = robust_landcover.classFactory(None)
        plugin.initProcessing()
        map_as_polygons()
        change_of_two_dates()
        plugin.unload()
    application.exitQgis()


if __name__ == "__main__":
    main()
