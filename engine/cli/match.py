"""`engine match`."""

from __future__ import annotations

from pathlib import Path, PurePath

import click

from engine.inference.matching import Layer, Matching, match
from engine.inference.model import Model
from engine.raster.sources import SourceSpec


@click.command("match")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("rasters", nargs=-1, required=True, metavar="RASTER...")
def command(model: Path, rasters: tuple[str, ...]) -> None:
    """Show which of MODEL's modalities each RASTER can be, and why.

    The exit status is 0 where `engine predict` could go on with what was found, 2 where an assignment is needed or
    nothing fits.

    \b
    Example:
      engine match zion.onnx landsat.tif srtm.tif
    """
    opened = Model(model)
    specs = [SourceSpec.parse(text) for text in rasters]
    found = match(opened, [Layer(PurePath(spec.path).name, spec) for spec in specs])
    for line in described(found):
        click.echo(line)
    sources = found.sources  # raises where it is not clear what to do
    accuracy = {item.scenario: item for item in opened.metadata.accuracy}.get(found.scenario)
    click.echo(
        f"scenario {found.scenario}"
        + (f": mIoU {accuracy.miou:.3f} on the {accuracy.split} split" if accuracy is not None else "")
    )
    arguments = " ".join(f"{name}={spec}" for name, many in sources.items() for spec in many)
    click.echo(f"next: engine predict {model} {arguments} -o map.tif")


def described(found: Matching) -> list[str]:
    """A matching in sentences."""
    lines = []
    for name in found.names:
        if name in found.chosen:
            one = found.chosen[name]
            lines.append(f"{name}: {one.layer.name}, bands {', '.join(map(str, one.bands))} ({'; '.join(one.reasons)})")
        else:
            lines.append(f"{name}: missing; {found.missing[name]}")
    return lines + [f"not used: {layer} ({why})" for layer, why in found.unused.items()]
