"""Controlled experiments, a few groups of each: they take minutes, and run by a flag of ``scripts/test.py``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "experiments" / "controlled"
sys.path.append(str(SCRIPTS))

Found = dict[str, bool]
"""Whether an effect is shown, by ``arm - reference, measure``."""


@pytest.fixture
def effects(tmp_path: Path) -> Callable[..., Found]:
    """Does parts of an experiment's first groups as its users would, and says which of its effects they show."""

    def done(name: str, groups: int, *parts: str) -> Found:
        path = SCRIPTS / f"{name}.py"
        command = [sys.executable, path, "--groups", str(groups), "--folder", tmp_path]
        subprocess.run(
            [*command, *(["--parts", *parts] if parts else [])], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        spec = importlib.util.spec_from_file_location(f"controlled_{name}", path)
        if spec is None or spec.loader is None:
            raise FileNotFoundError(path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return {
            f"{one.effect.arm} - {one.effect.reference}, {one.effect.measure}": one.shown
            for one in module.EXPERIMENT.findings(tmp_path)
        }

    return done
