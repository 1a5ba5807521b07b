"""What to paste into a report of a fault: QGIS, plugin, engine, device and the last log; home folders are left out."""

import os
import platform

from qgis.core import Qgis
from qgis.PyQt.QtCore import QT_VERSION_STR

from .interpreter import EngineNotFoundError, find_interpreter, version
from .process import LAST
from .work import Step, StepError, Work


def diagnostics(log=""):
    """A work that finds the report, a text.

    Args:
        log: Of a set-up in this session.
    """
    return Work(_report(log))


def _report(log):
    lines = [
        f"QGIS {Qgis.QGIS_VERSION}, Qt {QT_VERSION_STR}, Python {platform.python_version()}, {platform.platform()}",
        f"Robust land cover {version()}",
    ]
    try:
        interpreter = find_interpreter()
        lines.append(f"engine: {interpreter}")
        lines.append((yield Step("", interpreter, ["-I", "-m", "engine.cli", "doctor"])).rstrip())
    except EngineNotFoundError as error:
        lines.append(f"engine: none. {error}")
    except StepError as error:
        lines.append(f"the engine's doctor failed:\n{error.output.rstrip()}")
    if LAST:
        lines += ["", "last job:", *LAST]
    if log:
        lines += ["", "set-up:", *log.splitlines()[-40:]]
    home = os.path.expanduser("~")
    return "\n".join(lines).replace(home, "~").replace(home.replace(os.sep, "/"), "~")
