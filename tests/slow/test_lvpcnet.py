"""What the controlled experiment of LVPCnet shows, on a few of its groups."""

import dataclasses
import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "experiments" / "controlled"


def test_prompts_recreate_a_sensor_that_the_one_there_determines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the convolution before them; frozen, it hands over noise."""
    monkeypatch.syspath_prepend(str(FOLDER))
    whole = importlib.import_module("lvpcnet").EXPERIMENT
    monkeypatch.syspath_prepend(str(FOLDER))  # before the folder of that name's other script, for the processes
    experiment = dataclasses.replace(whole, parts=("prompts",))
    assert experiment.do(range(6), parallel=1, folder=tmp_path)
    found = {(one.effect.reference, one.effect.measure): one for one in experiment.findings(tmp_path)}
    assert found["no prompts", "learned"].shown
    assert found["no prompts", "without B"].shown
    assert found["frozen convolution", "without B"].shown
