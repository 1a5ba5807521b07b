"""A map's report: what was mapped, from which sensors and how well it is expected to be, and how, as an HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS

from engine.availability import from_bits
from engine.grid import Grid
from engine.model.file import Model
from engine.raster.legend import ClassRow, availability_legend
from engine.raster.masks import MaskSpec
from engine.raster.sources import SourceSpec
from engine.report.page import Section, drawing, page
from engine.report.pictures import EMPTY, FINEST, framed, palette

NAMED = 6
"""Files that stand under the title at most; all of them stand further down."""


@dataclass(frozen=True)
class MapFacts:
    """What is known of a map once it is made.

    Args:
        model: The model.
        digest: SHA-256 of its file.
        grid: The map's.
        raster: The class map.
        nodata: Its value where nothing is mapped.
        classes: Its classes.
        pixels: For each availability (a bit mask) the pixels of each class, and behind them those that are not mapped.
        hectares: Their areas in the same way; None where the map has no georeference.
        availability: A picture of the availability ``[h, w]``.
        confidences: How many pixels have each confidence from 0 to 100 percent.
        sources: For each sensor, what it was read from.
        masks: For each sensor, what masked it.
        warnings: What the user was told to know.
        notes: What was done with the sources.
        device: The device that was used.
        seconds: Wall time of this run.
        resumed: Share of the map that a run before had finished.
        command: The request as a command.
        versions: Of what made it, by name.
        made: When.
    """

    model: Model
    digest: str
    grid: Grid
    raster: Path
    nodata: int
    classes: Sequence[ClassRow]
    pixels: Mapping[int, Sequence[float]]
    hectares: Mapping[int, Sequence[float]] | None
    availability: NDArray[np.int64]
    confidences: Sequence[float]
    sources: Mapping[str, Sequence[SourceSpec]]
    masks: Mapping[str, Sequence[MaskSpec]]
    warnings: Sequence[str]
    notes: Sequence[str]
    device: str
    seconds: float
    resumed: float
    command: str
    versions: Mapping[str, str]
    made: datetime

    @property
    def mapped(self) -> int:
        """Pixels that have a class."""
        return sum(row.pixels for row in self.classes)

    @property
    def scenarios(self) -> dict[int, float]:
        """For each availability its share of the pixels, the largest first."""
        shares = {bits: sum(counts) / (self.grid.height * self.grid.width) for bits, counts in self.pixels.items()}
        return dict(sorted(shares.items(), key=lambda one: (-one[1], one[0])))

    def name(self, bits: int) -> str:
        """The sensors of an availability."""
        names = self.model.names
        return from_bits(bits, len(names)).label(names).replace("+", " + ") if bits else "no sensor"


def map_report(facts: MapFacts) -> str:
    """The page, complete in itself; names of any script and with any sign are shown as they are."""
    name = facts.model.metadata.name
    files = list(dict.fromkeys(Path(one.path).name for many in facts.sources.values() for one in many))
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    when = facts.made.strftime("%Y-%m-%d %H:%M %z")
    sections = [_areas(facts), _scenarios(facts)]
    if facts.warnings:
        sections.insert(0, Section("Warnings", "texts.html", {"texts": facts.warnings}))
    if sum(bits > 0 for bits in facts.pixels) > 1:
        sections.append(_cross(facts))
    if facts.mapped:
        sections.append(_confidence(facts))
    sections.append(_sources(facts))
    if facts.notes:
        sections.append(Section("What was done with the sources", "texts.html", {"texts": facts.notes}))
    sections.append(Section("How it was made", "facts.html", {"facts": _facts(facts), "command": facts.command}))
    return page(f"Land cover: {name}, {when}", f"Mapped from {', '.join(files[:NAMED])}{more}", sections)


def _areas(facts: MapFacts) -> Section:
    whole, sizes = facts.mapped, [row.hectares for row in facts.classes if row.hectares is not None]
    rows = [
        {
            "color": row.land_class.color,
            "value": row.land_class.value,
            "name": row.land_class.name,
            "hectares": None if row.hectares is None else _hectares(row.hectares, sum(sizes)),
            "pixels": row.pixels,
            "share": row.hectares / sum(sizes) if row.hectares and sum(sizes) else row.pixels / (whole or 1),
            "confidence": row.confidence,
        }
        for row in facts.classes
    ]
    values = {
        "picture": _classes_picture(facts),
        "rows": rows,
        "hectares": _hectares(sum(sizes), sum(sizes)) if sizes else None,
        "mapped": whole,
        "nodata": facts.nodata,
        "unmapped": facts.grid.height * facts.grid.width - whole,
    }
    return Section("Areas by class", "areas.html", values)


def _scenarios(facts: MapFacts) -> Section:
    metadata = facts.model.metadata
    colors = {bits: color for bits, color, _ in availability_legend(facts.model.names, filter(None, facts.pixels))}
    rows = []
    for bits, share in facts.scenarios.items():
        known = metadata.expected.get(facts.name(bits).replace(" + ", "+"))
        miou = None if known is None else known.miou
        weak = miou is not None and metadata.is_weak(miou)
        color = colors.get(bits, EMPTY)
        rows.append(
            {"bits": bits, "name": facts.name(bits), "color": color, "share": share, "miou": miou, "weak": weak}
        )
    drawn = palette(facts.availability, colors)
    shown = framed(drawn, "The sensors that each pixel had, in the colours of the table beside it.")
    return Section(
        "Sensors that it was made from", "scenarios.html", {"picture": shown, "rows": rows, "guess": metadata.guess}
    )


def _cross(facts: MapFacts) -> Section:
    columns = [bits for bits in facts.scenarios if bits]
    counts = facts.pixels if facts.hectares is None else facts.hectares
    whole = sum(sum(counts[bits]) for bits in columns)

    def text(number: float) -> str:
        return f"{number:,.0f}" if facts.hectares is None else _hectares(number, whole)

    rows = [
        {"name": row.land_class.name, "cells": [text(counts[bits][place]) for bits in columns]}
        for place, row in enumerate(facts.classes)
    ]
    rows.append({"name": "all that is mapped", "cells": [text(sum(counts[bits][:-1])) for bits in columns]})
    unit = "pixels" if facts.hectares is None else "hectares"
    names = [facts.name(bits) for bits in columns]
    return Section("Areas by class and sensors", "cross.html", {"unit": unit, "scenarios": names, "rows": rows})


def _confidence(facts: MapFacts) -> Section:
    counts = np.asarray(facts.confidences, dtype=np.float64)
    shares = counts / counts.sum()
    values = {
        "address": _histogram(shares),
        "width": 560,
        "height": 200,
        "mean": shares @ np.arange(101),
        "below": shares[:50].sum(),
    }
    return Section("Confidence", "confidence.html", values)


def _histogram(shares: NDArray[np.float64]) -> str:
    """Shares by percent ``[101]``, drawn in steps of five, the last with 100."""
    from matplotlib.figure import Figure

    steps = np.add.reduceat(shares, np.arange(0, 100, 5))
    figure = Figure(figsize=(5.6, 2), layout="constrained")
    axes = figure.subplots()
    axes.bar(np.arange(0, 100, 5), 100 * steps, width=4.6, align="edge", color="#33638d")
    axes.set_xlim(0, 100)
    axes.set_xlabel("confidence in percent")
    axes.set_ylabel("percent of the pixels")
    axes.spines[["top", "right"]].set_visible(False)
    return drawing(figure)


def _sources(facts: MapFacts) -> Section:
    rows = [
        {
            "name": name,
            "sources": [str(one) for one in facts.sources.get(name, ())],
            "masks": [str(one) for one in facts.masks.get(name, ())],
        }
        for name in facts.model.names
    ]
    return Section(
        "Which source served which sensor", "sources.html", {"rows": rows, "masked": any(facts.masks.values())}
    )


def _facts(facts: MapFacts) -> list[tuple[str, str]]:
    grid, metadata = facts.grid, facts.model.metadata
    pixels = grid.height * grid.width
    found = [
        ("map", str(facts.raster)),
        ("size", f"{grid.width:,} x {grid.height:,} pixels"),
        ("pixel size", "{:.6g} x {:.6g}".format(*grid.pixel_size)),
    ]
    if grid.crs is not None:
        found += [
            ("on the ground", f"{grid.metres:.4g} m a pixel"),
            ("coordinate reference system", _crs(grid.crs)),
            ("left, bottom, right, top", ", ".join(f"{one:.10g}" for one in grid.bounds)),
        ]
    found += [
        ("model", f"{metadata.name} ({facts.model.path})"),
        ("SHA-256 of the model", facts.digest),
        ("trained on", f"{', '.join(metadata.training.data)}; licence: {metadata.training.licence or 'not stated'}"),
        ("device", facts.device),
        ("time", f"{facts.seconds:.1f} s, {pixels * (1 - facts.resumed) / facts.seconds:,.0f} pixels a second"),
    ]
    if facts.resumed:
        found.append(("gone on from", f"{facts.resumed:.0%} of the map, which a run before had finished"))
    return [*found, ("versions", ", ".join(f"{name} {text}" for name, text in facts.versions.items()))]


def _crs(crs: CRS) -> str:
    found = pyproj.CRS.from_wkt(crs.to_wkt())
    code = found.to_authority()
    return found.name if code is None else f"{found.name} ({':'.join(code)})"


def _hectares(number: float, whole: float) -> str:
    """An area as text, with more digits where all of them are small."""
    return f"{number:,.2f}" if whole >= 10 else f"{number:,.4f}"


def _classes_picture(facts: MapFacts) -> dict[str, object]:
    colors = {row.land_class.value: row.land_class.color for row in facts.classes}
    with rasterio.open(facts.raster) as dataset:
        longest = max(dataset.shape)
        shape = [max(1, round(side * min(1, FINEST / longest))) for side in dataset.shape]
        values = dataset.read(1, out_shape=tuple(shape))
    return framed(palette(values, colors), "The map, in the colours of the table beside it.")
