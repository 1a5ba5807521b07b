"""What the controlled experiment of LDS2AE shows, on a few of its groups."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "experiments" / "controlled"


def test_pre_training_on_unlabelled_windows_helps_a_probe_of_few_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    experiment = replace(importlib.import_module("lds2ae").EXPERIMENT, parts=("dependent",))
    monkeypatch.syspath_prepend(str(FOLDER))  # before the folder of that name's other script, for the processes
    assert experiment.do(range(4), parallel=1, folder=tmp_path)
    found = {(one.effect.arm, one.effect.reference, one.effect.measure): one for one in experiment.findings(tmp_path)}
    assert found["whole", "none", "probe 4"].shown
    assert found["whole", "none", "probe 40"].shown
    assert found["whole", "alone", "single 40"].shown
