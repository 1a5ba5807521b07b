"""Checkpoints: what was changed in one is found, and what an older engine wrote is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.errors import OutputError, RunError
from engine.training import checkpoints
from engine.training.checkpoints import Progress, damage, find, load, newest_intact, save


def made(run: Path, *steps: int, kind: checkpoints.Kind = "last") -> list[Path]:
    """Checkpoints of a small layer, whose weights are all the step that they are of."""
    layer = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    for step in steps:
        for parameter in layer.parameters():
            nn.init.constant_(parameter, step)
        save(run / "checkpoints", kind, layer, optimizer, Progress(step, 0.125, step, "recipe", 1, "2", True))
    return [run / "checkpoints" / f"{kind}-{step:09d}" for step in steps]


def flip(path: Path, place: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    (checkpoint,) = made(tmp_path, 3)
    assert sorted(path.name for path in checkpoint.iterdir()) == [
        "optimizer.safetensors", "progress.json", "weights.safetensors",
    ]  # fmt: skip
    assert damage(checkpoint) == ""
    layer = nn.Linear(2, 1)
    assert load(checkpoint, layer) == Progress(3, 0.125, 3, "recipe", 1, "2", True)
    assert layer.weight.tolist() == [[3, 3]]


def test_weights_of_a_network_that_had_other_layers_are_told_in_a_sentence(tmp_path: Path) -> None:
    (checkpoint,) = made(tmp_path, 3)
    with pytest.raises(RunError, match=r"1 weights .* weight for one: .* \(1, 2\) in the .* \(1, 5\) in the net"):
        load(checkpoint, nn.Linear(5, 1))
    with pytest.raises(RunError, match=r"4 weights .* 0\.bias for one: .* not there in the .* \(1,\) in the net"):
        load(checkpoint, nn.Sequential(nn.Linear(2, 1)))


@pytest.mark.parametrize("name", ["progress.json", "weights.safetensors", "optimizer.safetensors"])
def test_a_flipped_bit_anywhere_is_found_and_its_file_named(tmp_path: Path, name: str) -> None:
    (checkpoint,) = made(tmp_path, 3)
    path = checkpoint / name
    for place in range(path.stat().st_size):
        flip(path, place, place % 8)
        assert damage(checkpoint).startswith(str(path)), f"byte {place}"
        flip(path, place, place % 8)
    assert damage(checkpoint) == ""
    flip(path, 40)
    with pytest.raises(RunError, match=rf"{name}: .*: the checkpoint is damaged"):
        load(checkpoint, nn.Linear(2, 1))


@pytest.mark.parametrize("name", ["progress.json", "weights.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("hurt", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_file_that_is_torn_or_gone_is_found(tmp_path: Path, name: str, hurt: Callable[[Path], object]) -> None:
    (checkpoint,) = made(tmp_path, 3)
    hurt(checkpoint / name)
    assert damage(checkpoint).startswith(str(checkpoint / name))


def old(checkpoint: Path) -> None:
    """Makes of a checkpoint one of an engine that wrote no hashes."""
    content = json.loads((checkpoint / "progress.json").read_text())
    del content["sha256"]
    (checkpoint / "progress.json").write_text(json.dumps(content, indent=1))


def test_a_checkpoint_without_hashes_is_read_unless_it_is_torn(tmp_path: Path) -> None:
    (checkpoint,) = made(tmp_path, 3)
    old(checkpoint)
    layer = nn.Linear(2, 1)
    assert load(checkpoint, layer).step == 3
    assert layer.bias.tolist() == [3]
    path = checkpoint / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert damage(checkpoint).startswith(str(path))


def test_a_training_goes_on_from_the_newest_that_is_whole(tmp_path: Path) -> None:
    told: list[str] = []
    assert newest_intact(tmp_path, told.append) is None
    two, three = made(tmp_path, 2, 3)
    assert newest_intact(tmp_path, told.append) == three
    assert told == []
    flip(three / "weights.safetensors", 60)
    assert newest_intact(tmp_path, told.append) == two
    assert [str(three / "weights.safetensors") in line for line in told] == [True]
    assert "going on from last-000000002" in told[0]
    flip(two / "progress.json", 9)
    with pytest.raises(RunError, match=r"all of its last .*last-000000003/weights.*last-000000002/progress\.json"):
        newest_intact(tmp_path, told.append)


def test_a_damaged_best_one_is_told_with_the_last_one_that_is_there(tmp_path: Path) -> None:
    (best,) = made(tmp_path, 2, kind="best")
    assert find(tmp_path, "best") == best
    flip(best / "weights.safetensors", 60)
    with pytest.raises(RunError, match=r"best-000000002/weights\.safetensors: .* is damaged; .*--resume"):
        find(tmp_path, "best")
    made(tmp_path, 3)
    with pytest.raises(RunError, match=r"best-000000002/weights\.safetensors: .* --checkpoint last"):
        find(tmp_path, "best")


def test_what_is_damaged_is_written_anew_and_what_is_whole_is_left(tmp_path: Path) -> None:
    (checkpoint,) = made(tmp_path, 3)
    before = (checkpoint / "weights.safetensors").stat().st_ino
    made(tmp_path, 3)
    assert (checkpoint / "weights.safetensors").stat().st_ino == before
    flip(checkpoint / "weights.safetensors", 60)
    made(tmp_path, 3)
    assert damage(checkpoint) == ""
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last-000000003"]


def test_a_checkpoint_that_cannot_be_written_is_told_by_its_name() -> None:
    with pytest.raises(OutputError, match="/proc/run/checkpoints: cannot be written"):
        made(Path("/proc/run"), 1)
