"""The training loop: Lightning Fabric, one step at a time, repeatable and resumable.

Every draw is a function of (seed, epoch, sample), and torch's generator (dropout) is seeded anew at each step from
(seed, step): a checkpoint needs no random state, and a training that was killed goes on to the same weights.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.utils.tensorboard import SummaryWriter

from engine.data.chips import ChipSampler
from engine.data.survey import SceneCollection, Survey, survey
from engine.errors import RunError
from engine.evaluation.predictors import torch_predictor
from engine.evaluation.scenarios import evaluate
from engine.methods.registry import build_method
from engine.training import checkpoints
from engine.training.batches import Batch, batches
from engine.training.checkpoints import Progress
from engine.training.recipe import Recipe
from engine.training.run import build_segmenter, create, write_modalities
from engine.training.schedule import build_optimizer, rate_factor


@dataclass(frozen=True)
class Report:
    """What the caller is told after each step.

    Args:
        step: Steps done.
        steps: Steps of the training.
        loss: Sum of the terms.
        chips_per_second: Since the start of this run.
        score: Newest mean mIoU over the scenarios on the validation split, NaN before the first.
    """

    step: int
    steps: int
    loss: float
    chips_per_second: float
    score: float


class MetricsFile:
    """``metrics.csv``: a row a step that is logged, in long form (step, name, value).

    Rows at or after the step that a training goes on from are dropped when it is opened.
    """

    def __init__(self, path: Path, first_step: int) -> None:
        rows = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if row[0].isdigit() and int(row[0]) <= first_step]
        aside = path.with_suffix(".part")
        with aside.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["step", "name", "value"], *rows])
        os.replace(aside, path)
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)

    def add(self, step: int, name: str, value: float) -> None:
        """Adds a row and hands it to the operating system."""
        self._writer.writerow([step, name, f"{value:.6g}"])
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class Training:
    """One training of one recipe into one run folder.

    Args:
        recipe: What to train.
        folder: The run folder; made here unless ``resume``.
        resume: Go on from the newest checkpoint.
        accelerator: ``auto``, ``cpu`` or ``cuda``.
        report: Told after each step.

    Raises:
        RunError: If the folder is taken, or does not fit the recipe and machine on a resume.
        SplitError: If the split or a class is empty.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        resume: bool = False,
        accelerator: str = "auto",
        report: Callable[[Report], None] = lambda _report: None,
    ) -> None:
        self.recipe, self.folder, self.report = recipe, folder, report
        self.schedule = recipe.schedule
        self.steps = self.schedule.epochs * self.schedule.steps_per_epoch
        self.fabric = Fabric(accelerator=accelerator, devices=1, precision=self._precision(accelerator))
        self.method = build_method(recipe.method.name, recipe.method.options, len(recipe.classes))
        if not resume:
            create(folder, recipe)
        self.survey = self._survey()
        write_modalities(folder, self.survey.modalities)
        torch.manual_seed(recipe.seed)
        segmenter = build_segmenter(recipe, self.survey.modalities)
        optimizer = build_optimizer(segmenter.parameters(), self.schedule.optimizer)
        self.segmenter, self.optimizer = self.fabric.setup(segmenter, optimizer)
        self.segmenter.mark_forward_method("detail")
        self.progress = Progress(0, -1.0, 0, recipe.digest, torch.get_num_threads(), torch.__version__)
        if resume:
            self._resume()

    def _precision(self, accelerator: str) -> Any:  # noqa: ANN401 (Fabric's literal type)
        if self.schedule.precision != "auto":
            return self.schedule.precision
        return "bf16-mixed" if accelerator != "cpu" and torch.cuda.is_available() else "32-true"

    def _collection(self) -> SceneCollection:
        recipe = self.recipe
        return SceneCollection(recipe.data, recipe.data.root, recipe.modality_values, recipe.class_values)

    def _survey(self) -> Survey:
        collection = self._collection()
        try:
            return survey(collection)
        finally:
            collection.close()

    def _resume(self) -> None:
        checkpoint = checkpoints.newest(self.folder / "checkpoints", "last")
        if checkpoint is None:
            return
        found = checkpoints.load(checkpoint, self.segmenter.module, self.optimizer.optimizer)
        for what, there, here in (
            ("recipe", found.digest, self.progress.digest),
            ("number of threads", found.threads, self.progress.threads),
            ("version of torch", found.torch, self.progress.torch),
        ):
            if there != here:
                raise RunError(
                    f"{self.folder}: cannot go on: the {what} was {there} and is {here} now; "
                    "the weights would not be those of an uninterrupted training"
                )
        self.progress = found

    def run(self) -> None:
        """Trains to the end of the schedule."""
        collection = self._collection()
        sampler = ChipSampler(collection, self.survey, self.recipe.seed, self.method.sampler.draw)
        metrics = MetricsFile(self.folder / "metrics.csv", self.progress.step)
        board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.progress.step + 1)
        started, first, score = time.monotonic(), self.progress.step, float("nan")
        try:
            for batch in batches(sampler, self.schedule, first, self.steps):
                terms = self._step(batch, self.progress.step)
                step = self.progress.step + 1
                self.progress = self._at(step)
                if not all(np.isfinite(value) for value in terms.values()):
                    raise RunError(
                        f"{self.folder}: the loss at step {step} is not finite: {terms}; lower "
                        "schedule.optimizer.learning_rate"
                    )
                self._log(metrics, board, step, {f"loss/{name}": value for name, value in terms.items()})
                epoch, place = divmod(step, self.schedule.steps_per_epoch)
                if place == 0 and (epoch % self.schedule.validate_every == 0 or step == self.steps):
                    score = self._validate(metrics, board, collection)
                if place == 0 or step % self.schedule.checkpoint_every == 0:
                    self._save("last")
                speed = (step - first) * self.schedule.batch / (time.monotonic() - started)
                self.report(Report(step, self.steps, sum(terms.values()), speed, score))
        finally:
            collection.close()
            metrics.close()
            board.close()

    def _at(self, step: int) -> Progress:
        return Progress(**{**vars(self.progress), "step": step})

    def _save(self, kind: checkpoints.Kind) -> None:
        checkpoints.save(
            self.folder / "checkpoints",
            kind,
            self.segmenter.module,
            self.optimizer.optimizer,
            self.progress,
        )

    def _step(self, batch: Batch, step: int) -> dict[str, float]:
        factor = rate_factor(step, self.steps, self.schedule.steps_per_epoch, self.schedule.decay)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.optimizer.learning_rate * factor
        torch.manual_seed(int(np.random.SeedSequence((self.recipe.seed, step)).generate_state(1)[0]))
        self.segmenter.train()
        batch = batch.to(self.fabric.device)
        self.optimizer.zero_grad()
        detail = self.segmenter.detail(batch.inputs, batch.availability)
        terms = self.method.loss(detail, batch.labels)
        self.fabric.backward(torch.stack(list(terms.values())).sum())
        if self.schedule.clip is not None:
            self.fabric.clip_gradients(
                self.segmenter, self.optimizer, max_norm=self.schedule.clip, error_if_nonfinite=False
            )
        self.optimizer.step()
        return {name: float(value.detach()) for name, value in terms.items()}

    def _log(self, metrics: MetricsFile, board: SummaryWriter, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            metrics.add(step, name, value)
            board.add_scalar(name, value, step)

    def _validate(self, metrics: MetricsFile, board: SummaryWriter, collection: SceneCollection) -> float:
        self.segmenter.eval()
        chip = self.recipe.data.chip
        evaluation = evaluate(
            collection,
            self.survey.modalities,
            torch_predictor(self.segmenter.module, self.fabric.device),
            "validation",
            chip,
            chip // 8,
        )
        score = evaluation.mean("miou")
        for scenario, result in zip(evaluation.scenarios, evaluation.scores, strict=True):
            label = scenario.label(evaluation.names)
            self._log(metrics, board, self.progress.step, {f"validation/miou/{label}": result.miou})
        self._log(metrics, board, self.progress.step, {"validation/miou/mean": score})
        if score > self.progress.best_score:
            self.progress = Progress(**{**vars(self.progress), "best_score": score, "best_step": self.progress.step})
            self._save("best")
        return score
