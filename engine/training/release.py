"""A run becomes a model: with its tile and halo, and the accuracy that they give on test and validation splits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import torch
from rasterio.warp import transform_bounds

import engine
from engine.data.scenes import scene_grid
from engine.data.settings import SplitName
from engine.data.survey import SceneCollection
from engine.errors import RunError, SplitError
from engine.evaluation.predictors import torch_predictor
from engine.evaluation.scenarios import Evaluation, evaluate
from engine.evaluation.tiling import Candidate, Tiling, own_tiling
from engine.export.onnx import export_model
from engine.files import check_target
from engine.language.vectors import CLASS_VECTORS, ClassVectors
from engine.methods.registry import build_method
from engine.model.document import (
    ClassFacts,
    Interval,
    ModelMetadata,
    PixelSize,
    ScenarioAccuracy,
    TrainingFacts,
    modality_facts,
)
from engine.networks.segmenter import Segmenter
from engine.runtime.batching import Predictor
from engine.training.checkpoints import Kind, find
from engine.training.choice import tiling_of
from engine.training.recipe import Recipe
from engine.training.run import open_checkpoint, recipe_of

SCORED_TILES = 256
"""Tiles of a scene that a network with its own is scored on, which classifies each pixel by itself: 65 000 pixels."""


def _scored(
    collection: SceneCollection,
    segmenter: Segmenter,
    predict: Predictor,
    tiling: Tiling,
    split: SplitName,
    progress: Callable[[str, float], None],
) -> Evaluation | None:
    """How the model maps a split; None where that has no labels."""
    try:
        return evaluate(
            collection,
            segmenter.modalities,
            predict,
            split,
            tiling.tile,
            tiling.halo,
            inner_only=tiling.inner_only,
            most=SCORED_TILES,
            progress=lambda what, share: progress(f"{split}: {what}", share),
        )
    except SplitError:
        return None


def _accuracy(evaluation: Evaluation | None, split: SplitName, chosen: bool) -> Iterator[ScenarioAccuracy]:
    """What a model says of a split, intervals to four digits; nothing where it has no labels."""
    if evaluation is None:
        return
    for scenario, score, spread in zip(evaluation.scenarios, evaluation.scores, evaluation.spreads, strict=False):
        yield ScenarioAccuracy(
            scenario=scenario.label(evaluation.names),
            split=split,
            chosen=chosen,
            miou=score.miou,
            miou_interval=_rounded(spread.miou),
            overall_accuracy=score.overall_accuracy,
            overall_accuracy_interval=_rounded(spread.overall_accuracy),
            pixels=score.pixels,
            blocks=spread.blocks,
            classes=tuple(None if math.isnan(iou) else iou for iou in score.iou),
            class_intervals=tuple(map(_rounded, spread.iou)),
        )


def _rounded(interval: Interval | None) -> Interval | None:
    return interval and (round(interval[0], 4), round(interval[1], 4))


def _pixel_size(collection: SceneCollection, recipe: Recipe) -> PixelSize:
    grid = scene_grid(collection.specs[0], collection.modalities, recipe.data.pixel_size)
    width, height = grid.pixel_size
    if grid.crs is None:
        return PixelSize(x=width, y=height, crs=None)
    return PixelSize(x=width, y=height, crs=grid.crs.to_string(), metres=grid.metres)


def _area(collection: SceneCollection, recipe: Recipe) -> tuple[float, float, float, float] | None:
    """West, south, east and north of the scenes; of images without georeference None."""
    boxes = []
    for spec in collection.specs:
        grid = scene_grid(spec, collection.modalities, recipe.data.pixel_size)
        if grid.crs is None:
            return None
        boxes.append(transform_bounds(grid.crs, "EPSG:4326", *grid.bounds))
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)


def _texts(run: Path) -> list[str]:
    """What was said of the classes and by what it was encoded, where a stage aligned with language."""
    path = run / CLASS_VECTORS
    return [ClassVectors.load(path).origin] if path.exists() else []


def release(
    run: Path,
    output: Path,
    kind: Kind,
    overrides: Sequence[str] = (),
    say: Callable[[str], None] = lambda _line: None,
    report: Callable[[Candidate], None] = lambda _candidate: None,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> ModelMetadata:
    """Writes the model of a run.

    Args:
        run: Run folder.
        output: The ``.onnx`` file.
        kind: Which checkpoint.
        overrides: What to replace in the recipe, as ``--set`` does.
        say: Told in lines what tile and halo were chosen and why.
        report: Told each tile and halo that is tried, with its evaluation.
        progress: Told what is scored, and the share of it that is done.

    Raises:
        RunError: If the folder is no run, has no such checkpoint, or never learned the classes.
        ExportError: If the graph does not answer as the network does.
        OutputError: If the file cannot be written.
    """
    check_target(output)
    recipe, checkpoint = recipe_of(run, overrides), find(run, kind)
    segmenter = open_checkpoint(recipe, run, checkpoint)
    if not any(build_method(stage.method, len(recipe.classes)).learns_classes for stage in recipe.stages):
        raise RunError(
            f"{run}: was pre-trained without labels and tells no class; train it further with start: and export that"
        )
    predict = torch_predictor(segmenter, torch.device("cpu"))
    scenes = SceneCollection(recipe.data, recipe.data.root, segmenter.modalities, recipe.class_values)
    with closing(scenes) as collection:
        tiling = own_tiling(segmenter.network) or tiling_of(
            run, checkpoint, recipe, segmenter, collection, predict, say, report, progress
        )
        test = _scored(collection, segmenter, predict, tiling, "test", progress)
        validation = tiling.evaluation or _scored(collection, segmenter, predict, tiling, "validation", progress)
        pixel_size, area = _pixel_size(collection, recipe), _area(collection, recipe)
    if test is None:
        say("the recipe has no labelled test pixel: the model's accuracy is that of the validation split alone")
    accuracy = (
        *_accuracy(test, "test", chosen=False),
        *_accuracy(validation, "validation", chosen=kind == "best" or tiling.chosen),
    )
    metadata = _metadata(run, recipe, segmenter, tiling, accuracy, pixel_size, area)
    progress("the graph, and its answers in every scenario", 1)
    return export_model(segmenter, metadata, output)


def _metadata(
    run: Path,
    recipe: Recipe,
    segmenter: Segmenter,
    tiling: Tiling,
    accuracy: tuple[ScenarioAccuracy, ...],
    pixel_size: PixelSize,
    area: tuple[float, float, float, float] | None,
) -> ModelMetadata:
    return ModelMetadata(
        name=recipe.name,
        engine=engine.__version__,
        modalities=tuple(modality_facts(modality) for modality in segmenter.modalities),
        classes=tuple(ClassFacts(value=item.value, name=item.name, color=item.color) for item in recipe.class_values),
        pixel_size=pixel_size,
        tile=tiling.tile,
        halo=tiling.halo,
        inner_only=tiling.inner_only,
        seam="crop" if tiling.inner_only else "crossfade",
        accuracy=accuracy,
        training=TrainingFacts(
            data=tuple(scene.name for scene in recipe.data.scenes),
            area=area,
            licence=recipe.data.licence,
            network=recipe.network.name,
            method="; ".join([*(str(stage.method) for stage in recipe.stages), *_texts(run)]),
            recipe=recipe.digest,
        ),
    )
