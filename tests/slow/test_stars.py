"""What the controlled experiment of STARS shows with the fewest labels, on all of its groups."""

import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "experiments" / "controlled"


def test_a_weak_sensor_with_few_labels_gains_by_alignment(tmp_path: Path) -> None:
    sys.path.append(str(FOLDER))
    spec = importlib.util.spec_from_file_location("controlled_stars", FOLDER / "stars.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    experiment, part = module.EXPERIMENT, "0.1 %"
    for group in range(experiment.groups):
        rows = experiment.work(group, part)
        experiment.results(tmp_path).append([{"group": group, "part": part, **row} for row in rows])
    found = {(one.effect.arm, one.effect.reference, one.effect.measure): one for one in experiment.findings(tmp_path)}
    assert found["stars, 0.1 %", "joint, 0.1 %", "weak"].shown
