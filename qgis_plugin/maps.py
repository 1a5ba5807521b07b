"""What the algorithms on class maps share: the rasters that they are given, and how they run."""

from qgis.core import (
    QgsProcessingException,
    QgsProcessingOutputNumber,
    QgsProcessingParameterRasterLayer,
)
from qgis.PyQt.QtCore import QCoreApplication

from .algorithm import EngineAlgorithm
from .interpreter import EngineNotFoundError, find_interpreter
from .layers import LayerError
from .process import EngineCancelledError, EngineError, run_job


class MapAlgorithm(EngineAlgorithm):
    """An algorithm that the engine does with class maps, without a model."""

    INPUT = "INPUT"
    CONFIDENCE = "CONFIDENCE"
    AVAILABILITY = "AVAILABILITY"
    OUTPUT = "OUTPUT"
    RASTERS = ()
    """Names of the parameters that are rasters."""

    def group(self):
        """As the toolbox shows it."""
        return _tr("Land-cover maps")

    def groupId(self):
        """Fixed for ever."""
        return "maps"

    def tags(self):
        """Words that find it."""
        return _tr("land cover,classification,map,polygon,vectorize,sieve,area,statistics,change,batch").split(",")

    def _add_raster(self, name, title, text, optional=False, advanced=False):
        self._add(QgsProcessingParameterRasterLayer(name, title, optional=optional), text, advanced)

    def _add_companions(self):
        """What “Robust land-cover segmentation” writes beside a class map."""
        self._add_raster(
            self.CONFIDENCE,
            _tr("Confidence"),
            _tr("The confidence that was written with the map, in percent: gives means of it."),
            optional=True,
        )
        self._add_raster(
            self.AVAILABILITY,
            _tr("Availability"),
            _tr("The availability that was written with the map: gives the sensors that it was made from."),
            optional=True,
        )

    def _add_numbers(self, numbers):
        """Numbers that a run declares, by name and title."""
        for name, title in numbers.items():
            self.addOutput(QgsProcessingOutputNumber(name, title))

    def prepareAlgorithm(self, parameters, context, feedback):
        """Looks at the layers, which belong to the main thread."""
        self.paths = {}
        for name in self.RASTERS:
            layer = self.parameterAsRasterLayer(parameters, name, context)
            if layer is None and not parameters.get(name):
                continue
            if layer is None or layer.providerType() != "gdal":
                raise QgsProcessingException(
                    _tr("{}: choose a raster that is a file; save others as GeoTIFF first").format(
                        self.parameterDefinition(name).description()
                    )
                )
            self.paths[name.lower()] = layer.source()
        return True

    def _run(self, job, feedback):
        """Runs a job of the engine."""
        try:
            return run_job(find_interpreter(), job, feedback)
        except EngineCancelledError as cancelled:
            raise QgsProcessingException(_tr("Cancelled; nothing was written.")) from cancelled
        except (EngineError, EngineNotFoundError, LayerError) as error:
            raise QgsProcessingException(str(error)) from error

    def _written(self, parameters, name, context, ends):
        """Where an output goes.

        Args:
            parameters: Of the run.
            name: Of the output.
            context: ``QgsProcessingContext``.
            ends: How its name may end.

        Raises:
            QgsProcessingException: If it does not.
        """
        path = self.parameterAsOutputLayer(parameters, name, context)
        if not path.lower().endswith(ends):
            raise QgsProcessingException(_tr("{}: give it a name that ends in {}").format(path, ends[0]))
        return path


def _tr(text):
    return QCoreApplication.translate("Maps", text)
