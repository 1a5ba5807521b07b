"""Tiles of the same scenario in one run, for devices that are faster so.

Threads that ask for a tile's probabilities wait until as many of its scenario have come as a batch holds, or none has
come for a moment. A batch is filled up to its size, so that every run has the same shape and a tile's result does not
depend on its neighbours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.availability import Scenario

Predictor = Callable[[Scenario, Mapping[str, NDArray[np.generic]]], NDArray[np.float32]]
"""Probabilities ``[B, K, T, T]`` under a scenario, of its members' values ``[B, C, T, T]``."""

PATIENCE = 0.01
"""Seconds that a batch waits for the next tile."""


@dataclass
class _Group:
    """Tiles of one scenario that run together."""

    inputs: list[Mapping[str, NDArray[np.generic]]] = field(default_factory=list)
    results: NDArray[np.float32] | None = None
    error: BaseException | None = None
    last: float = 0
    taken: bool = False
    done: bool = False


class Batches:
    """A predictor of single tiles that runs them in batches; called from at least ``size`` threads.

    Args:
        predict: Gives the probabilities of a batch.
        size: Tiles in a batch.
    """

    def __init__(self, predict: Predictor, size: int) -> None:
        self.predict, self.size = predict, size
        self._changed = threading.Condition()
        self._running = threading.Lock()
        self._groups: dict[Scenario, _Group] = {}

    def __call__(self, scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """Probabilities ``[1, K, T, T]`` of one tile's values ``[1, C, T, T]``."""
        with self._changed:
            group = self._groups.setdefault(scenario, _Group())
            place = len(group.inputs)
            group.inputs.append(inputs)
            group.last = time.monotonic()
            if len(group.inputs) == self.size:
                del self._groups[scenario]
            self._changed.notify_all()
            while not group.taken and len(group.inputs) < self.size:
                rest = group.last + PATIENCE - time.monotonic()
                if rest <= 0:
                    break
                self._changed.wait(rest)
            mine = not group.taken
            group.taken = True
            if mine and self._groups.get(scenario) is group:
                del self._groups[scenario]
        if mine:
            self._run(scenario, group)
        with self._changed:
            self._changed.wait_for(lambda: group.done)
        if group.error is not None:
            raise group.error
        found: NDArray[np.float32] = group.results[place : place + 1]  # type: ignore[index]
        return found

    def _run(self, scenario: Scenario, group: _Group) -> None:
        try:
            missing = self.size - len(group.inputs)
            batch = {
                name: np.concatenate([item[name] for item in group.inputs] + [group.inputs[0][name]] * missing)
                for name in group.inputs[0]
            }
            with self._running:
                group.results = self.predict(scenario, batch)
        except BaseException as error:  # each waiting thread raises it
            group.error = error
        with self._changed:
            group.done = True
            self._changed.notify_all()
