"""Maps random rasters and compares every pixel with a reference of NumPy and PROJ (see ``tests/fuzz``).

``python scripts/fuzz.py --cases 10000 --seed 7`` with an interpreter that has the engine and the extra `dev`. A case
that differs is printed as it can be pasted into a test.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from fuzz.case import Case, cases
from fuzz.mapping import compared
from hypothesis import HealthCheck, Phase, given, seed, settings

PART = 250
"""Cases that a process draws in one go."""


def run(number: int, count: int) -> tuple[Counter[str], list[str]]:
    """Draws and compares cases.

    Args:
        number: Seed.
        count: How many.
    """
    counts: Counter[str] = Counter()
    wrong: list[str] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(cases())
    def one(case: Case) -> None:
        outcome = compared(case)
        counts.update(cases=1, pixels=outcome.pixels, loose=outcome.loose, open=outcome.open)
        if outcome.differing:
            counts.update(differing=1)
            wrong.append(f"{outcome.said}\n{case!r}")

    warnings.simplefilter("ignore")
    one()
    return counts, wrong


def main() -> None:
    """Runs all cases; exits with 1 where any differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    sizes = [PART] * (arguments.cases // PART) + ([rest] if (rest := arguments.cases % PART) else [])
    started, total = time.monotonic(), Counter[str]()
    with ProcessPoolExecutor(arguments.processes) as pool:
        numbers = [1_000_000 * arguments.seed + part for part in range(len(sizes))]
        for counts, wrong in pool.map(run, numbers, sizes):
            total += counts
            for text in wrong:
                print(text)
            print(
                f"{total['cases']} cases, {total['differing']} differ, {time.monotonic() - started:.0f} s", flush=True
            )
    print(
        f"{total['pixels']:,} pixels; floating point alone decides availability of {total['loose']:,} and class of "
        f"{total['open']:,}"
    )
    sys.exit(total["differing"] > 0)


if __name__ == "__main__":
    main()
