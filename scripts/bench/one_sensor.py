"""What one sensor of several costs in a model for all, against a model of that sensor alone; as ratios in one run.

``python scripts/bench/one_sensor.py RUN MODEL.onnx [--runs 60]``: for each sensor, the session of the model's scenario
with that sensor alone against an export of the same network with this one modality (its weights are random: the time
does not depend on them), tile by tile in turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from engine.availability import Scenario
from engine.export.onnx import export_model
from engine.model.file import Model
from engine.runtime.session import Sessions
from engine.training.run import build_segmenter, open_run


def main() -> None:
    """Prints a line for each sensor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--runs", type=int, default=60)
    arguments = parser.parse_args()
    recipe, segmenter = open_run(arguments.run, "best")
    model = Model(arguments.model)
    tile = model.metadata.tile
    for number, modality in enumerate(segmenter.modalities):
        facts = (model.metadata.modalities[number],)
        metadata = model.metadata.model_copy(update={"modalities": facts, "accuracy": ()})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "alone.onnx"
            export_model(build_segmenter(recipe, [modality]), metadata, path)
            alone = Sessions(Model(path), "cpu")
        values = np.broadcast_to(modality.fill[None, :, None, None], (1, len(modality.bands), tile, tile)).copy()
        calls = (
            (Sessions(model, "cpu"), Scenario(tuple(index == number for index in range(len(segmenter.modalities))))),
            (alone, Scenario((True,))),
        )
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(arguments.runs):
            for (sessions, scenario), found in zip(calls, times, strict=True):
                started = time.perf_counter()
                sessions.probabilities(scenario, {modality.name: values})
                if turn >= 5:
                    found.append(time.perf_counter() - started)
        of_all, of_one = (statistics.median(found) for found in times)
        print(
            f"{modality.name}: {1e3 * of_all:.2f} ms of all, {1e3 * of_one:.2f} ms alone, {of_all / of_one:.3f} times"
        )


if __name__ == "__main__":
    main()
