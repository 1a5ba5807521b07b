"""`engine match`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path, PurePath

import click

from engine.errors import RasterReadError
from engine.mapping.candidates import Candidate, Layer
from engine.mapping.matching import Matching, match
from engine.model.file import Model
from engine.raster.sources import SourceSpec

RASTERS = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".png")
"""How the names of rasters in a folder end."""


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
    specs = [SourceSpec.parse(text) for raster in rasters for text in _files(raster)]
    names = [PurePath(spec.path).name for spec in specs]
    alike = {name for name in names if names.count(name) > 1}
    layers = [Layer(str(spec) if name in alike else name, spec) for name, spec in zip(names, specs, strict=True)]
    found = match(opened, layers)
    for line in described(found):
        click.echo(line)
    for options in (found.tied or found.asked).values():
        for one in options:
            click.echo(f"choose: {_command(model, {**found.chosen, one.modality: one})}")
    sources = found.sources  # raises where it is not clear what to do
    accuracy = {item.scenario: item for item in opened.metadata.accuracy}.get(found.scenario)
    click.echo(
        f"scenario {found.scenario}"
        + (f": mIoU {accuracy.miou:.3f} on the {accuracy.split} split" if accuracy is not None else "")
    )
    click.echo(f"next: {_command(model, {name: found.chosen[name] for name in sources})}")


def _command(model: Path, chosen: Mapping[str, Candidate]) -> str:
    arguments = [f"{name}={spec}" for name, one in chosen.items() for spec in one.specs]
    return shlex.join(["engine", "predict", str(model), *arguments, "-o", "map.tif"])


def _files(raster: str) -> list[str]:
    """The rasters of a folder, a product's for instance; else what is named."""
    folder = Path(raster)
    if not folder.is_dir():
        return [raster]
    found = sorted(
        str(path)
        for path in folder.rglob("*")
        if path.suffix.lower() in RASTERS and "QI_DATA" not in path.parts  # masks of a Sentinel-2 product's making
    )
    if not found:
        raise RasterReadError(f"{raster}: holds no raster ({', '.join(RASTERS)})")
    return found


def described(found: Matching) -> list[str]:
    """A matching in sentences."""
    lines = []
    for name in found.names:
        if name in found.chosen:
            one = found.chosen[name]
            parts = "; ".join(f"{part.layer.name}, bands {', '.join(map(str, part.bands))}" for part in one.parts)
            lines.append(f"{name}: {parts} ({'; '.join(one.reasons)})")
        else:
            lines.append(f"{name}: missing; {found.missing[name]}")
    return lines + [f"not used: {layer} ({why})" for layer, why in found.unused.items()]
