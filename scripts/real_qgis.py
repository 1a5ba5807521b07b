"""A real QGIS for demo and tests: the system's own, and newer ones in root folders made by debootstrap."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import ROOT, run
from package_plugin import NAME, build

ROOTS = {"3.40": "trixie", "3.44": "sid"}
"""QGIS versions beyond the system's, and the Debian release that has each."""

SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES = ("python3-qgis", "qgis-providers", "qgis", "python3-venv", "xvfb", "xauth")
TOOLS = ("qttools5-dev-tools",)  # lrelease
_ENVIRONMENT = ROOT / ".venv-qgis"
_FOLDER = ROOT / ".qgis"
_PYTEST = ("-m", "pytest", "-c", "tests/qgis/pytest.ini", "--rootdir", "tests/qgis", "--confcutdir", "tests/qgis")
_COPIED = ("engine", "qgis_plugin", "scripts", "tests", "recipes", "metadata.txt", "pyproject.toml", "constraints.txt")
_COPIED += ("README.md", "LICENSE", "models")


def _root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _has_qgis() -> bool:
    command = [SYSTEM_PYTHON, "-c", "import qgis.core"]
    return Path(SYSTEM_PYTHON).exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0


def find_qgis() -> bool:
    """Whether the system has QGIS; on Debian, where this may install packages, it has afterwards."""
    if not _has_qgis() and _root() and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ("apt-get", "update", "-qq"),
            ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES, *TOOLS),
        ):
            print("$", *command, flush=True)
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return _has_qgis()


def _clean(engine: str | Path, material: str | Path, home: str) -> dict[str, str]:
    """QGIS's environment: its Python must not find another one first on the path."""
    runtime = Path(home) / "runtime"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name.startswith("ROBUST_LANDCOVER_")}
    return kept | {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": home,
        "LANG": "C.UTF-8",
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(runtime),
        "ROBUST_LANDCOVER_PYTHON": str(engine),
        "ROBUST_LANDCOVER_MATERIAL": str(material),
    }


def _process() -> str | None:
    """Debian's wrapper passes an option that its own binary refuses: the binary comes first."""
    return shutil.which("qgis_process.bin") or shutil.which("qgis_process")


def process_version() -> str | None:
    """Version of the QGIS that ``qgis_process`` belongs to; None where there is none that works."""
    binary = _process()
    if binary is None:
        return None
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [binary, "--version"], env=_clean("", "", home), capture_output=True, text=True, check=False
        )
    words = done.stdout.split()
    return words[1] if done.returncode == 0 and words[:1] == ["QGIS"] else None


def process(engine: Path, plugins: Path, algorithm: str, parameters: dict[str, object]) -> None:
    """Runs an algorithm of the plugin with ``qgis_process``, the plugin packaged into ``plugins``."""
    build(plugins)
    with tempfile.TemporaryDirectory() as home:
        environment = _clean(engine, "", home) | {"QGIS_PLUGINPATH": str(plugins), "QGIS_CUSTOM_CONFIG_PATH": home}
        command = [str(_process()), "plugins", "enable", NAME]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        command = [str(_process()), "run", algorithm, *(f"--{key}={value}" for key, value in parameters.items())]
        print("$", *command, flush=True)
        done = subprocess.run(command, env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def make_material(engine: Path, folder: Path) -> None:
    """Makes the scenes and models that the tests map."""
    run(engine, ROOT / "tests" / "qgis" / "material.py", folder)


def run_in_system(engine: Path, material: Path) -> None:
    """Runs the tests in the system's QGIS."""
    interpreter = _ENVIRONMENT / "bin" / "python"
    if not interpreter.exists():
        run(SYSTEM_PYTHON, "-m", "venv", "--system-site-packages", _ENVIRONMENT)
        run(interpreter, "-m", "pip", "install", "--quiet", "-c", "constraints.txt", "pytest", "pytest-xdist")
    with tempfile.TemporaryDirectory() as home:
        command = [str(interpreter), *_PYTEST, "-n", "2", "--dist", "worksteal", "tests/qgis"]
        print("$", *command, flush=True)
        done = subprocess.run(command, cwd=ROOT, env=_clean(engine, material, home), check=False)
    if done.returncode:
        sys.exit(done.returncode)


def run_in_root(version: str, material: Path) -> None:
    """Runs the tests in the QGIS of another Debian release, in a root folder; needs root and debootstrap."""
    if not _root():
        sys.exit("--qgis all makes root folders: run it as root, or test in the images of qgis/qgis")
    release = ROOTS[version]
    folder = _FOLDER / release
    if not (folder / "opt" / "ready").exists():
        _make_root(release, folder)
    project = folder / "project"
    shutil.rmtree(project, ignore_errors=True)
    for name in _COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        project.mkdir(exist_ok=True)
        copy(ROOT / name, project / name)
    shared = ROOT.parent / "shared" / "data" / "zion"
    if shared.is_dir():
        shutil.copytree(shared, folder / "shared" / "data" / "zion", dirs_exist_ok=True)
    shutil.rmtree(folder / "material", ignore_errors=True)
    shutil.copytree(material, folder / "material")
    run("chroot", folder, "/opt/engine/bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "/project")
    home = folder / "home"
    environment = _clean("/opt/engine/bin/python", "/material", str(home))
    environment |= {"HOME": "/home", "XDG_RUNTIME_DIR": "/home/runtime"}
    mounts = [(folder / "proc", ("-t", "proc", "proc")), (folder / "dev", ("--bind", "/dev"))]
    try:
        for place, how in mounts:
            run("mount", *how, place)
        words = " ".join(("cd /project && python3", *_PYTEST, "-p no:cacheprovider tests/qgis"))
        print(f"$ chroot {folder} {words}", flush=True)
        done = subprocess.run(["chroot", str(folder), "sh", "-c", words], env=environment, check=False)
    finally:
        for place, _ in mounts:
            subprocess.run(["umount", "-l", str(place)], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def _make_root(release: str, folder: Path) -> None:
    if not shutil.which("debootstrap"):
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "debootstrap")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run("debootstrap", "--variant=minbase", "--include=ca-certificates", release, folder)
    for name in (
        "/etc/resolv.conf",
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pip.conf",
    ):  # a proxy's certificate too
        if Path(name).exists():
            shutil.copy(name, folder / name[1:])
    # a mirror that is kept at one day would else be refused as too old
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "Acquire::Check-Valid-Until=false", "-qq")
    run("chroot", folder, *apt, "update")
    run("chroot", folder, *apt, "install", "-y", "--no-install-recommends", *PACKAGES, "python3-pytest")
    run("chroot", folder, "python3", "-m", "venv", "/opt/engine")
    (folder / "project").mkdir()
    for name in ("engine", "metadata.txt", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / "project" / name)
    run("chroot", folder, "/opt/engine/bin/python", "-m", "pip", "install", "--quiet", "/project[cpu,vector]")
    (folder / "opt" / "ready").touch()
