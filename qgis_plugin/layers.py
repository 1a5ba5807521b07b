"""Layers as the engine can read them: by their source where GDAL reads it, else written to a file for the extent."""

import os

from qgis.core import (
    Qgis,
    QgsCoordinateTransform,
    QgsDistanceArea,
    QgsPointXY,
    QgsRasterBlockFeedback,
    QgsRasterFileWriter,
    QgsRasterInterface,
    QgsRasterLayer,
    QgsRasterPipe,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QCoreApplication, Qt

from .assignment import parts

LARGEST = 2 * 1024**3
"""Bytes that a layer may take when it is written to a temporary file."""

OPTION = "|option:"
"""What stands in a source before an open option, which the engine would not use."""


class LayerError(Exception):
    """A layer cannot be used; the message names it."""


class UsedLayer:
    """A layer with what another thread needs of it.

    Args:
        layer: A raster layer, on the main thread.
        name: As the user knows it; unique among the layers of a run.
    """

    def __init__(self, layer, name):
        self.name = name
        self.path = None
        self.provider = None
        if layer.providerType() == "gdal" and OPTION not in layer.source():
            self.path = layer.source()
            return
        self.provider = layer.dataProvider().clone()
        self.renderer = layer.renderer().clone() if layer.renderer() else None
        self.crs = layer.crs()
        self.extent = layer.extent()

    def described(self, extent, pixel_size, folder, context, feedback):
        """Name and path for the engine; written to a file in ``folder`` first where the engine could not read it.

        Args:
            extent: ``QgsReferencedRectangle`` to map, or None.
            pixel_size: Gives the model's in metres on the ground, for layers without pixels of their own.
            folder: Where to write.
            context: ``QgsProcessingContext``.
            feedback: ``QgsProcessingFeedback``.

        Raises:
            LayerError: If the layer cannot be written, or would be too large.
        """
        if self.path is None:
            self.path = self._written(extent, pixel_size, folder, context, feedback)
        return {"name": self.name, "path": self.path}

    def _written(self, extent, pixel_size, folder, context, feedback):
        area = QgsRectangle(self.extent)
        if extent is not None:
            area = area.intersect(_in_crs(extent, self.crs, context))
        if area.isEmpty():
            raise LayerError(_tr("layer {} lies outside of the extent").format(self.name))
        columns, rows = self._size(area, pixel_size, context)
        kinds = [self.provider.dataType(band) for band in range(1, self.provider.bandCount() + 1)]
        drawn = bool({Qgis.DataType.ARGB32, Qgis.DataType.ARGB32_Premultiplied} & set(kinds))
        size = columns * rows * (4 if drawn else max(self.provider.dataTypeSize(1), 1) * len(kinds))
        if size > LARGEST:
            raise LayerError(
                _tr(
                    "layer {name} ({provider}) must be copied to a file first, and would take {size:.1f} GB for this "
                    "extent ({columns} x {rows} pixels); choose a smaller extent (at most {most:.0f} GB)"
                ).format(
                    name=self.name,
                    provider=self.provider.name(),
                    size=size / 1024**3,
                    columns=columns,
                    rows=rows,
                    most=LARGEST / 1024**3,
                )
            )
        feedback.pushInfo(_tr("layer {} is copied to a temporary GeoTIFF").format(self.name))
        path = os.path.join(folder, f"layer{len(os.listdir(folder))}.tif")  # names may differ in signs only
        pipe = QgsRasterPipe()
        if not pipe.set(self.provider) or (drawn and self.renderer is not None and not pipe.set(self.renderer)):
            raise LayerError(_tr("layer {} cannot be read").format(self.name))
        self.provider = self.renderer = None  # the pipe owns them now
        writer = QgsRasterFileWriter(path)
        writer.setOutputFormat("GTiff")
        # renamed in 3.42
        set_options = writer.setCreationOptions if hasattr(writer, "setCreationOptions") else writer.setCreateOptions
        set_options(["COMPRESS=DEFLATE", "TILED=YES", "BIGTIFF=IF_SAFER"])
        copying = QgsRasterBlockFeedback()
        feedback.canceled.connect(copying.cancel, Qt.ConnectionType.DirectConnection)  # this thread has no event loop
        if feedback.isCanceled():
            copying.cancel()
        writer.writeRaster(pipe, columns, rows, area, self.crs, context.transformContext(), copying)
        if copying.isCanceled():
            raise LayerError(_tr("Cancelled while layer {} was copied; nothing was written.").format(self.name))
        if copying.errors():
            raise LayerError(
                _tr("layer {} could not be read whole: {}").format(self.name, "; ".join(copying.errors()[:3]))
            )
        if not os.path.exists(path) or not QgsRasterLayer(path, self.name).isValid():
            raise LayerError(_tr("layer {} cannot be copied to {}").format(self.name, path))
        return path

    def _size(self, area, pixel_size, context):
        """Columns and rows of ``area`` in the layer's own pixels, or the model's where it has none."""
        if self.provider.capabilities() & QgsRasterInterface.Capability.Size and self.provider.xSize() > 0:
            across = self.extent.width() / self.provider.xSize()
            up = self.extent.height() / self.provider.ySize()
        else:
            measure, middle = QgsDistanceArea(), area.center()
            measure.setSourceCrs(self.crs, context.transformContext())
            measure.setEllipsoid(self.crs.ellipsoidAcronym())
            step_x, step_y = area.width() / 1000, area.height() / 1000
            size = pixel_size()
            across = size * step_x / measure.measureLine(middle, QgsPointXY(middle.x() + step_x, middle.y()))
            up = size * step_y / measure.measureLine(middle, QgsPointXY(middle.x(), middle.y() + step_y))
        return max(1, round(area.width() / across)), max(1, round(area.height() / up))


def _in_crs(extent, crs, context):
    transform = QgsCoordinateTransform(extent.crs(), crs, context.transformContext())
    return transform.transformBoundingBox(QgsRectangle(extent))


def project_layers(project, wanted, feedback):
    """The rasters of a project that can serve; what is left out is said.

    Web maps are left out unless ``wanted`` names them; class maps are recognised by the engine.

    Args:
        project: ``QgsProject``.
        wanted: Names of layers that are named in an assignment.
        feedback: ``QgsProcessingFeedback``.
    """
    chosen = []
    for layer in project.mapLayers().values():
        if not isinstance(layer, QgsRasterLayer):
            continue
        if layer.name() in wanted:
            chosen.append(layer)
        elif layer.providerType() == "wms":
            feedback.pushInfo(_tr("layer {} is a web map and is left out").format(layer.name()))
        elif not layer.isValid() or gone(layer):
            feedback.pushWarning(_tr("layer {} cannot be read and is left out").format(layer.name()))
        else:
            chosen.append(layer)
    return chosen


def gone(layer):
    """Whether a layer's file does not exist any more."""
    path = layer.source()
    return (
        layer.providerType() == "gdal"
        and os.path.isabs(path)
        and not path.startswith("/vsi")
        and not os.path.exists(path)
    )


def set_in_qgis(layer):
    """Whether the user gave a layer another coordinate reference system or more nodata than its file has."""
    provider = layer.dataProvider()
    nodata = any(provider.userNoDataValues(band) for band in range(1, provider.bandCount() + 1))
    return nodata or layer.crs() != provider.crs()


def unique_names(layers):
    """A name for each layer: of those with one name, each says in brackets where it comes from."""
    names = [layer.name() for layer in layers]
    named = []
    for layer, name in zip(layers, names):
        if names.count(name) > 1:
            others = [other.source() for other in layers if other.name() == name and other is not layer]
            name = f"{name} [{_tail(layer.source(), others)}]"
        number, unique = 2, name
        while unique in named:  # one file twice
            unique, number = f"{name} ({number})", number + 1
        named.append(unique)
    return named


def _tail(source, others):
    """The end of a path that no other path has."""
    parts = source.replace("\\", "/").split("/")
    for count in range(1, len(parts)):
        tail = "/".join(parts[-count:])
        if not any(other.replace("\\", "/").endswith(f"/{tail}") for other in others):
            return tail
    return source


def masks_by_path(masks, project):
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


def _tr(text):
    return QCoreApplication.translate("Layers", text)
