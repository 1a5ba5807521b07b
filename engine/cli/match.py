"""`engine match`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import click

from engine.errors import ModalityError
from engine.mapping.candidates import Candidate
from engine.mapping.matching import Matching, match, may_be_mosaic
from engine.model.file import Model
from engine.raster.folders import rasters_of
from engine.raster.pools import Layer
from engine.raster.sources import SourceSpec
from engine.said import Said


@click.command("match")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("rasters", nargs=-1, required=True, metavar="RASTER|FOLDER...")
def command(model: Path, rasters: tuple[str, ...]) -> None:
    """Show which of MODEL's modalities each RASTER can be, and why.

    The exit status is 0 where `engine predict` could go on with what was found, 2 where an assignment is needed or
    nothing fits.

    \b
    Example:
      engine match zion.onnx landsat.tif srtm.tif
      engine match s2.onnx S2B_MSIL2A_20240601T105031_N0510_R051_T31UFS_20240601T140312.SAFE
    """
    opened = Model(model)
    specs = [SourceSpec.parse(text) for raster in rasters for text in rasters_of(raster)]
    names = [PurePath(spec.path).name for spec in specs]
    alike = {name for name in names if names.count(name) > 1}
    layers = [Layer(str(spec) if name in alike else name, spec) for name, spec in zip(names, specs, strict=True)]
    found = match(opened, layers)
    for line in described(found):
        click.echo(line)
    questions = found.tied or found.asked
    for options in questions.values():
        for line in _commands(model, found, options):
            click.echo(f"choose: {line}")
    if questions:
        raise ModalityError(f"{_question(found)}; choose one of the commands above")
    sources = found.sources  # raises where nothing fits
    accuracy = opened.metadata.expected.get(found.scenario)
    click.echo(
        f"scenario {found.scenario}"
        + (f": mIoU {accuracy.miou:.3f} on the {accuracy.split} split" if accuracy is not None else "")
    )
    click.echo(f"next: {_command(model, {name: found.chosen[name] for name in sources})}")


def _commands(model: Path, found: Matching, options: Sequence[Candidate]) -> list[str]:
    """A command for each candidate, and one for all as a mosaic where that makes sense."""
    commands = [_command(model, {**found.chosen, one.modality: one}) for one in options]
    if may_be_mosaic(options):
        every = replace(options[0], parts=tuple(part for one in options for part in one.parts))
        commands.append(_command(model, {**found.chosen, every.modality: every}, ["--mosaic", "newest"]))
    return commands


def _question(found: Matching) -> str:
    if found.tied:
        return f"several layers fit {next(iter(found.tied))} equally well"
    return "no name or wavelength says what these layers are"


def _command(model: Path, chosen: Mapping[str, Candidate], options: Sequence[str] = ()) -> str:
    arguments = [f"{name}={spec}" for name, one in chosen.items() for spec in one.specs]
    return shlex.join(["engine", "predict", str(model), *arguments, *options, "-o", "map.tif"])


def described(found: Matching) -> list[str]:
    """A matching in sentences."""
    lines: list[str] = []
    for name in found.names:
        if name in found.chosen:
            one = found.chosen[name]
            reasons = list(one.reasons)
            lines.append(Said("{name}: {parts} ({reasons})", name=name, parts=_parts(one), reasons=reasons))
        elif possible := (*found.tied.get(name, ()), *found.asked.get(name, ())):
            options = " or ".join(map(_shortly, possible))
            lines.append(Said("{name}: to be chosen: {options}", name=name, options=options))
        else:
            lines.append(Said("{name}: missing; {wanted}", name=name, wanted=found.missing[name]))
    for why in dict.fromkeys(found.unused.values()):
        layers = ", ".join(layer for layer, one in found.unused.items() if one == why)
        lines.append(Said("not used: {layers} ({why})", layers=layers, why=why))
    return lines + [Said("warning: {text}", text=text) for text in found.warnings]


def _shortly(one: Candidate) -> str:
    first, *others = one.parts
    return f"{first.layer.name} and {len(others)} more" if others else str(first)


def _parts(one: Candidate) -> str:
    if all(part.bands == (1,) for part in one.parts):
        return ", ".join(part.layer.name for part in one.parts)
    return "; ".join(f"{part.layer.name}, bands {', '.join(map(str, part.bands))}" for part in one.parts)
