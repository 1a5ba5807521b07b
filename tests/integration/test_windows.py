"""A network that classifies windows, from a few labels to a map: each pixel by its own window, wherever tiles lie."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from commands import engine
from safetensors.torch import load_file, save_file

from engine.availability import Scenario
from engine.data.survey import SceneCollection
from engine.errors import RecipeError, RunError
from engine.evaluation.metrics import confusion, scores
from engine.evaluation.predictors import torch_predictor
from engine.evaluation.scenarios import Evaluation, evaluate
from engine.modality import Modality
from engine.model.file import Model
from engine.networks.segmenter import Segmenter
from engine.training.checkpoints import newest
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
    "data.scaling=quantile_range",
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
def run(make_recipe: MakeRecipe, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pre-trained without labels, fine-tuned on six pixels of each class; then made to see more in its windows.

    After so few steps a map would be of one class, whatever its tiles.
    """
    folder = tmp_path_factory.mktemp("windows")
    Training(make_recipe(folder, OVERRIDES), folder / "run", accelerator="cpu").run()
    checkpoint = newest(folder / "run" / "checkpoints", "last")
    assert checkpoint is not None
    facts = json.loads((checkpoint / "progress.json").read_text())
    del facts["sha256"]  # other weights are put in their place
    (checkpoint / "progress.json").write_text(json.dumps(facts))
    weights = load_file(checkpoint / "weights.safetensors")
    torch.manual_seed(0)
    heads = {key: 3 * torch.randn_like(value) for key, value in weights.items() if ".heads." in key}
    stems = {key: 30 * value for key, value in weights.items() if key.endswith(".patch.weight")}
    assert (len(heads), len(stems)) == (3, 3)
    save_file(weights | heads | stems, checkpoint / "weights.safetensors")
    _, segmenter = open_run(folder / "run", "last")
    inputs = {item.name: torch.from_numpy(filled(scenes / "first", item)[0])[None] for item in segmenter.modalities}
    with torch.inference_mode():
        logits = segmenter(inputs, torch.ones(1, 3, dtype=torch.bool))
    level = {"network.bias": weights["network.bias"] - logits.mean(dim=(0, 2, 3))}  # each class somewhere
    save_file(weights | heads | stems | level, checkpoint / "weights.safetensors")
    return folder / "run"


@pytest.fixture(scope="module")
def model(run: Path) -> Path:
    release(run, run.parent / "windows.onnx", "last")
    return run.parent / "windows.onnx"


def test_a_stage_without_labels_sees_all_of_the_scene(run: Path) -> None:
    """Its losses need no label; the next stage learns the classes."""
    with (run / "metrics.csv").open() as file:
        names = {line.split(",")[1] for line in file}
    assert {"pretrain/loss/visible", "pretrain/loss/masked_across", "finetune/loss/cross_entropy"} <= names
    assert "pretrain/loss/cross_entropy" not in names


def test_chips_from_anywhere_are_others_than_labelled_ones(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    """From the same start and draws of noise: the first losses tell them apart."""
    found = []
    for chips in ("labelled", "anywhere", "anywhere"):
        method = {"scenarios": "complete", "objectives": ["local_diffusion"]}
        one = stage("pretrain", chips=chips, method=method)
        one["schedule"] |= {"epochs": 1, "samples": 12}  # type: ignore[operator]
        recipe = make_recipe(tmp_path, [*OVERRIDES[:-1], f"stages={json.dumps([one])}"])
        folder = tmp_path / f"run-{len(found)}"
        Training(recipe, folder, accelerator="cpu").run()
        found.append((folder / "metrics.csv").read_text())
    assert found[0] != found[1]
    assert found[1] == found[2]


def test_a_run_that_never_learned_the_classes_is_no_model(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    stages = [stage("pretrain", chips="anywhere", method={"scenarios": "complete", "objectives": ["local_diffusion"]})]
    stages[0]["schedule"] |= {"epochs": 1}  # type: ignore[operator]
    recipe = make_recipe(tmp_path, [*OVERRIDES[:-1], f"stages={json.dumps(stages)}"])
    Training(recipe, tmp_path / "run", accelerator="cpu").run()
    with pytest.raises(RunError, match="pre-trained without labels"):
        release(tmp_path / "run", tmp_path / "m.onnx", "last")


def test_chips_from_anywhere_need_an_objective_without_labels(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"stages\.0\.chips: anywhere"):
        make_recipe(tmp_path, [*OVERRIDES[:-1], f"stages={json.dumps([stage('train', chips='anywhere')])}"])


@pytest.mark.parametrize("words", [("--tile", 64), ("--protocol", "lgss")])
def test_what_a_network_of_windows_cannot_do_is_refused(run: Path, words: tuple[object, ...], tmp_path: Path) -> None:
    done = engine("evaluate", run, "--checkpoint", "last", "-o", tmp_path, *words)
    assert done.returncode == 2
    assert "classifies each pixel from the window around it" in " ".join(done.stderr.split())


def test_a_preview_is_exported_from_the_same_run(run: Path, model: Path, scenes: Path, tmp_path: Path) -> None:
    """Its answers are the map's at one pixel of each square of three."""
    preview = tmp_path / "preview.onnx"
    done = engine("export", run, "-o", preview, "--checkpoint", "last", "--set", "network.options.stride=3")
    assert done.returncode == 0, done.stderr
    sources = [f"{name}={scenes / 'first' / name}.tif" for name in ("optical", "sar", "dem")]
    maps = []
    for path in (model, preview):
        target = tmp_path / f"{path.stem}.tif"
        assert engine("predict", path, *sources, "-o", target).returncode == 0
        with rasterio.open(target) as dataset:
            maps.append(dataset.read(1))
    whole, coarse = maps
    assert (coarse[::3, ::3] == whole[::3, ::3]).mean() > 0.999
    rows, cols = (size // 3 * 3 for size in coarse.shape)
    squares = coarse[:rows, :cols].reshape(rows // 3, 3, cols // 3, 3)
    assert (squares == squares[:, :1, :, :1]).all()


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
    done = engine("predict", model, *sources, "-o", target, "--availability", tmp_path / "seen.tif")
    assert done.returncode == 0, done.stderr
    with rasterio.open(target) as dataset:
        classes = dataset.read(1)
    with rasterio.open(tmp_path / "seen.tif") as dataset:
        bits = dataset.read(1)
    assert len(np.unique(classes)) > 3
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
    assert [one.split for one in metadata.accuracy] == ["test"] * 7 + ["validation"] * 7
    assert not any(one.chosen for one in metadata.accuracy), "the last checkpoint, and tiles of its own"


def test_a_model_is_scored_on_some_tiles_where_there_are_many(run: Path) -> None:
    """Each figure of confusion is that of all tiles, or less."""
    recipe, segmenter = open_run(run, "last")
    collection = SceneCollection(recipe.data, recipe.data.root, segmenter.modalities, recipe.class_values)
    network = segmenter.network
    assert network.tile is not None

    def scored(most: int | None) -> Evaluation:
        return evaluate(
            collection,
            segmenter.modalities,
            torch_predictor(segmenter, torch.device("cpu")),
            "validation",
            network.tile,
            network.margin,
            inner_only=True,
            most=most,
            only=[Scenario((True, False, True))],
        )

    with closing(collection):
        every, some, again, enough = (scored(most).confusions[0] for most in (None, 2, 2, 10_000))
    inside = network.tile - 2 * network.margin
    assert (some <= every).all()
    assert 0 < some.sum() <= 2 * inside**2 < every.sum()
    np.testing.assert_array_equal(some, again)
    np.testing.assert_array_equal(every, enough)


def test_evaluation_maps_the_labelled_pixels(run: Path, scenes: Path, tmp_path: Path) -> None:
    """The confusion matrix of the validation blocks, pixel by pixel, without tiles."""
    done = engine("evaluate", run, "-o", tmp_path, "--checkpoint", "last", "--device", "cpu")
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
        assert (matrix.sum(axis=0) > 0).sum() > (1 if len(names) == 3 else 0)
        found = np.array(report["+".join(names)]["confusion"])
        assert found.sum() == matrix.sum()
        assert abs(found - matrix).sum() <= 0.001 * matrix.sum()
        assert report["+".join(names)]["miou"] == pytest.approx(scores(matrix).miou, abs=1e-3)
