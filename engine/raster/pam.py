"""What GDAL's XML says, a VRT or the ``.aux.xml`` beside a raster, without what any GIS adds when it shows it."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from xml.etree import ElementTree  # nosec B405

END = ".aux.xml"
LARGEST = 16 * 1024**2
"""Bytes of one that is read."""


def xml_digest(text: str) -> str | None:
    """SHA-256 of what an ``.aux.xml`` or a VRT says; None where that is nothing.

    Statistics and histograms, which any GIS may add, and the bands' names, which GDAL repeats with them, do not count,
    nor how numbers are written.

    Raises:
        ValueError: If it is no XML.
    """
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # nosec B314 (Expat bounds what entities grow to)
        found = _plain(root)
        text = json.dumps(found)
    except (ElementTree.ParseError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return hashlib.sha256(text.encode()).hexdigest() if found[3] else None


def _plain(element: ElementTree.Element) -> tuple[str, list[tuple[str, str]], str, list[object]]:
    """An element's name, attributes, text and children, with numbers to nine digits."""
    text = (element.text or "").strip() or ("0" if element.tag == "F" else "")  # GDAL writes no number as 0
    with suppress(ValueError):
        text = f"{float(text):.9g}"
    children: list[object] = [_plain(one) for one in element if not _added(one)]
    if element.tag in ("PAMDataset", "PAMRasterBand", "Metadata"):  # of a VRT the order says what lies on top
        children.sort(key=json.dumps)
    return element.tag, sorted(element.attrib.items()), text, children


def _added(element: ElementTree.Element) -> bool:
    """Whether it is something that a GIS adds by itself."""
    if element.tag == "PAMRasterBand":
        return all(_added(one) for one in element)
    if element.tag == "Metadata":
        return not element.attrib and all(_added(one) for one in element)
    statistics = element.tag == "MDI" and element.get("key", "").startswith("STATISTICS_")
    return statistics or element.tag in ("Histograms", "Description")
