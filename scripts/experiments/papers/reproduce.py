"""A paper's table from a paper's recipe: trains its rows, scores them, and prints its figures beside ours.

    python scripts/experiments/papers/reproduce.py run PROTOCOL --data DATA -o FOLDER [--weights WEIGHTS]
    python scripts/experiments/papers/reproduce.py dry-run PROTOCOL -o FOLDER
    python scripts/experiments/papers/reproduce.py compare PROTOCOL FOLDER

`run` needs a GPU and the data set; a run that was stopped goes on. `dry-run` does the same on small files that it makes
itself, with small networks and a few steps: its figures mean nothing. Protocols: see `protocols.py`, and
`docs/reproducing.md` for what each needs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))
from beside import REPORTS, folder_of, lines, table
from made import MAKERS
from protocols import PROTOCOLS, Arm, Protocol, Repeat, Small

FACTS = {"lgss.csv": "lgss.json", "scenarios.csv": "report.json"}
"""What stands beside each report of an evaluation."""

RECIPES = Path(__file__).parents[3] / "recipes" / "papers"
Content = dict[str, Any]


def content_of(
    arm: Arm, repeat: Repeat, data: Path, *, weights: Path | None = None, small: Small | None = None
) -> Content:
    """A recipe as a mapping: of one training of an arm.

    Args:
        arm: Which; a run that it starts from is still to be named.
        repeat: Which training of it.
        data: The data set's folder.
        weights: Folder of the pretrained weights, of the network or of CLIP; where the recipe says if None.
        small: Makes a dry run of it.
    """
    from engine.training.content import override, recipe_content

    content = recipe_content(RECIPES / f"{arm.recipe}.yaml")
    content["data"]["root"] = str(data.resolve())
    for words in (*arm.changes, *repeat):
        override(content, words)
    if arm.sensors is not None:
        _keep_sensors(content, arm.sensors)
    content["stages"] = content["stages"][: arm.stages]
    if weights is not None:
        _take_weights(content, str(weights.resolve()))
    if small is not None:
        _make_small(content, small)
    return content


def _keep_sensors(content: Content, sensors: Sequence[str]) -> None:
    content["modalities"] = [one for one in content["modalities"] if one["name"] in sensors]
    for scene in content["data"]["scenes"]:
        scene["sources"] = {name: paths for name, paths in scene["sources"].items() if name in sensors}
    for options in _language(content):
        options["sensors"] = {name: kind for name, kind in options["sensors"].items() if name in sensors}


def _language(content: Content) -> list[Content]:
    """The options of the objectives that have texts."""
    objectives = [one for stage in content["stages"] for one in stage["method"]["objectives"]]
    return [one["options"] for one in objectives if isinstance(one, dict) and "sensors" in one["options"]]


def _take_weights(content: Content, folder: str) -> None:
    if "weights" in content["network"]["options"]:
        content["network"]["options"]["weights"] = folder
    for options in _language(content):
        options["encoder"] = {"name": "clip", "options": {"model": folder}}


def _make_small(content: Content, small: Small) -> None:
    options = content["network"]["options"]
    options |= {key: value for key, value in small.network.items() if value is not None}
    for key in [key for key, value in small.network.items() if value is None]:
        options.pop(key, None)
    if "patch" in options:
        options["patch"] = 1
    for key, value in small.data.items():
        *parents, last = key.split(".")
        place = content["data"]
        for parent in parents:
            place = place[parent]
        place[last] = value
    for texts in _language(content):
        texts["encoder"] = "hashed"
    for stage in content["stages"]:
        stage["schedule"] |= {"epochs": small.steps, "samples": small.batch, "batch": small.batch, "workers": 0}


def run(
    protocol: Protocol, data: Path, folder: Path, repeats: int | None, device: str, *, weights: Path | None, dry: bool
) -> None:
    """Trains and scores all rows; what is there is not done again.

    Args:
        protocol: The table.
        data: The data set's folder.
        folder: Where recipes, runs and evaluations go.
        repeats: How many trainings of each row, the first ones; all where None.
        device: ``auto``, ``cpu`` or ``cuda``.
        weights: Folder of pretrained weights.
        dry: Whether it is made small.
    """
    (folder / "recipes").mkdir(parents=True, exist_ok=True)
    chosen = list(enumerate(protocol.repeats[:repeats]))
    for number, repeat in chosen:
        for arm in protocol.arms:
            content = content_of(arm, repeat, data, weights=weights, small=protocol.small if dry else None)
            if arm.start is not None:
                start = str(_run_of(folder, arm.start, number).resolve())
                content["start"] = {"run": start, "modalities": dict(arm.adopts)}
            _train(content, folder, arm, number, device)
            if not protocol.images:
                to = _run_of(folder, arm.name, number)
                _evaluate(protocol, folder, to.name, [to], device)
    if protocol.images:
        for arm in protocol.arms:
            runs = [_run_of(folder, arm.name, number) for number, _ in chosen]
            _evaluate(protocol, folder, folder_of(arm.name), runs, device)


def _run_of(folder: Path, arm: str, number: int) -> Path:
    return folder / "runs" / f"{folder_of(arm)}-{number}"


def _engine(*words: object) -> None:
    command = [str(word) for word in words]
    print("engine", *command, flush=True)
    subprocess.run([sys.executable, "-m", "engine.cli", *command], check=True)


def _train(content: Content, folder: Path, arm: Arm, number: int, device: str) -> None:
    to = _run_of(folder, arm.name, number)
    path = folder / "recipes" / f"{to.name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    again = ["--resume"] if any((to / "checkpoints").glob("last-*")) else []
    _engine("train", path, "-o", to, "--device", device, *again)


def _evaluate(protocol: Protocol, folder: Path, name: str, runs: Sequence[Path], device: str) -> None:
    to = folder / "evaluation" / name
    if _scored(to) == [one.name for one in runs]:
        return
    scored = ["--protocol", "lgss"] if protocol.images else []
    options = ["--checkpoint", "last", "--split", protocol.split, "--device", device, "-o", to, *scored]
    _engine("evaluate", *runs, *options)


def _scored(folder: Path) -> list[str]:
    """The runs that an evaluation is of; none where there is no evaluation."""
    for report in REPORTS:
        if (folder / report).exists():
            found: list[str] = json.loads((folder / FACTS[report]).read_text(encoding="utf-8"))["of"]
            return found
    return []


def compare(name: str, folder: Path) -> None:
    """Prints a protocol's table beside what a folder of :func:`run` holds."""
    found = list(lines(name, folder / "evaluation"))
    if not any(line.ours for line in found):
        sys.exit(f"{folder}: holds no evaluation of {name}; `run` or `dry-run` makes them")
    print(f"\n{PROTOCOLS[name].table}; figures of the paper as printed\n")
    print(table(found))


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main() -> None:
    """The command line."""
    try:
        _command_line()
    except subprocess.CalledProcessError as error:  # the engine has said why
        sys.exit(f"stopped: engine {error.cmd[3]} did not end well; mend that, and the same command goes on from here")


def _command_line() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("run", "dry-run", "compare"):
        one = commands.add_parser(command)
        one.add_argument("protocol", choices=PROTOCOLS)
        if command == "compare":
            one.add_argument("folder", type=Path)
            continue
        one.add_argument("-o", "--output", dest="folder", type=Path, required=True)
        one.add_argument("--repeats", type=_count, help="only so many trainings of each row")
        one.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
        if command == "run":
            one.add_argument("--data", type=Path, required=True)
            one.add_argument("--weights", type=Path, help="folder of pretrained weights")
    arguments = parser.parse_args()
    name, folder = arguments.protocol, arguments.folder
    protocol = PROTOCOLS[name]
    if arguments.command == "dry-run":
        if not (folder / "data").exists():
            MAKERS[protocol.data](folder / "data")
        run(protocol, folder / "data", folder, arguments.repeats or 1, arguments.device, weights=None, dry=True)
        print("\nA dry run: the figures under `here` mean nothing.")
    elif arguments.command == "run":
        if (folder / "data").exists():
            sys.exit(f"{folder}: holds a dry run; choose another folder")
        run(
            protocol,
            arguments.data,
            folder,
            arguments.repeats,
            arguments.device,
            weights=arguments.weights,
            dry=False,
        )
    compare(name, folder)


if __name__ == "__main__":
    main()
