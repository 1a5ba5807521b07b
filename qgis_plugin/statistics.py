"""The algorithm "Statistics of a class map"."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterVectorDestination,
)
from qgis.PyQt.QtCore import QCoreApplication

from .area import area_file
from .layers import LayerError
from .maps import MapAlgorithm


class Statistics(MapAlgorithm):
    """Counts a class map by class, by class and scenario, and by class within zones."""

    ZONES = "ZONES"
    ZONE_FIELD = "ZONE_FIELD"
    PIXELS = "PIXELS"
    HECTARES = "HECTARES"
    CLASSES = "CLASSES"
    RASTERS = (MapAlgorithm.INPUT, MapAlgorithm.CONFIDENCE, MapAlgorithm.AVAILABILITY)

    def name(self):
        """Fixed for ever: scripts and models name it."""
        return "statistics"

    def displayName(self):
        """As the toolbox shows it."""
        return _tr("Statistics of a class map")

    def shortDescription(self):
        """One sentence."""
        return _tr("Counts a class map by class, by the sensors that it was made from, and within zones.")

    def shortHelpString(self):
        """What stands beside the parameters."""
        return _tr(
            "Writes a table: pixels, hectares (on the ellipsoid), share and mean confidence of each class in the whole "
            "map, of each class and scenario, and of each class in every zone. Pixels without data do not count.\n\n"
            "A pixel belongs to each zone that holds its centre. Zones may overlap, and may have any coordinate "
            "reference system."
        )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self._add_raster(self.INPUT, _tr("Class map"), _tr("A raster of class values, of this or another program."))
        self._add(
            QgsProcessingParameterFeatureSource(
                self.ZONES, _tr("Zones"), [QgsProcessing.SourceType.TypeVectorPolygon], optional=True
            ),
            _tr("Polygons to count within, all or the selected ones."),
        )
        self._add(
            QgsProcessingParameterField(
                self.ZONE_FIELD, _tr("Field with the zones' names"), parentLayerParameterName=self.ZONES, optional=True
            ),
            _tr("What zones are called in the table; their numbers where empty."),
        )
        self._add_companions()
        self._add(
            QgsProcessingParameterVectorDestination(self.OUTPUT, _tr("Table"), QgsProcessing.SourceType.TypeVector),
            _tr("The table, a CSV file. Its column part says what a row is of: map, scenario or zone."),
        )
        self._add_numbers(
            {self.PIXELS: _tr("Pixels"), self.HECTARES: _tr("Hectares"), self.CLASSES: _tr("Number of classes")}
        )

    def processAlgorithm(self, parameters, context, feedback):
        """Asks the engine."""
        path = self._written(parameters, self.OUTPUT, context, (".csv",))
        paths = {"map" if name == "input" else name: source for name, source in self.paths.items()}
        options = {**paths, "output": path, "overwrite": True}  # QGIS has asked
        field = self.parameterAsString(parameters, self.ZONE_FIELD, context)
        try:
            zones = area_file(self, self.ZONES, parameters, context, [field] if field else [])
        except LayerError as error:
            raise QgsProcessingException(str(error)) from error
        if zones is not None:
            options["zones"] = zones
        if field:
            options["zone_field"] = field
        found = self._run({"task": "statistics", "options": options}, feedback)
        return {
            self.OUTPUT: path,
            self.PIXELS: found["pixels"],
            self.HECTARES: found["hectares"],
            self.CLASSES: found["classes"],
        }


def _tr(text):
    return QCoreApplication.translate("Statistics", text)
