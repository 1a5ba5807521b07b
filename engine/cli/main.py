"""`engine`: the command line. One module a command; errors go to stderr, without a traceback unless --debug."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from engine.errors import EngineError, is_missing

COMMANDS = {
    "init": "Write a recipe for your own rasters and labels.",
    "train": "Train a recipe.",
    "evaluate": "Score a run or model in every scenario.",
    "baseline": "Score random forests on the same pixels.",
    "labels": "Find faults in labels, and labels that look wrong.",
    "diagnose": "Draw what a training did.",
    "export": "Write a run as one ONNX model.",
    "predict": "Map rasters with a model.",
    "match": "Find which raster is which of a model's modalities.",
    "mapfolder": "Map every scene of a folder.",
    "polygonize": "Make polygons of a class map.",
    "statistics": "Count a class map by class, scenario and zone.",
    "change": "Find what has changed between two class maps.",
    "verify": "Check that a map holds what was mapped.",
    "inspect": "Show a model, raster or run.",
    "describe": "Show what is said of a legend's classes.",
    "doctor": "Show what the engine runs on, and test it.",
    "synthesize": "Make a synthetic scene.",
    "job": "Do a job for another program (JSON lines).",
}


class _Commands(click.Group):
    """Loads a command's module only when it is called: `engine predict` never imports torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"engine.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="robust-landcover", prog_name="engine")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Land-cover maps from whatever subset of a model's sensors is present, pixel by pixel."""
    ctx.obj = debug


def _clean_environment() -> None:
    """Drops PROJ's and GDAL's variables that a desktop GIS leaves to its children: they name its own databases."""
    for name in list(os.environ):
        if name.startswith(("PROJ_", "GDAL_")):
            del os.environ[name]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 1 failed, 2 bad input."""
    _clean_environment()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        cli.main(args=given, prog_name="engine", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if "--debug" in given or error.name is None or error.name.startswith("engine"):
            raise
        click.echo(f"Error: {is_missing(error.name)}", err=True)
        sys.exit(1)
    except EngineError as error:
        if "--debug" in given:
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_status)
