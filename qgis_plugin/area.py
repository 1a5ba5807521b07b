"""Polygons as the engine can read them: by their file where it holds just them, else written to one."""

import os

from qgis.core import (
    QgsFeature,
    QgsFields,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingUtils,
    QgsProviderRegistry,
    QgsVectorFileWriter,
)
from qgis.PyQt.QtCore import QCoreApplication

from .layers import LayerError


def area_file(algorithm, name, parameters, context, fields=()):
    """``PATH`` or ``PATH|LAYER`` of a parameter's polygons; None where there are none.

    A selection, a filter, or what GDAL does not read is written to a temporary GeoPackage.

    Args:
        algorithm: ``QgsProcessingAlgorithm``.
        name: Of the parameter.
        parameters: Of the run.
        context: ``QgsProcessingContext``.
        fields: Names of the fields that are needed.

    Raises:
        LayerError: If there are no polygons, or they cannot be written.
    """
    value = parameters.get(name)
    if not value:
        return None
    layer = algorithm.parameterAsVectorLayer(parameters, name, context)
    selected = isinstance(value, QgsProcessingFeatureSourceDefinition) and value.selectedFeaturesOnly
    stored = layer is not None and set(fields) <= set(layer.dataProvider().fields().names())
    if stored and layer.providerType() == "ogr" and not selected and not layer.subsetString():
        uri = QgsProviderRegistry.instance().decodeUri("ogr", layer.source())
        path, inner = uri.get("path"), uri.get("layerName")
        if path and os.path.exists(path):
            return f"{path}|{inner}" if inner else path
    source = algorithm.parameterAsSource(parameters, name, context)
    if source is None or source.featureCount() == 0:
        title = algorithm.parameterDefinition(name).description()
        raise LayerError(_tr("{}: there are no polygons; choose a layer that has, or select some").format(title))
    return _written(source, context, fields)


def _written(source, context, names):
    path = QgsProcessingUtils.generateTempFilename("area.gpkg")
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName = "GPKG", "area"
    fields = QgsFields()
    for name in names:
        fields.append(source.fields().field(name))
    writer = QgsVectorFileWriter.create(
        path, fields, source.wkbType(), source.sourceCrs(), context.transformContext(), options
    )
    for feature in source.getFeatures():
        bare = QgsFeature(fields)
        bare.setGeometry(feature.geometry())
        bare.setAttributes([feature[name] for name in names])
        writer.addFeature(bare)
    message = writer.errorMessage()
    del writer  # which closes the file
    if message:
        raise LayerError(_tr("the polygons cannot be written to {}: {}").format(path, message))
    return path


def _tr(text):
    return QCoreApplication.translate("Area", text)
