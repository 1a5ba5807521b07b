"""Checkpoints: safetensors and JSON, written aside, synced to the disk and renamed.

The two last and the best stay, and what a schedule's ``keep_every`` asks for, whose optimiser is left out.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.errors import OutputError, RunError

Kind = Literal["last", "best", "kept"]
_STAY: dict[Kind, int] = {"last": 2, "best": 1}


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Args:
        step: Steps done, over all stages.
        best_score: Best mean mIoU over the scenarios on the validation split in this stage; -1 before the first.
        best_step: The step of that score.
        digest: Hash of the recipe.
        threads: Threads that torch computes with: with others, sums round differently.
        torch: Version of torch.
        learned: Whether a step of this stage has changed anything.
    """

    step: int
    best_score: float
    best_step: int
    digest: str
    threads: int
    torch: str
    learned: bool = True  # in checkpoints that do not say


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{parameter}.{name}": value.contiguous()
        for parameter, values in state.items()
        for name, value in values.items()
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        parameter, name = key.split(".", 1)
        state.setdefault(int(parameter), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def save(
    folder: Path,
    kind: Kind,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer | None,
    progress: Progress,
) -> None:
    """Writes the checkpoint of ``progress.step`` whole or not at all, and removes older ones of its kind.

    Without an optimiser no training goes on from it. A checkpoint that stands there already is of the same step of the
    same training, hence the same.

    Raises:
        OutputError: If the folder cannot be written.
    """
    final = folder / f"{kind}-{progress.step:09d}"
    if final.exists():
        return
    aside = folder / f".{final.name}.part"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        weights = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
        save_file(weights, aside / "weights.safetensors")
        if optimizer is not None:
            save_file(_optimizer_tensors(optimizer), aside / "optimizer.safetensors")
        (aside / "progress.json").write_text(json.dumps(asdict(progress), indent=1), encoding="utf-8")
        for file in aside.iterdir():
            _sync(file)
        _sync(aside)
        aside.rename(final)
        _sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise OutputError(f"{final}: the checkpoint cannot be written: {error}") from error
    if kind in _STAY:
        for old in _complete(folder, kind)[: -_STAY[kind]]:
            shutil.rmtree(old)


def _complete(folder: Path, kind: Kind) -> list[Path]:
    return sorted(folder.glob(f"{kind}-" + "[0-9]" * 9))


def newest(folder: Path, kind: Kind) -> Path | None:
    """The newest complete checkpoint of a kind, or None before the first."""
    complete = _complete(folder, kind)
    return complete[-1] if complete else None


def find(run: Path, kind: Kind) -> Path:
    """The best or last checkpoint of a run folder.

    Raises:
        RunError: If there is none.
    """
    found = newest(run / "checkpoints", kind)
    if found is None:
        other: Kind = "last" if kind == "best" else "best"
        there = newest(run / "checkpoints", other)
        hint = (
            f"it has a {other} one: --checkpoint {other}, or start.checkpoint in a recipe"
            if there
            else "train it first with `engine train`"
        )
        raise RunError(f"{run}: has no {kind} checkpoint; {hint}")
    return found


def kept(run: Path) -> list[Path]:
    """The checkpoints that stay, oldest first."""
    return _complete(run / "checkpoints", "kept")


def remove_best(run: Path) -> None:
    """Removes the best checkpoint of earlier stages, before one that is never validated."""
    for old in _complete(run / "checkpoints", "best"):
        shutil.rmtree(old)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was made at."""
    return int(checkpoint.name.rpartition("-")[2])


def load(checkpoint: Path, module: torch.nn.Module) -> Progress:
    """Loads the weights.

    Raises:
        RunError: If the checkpoint does not fit the network.
    """
    try:
        module.load_state_dict(load_file(checkpoint / "weights.safetensors"))
        return Progress(**json.loads((checkpoint / "progress.json").read_text(encoding="utf-8")))
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError) as error:
        raise RunError(f"{checkpoint}: cannot be loaded: {error}") from error


def load_optimizer(checkpoint: Path, optimizer: torch.optim.Optimizer) -> None:
    """Loads the state of the optimiser of the checkpoint's stage.

    Raises:
        RunError: If the checkpoint does not fit the optimiser.
    """
    try:
        _load_optimizer(optimizer, load_file(checkpoint / "optimizer.safetensors"))
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise RunError(f"{checkpoint}: the optimiser's state cannot be loaded: {error}") from error
