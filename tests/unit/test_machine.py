"""What a process may use, and whether its engine works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.main import cli, main
from engine.runtime.machine import memory_limit, usable_processors

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [("max 100000", HERE), ("100000 100000", 1), ("50000 100000", 1), ("999900000 100000", HERE)],
)
def test_the_quota_of_a_cgroup_is_respected(tmp_path: Path, content: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert usable_processors(tmp_path) == expected


def test_the_quota_of_an_old_cgroup_is_respected(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert usable_processors(tmp_path) == 1


def test_the_memory_limit_of_a_cgroup_is_respected(tmp_path: Path) -> None:
    whole = memory_limit(tmp_path)
    (tmp_path / "memory.max").write_text("1048576\n")
    assert memory_limit(tmp_path) == 1_048_576
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_limit(tmp_path) == whole


@pytest.mark.parametrize(
    ("library", "extra"), [("shapely.geometry", "vector"), ("sklearn.ensemble", "baseline"), ("torch", "train")]
)
def test_a_library_that_is_missing_is_named_with_what_brings_it(
    library: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_settings: object) -> None:
        raise ModuleNotFoundError(name=library)

    monkeypatch.setattr(cli, "main", fail)
    with pytest.raises(SystemExit, match="1"):
        main(["doctor"])
    said = f'this needs {library}, which is not installed: pip install ".[{extra}]" in the project\'s folder'
    assert said in capsys.readouterr().err


def test_the_doctor_finds_this_engine_well() -> None:
    done = subprocess.run([sys.executable, "-m", "engine.cli", "doctor"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "all well" in done.stdout
    assert "CPUExecutionProvider" in done.stdout


def test_the_doctor_says_that_two_runtimes_hide_each_other(tmp_path: Path) -> None:
    for name in ("onnxruntime_gpu", "onnxruntime_directml"):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", "doctor"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 1
    assert "hide each other" in done.stdout
