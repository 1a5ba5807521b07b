"""Checkpoints: safetensors and JSON, written aside, synced to the disk and renamed.

The two last and the best stay, and what a schedule's ``keep_every`` asks for, whose optimiser is left out. The JSON
holds the SHA-256 of the other files and of itself, so that a byte that has changed anywhere is found.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from engine.errors import RunError
from engine.files import aside_folder, file_digest, make_folder, publish, unwritable, write_bytes

WEIGHTS, OPTIMIZER, PROGRESS = "weights.safetensors", "optimizer.safetensors", "progress.json"
TRAINED = "trained.safetensors"
"""Where the weights are an average: those that the optimiser goes on with."""
_DIGESTS = "sha256"

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
        stopped: Steps after which the last stage ended early; None where it did not.
    """

    step: int
    best_score: float
    best_step: int
    digest: str
    threads: int
    torch: str
    learned: bool = True  # in checkpoints that do not say
    stopped: int | None = None


def _encoded(content: Mapping[str, Any], digests: Mapping[str, str]) -> bytes:
    """What stands in the JSON, with the hashes of the other files and of the rest of itself."""
    rest = json.dumps({**content, _DIGESTS: digests}, indent=1).encode()
    own = {PROGRESS: hashlib.sha256(rest).hexdigest()}
    return json.dumps({**content, _DIGESTS: {**digests, **own}}, indent=1).encode()


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
    trained: torch.nn.Module | None = None,
) -> None:
    """Writes the checkpoint of ``progress.step`` whole or not at all, and removes older ones of its kind.

    Without an optimiser no training goes on from it. A checkpoint that stands there already is of the same step of the
    same training, hence the same.

    Args:
        folder: Of the run's checkpoints.
        kind: Of the checkpoint.
        module: Whose weights are the checkpoint's.
        optimizer: Of the stage.
        progress: How far the training is.
        trained: Whose weights the optimiser goes on with, where ``module`` holds their average.

    Raises:
        OutputError: If the folder cannot be written.
    """
    final = folder / f"{kind}-{progress.step:09d}"
    if final.exists():
        if not damage(final):
            return
        _remove(final)
    make_folder(folder)
    with aside_folder(final) as found:
        try:
            save_file(_weights(module), found / WEIGHTS)
            if optimizer is not None and trained is not None:
                save_file(_weights(trained), found / TRAINED)
            if optimizer is not None:
                save_file(_optimizer_tensors(optimizer), found / OPTIMIZER)
        except SafetensorError as error:
            raise unwritable(final, error, "make room on its disk, or check its folder") from error
        digests = {path.name: file_digest(path) for path in sorted(found.iterdir())}
        write_bytes(found / PROGRESS, _encoded(asdict(progress), digests))
        publish(found, final)
    if kind in _STAY:
        for old in _complete(folder, kind)[: -_STAY[kind]]:
            _remove(old)


def _weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}


def _remove(checkpoint: Path) -> None:
    """Removes a checkpoint; what a kill leaves of it has no name of a checkpoint."""
    gone = checkpoint.with_name(f".{checkpoint.name}.part")
    shutil.rmtree(gone, ignore_errors=True)
    try:
        checkpoint.rename(gone)
    except OSError as error:
        raise unwritable(checkpoint, error) from error
    shutil.rmtree(gone, ignore_errors=True)


def damage(checkpoint: Path) -> str:
    """Which file of a checkpoint is not what was written, and why; empty where all are.

    Of one that an older engine wrote, without hashes, it is found only if files are torn.
    """
    name = PROGRESS
    try:
        text = (checkpoint / PROGRESS).read_bytes()
        content = json.loads(text)
        digests = content.pop(_DIGESTS, None)
        Progress(**content)
        if digests is None:
            for path in checkpoint.glob("*.safetensors"):
                name = path.name
                with safe_open(path, "pt"):
                    pass
            return ""
        digests.pop(PROGRESS)
        if text != _encoded(content, digests):
            return f"{checkpoint / PROGRESS}: its bytes are not those that were written"
        for name, digest in digests.items():
            if file_digest(checkpoint / name) != digest:
                return f"{checkpoint / name}: its bytes are not those that were written"
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError, KeyError) as error:
        return f"{checkpoint / name}: cannot be read: {error}"
    return ""


def _complete(folder: Path, kind: Kind) -> list[Path]:
    return sorted(folder.glob(f"{kind}-" + "[0-9]" * 9))


def newest(folder: Path, kind: Kind) -> Path | None:
    """The newest complete checkpoint of a kind, or None before the first."""
    complete = _complete(folder, kind)
    return complete[-1] if complete else None


def find(run: Path, kind: Kind) -> Path:
    """The best or last checkpoint of a run folder.

    Raises:
        RunError: If there is none, or it is damaged.
    """
    found = newest(run / "checkpoints", kind)
    damaged = "" if found is None else damage(found)
    if found is not None and not damaged:
        return found
    other: Kind = "last" if kind == "best" else "best"
    there = newest(run / "checkpoints", other)
    hint = "train it first with `engine train`"
    if damaged:
        hint = "`engine train --resume` makes it anew from an earlier one, where there is one"
    if there is not None and not damage(there):
        hint = f"it has a {other} one: --checkpoint {other}, or start.checkpoint in a recipe"
    if damaged:
        raise RunError(f"{damaged}: the {kind} checkpoint of {run} is damaged; {hint}")
    raise RunError(f"{run}: has no {kind} checkpoint; {hint}")


def newest_intact(run: Path, say: Callable[[str], None], before: int | None = None) -> Path | None:
    """The checkpoint that a training goes on from: the newest last one that is what was written.

    Args:
        run: The run folder.
        say: Told which newer ones are damaged.
        before: Only those of earlier steps than this one.

    Returns:
        None where the run has none yet.

    Raises:
        RunError: If all are damaged.
    """
    found = _complete(run / "checkpoints", "last")
    if before is not None:
        found = [one for one in found if step_of(one) < before]
    damaged: list[str] = []
    for one in reversed(found):
        what = damage(one)
        if not what:
            for text in damaged:
                say(f"Warning: {text}; going on from {one.name}")
            return one
        damaged.append(what)
    if damaged:
        raise RunError(
            f"{run}: cannot go on: all of its last checkpoints are damaged: {'; '.join(damaged)}; restore one from a "
            "backup, or train anew into another folder"
        )
    return None


def kept(run: Path) -> list[Path]:
    """The checkpoints that stay, oldest first."""
    return _complete(run / "checkpoints", "kept")


def remove_best(run: Path) -> None:
    """Removes the best checkpoint of earlier stages, before one that is never validated."""
    for old in _complete(run / "checkpoints", "best"):
        _remove(old)


def remove_last(run: Path, step: int) -> None:
    """Removes the last checkpoints of a step and later ones."""
    for one in _complete(run / "checkpoints", "last"):
        if step_of(one) >= step:
            _remove(one)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was made at."""
    return int(checkpoint.name.rpartition("-")[2])


def read_progress(checkpoint: Path) -> Progress:
    """How far a training was.

    Raises:
        RunError: If a file of the checkpoint is damaged.
    """
    damaged = damage(checkpoint)
    if damaged:
        raise RunError(f"{damaged}: the checkpoint is damaged; take another one")
    content = json.loads((checkpoint / PROGRESS).read_bytes())
    content.pop(_DIGESTS, None)
    return Progress(**content)


def load(checkpoint: Path, module: torch.nn.Module, *, trained: bool = False) -> Progress:
    """Loads the weights; where they are an average and ``trained`` is true, those that the optimiser goes on with.

    Raises:
        RunError: If the checkpoint is damaged, or does not fit the network.
    """
    found = read_progress(checkpoint)
    try:
        weights = load_file(checkpoint / (TRAINED if trained else WEIGHTS))
    except (OSError, SafetensorError) as error:
        raise RunError(f"{checkpoint}: cannot be loaded: {error}") from error
    there, wanted = ({key: tuple(value.shape) for key, value in one.items()} for one in (weights, module.state_dict()))
    if unlike := sorted(key for key in there.keys() | wanted.keys() if there.get(key) != wanted.get(key)):
        shapes = [one.get(unlike[0], "not there") for one in (there, wanted)]
        raise RunError(
            f"{checkpoint}: {len(unlike)} weights do not fit the network, {unlike[0]} for one: its shape "
            f"is {shapes[0]} in the checkpoint, {shapes[1]} in the network; its recipe was changed, or the engine that "
            "trained it had other layers: take that engine, or train anew; models exported from it stay as they are"
        )
    module.load_state_dict(weights)
    return found


def load_optimizer(checkpoint: Path, optimizer: torch.optim.Optimizer) -> None:
    """Loads the state of the optimiser of the checkpoint's stage.

    Raises:
        RunError: If the checkpoint does not fit the optimiser.
    """
    try:
        _load_optimizer(optimizer, load_file(checkpoint / OPTIMIZER))
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise RunError(f"{checkpoint}: the optimiser's state cannot be loaded: {error}") from error
