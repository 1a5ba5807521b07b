"""`engine predict`."""

from __future__ import annotations

import typing
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar

import click

from engine.cli.progress import bar
from engine.mapping.predict import Listener, predict
from engine.mapping.request import (
    REPEATED,
    MapOptions,
    Option,
    map_request,
    options,
    parse_named_masks,
    parse_sources,
)
from engine.runtime.sizing import said

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _option(name: str, option: Option) -> Callable[[_Command], _Command]:
    """An option of the command line, by the type of the field that it sets."""
    field = MapOptions.model_fields[name]
    flag, fixed, setting = option.flag.partition("=")
    names = (flag, name)
    shown: dict[str, Any] = {"help": option.help, "metavar": option.metavar}
    kinds = [one for one in (*typing.get_args(field.annotation), field.annotation) if one is not NoneType]
    if fixed:
        return click.option(*names, flag_value=setting, default=field.default, help=option.help)
    if field.annotation is bool:
        return click.option(*names, is_flag=True, flag_value=not field.default, default=field.default, help=option.help)
    if name in REPEATED:
        return click.option(*names, multiple=True, **shown)
    if typing.get_origin(field.annotation) is Literal:
        choice = click.Choice(typing.get_args(field.annotation))
        return click.option(*names, type=choice, default=field.default, show_default=True, help=option.help)
    if typing.get_origin(kinds[0]) is tuple:
        return click.option(*names, type=float, nargs=len(typing.get_args(kinds[0])), **shown)
    if field.is_required():
        return click.option(flag, f"--{name}", type=click.Path(path_type=Path), required=True, **shown)
    kind = click.Path(path_type=Path) if kinds[0] is Path else kinds[0] if kinds[0] in (int, float) else str
    return click.option(*names, type=kind, default=field.default, show_default=field.default is not None, **shown)


def _options(command: _Command) -> _Command:
    for name, option in reversed(options().items()):
        command = _option(name, option)(command)
    return command


@click.command("predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("sources", nargs=-1, required=True, metavar="NAME=PATH[@BANDS]...")
@_options
def command(model: Path, sources: tuple[str, ...], masks: tuple[str, ...], **chosen: object) -> None:
    """Map rasters with MODEL, whichever of its sensors they are.

    What is finished lies in OUTPUT.part/ until all is: the same command goes on there after a crash or Ctrl-C.

    \b
    Examples:
      engine predict zion.onnx rgb=landsat.tif@3,2,1 dem=srtm.tif -o map.tif
      engine predict flood.onnx s1=before.tif s1=after.tif -o flood.tif --confidence confidence.tif
      engine predict zion.onnx rgb=west.tif rgb=east.tif -o map.tif     (each has all bands: a mosaic)
    """
    request = map_request(model=model, sources=parse_sources(sources), masks=parse_named_masks(masks), **chosen)
    with bar("mapping") as shown:
        early: list[str] = []

        def warned(text: str) -> None:
            early.append(text)
            click.echo(f"Warning: {text}", err=True)

        summary = predict(
            request,
            Listener(
                warned=warned,
                expected=lambda found: click.echo(said(found)),
                progress=lambda share: shown.update("mapping", share),
            ),
        )
    for note in summary.notes:
        click.echo(note)
    for warning in summary.warnings:
        if warning not in early:
            click.echo(f"Warning: {warning}", err=True)
    grid = summary.grid
    if summary.resumed:
        click.echo(f"went on from {summary.resumed:.0%}, which a run before had finished")
    click.echo(f"{request.output}: {grid.width} x {grid.height} pixels, {summary.device}, {summary.seconds:.1f} s")
    for label, share in summary.shares.items():
        click.echo(f"  {share:6.2%}  {label}")
    for why, share in summary.left.items():
        click.echo(f"  {share:6.2%}  left without a class: {why}")
