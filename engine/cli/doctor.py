"""`engine doctor`."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import click

import engine
from engine.errors import EngineError, how_to_install
from engine.runtime.machine import memory_limit, usable_processors

_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml")


@click.command("doctor")
def command() -> None:
    """Show what the engine runs on, and test it.

    The exit status is 1 where something is wrong; each such line says what to do.
    """
    click.echo(f"engine {engine.__version__}, Python {platform.python_version()} at {sys.executable}")
    click.echo(f"{platform.platform()}, {os.cpu_count()} processors, {usable_processors()} of them usable")
    click.echo(f"{memory_limit() / 1024**3:.1f} GB of memory usable")
    problems = [problem for check in (_runtime, _rasters, _network) if (problem := _checked(check)) is not None]
    for problem in problems:
        click.echo(f"WRONG: {problem}")
    if problems:
        sys.exit(1)
    click.echo("all well")


def _checked(check: Callable[[], str]) -> str | None:
    """Runs a check and prints what it found; gives the problem where there is one."""
    started = time.monotonic()
    try:
        found = check()
    except (EngineError, ImportError, OSError, RuntimeError, ValueError) as error:
        return str(error)
    click.echo(f"{found} ({time.monotonic() - started:.1f} s)")
    return None


def installed_runtimes() -> list[str]:
    """The builds of ONNX Runtime that are installed; exactly one should be."""
    found = []
    for name in _RUNTIMES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def _runtime() -> str:
    found = installed_runtimes()
    if not found:
        raise ImportError(f"ONNX Runtime is not installed: {how_to_install('cpu')}, or [gpu] with a GPU")
    if len(found) > 1:
        raise ImportError(
            f"{' and '.join(found)} are installed together and hide each other: pip uninstall all of them, then "
            "install one"
        )
    import onnxruntime

    return f"{found[0]} with {', '.join(onnxruntime.get_available_providers())}"


def _rasters() -> str:
    import numpy as np
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.warp import transform

    with MemoryFile() as file:
        profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint16", "compress": "deflate"}
        values = np.arange(64 * 64, dtype=np.uint16).reshape(1, 64, 64)
        with file.open(**profile, crs="EPSG:32631", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)) as dataset:
            dataset.write(values)
        with file.open() as dataset:
            if not np.array_equal(dataset.read(), values):
                raise RuntimeError("a GeoTIFF was read otherwise than it was written: reinstall rasterio")
    (x,), (y,) = transform("EPSG:4326", "EPSG:32631", [3.0], [0.0])
    if abs(x - 500_000) > 1 or abs(y) > 1:
        raise RuntimeError(f"PROJ brings 3 E 0 N to {x:.0f} {y:.0f} in EPSG:32631: reinstall rasterio")
    return f"rasterio {rasterio.__version__} with GDAL {rasterio.__gdal_version__} writes, reads and reprojects"


def _network() -> str:
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(8, 4, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 128, 128])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 128, 128])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    values = np.ones((1, 4, 128, 128), dtype=np.float32)
    started, runs = time.monotonic(), 0
    while time.monotonic() - started < 0.5:
        (found,) = session.run(None, {"x": values})
        runs += 1
    if abs(float(found[0, 0, 64, 64]) - float(weights[0].sum())) > 1e-3:
        raise RuntimeError("a convolution came out wrong: reinstall ONNX Runtime")
    return f"a network runs on {session.get_providers()[0]}"
