"""The training loop: Lightning Fabric, one step at a time, repeatable and resumable.

Every draw is a function of (seed, epoch, sample), and torch's generator (dropout) is seeded anew at each step from
(seed, step): a checkpoint needs no random state, and a training that was killed goes on to the same weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from engine.data.chips import ChipSampler, complete_chips
from engine.data.survey import SceneCollection, Survey, survey
from engine.errors import RunError, prefixed
from engine.evaluation.predictors import torch_predictor
from engine.evaluation.scenarios import evaluate
from engine.evaluation.tiling import tiles_of
from engine.language.vectors import CLASS_VECTORS, ClassVectors
from engine.methods.contract import Loss, Method, Preparation
from engine.methods.registry import build_method
from engine.networks.segmenter import Segmenter
from engine.training import checkpoints
from engine.training.adaptation import adapt, adapt_as_at, merge, targets
from engine.training.averaging import WeightAverage
from engine.training.batches import Batch, batches, collate
from engine.training.checkpoints import Progress
from engine.training.extension import Extension
from engine.training.logs import Logs, means
from engine.training.parameters import freeze, sizes, train_mode
from engine.training.recipe import Recipe, StartSettings
from engine.training.resume import check_data, check_machine, check_recipe
from engine.training.run import (
    build_segmenter,
    check_free,
    create,
    read_modalities,
    recipe_of,
    tidy,
    unpretrained,
)
from engine.training.schedule import FEWEST_STEPS, Stage, build_optimizer, lay_out, rate_factor
from engine.training.start import open_start


@dataclass(frozen=True)
class Report:
    """What the caller is told after each step.

    Args:
        stage: Name of the stage.
        step: Steps done.
        steps: Steps of the training.
        terms: Terms of the loss by name.
        chips_per_second: Since the start of this run.
        score: Newest mean mIoU over the scenarios on the validation split, NaN before the first.
        validation: mIoU of each scenario, and ``mean``, where this step was validated; else empty.
    """

    stage: str
    step: int
    steps: int
    terms: Mapping[str, float]
    chips_per_second: float
    score: float
    validation: Mapping[str, float]


class Training:
    """One training of one recipe into one run folder.

    Args:
        recipe: What to train.
        folder: The run folder; made here unless ``resume``.
        resume: Go on from the newest checkpoint.
        extend: The same, with more epochs of the last stage than the run's recipe asked for.
        accelerator: ``auto``, ``cpu`` or ``cuda``.
        report: Told after each step.
        notice: Told in words what is done before the first step of a stage, and in a validation.
        say: Told in lines what was found then.

    Raises:
        RecipeError: If a stage would train nothing.
        RunError: If the folder is taken, or does not fit the recipe and machine on a resume.
        SplitError: If the split or a class is empty.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        resume: bool = False,
        extend: bool = False,
        accelerator: str = "auto",
        report: Callable[[Report], None] = lambda _report: None,
        notice: Callable[[str], None] = lambda _text: None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.recipe, self.folder, self.report, self.notice, self.say = recipe, folder, report, notice, say
        self.stages = lay_out(recipe.stages)
        self.steps = self.stages[-1].end
        self.fabric = Fabric(accelerator=accelerator, devices=1, precision=self._precision(accelerator))
        resume = resume or extend
        extension = Extension(folder, recipe) if extend else None
        if not resume:
            check_free(folder)
        elif not extend:
            check_recipe(folder, recipe_of(folder), recipe)
        self.survey = self._survey()
        for text in self.survey.warnings:
            self.say(f"Warning: {text}")
        if resume:
            tidy(folder)
            check_data(folder, self.survey, say)
            self.survey = replace(self.survey, modalities=read_modalities(folder))
        torch.manual_seed(recipe.seed)
        if extension is not None:
            self._checkpoint = extension.checkpoint(say)
        else:
            self._checkpoint = checkpoints.newest_intact(folder, say) if resume else None
        self.segmenter = self._segmenter()
        if self.segmenter.network.tile is not None and self.steps < FEWEST_STEPS and recipe.start is None:
            self.say(
                f"Warning: {self.steps} steps are few for {recipe.network.name}, which classifies windows: in one "
                "trial 60 of them scored .32 and a whole schedule .79 (on single spectra no difference showed); "
                "compare with more by stages.*.schedule.epochs"
            )
        self.wrapped = self.fabric.setup_module(self.segmenter)
        self.wrapped.mark_forward_method("detail")
        if not resume:
            create(folder, recipe, self.survey)
        self._average: WeightAverage | None = None
        self.progress = Progress(0, -1.0, 0, recipe.digest, torch.get_num_threads(), torch.__version__)
        if self._checkpoint is not None:
            self._resume(self._checkpoint)
        if extension is not None:
            extension.write()
        if self._checkpoint is None and recipe.start is not None:
            self._keep_start(recipe.start)

    def _precision(self, accelerator: str) -> Any:  # noqa: ANN401 (Fabric's literal type)
        if self.recipe.precision != "auto":
            return self.recipe.precision
        return "bf16-mixed" if accelerator != "cpu" and torch.cuda.is_available() else "32-true"

    def _collection(self) -> SceneCollection:
        recipe = self.recipe
        return SceneCollection(recipe.data, recipe.data.root, recipe.modality_values, recipe.class_values)

    def _complete_collection(self) -> SceneCollection:
        recipe = self.recipe
        return SceneCollection(recipe.data, recipe.data.root, self.survey.modalities, recipe.class_values)

    def _survey(self) -> Survey:
        collection = self._collection()
        try:
            return survey(collection, lambda _name, share: self.notice(f"reading the scenes, {share:.0%}"))
        finally:
            collection.close()

    def _segmenter(self) -> Segmenter:
        """The network that the training starts with; that of a run comes with the statistics it was trained on."""
        start = self.recipe.start
        if start is None:
            segmenter = build_segmenter(self.recipe, self.survey.modalities)
        elif self._checkpoint is None:
            segmenter = open_start(self.recipe, start, self.survey.modalities, self.say).train()
        else:
            segmenter = build_segmenter(unpretrained(self.recipe), self.survey.modalities)
        self.survey = replace(self.survey, modalities=segmenter.modalities)
        for stage in self.stages:
            if stage.settings.lora is not None:
                targets(segmenter.network, stage.settings.lora.targets or segmenter.network.lora_targets)
        return segmenter

    def _keep_start(self, start: StartSettings) -> None:
        """The weights of a run are the first checkpoint; what they were aligned with goes on with them."""
        vectors = start.run / CLASS_VECTORS
        if not start.modalities and vectors.exists():  # other sensors and classes learn what is said of them
            aligned = ClassVectors.load(vectors)
            if aligned.classes == tuple(item.name for item in self.recipe.classes):
                aligned.save(self.folder / CLASS_VECTORS)
        checkpoints.save(self.folder / "checkpoints", "last", self.segmenter, None, self.progress)

    def _resume(self, checkpoint: Path) -> None:
        adapted = adapt_as_at(self.segmenter.network, self.recipe, checkpoints.step_of(checkpoint))
        found = checkpoints.load(checkpoint, self.segmenter)
        if adapted and any(found.step == stage.end for stage in self.stages):
            merge(self.segmenter.network)
        check_machine(self.folder, found, self.progress)
        self.progress = found

    def run(self) -> None:
        """Trains to the end of the last stage."""
        logs = Logs(self.folder, self.progress.step)
        try:
            for stage in self.stages:
                if self.progress.step < stage.end:
                    self._run_stage(stage, logs)
        finally:
            logs.close()

    def _method(self, stage: Stage) -> Method:
        return build_method(stage.settings.method, len(self.recipe.classes))

    def _enter(self, stage: Stage) -> torch.optim.Optimizer:
        """The stage's optimiser; where the stage was left half-way, in the state that it had."""
        network, lora = self.segmenter.network, stage.settings.lora
        if lora is None:
            parameters = freeze(network, stage.settings.trainable)
        elif self.progress.step == stage.first:
            seed = int(np.random.SeedSequence((self.recipe.seed, stage.first)).generate_state(1)[0])
            parameters = adapt(network, lora.targets or network.lora_targets, lora.rank, seed)
            network.to(self.fabric.device)
        else:  # the resume has put them there
            parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.say(f"{stage.settings.name}: trains {sizes(network, stage.settings)}")
        optimizer = build_optimizer(parameters, stage.settings.schedule.optimizer)
        ema = stage.settings.schedule.ema
        self._average = None if ema is None else WeightAverage(self.segmenter, ema)
        if self.progress.step > stage.first and self._checkpoint is not None:
            checkpoints.load_optimizer(self._checkpoint, optimizer)
            if self._average is not None:  # the resume has put the average where what is trained belongs
                checkpoints.load(self._checkpoint, self.segmenter, trained=True)
        if self.progress.step == stage.first:
            self.progress = replace(self.progress, best_score=-1.0, best_step=0, learned=False, stopped=None)
            if stage.settings.schedule.validate_every is None:
                checkpoints.remove_best(self.folder)
        return cast(torch.optim.Optimizer, self.fabric.setup_optimizers(optimizer))

    def _run_stage(self, stage: Stage, logs: Logs) -> None:
        schedule, name = stage.settings.schedule, stage.settings.name
        method = self._method(stage)
        self._keep(stage)
        optimizer = self._enter(stage)
        self._prepare(stage, method)
        collection = self._collection()
        anywhere = stage.settings.chips == "anywhere"
        sampler = ChipSampler(collection, self.survey, self.recipe.seed, schedule.batch, method.sampler.draw, anywhere)
        started, first, score = time.monotonic(), self.progress.step, float("nan")
        try:
            for batch in batches(sampler, stage, first):
                terms, facts, taught = self._step(stage, method, optimizer, batch)
                step = self.progress.step + 1
                if self._average is not None:
                    self._average.update(self.segmenter, step - stage.first)
                self.progress = replace(self.progress, step=step, learned=self.progress.learned or taught)
                if not all(np.isfinite(value) for value in terms.values()):
                    raise RunError(
                        f"{self.folder}: the loss at step {step} (stage {name}) is not finite: {terms}; lower "
                        "the stage's schedule.optimizer.learning_rate"
                    )
                logs.add(step, {f"{name}/loss/{term}": value for term, value in terms.items()})
                logs.add(step, {f"{name}/{fact}": value for fact, value in facts.items()})
                if step == stage.end and not self.progress.learned:
                    raise RunError(
                        f"{self.folder}: stage {name} has changed nothing: no loss depended on what it trains "
                        f"({', '.join(stage.settings.trainable)}). Prompts, for one, learn from samples that lack a "
                        "sensor: scenarios: incomplete"
                    )
                epoch, place = divmod(step - stage.first, schedule.steps_per_epoch)
                every, found = schedule.validate_every, dict[str, float]()
                if place == 0 and every is not None and (epoch % every == 0 or step == stage.end):
                    found = self._validate(logs, collection, optimizer)
                    score = found["mean"]
                    if stage.out_of_patience(step, self.progress.best_step):
                        self._stop(stage)
                if place == 0 or step % schedule.checkpoint_every == 0:
                    logs.keep()
                    self._save("last", optimizer)
                self._keep(stage)
                speed = (step - first) * schedule.batch / (time.monotonic() - started)
                self.report(Report(name, step, self.steps, terms, speed, score, found))
                if self.progress.step == stage.end:
                    break
        finally:
            collection.close()
        if self._average is not None:
            self.segmenter.load_state_dict(self._average.segmenter.state_dict())
            self._average = None
        if stage.settings.lora is not None:
            merge(self.segmenter.network)

    def _stop(self, stage: Stage) -> None:
        """Ends a stage early: steps count on from where it would have ended, so that no draw is made twice."""
        progress, schedule = self.progress, stage.settings.schedule
        self.say(
            f"{stage.settings.name}: stopped after {progress.step - stage.first} of {stage.steps} steps: "
            f"{schedule.patience} validations found nothing better than mIoU {progress.best_score:.4f} at step "
            f"{progress.best_step}"
        )
        self.progress = replace(progress, step=stage.end, stopped=progress.step - stage.first)

    def _prepare(self, stage: Stage, method: Method) -> None:
        """Lets the method prepare its stage; its scenes are closed again before workers open their own."""
        collection = self._complete_collection()

        def grouped() -> Iterator[dict[str, Tensor]]:
            chips = complete_chips(collection, "train")
            while group := list(islice(chips, stage.settings.schedule.batch)):
                yield collate(group).to(self.fabric.device).inputs

        name = stage.settings.name
        preparation = Preparation(
            name,
            self.folder,
            self.recipe.class_values,
            self.recipe.data.chip,
            grouped,
            lambda samples: self.notice(f"{name}: {samples} chips measured"),
            self.say,
            tuple(int(count) for count in self.survey.class_counts),
        )
        try:
            with prefixed(f"stages.{self.stages.index(stage)}."):
                method.prepare(self.segmenter, preparation)
        finally:
            collection.close()

    def _keep(self, stage: Stage) -> None:
        every = stage.settings.schedule.keep_every
        if every is not None and (self.progress.step - stage.first) % every == 0:
            self._save("kept", None)

    def _save(self, kind: checkpoints.Kind, optimizer: torch.optim.Optimizer | None) -> None:
        folder = self.folder / "checkpoints"
        shown, trained = self.segmenter, None
        if self._average is not None:
            shown, trained = self._average.segmenter, self.segmenter
        checkpoints.save(folder, kind, shown, optimizer, self.progress, trained)

    def _step(
        self, stage: Stage, method: Method, optimizer: torch.optim.Optimizer, batch: Batch
    ) -> tuple[dict[str, float], dict[str, float], bool]:
        """One step: the loss's terms, what is logged beside them, and whether there was anything to learn."""
        step, schedule = self.progress.step, stage.settings.schedule
        factor = rate_factor(step - stage.first, stage.steps, schedule.steps_per_epoch, schedule.decay)
        for group in optimizer.param_groups:
            group["lr"] = schedule.optimizer.learning_rate * factor
        torch.manual_seed(int(np.random.SeedSequence((self.recipe.seed, step)).generate_state(1)[0]))
        train_mode(self.segmenter)
        optimizer.zero_grad()
        parts = batch.to(self.fabric.device).parts(schedule.accumulate)
        losses = [self._backward(method, part, len(parts)) for part in parts]
        taught = any(learned for _, learned in losses)
        if taught:
            if schedule.clip is not None:
                self.fabric.clip_gradients(self.wrapped, optimizer, max_norm=schedule.clip, error_if_nonfinite=False)
            optimizer.step()
        terms, facts = (
            means([{name: value.detach() for name, value in part.items()} for part in kind])
            for kind in ([loss.terms for loss, _ in losses], [loss.facts for loss, _ in losses])
        )
        return terms, facts, taught

    def _backward(self, method: Method, part: Batch, parts: int) -> tuple[Loss, bool]:
        """The loss of a part of a step's chips, whose gradient is added; and whether there was anything to learn."""
        # Fabric's wrapper hands on what it does not know to the module
        segmenter = cast(Segmenter, self.wrapped)
        with self.fabric.autocast():  # which Fabric enters for `forward` alone
            loss = method.loss(segmenter, part.inputs, part.availability, part.labels)
        total = torch.stack(list(loss.terms.values())).sum()
        if total.requires_grad:  # prompts alone learn nothing of samples that lack no sensor
            self.fabric.backward(total / parts)
        return loss, total.requires_grad

    def _validate(self, logs: Logs, collection: SceneCollection, optimizer: torch.optim.Optimizer) -> dict[str, float]:
        """Scores the validation split: mIoU of each scenario, and ``mean``."""
        segmenter = self.segmenter if self._average is None else self._average.segmenter
        segmenter.eval()
        tile, halo, inner_only = tiles_of(segmenter.network, self.recipe.data.chip)
        evaluation = evaluate(
            collection,
            self.survey.modalities,
            torch_predictor(segmenter, self.fabric.device),
            "validation",
            tile,
            halo,
            inner_only=inner_only,
            progress=lambda _what, share: self.notice(f"validation, {share:.0%}"),
        )
        labels = [scenario.label(evaluation.names) for scenario in evaluation.scenarios]
        found = dict(zip(labels, [one.miou for one in evaluation.scores], strict=True))
        found["mean"] = score = evaluation.mean("miou")
        logs.add(self.progress.step, {f"validation/miou/{name}": miou for name, miou in found.items()})
        if score > self.progress.best_score:
            self.progress = replace(self.progress, best_score=score, best_step=self.progress.step)
            self._save("best", optimizer)
        return found
