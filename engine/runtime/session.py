"""ONNX Runtime sessions: one a scenario, of the graph that this scenario needs, called from several threads."""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as _ort

from engine.availability import Scenario
from engine.errors import Cancelled, DeviceError, ModelError, how_to_install
from engine.model.file import Model
from engine.names import shown
from engine.said import Said

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}

DEVICES = ("auto", *_PROVIDERS)
"""Devices by name; which of them can be used depends on the build of ONNX Runtime and on the machine."""

KEPT = 64
"""Sessions kept at a time at most; fewer where memory is short."""

_ERRORS: tuple[type[Exception], ...] = (
    *(one for one in vars(_ort).values() if isinstance(one, type) and issubclass(one, Exception)),
    *(RuntimeError, ValueError, IndexError, MemoryError),  # what its bindings make of exceptions of C++
)
"""All that ONNX Runtime raises."""

_MEMORY = ("allocate", "bad_alloc", "bad allocation", "out of memory")
"""One of these words stands in what it says where memory is short."""


def choose_device(device: str) -> str:
    """The device asked for, or for ``auto`` CUDA where ONNX Runtime has it, else the CPU.

    Raises:
        DeviceError: If the device is unknown or ONNX Runtime lacks it.
    """
    available = onnxruntime.get_available_providers()
    if device == "auto":
        return "cuda" if _PROVIDERS["cuda"] in available else "cpu"
    if device not in _PROVIDERS:
        raise DeviceError(f"device {device!r} is none of {', '.join(DEVICES)}")
    if _PROVIDERS[device] not in available:
        raise DeviceError(
            f"device {device} cannot be used: this build of ONNX Runtime has {', '.join(available)}; "
            f"install one that has it (for cuda and tensorrt: {how_to_install('gpu')}), or use --device cpu"
        )
    return device


def _unused_gpu() -> str | None:
    """What to do for an NVIDIA GPU that this build of ONNX Runtime cannot use; None where there is none."""
    if shutil.which("nvidia-smi") is None:
        return None
    return Said(
        "this computer has an NVIDIA GPU, but the engine was set up without it; the map is made on the CPU, which "
        "takes many times as long. Set the engine up for the GPU ({how}, in place of [cpu])",
        how=how_to_install("gpu"),
    )


class Sessions:
    """Runs a model in any scenario.

    Args:
        model: The model.
        device: One of :data:`DEVICES`. With ``auto``, :attr:`device` is settled by the first session: a machine
            can have ONNX Runtime's CUDA part and no GPU that works.
        outputs: What :meth:`run` gives.
        threads: Threads of a single run; 1 where several threads call :meth:`run`.

    Raises:
        DeviceError: If the device cannot be used.
    """

    def __init__(
        self,
        model: Model,
        device: str = "auto",
        outputs: Sequence[str] = ("probabilities",),
        threads: int = 1,
    ) -> None:
        self.model, self.outputs, self.threads = model, tuple(outputs), threads
        self.device = choose_device(device)
        self._settled = device != "auto"
        if self.device in ("cuda", "tensorrt") and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA's libraries from pip's packages, which no loader finds by itself
        self.kept = KEPT
        """Sessions kept at a time."""
        self.fallback = _unused_gpu() if device == "auto" and self.device == "cpu" else None
        """Why ``auto`` took the CPU, where there is another device or seemed to be."""
        self._lock = threading.Lock()
        self._sessions: OrderedDict[Scenario, Future[onnxruntime.InferenceSession]] = OrderedDict()
        self._running: set[onnxruntime.RunOptions] = set()
        self._stopped = False

    def session(self, scenario: Scenario) -> onnxruntime.InferenceSession:
        """The session of a scenario, made when it is first asked for; others can be had meanwhile.

        Raises:
            DeviceError: If the device cannot be used.
            ModelError: If ONNX Runtime refuses the model's graph.
        """
        mine: Future[onnxruntime.InferenceSession] | None = None
        with self._lock:
            if scenario not in self._sessions:
                while len(self._sessions) >= self.kept:
                    self._sessions.popitem(last=False)
                self._sessions[scenario] = mine = Future()
            found = self._sessions[scenario]
            self._sessions.move_to_end(scenario)
        if mine is not None:
            try:
                mine.set_result(self._make(scenario))
            except BaseException as error:
                with self._lock:
                    self._sessions.pop(scenario, None)
                mine.set_exception(error)
        return found.result()

    def order(self, scenarios: Iterable[Scenario]) -> list[Scenario]:
        """Scenarios in the order in which they are best run: first those whose session is there."""
        with self._lock:
            return sorted(scenarios, key=lambda scenario: scenario not in self._sessions)

    def close(self) -> None:
        """Gives the sessions' memory back; they are made anew when they are asked for."""
        with self._lock:
            self._sessions.clear()

    def stop(self) -> None:
        """Ends the runs that are under way, which raise; there are none after that."""
        with self._lock:
            self._stopped = True
            for options in self._running:
                options.terminate = True

    def _make(self, scenario: Scenario) -> onnxruntime.InferenceSession:
        graph = self.model.specialised(scenario, self.outputs)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = [_PROVIDERS[self.device]]
        try:
            session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=providers)
        except _ERRORS as error:
            raise self._typed(error) from error
        if _PROVIDERS[self.device] not in session.get_providers():
            if not self._settled:
                self.fallback = (
                    f"the device {self.device} cannot be used (ONNX Runtime fell back to "
                    f"{', '.join(session.get_providers())}); the map is made on the CPU"
                )
                self.device, self._settled = "cpu", True
                return session
            raise DeviceError(
                f"device {self.device} cannot be used: ONNX Runtime fell back to {session.get_providers()}; "
                "check the driver and CUDA libraries, or use --device cpu"
            )
        self._settled = True
        return session

    def run(self, scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """The outputs, in the order asked for, of the members' values ``[B, C, T, T]``.

        Raises:
            DeviceError: If the device fails, for want of memory for instance.
            ModelError: If the model's graph cannot be run, or gives other shapes than a map needs.
            Cancelled: If the sessions were stopped.
        """
        session = self.session(scenario)
        options = onnxruntime.RunOptions()
        with self._lock:
            if self._stopped:
                raise Cancelled("the mapping was stopped")
            self._running.add(options)
        try:
            found: list[NDArray[np.generic]] = session.run(list(self.outputs), dict(inputs), options)
        except _ERRORS as error:
            if self._stopped:
                raise Cancelled("the mapping was stopped") from error
            raise self._typed(error) from error
        finally:
            with self._lock:
                self._running.discard(options)
        batch, _, height, width = next(iter(inputs.values())).shape
        for name, values in zip(self.outputs, found, strict=True):
            of_pixel = () if name in ("classes", "confidence") else (len(self.model.classes),)
            if values.shape != (batch, *of_pixel, height, width):
                raise ModelError(
                    f"{self.model.path}: its graph gives {name} of shape {values.shape} where "
                    f"{(batch, *of_pixel, height, width)} is due; export it again"
                )
        return found

    def _typed(self, error: Exception) -> DeviceError | ModelError:
        """What an error of ONNX Runtime means: beside a CPU, which lacks memory at most, all devices may fail."""
        said = shown(" ".join(str(error).split()))[:500]
        if self.device != "cpu" or any(word in said.lower() for word in _MEMORY):
            return DeviceError(
                f"device {self.device} failed: {self.model.path}: {said}; give it memory, or use --device cpu"
            )
        return ModelError(f"{self.model.path}: ONNX Runtime cannot run its graph: {said}; export it again")

    def probabilities(self, scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """Probabilities ``[B, K, T, T]``; the predictor of a mosaic."""
        return self.run(scenario, inputs)[0].astype(np.float32, copy=False)
