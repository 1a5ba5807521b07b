"""What the experiments share: a CSV that grows, trainings that go on, jobs side by side, paired differences."""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
Rows = list[dict[str, Any]]
Job = TypeVar("Job", bound=Hashable)


@dataclass(frozen=True)
class Results:
    """A committed table of results.

    Args:
        path: The CSV.
        columns: Its columns.
    """

    path: Path
    columns: tuple[str, ...]

    def read(self) -> list[dict[str, str]]:
        """The rows there are."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def append(self, rows: Rows) -> None:
        """Adds rows; numbers in five digits."""
        new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            if new:
                writer.writeheader()
            writer.writerows(
                {key: f"{value:.5g}" if isinstance(value, float) else value for key, value in row.items()}
                for row in rows
            )


def train(recipe: Any, folder: Path) -> None:  # noqa: ANN401
    """Trains to the end with one thread, from where it is."""
    import torch

    from engine.training.loop import Training

    torch.set_num_threads(1)
    Training(recipe, folder, resume=(folder / "recipe.yaml").exists(), accelerator="cpu").run()


@contextmanager
def trained(recipe: Any, folder: Path) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    """A run's network with its last weights, and its scenes."""
    from engine.data.survey import SceneCollection
    from engine.training.run import open_run

    _, segmenter = open_run(folder, "last")
    data = SceneCollection(recipe.data, recipe.data.root, segmenter.modalities, recipe.class_values)
    with closing(data) as collection:
        yield segmenter, collection


def scores(segmenter: Any, collection: Any, split: str) -> Rows:  # noqa: ANN401
    """A row a scenario, and their mean: ``scenario``, ``miou`` and ``overall_accuracy`` on a split."""
    import torch

    from engine.evaluation.predictors import torch_predictor
    from engine.evaluation.scenarios import evaluate
    from engine.evaluation.tiling import tiles_of

    tile, halo, inner_only = tiles_of(segmenter.network, collection.data.chip)
    predict = torch_predictor(segmenter, torch.device("cpu"))
    found = evaluate(
        collection,
        segmenter.modalities,
        predict,
        split,  # type: ignore[arg-type]
        tile,
        halo,
        inner_only=inner_only,
    )
    return [{key: row[key] for key in ("scenario", "miou", "overall_accuracy")} for row in found.rows()]


def run(
    waiting: Sequence[Job],
    work: Callable[[Job], Rows],
    results: Results,
    parallel: int,
    awaited: Callable[[Job], Job | None] = lambda _job: None,
) -> bool:
    """Does jobs side by side, each in a process, and appends their rows; whether all went well.

    Args:
        waiting: What to do.
        work: Does one.
        results: Where its rows go.
        parallel: How many at a time.
        awaited: The job that must be done before another.
    """
    left, well = list(waiting), True
    running: dict[Future[Rows], Job] = {}
    with ProcessPoolExecutor(parallel, mp_context=multiprocessing.get_context("spawn")) as pool:
        while left or running:
            before = {*left, *running.values()}
            ready = [job for job in left if awaited(job) not in before]
            for job in ready[: parallel - len(running)]:
                left.remove(job)
                running[pool.submit(work, job)] = job
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(done)
                if (error := done.exception()) is not None:
                    print(job, f"failed: {error}", file=sys.stderr, flush=True)
                    well = False
                else:
                    results.append(done.result())
                    print(job, "done", file=sys.stderr, flush=True)
    return well


def command_line(about: str | None, seeds: Sequence[int], jobs: int) -> argparse.ArgumentParser:
    """What experiments ask for: folders of data and runs, seeds, trainings at a time, or the table of what is there."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", metavar="DATA")
    parser.add_argument("--work", type=Path, help="where the runs lie")
    parser.add_argument("--seeds", type=int, nargs="+", default=seeds)
    parser.add_argument("--jobs", type=int, default=jobs, help="trainings at a time, of one thread each")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    return parser


def places(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Folders of data and runs; ends with a message where one is not named."""
    if arguments.root is None or arguments.work is None:
        parser.error("DATA and --work are needed")
    return arguments.root.resolve(), arguments.work.resolve()


def apart(one: Mapping[int, float], other: Mapping[int, float]) -> str:
    """By how many points one is above the other, paired by seed, with its 95 % interval by Student's t."""
    import numpy as np
    from scipy import stats

    common = sorted(one.keys() & other.keys())
    if len(common) < 2:
        return ""
    points = 100 * np.array([one[seed] - other[seed] for seed in common])
    half = stats.t.ppf(0.975, len(common) - 1) * points.std(ddof=1) / len(common) ** 0.5
    return f"{points.mean():+.1f} ± {half:.1f}"
