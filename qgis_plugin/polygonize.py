"""The algorithm "Polygons of a class map"."""

from qgis.core import QgsProcessing, QgsProcessingParameterNumber, QgsProcessingParameterVectorDestination
from qgis.PyQt.QtCore import QCoreApplication

from .maps import MapAlgorithm
from .results import load_styled


class Polygonize(MapAlgorithm):
    """Makes polygons of a class map along its pixels' exact edges."""

    MINIMUM = "MINIMUM"
    POLYGONS = "POLYGONS"
    MERGED = "MERGED"
    RASTERS = (MapAlgorithm.INPUT, MapAlgorithm.CONFIDENCE, MapAlgorithm.AVAILABILITY)

    def name(self):
        """Fixed for ever: scripts and models name it."""
        return "polygonize"

    def displayName(self):
        """As the toolbox shows it."""
        return _tr("Polygons of a class map")

    def shortDescription(self):
        """One sentence."""
        return _tr("Makes polygons of a class map along its pixels' exact edges, with a minimum mapping unit.")

    def shortHelpString(self):
        """What stands beside the parameters."""
        return _tr(
            "Makes one polygon of each region of a class, along the pixels' exact edges: without gaps or overlaps, "
            "however large the map is. Pixels that meet at a corner alone are two regions.\n\n"
            "Polygons have the fields value, class, hectares (on the ellipsoid), confidence (mean, in percent), "
            "scenario (the sensors that most of their pixels were mapped from) and pixels. Their style, with the "
            "map's colours and names, lies in the GeoPackage."
        )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self._add_raster(
            self.INPUT,
            _tr("Class map"),
            _tr("A raster of class values, of this or another program; its names and colours are taken."),
        )
        self._add(
            QgsProcessingParameterNumber(
                self.MINIMUM,
                _tr("Minimum area in hectares"),
                QgsProcessingParameterNumber.Type.Double,
                optional=True,
                minValue=0,
            ),
            _tr(
                "Regions below it become of the class that they share the longest border with, the smallest first, "
                "until none is left or has a neighbour. Where there is no data nothing changes."
            ),
        )
        self._add_companions()
        self._add(
            QgsProcessingParameterVectorDestination(
                self.OUTPUT, _tr("Polygons"), QgsProcessing.SourceType.TypeVectorPolygon
            ),
            _tr("The polygons, a GeoPackage."),
        )
        self._add_numbers({self.POLYGONS: _tr("Number of polygons"), self.MERGED: _tr("Number of merged regions")})

    def processAlgorithm(self, parameters, context, feedback):
        """Asks the engine."""
        path = self._written(parameters, self.OUTPUT, context, (".gpkg",))
        paths = {"map" if name == "input" else name: source for name, source in self.paths.items()}
        options = {**paths, "output": path, "overwrite": True}  # QGIS has asked
        minimum = self.parameterAsDouble(parameters, self.MINIMUM, context)
        if minimum > 0:
            options["minimum"] = minimum
        found = self._run({"task": "polygonize", "options": options}, feedback)
        feedback.pushInfo(_tr("{polygons} polygons of {classes} classes; {merged} regions were merged").format(**found))
        load_styled(context, path)
        return {self.OUTPUT: path, self.POLYGONS: found["polygons"], self.MERGED: found["merged"]}


def _tr(text):
    return QCoreApplication.translate("Polygonize", text)
