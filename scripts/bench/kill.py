"""Kills mappings with SIGKILL at random moments until so many were killed; every finished map must have the same bytes.

``python scripts/bench/kill.py MODEL.onnx NAME=RASTER... [--kills 200] [--seed 0]``, with a Python that has the engine.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from engine.files import file_digest


def main() -> None:
    """Prints how many runs were killed, how often a map was finished all the same, and whether bytes ever differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("sources", nargs="+", metavar="NAME=RASTER")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def command(output: Path) -> list[str]:
            words = [sys.executable, "-m", "engine.cli", "predict", arguments.model, *arguments.sources]
            return [*words, "-o", str(output), "--confidence", str(output.with_suffix(".c.tif")), "--overwrite"]

        whole = folder / "whole.tif"
        started = time.monotonic()
        subprocess.run(command(whole), check=True, capture_output=True)
        seconds = time.monotonic() - started
        expected = [file_digest(path) for path in (whole, whole.with_suffix(".c.tif"))]
        kills = finished = wrong = early = 0
        while kills < arguments.kills:
            output = folder / f"map{finished}.tif"
            process = subprocess.Popen(command(output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, 1.2 * seconds))
            process.send_signal(signal.SIGKILL)
            killed = process.wait() != 0
            kills += killed
            if killed and not output.exists():
                continue
            early += killed
            subprocess.run(command(output), check=True, capture_output=True)
            found = [file_digest(path) for path in (output, output.with_suffix(".c.tif"))]
            wrong += found != expected
            finished += 1
            print(f"\r{kills} killed, {finished} maps finished, {wrong} of them otherwise", end="", flush=True)
        left = [path.name for path in folder.glob("*.part")]
    print(f"\n{kills} runs killed within {1.2 * seconds:.1f} s, {early} of them after the map had its name")
    print(f"{finished} maps finished, {wrong} with other bytes than an undisturbed run; unfinished: {', '.join(left)}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
