"""Sensors, classes and splits as lines of text, for a terminal and for comments alike."""

from __future__ import annotations

from collections.abc import Sequence

from engine.data.evidence import SplitCounts
from engine.data.splits import SPLITS
from engine.modality import LandClass
from engine.names import shown
from engine.proposal.sensors import Sensor
from engine.proposal.sight import Sight

_KINDS = {
    "dense": "dense",
    "polygons": "polygons",
    "scattered": "scattered pixels",
    "single": "single pixels, beside which no sensor saw anything",
}


def sensor_lines(sensors: Sequence[Sensor], sight: Sight) -> list[str]:
    """What is known of each sensor, and how labels lie."""
    lines = []
    for one in sensors:
        seen = sight.sensors[one.given.name]
        lines.append(
            f"{one.facts}; valid on {seen.valid:.1%} of the pixels and {seen.labelled:.1%} of the labelled ones, "
            f"values {seen.low:.6g} to {seen.high:.6g}"
        )
    if sight.share < 1:
        lines.append(
            f"(values and valid shares are those of a sample of {sight.share:.1%} of the pixels; all labels were read)"
        )
    lines.append(
        f"labels: {int(sight.labelled.sum()):,} of {sight.pixels:,} pixels, {sight.density:.1%} of the valid ones, in "
        f"{int(sight.regions.sum()):,} regions: {_KINDS[sight.kind]}"
    )
    return lines


def class_table(classes: Sequence[LandClass], sight: Sight) -> list[str]:
    """Value, name, colour, pixels, share and regions of each class."""
    total = sight.labelled.sum()
    rows = [
        [str(one.value), shown(one.name), one.color, f"{pixels:,}", f"{pixels / total:.2%}", f"{regions:,}"]
        for one, pixels, regions in zip(classes, sight.labelled, sight.regions, strict=True)
    ]
    return table(["value", "class", "colour", "pixels", "share", "regions"], rows, text=(1, 2))


def split_table(classes: Sequence[LandClass], counts: SplitCounts) -> list[str]:
    """Pixels and regions of each class in each split."""
    rows = []
    for number, one in enumerate(classes):
        held = [f"{counts.pixels[split][number]:,} in {counts.regions[split][number]:,}" for split in SPLITS]
        rows.append([shown(one.name), *held])
    return table(["pixels in regions", *SPLITS], rows, text=(0,))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int]) -> list[str]:
    """Lines of columns; those of ``text`` to the left, numbers to the right."""
    every = [head, *rows]
    widths = [max(len(row[place]) for row in every) for place in range(len(head))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if place in text else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in every
    ]
