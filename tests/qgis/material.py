"""Makes what the QGIS tests map: scenes and a model, with the engine's interpreter. ``material.py FOLDER``."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import yaml

from engine.data.synthetic import SceneOptions, synthesize
from engine.training.loop import Training
from engine.training.recipe import read_recipe
from engine.training.release import release

ROOT = Path(__file__).resolve().parents[2]
ZION = ROOT.parent / "shared" / "data" / "zion"


SEGMENTS = {"name": "mean_fusion", "options": {"encoder": "resnet-tiny"}}
CLASSIFIES_WINDOWS = {
    "name": "lds2ae",
    "options": {"window": 5, "width": 16, "depth": 1, "decoder_depth": 1, "heads": 2},
}


def train(name: str, recipe: str, folder: Path, data: Path, chip: int, network: dict[str, Any]) -> None:
    """A model of a few steps: it maps badly, and all of its way is real."""
    torch.set_num_threads(1)
    content = yaml.safe_load((ROOT / "recipes" / f"{recipe}.yaml").read_text(encoding="utf-8"))
    content["data"] |= {"root": str(data), "chip": chip}
    content["network"] = network
    content["stages"][0]["schedule"] |= {"epochs": 1, "samples": 24, "batch": 4, "workers": 0}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    Training(read_recipe(path), folder / name, accelerator="cpu").run()
    release(folder / name, folder / f"{name}.onnx", "best")


def main() -> None:
    """Fills the folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    synthesize(folder / "first", seed=1, size=(256, 256))
    synthesize(folder / "second", seed=2, size=(240, 200), options=SceneOptions(clouds=0.1, footprints={"sar": 0.5}))
    models: list[tuple[str, str, Path, int, dict[str, Any]]] = [
        ("windows", "synthetic", folder, 20, CLASSIFIES_WINDOWS),
        ("synthetic", "synthetic", folder, 64, SEGMENTS),
    ]
    if ZION.is_dir():
        models.append(("zion", "zion", ZION.parent, 128, SEGMENTS))
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        made = [pool.submit(train, name, recipe, folder, *others) for name, recipe, *others in models]
        for one in made:
            one.result()


if __name__ == "__main__":
    main()
