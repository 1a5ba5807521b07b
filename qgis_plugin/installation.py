"""The engine's environment: made under another name, tested, and only then put in its place."""

import glob
import json
import os
import re
import sys
from typing import NamedTuple
from urllib.parse import quote

from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, QLockFile, QStandardPaths

from .interpreter import SOURCE, environment, environment_python, version
from .work import Step, StepError, Work, WorkError

MARKER = "robust_landcover.json"
"""In an environment that was made here: what it was made with."""

TORCH = "https://download.pytorch.org/whl/"
"""Where PyTorch is published for each kind of processor; the setting ``robust_landcover/torch`` replaces it."""

OLDEST, PINNED = (3, 10), (3, 11)
"""Of Python, for the engine; and for the versions of ``constraints.txt``."""

_PROBE = """
import json, sys
def has(name):
    try:
        __import__(name)
        return True
    except ImportError:
        return False
print(json.dumps({"version": sys.version_info[:3], "path": sys.executable, "home": sys.base_prefix,
    "bits": 64 if sys.maxsize > 2**32 else 32, "ensurepip": has("venv") and has("ensurepip"), "pip": has("pip")}))
"""
_REMOVE = "import shutil, sys; [shutil.rmtree(path, ignore_errors=True) for path in sys.argv[1:]]"
_WINDOWS = sys.platform == "win32"


class Choice(NamedTuple):
    """What to set up.

    Args:
        base: The Python to make it with.
        gpu: Whether for NVIDIA's GPUs.
        training: Whether with all that training takes.
        wheels: A folder of wheels to install from; empty: the package index.
    """

    base: str
    gpu: bool = False
    training: bool = False
    wheels: str = ""


def settings():
    """What was chosen the last time."""
    found = QgsSettings()
    return Choice(
        found.value("robust_landcover/base", ""),
        found.value("robust_landcover/gpu", False, type=bool),
        found.value("robust_landcover/training", False, type=bool),
        found.value("robust_landcover/wheels", ""),
    )


def remember(choice):
    """Keeps a choice for the next time."""
    for name, value in choice._asdict().items():
        QgsSettings().setValue(f"robust_landcover/{name}", value)


def bases(first=""):
    """A work that finds the Pythons that can be the base: path, and what each says of itself; the best one first.

    Args:
        first: One that comes before all others, where it serves.
    """
    return Work(_bases(first))


def _bases(first):
    found, homes = [], set()
    for path in [first, *_candidates()]:
        if not path or not os.path.isfile(path) or path.startswith(environment() + os.sep):
            continue
        try:
            said = yield Step("", path, ["-I", "-c", _PROBE])
            facts = json.loads(said)
        except (StepError, ValueError):
            continue
        if tuple(facts["version"]) < OLDEST or facts["bits"] != 64 or facts["home"] in homes:
            continue
        homes.add(facts["home"])
        found.append((path, facts))
    chosen = [one for one in found if one[0] == first]
    rest = [one for one in found if one[0] != first]
    return chosen + sorted(rest, key=lambda one: (tuple(one[1]["version"]) < PINNED, not one[1]["ensurepip"]))


def _candidates():
    """Where Pythons are; the one that QGIS brings comes last. QGIS's own program is never taken for one."""
    names = ["python3", *(f"python3.{minor}" for minor in (13, 12, 11, 10, 14))]
    if _WINDOWS:
        places = [
            rf"{os.environ.get('LOCALAPPDATA', '')}\Programs\Python\Python3*\python.exe",
            rf"{os.environ.get('PROGRAMFILES', '')}\Python3*\python.exe",
            r"C:\Python3*\python.exe",
        ]
        own = [os.path.join(sys.base_prefix, "python.exe")]
    else:
        places = [
            "/opt/homebrew/bin/python3",
            "/usr/local/bin/python3",
            "/Library/Frameworks/Python.framework/Versions/3*/bin/python3",
        ]
        own = [
            os.path.join(sys.base_exec_prefix, "bin", "python3"),
            os.path.join(QgsApplication.prefixPath(), "bin/python3"),
        ]
    found = [QStandardPaths.findExecutable(name) for name in names]
    found += [path for place in places for path in sorted(glob.glob(place), reverse=True)]
    return [path for path in found if "WindowsApps" not in path] + own  # which opens the shop


def install(choice):
    """A work that sets up the engine; what was there before stays until the new one has passed its test.

    Raises:
        WorkError: If another QGIS is at it.
    """
    return _locked(_made(choice), choice.base)


def remove(base):
    """A work that removes the engine, with a Python that is not its own.

    Raises:
        WorkError: If another QGIS is at it.
    """
    return _locked(_removed(base), base)


def _locked(steps, base):
    os.makedirs(os.path.dirname(environment()), exist_ok=True)
    lock = QLockFile(f"{environment()}.lock")
    if not lock.tryLock(0):
        raise WorkError(_tr("Another QGIS is setting up the engine; wait until it is through."))
    work = Work(steps, [Step("", base, ["-I", "-c", _REMOVE, *_aside()])])
    work.ended.connect(lock.unlock)
    return work


def _aside():
    return [f"{environment()}{end}" for end in (".new", ".old", ".removed")]


def _made(choice):
    new = _aside()[0]
    try:
        yield Step("", choice.base, ["-I", "-c", _REMOVE, *_aside()])
        facts = json.loads((yield Step(_tr("Looking at Python"), choice.base, ["-I", "-c", _PROBE])))
    except (StepError, ValueError) as error:
        raise WorkError(_tr("{} is no Python that can be used: {}").format(choice.base, error)) from error
    if tuple(facts["version"]) < OLDEST:
        raise WorkError(
            _tr("{path} is Python {version}; the engine needs {oldest} or newer.").format(
                path=choice.base, version=_dotted(facts["version"]), oldest=_dotted(OLDEST)
            )
        )
    pip = _pip(choice, facts, new)
    how = [] if facts["ensurepip"] else ["--without-pip"]
    yield from _step(_tr("Making the environment"), choice.base, ["-I", "-m", "venv", *how, new])
    for title, arguments in _packages(choice):
        yield from _step(title, pip[0], [*pip[1:], "install", *_QUIET, *arguments], proxy(), choice.wheels)
    python = environment_python(new)
    yield from _step(_tr("Testing the engine"), python, ["-I", "-m", "engine.cli", "doctor"])
    with open(os.path.join(new, MARKER), "w", encoding="utf-8") as file:
        json.dump({"version": version(), **choice._asdict()}, file)
    _name_finally(new)
    _put_in_place(new)
    return environment_python(environment())


def _put_in_place(new):
    final, old = environment(), _aside()[1]
    try:
        if os.path.isdir(final):
            os.rename(final, old)
        os.rename(new, final)
    except OSError as error:
        if not os.path.isdir(final) and os.path.isdir(old):
            os.rename(old, final)
        raise WorkError(
            _tr("The engine cannot be put into {}: {}. Is a map being made with it?").format(final, error)
        ) from error


def _removed(base):
    try:
        os.rename(environment(), _aside()[2])
    except OSError as error:
        raise WorkError(
            _tr("{} cannot be removed: {}. Is a map being made with it?").format(environment(), error)
        ) from error
    yield Step(_tr("Removing the engine"), base, ["-I", "-c", _REMOVE, *_aside()])


_QUIET = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--no-warn-script-location")


def _pip(choice, facts, folder):
    """The command that is pip for an environment, also where Debian has taken it out of Python."""
    if facts["ensurepip"]:
        return [environment_python(folder), "-I", "-m", "pip"]
    wheels = sorted(glob.glob(os.path.join(glob.escape(choice.wheels), "pip-*.whl"))) if choice.wheels else []
    if wheels:
        return [environment_python(folder), "-I", f"{wheels[-1]}/pip"]
    if facts["pip"]:
        return [choice.base, "-I", "-m", "pip", "--python", environment_python(folder)]
    raise WorkError(
        _tr(
            "{} cannot install packages: its parts venv and ensurepip are missing. On Debian and Ubuntu, ask for the "
            "package python3-venv; else choose another Python."
        ).format(choice.base)
    )


def _packages(choice):
    """What pip installs, one call after the other, with a title each."""
    extras = ["gpu" if choice.gpu else "cpu", "vector"] + (["train"] if choice.training else [])
    constraints = os.path.join(SOURCE, "constraints.txt")
    if choice.wheels:
        wanted = f"robust-landcover[{','.join(extras)}]=={version()}"
        given = ["--no-index", "--find-links", choice.wheels, "-c", constraints, wanted]
        return [(_tr("Installing from the folder of wheels"), given)]
    calls = [(_tr("Downloading and installing the engine"), ["-c", constraints, f"{SOURCE}[{','.join(extras)}]"])]
    if choice.training and sys.platform != "darwin":  # where there is one build only
        place = QgsSettings().value("robust_landcover/torch", "") or TORCH + ("cu130" if choice.gpu else "cpu")
        calls.insert(0, (_tr("Downloading and installing PyTorch"), ["-c", constraints, "--index-url", place, "torch"]))
    return calls


def _step(title, program, arguments, variables=None, wheels=""):
    """A step whose failure ends the work, with its cause in words."""
    try:
        yield Step(title, program, arguments, variables or {})
    except StepError as error:
        raise WorkError(_explained(title, error.output, wheels)) from error


def _explained(title, output, wheels):
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    lacking = (
        _tr("The folder of wheels has no {} for this Python and system.")
        if wheels
        else _tr("There is no package for this Python: {}")
    )
    causes = (
        (r"No space left|not enough space", _tr("The disk is full.")),
        (
            r"ProxyError|407 Proxy",
            _tr("The proxy of QGIS's settings (Settings, Options, Network) refused or does not answer."),
        ),
        (
            r"CERTIFICATE_VERIFY_FAILED|SSLError",
            _tr("A certificate was not trusted; where the network has one of its own, the system must know it."),
        ),
        (
            r"Failed to establish|NameResolution|Connection refused|timed out|ConnectTimeout|NewConnectionError",
            _tr("The package index cannot be reached; set QGIS's proxy, or install from a folder of wheels."),
        ),
        (r"No matching distribution found for (.+)", lacking),
        (r"Permission denied", _tr("Files there may not be written.")),
    )
    for pattern, text in causes:
        for line in reversed(lines):
            found = re.search(pattern, line)
            if found:
                return f"{title}: {text.format(*found.groups())}"
    errors = [line for line in lines if line.upper().startswith(("ERROR", "WRONG"))] or lines
    return f"{title}: {' '.join(errors[-3:])}"


def proxy():
    """Variables that tell pip of the proxy that QGIS uses; not in the arguments, which others can read."""
    found = QgsSettings()
    host = found.value("proxy/proxyHost", "")
    kinds = {"HttpProxy": "http", "Socks5Proxy": "socks5", "HttpCachingProxy": "http"}
    kind = kinds.get(found.value("proxy/proxyType", ""))
    if not (found.value("proxy/proxyEnabled", False, type=bool) and host and kind):
        return {}
    user, password = found.value("proxy/proxyUser", ""), found.value("proxy/proxyPassword", "")
    port = found.value("proxy/proxyPort", "")
    who = f"{_escaped(user)}:{_escaped(password)}@" if user else ""
    place = f"{kind}://{who}{host}" + (f":{port}" if port else "")
    excluded = found.value("proxy/noProxyUrls", []) or []
    hosts = [re.sub(r"^\w+://", "", url).partition("/")[0] for url in excluded]
    return {"HTTP_PROXY": place, "HTTPS_PROXY": place, "NO_PROXY": ",".join(hosts)}


def _escaped(text):
    return quote(text, safe="")


def _name_finally(new):
    """Scripts name the folder that they were made in."""
    for path in glob.glob(os.path.join(glob.escape(new), "bin", "*")):
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            content = file.read()
        fixed = content.replace(os.fsencode(new), os.fsencode(environment()))
        if fixed != content and b"\0" not in content:
            with open(path, "wb") as file:
                file.write(fixed)


def _dotted(parts):
    return ".".join(str(part) for part in parts)


def _tr(text):
    return QCoreApplication.translate("Installation", text)
