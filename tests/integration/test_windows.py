"""A network that classifies windows, from a few labels to a map: each pixel by its own window, wherever tiles lie."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from engine.evaluation.metrics import confusion, scores
from engine.inference.model import Model
from engine.modality import Modality
from engine.networks.segmenter import Segmenter
from engine.training.loop import Training
from engine.training.recipe import Recipe
from engine.training.release import release
from engine.training.run import open_run

MakeRecipe = Callable[..., Recipe]
WINDOW = 5
NETWORK = {"window": WINDOW, "width": 16, "depth": 1, "decoder_depth": 1, "heads": 2}


def stage(name: str, **more: object) -> dict[str, object]:
    schedule = {"epochs": 3, "samples": 24, "batch": 12, "validate_every": None}
    return {"name": name, "schedule": schedule, **more}


OVERRIDES = [
    f"network={json.dumps({'name': 'lds2ae', 'options': NETWORK})}",
    f"data.chip={WINDOW}",
    f"data.zoom={WINDOW - 2}",
    "data.scaling=range",
    "data.sampling_power=0",
    "data.few={per_class: 6, small: 3}",
    "stages="
    + json.dumps(
        [
            stage("pretrain", chips="anywhere", method={"scenarios": "complete", "objectives": ["local_diffusion"]}),
            stage("finetune"),
        ]
    ),
]


@pytest.fixture(scope="module")
def run(make_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pre-trained without labels, fine-tuned on six pixels of each class."""
    folder = tmp_path_factory.mktemp("windows")
    Training(make_recipe(folder, OVERRIDES), folder / "run", accelerator="cpu").run()
    return folder / "run"


@pytest.fixture(scope="module")
def model(run: Path) -> Path:
    release(run, run.parent / "windows.onnx", "last")
    return run.parent / "windows.onnx"


def filled(folder: Path, modality: Modality) -> tuple[np.ndarray, np.ndarray]:
    with rasterio.open(folder / f"{modality.name}.tif") as dataset:
        values, valid = dataset.read(), dataset.read_masks().all(axis=0)
    return np.where(valid, values, modality.fill[:, None, None]), valid


def by_windows(segmenter: Segmenter, folder: Path, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Class indices pixel by pixel, from images with means around them, without tiles; and where all are valid."""
    inputs, valid, margin = {}, [], WINDOW // 2
    for modality in segmenter.modalities:
        values, known = filled(folder, modality)
        _, rows, cols = values.shape
        around = np.broadcast_to(modality.fill[:, None, None], (len(values), rows + 2 * margin, cols + 2 * margin))
        whole = around.copy()
        whole[:, margin : margin + rows, margin : margin + cols] = values
        inputs[modality.name] = torch.from_numpy(whole)[None]
        if modality.name in names:
            valid.append(known)
    members = torch.tensor([[modality.name in names for modality in segmenter.modalities]])
    with torch.inference_mode():
        logits = segmenter(inputs, members)[0, :, margin:-margin, margin:-margin]
    return logits.argmax(dim=0).numpy(), np.all(valid, axis=0)


def test_the_map_is_that_of_each_pixel_s_window(run: Path, model: Path, scenes: Path, tmp_path: Path) -> None:
    """At the raster's border too, and where radar ends, which a window then reads as its training mean."""
    _, segmenter = open_run(run, "last")
    target = tmp_path / "map.tif"
    second = scenes / "second"
    sources = [f"{name}={second / name}.tif" for name in ("optical", "sar", "dem")]
    command = [sys.executable, "-m", "engine.cli", "predict", str(model), *sources, "-o", str(target)]
    command += ["--availability", str(tmp_path / "seen.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with rasterio.open(target) as dataset:
        classes = dataset.read(1)
    with rasterio.open(tmp_path / "seen.tif") as dataset:
        bits = dataset.read(1)
    values = np.array([item.value for item in Model(model).classes])
    seen = []
    for mask in (0b101, 0b111, 0b110, 0b100):
        names = tuple(name for place, name in enumerate(("optical", "sar", "dem")) if mask >> place & 1)
        expected, _ = by_windows(segmenter, second, names)
        chosen = bits == mask
        seen.append(chosen.any())
        assert (classes[chosen] == values[expected[chosen]]).mean() > 0.999  # ties of rounding
    assert any(seen[1:3])
    assert seen[0]


def test_a_model_of_windows_says_that_tiles_count_inside_alone(model: Path) -> None:
    metadata = Model(model).metadata
    assert (metadata.tile, metadata.halo, metadata.inner_only, metadata.seam) == (20, 2, True, "crop")
    assert len(metadata.accuracy) == 7


def test_evaluation_maps_the_labelled_pixels(run: Path, scenes: Path, tmp_path: Path) -> None:
    """The confusion matrix of the validation blocks, pixel by pixel, without tiles."""
    command = [sys.executable, "-m", "engine.cli", "evaluate", str(run), "-o", str(tmp_path), "--checkpoint", "last"]
    done = subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = {item["scenario"]: item for item in json.loads((tmp_path / "report.json").read_text())["scenarios"]}
    recipe, segmenter = open_run(run, "last")
    with rasterio.open(scenes / "first" / "labels.tif") as dataset:
        labels = dataset.read(1)
    rows, cols = np.mgrid[: labels.shape[0], : labels.shape[1]]
    place = {item.value: index for index, item in enumerate(recipe.class_values)}
    for names in (("optical",), ("sar", "dem"), ("optical", "sar", "dem")):
        expected, valid = by_windows(segmenter, scenes / "first", names)
        counted = ((rows // 32 + 2 * (cols // 32)) % 5 == 1) & valid & np.isin(labels, list(place))
        truth = np.vectorize(place.get)(labels[counted])
        matrix = confusion(truth, expected[counted], len(place))
        found = np.array(report["+".join(names)]["confusion"])
        assert found.sum() == matrix.sum()
        assert abs(found - matrix).sum() <= 0.001 * matrix.sum()
        assert report["+".join(names)]["miou"] == pytest.approx(scores(matrix).miou, abs=1e-3)
