"""What altered values are told as, and how often unaltered ones are told of wrongly.

``python scripts/bench/value_checks.py DATA [--demo demo]``, with a Python that has the engine. DATA holds ``zion``,
``ombria`` and ``belgium`` as the recipes name them; the demo is what ``scripts/demo.py`` leaves. Prints the table of
altered scenes (by predict, evaluate and job), then false alarms on blocks and tiles that neither the statistics nor
the limits were made from.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import rasterio
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.data.survey import SceneCollection, survey
from engine.mapping.values import FEWEST, Seen, compare
from engine.modality import BandStatistics, Modality
from engine.model.document import (
    KEY,
    OUTPUTS,
    ClassFacts,
    ModelMetadata,
    PixelSize,
    TrainingFacts,
    modality_facts,
)
from engine.model.file import Model
from engine.training.recipe import Recipe, read_recipe

Values = NDArray[np.generic]

ALTERED: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "as trained": lambda values: values,
    "/ 255": lambda values: values / 255,
    "+ 1000": lambda values: values + 1000,
    "x 10 000": lambda values: values * 10_000,
    "bands reversed": lambda values: values[::-1],
    "dB as linear": lambda values: 10.0 ** (values / 10),
}
RECIPES = Path(__file__).resolve().parents[2] / "recipes"
TILE, SIDE = 256, 25


def main() -> None:
    """Prints the table and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--demo", type=Path, default=Path("demo"))
    arguments = parser.parse_args()
    data, demo = arguments.data.resolve(), arguments.demo.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = read_recipe(RECIPES / "zion.yaml", [f"data.root={data}"])
        model = folder / "zion.onnx"
        constant_model(recipe, model)
        landsat, terrain = "zion/zion_landsat8_b2345_30m.tif", "zion/zion_srtm_30m.tif"
        zion = {"rgb": f"{landsat}@B4_red,B3_green,B2_blue", "nir": f"{landsat}@B5_nir", "dem": terrain}
        table("zion", model, RECIPES / "zion.yaml", data, zion, "zion/zion_nlcd8_30m.tif", folder)
        scene = {one: f"second/{one}.tif" for one in ("optical", "sar", "dem")}
        table("demo", demo / "model.onnx", None, demo / "scenes", scene, "", folder)
    false_alarms(data)


def table(
    title: str, model: Path, recipe: Path | None, root: Path, sources: Mapping[str, str], labels: str, folder: Path
) -> None:
    """A row for each sensor and alteration: what predict, job and evaluate say is the cause."""
    for sensor, source in sources.items():
        for alteration, change in ALTERED.items():
            if skipped(alteration, sensor, root / source.partition("@")[0]):
                continue
            home = folder / title / sensor / alteration.replace("/", "by")
            path, at, bands = source.partition("@")
            altered(root / path, home / path, change)
            given = f"{sensor}={home / path}{at}{bands}"
            said = {"predict": causes(run("predict", str(model), given, "-o", str(home / "map.tif")))}
            options = {"output": str(home / "map.tif"), "device": "cpu", "overwrite": True}
            job = {"protocol": 3, "task": "segment", "model": str(model), "options": options}
            job |= {"layers": [{"name": "x", "path": str(home / path), "bands": bands.split(",") if bands else []}]}
            said["job"] = causes(run("job", stdin=json.dumps(job | {"assignment": f"{sensor}=x"})))
            if recipe is not None:
                for other in {one.partition("@")[0] for one in (*sources.values(), labels)} - {path}:
                    (home / other).parent.mkdir(parents=True, exist_ok=True)
                    (home / other).symlink_to(root / other)
                words = [
                    "evaluate",
                    str(model),
                    "--data",
                    str(recipe),
                    "--set",
                    f"data.root={home}",
                    "--split",
                    "train",
                ]
                only = ["--strict"] if alteration != "as trained" else []
                text = run(*words, "-o", str(home / "evaluation"), *only)
                said["evaluate"] = causes("\n".join(line for line in text.splitlines() if f"{sensor}:" in line))
            print(f"{title} {sensor:8} {alteration:15}", "; ".join(f"{key}: {text}" for key, text in said.items()))


def skipped(alteration: str, sensor: str, path: Path) -> bool:
    """Whether an alteration means nothing: the order of one band, decibels that are none."""
    with rasterio.open(path) as dataset:
        single = dataset.count == 1 or sensor == "nir"
    return (alteration == "bands reversed" and single) or (alteration == "dB as linear" and sensor != "sar")


def altered(source: Path, target: Path, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> None:
    """A raster with other values, cut off at the limits of its data type."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(source) as dataset:
        values, profile, names = dataset.read(), dataset.profile, dataset.descriptions
        chosen = slice(1, 4) if dataset.count == 4 and "landsat" in source.name else slice(None)
    valid = values != profile["nodata"] if profile["nodata"] is not None else np.ones(values.shape, bool)
    exact = values.astype(np.float64)
    if chosen.start:  # red, green and blue turn round within the three that the sensor has
        exact[:3] = change(exact[:3])
        exact[3:] = change(exact[3:]) if len(change(exact[3:])) else exact[3:]
    else:
        exact = change(exact)
    if np.issubdtype(values.dtype, np.integer):
        limits = np.iinfo(values.dtype)
        profile["nodata"] = None if (exact > limits.max).all() else profile["nodata"]  # what is cut off would be hidden
        exact = np.clip(np.rint(exact), limits.min, limits.max)
    with rasterio.open(target, "w", **(profile | {"driver": "GTiff"})) as dataset:
        dataset.write(np.where(valid, exact, values).astype(values.dtype))
        dataset.descriptions = names


def run(*words: str, stdin: str = "") -> str:
    """What a command prints, warnings included."""
    ours, theirs = os.pipe()  # a job ends when its standard input does
    os.write(theirs, f"{stdin}\n".encode())
    command = [sys.executable, "-m", "engine.cli", *words]
    done = subprocess.run(command, stdin=ours, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for end in (ours, theirs):
        os.close(end)
    return done.stdout


def causes(text: str) -> str:
    """The causes that a text names."""
    found = [part.split(". ")[0] for part in text.split("It looks as if ")[1:]]
    found += ["cut off" for _ in range(text.count("values were cut off"))]
    found += ["no cause" for _ in range(text.count("Check its unit"))]
    return ", ".join(dict.fromkeys(found)) or ("-" if "rror" not in text else f"error: {text[-200:]}")


def constant_model(recipe: Recipe, path: Path) -> None:
    """A model of a recipe's modalities, with the statistics of its training split, that maps one class everywhere."""
    with closing(SceneCollection(recipe.data, recipe.data.root, recipe.modality_values, recipe.class_values)) as scenes:
        modalities = survey(scenes).modalities
    classes, shape = recipe.class_values, ("N", len(recipe.class_values), TILE, TILE)
    kinds = {"uint16": TensorProto.UINT16, "float32": TensorProto.FLOAT}
    inputs = [
        helper.make_tensor_value_info(one.name, kinds[one.dtype], ["N", len(one.bands), TILE, TILE])
        for one in modalities
    ]
    inputs.append(helper.make_tensor_value_info("availability", TensorProto.BOOL, [len(modalities)]))
    flat = {"classes", "confidence"}
    outputs = [
        helper.make_tensor_value_info(
            one, TensorProto.UINT8 if one in flat else TensorProto.FLOAT, ["N", TILE, TILE] if one in flat else shape
        )
        for one in OUTPUTS
    ]
    logits = np.zeros((1, *shape[1:]), np.float32)
    nodes = [
        helper.make_node("Identity", ["zeros"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["index"], axis=1, keepdims=0),
        helper.make_node("Cast", ["index"], ["classes"], to=TensorProto.UINT8),
        helper.make_node("Cast", ["index"], ["confidence"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(nodes, "constant", inputs, outputs, [numpy_helper.from_array(logits, "zeros")])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    document = ModelMetadata(
        name="constant",
        engine="",
        modalities=tuple(map(modality_facts, modalities)),
        classes=tuple(ClassFacts(value=one.value, name=one.name, color=one.color) for one in classes),
        pixel_size=PixelSize(x=30, y=30, crs="EPSG:32612"),
        tile=TILE,
        halo=16,
        training=TrainingFacts(data=(), licence="", network="", method="", recipe=""),
    )
    proto.metadata_props.add(key=KEY, value=document.model_dump_json())
    onnx.save(proto, path)
    Model(path)


def false_alarms(data: Path) -> None:
    """Counts unaltered blocks and tiles that are told of, by data set."""
    for title, units in (("Zion", zion_units), ("OMBRIA", ombria_units), ("Belgium", belgium_units)):
        alarms = count = 0
        for sensor, training, held_out in units(data):
            known = np.concatenate(training, axis=1).astype(np.float64)
            figures = zip(known.mean(1), known.std(1), known.min(1), known.max(1), strict=True)
            statistics = tuple(BandStatistics(*map(float, band)) for band in figures)
            unit = "m" if sensor == "dem" else "dB" if sensor == "s1" else "digital numbers"
            modality = Modality(sensor, tuple(f"band {one}" for one in range(len(known))), "float32", unit, statistics)
            found = [compare(Seen.of(values), modality) for values in held_out if values.shape[1] >= FEWEST]
            alarms += sum(one.warned for one in found)
            count += len(found)
        print(f"{title}: {alarms} false alarms of {count}")


Units = Iterator[tuple[str, Sequence[Values], Sequence[Values]]]


def zion_units(data: Path) -> Units:
    """Blocks of Zion: the test blocks are held out."""
    for sensor, path, bands in (
        ("rgb", "zion_landsat8_b2345_30m.tif", [3, 2, 1]),
        ("nir", "zion_landsat8_b2345_30m.tif", [4]),
        ("dem", "zion_srtm_30m.tif", [1]),
    ):
        yield sensor, *blocks(data / "zion" / path, bands, 128)


def belgium_units(data: Path) -> Units:
    """Blocks of the Belgian chip, each date by itself."""
    for date in ("2021-03", "2021-04", "2021-06", "2021-09"):
        yield "s2", *blocks(data / f"belgium/be_s2_{date}.tif", list(range(1, 10)), SIDE)
        yield "s1", *blocks(data / f"belgium/be_s1db_{date}.tif", [1, 2], SIDE)
    yield "dem", *blocks(data / "belgium/be_dem_slope.tif", [1], SIDE)


def ombria_units(data: Path) -> Units:
    """Tiles of OMBRIA: the test folder is held out, every tenth of the training folder left aside."""
    for sensor in ("S1", "S2"):
        tiles: dict[str, list[Any]] = {}
        for split in ("train", "test"):
            folder = data / f"ombria/Ombria{sensor}/{split}"
            numbers = sorted(int(path.stem.rpartition("_")[2]) for path in (folder / "AFTER").glob("*.png"))
            tiles[split] = [tile(folder, sensor, number) for number in numbers]
        training = [values for number, values in enumerate(tiles["train"]) if number % 10]
        yield sensor.lower(), training, tiles["test"]


def tile(folder: Path, sensor: str, number: int) -> Values:
    """``[C, n]`` of a tile before and after."""
    parts = []
    for moment in ("BEFORE", "AFTER"):
        (path,) = (folder / moment).glob(f"{sensor}_{moment.lower()}_*{number:04d}.png")
        with rasterio.open(path) as dataset:
            parts.append(dataset.read().reshape(dataset.count, -1))
    return np.concatenate(parts)


def blocks(path: Path, bands: list[int], side: int) -> tuple[list[Values], list[Values]]:
    """``[C, n]`` valid values of the training blocks and of the test blocks (see recipes/zion.yaml)."""
    training: list[Values] = []
    test: list[Values] = []
    with rasterio.open(path) as dataset:
        values = dataset.read(bands, masked=True)
    for row in range(0, values.shape[1], side):
        for col in range(0, values.shape[2], side):
            part = values[:, row : row + side, col : col + side]
            kind = (row // side + 2 * (col // side)) % 5
            kept = part.data[:, ~np.ma.getmaskarray(part).any(axis=0)]
            if kind != 1:
                (test if kind == 0 else training).append(kept)
    return training, test


if __name__ == "__main__":
    main()
