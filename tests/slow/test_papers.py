"""Each paper's protocol from files of its data set's shape to its table, with small networks and a few steps."""

import csv
import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "experiments" / "papers"
sys.path.insert(0, str(FOLDER))
reproduce = importlib.import_module("reproduce")


@pytest.mark.parametrize("name", reproduce.PROTOCOLS)
def test_a_dry_run_has_every_figure_of_its_table(name: str, tmp_path: Path) -> None:
    protocol = reproduce.PROTOCOLS[name]
    reproduce.MAKERS[protocol.data](tmp_path / "data")
    reproduce.run(protocol, tmp_path / "data", tmp_path, 1, "cpu", weights=None, dry=True)
    found = list(reproduce.lines(name, tmp_path / "evaluation"))
    assert found
    assert all(len(line.ours) == 1 for line in found)


def test_a_dry_run_computes_the_terms_that_its_rows_differ_by(tmp_path: Path) -> None:
    protocol = reproduce.PROTOCOLS["functional_entropy-terms"]
    reproduce.MAKERS[protocol.data](tmp_path / "data")
    reproduce.run(protocol, tmp_path / "data", tmp_path, 1, "cpu", weights=None, dry=True)
    for arm, terms in (("L_sup", 0), ("L_sup + R_p", 1), ("L_sup + R_p + R_f", 2)):
        with (tmp_path / "runs" / f"{reproduce.folder_of(arm)}-0" / "metrics.csv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if "loss/entropy" in row["name"] and float(row["value"]) > 0]
        assert len({row["name"] for row in rows}) == terms
