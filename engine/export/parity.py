"""Whether a graph answers as its network does, in every scenario."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from engine.availability import Scenario, scenarios
from engine.errors import ExportError
from engine.modality import Modality
from engine.model.specialise import specialise
from engine.networks.segmenter import Segmenter

ALL_UP_TO = 6
"""Modalities up to which every scenario is tested; a sample of as many as six have is beyond."""

TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest logit or to one."""


def compared_scenarios(count: int) -> tuple[Scenario, ...]:
    """Every scenario of up to six modalities; beyond, 63 of them: singles, all, and others drawn with a fixed seed."""
    every = scenarios(count)
    if count <= ALL_UP_TO:
        return every
    sure = (*every[:count], every[-1])
    rng = np.random.default_rng(0)
    drawn = rng.choice(len(every) - count - 1, size=(1 << ALL_UP_TO) - 1 - len(sure), replace=False)
    return (*sure, *(every[count + int(place)] for place in sorted(drawn)))


def sample_values(modality: Modality, rng: np.random.Generator, batch: int, tile: int) -> NDArray[np.generic]:
    """Values ``[B, C, T, T]`` that look like the training's: normal, cut to their range, in the sensor's data type."""
    bands = modality.statistics
    shape = (batch, len(bands), tile, tile)
    mean, deviation, low, high = (
        np.array([getattr(band, field) for band in bands])[None, :, None, None]
        for field in ("mean", "std", "minimum", "maximum")
    )
    return np.clip(rng.normal(mean, deviation, shape), low, high).astype(modality.dtype)


def largest_difference(segmenter: Segmenter, proto: onnx.ModelProto, tile: int) -> float:
    """The largest difference of a logit between network and graph over :func:`compared_scenarios`.

    Raises:
        ExportError: If it is beyond the tolerance, or the class of a pixel differs that is no tie.
    """
    rng = np.random.default_rng(0)
    names = [modality.name for modality in segmenter.modalities]
    values = {modality.name: sample_values(modality, rng, 2, tile) for modality in segmenter.modalities}
    tensors = {name: torch.from_numpy(array) for name, array in values.items()}
    largest = 0.0
    for scenario in compared_scenarios(len(names)):
        session = _session(specialise(proto, scenario, names, ("logits", "classes")))
        members = {names[index]: values[names[index]] for index in scenario.indices}
        graph_logits, graph_classes = session.run(["logits", "classes"], members)
        with torch.inference_mode():
            logits = segmenter(tensors, torch.tensor([scenario.members] * 2)).numpy()
        largest = max(largest, _compared(logits, graph_logits, graph_classes, scenario.label(names)))
    return largest


def _session(proto: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _compared(
    logits: NDArray[np.float32],
    graph_logits: NDArray[np.float32],
    graph_classes: NDArray[np.integer],
    label: str,
) -> float:
    difference = float(np.abs(logits - graph_logits).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(logits).max()))
    if not difference <= allowed:
        raise ExportError(
            f"scenario {label}: the graph's logits differ from the network's by {difference:.2e}, "
            f"more than {allowed:.2e}"
        )
    chosen = np.take_along_axis(logits, graph_classes[:, None].astype(np.int64), axis=1)
    short = float((logits.max(axis=1, keepdims=True) - chosen).max())
    if short > 2 * allowed:
        raise ExportError(f"scenario {label}: the graph chooses a class whose logit is {short:.2e} below the best")
    return difference
