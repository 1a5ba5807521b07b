"""Tile size and halo, chosen on the validation split: a network that sees the whole tile depends on its size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.data.survey import SceneCollection
from engine.evaluation.scenarios import Evaluation, evaluate
from engine.modality import Modality
from engine.networks.contract import Network
from engine.runtime.batching import Predictor

TILE_FACTORS = (1, 2, 4)
"""Tiles that are tried, in chips."""

LARGEST_TILE = 512

HALO_SHARES = (16, 8, 4)
"""Halos that are tried, as parts of the tile: 1/16, 1/8, 1/4."""

SCORED_TILES = 256
"""Tiles of a scene that a network with its own is scored on, which classifies each pixel by itself: 65 000 pixels."""

GAIN = 0.001
"""A wider halo must raise the mean mIoU by more than this to be worth its overlap."""

SEAM = 1.15
"""Changes of class where tiles meet over those elsewhere, beyond which a wider halo is taken all the same: a halo of a
quarter of the tile costs three times one of a sixteenth."""


@dataclass(frozen=True)
class Tiling:
    """The tile size and halo (pixels) of a model, and how it scores with them on the validation split.

    ``inner_only`` says whether a tile has no answer in its halo.
    """

    tile: int
    halo: int
    inner_only: bool
    evaluation: Evaluation
    tried: tuple[tuple[int, int, float, float], ...]


def tiles_of(network: Network, chip: int) -> tuple[int, int, bool]:
    """Tile size, halo, and whether only their inside counts: the network's own, or chips with a halo of an eighth."""
    return (chip, chip // 8, False) if network.tile is None else (network.tile, network.margin, True)


def choose_tiling(
    collection: SceneCollection,
    network: Network,
    modalities: Sequence[Modality],
    predict: Predictor,
    report: Callable[[int, int, float, float], None] = lambda _tile, _halo, _score, _seam: None,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> Tiling:
    """The tile with the best mean mIoU over the scenarios, then the smallest halo that neither costs mIoU nor shows.

    Args:
        collection: The scenes with their labels.
        network: One with tiles of its own has nothing to be chosen; some of them are scored.
        modalities: With their training statistics.
        predict: Gives the probabilities of a tile of any size.
        report: Told each tile, halo, mean mIoU and seam ratio that was tried.
        progress: Told what is done for one of them, and the share of it that is done.
    """
    tried: list[tuple[int, int, float, float]] = []

    def score(tile: int, halo: int, inner_only: bool = False) -> tuple[float, Evaluation]:
        evaluation = evaluate(
            collection,
            modalities,
            predict,
            "validation",
            tile,
            halo,
            inner_only=inner_only,
            most=SCORED_TILES,
            progress=lambda what, share: progress(f"tile {tile}, halo {halo}: {what}", share),
        )
        mean = evaluation.mean("miou")
        tried.append((tile, halo, mean, evaluation.seam_ratio))
        report(tile, halo, mean, evaluation.seam_ratio)
        return mean, evaluation

    chip = collection.data.chip
    if network.tile is not None:
        settled = tiles_of(network, chip)
        return Tiling(*settled, score(*settled)[1], tuple(tried))
    tiles = [chip * factor for factor in TILE_FACTORS if factor == 1 or chip * factor <= LARGEST_TILE]
    middle = HALO_SHARES[1]
    by_tile = {tile: score(tile, tile // middle) for tile in tiles}
    tile = max(tiles, key=lambda size: by_tile[size][0])
    by_halo = {share: by_tile[tile] if share == middle else score(tile, tile // share) for share in HALO_SHARES}
    best = max(mean for mean, _ in by_halo.values())
    good = [share for share in HALO_SHARES if by_halo[share][0] >= best - GAIN]
    seams = {share: by_halo[share][1].seam_ratio for share in good}
    chosen = next((share for share in good if not seams[share] > SEAM), min(good, key=lambda share: seams[share]))
    return Tiling(tile, tile // chosen, False, by_halo[chosen][1], tuple(tried))
