"""Vector files: the features of one layer around a grid, repaired and in its coordinate reference system."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.warp import transform_bounds

from engine.errors import GridError, RasterReadError
from engine.grid import Grid

if TYPE_CHECKING:
    from geopandas import GeoDataFrame
    from pandas import DataFrame
    from shapely import Geometry

LAYER = "layername="
"""What QGIS writes before a layer's name."""


def file_and_layer(path: str) -> tuple[str, str | None]:
    """A vector file and the layer that is named behind it: ``PATH|LAYER``, or ``PATH|layername=LAYER`` as QGIS does."""
    file, bar, layer = path.partition("|")
    if not bar or os.path.exists(path):  # noqa: PTH110 (Path.exists raises on a name that is too long)
        return path, None
    layer, more, rest = layer.partition("|")
    if more or layer.startswith("subset="):
        raise RasterReadError(
            f"{path}: filters ({rest or layer}) are not read; save what is wanted as a layer of its own"
        )
    return file, layer.removeprefix(LAYER)


def fields_of(path: str) -> list[str] | None:
    """The fields of a layer with geometries; None where the file is no vector file or holds no such layer."""
    import pyogrio

    try:
        file, layer = file_and_layer(path)
        return [str(name) for name in pyogrio.read_info(file, layer=_chosen(path, file, layer))["fields"]]
    except RasterReadError:
        return None


def read_table(path: str) -> DataFrame:
    """The attributes of a layer with geometries, without these.

    Raises:
        RasterReadError: As :func:`read_features`.
    """
    import pyogrio

    file, layer = file_and_layer(path)
    layer = _chosen(path, file, layer)
    try:
        table: DataFrame = pyogrio.read_dataframe(file, layer=layer, read_geometry=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise RasterReadError(f"{path}: cannot be read as a vector file: {error}") from error
    return table


def _chosen(path: str, file: str, layer: str | None) -> str:
    """The layer that is named, or the only one with geometries: tables of attributes alone (styles) are no choice."""
    import geopandas

    try:
        found = geopandas.list_layers(file)
    except (OSError, ValueError, RuntimeError) as error:
        raise RasterReadError(f"{file}: cannot be read as a vector file: {error}") from error
    kinds = dict(zip(found["name"], found["geometry_type"], strict=True))
    drawn = [name for name, kind in kinds.items() if isinstance(kind, str)]
    if layer is None and len(drawn) == 1:
        return str(drawn[0])
    if layer is not None and layer in drawn:
        return layer
    if layer is not None and layer not in kinds:
        raise RasterReadError(f"{path}: there is no layer {layer!r}; there are {', '.join(drawn) or 'none'}")
    if not drawn or layer is not None:
        raise RasterReadError(
            f"{path}: has no geometry; it is a table, and a layer of polygons is needed (points in a table become one "
            "in QGIS by Create points layer from table)"
        )
    raise RasterReadError(f"{path}: has several layers: {', '.join(drawn)}; name one, as in {file}|{drawn[0]}")


def read_layer(path: str, grid: Grid) -> GeoDataFrame:
    """The features of a vector file as they are stored, in its own CRS.

    Args:
        path: ``PATH``, or ``PATH|LAYER`` of a file with several.
        grid: The grid that they are for.

    Raises:
        RasterReadError: If the file cannot be read, has no geometries, or several layers of which none is named.
        GridError: If only one of file and grid has a CRS.
    """
    import geopandas

    file, layer = file_and_layer(path)
    layer = _chosen(path, file, layer)
    try:
        frame = geopandas.read_file(file, layer=layer)
    except (OSError, ValueError, RuntimeError) as error:
        raise RasterReadError(f"{path}: cannot be read as a vector file: {error}") from error
    if (frame.crs is None) != (grid.crs is None):
        raise GridError(f"{path}: of the polygons and the grid only one has a coordinate reference system")
    return frame


def repaired(frame: GeoDataFrame) -> GeoDataFrame:
    """Features that have a geometry; rings that cross themselves are repaired."""
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    broken = ~frame.geometry.is_valid
    if broken.any():
        frame.loc[broken, frame.geometry.name] = [_repaired(shape) for shape in frame.geometry[broken]]
    return frame


def around(frame: GeoDataFrame, grid: Grid) -> GeoDataFrame:
    """Features in a grid's CRS, those around it where that is another one than theirs."""
    if grid.crs is not None and frame.crs != grid.crs.to_wkt():
        frame = _near(frame, grid).to_crs(grid.crs.to_wkt())
    return frame[frame.geometry.notna() & ~frame.geometry.is_empty]


def read_features(path: str, grid: Grid) -> GeoDataFrame:
    """The features of a vector file around a grid, in its CRS; those without geometry are left out.

    Rings that cross themselves are repaired first, in the file's own coordinates: what a clip makes of them otherwise
    has no meaning.

    Raises:
        RasterReadError: As :func:`read_layer`.
        GridError: As :func:`read_layer`.
    """
    return around(repaired(read_layer(path, grid)), grid)


def read_polygons(path: str, grid: Grid) -> GeoDataFrame:
    """As :func:`read_features`, of a layer of polygons.

    Raises:
        RasterReadError: If there are points or lines in it.
    """
    frame = read_features(path, grid)
    others = sorted(set(frame.geom_type) - {"Polygon", "MultiPolygon", "GeometryCollection"})
    if others:
        raise RasterReadError(
            f"{path}: holds {', '.join(others)}, which have no area; give polygons (in QGIS, Buffer makes them)"
        )
    return frame


def _repaired(shape: Geometry) -> Geometry:
    """The area of an invalid geometry: of each polygon what lies within an odd number of its rings' turns.

    So draw GDAL and QGIS what crosses itself. ``shapely.make_valid`` loses a loop where a ring passes a point twice.
    """
    import shapely

    faces = []
    for polygon in shapely.get_parts(shape):
        lines = shapely.node(polygon.boundary)
        for face in shapely.get_parts(shapely.polygonize([lines])):
            inside = face.representative_point()
            turns = (
                _crossings(shapely.get_coordinates(ring), inside.x, inside.y) for ring in shapely.get_rings(polygon)
            )
            faces += [face] if sum(turns) % 2 else []
    return shapely.union_all(faces)


def _crossings(ring: NDArray[np.float64], x: float, y: float) -> int:
    """How often a ring ``[N, 2]`` crosses the line from a point to the right."""
    (x1, y1), (x2, y2) = ring[:-1].T, ring[1:].T
    with np.errstate(divide="ignore", invalid="ignore"):
        right = (x2 - x1) * (y - y1) / (y2 - y1) + x1 > x
    return int((((y1 > y) != (y2 > y)) & right).sum())


def _near(frame: GeoDataFrame, grid: Grid) -> GeoDataFrame:
    """The parts of features around a grid: what lies on the other side of the world has no image in its CRS."""
    left, bottom, right, top = transform_bounds(grid.crs, frame.crs.to_wkt(), *grid.bounds)
    if not (np.isfinite([left, bottom, right, top]).all() and left < right):
        return frame
    across, up = (right - left) / 10, (top - bottom) / 10
    near = frame.clip((left - across, bottom - up, right + across, top + up), sort=True)
    # a straight line of one reference system is bent in another: short pieces of it follow
    return near.set_geometry(near.geometry.segmentize(max(across, up) / 25))
