"""What stands beside a class map: category names and attribute table for GDAL, a style for QGIS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from engine.modality import LandClass


@dataclass(frozen=True)
class ClassRow:
    """A class in a map.

    Args:
        land_class: The class.
        pixels: How many pixels have it.
        hectares: Their area; None where the map has no CRS.
        confidence: Mean confidence in percent; None where no pixel has it.
    """

    land_class: LandClass
    pixels: int
    hectares: float | None
    confidence: float | None


_FIELDS = (  # name, type (0 whole number, 1 number, 2 text) and usage as GDAL numbers them
    ("Value", 0, 5),
    ("Class", 2, 2),
    ("Red", 0, 6),
    ("Green", 0, 7),
    ("Blue", 0, 8),
    ("Alpha", 0, 9),
    ("Pixels", 1, 1),
    ("Hectares", 1, 0),
    ("Confidence", 1, 0),
)


def pam(classes: Sequence[LandClass], rows: Sequence[ClassRow] = ()) -> str:
    """The content of ``<map>.tif.aux.xml``: category names and, with ``rows``, a raster attribute table."""
    names = {land_class.value: land_class.name for land_class in classes}
    categories = "".join(f"<Category>{escape(names.get(value, ''))}</Category>" for value in range(max(names) + 1))
    table = _table(rows) if rows else ""
    return (
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{categories}</CategoryNames>{table}'
        "</PAMRasterBand></PAMDataset>"
    )


def _table(rows: Sequence[ClassRow]) -> str:
    fields = "".join(
        f'<FieldDefn index="{index}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>'
        for index, (name, kind, usage) in enumerate(_FIELDS)
    )
    lines = []
    for index, row in enumerate(rows):
        values = (
            row.land_class.value,
            escape(row.land_class.name),
            *row.land_class.rgb,
            255,
            row.pixels,
            "" if row.hectares is None else f"{row.hectares:.4f}",
            "" if row.confidence is None else f"{row.confidence:.2f}",
        )
        lines.append(f'<Row index="{index}">' + "".join(f"<F>{value}</F>" for value in values) + "</Row>")
    return '<GDALRasterAttributeTable tableType="thematic">' + fields + "".join(lines) + "</GDALRasterAttributeTable>"


def style(classes: Sequence[LandClass]) -> str:
    """The content of ``<map>.qml``: a QGIS style with a legend entry for each class."""
    entries = "".join(
        f'<paletteEntry value="{land_class.value}" color="{escape(land_class.color)}" alpha="255" '
        f'label="{escape(land_class.name)}"/>'
        for land_class in classes
    )
    renderer = (
        '<rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">'
        f"<colorPalette>{entries}</colorPalette></rasterrenderer>"
    )
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
        f'<qgis version="3.22" styleCategories="Symbology"><pipe>{renderer}</pipe></qgis>'
    )
