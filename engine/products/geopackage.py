"""GeoPackages of classified polygons, written batch by batch, with a style that QGIS shows by itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import geopandas
import pandas
import pyogrio
from numpy.typing import NDArray
from rasterio.crs import CRS

from engine.errors import OutputError
from engine.modality import LegendEntry

LAYER = "polygons"
"""Name of the layer."""

BATCH = 20_000
"""Polygons that are written at a time, at least."""

_VERSION = {"VERSION": "1.2"}
"""Of the format: the newest one that QGIS 3.22 reads without a warning."""


class PolygonWriter:
    """Writes the polygons of one layer, and last its style.

    Args:
        path: The file, which the caller renames.
        name: What the caller will call it.
        crs: Of the polygons.
        geometry: Kind of all geometries, as GDAL names it; single ones become parts of a multiple kind.
    """

    def __init__(self, path: Path, name: Path, crs: CRS | None, geometry: str = "Polygon") -> None:
        self._geometry = geometry
        self._path, self._name, self._crs = path, name, None if crs is None else crs.to_wkt()
        self._waiting: list[geopandas.GeoDataFrame] = []
        self._begun = False

    def add(self, geometry: NDArray[Any], columns: Mapping[str, object]) -> None:
        """Takes polygons with their attributes.

        Raises:
            OutputError: If they cannot be written.
        """
        self._waiting.append(geopandas.GeoDataFrame(dict(columns), geometry=geometry, crs=self._crs))
        if sum(map(len, self._waiting)) >= BATCH:
            self._flush()

    def finish(self, legend: Sequence[LegendEntry]) -> None:
        """Writes what is left, and the style: each class by its colour and name.

        Raises:
            OutputError: If that fails.
        """
        self._flush()
        style = {
            "f_table_catalog": "", "f_table_schema": "", "f_table_name": LAYER, "f_geometry_column": "geom",
            "styleName": "classes", "styleQML": style_of(legend), "styleSLD": "", "useAsDefault": True,
            "description": "", "owner": "", "ui": "", "update_time": pandas.Timestamp.now(tz="UTC"),
        }  # fmt: skip
        self._write(pandas.DataFrame([style]), "layer_styles")

    def _flush(self) -> None:
        if self._waiting:
            frame = pandas.concat(self._waiting, ignore_index=True) if len(self._waiting) > 1 else self._waiting[0]
            multiple = self._geometry.startswith("Multi")
            self._write(frame, LAYER, geometry_type=self._geometry, promote_to_multi=multiple or None)
            self._waiting.clear()

    def _write(self, frame: pandas.DataFrame, layer: str, **options: object) -> None:
        if not self._begun:
            options["dataset_options"] = _VERSION
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "'crs' was not provided")  # of a map without one
                pyogrio.write_dataframe(frame, self._path, layer=layer, driver="GPKG", append=self._begun, **options)
        except (RuntimeError, OSError, ValueError) as error:
            raise OutputError(f"{self._name}: cannot be written: {error}; is the disk full?") from error
        self._begun = True


def check_closed(path: Path) -> None:
    """Refuses to replace a GeoPackage that another program has open: what it has not written yet would damage ours.

    Raises:
        OutputError: If so.
    """
    for end in ("-wal", "-journal"):
        beside = path.with_name(f"{path.name}{end}")
        if beside.exists():
            raise OutputError(
                f"{path}: another program has it open ({beside.name} lies beside it); remove its layers there, or name "
                "another output"
            )


def style_of(legend: Sequence[LegendEntry]) -> str:
    """A QGIS style of polygons by their field ``value``, as QGIS 3.22 and later read it."""
    categories = "".join(
        f'<category render="true" symbol="{number}" value="{one.value}" label="{escape(one.name)}"/>'
        for number, one in enumerate(legend)
    )
    symbols = "".join(_symbol(str(number), one.color) for number, one in enumerate(legend))
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
        '<qgis version="3.22" styleCategories="Symbology"><renderer-v2 type="categorizedSymbol" attr="value" '
        f'enableorderby="0" forceraster="0" symbollevels="0"><categories>{categories}</categories>'
        f"<symbols>{symbols}</symbols></renderer-v2></qgis>"
    )


def _symbol(name: str, color: str) -> str:
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    options = {
        "color": f"{red},{green},{blue},255",
        "outline_color": f"{red},{green},{blue},255",  # without one hair-thin gaps seem to be between polygons
        "outline_style": "solid",
        "outline_width": "0.1",
        "outline_width_unit": "MM",
        "style": "solid",
    }
    listed = "".join(f'<Option type="QString" name="{key}" value="{value}"/>' for key, value in options.items())
    return (
        f'<symbol type="fill" name="{name}" alpha="1" clip_to_extent="1" force_rhr="0">'
        f'<layer class="SimpleFill" enabled="1" locked="0" pass="0"><Option type="Map">{listed}</Option></layer>'
        "</symbol>"
    )
