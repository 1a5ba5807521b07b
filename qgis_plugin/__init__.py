"""Robust land cover: maps land cover with whatever subset of a model's sensors is loaded."""


def classFactory(iface):  # noqa: N802 (QGIS calls it by this name)
    """The plugin, for QGIS's plugin manager."""
    from .plugin import RobustLandCover

    return RobustLandCover()
