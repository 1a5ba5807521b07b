"""What a map will take of time and memory, found by running a tile; how many tiles at a time the memory allows."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.availability import Scenario
from engine.errors import ResourceError
from engine.runtime.machine import free_memory, resident_memory
from engine.runtime.session import KEPT, Sessions
from engine.said import Said

USABLE = 0.9
"""Share of the free memory that a map may plan with."""


@dataclass(frozen=True)
class Estimate:
    """What is to be expected of a map.

    Args:
        tiles: That are left to run.
        threads: Tiles at a time.
        seconds: Until the map is finished, without what the reading of the sources takes.
        memory: Bytes at the most, this process's own included, should no more scenarios occur than were counted on.
        sessions: For how many scenarios at a time there is memory.
    """

    tiles: int
    threads: int
    seconds: float
    memory: int
    sessions: int


GROWTH = 1.5
"""Memory that ONNX Runtime's arena takes over what its runs need at a time."""


def estimate(
    sessions: Sessions,
    scenario: Scenario,
    tile: int,
    tiles: int,
    threads: int,
    batch: int,
    fixed: int,
    occurring: int,
    most: int | None = None,
) -> Estimate:
    """Runs a batch of means in a scenario, and counts up.

    Args:
        sessions: The model's.
        scenario: The fullest that the sources allow; any part of it may occur, in a session of its own.
        tile: Size of a tile.
        tiles: How many there are to run.
        threads: How many at a time are wanted.
        batch: Tiles in a run; where it is not 1, runs follow each other and their memory is a device's own.
        fixed: Bytes that are needed whatever runs.
        occurring: Scenarios that are to be expected.
        most: Bytes that this process may take; all that are free where None.

    Raises:
        DeviceError: If a batch cannot be run.
        ResourceError: If there is no memory for a single tile at a time.
    """
    modalities = [sessions.model.modalities[index] for index in scenario.indices]
    inputs = {
        item.name: np.ascontiguousarray(
            np.broadcast_to(item.fill[None, :, None, None], (batch, len(item.fill), tile, tile))
        )
        for item in modalities
    }
    threads = max(1, min(threads, tiles))
    result, turn, grown = _tried(sessions, scenario, inputs, twice=tiles > threads)

    def seconds(count: int) -> float:
        return turn * math.ceil(tiles / (count if batch == 1 else batch))

    observed = sum(values.nbytes for values in inputs.values()) // batch
    waiting = max(result // batch, observed) + 8 * tile * tile
    work = 2 * result // batch + observed
    every = min(2 ** len(modalities) - 1, KEPT)
    arena = int(GROWTH * max(0, grown)) if batch == 1 else 0

    def needed(count: int, scenarios: int) -> int:
        return fixed + count * (work + arena * scenarios) + (2 * count + 2) * waiting

    free, own = free_memory(), resident_memory()
    usable = USABLE * free if most is None else min(USABLE * free, most - own)
    fitting = next((n for n in range(threads, 0, -1) if needed(n, min(occurring, every)) <= usable), 1)
    if needed(fitting, 1) > usable:  # sessions of more scenarios could be made anew for each tile
        what = f"one tile of {tile} x {tile} pixels at a time needs {needed(1, 1) / 1e9:.2f} GB of memory, but "
        if most is not None and most - own < USABLE * free:
            raise ResourceError(
                f"{what}--memory allows {most / 1e9:.2f} GB, of which the engine has {own / 1e9:.2f} GB already; allow "
                f"{math.ceil((own + needed(1, 1)) / 1e8) / 10:.1f} GB, or export the model with a smaller tile"
            )
        raise ResourceError(
            f"{what}only {free / 1e9:.2f} GB are free; close other programs, raise the limit, or export the model with "
            "a smaller tile"
        )
    kept = next((n for n in range(every, 1, -1) if needed(fitting, n) <= usable), 1)
    return Estimate(tiles, fitting, seconds(fitting), own + needed(fitting, min(occurring, kept)), kept)


def _tried(
    sessions: Sessions, scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]], twice: bool
) -> tuple[int, float, int]:
    """Bytes that a batch's result takes, the seconds of a run, and by how many bytes the process grew with it.

    Twice, since the first run of a session is slower.
    """
    sessions.session(scenario)
    before = resident_memory()
    started = time.perf_counter()
    result = sessions.probabilities(scenario, inputs)
    after = resident_memory()
    if twice:
        started = time.perf_counter()
        sessions.probabilities(scenario, inputs)
    return result.nbytes, time.perf_counter() - started, after - before


def said(found: Estimate) -> str:
    """An estimate in words."""
    seconds, memory = max(1, round(found.seconds)), found.memory / 1e9
    return Said(
        "{tiles} tiles, {threads} at a time: about {seconds} s and {memory:.1f} GB of memory",
        tiles=found.tiles,
        threads=found.threads,
        seconds=seconds,
        memory=memory,
    )
