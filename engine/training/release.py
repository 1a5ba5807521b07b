"""A run becomes a model: tile and halo chosen on the validation split, accuracy written down, graph exported."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rasterio.warp import transform_bounds

import engine
from engine.data.scenes import scene_grid
from engine.data.survey import SceneCollection
from engine.errors import RunError
from engine.evaluation.predictors import torch_predictor
from engine.evaluation.tiling import Tiling, choose_tiling
from engine.export.onnx import export_model
from engine.files import check_target
from engine.language.vectors import CLASS_VECTORS, ClassVectors
from engine.methods.registry import build_method
from engine.model.document import (
    ClassFacts,
    ModelMetadata,
    PixelSize,
    ScenarioAccuracy,
    TrainingFacts,
    modality_facts,
)
from engine.networks.segmenter import Segmenter
from engine.training.checkpoints import Kind
from engine.training.recipe import Recipe
from engine.training.run import open_run


def _accuracy(tiling: Tiling) -> tuple[ScenarioAccuracy, ...]:
    evaluation = tiling.evaluation
    return tuple(
        ScenarioAccuracy(
            scenario=scenario.label(evaluation.names),
            split="validation",
            miou=score.miou,
            overall_accuracy=score.overall_accuracy,
            pixels=score.pixels,
            classes=tuple(None if math.isnan(iou) else iou for iou in score.iou),
        )
        for scenario, score in zip(evaluation.scenarios, evaluation.scores, strict=True)
    )


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
    report: Callable[[int, int, float, float], None] = lambda _tile, _halo, _score, _seam: None,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> ModelMetadata:
    """Writes the model of a run.

    Args:
        run: Run folder.
        output: The ``.onnx`` file.
        kind: Which checkpoint.
        overrides: What to replace in the recipe, as ``--set`` does.
        report: Told each tile, halo, validation mIoU and seam ratio that is tried.
        progress: Told what is scored for one of them, and the share of it that is done.

    Raises:
        RunError: If the folder is no run, has no such checkpoint, or never learned the classes.
        ExportError: If the graph does not answer as the network does.
        OutputError: If the file cannot be written.
    """
    check_target(output)
    recipe, segmenter = open_run(run, kind, overrides)
    if not any(build_method(stage.method, len(recipe.classes)).learns_classes for stage in recipe.stages):
        raise RunError(
            f"{run}: was pre-trained without labels and tells no class; train it further with start: and export that"
        )
    collection = SceneCollection(recipe.data, recipe.data.root, segmenter.modalities, recipe.class_values)
    try:
        tiling = choose_tiling(
            collection,
            segmenter.network,
            segmenter.modalities,
            torch_predictor(segmenter, torch.device("cpu")),
            report,
            progress,
        )
        pixel_size, area = _pixel_size(collection, recipe), _area(collection, recipe)
    finally:
        collection.close()
    metadata = _metadata(run, recipe, segmenter, tiling, pixel_size, area)
    progress("the graph, and its answers in every scenario", 1)
    return export_model(segmenter, metadata, output)


def _metadata(
    run: Path,
    recipe: Recipe,
    segmenter: Segmenter,
    tiling: Tiling,
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
        accuracy=_accuracy(tiling),
        training=TrainingFacts(
            data=tuple(scene.name for scene in recipe.data.scenes),
            area=area,
            licence=recipe.data.licence,
            network=recipe.network.name,
            method="; ".join([*(str(stage.method) for stage in recipe.stages), *_texts(run)]),
            recipe=recipe.digest,
        ),
    )
