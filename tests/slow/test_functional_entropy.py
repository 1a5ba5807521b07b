"""What the controlled experiment of functional entropy shows, on a few of its groups."""

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "experiments" / "controlled"


def test_a_neglected_sensor_learns_by_its_own_cross_entropy_and_by_dropout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    experiment = importlib.import_module("functional_entropy").EXPERIMENT
    monkeypatch.syspath_prepend(str(FOLDER))  # before the folder of that name's other script, for the processes
    assert experiment.do(range(4), parallel=1, folder=tmp_path)
    found = {(one.effect.arm, one.effect.reference): one for one in experiment.findings(tmp_path)}
    assert found["unimodal", "none"].shown
    assert found["dropout", "none"].shown
