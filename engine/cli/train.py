"""`engine train`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

import click
from rich.console import Console
from rich.table import Table

from engine.cli.progress import bar
from engine.files import check_target, make_folder
from engine.locks import Lock
from engine.training.checkpoints import Progress
from engine.training.logs import scenario_scores
from engine.training.loop import Report, Training
from engine.training.recipe import Recipe, read_recipe
from engine.training.run import RECIPE


@click.command("train")
@click.argument("recipe", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Run folder [default: runs/NAME].")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the recipe.")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint of the run folder.")
@click.option("--extend", is_flag=True, help="Go on with more epochs of the last stage than the run had.")
@click.option("--steal", is_flag=True, help="Take the run folder from a computer that no longer works on it.")
@click.option("--seeds", type=click.IntRange(2), help="Train so many runs, each with another seed, into OUTPUT/seed-N.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def command(
    recipe: Path,
    output: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    extend: bool,
    steal: bool,
    seeds: int | None,
    device: str,
) -> None:
    """Train RECIPE (a YAML file) into a run folder.

    With --seeds the recipe's seed is the first, and the scores' mean and deviation over the runs are told.

    \b
    Examples:
      engine train recipes/zion.yaml -o runs/zion --set data.root=/data/zion
      engine train recipes/zion.yaml -o runs/zion --resume
      engine train recipes/zion.yaml -o runs/zion --extend --set stages.0.schedule.epochs=80
      engine train recipes/zion.yaml -o runs/zion --seeds 3
    """
    settings = read_recipe(recipe, overrides, trained=resume or extend)
    folder = output or Path("runs") / settings.name
    if seeds is None:
        _locked(settings, folder, resume, extend, steal, device)
        return
    found = []
    for seed in range(settings.seed, settings.seed + seeds):
        own = folder / f"seed-{seed}"
        begun = resume and (own / RECIPE).exists()
        done = _locked(settings.model_copy(update={"seed": seed}), own, begun, extend, steal, device)
        found.append(scenario_scores(own, done.best_step or done.step))
    _print_seeds(found)


def _locked(settings: Recipe, folder: Path, resume: bool, extend: bool, steal: bool, device: str) -> Progress:
    make_folder(folder.parent)
    with Lock(folder, steal):
        if folder.is_dir():
            check_target(folder / RECIPE)
        return train(settings, folder, resume, extend, device)


def _print_seeds(found: Sequence[Mapping[str, float]]) -> None:
    """Prints mean and deviation over the runs of each scenario's validation mIoU."""
    if not all(found):
        click.echo("never validated: score the runs with engine evaluate to compare the seeds")
        return
    table = Table(title=f"best validation mIoU over {len(found)} seeds")
    table.add_column("scenario", no_wrap=True)
    for heading in ("mean", "deviation", "least", "most"):
        table.add_column(heading, justify="right")
    for scenario in found[0]:
        scores = [one[scenario] for one in found]
        table.add_row(scenario, *(f"{value:.3f}" for value in (mean(scores), stdev(scores), min(scores), max(scores))))
    Console().print(table)


def _line(name: str, report: Report) -> str:
    """A report in words."""
    losses = ", ".join(f"{term} {value:.3f}" for term, value in report.terms.items())
    text = f"{name}: step {report.step} of {report.steps}, stage {report.stage}; loss {losses}; "
    text += f"{report.chips_per_second:.3g} chips/s"
    if report.validation:
        text += f"; validation mIoU {', '.join(f'{key} {value:.3f}' for key, value in report.validation.items())}"
    return text


def train(settings: Recipe, folder: Path, resume: bool, extend: bool, device: str) -> Progress:
    """Trains, shows how far it is, and says what comes next; gives how far it came.

    Args:
        settings: The recipe.
        folder: The run folder.
        resume: Go on from the newest checkpoint.
        extend: The same, with more epochs of the last stage.
        device: ``auto``, ``cpu`` or ``cuda``.
    """
    with bar(settings.name) as shown:

        def show(report: Report) -> None:
            score = "-" if math.isnan(report.score) else f"{report.score:.3f}"
            loss, speed = sum(report.terms.values()), f"{report.chips_per_second:.3g} chips/s"
            shown.update(
                _line(settings.name, report),
                report.step / report.steps,
                short=f"{settings.name}: {report.stage}",
                beside=f"{report.step}/{report.steps}  loss {loss:.3f}  {speed}  mIoU {score}",
                at_once=bool(report.validation),
            )

        def notice(text: str) -> None:
            shown.update(f"{settings.name}: {text}", short=f"{settings.name}: {text}")

        training = Training(
            settings,
            folder,
            resume=resume,
            extend=extend,
            accelerator=device,
            report=show,
            notice=notice,
            say=click.echo,
        )
        training.run()
    done = training.progress
    if done.best_step:
        click.echo(
            f"{folder}: {done.step} steps; the checkpoint of step {done.best_step} was chosen by its validation mIoU "
            f"({done.best_score:.4f} with tiles of a chip); the model's own tiles may give another one"
        )
        click.echo(f"next: engine evaluate {folder}; engine export {folder} -o {settings.name}.onnx")
    else:
        last = "--checkpoint last"
        click.echo(f"{folder}: {done.step} steps, never validated")
        click.echo(f"next: engine evaluate {folder} {last}; engine export {folder} {last} -o {settings.name}.onnx")
    return done
