"""The report of a map, out of what was counted while it was made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from engine.files import write_text
from engine.mapping.outputs import MapOutputs
from engine.mapping.publishing import Provenance, class_rows, versions
from engine.mapping.request import MapRequest
from engine.mapping.spool import Spool
from engine.mapping.tally import by_mask, picture
from engine.report.map import MapFacts, map_report


def write_report(
    request: MapRequest,
    outputs: MapOutputs,
    spool: Spool,
    provenance: Provenance,
    warnings: Sequence[str],
    notes: Sequence[str],
    seconds: float,
) -> None:
    """Writes the report that a request names.

    Args:
        request: What was wanted, its sources with the bands that were read.
        outputs: The map's layers.
        spool: Holds what was counted.
        provenance: How the map was made.
        warnings: What the user was told to know.
        notes: What was done with the sources.
        seconds: Wall time of the run.

    Raises:
        OutputError: If it cannot be written.
    """
    if request.report is None:
        return
    classes, grid = len(outputs.legend.classes), outputs.grid
    areas = by_mask(spool.tally("cell area"), classes)
    pixels = by_mask(spool.tally("cells"), classes)
    confidences = spool.tally("confidences")
    facts = MapFacts(
        model=outputs.model,
        digest=provenance.model,
        grid=grid,
        raster=request.output,
        nodata=outputs.nodata,
        classes=class_rows(outputs, spool),
        pixels=pixels,
        hectares=None
        if outputs.areas is None
        else {bits: [one / 10_000 for one in areas.get(bits, [0] * (classes + 1))] for bits in pixels},
        availability=picture(spool.tally("picture"), grid.height, grid.width),
        confidences=[confidences[percent] for percent in range(101)],
        sources=request.sources,
        masks=request.masks,
        warnings=warnings,
        notes=notes,
        device=provenance.device,
        seconds=seconds,
        resumed=provenance.resumed,
        command=provenance.command,
        versions=versions(),
        made=datetime.now(timezone.utc).astimezone(),
    )
    write_text(request.report, map_report(facts))
