"""Batches of chips, in an order that is a function of (seed, epoch, sample) alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.data.chips import Chip, ChipSampler
from engine.training.schedule import Stage


@dataclass(frozen=True)
class Batch:
    """Chips of one step.

    Args:
        inputs: For each modality ``[B, C, H, W]`` in the sensor's units and data type.
        availability: ``[B, M]`` bool: the scenario of each sample.
        labels: ``[B, H, W]`` int64 class indices, -1 where ignored.
    """

    inputs: dict[str, Tensor]
    availability: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(
            {name: values.to(device, non_blocking=True) for name, values in self.inputs.items()},
            self.availability.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
        )

    def parts(self, count: int) -> tuple[Batch, ...]:
        """Its chips in so many parts as even as can be; fewer where there are fewer chips."""
        size = -(-len(self.labels) // count)
        return tuple(
            Batch(
                {name: values[start : start + size] for name, values in self.inputs.items()},
                self.availability[start : start + size],
                self.labels[start : start + size],
            )
            for start in range(0, len(self.labels), size)
        )


class _Samples(Dataset[Chip]):
    def __init__(self, sampler: ChipSampler) -> None:
        self.sampler = sampler

    def __getitem__(self, index: tuple[int, int]) -> Chip:
        return self.sampler.draw(*index)


class _Steps:
    """The (epoch, sample) pairs of each step of a stage, from a step on."""

    def __init__(self, stage: Stage, first: int) -> None:
        self.stage, self.first = stage, first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        schedule = self.stage.settings.schedule
        for step in range(self.first, self.stage.end):
            epoch, place = divmod(step - self.stage.first, schedule.steps_per_epoch)
            start = place * schedule.batch
            end = min(start + schedule.batch, schedule.samples)
            yield [(self.stage.first_epoch + epoch, sample) for sample in range(start, end)]

    def __len__(self) -> int:
        return self.stage.end - self.first


def collate(chips: Sequence[Chip]) -> Batch:
    """Stacks chips of one size."""
    return Batch(
        {name: torch.stack([torch.from_numpy(chip.values[name]) for chip in chips]) for name in chips[0].values},
        torch.stack([torch.from_numpy(chip.availability) for chip in chips]),
        torch.stack([torch.from_numpy(chip.labels) for chip in chips]).long(),
    )


def batches(sampler: ChipSampler, stage: Stage, first: int) -> DataLoader[Chip]:
    """The batches of a stage from step ``first`` of the training on.

    The sampler's scenes must not be open yet where the schedule has workers: each worker opens its own.
    """
    return DataLoader(
        _Samples(sampler),
        batch_sampler=_Steps(stage, first),
        collate_fn=collate,
        num_workers=stage.settings.schedule.workers,
        persistent_workers=False,
    )
