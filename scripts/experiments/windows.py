"""What the experiments on windows share: scored pixels, forests on the same labels, tables, a command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import Results, Rows, apart, run, train
from numpy.typing import NDArray

FIGURES = ("overall_accuracy", "average_accuracy", "kappa")
COLUMNS = ("data", "setting", "seed", "split", "scenario", *FIGURES)
FORESTS = ("forest, pixels", "forest, windows")
SCORED = 1000
"""Pixels of a class that are scored on a split."""

WHOLE = "whole"
"""The setting that others are compared with: the whole method."""

PRETRAINED = "pre-trained"
"""The setting that others start from, those that end in STARTED: it tells no class and is not scored."""

STARTED = "alone, pre-trained with all"

Job = tuple[str, str, int]
"""Data, setting and seed."""

RecipeOf = Callable[[Job, Path, Path], Any]
"""The recipe of a training, by the folder of the data and that of the runs."""


@dataclass(frozen=True)
class Pixels:
    """Pixels of a scene's split on which all of its sensors are valid: so many of each class, the same for all models.

    Args:
        windows: For each modality ``[N, C, w, w]`` around them, with training means where nothing is valid.
        labels: ``[N]`` class indices.
        counts: ``[K]`` how many pixels of each class there are in the split.
    """

    windows: Mapping[str, NDArray[np.generic]]
    labels: NDArray[np.int64]
    counts: NDArray[np.int64]


def pixels(collection: Any, modalities: Sequence[Any], split: str, window: int, per_class: int | None) -> Pixels:  # noqa: ANN401
    """Draws them of the first scene, by a fixed seed; all where ``per_class`` is None or there are fewer.

    Args:
        collection: The scenes, with all sensors.
        modalities: Those that windows are wanted of, with their statistics.
        split: Of whose labels.
        window: Side of the windows.
        per_class: How many of each class at the most.
    """

    scene, margin = collection[0], window // 2
    patch = scene.read(scene.grid.window, split)
    labels = np.where(patch.valid.all(axis=0), patch.labels, -1)
    rng = np.random.default_rng(0)
    chosen = []
    for number in range(len(collection.classes)):
        there = np.flatnonzero(labels == number)
        many = per_class is not None and len(there) > per_class
        chosen.append(rng.choice(there, per_class, replace=False) if many else there)
    rows, cols = np.unravel_index(np.concatenate(chosen), labels.shape)
    windows = {}
    places = {modality.name: number for number, modality in enumerate(collection.modalities)}
    for modality in modalities:
        values = modality.filled(patch.values[modality.name], patch.valid[places[modality.name]])
        around = np.broadcast_to(
            modality.fill[:, None, None], (len(values), *(size + 2 * margin for size in labels.shape))
        ).copy()
        around[:, margin : margin + labels.shape[0], margin : margin + labels.shape[1]] = values
        every = np.lib.stride_tricks.sliding_window_view(around, (window, window), axis=(1, 2))
        windows[modality.name] = np.ascontiguousarray(every[:, rows, cols].swapaxes(0, 1))
    counts = np.bincount(labels[labels >= 0], minlength=len(collection.classes))
    return Pixels(windows, labels[rows, cols].astype(np.int64), counts)


def weighted(truth: NDArray[np.int64], predicted: NDArray[np.int64], counts: NDArray[np.int64]) -> dict[str, float]:
    """Accuracies of the whole split, from pixels drawn class by class: each row of the matrix by its class's count."""
    from engine.evaluation.metrics import confusion, scores

    matrix = confusion(truth, predicted, len(counts)).astype(np.float64)
    matrix *= (counts / np.maximum(1, matrix.sum(axis=1)))[:, None]
    found = scores(matrix)  # type: ignore[arg-type]
    return {figure: getattr(found, figure) for figure in FIGURES}


def network_rows(segmenter: Any, drawn: Pixels) -> Rows:  # noqa: ANN401
    """A network's figures in every scenario."""
    import torch

    from engine.availability import scenarios

    names = [modality.name for modality in segmenter.modalities]
    rows: Rows = []
    for scenario in scenarios(len(names)):
        found = []
        for start in range(0, len(drawn.labels), 256):
            inputs = {name: torch.from_numpy(drawn.windows[name][start : start + 256]) for name in names}
            count, middle = len(next(iter(inputs.values()))), inputs[names[0]].shape[-1] // 2
            with torch.inference_mode():
                logits = segmenter(inputs, torch.tensor(scenario.members).expand(count, -1))
            found.append(logits[:, :, middle, middle].argmax(dim=1).numpy())
        rows.append({"scenario": scenario.label(names), **weighted(drawn.labels, np.concatenate(found), drawn.counts)})
    return rows


def forest_rows(trained_on: Pixels, drawn: Pixels, names: Sequence[str], seed: int, around: bool) -> Rows:
    """Figures of random forests, one for each scenario, on the same labels.

    Args:
        trained_on: The labelled pixels.
        drawn: The pixels that are scored.
        names: The modalities.
        seed: Of the forests.
        around: Whether a forest sees mean and deviation of the window beside the pixel itself.
    """
    from sklearn.ensemble import RandomForestClassifier

    from engine.availability import scenarios

    def features(found: Pixels, members: Sequence[str]) -> NDArray[np.float64]:
        parts = []
        for name in members:
            values = found.windows[name].astype(np.float64)
            middle = values.shape[-1] // 2
            parts.append(values[:, :, middle, middle])
            if around:
                parts += [values.mean(axis=(2, 3)), values.std(axis=(2, 3))]
        return np.concatenate(parts, axis=1)

    rows: Rows = []
    for scenario in scenarios(len(names)):
        members = [names[index] for index in scenario.indices]
        forest = RandomForestClassifier(200, random_state=seed, n_jobs=1)
        forest.fit(features(trained_on, members), trained_on.labels)
        predicted = forest.predict(features(drawn, members)).astype(np.int64)
        rows.append({"scenario": scenario.label(names), **weighted(drawn.labels, predicted, drawn.counts)})
    return rows


def scenes(recipe: Any) -> Any:  # noqa: ANN401
    """A recipe's scenes, to be closed."""
    from engine.data.survey import SceneCollection

    return closing(SceneCollection(recipe.data, recipe.data.root, recipe.modality_values, recipe.class_values))


def done(job: Job, root: Path, folder: Path, recipe_of: RecipeOf) -> Rows:
    """Trains one setting, or grows its forests, and scores it on validation and test in every scenario."""
    data, name, seed = job
    whole = recipe_of((data, WHOLE, seed), root, folder)
    if name in FORESTS:
        return scored_forests(job, whole)
    own = run_folder(folder, job)
    train(recipe_of(job, root, folder), own)
    return [] if name == PRETRAINED else scored_run(job, own, whole)


def run_folder(work: Path, job: Job) -> Path:
    """Where the run of a training lies."""
    return work / "".join(letter if letter.isalnum() else "-" for letter in "-".join(map(str, job)))


def schedule(steps: int, batch: int, decay: dict[str, Any], weight_decay: float = 0) -> dict[str, Any]:
    """A stage's schedule: each step an epoch."""
    return {
        "epochs": steps,
        "samples": batch,
        "batch": batch,
        "validate_every": None,
        "clip": None,
        "checkpoint_every": 100,
        "optimizer": {"name": "adam", "learning_rate": 1e-3, "weight_decay": weight_decay},
        "decay": decay,
    }


def with_one_sensor(path: Path, name: str) -> dict[str, Any]:
    """What is to be replaced in a recipe so that it has one of its sensors alone."""
    from engine.training.recipe import read_recipe

    recipe = read_recipe(path)
    modality = next(item for item in recipe.modalities if item.name == name)
    (scene,) = recipe.data.scenes
    scene = scene.model_copy(update={"sources": {name: scene.sources[name]}})
    return {"modalities": [modality.model_dump(mode="json")], "data.scenes": [scene.model_dump(mode="json")]}


def scored_run(job: Job, folder: Path, whole: Any) -> Rows:  # noqa: ANN401
    """A run's figures on validation and test in every scenario that it knows.

    Args:
        job: What it is.
        folder: The run.
        whole: The recipe with all sensors, whose chips are single windows.
    """
    from engine.training.run import open_run

    _, segmenter = open_run(folder, "last")
    with scenes(whole) as collection:
        return _both(
            job,
            lambda split: network_rows(
                segmenter, pixels(collection, segmenter.modalities, split, whole.data.chip, SCORED)
            ),
        )


def scored_forests(job: Job, whole: Any) -> Rows:  # noqa: ANN401
    """Figures of forests on the labels of a recipe."""
    from engine.data.survey import survey

    with scenes(whole) as collection:
        modalities = survey(collection).modalities
        names = [modality.name for modality in modalities]
        window = whole.data.chip
        learned = pixels(collection, modalities, "train", window, None)

        def rows(split: str) -> Rows:
            drawn = pixels(collection, modalities, split, window, SCORED)
            return forest_rows(learned, drawn, names, job[2], job[1] == FORESTS[1])

        return _both(job, rows)


def _both(job: Job, rows: Callable[[str], Rows]) -> Rows:
    known = dict(zip(("data", "setting", "seed"), job, strict=True))
    return [{**known, "split": split, **row} for split in ("validation", "test") for row in rows(split)]


def table(rows: Sequence[Mapping[str, str]], settings: Mapping[str, Sequence[str]], figure: str) -> None:
    """Prints a figure on the test split by setting and scenario, means over the seeds.

    In brackets by how many points it is above the first setting, with 95 % intervals by Student's t over the seeds that
    both have, each for itself.
    """
    found: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for row in rows:
        if row["split"] == "test":
            scenarios = found.setdefault((row["data"], row["setting"]), {})
            scenarios.setdefault(row["scenario"], {})[int(row["seed"])] = float(row[figure])
    for data, planned in settings.items():
        others = [name for name in (*FORESTS, *(row["setting"] for row in rows)) if name not in planned]
        names = [name for name in dict.fromkeys([*planned, *others]) if (data, name) in found]
        if not names:
            continue
        first = found[data, names[0]]
        print(f"\n{data}, {figure}\n\n| | seeds | " + " | ".join(first) + " |\n" + "|---" * (len(first) + 2) + "|")
        for name in names:
            own = found[data, name]
            words = []
            for scenario, reference in first.items():
                seeds = own.get(scenario, {})
                word = f"{np.mean(list(seeds.values())):.3f}" if seeds else ""
                above = apart(seeds, reference) if seeds and name != names[0] else ""
                words.append(f"{word} ({above})" if above else word)
            count = len(next(iter(own.values())))
            print(f"| {name} | {count} | " + " | ".join(words) + " |")


def command_line(
    about: str | None,
    results: Results,
    settings: Mapping[str, Sequence[str]],
    recipe_of: RecipeOf,
    beside: Sequence[Mapping[str, str]] = (),
) -> None:
    """Does what is missing, or prints the table.

    Args:
        about: What ``--help`` says.
        results: The rows there are.
        settings: For each data set its trainings and forests, the whole method first.
        recipe_of: Gives the recipe of a training.
        beside: Rows of other results that the table shows too.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", metavar="DATA")
    parser.add_argument("--work", type=Path, help="where the runs lie")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--jobs", type=int, default=4, help="trainings at a time, of one thread each")
    parser.add_argument("--only", nargs="+", default=list(settings), choices=list(settings), metavar="DATA")
    parser.add_argument("--table", nargs="?", const=FIGURES[0], choices=FIGURES, help="print what there is")
    arguments = parser.parse_args()
    if arguments.table:
        table([*results.read(), *beside], settings, arguments.table)
        return
    if arguments.root is None or arguments.work is None:
        parser.error("DATA and --work are needed")
    there = {(row["data"], row["setting"], int(row["seed"])) for row in results.read()}
    waiting: list[Job] = [
        job
        for seed in arguments.seeds
        for data in arguments.only
        for name in settings[data]
        if (job := (data, name, seed)) not in there
    ]
    places = {"root": arguments.root.resolve(), "folder": arguments.work.resolve()}
    doing = partial(done, **places, recipe_of=recipe_of)

    def awaited(job: Job) -> Job | None:
        return (job[0], PRETRAINED, job[2]) if job[1].endswith(STARTED) else None

    sys.exit(not run(waiting, doing, results, arguments.jobs, awaited))
