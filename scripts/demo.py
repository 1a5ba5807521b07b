"""The main job from end to end, on a synthetic scene or, with --data, on your own.

Makes a scene, trains a small network, scores it in every scenario, exports it as one ONNX file, and maps a second
scene that lacks one sensor and has another on half of its area: in QGIS where it is found, else on the command line.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

import real_qgis
from environment import ROOT, python, run

RECIPE = ROOT / "recipes" / "synthetic.yaml"
PICTURE = ROOT / "scripts" / "picture.py"


def synthetic(folder: Path) -> tuple[Path, list[str], list[str]]:
    """Makes two scenes; gives the data folder, and the second one's sources and what `picture.py` shows of them."""
    engine = (python(), "-m", "engine.cli")
    for name, seed, extra in (
        ("first", "1", []),
        ("second", "2", ["--footprint", "sar", "0.5", "--clouds", "0.1"]),
    ):
        run(*engine, "synthesize", folder / "scenes" / name, "--seed", seed, "--size", "640", "640", *extra)
    second = folder / "scenes" / "second"
    return (
        folder / "scenes",
        [f"optical={second / 'optical.tif'}", f"sar={second / 'sar.tif'}"],
        [
            f"--optical={second / 'optical.tif'}@3,2,1",
            f"--radar={second / 'sar.tif'}@1",
            f"--truth={second / 'labels.tif'}",
        ],
    )


def main() -> None:
    """Runs the demo; everything lies in one folder afterwards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with your data; needs --recipe")
    parser.add_argument("--recipe", type=Path, help="recipe for your data")
    parser.add_argument("--map", nargs="+", default=[], metavar="NAME=PATH", help="rasters to map, of your data")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "demo", help="folder for all results")
    arguments = parser.parse_args()
    if (arguments.data is None) != (arguments.recipe is None) or bool(arguments.data) != bool(arguments.map):
        parser.error("--data, --recipe and --map go together")
    started, out = time.monotonic(), arguments.output.resolve()
    engine = (python(), "-m", "engine.cli")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if arguments.data:
        data, recipe, sources, shown = arguments.data.resolve(), arguments.recipe.resolve(), arguments.map, []
    else:
        recipe = RECIPE
        data, sources, shown = synthetic(out)
    model, result = out / "model.onnx", out / "map.tif"
    run(*engine, "train", recipe, "-o", out / "run", "--set", f"data.root={data}")
    run(*engine, "evaluate", out / "run")
    run(*engine, "export", out / "run", "-o", model)
    run(*engine, "inspect", model)
    beside = {"CONFIDENCE": out / "confidence.tif", "AVAILABILITY": out / "availability.tif"}
    version = real_qgis.process_version()
    if version:
        parameters = {"MODEL": model, "ASSIGNMENT": ";".join(sources), "OUTPUT": result, **beside}
        real_qgis.process(python(), out / "plugins", "robustlandcover:segment", parameters)
        where = f"in QGIS {version}"
    else:
        options = [word for name, path in beside.items() for word in (f"--{name.lower()}", path)]
        run(*engine, "predict", model, *sources, "-o", result, *options)
        where = "on the command line (no qgis_process was found)"
    run(
        python(),
        PICTURE,
        "--map",
        result,
        "--availability",
        out / "availability.tif",
        *shown,
        "-o",
        out / "demo.png",
    )
    print(f"\ndone in {time.monotonic() - started:.0f} s, mapped {where}; the files:")
    for name in (
        "run",
        "run/evaluation/validation/scenarios.csv",
        "model.onnx",
        "map.tif",
        "confidence.tif",
        "availability.tif",
        "demo.png",
    ):
        print(f"  {out / name}")


if __name__ == "__main__":
    sys.exit(main())
