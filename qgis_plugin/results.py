"""What a run has made, as it comes into the project: styled, described, in a group of its own, the class map on top."""

import os

from qgis.core import QgsLayerTreeLayer, QgsProcessingLayerPostProcessorInterface, QgsVectorLayer
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QUuid

PLACE = "robust_landcover/place"
RUN = "robust_landcover/run"
"""Custom properties of a layer's node and of a group's."""

_kept = []
"""QGIS deletes a post-processor after use, but does not keep its Python part alive until then."""


class Run:
    """One run of an algorithm, whose layers come together.

    Args:
        title: Of the group.
    """

    def __init__(self, title):
        self.title = title
        self.key = QUuid.createUuid().toString()
        self.grouped = False  # by QGIS itself, from 3.32 on

    def load(self, context, path, place, default=None, name=None):
        """Prepares a raster to be loaded, where it will be.

        Args:
            context: The run's ``QgsProcessingContext``.
            path: The raster.
            place: Its place in the group, from 0 at the top.
            default: The name that QGIS gives by itself; another one was chosen by the user or a model, and stays.
            name: The name in its place.
        """
        if not context.willLoadLayerOnCompletion(path):
            return
        details = context.layerToLoadOnCompletionDetails(path)
        if name and details.name in ("", default):
            details.name = name
        if hasattr(details, "groupName"):
            self.grouped = True
            details.groupName = details.groupName or self.title
            details.layerSortKey = -place
        details.setPostProcessor(_finisher(self, place))

    def _group(self, parent):
        """The run's group; made where QGIS puts new layers, but never within another run's."""
        while parent.customProperty(RUN) not in (None, self.key) and parent.parent() is not None:
            parent = parent.parent()
        if parent.customProperty(RUN) == self.key:
            return parent
        for group in parent.findGroups():
            if group.customProperty(RUN) == self.key:
                return group
        group = parent.insertGroup(0, self.title)
        group.setCustomProperty(RUN, self.key)
        return group

    def take(self, layer, project, place):
        """Moves a layer into the group, made where the first was put; later versions of QGIS do so themselves."""
        node = project.layerTreeRoot().findLayer(layer.id())
        if node is None or self.grouped:
            return
        parent = node.parent()
        group = self._group(parent)
        before = [one for one in group.children() if int(one.customProperty(PLACE, -1)) < place]
        moved = QgsLayerTreeLayer(layer)
        moved.setCustomProperty(PLACE, place)
        moved.setExpanded(place == 0)
        group.insertChildNode(len(before), moved)
        parent.removeChildNode(node)


def load_styled(context, path):
    """Prepares a layer that comes into the project, where it will be, with the style that lies in or beside its file.

    Args:
        context: The run's ``QgsProcessingContext``.
        path: The layer's file.
    """
    if context.willLoadLayerOnCompletion(path):
        context.layerToLoadOnCompletionDetails(path).setPostProcessor(_finisher())


class _Finisher(QgsProcessingLayerPostProcessorInterface):
    """Serves one layer of one run."""

    def __init__(self, run, place):
        super().__init__()
        self.run, self.place = run, place

    def postProcessLayer(self, layer, context, feedback):
        beside = os.path.splitext(layer.source())[0]
        if os.path.exists(beside + ".qml"):
            layer.loadNamedStyle(beside + ".qml")
        elif isinstance(layer, QgsVectorLayer):
            layer.loadDefaultStyle()  # of its GeoPackage
        if os.path.exists(beside + ".qmd"):
            layer.loadNamedMetadata(beside + ".qmd")
        if self.run is not None:
            self.run.take(layer, context.project(), self.place)


def _finisher(run=None, place=0):
    _kept[:] = [one for one in _kept if not sip.isdeleted(one)]
    _kept.append(_Finisher(run, place))
    return _kept[-1]
