"""`engine train`."""

from __future__ import annotations

import math
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engine.files import check_target, make_folder
from engine.locks import Lock
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
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def command(
    recipe: Path,
    output: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    extend: bool,
    steal: bool,
    device: str,
) -> None:
    """Train RECIPE (a YAML file) into a run folder.

    \b
    Examples:
      engine train recipes/zion.yaml -o runs/zion --set data.root=/data/zion
      engine train recipes/zion.yaml -o runs/zion --resume
      engine train recipes/zion.yaml -o runs/zion --extend --set stages.0.schedule.epochs=80
    """
    settings = read_recipe(recipe, overrides, trained=resume or extend)
    folder = output or Path("runs") / settings.name
    make_folder(folder.parent)
    with Lock(folder, steal):
        if folder.is_dir():
            check_target(folder / RECIPE)
        train(settings, folder, resume, extend, device)


def train(settings: Recipe, folder: Path, resume: bool, extend: bool, device: str) -> None:
    """Trains with a bar that shows how far it is, and says what comes next.

    Args:
        settings: The recipe.
        folder: The run folder.
        resume: Go on from the newest checkpoint.
        extend: The same, with more epochs of the last stage.
        device: ``auto``, ``cpu`` or ``cuda``.
    """
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[found]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task(settings.name, total=None, found="", visible=False)

        def show(report: Report) -> None:
            score = "-" if math.isnan(report.score) else f"{report.score:.3f}"
            bar.update(
                task,
                visible=True,
                description=f"{settings.name}: {report.stage}",
                completed=report.step,
                total=report.steps,
                found=f"loss {report.loss:.3f}  {report.chips_per_second:.0f} chips/s  mIoU {score}",
            )

        training = Training(
            settings,
            folder,
            resume=resume,
            extend=extend,
            accelerator=device,
            report=show,
            notice=lambda text: bar.update(task, description=f"{settings.name}: {text}", visible=True),
            say=lambda line: bar.console.print(line, highlight=False),
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
