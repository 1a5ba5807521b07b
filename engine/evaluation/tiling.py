"""Tile size and halo, chosen on the validation split: a network that sees the whole tile depends on its size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.data.survey import SceneCollection
from engine.errors import SplitError
from engine.evaluation.intervals import FEWEST, counted, interval, resampled
from engine.evaluation.metrics import mean_known
from engine.evaluation.scenarios import Evaluation, evaluate
from engine.modality import Modality
from engine.networks.contract import Network
from engine.runtime.batching import Predictor

TILE_FACTORS = (1, 2, 4)
"""Tiles that are tried, in chips."""

LARGEST_TILE = 512

DEFAULT_SHARE, OTHER_SHARES = 8, (16, 4)
"""Halos as parts of the tile: 1/8, with which tiles are compared; 1/16 and 1/4, which are tried of the tile taken."""

FEWEST_PIXELS = 1000
"""Labelled pixels below which nothing is chosen."""

SEAM = 1.15
"""Changes of class where tiles meet over those elsewhere, beyond which a tiling is taken only if all show as much."""


@dataclass(frozen=True)
class Candidate:
    """A tile and halo (pixels) that were tried, and how they score on the validation split."""

    tile: int
    halo: int
    evaluation: Evaluation

    @property
    def score(self) -> float:
        """Mean mIoU over the scenarios."""
        return self.evaluation.mean("miou")

    @property
    def seam(self) -> float:
        """Changes of class where tiles meet over those elsewhere; NaN where no two tiles meet."""
        return self.evaluation.seam_ratio

    @property
    def cost(self) -> float:
        """Pixels that are computed for one that is mapped."""
        return (self.tile / (self.tile - 2 * self.halo)) ** 2

    def __str__(self) -> str:
        seam = f", seams {self.seam:.2f}" if math.isfinite(self.seam) else ""
        return f"tile {self.tile}, halo {self.halo}: validation mIoU {self.score:.4f}{seam}"

    @cached_property
    def draws(self) -> NDArray[np.float64]:
        """Mean mIoU over the scenarios of each draw of the blocks."""
        return mean_known(resampled(self.evaluation.counts).miou)


@dataclass(frozen=True)
class Tiling:
    """The tile size and halo (pixels) of a model.

    Args:
        tile: Size of a tile.
        halo: Half the overlap of neighbouring tiles.
        inner_only: Whether a tile has no answer in its halo.
        reason: Why these, in words.
        chosen: Whether they were chosen by the figures of the validation split.
        evaluation: On the validation split with them, where it was made for the choice.
    """

    tile: int
    halo: int
    inner_only: bool
    reason: str
    chosen: bool = False
    evaluation: Evaluation | None = None

    def __str__(self) -> str:
        return f"tile {self.tile}, halo {self.halo}: {self.reason}"


def tiles_of(network: Network, chip: int) -> tuple[int, int, bool]:
    """Tile size, halo, and whether only their inside counts: the network's own, or chips with a halo of an eighth."""
    return (chip, chip // DEFAULT_SHARE, False) if network.tile is None else (network.tile, network.margin, True)


def own_tiling(network: Network) -> Tiling | None:
    """The tiling of a network that brings its own; None where one is to be chosen."""
    return None if network.tile is None else Tiling(network.tile, network.margin, True, "the network's own")


def equal(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The best candidate and those that are not below it by more than chance explains.

    A candidate is below if the 95 % interval of the difference of mean mIoU, over draws of the same blocks for both,
    lies above zero.
    """
    best = max(candidates, key=lambda one: one.score)
    blocks = len(best.evaluation.counts)

    def is_below(one: Candidate) -> bool:
        found = interval(best.draws - one.draws, blocks)
        return found is not None and found[0] > 0

    return [one for one in candidates if one is best or not is_below(one)]


def best_of(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate that a model gets: of equal ones those whose seams do not show, of these the one that costs least.

    Where all seams show, those that show least count. What costs the same goes by the smaller tile.
    """
    good = equal(candidates)
    smooth = [one for one in good if not one.seam > SEAM]
    if not smooth:
        least = min(one.seam for one in good)
        smooth = [one for one in good if one.seam == least]
    return min(smooth, key=lambda one: (one.cost, one.tile))


def choose_tiling(
    collection: SceneCollection,
    network: Network,
    modalities: Sequence[Modality],
    predict: Predictor,
    report: Callable[[Candidate], None] = lambda _candidate: None,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> Tiling:
    """The tiling that :func:`best_of` takes on the validation split: first the tile, then its halo.

    Where the split has fewer than FEWEST blocks with labels, or than FEWEST_PIXELS, there is nothing to choose.

    Args:
        collection: The scenes with their labels.
        network: What is mapped with; one without tiles of its own.
        modalities: With their training statistics.
        predict: Gives the probabilities of a tile of any size.
        report: Told each candidate that was tried.
        progress: Told what is done for one of them, and the share of it that is done.
    """
    default = tiles_of(network, collection.data.chip)

    def tried(tile: int, halo: int) -> Candidate:
        def told(what: str, share: float) -> None:
            progress(f"tile {tile}, halo {halo}: {what}", share)

        found = evaluate(collection, modalities, predict, "validation", tile, halo, progress=told)
        report(Candidate(tile, halo, found))
        return Candidate(tile, halo, found)

    chip = default[0]
    try:
        candidates = [tried(chip, default[1])]
    except SplitError:
        return Tiling(*default, "the default, since there is no labelled validation pixel to choose on")
    first = candidates[0].evaluation
    blocks, pixels = len(first.counts), max(score.pixels for score in first.scores)
    if blocks < FEWEST or pixels < FEWEST_PIXELS:
        few = f"{pixels:,} labelled validation pixels ({FEWEST_PIXELS:,} needed), {counted(blocks)} ({FEWEST} needed)"
        return Tiling(*default, f"the default, since there is too little to choose on: {few}", evaluation=first)
    tiles = [chip * factor for factor in TILE_FACTORS if factor > 1 and chip * factor <= LARGEST_TILE]
    candidates += [tried(tile, tile // DEFAULT_SHARE) for tile in tiles]
    tile = best_of(candidates).tile
    candidates += [tried(tile, tile // share) for share in OTHER_SHARES]
    taken = best_of(candidates)
    return Tiling(taken.tile, taken.halo, False, _reason(taken, candidates), True, taken.evaluation)


def _reason(taken: Candidate, candidates: Sequence[Candidate]) -> str:
    """Why a candidate was taken, in words."""
    good = equal(candidates)
    tried = f"of {len(candidates)} tried on {counted(len(taken.evaluation.counts))} of the validation split"
    if len(good) == 1:
        return f"{tried}, this one has the best mean mIoU by more than chance explains"
    as_good = f"{tried}, {len(good)} are equally good but for chance"
    if taken.seam > SEAM:
        return f"{as_good}, and the seams of this one show least"
    smooth = sum(not one.seam > SEAM for one in good)
    return f"{as_good}, the seams of {smooth} of these do not show, and this one costs least"
