"""The engine's environment: which Python it comes from, what stands in its way, and what becomes of the one before."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PYTHON = "/usr/bin/python3"


@pytest.fixture
def modules(qgis, monkeypatch):
    """The plugin's modules, without an engine that is named."""
    import robust_landcover.installation
    import robust_landcover.interpreter

    monkeypatch.delenv("ROBUST_LANDCOVER_PYTHON", raising=False)
    yield robust_landcover.installation, robust_landcover.interpreter
    shutil.rmtree(os.path.dirname(robust_landcover.interpreter.environment()), ignore_errors=True)


@pytest.fixture
def setting(qgis):
    """Sets settings of QGIS for a test."""
    from qgis.core import QgsSettings

    changed = []

    def change(**values):
        for name, value in values.items():
            QgsSettings().setValue(name.replace("_", "/", 1), value)
            changed.append(name.replace("_", "/", 1))

    yield change
    for name in changed:
        QgsSettings().remove(name)


def done(work):
    """Runs a work to its end, in Qt's loop; whether it was good, what was found, and its log."""
    from qgis.PyQt.QtCore import QEventLoop

    loop, found, said = QEventLoop(), [], []
    work.said.connect(said.append)
    work.ended.connect(lambda *end: (found.extend(end), loop.quit()))
    work.start()
    if not found:
        loop.exec() if hasattr(loop, "exec") else loop.exec_()
    return (*found, "".join(said))


def without_ensurepip(folder):
    """A Python as Debian has it without python3-venv."""
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "gone.pth").write_text("import sys; sys.modules['ensurepip'] = None\n")
    return str(folder / "bin" / "python")


def test_what_is_no_python_is_not_offered(modules, tmp_path):
    installation, _ = modules
    strange = tmp_path / "python"
    strange.write_text("#!/bin/sh\necho hello\n")
    strange.chmod(0o755)
    _, found, _ = done(installation.bases(str(strange)))
    paths = [path for path, _ in found]
    assert str(strange) not in paths
    assert {os.path.realpath(path) for path in paths} >= {os.path.realpath(PYTHON)}


def test_the_one_that_was_chosen_comes_first(modules, tmp_path):
    installation, _ = modules
    chosen = tmp_path / "my own" / "python3"
    chosen.parent.mkdir()
    chosen.symlink_to(PYTHON)
    _, found, _ = done(installation.bases(str(chosen)))
    assert found[0][0] == str(chosen)
    assert found[0][1]["version"] == list(sys.version_info[:3])


def test_an_old_engine_is_replaced_from_a_python_that_debian_cut(modules, wheels, tmp_path):
    installation, interpreter = modules
    final = Path(interpreter.environment())
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", final], check=True)
    (packages,) = final.glob("lib/python3*/site-packages")
    (packages / "robust_landcover-0.0.1.dist-info").mkdir()
    with pytest.raises(interpreter.EngineNotFoundError, match=r"has version 0\.0\.1, this plugin version"):
        interpreter.find_interpreter()
    base = without_ensurepip(tmp_path / "cut")
    good, found, said = done(installation.install(installation.Choice(base, wheels=str(wheels))))
    assert good, said
    assert found == interpreter.find_interpreter()
    assert json.loads((final / "robust_landcover.json").read_text())["wheels"] == str(wheels)
    command = [final / "bin" / "engine", "--version"]
    assert interpreter.version() in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert os.listdir(final.parent) == [final.name]


def test_a_python_that_can_install_nothing_is_refused_in_words(modules, tmp_path):
    installation, interpreter = modules
    base = without_ensurepip(tmp_path / "cut")
    good, why, _ = done(installation.install(installation.Choice(base)))
    assert not good
    assert "venv and ensurepip are missing" in why
    assert "python3-venv" in why
    assert not os.path.exists(interpreter.environment())


def test_an_engine_is_no_base_and_is_removed_even_if_its_base_is_gone(modules, tmp_path):
    installation, interpreter = modules
    own = Path(interpreter.environment_python(interpreter.environment()))
    own.parent.mkdir(parents=True)
    own.symlink_to(PYTHON)
    _, found, _ = done(installation.bases(str(own)))
    assert str(own) not in [path for path, _ in found]
    good, why, _ = done(installation.remove(str(tmp_path / "gone")))
    assert not good
    assert "gone" in why or "No such file" in why
    interpreter.recover()
    assert not os.path.exists(interpreter.environment()), "what was removed does not come back"
    good, _, _ = done(installation.install(installation.Choice(str(tmp_path / "gone"))))
    assert not good, "and the next one is not locked out"


def test_two_at_once_do_not_meet(modules):
    installation, _ = modules
    from robust_landcover.work import WorkError

    first = installation.install(installation.Choice(PYTHON))
    with pytest.raises(WorkError, match="Another QGIS"):
        installation.install(installation.Choice(PYTHON))
    first.cancel()
    assert done(first)[:2] == (False, "Cancelled; nothing was changed.")
    second = installation.install(installation.Choice(PYTHON))
    second.cancel()
    done(second)


def test_an_engine_that_a_crash_left_aside_comes_back(modules):
    _, interpreter = modules
    aside = Path(interpreter.environment() + ".old")
    (aside / "bin").mkdir(parents=True)
    interpreter.recover()
    assert os.listdir(aside.parent) == ["engine"]


@pytest.fixture
def proxy():
    """A proxy that has nothing, and what it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Proxy-Authorization")))
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()


def test_packages_come_through_the_proxy_of_qgis(modules, proxy, setting, monkeypatch):
    installation, interpreter = modules
    port, asked = proxy
    names = {"proxyEnabled": True, "proxyType": "HttpProxy", "proxyHost": "127.0.0.1", "proxyPort": port}
    setting(
        **{f"proxy_{name}": value for name, value in names.items()}, proxy_proxyUser="me", proxy_proxyPassword="a:b"
    )
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.invalid/simple")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "index.invalid")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    good, why, said = done(installation.install(installation.Choice(PYTHON)))
    assert not good
    assert ("http://index.invalid/simple/hatchling/", "Basic bWU6YTpi") in asked  # me:a:b
    assert "There is no package for this Python: hatchling" in why
    assert "a:b" not in said
    assert not os.path.exists(interpreter.environment())


def test_an_index_that_is_not_there_is_told_with_what_to_do(modules, monkeypatch):
    installation, _ = modules
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "1")
    good, why, _ = done(installation.install(installation.Choice(PYTHON)))
    assert not good
    assert "cannot be reached; set QGIS's proxy, or install from a folder of wheels" in why
