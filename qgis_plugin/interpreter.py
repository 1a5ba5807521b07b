"""Where the engine is: the Python interpreter that has it."""

import os
import shutil
import sys

from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication

KEY = "ROBUST_LANDCOVER_PYTHON"
"""Name of the setting and of the environment variable."""

SOURCE = os.path.join(os.path.dirname(__file__), "engine_source")
"""The engine's source, which travels with the plugin."""

_WINDOWS = sys.platform == "win32"

INSTALL = (
    r'py -m venv "%USERPROFILE%\.robust-landcover" && "%USERPROFILE%\.robust-landcover\Scripts\pip" install'
    if _WINDOWS
    else "python3 -m venv ~/.robust-landcover && ~/.robust-landcover/bin/pip install"
) + f' "{SOURCE}[cpu]"'
"""For the terminal; the Command Prompt on Windows."""


class EngineNotFoundError(Exception):
    """No interpreter with the engine; the message says what to do."""


def find_interpreter():
    """Path of the interpreter: the setting's, the environment variable's, or one in a likely place.

    Only looks at files, since the toolbox asks often.

    Raises:
        EngineNotFoundError: If there is none, or the one that was named does not exist.
    """
    named = (
        (QgsSettings().value(f"Processing/Configuration/{KEY}", ""), _tr("the setting under Options, Processing")),
        (os.environ.get(KEY, ""), _tr("the environment variable {}").format(KEY)),
    )
    for path, where in named:
        if path and not os.path.isfile(path):
            raise EngineNotFoundError(
                _tr("{where} names the interpreter {path}, which does not exist. {help}").format(
                    where=where, path=path, help=what_to_do()
                )
            )
        if path:
            return path
    for path in likely_places():
        if os.path.isfile(path):
            return path
    raise EngineNotFoundError(_tr("The engine is not set up. {}").format(what_to_do()))


def likely_places():
    """Interpreters of environments where the engine is usually put, and the one beside an ``engine`` on the path."""
    folders = [
        os.path.join(QgsApplication.qgisSettingsDirPath(), "robust_landcover", "engine"),
        os.path.join(os.path.expanduser("~"), ".robust-landcover"),
    ]
    places = [
        os.path.join(folder, *(("Scripts", "python.exe") if _WINDOWS else ("bin", "python"))) for folder in folders
    ]
    command = shutil.which("engine")
    if command:
        places.append(os.path.join(os.path.dirname(command), "python.exe" if _WINDOWS else "python"))
    return places


def what_to_do():
    """The next step for someone without an engine."""
    return _tr(
        "Install it in a terminal with\n{install}\nor, where it is installed, name its Python interpreter under "
        "Settings, Options, Processing, Providers, Robust land cover (or in the environment variable {key})."
    ).format(install=INSTALL, key=KEY)


def _tr(text):
    return QCoreApplication.translate("Interpreter", text)
