"""`engine evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import click
import torch

from engine.cli.progress import Shown, status
from engine.cli.tables import print_conclusions, print_image_scores, print_tables
from engine.data.settings import SplitName
from engine.data.survey import SceneCollection
from engine.errors import DeviceError, InputError, RecipeError, RunError
from engine.evaluation.baseline import Beside, baseline_folder, read_baseline
from engine.evaluation.comparison import compare_split
from engine.evaluation.conclusions import Figures, conclusions
from engine.evaluation.images import IMAGE_REPORT, ImageScores, pooled, score_images, write_image_scores
from engine.evaluation.page import PAGE, evaluation_page
from engine.evaluation.predictors import torch_predictor
from engine.evaluation.scenarios import REPORT, Evaluation, evaluate, write_report
from engine.evaluation.split_pictures import split_pictures
from engine.evaluation.tiling import DEFAULT_SHARE, Tiling, own_tiling
from engine.files import check_target, make_folder, write_text
from engine.mapping.comparison import tell
from engine.modality import LandClass, Modality
from engine.model.file import Model
from engine.networks.registry import network_options
from engine.networks.segmenter import Segmenter
from engine.runtime.batching import Predictor
from engine.runtime.machine import usable_processors
from engine.runtime.session import Sessions
from engine.training.checkpoints import Kind, find
from engine.training.choice import tiling_of
from engine.training.recipe import Recipe, read_recipe
from engine.training.run import METRICS, open_checkpoint, recipe_of


@click.command("evaluate")
@click.argument(
    "what", metavar="RUN|MODEL.onnx...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Recipe whose data to use.")
@click.option("--split", type=click.Choice(["validation", "test", "train"]), default="validation", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder [default: evaluation/SPLIT beside WHAT].")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the recipe.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True)
@click.option(
    "--protocol",
    type=click.Choice(["map", "lgss"]),
    default="map",
    show_default=True,
    help="Score maps of whole scenes, or image by image as the paper on latent-guided scenario sampling does.",
)
@click.option(
    "--tile",
    type=click.IntRange(8),
    help="Map a run with other tiles than an export ships, or cut images of another size with --protocol lgss [default "
    "there: the recipe's chip]; a model has its own.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--strict", is_flag=True, help="Refuse data whose values are not those of the training.")
def command(
    what: tuple[Path, ...],
    data: Path | None,
    split: str,
    output: Path | None,
    overrides: tuple[str, ...],
    checkpoint: str,
    protocol: str,
    tile: int | None,
    device: str,
    strict: bool,
) -> None:
    """Score a run, or a model with --data, on a split in every scenario.

    Whole scenes are mapped as `engine predict` does; a pixel counts in a scenario where all its sensors are valid. Tile
    and halo are those that `engine export` ships: chosen on the validation split by whichever comes first, and kept in
    the run folder. Intervals of 95 % are over spatial blocks, since neighbouring pixels are alike. With
    --protocol lgss tiles are predicted one by one, and each has its IoU and F1; of several runs, as those of a
    cross-validation, the images are taken together.

    Where `engine baseline` has scored random forests on the same split, their mIoU stands beside. Last it says in words
    what the figures mean: sensors that do harm, scenarios that are guessed, and those in which the forest is ahead.
    report.html shows all of it in pictures, with a part of a scene as it is mapped in every scenario.

    \b
    Examples:
      engine evaluate runs/zion
      engine evaluate zion.onnx --data recipes/zion.yaml --split test
      engine evaluate runs/potsdam-? --protocol lgss --split test -o folds
    """
    if len(what) > 1 and (protocol != "lgss" or output is None):
        raise click.UsageError("several runs are taken together with --protocol lgss only, into a folder named by -o")
    if len({one.resolve() for one in what}) < len(what):
        raise click.UsageError("a run stands there twice")
    recipe = read_recipe(data, overrides) if data else None
    trained = [
        _run(one, recipe, overrides, cast(Kind, checkpoint), tile, protocol, device)
        if one.is_dir()
        else _model(one, recipe, device)
        for one in what
    ]
    _check_alike(trained, what)
    place = what[0] if what[0].is_dir() else what[0].parent
    folder = output or place / "evaluation" / split
    files = [folder / name for name in (IMAGE_REPORT if protocol == "lgss" else (*REPORT, PAGE))]
    make_folder(folder)
    for file in files:
        check_target(file)
    if data is not None:
        with closing(trained[0].collection()) as collection:
            compared = compare_split(collection, trained[0].modalities, cast(SplitName, split))
        tell(compared, strict, lambda text: click.echo(f"Warning: {text}", err=True))
    chosen = cast(SplitName, split)
    facts = {"of": [one.name for one in what], "split": split}
    with status("evaluating") as shown:
        if protocol == "lgss":
            images = pooled([_images(one, chosen, shown) for one in trained])
            write_image_scores(images, folder, facts | {"tile": trained[0].size})
        else:
            tiling = trained[0].tiling(shown)
            same = chosen == "validation" and data is None
            result = (tiling.evaluation if same else None) or _maps(trained[0], tiling, chosen, shown)
            beside = _beside(baseline_folder(place, chosen), result)
            told = conclusions(_figures(result, trained[0].recipe, beside))
            about = {"tile": tiling.tile, "halo": tiling.halo, "tiling": tiling.reason, "conclusions": told}
            write_report(result, folder, facts | about)
            shown.update("drawing the page")
            with closing(trained[0].collection()) as collection:
                splits = split_pictures(collection)
            drawn = evaluation_page(result, what[0].name, facts | about, beside, told, what[0] / METRICS, splits)
            write_text(folder / PAGE, drawn)
    if protocol == "lgss":
        print_image_scores(images)
    else:
        print_tables(result)
        print_conclusions(result, beside, told)
    for file in files:
        click.echo(file)


@dataclass(frozen=True)
class _Trained:
    """What is evaluated: a run or a model, with its data; of images their size, of maps what gives the tiling."""

    recipe: Recipe
    modalities: tuple[Modality, ...]
    predict: Predictor
    size: int
    tiling: Callable[[Shown], Tiling]
    threads: int

    @property
    def modality_names(self) -> list[str]:
        return [modality.name for modality in self.modalities]

    def collection(self) -> SceneCollection:
        recipe = self.recipe
        return SceneCollection(recipe.data, recipe.data.root, self.modalities, recipe.class_values)


def _check_alike(trained: Sequence[_Trained], what: Sequence[Path]) -> None:
    """Refuses runs that cannot be taken together."""
    for one, other in zip(trained[1:], what[1:], strict=True):
        for key, here, there in (
            ("modalities", trained[0].modality_names, one.modality_names),
            ("classes", trained[0].recipe.classes, one.recipe.classes),
            ("tile", trained[0].size, one.size),
        ):
            if here != there:
                raise RecipeError(f"{other}: its {key} are {there}, those of {what[0]} {here}; they must be the same")


def _images(trained: _Trained, split: SplitName, shown: Shown) -> ImageScores:
    with closing(trained.collection()) as collection:
        return score_images(
            collection,
            trained.modalities,
            trained.predict,
            split,
            trained.size,
            lambda count: shown.update(f"{count} images"),
        )


def _maps(trained: _Trained, tiling: Tiling, split: SplitName, shown: Shown) -> Evaluation:
    with closing(trained.collection()) as collection:
        return evaluate(
            collection,
            trained.modalities,
            trained.predict,
            split,
            tiling.tile,
            tiling.halo,
            inner_only=tiling.inner_only,
            threads=trained.threads,
            progress=shown.update,
        )


def _beside(folder: Path, result: Evaluation) -> Beside | None:
    """What forests reach on the same pixels; others are told of and left out."""
    beside = read_baseline(folder, result)
    if beside is not None and not beside.same:
        click.echo(
            f"Warning: {folder}: its forests were scored on other pixels, so they are not shown; make them anew with "
            "engine baseline",
            err=True,
        )
        return None
    return beside


def _figures(result: Evaluation, recipe: Recipe, beside: Beside | None) -> Figures:
    fusion = getattr(network_options(recipe.network.name, recipe.network.options), "fusion", None)
    forest = {} if beside is None else beside.mious
    gated = fusion not in (None, "gated")
    return Figures(result.names, result.classes, result.scenarios, result.counts, forest, gated)


def _run(
    folder: Path,
    recipe: Recipe | None,
    overrides: tuple[str, ...],
    checkpoint: Kind,
    tile: int | None,
    protocol: str,
    device: str,
) -> _Trained:
    own, found = recipe_of(folder, () if recipe else overrides), find(folder, checkpoint)
    segmenter = open_checkpoint(own, folder, found)
    if recipe is not None:
        _check_same(folder, own.class_values, segmenter.modalities, recipe)
    if segmenter.network.tile is not None and (tile is not None or protocol == "lgss"):
        raise click.UsageError(
            f"{folder}: {own.network.name} classifies each pixel from the window around it: tiles do not change its "
            "answers (leave out --tile), and images by themselves have none along their borders (--protocol lgss)"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("cuda: torch finds no GPU that it can use; choose --device cpu")
    predict = torch_predictor(segmenter.to(device), torch.device(device))

    def tiling(shown: Shown) -> Tiling:
        if tile is not None:
            return _said(Tiling(tile, tile // DEFAULT_SHARE, False, "as --tile asks; not what an export ships"))
        return own_tiling(segmenter.network) or _chosen(
            folder, found, own, segmenter, predict, shown, beside=recipe is not None
        )

    data = recipe or own
    return _Trained(data, segmenter.modalities, predict, tile or data.data.chip, tiling, 1)


def _chosen(
    folder: Path,
    checkpoint: Path,
    own: Recipe,
    segmenter: Segmenter,
    predict: Predictor,
    shown: Shown,
    beside: bool,
) -> Tiling:
    """The tiling of a run, by its own data, which need not be those that it is evaluated on."""

    def say(line: str) -> None:
        click.echo(line, err=True)

    try:
        with closing(SceneCollection(own.data, own.data.root, segmenter.modalities, own.class_values)) as collection:
            return tiling_of(
                folder,
                checkpoint,
                own,
                segmenter,
                collection,
                predict,
                say,
                lambda tried: say(str(tried)),
                shown.update,
            )
    except InputError as error:
        if not beside:
            raise
        raise RunError(
            f"{folder}: its tile and halo are chosen on its own validation data, which cannot be read: {error}; "
            "evaluate a model exported from it, or name a tile with --tile"
        ) from error


def _said(tiling: Tiling) -> Tiling:
    click.echo(str(tiling), err=True)
    return tiling


def _model(path: Path, recipe: Recipe | None, device: str) -> _Trained:
    if recipe is None:
        raise click.UsageError("a model holds no data: name a recipe with --data")
    model = Model(path)
    metadata = model.metadata
    _check_same(path, model.classes, model.modalities, recipe)
    predict = Sessions(model, device).probabilities
    own = Tiling(metadata.tile, metadata.halo, metadata.inner_only, "the model's own")
    return _Trained(recipe, model.modalities, predict, metadata.tile, lambda _shown: _said(own), usable_processors())


def _check_same(what: Path, classes: Sequence[LandClass], modalities: Sequence[Modality], recipe: Recipe) -> None:
    for key, there, here in (
        ("classes", [item.value for item in classes], [item.value for item in recipe.classes]),
        ("modalities", [item.name for item in modalities], [item.name for item in recipe.modalities]),
        ("bands", [item.bands for item in modalities], [item.bands for item in recipe.modalities]),
    ):
        if there != here:
            raise RecipeError(f"{what}: its {key} are {there}, the recipe's are {here}; they must be the same")
