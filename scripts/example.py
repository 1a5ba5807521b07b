"""Makes what stands in ``models/zion``: a ready model, and the small scene that it maps in the plugin's example.

``python3 scripts/example.py DATA [--work RUN]``: DATA holds ``zion/`` (Landsat 8, SRTM and NLCD of Zion National Park,
from the R package spDataLarge, CC0). Training takes about twenty minutes on four cores; a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from environment import ROOT, python, run

FOLDER = ROOT / "models" / "zion"
RECIPE = ROOT / "recipes" / "zion-landsat-srtm.yaml"
CUT = (420, 840, 540, 540)
"""Left column, upper row, width and height of the scene, in pixels of the whole: all classes in a small place."""

RASTERS = {
    "zion_landsat8_b2345_30m.tif": "landsat8.tif",
    "zion_srtm_30m.tif": "srtm.tif",
    "zion_nlcd8_30m.tif": "nlcd.tif",
}


def cut(data: Path) -> None:
    """Cuts the scene out of the whole one; bands and classes keep their names."""
    import rasterio
    from rasterio.windows import Window

    window = Window(*CUT)
    for source, name in RASTERS.items():
        with rasterio.open(data / "zion" / source) as whole:
            profile = whole.profile | {
                "width": window.width,
                "height": window.height,
                "transform": whole.window_transform(window),
                "compress": "deflate",
                "zlevel": 9,
                "predictor": 3 if whole.dtypes[0] == "float32" else 2,
                "tiled": True,
                "blockxsize": 256,
                "blockysize": 256,
            }
            with rasterio.open(FOLDER / name, "w", **profile) as part:
                part.write(whole.read(window=window))
                part.descriptions = whole.descriptions
                part.update_tags(**whole.tags())


def main() -> None:
    """Trains, exports, evaluates and cuts, in the project's environment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / RECIPE.stem)
    arguments = parser.parse_args()
    interpreter = python()
    if Path(sys.executable) != interpreter:
        run(interpreter, __file__, *sys.argv[1:])
        return
    engine = (interpreter, "-m", "engine.cli")
    FOLDER.mkdir(parents=True, exist_ok=True)
    model, root = FOLDER / "zion-landsat-srtm.onnx", f"data.root={arguments.data}"
    resume = ["--resume"] if arguments.work.exists() else []
    run(*engine, "train", RECIPE, "--set", root, "-o", arguments.work, *resume)
    run(*engine, "export", arguments.work, "-o", model, "--overwrite")
    figures = arguments.work / "evaluation" / "model"  # not beside the model, which is packaged
    run(*engine, "evaluate", model, "--data", RECIPE, "--set", root, "--split", "test", "-o", figures)
    cut(arguments.data)


if __name__ == "__main__":
    main()
