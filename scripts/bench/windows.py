"""What a network that classifies windows gains by computing once what neighbouring windows share.

    python scripts/bench/windows.py [--network lds2ae|lvpcnet] [--bands 4 144 224] [--turns 3]

A model's tile is classified as it is, and as so many windows by themselves, each with its own stem; seconds a tile, the
same answers, on one thread. And how much of the time the stem takes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from engine.networks.registry import build_network


def seconds(work: Callable[[], Tensor], turns: int) -> tuple[float, Tensor]:
    """Of the fastest turn, and what it gave."""
    times = []
    for _ in range(turns):
        started = time.perf_counter()
        found = work()
        times.append(time.perf_counter() - started)
    return min(times), found


def main() -> None:
    """Prints a row for each number of bands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="lds2ae", choices=["lds2ae", "lvpcnet"])
    parser.add_argument("--bands", type=int, nargs="+", default=[4, 144, 224])
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    available = torch.ones(1, 1, dtype=torch.bool)
    print("| bands | windows | shared (s) | each by itself (s) | ratio | difference |\n|---|---|---|---|---|---|")
    for bands in arguments.bands:
        torch.manual_seed(0)
        network = build_network(arguments.network, {}, {"hyperspectral": bands}, 15).eval()
        tile, margin = network.tile, network.margin
        if tile is None:
            parser.error(f"{arguments.network} classifies no windows")
        values = torch.randn(1, bands, tile, tile)
        side = tile - 2 * margin
        windows = values.unfold(2, 2 * margin + 1, 1).unfold(3, 2 * margin + 1, 1)
        windows = windows.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
        with torch.inference_mode():
            shared, one = seconds(lambda: network({"hyperspectral": values}, available), arguments.turns)  # noqa: B023
            alone, other = seconds(
                lambda: network({"hyperspectral": windows}, available.expand(len(windows), 1)),  # noqa: B023
                arguments.turns,
            )
        inner = one[0, :, margin : margin + side, margin : margin + side].flatten(1).T
        difference = float((inner - other[:, :, margin, margin]).abs().max() / inner.abs().max())
        print(f"| {bands} | {side * side} | {shared:.2f} | {alone:.2f} | {alone / shared:.2f} | {difference:.1e} |")


if __name__ == "__main__":
    main()
