"""Time and peak memory of a training step of each network at its paper's size: batch 1, 224 x 224 pixels, on the CPU.

    python scripts/bench/training_step.py [--size paper] [--batch 1] [--steps 3] [--only cbc_slp]

Each network is measured in a process of its own. CBC-SLP stands there twice: as it is, and with the decoder over whole
volumes (the formula that tests/unit/test_cbc.py compares with); the ratio of the two is what the decoder over slices
saves. STARS stands there with its whole objective, and with the cross-entropy of its
answer alone, for which the network computes the same: the difference is what the terms cost. Its paper trains at
512 x 512 pixels with two sensors.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

NETWORKS = {
    "cbc": "cbc",
    "cbc_slp": "cbc_slp",
    "cbc_slp, whole volumes": "cbc_slp",
    "cmx_cnn": "cmx_cnn",
    "cmx": "cmx",
    "stars": "stars",
    "stars, cross-entropy alone": "stars",
}
ENCODERS = {"paper": "resnet-50", "small": "resnet-18", "tiny": "resnet-tiny"}
"""Of stars, whose size is that of its encoders."""
BANDS = {"rgb": 3, "nir": 3, "swir": 3}
CHIP = 224


def measured(label: str, size: str, batch: int, steps: int) -> dict[str, float]:
    """Seconds of the fastest step, and the process's largest memory."""
    import torch

    from engine.data.settings import MethodSettings, Named
    from engine.methods.registry import build_method
    from engine.modality import BandStatistics, Modality
    from engine.networks.registry import build_network
    from engine.networks.segmenter import Segmenter

    torch.manual_seed(0)
    stars = NETWORKS[label] == "stars"
    network = build_network(NETWORKS[label], {"encoder": ENCODERS[size]} if stars else {"size": size}, BANDS, 2)
    objective = Named(name="stars" if label == "stars" else "cross_entropy")
    method = build_method(MethodSettings(objectives=(objective,)), 2)
    modalities = [
        Modality(name, tuple(map(str, range(count))), "float32", "", (BandStatistics(0, 1, -9, 9),) * count)
        for name, count in BANDS.items()
    ]
    segmenter = Segmenter(network, modalities).train()
    if "whole" in label:
        path = Path(__file__).parents[2] / "tests" / "unit" / "test_cbc.py"
        spec = importlib.util.spec_from_file_location("test_cbc", path)
        if spec is None or spec.loader is None:
            raise FileNotFoundError(path)
        formula = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(formula)
        decoder = network.get_submodule("decoder")
        weights = dict(decoder.named_parameters())  # with their gradients
        decoder.forward = lambda *given: formula.decoded(weights, "", *given)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    inputs = {name: torch.randn(batch, count, CHIP, CHIP) for name, count in BANDS.items()}
    labels = torch.randint(0, 2, (batch, CHIP, CHIP))
    everything = torch.ones(batch, len(BANDS), dtype=torch.bool)
    times = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        optimizer.zero_grad()
        terms = method.loss(segmenter, inputs, everything, labels).terms
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        times.append(time.perf_counter() - started)
    return {
        "seconds": min(times[1:]),
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    """Prints a row a network, as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="paper", choices=list(ENCODERS))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for label in arguments.only:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            found = pool.submit(measured, label, arguments.size, arguments.batch, arguments.steps).result()
        rounded = {key: round(value, 3) for key, value in found.items()}
        print(json.dumps({"network": label, **rounded}), flush=True)


if __name__ == "__main__":
    main()
