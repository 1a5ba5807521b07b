"""What stands beside a map: category names and attribute table for GDAL, styles and descriptions for QGIS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from engine.availability import from_bits
from engine.modality import LegendEntry
from engine.names import shown


@dataclass(frozen=True)
class ClassRow:
    """A class in a map.

    Args:
        land_class: The class.
        pixels: How many pixels have it.
        hectares: Their area; None where the map has no CRS.
        confidence: Mean confidence in percent; None where no pixel has it.
    """

    land_class: LegendEntry
    pixels: int
    hectares: float | None
    confidence: float | None


_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"

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


def pam(classes: Sequence[LegendEntry], rows: Sequence[ClassRow] = ()) -> str:
    """The content of ``<map>.tif.aux.xml``: names of categories and, with ``rows``, a raster attribute table."""
    names = {land_class.value: land_class.name for land_class in classes}
    listed = "".join(
        f"<Category>{escape(names.get(value, ''))}</Category>" for value in range(max(names, default=-1) + 1)
    )
    categories = f"<CategoryNames>{listed}</CategoryNames>" if listed else ""
    table = _table(rows) if rows else ""
    return f'<PAMDataset><PAMRasterBand band="1">{categories}{table}</PAMRasterBand></PAMDataset>'


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


RAMP = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
"""Viridis, from its dark end: its order is seen by the colour-blind and in grey."""

SET = (
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499",
    "#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377",
)  # fmt: skip
"""Paul Tol's muted and bright sets, which the colour-blind tell apart (personal.sron.nl/~pault)."""


def style(classes: Sequence[LegendEntry]) -> str:
    """The content of ``<map>.qml``: a QGIS style with a legend entry for each class."""
    return _paletted([(item.value, item.color, item.name) for item in classes])


def availability_legend(names: Sequence[str], found: Iterable[int]) -> list[tuple[int, str, str]]:
    """Value, colour and label of each scenario of an availability raster, the fullest first.

    Args:
        names: Of the modalities.
        found: The bit masks that occur.
    """
    masks = sorted(found, key=lambda bits: (-bits.bit_count(), bits))
    return [
        (bits, SET[index % len(SET)], from_bits(bits, len(names)).label(names).replace("+", " + "))
        for index, bits in enumerate(masks)
    ]


def availability_style(names: Sequence[str], found: Iterable[int]) -> str:
    """A QGIS style of an availability raster; see :func:`availability_legend`."""
    return _paletted(availability_legend(names, found))


def percent_style() -> str:
    """A QGIS style of percentages, from dark to light."""
    step = 100 // (len(RAMP) - 1)
    items = "".join(
        f'<item value="{index * step}" label="{index * step} %" color="{color}" alpha="255"/>'
        for index, color in enumerate(RAMP)
    )
    return _document(
        'type="singlebandpseudocolor" classificationMin="0" classificationMax="100"',
        '<rastershader><colorrampshader colorRampType="INTERPOLATED" classificationMode="1" minimumValue="0" '
        f'maximumValue="100" clip="0" labelPrecision="0">{items}</colorrampshader></rastershader>',
    )


def layer_metadata(title: str, abstract: str, history: str) -> str:
    """The content of ``<raster>.qmd``: what QGIS shows of a layer under Properties, Information."""
    return (
        f'{_DOCTYPE}<qgis version="3.22"><type>dataset</type><title>{_text(title)}</title>'
        f"<abstract>{_text(abstract)}</abstract><history>{_text(history)}</history></qgis>"
    )


def _text(text: str) -> str:
    """A text as QGIS shows it, which takes it for HTML, in XML; what XML cannot hold is spelled out."""
    return "\n".join(escape(escape(shown(line), quote=False)) for line in text.split("\n"))


def _paletted(entries: Sequence[tuple[int, str, str]]) -> str:
    items = "".join(
        f'<paletteEntry value="{value}" color="{escape(color)}" alpha="255" label="{escape(label)}"/>'
        for value, color, label in entries
    )
    return _document('type="paletted"', f"<colorPalette>{items}</colorPalette>")


def _document(renderer: str, content: str) -> str:
    return (
        f'{_DOCTYPE}<qgis version="3.22" styleCategories="Symbology"><pipe><rasterrenderer {renderer} band="1" '
        f'opacity="1" alphaBand="-1" nodataColor="">{content}</rasterrenderer></pipe></qgis>'
    )
