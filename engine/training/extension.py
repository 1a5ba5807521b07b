"""More epochs of a run's last stage, to the weights that it would have had they been asked for at first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.errors import RunError
from engine.training import checkpoints
from engine.training.recipe import Recipe
from engine.training.resume import epochs_key, grows, recipe_lines
from engine.training.run import CHECKPOINTS, keep_recipe, recipe_of
from engine.training.schedule import lay_out, rate_factor


class Extension:
    """A longer recipe for a run.

    Args:
        folder: The run folder.
        recipe: The longer recipe.

    Raises:
        RunError: If more differs than the epochs of the last stage, or there are no more of them.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder, self.recipe = folder, recipe
        there = recipe_of(folder)
        if there.digest == recipe.digest:
            raise self._refused(f"{epochs_key(recipe)} is that of the run; ask for more, or go on with --resume")
        if not grows(there, recipe):
            said = recipe_lines(there, recipe)
            raise self._refused(f"only {epochs_key(recipe)} may differ, and grow:{said}\nchange back what else does")
        self.old, self.new = lay_out(there.stages)[-1], lay_out(recipe.stages)[-1]
        every = self.old.settings.schedule.validate_every
        self._early = every is not None and self.old.settings.schedule.epochs % every != 0
        """Whether the old last epoch was validated as the last one only."""

    def _refused(self, why: str) -> RunError:
        return RunError(f"{self.folder}: cannot be extended: {why}")

    def checkpoint(self, say: Callable[[str], None]) -> Path | None:
        """The checkpoint to go on from: the newest at which a longer training would have been in the same state.

        Args:
            say: Told what is not gone on from.

        Raises:
            RunError: If there is none.
        """
        found = checkpoints.newest_intact(self.folder, say)
        if found is not None and self._early and checkpoints.step_of(found) == self.old.end:
            found = checkpoints.newest_intact(self.folder, say, before=self.old.end)
            if found is None:
                raise self._refused(
                    f"step {self.old.end} was validated since it was the last one, a longer training would not have "
                    "been there, and no checkpoint before it is left; train anew into another folder"
                )
            say(f"going back to {found.name}: a longer training would not have been validated at step {self.old.end}")
        stopped = None if found is None else checkpoints.read_progress(found).stopped
        if stopped is not None:
            raise self._refused(
                f"its last stage ended early, after {stopped} steps: patience found nothing better, and more epochs "
                f"would change nothing. For other weights set start.run to {self.folder} and train into another folder"
            )
        self._check_rates(0 if found is None else checkpoints.step_of(found))
        self._check_best(found)
        return found

    def _check_rates(self, done: int) -> None:
        schedule = self.new.settings.schedule
        for step in range(done - self.new.first):
            was, now = (
                rate_factor(step, stage.steps, schedule.steps_per_epoch, schedule.decay)
                for stage in (self.old, self.new)
            )
            if was != now:
                key = epochs_key(self.recipe).replace("epochs", "decay")
                raise self._refused(
                    f"{key}: {schedule.decay.name} with warmup {schedule.decay.warmup:g} sets the learning rate by the "
                    f"stage's length: step {self.new.first + step + 1} had {was:.6g} times the rate, of a longer "
                    f"training it would have {now:.6g}; constant and step without warmup can be extended. For other "
                    f"weights set start.run to {self.folder} and train into another folder"
                )

    def _check_best(self, found: Path | None) -> None:
        """A best checkpoint that a longer training would not have may have taken the place of one that it would."""
        if found is None or not self._best_is_early():
            return
        progress = checkpoints.read_progress(found)
        if progress.step > self.old.first and progress.best_step:
            raise self._refused(
                f"its best weights are those of step {self.old.end}, which was validated since it was the last one; a "
                f"longer training would have kept those of step {progress.best_step}, which are gone. Train anew into "
                "another folder, or ask for epochs that are a multiple of validate_every next time"
            )

    def _best_is_early(self) -> bool:
        best = checkpoints.newest(self.folder / CHECKPOINTS, "best")
        return self._early and best is not None and checkpoints.step_of(best) == self.old.end

    def write(self) -> None:
        """Makes the run one of the longer recipe, which comes last.

        Raises:
            OutputError: If the folder cannot be written.
        """
        if self._best_is_early():
            checkpoints.remove_best(self.folder)
        if self._early:
            checkpoints.remove_last(self.folder, self.old.end)
        keep_recipe(self.folder, self.recipe)
