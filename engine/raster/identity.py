"""What a source stands on: every file, with what tells whether it was changed."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

from engine.raster.overlay import GdalError
from engine.raster.pam import END, LARGEST, xml_digest
from engine.raster.products import metadata_beside
from engine.raster.sources import SourceSpec

State = list[object]
"""A file's name, and what tells whether it was changed: size and time, what a server says, or a digest."""

_SERVED = re.compile(r"^(?:/vsicurl(?:_streaming)?/)?(?P<url>https?://.+)$", re.IGNORECASE)
_OF_NETWORK = re.compile(
    r"(?:^|[/=,:\"])(?:/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)\w*/|https?://|ftp://|(?:wms|wcs|wmts|tms):)|<gdal_w",
    re.IGNORECASE,
)
_ARCHIVED = re.compile(r"^/vsi(?:zip|tar|gzip|7z|rar)/(.+)$", re.IGNORECASE)
_ARCHIVES = re.compile(r"^(?P<file>.+?\.(?:zip|kmz|tar|tgz|tar\.gz|gz|7z|rar|safe\.zip))(?:/|$)", re.IGNORECASE)
_VECTOR_PARTS = (".shp", ".dbf", ".shx", ".prj", ".cpg")
_DEEPEST = 16
SECONDS = 10
"""That a server has to answer."""


def files_of(spec: SourceSpec) -> list[str]:
    """Every file that a source stands on: a VRT's members and theirs, sidecars, masks, a product's metadata."""
    return [*_looked_through(spec)]


def _looked_through(spec: SourceSpec) -> dict[str, str | None]:
    """Every file that a source stands on, with a digest of what GDAL says of it where it is a raster."""
    found: dict[str, str | None] = {}
    pending = [(spec.file, 0)]
    while pending:
        name, depth = pending.pop(0)
        if name in found:
            continue
        found[name] = None
        if depth < _DEEPEST and (name == spec.file or not on_network([name])):  # no server is asked unbidden
            members, found[name] = _looked_at(name)
            pending += [(member, depth + 1) for member in members]
    beside = metadata_beside(spec.file)
    return found | ({str(beside): None} if beside is not None else {})


@contextmanager
def _opened(name: str) -> Iterator[DatasetReader]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(name) as dataset:
            yield dataset


def _looked_at(name: str) -> tuple[list[str], str | None]:
    """The files that a raster names, and a digest of what GDAL says of it."""
    if name.endswith(END):
        return [], None
    try:
        with _opened(name) as dataset:
            members = [str(one) for one in dataset.files if str(one) != name]
            return members, None if on_network([name]) else _said(dataset)
    except (*GdalError, OSError, ValueError):
        return list(_of_vectors(name)), None


def _said(dataset: DatasetReader) -> str:
    """A digest of all that GDAL says of a raster but its values and their statistics."""
    points, crs = dataset.gcps
    bands = [
        [dataset.tags(band), *(dataset.tags(band, ns=space) for space in dataset.tag_namespaces(band))]
        for band in dataset.indexes
    ]
    facts = [
        [dataset.count, dataset.height, dataset.width, *dataset.dtypes],
        [str(dataset.crs and dataset.crs.to_wkt()), *dataset.transform],
        [str(crs and crs.to_wkt()), *((one.row, one.col, one.x, one.y, one.z) for one in points)],
        [repr(one) for one in dataset.nodatavals],
        [[flag.name for flag in flags] for flags in dataset.mask_flag_enums],
        [*dataset.scales, *dataset.offsets, *dataset.units, *dataset.descriptions],
        [one.name for one in dataset.colorinterp],
        [dataset.tags(), dataset.tags(ns="RPC"), dataset.tags(ns="IMAGERY"), dataset.tags(ns="ENVI")],
        bands,
    ]
    return hashlib.sha256(json.dumps(_told(facts), sort_keys=True).encode()).hexdigest()


def _told(facts: object) -> object:
    """Without statistics, which are found and not told."""
    if isinstance(facts, dict):
        return {key: value for key, value in facts.items() if not key.startswith("STATISTICS_")}
    return [_told(one) for one in facts] if isinstance(facts, list) else facts


def _of_vectors(name: str) -> Iterator[str]:
    """The files of a shapefile or GeoPackage, which rasters' drivers do not open."""
    path = Path(name.partition("|")[0])
    if path.suffix.lower() == ".shp":
        yield from (str(one) for end in _VECTOR_PARTS[1:] if (one := path.with_suffix(end)).exists())
    if str(path) != name:
        yield str(path)
    for end in ("-wal", "-journal"):
        if path.with_name(f"{path.name}{end}").exists():
            yield f"{path}{end}"


def state_of(name: str) -> State:
    """What tells whether a file was changed; the name alone where nothing does."""
    served = _SERVED.match(name)
    if served is not None:
        return [name, *_of_server(served["url"])]
    path = name
    while (archived := _ARCHIVED.match(path)) is not None:
        path = archived[1].strip("{}")
    if path != name and (file := _ARCHIVES.match(path)) is not None:
        path = file["file"]
    try:
        status = Path(path).stat()
        if path.lower().endswith(".vrt") and status.st_size <= LARGEST:
            with suppress(ValueError):
                return [name, xml_digest(Path(path).read_text(encoding="utf-8"))]
    except (OSError, ValueError):  # a URI or subdataset, whose files follow
        return [name]
    return [name, status.st_size, status.st_mtime_ns]


def _of_server(url: str) -> list[object]:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 (http and https alone match)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  # nosec B310
            said = [answer.headers.get(key) for key in ("ETag", "Content-Length", "Last-Modified")]
    except (OSError, ValueError, urllib.error.URLError):
        return []
    return [one for one in said if one is not None]


def identity(spec: SourceSpec) -> list[object]:
    """A source as it is named, the state of every file that it stands on, and what GDAL says of those that are rasters.

    A GIS that shows a raster writes its statistics into the VRT, or beside the raster into ``.aux.xml``, where GDAL
    repeats what else it knows: such a file counts by what it makes GDAL say.
    """
    files = _looked_through(spec)
    states = [state_of(name) for name in files if not name.endswith(END)]
    said = [[f"what GDAL says of {name}", digest] for name, digest in files.items() if digest is not None]
    return [str(spec), *states, *said]


def changed(before: Sequence[object], now: Sequence[object]) -> list[str]:
    """The files whose state two identities of a source differ in."""
    there, here = ({str(one[0]): one[1:] for one in states[1:] if isinstance(one, list)} for states in (before, now))
    return [name for name in {**there, **here} if there.get(name) != here.get(name)]


def on_network(names: Sequence[str]) -> list[str]:
    """Those of names that are asked of a server."""
    return [name for name in names if _OF_NETWORK.search(name)]


def outside(spec: SourceSpec, names: Sequence[str]) -> list[str]:
    """Files of a source that lie in no folder of its own: not beside it and not below."""
    home = Path(spec.file).absolute().parent
    own = {str(metadata_beside(spec.file))}
    return [
        name
        for name in names
        if name not in own
        and Path(name).is_absolute()
        and not name.startswith("/vsi")
        and not Path(name).resolve().is_relative_to(home.resolve())
    ]
