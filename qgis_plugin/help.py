"""The help that travels with the plugin."""

import os

from qgis.PyQt.QtCore import QUrl


def page(section=""):
    """The address of the help, for a browser.

    Args:
        section: Where in it: the name of an algorithm, ``setup`` or ``example``.
    """
    url = QUrl.fromLocalFile(os.path.join(os.path.dirname(__file__), "help", "index.html"))
    url.setFragment(section)
    return url.toString()
