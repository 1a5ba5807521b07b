"""The algorithm "Change between two class maps"."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterVectorDestination,
)
from qgis.PyQt.QtCore import QCoreApplication

from .maps import MapAlgorithm
from .results import load_styled


class Change(MapAlgorithm):
    """Finds from what to what a map has changed between two dates."""

    FIRST = "FIRST"
    SECOND = "SECOND"
    FIRST_AVAILABILITY = "FIRST_AVAILABILITY"
    SECOND_AVAILABILITY = "SECOND_AVAILABILITY"
    TABLE = "TABLE"
    CHANGED = "CHANGED"
    OTHER_SENSORS = "OTHER_SENSORS"
    HECTARES = "HECTARES"
    RASTERS = (FIRST, SECOND, FIRST_AVAILABILITY, SECOND_AVAILABILITY)

    def name(self):
        """Fixed for ever: scripts and models name it."""
        return "change"

    def displayName(self):
        """As the toolbox shows it."""
        return _tr("Change between two class maps")

    def shortDescription(self):
        """One sentence."""
        return _tr("Finds from what to what a map has changed, and where other sensors may be the cause.")

    def shortHelpString(self):
        """What stands beside the parameters."""
        return _tr(
            "Compares two class maps that lie on one grid: map the second date with the first map as “Grid of a "
            "layer”.\n\n"
            "A pixel's code is from-class and to-class side by side: 405 is from 4 to 5. Where availabilities are "
            "given, pixels that were mapped from other sensors than before have a 1 in front (10405), a paler colour, "
            "and columns of their own in the table: such a change may be the sensors', not the land's."
        )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self._add_raster(self.FIRST, _tr("First class map"), _tr("The map of the first date."))
        self._add_raster(
            self.SECOND, _tr("Second class map"), _tr("The map of the second date, on the grid of the first one.")
        )
        for name, title in (
            (self.FIRST_AVAILABILITY, _tr("Availability of the first map")),
            (self.SECOND_AVAILABILITY, _tr("Availability of the second map")),
        ):
            self._add_raster(name, title, _tr("Which sensors the map's pixels had; both or none."), optional=True)
        self._add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, _tr("Changes")),
            _tr("From-to codes with a legend: grey where nothing has changed, else the colour of what it is now."),
        )
        self._add(
            QgsProcessingParameterVectorDestination(
                self.TABLE, _tr("Table of changes"), QgsProcessing.SourceType.TypeVector
            ),
            _tr("From what to what, in pixels and hectares, a CSV file."),
        )
        self._add_numbers(
            {
                self.CHANGED: _tr("Percent changed"),
                self.HECTARES: _tr("Hectares changed"),
                self.OTHER_SENSORS: _tr("Percent mapped from other sensors"),
            }
        )

    def processAlgorithm(self, parameters, context, feedback):
        """Asks the engine."""
        path = self._written(parameters, self.OUTPUT, context, (".tif", ".tiff"))
        table = self._written(parameters, self.TABLE, context, (".csv",))
        options = {**self.paths, "output": path, "table": table, "overwrite": True}  # QGIS has asked
        found = self._run({"task": "change", "options": options}, feedback)
        feedback.pushInfo(_tr("{changed:.2%} of {pixels} pixels have changed").format(**found))
        if found["other_sensors"] is not None:
            feedback.pushInfo(_tr("{other_sensors:.2%} were mapped from other sensors than before").format(**found))
        if found["one_map"]:
            feedback.pushInfo(_tr("{one_map} pixels have a class in one map alone").format(**found))
        load_styled(context, path)
        other = found["other_sensors"]
        return {
            self.OUTPUT: path,
            self.TABLE: table,
            self.CHANGED: 100 * found["changed"],
            self.HECTARES: found["hectares"],
            self.OTHER_SENSORS: None if other is None else 100 * other,
        }


def _tr(text):
    return QCoreApplication.translate("Change", text)
