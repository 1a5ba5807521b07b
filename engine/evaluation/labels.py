"""The quality of labels: faults of their geometry, and regions that look like another class, as a GeoPackage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from engine.data.scenes import Scene
from engine.data.splits import pixel_hashes
from engine.data.survey import SceneCollection
from engine.errors import GridError, SplitError
from engine.evaluation.forests import SEED
from engine.evaluation.label_ranking import Ranking, RegionPixels, rank_regions
from engine.evaluation.label_regions import RasterRegions, VectorRegions
from engine.evaluation.samples import SQUARE, pixel_features, smallest
from engine.files import publish
from engine.grid import Window
from engine.modality import IGNORED
from engine.products.classmap import strips
from engine.products.geopackage import PolygonWriter, check_closed
from engine.products.outputs import taken
from engine.raster.labels import LabelMapping

PER_REGION = 50
"""Pixels of a region that are looked at, at the most."""

_KINDS = {frozenset({2}): "MultiPolygon", frozenset({1}): "MultiLineString", frozenset({0}): "MultiPoint"}
"""GDAL's kind of geometry by the dimensions that occur."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class CheckedLabels:
    """What was found.

    Args:
        table: A row for each region, with geometry: ``scene``, ``feature`` (number in its file), ``value``, ``class``,
            ``looks_like``, ``agreement`` (0 to 1), ``rank``, ``pixels`` and ``problem``.
        ranking: Of the regions, in the order in which they were read.
        classes: Names of the classes.
    """

    table: geopandas.GeoDataFrame
    ranking: Ranking
    classes: tuple[str, ...]


@dataclass
class _Source:
    """Labels of one file, whose regions have the numbers from ``first`` on."""

    regions: VectorRegions | RasterRegions
    first: int
    scene: str


class _Gathered:
    """Regions of all scenes, and pixels drawn from them."""

    def __init__(self, bands: int) -> None:
        self.sources: list[_Source] = []
        self.pixels = np.zeros(0, dtype=np.int64)
        self.scenes: dict[int, str] = {}
        self.drawn = RegionPixels(np.empty((0, bands), np.float32), np.empty(0, np.int64), np.empty(0, np.uint64))

    @property
    def count(self) -> int:
        """Regions so far."""
        return len(self.pixels)

    def add(self, scene: Scene, source: _Source) -> None:
        """Reads a scene strip by strip, and keeps of each region the pixels with the smallest hashes."""
        numbers = source.regions.of(scene.grid)
        found = [self.drawn]
        for strip in strips(scene.grid):
            regions = numbers.read(strip)
            rows, cols = np.nonzero(regions >= 0)
            own = regions[rows, cols] + source.first
            self.pixels += np.bincount(own, minlength=self.count)
            for region in np.unique(own).tolist():
                self.scenes.setdefault(region, scene.name)
            hashes = pixel_hashes(rows + strip.row, cols, f"labels {SEED} {scene.name}")
            kept = smallest(own, hashes, PER_REGION)
            found += _read(scene, strip, rows[kept], cols[kept], own[kept], hashes[kept])
        joined = (
            np.concatenate([one.features for one in found]),
            np.concatenate([one.regions for one in found]),
            np.concatenate([one.hashes for one in found]),
        )
        chosen = smallest(joined[1], joined[2], PER_REGION)
        self.drawn = RegionPixels(*(part[chosen] for part in joined))


def _read(
    scene: Scene,
    strip: Window,
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    regions: NDArray[np.int64],
    hashes: NDArray[np.uint64],
) -> list[RegionPixels]:
    """The features of some pixels of a strip, by squares; those that no sensor saw are left out."""
    found = []
    squares = rows // SQUARE * (1 + strip.width // SQUARE) + cols // SQUARE
    for square in np.unique(squares):
        own = np.flatnonzero(squares == square)
        own = own[np.lexsort((cols[own], rows[own]))]  # row by row, as features come
        row, col = rows[own].min(), cols[own].min()
        window = Window(strip.row + row, col, rows[own].max() - row + 1, cols[own].max() - col + 1)
        chosen = np.zeros((window.height, window.width), dtype=bool)
        chosen[rows[own] - row, cols[own] - col] = True
        features = pixel_features(scene, scene.modalities, window, chosen, around=True)
        seen = ~np.isnan(features).all(axis=1)
        found.append(RegionPixels(features[seen], regions[own][seen], hashes[own][seen]))
    return found


def check_labels(
    collection: SceneCollection, output: Path, overwrite: bool, progress: Progress = lambda _what, _share: None
) -> CheckedLabels:
    """Looks at all labels of a recipe's scenes, whatever their split, and writes what was found as a GeoPackage.

    Args:
        collection: The scenes.
        output: The GeoPackage.
        overwrite: Whether something may lie there.
        progress: Told what is done and the share of it that is done.

    Raises:
        SplitError: If there is no label, or of one class alone.
        GridError: If some scenes have a coordinate reference system and others none.
        OutputError: If the file cannot be written.
    """
    read = {spec.labels.path for spec in collection.specs if spec.labels is not None}
    with ExitStack() as stack:
        folder = stack.enter_context(taken([output], sorted(read), overwrite))
        check_closed(output)
        gathered = _gather(collection, progress)
        classes = np.concatenate([source.regions.classes for source in gathered.sources])
        if len(np.unique(classes[classes != IGNORED])) < 2:
            raise SplitError("data.labels: no two classes are labelled in the scenes; check the labels' values")
        count = len(collection.classes)
        ranking = rank_regions(gathered.drawn, classes, count, lambda share: progress("growing forests", share))
        progress("outlining regions", 1)
        checked = CheckedLabels(
            _table(collection, gathered, ranking), ranking, tuple(one.name for one in collection.classes)
        )
        found = folder / "labels.gpkg"
        _write(checked.table, found, output, collection)
        check_closed(output)
        publish(found, output)
    return checked


def _gather(collection: SceneCollection, progress: Progress) -> _Gathered:
    mapping = LabelMapping(collection.classes, collection.data.labels.remap, frozenset(collection.data.labels.ignore))
    gathered = _Gathered(3 * sum(len(modality.bands) for modality in collection.modalities))
    files: dict[tuple[str, str | None], _Source] = {}
    for number, spec in enumerate(collection.specs):
        if spec.labels is None:
            continue
        progress(f"reading {spec.name}", number / len(collection))
        scene, key = collection[number], (spec.labels.path, spec.labels.field)
        if key in files and spec.labels.field is not None:
            gathered.add(scene, files[key])
            continue
        kind = RasterRegions if spec.labels.field is None else VectorRegions
        source = files[key] = _Source(kind(spec.labels, mapping, scene.grid), gathered.count, spec.name)
        gathered.sources.append(source)
        gathered.pixels = np.append(gathered.pixels, np.zeros(len(source.regions.classes), dtype=np.int64))
        with closing(source.regions):
            gathered.add(scene, source)
    if not gathered.sources:
        raise SplitError("data.scenes: no scene has labels")
    return gathered


def _table(collection: SceneCollection, gathered: _Gathered, ranking: Ranking) -> geopandas.GeoDataFrame:
    """All regions with what was found of each, the worst first."""
    drawn = np.bincount(gathered.drawn.regions, minlength=gathered.count)
    rows: list[Mapping[str, object]] = []
    for source in gathered.sources:
        for place, index in enumerate(source.regions.classes.tolist()):
            region = source.first + place
            looks_like, rank = int(ranking.looks_like[region]), int(ranking.rank[region])
            problems = list(source.regions.problems[place])
            if not drawn[region] and source.regions.shapes[place] is not None:
                problems.append(_unseen(int(gathered.pixels[region]), bool(source.regions.inside[place])))
            if index in ranking.alone:
                problems.append("alone: the only region of its class, not cross-validated")
            rows.append(
                {
                    "scene": gathered.scenes.get(region, source.scene),
                    "feature": source.regions.numbers[place],
                    "value": None if index == IGNORED else collection.classes[index].value,
                    "class": source.regions.name(place),
                    "looks_like": None if looks_like == IGNORED else collection.classes[looks_like].name,
                    "agreement": float(ranking.agreement[region]),
                    "rank": rank or None,
                    "pixels": int(gathered.pixels[region]),
                    "problem": "; ".join(problems) or None,
                }
            )
    frame = pandas.DataFrame(rows).astype({"feature": "Int64", "value": "Int64", "rank": "Int64"})
    outlines = _together(
        [geopandas.GeoSeries(source.regions.shapes, crs=source.regions.crs) for source in gathered.sources]
    )
    table = geopandas.GeoDataFrame(frame, geometry=outlines)
    return table.sort_values("rank", kind="stable", na_position="last", ignore_index=True)


def _unseen(pixels: int, inside: bool) -> str:
    """What is wrong with a region of whose pixels none was seen by a sensor."""
    if not inside:
        return "outside of all scenes"
    if pixels:
        return "outside of all sensors: none is valid on its pixels"
    return "unlabelled: holds the centre of no pixel, or later features cover it"


def _together(outlines: Sequence[geopandas.GeoSeries]) -> geopandas.GeoSeries:
    """All geometries in the CRS of the first ones."""
    first = outlines[0].crs
    if any((one.crs is None) != (first is None) for one in outlines):
        raise GridError(
            "data.scenes: some labels have a coordinate reference system and others none, so that they share no layer; "
            "check those of one kind at a time"
        )
    same = [one if one.crs == first else one.to_crs(first) for one in outlines]
    return geopandas.GeoSeries(np.concatenate([one.to_numpy() for one in same]), crs=first)


def _write(table: geopandas.GeoDataFrame, path: Path, name: Path, collection: SceneCollection) -> None:
    shapes = table.geometry.to_numpy()
    dimensions = frozenset(shapely.get_dimensions(shapes[~shapely.is_missing(shapes)]).tolist())
    crs = None if table.crs is None else CRS.from_wkt(table.crs.to_wkt())
    writer = PolygonWriter(path, name, crs, _KINDS.get(dimensions, "Unknown"))
    writer.add(shapes, {column: table[column] for column in table.columns.drop("geometry")})
    writer.finish(collection.classes)
