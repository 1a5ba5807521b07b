"""Makes the project's own environment in ``.venv``; the standard library only, so that any Python can run it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv"
EXTRAS = ".[cpu,train,vector,matlab,language,baseline,cluster,dev]"


def run(*command: str | Path) -> None:
    """Prints and runs a command in the project's root; exits as it does when it fails."""
    print("$", " ".join(str(part) for part in command), flush=True)
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def _stamp() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name in ("pyproject.toml", "constraints.txt", "metadata.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _create() -> None:
    try:
        venv.EnvBuilder(with_pip=True, clear=True).create(FOLDER)
    except (subprocess.CalledProcessError, ImportError):
        if not (hasattr(os, "geteuid") and os.geteuid() == 0):
            sys.exit("Python's venv module is incomplete; on Debian: apt-get install python3-venv")
        run("apt-get", "update")
        run("apt-get", "install", "-y", "python3-venv")
        venv.EnvBuilder(with_pip=True, clear=True).create(FOLDER)


def python() -> Path:
    """The environment's interpreter; the environment is made, or made anew, where it is missing or out of date."""
    if sys.version_info < (3, 10):  # noqa: UP036 (any Python may run this file)
        sys.exit(f"Python 3.10 or newer is needed; this is {sys.version.split()[0]}")
    interpreter = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = FOLDER / "stamp"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == _stamp():
        return interpreter
    _create()
    torch = next(
        line
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith("torch==")
    )
    pip = (interpreter, "-m", "pip", "install", "--quiet")
    run(*pip, torch)  # first and by its exact version, so that nothing else brings a build for GPUs
    run(*pip, "-c", "constraints.txt", "-e", EXTRAS)
    stamp.write_text(_stamp(), encoding="utf-8")
    return interpreter
