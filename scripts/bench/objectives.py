"""What objectives add to a training step: time of a step with each over that with the cross-entropy alone.

    python scripts/bench/objectives.py [--network mean_fusion] [--encoder segformer-b0] [--batch 8] [--chip 128]

Steps of all of them take turns in one process, so that what else the machine does falls on all alike; the medians are
compared. Every sample has all of three sensors, which is the most that the terms can cost.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

from engine.data.settings import MethodSettings
from engine.methods.registry import build_method
from engine.modality import BandStatistics, Modality
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter

BANDS = {"rgb": 3, "nir": 1, "dem": 1}
CLASSES = 7
OBJECTIVES = {
    "cross_entropy": ["cross_entropy"],
    "+ unimodal_cross_entropy": ["cross_entropy", "unimodal_cross_entropy"],
    **{
        f"+ functional_entropy, {key}: {form}": [
            "cross_entropy",
            {"name": "functional_entropy", "options": {without: 0, key: form}},
        ]
        for key, without, forms in (
            ("form", "features", ("inputs", "conditional")),
            ("feature_form", "prediction", ("segmentation", "common")),
        )
        for form in forms
    },
}


def main() -> None:
    """Prints a row for each list of objectives, as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="mean_fusion", choices=["mean_fusion", "stars"])
    parser.add_argument("--encoder", default="segformer-b0")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--chip", type=int, default=128)
    parser.add_argument("--steps", type=int, default=15)
    given = parser.parse_args()
    torch.manual_seed(0)
    network = build_network(given.network, {"encoder": given.encoder}, BANDS, CLASSES)
    modalities = [
        Modality(name, tuple(map(str, range(count))), "float32", "", (BandStatistics(0, 1, -9, 9),) * count)
        for name, count in BANDS.items()
    ]
    segmenter = Segmenter(network, modalities).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    inputs = {name: torch.randn(given.batch, count, given.chip, given.chip) for name, count in BANDS.items()}
    labels = torch.randint(0, CLASSES, (given.batch, given.chip, given.chip))
    everything = torch.ones(given.batch, len(BANDS), dtype=torch.bool)
    methods = {
        name: build_method(MethodSettings.model_validate({"objectives": objectives}), CLASSES)
        for name, objectives in OBJECTIVES.items()
    }
    times: dict[str, list[float]] = {name: [] for name in methods}
    for step in range(given.steps + 1):
        for name, method in methods.items():
            started = time.perf_counter()
            optimizer.zero_grad()
            terms = method.loss(segmenter, inputs, everything, labels).terms
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()
            if step:
                times[name].append(time.perf_counter() - started)
    first = statistics.median(times["cross_entropy"])
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        row = {"objectives": name, "seconds": round(middle, 3), "ratio": round(middle / first, 3)}
        print(json.dumps(row | {"threads": torch.get_num_threads()}), flush=True)


if __name__ == "__main__":
    main()
