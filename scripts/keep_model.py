"""Keeps a model of this engine, and the map that it makes, for the tests of engines to come.

Run once for a release, from the release itself: ``tests/data/model-VERSION.onnx`` and ``.npz`` (the scene's bands and
what the engine made of them). A test maps the same scene with the kept model and expects the same classes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from environment import ROOT, python


def main() -> None:
    """Runs in the project's environment, which it makes first."""
    interpreter = python()
    if Path(sys.executable) != interpreter:
        sys.exit(subprocess.run([interpreter, __file__], check=False).returncode)
    import numpy as np
    import rasterio
    import yaml

    import engine
    from engine.data.synthetic import synthesize
    from engine.mapping.predict import predict
    from engine.mapping.request import map_request
    from engine.raster.sources import SourceSpec
    from engine.training.loop import Training
    from engine.training.recipe import read_recipe
    from engine.training.release import release

    names = ("optical", "sar", "dem")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        synthesize(folder / "first", seed=1, size=(128, 128))
        content = yaml.safe_load((ROOT / "recipes" / "synthetic.yaml").read_text(encoding="utf-8"))
        content["data"] |= {"root": str(folder), "chip": 32}
        content["data"]["split"]["size"] = 32
        content["network"]["options"]["head_width"] = 8
        content["stages"][0]["schedule"] |= {"epochs": 4, "samples": 32, "batch": 8}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        Training(read_recipe(folder / "recipe.yaml"), folder / "run", accelerator="cpu").run()
        kept = ROOT / "tests" / "data" / f"model-{engine.__version__}.onnx"
        kept.parent.mkdir(exist_ok=True)
        release(folder / "run", kept, "best")
        values, sources = {}, {}
        for name in names:
            with rasterio.open(folder / f"first/{name}.tif") as raster:
                values[name] = raster.read()[:, :64, :64]
                profile = raster.profile | {"width": 64, "height": 64}
            with rasterio.open(folder / f"{name}.tif", "w", **profile) as raster:
                raster.write(values[name])
            sources[name] = [SourceSpec(str(folder / f"{name}.tif"))]
        wanted = {"output": folder / "map.tif", "availability": folder / "availability.tif"}
        predict(map_request(model=kept, sources=sources, **wanted))
        for name in ("map", "availability"):
            with rasterio.open(folder / f"{name}.tif") as raster:
                values[name] = raster.read(1)
        np.savez_compressed(kept.with_suffix(".npz"), **values)
    for path in (kept, kept.with_suffix(".npz")):
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
