"""The help pages that travel with the plugin."""

import os

from qgis.PyQt.QtCore import QUrl


def page(name):
    """The address of a page, for a browser.

    Args:
        name: Of the page: ``index`` or an algorithm.
    """
    return QUrl.fromLocalFile(os.path.join(os.path.dirname(__file__), "help", f"{name}.html")).toString()
