"""How near mapping comes to its bound, what it takes of memory, and whether tiles show; as ratios in one run.

``python scripts/bench/mapping.py MODEL.onnx NAME=RASTER[@BANDS]... [--repeat 4] [--large 36]`` with an interpreter that
has the engine. The rasters are repeated side by side as VRTs, since large real ones are rarely at hand.

* bound: CPU seconds of the network alone on all tiles, of reading all tiles, and of compressing the map, over the cores
* naive: what the field does, in one process: each window read, scaled and run in turn, half-overlapping Hann windows
  summed up in a float array of the whole scene
* memory: peak resident size on the scene repeated ``--repeat`` and ``--large`` times each way
* seams: changes of class where tiles meet over those elsewhere (`engine/mapping/seams.py`)
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import rasterio

from engine.availability import Scenario
from engine.grid import Grid, Window
from engine.mapping.gridding import choose_grid
from engine.mapping.inputs import open_inputs
from engine.mapping.mosaic import MapBlock, Reader
from engine.mapping.predict import predict
from engine.mapping.request import map_request
from engine.mapping.seams import SeamCounter, seam_ratio
from engine.mapping.tiles import TilePlan
from engine.model.file import Model
from engine.raster.cog import RawLayer, write_cog
from engine.raster.sources import SourceSpec, open_source
from engine.runtime.machine import usable_processors
from engine.runtime.session import Sessions


def repeated(spec: SourceSpec, times: int, folder: Path) -> SourceSpec:
    """A VRT of ``times`` x ``times`` copies of a raster."""
    path = folder / f"{Path(spec.path).stem}-{times}.vrt"
    with open_source(SourceSpec(spec.path)) as source:
        dataset, grid = source.dataset, source.grid
        kinds = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "float32": "Float32", "float64": "Float64"}
        bands = []
        for band in dataset.indexes:
            nodata = dataset.nodatavals[band - 1]
            pieces = "".join(
                f"<SimpleSource><SourceFilename>{Path(spec.path).resolve()}</SourceFilename><SourceBand>{band}</SourceBand>"
                f'<SrcRect xOff="0" yOff="0" xSize="{grid.width}" ySize="{grid.height}"/>'
                f'<DstRect xOff="{col * grid.width}" yOff="{row * grid.height}" xSize="{grid.width}" '
                f'ySize="{grid.height}"/></SimpleSource>'
                for row in range(times)
                for col in range(times)
            )
            bands.append(
                f'<VRTRasterBand dataType="{kinds[dataset.dtypes[band - 1]]}" band="{band}">'
                f"<Description>{dataset.descriptions[band - 1] or ''}</Description>"
                + (f"<NoDataValue>{nodata}</NoDataValue>" if nodata is not None else "")
                + f"{pieces}</VRTRasterBand>"
            )
        crs = grid.crs.to_wkt().replace("<", "&lt;") if grid.crs else ""
        transform = ", ".join(repr(value) for value in grid.transform.to_gdal())
    path.write_text(
        f'<VRTDataset rasterXSize="{grid.width * times}" rasterYSize="{grid.height * times}"><SRS>{crs}</SRS>'
        f"<GeoTransform>{transform}</GeoTransform>{''.join(bands)}</VRTDataset>",
        encoding="utf-8",
    )
    return SourceSpec(str(path), spec.bands)


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def in_process(task: dict[str, object]) -> dict[str, float]:
    """Runs a task of :func:`work` in a process of its own; gives what it measured, with the peak memory in MB."""
    done = subprocess.run([sys.executable, __file__, "--task", json.dumps(task)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def work(task: dict[str, object]) -> dict[str, float]:
    """Measures one thing."""
    model = Model(Path(str(task["model"])))
    sources = {name: [SourceSpec.parse(text)] for name, text in dict(task["sources"]).items()}  # type: ignore[call-overload]
    started, before = time.perf_counter(), cpu()
    if task["kind"] == "map":
        predict(
            map_request(
                model=model.path,
                sources=sources,
                output=Path(str(task["output"])),
                device="cpu",
                threads=int(str(task["threads"])),
                overwrite=True,
            )
        )
    elif task["kind"] == "naive":
        naive(model, sources)
    elif task["kind"] == "encode":
        return encode(model, Path(str(task["output"])))
    else:
        bound(str(task["kind"]), model, sources, int(str(task["threads"])))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"wall": time.perf_counter() - started, "cpu": cpu() - before, "memory": memory}


def open_readers(model: Model, sources: dict[str, list[SourceSpec]], stack: ExitStack) -> dict[str, Reader]:
    """What a mapping reads of each modality."""
    request = map_request(model=model.path, sources=sources, output=Path("none.tif"))
    return dict(open_inputs(request, model, stack).readers)


def bound(kind: str, model: Model, sources: dict[str, list[SourceSpec]], threads: int) -> None:
    """The network alone on as many tiles as there are, or the reading of all tiles alone."""
    grid = choose_grid(model, sources).grid
    plan = TilePlan(grid.height, grid.width, model.metadata.tile, model.metadata.halo, model.metadata.inner_only)
    places = [plan.window(row, col) for row, col in plan]
    with ExitStack() as stack, ThreadPoolExecutor(threads) as pool:
        readers = open_readers(model, sources, stack)
        if kind == "read":
            list(pool.map(lambda place: [reader.read(place).valid.any() for reader in readers.values()], places))
            return
        scenario = Scenario(tuple(name in readers for name in model.names))
        sessions = Sessions(model, "cpu")
        first = {name: reader.read(places[len(places) // 2]).values[None] for name, reader in readers.items()}
        list(pool.map(lambda _place: sessions.probabilities(scenario, first).shape, places))


def encode(model: Model, path: Path) -> dict[str, float]:
    """The map that was made, compressed and given its overviews once more."""
    raw = path.with_suffix(".raw")
    with rasterio.open(path) as dataset:
        dataset.read(1).tofile(raw)
        grid = Grid(dataset.crs, dataset.transform, dataset.height, dataset.width)
        whole = [Window(0, 0, grid.height, grid.width)]
        layer = RawLayer(raw, whole, dataset.dtypes[0], int(dataset.nodata), ["class"], "mode", model.classes)
    started, before = time.perf_counter(), cpu()
    again = path.with_suffix(".again.tif")
    write_cog(layer, grid, again, again)
    return {"wall": time.perf_counter() - started, "cpu": cpu() - before, "memory": 0}


def naive(model: Model, sources: dict[str, list[SourceSpec]]) -> None:
    """Windows one after another, half overlapping, Hann weights, the whole scene in floats."""
    grid = choose_grid(model, sources).grid
    tile = model.metadata.tile
    sessions = Sessions(model, "cpu", threads=usable_processors())
    scenario = Scenario(tuple(name in sources for name in model.names))
    sums = np.zeros((len(model.classes), grid.height + tile, grid.width + tile), dtype=np.float32)
    weights = np.zeros(sums.shape[1:], dtype=np.float32)
    hann = np.outer(np.hanning(tile + 2)[1:-1], np.hanning(tile + 2)[1:-1]).astype(np.float32)
    plan = TilePlan(grid.height, grid.width, tile, tile // 4)
    with ExitStack() as stack:
        readers = open_readers(model, sources, stack)
        for row, col in plan:
            place = plan.window(row, col)
            inputs = {name: reader.read(place).values[None] for name, reader in readers.items()}
            part = (slice(place.row, place.end_row), slice(place.col, place.end_col))
            sums[(slice(None), *part)] += sessions.probabilities(scenario, inputs)[0] * hann
            weights[part] += hann
    (sums / np.maximum(weights, 1e-6)).argmax(axis=0).astype(np.uint8)


def seams(path: Path, model: Model) -> tuple[float, float]:
    """How much the tiles show in a map: over all other lines, and over those that lie alike."""
    with rasterio.open(path) as dataset:
        classes, nodata = dataset.read(1), dataset.nodata
    rows, cols = classes.shape
    metadata = model.metadata
    counter = SeamCounter(TilePlan(rows, cols, metadata.tile, metadata.halo, metadata.inner_only))
    nothing = np.zeros((1, 1), dtype=np.uint8)
    counter.add(MapBlock(Window(0, 0, rows, cols), classes, nothing, (classes != nodata).astype(np.int32)))
    (pairs, changes), (seam_pairs, seam_changes) = counter.counts.sum(axis=1)
    return float(seam_changes / seam_pairs / (changes / pairs)), seam_ratio(counter.counts)


def main() -> None:
    """Prints a table of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("sources", nargs="*", metavar="NAME=RASTER")
    parser.add_argument("--repeat", type=int, default=4)
    parser.add_argument("--large", type=int, default=0, help="also map the scene repeated so often, for the memory")
    parser.add_argument("--turns", type=int, default=2, help="how often network and mapping are timed")
    parser.add_argument("--no-naive", action="store_true", help="leave out the sequential design, which is slow")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        print(json.dumps(work(json.loads(arguments.task))))
        return
    model, cores = Model(Path(arguments.model)), usable_processors()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        specs = dict(text.split("=", 1) for text in arguments.sources)

        def task(kind: str, times: int, threads: int = cores) -> dict[str, float]:
            sources = {key: str(repeated(SourceSpec.parse(text), times, folder)) for key, text in specs.items()}
            output = str(folder / f"map-{times}.tif")
            described = {"kind": kind, "model": arguments.model, "sources": sources, "output": output}
            return in_process({**described, "threads": threads})

        reading = task("read", arguments.repeat)
        # In turns, since other work comes and goes on a machine that is shared
        pairs = [(task("network", arguments.repeat), task("map", arguments.repeat)) for _ in range(arguments.turns)]
        network, mapping = (
            {key: statistics.mean(one[key] for one in found) for key in found[0]} for found in zip(*pairs, strict=True)
        )
        encoding = task("encode", arguments.repeat)
        with rasterio.open(folder / f"map-{arguments.repeat}.tif") as dataset:
            pixels = dataset.width * dataset.height
        least = (network["cpu"] + reading["cpu"] + encoding["cpu"]) / cores
        print(
            f"{pixels / 1e6:.1f} million pixels, {cores} cores, tile {model.metadata.tile}, halo {model.metadata.halo}"
        )
        print(
            f"network alone {network['wall']:.1f} s ({network['cpu']:.1f} s CPU), reading {reading['cpu']:.1f} s CPU, "
            f"compressing {encoding['cpu']:.1f} s CPU"
        )
        speed = pixels / mapping["wall"] / 1e6
        print(
            f"mapping {mapping['wall']:.1f} s ({mapping['cpu']:.1f} s CPU), {speed:.3g} MPix/s, "
            f"{mapping['memory']:.0f} MB; of the bound {least / mapping['wall']:.2f}"
        )
        if not model.metadata.inner_only:  # whose tiles leave no seams
            plain, alike = seams(folder / f"map-{arguments.repeat}.tif", model)
            print(
                f"changes of class where tiles meet over all other lines {plain:.2f}, "
                f"over lines that lie alike {alike:.2f}"
            )
        if not arguments.no_naive:
            slow = task("naive", arguments.repeat)
            print(
                f"naive {slow['wall']:.1f} s, {slow['memory']:.0f} MB: {slow['wall'] / mapping['wall']:.1f} times "
                f"slower, {slow['memory'] / mapping['memory']:.1f} times the memory"
            )
        if arguments.large:
            large = task("map", arguments.large)
            print(
                f"repeated {arguments.large} times: {large['wall']:.0f} s, {large['memory']:.0f} MB, "
                f"{large['memory'] / mapping['memory']:.2f} times the memory"
            )
    os._exit(0)


if __name__ == "__main__":
    main()
