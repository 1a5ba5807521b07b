"""Robust land cover: maps land cover with whatever subset of a model's sensors is loaded."""


def classFactory(iface):
    """The plugin, for QGIS's plugin manager."""
    from .plugin import RobustLandCover

    return RobustLandCover()
