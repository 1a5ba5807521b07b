"""Where the engine is: the Python interpreter that has it."""

import glob
import os
import shutil
import sys

from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication

KEY = "ROBUST_LANDCOVER_PYTHON"
"""Name of the setting and of the environment variable."""

SOURCE = os.path.join(os.path.dirname(__file__), "engine_source")
"""The engine's source, which travels with the plugin."""

SETUP = "robustlandcover:setup"
"""A link that opens the window in which the engine is set up."""

_WINDOWS = sys.platform == "win32"

INSTALL = (
    r'py -m venv "%USERPROFILE%\.robust-landcover" && "%USERPROFILE%\.robust-landcover\Scripts\pip" install'
    if _WINDOWS
    else "python3 -m venv ~/.robust-landcover && ~/.robust-landcover/bin/pip install --upgrade"
) + f' "{SOURCE}[cpu,vector]"'
"""For the terminal; the Command Prompt on Windows. Always into an environment of its own, never into QGIS's Python."""


class EngineNotFoundError(Exception):
    """No interpreter with the engine; the message says what to do.

    Args:
        short: What is wrong, in a sentence.
    """

    def __init__(self, short):
        super().__init__(f"{short} {what_to_do()}")
        self.short = short


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
                _tr("{where} names the interpreter {path}, which does not exist.").format(where=where, path=path)
            )
        if path:
            return path
    strange = []
    for path in likely_places():
        if os.path.isfile(path):
            found = installed_version(path)
            if found == version():
                return path
            strange.append((path, found))
    for path, found in strange:
        if found is not None and path == environment_python(environment()):
            raise EngineNotFoundError(
                _tr("The engine has version {found}, this plugin version {wanted}: update it.").format(
                    found=found, wanted=version()
                )
            )
        if found is not None:
            raise EngineNotFoundError(
                _tr("The engine of {path} has version {found}, this plugin version {wanted}.").format(
                    path=path, found=found, wanted=version()
                )
            )
    raise EngineNotFoundError(_tr("The engine is not set up."))


def version():
    """The plugin's, which the engine's must be."""
    with open(os.path.join(os.path.dirname(__file__), "metadata.txt"), encoding="utf-8") as file:
        return next(line.partition("=")[2].strip() for line in file if line.startswith("version="))


def installed_version(interpreter):
    """The version of the engine that an interpreter's environment holds, by its files; None where it holds none."""
    folder = os.path.dirname(os.path.dirname(interpreter))
    for pattern in ("lib/python3*/site-packages", "Lib/site-packages"):
        for found in glob.glob(os.path.join(glob.escape(folder), pattern, "robust_landcover-*.dist-info")):
            return os.path.basename(found)[len("robust_landcover-") : -len(".dist-info")]
    return None


def environment():
    """The folder of the environment that is set up in QGIS."""
    return os.path.join(QgsApplication.qgisSettingsDirPath(), "robust_landcover", "engine")


def recover():
    """Puts an environment back that a crash left aside while it was replaced."""
    if not os.path.isdir(environment()) and os.path.isdir(f"{environment()}.old"):
        os.rename(f"{environment()}.old", environment())


def environment_python(folder):
    """The interpreter of an environment."""
    return os.path.join(folder, *(("Scripts", "python.exe") if _WINDOWS else ("bin", "python")))


def likely_places():
    """Interpreters of environments where the engine is usually put, and the one beside an ``engine`` on the path."""
    folders = [environment(), os.path.join(os.path.expanduser("~"), ".robust-landcover")]
    places = [environment_python(folder) for folder in folders]
    command = shutil.which("engine")
    if command:
        places.append(os.path.join(os.path.dirname(command), "python.exe" if _WINDOWS else "python"))
    return places


def what_to_do():
    """The next step for someone without an engine."""
    return _tr(
        "Set it up in QGIS under Plugins, Robust land cover, Set up the engine, or in a terminal with\n\n{install}\n\n"
        "Where it is installed elsewhere, name its Python interpreter under Settings, Options, Processing, Providers, "
        "Robust land cover (or in the environment variable {key})."
    ).format(install=INSTALL, key=KEY)


def _tr(text):
    return QCoreApplication.translate("Interpreter", text)
