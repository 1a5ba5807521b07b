"""What a training did: similarity of classes between sensors, saliency, information; of `stars` what its paper shows.

T. Wang et al., "STARS: Shared-specific Translation and Alignment for missing-modality Remote Sensing Semantic
Segmentation" (2026), figures 10 to 12. Information: X. Zheng et al., "Reducing Unimodal Bias in Multi-Modal Semantic
Segmentation with Multi-Scale Functional Entropy Regularization" (2025), figures 2, 5 and 6. Activations:
R. R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
equations 1 and 2. Saliency: K. Simonyan, A. Vedaldi and A. Zisserman, "Deep Inside Convolutional Networks: Visualising
Image Classification Models and Saliency Maps" (2014), section 3.1: the largest absolute gradient over the bands, here
of a class's logits summed over its labelled pixels, with respect to normalised values.

What the paper on STARS leaves open:

* The similarity of two classes is the mean cosine over all pairs of their pixels, of the deepest features that sensors
  share; a pixel has those of the place that it lies in. Networks that give no features of single sensors have those
  of their first latent, each sensor being there alone.
* Parameters are all of a stage: weights of convolutions and linear layers, scales and shifts of norms.
* A class's score, which Grad-CAM takes the gradient of, is the sum of its logits over its labelled pixels, by the
  sensor's own decoder. Activations are those of stage 3, at 1/16 of the resolution: stage 4 has few places in a chip.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from engine.data.chips import Chip
from engine.errors import RunError
from engine.files import writing
from engine.modality import LandClass, Modality
from engine.networks.encoders import Encoder
from engine.networks.segmenter import Segmenter
from engine.networks.stars import Stars

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Pair = tuple[str, str]
KINDS = ("weights", "norm scales", "norm shifts")
STAGE = 2
"""The stage whose activations are shown, from 0."""
SHARE = 1 / 3
"""A class is shown on the chip of which it covers a share that is nearest to this."""


def _inputs(chip: Chip) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values)[None] for name, values in chip.values.items()}


def class_similarity(
    segmenter: Segmenter, chips: Iterable[Chip], progress: Callable[[int], None] = lambda _count: None
) -> dict[Pair, Floats]:
    """Similarity of classes between sensors (Fig. 10).

    Args:
        segmenter: In evaluation mode, of two modalities or more.
        chips: With all modalities.
        progress: Told how many chips are done.

    Returns:
        For each pair of modalities ``[K, K]``, -1 to 1: the mean cosine of pixels of a class (row) seen by the first
        and of a class (column) seen by the second; NaN for classes without a pixel.
    """
    names, classes = segmenter.network.names, segmenter.network.classes
    sums: dict[str, Tensor | int] = {}
    counts = torch.zeros(classes)
    with torch.inference_mode():
        for number, chip in enumerate(chips, 1):
            found = _alone(segmenter, chip)
            labels = torch.from_numpy(chip.labels)
            covers = torch.stack([labels == land_class for land_class in range(classes)]).float()
            shares = _places(covers, *found[names[0]].shape[-2:]).flatten(1)  # [K, places]
            counts += shares.sum(dim=1)
            for name, one in found.items():
                features = F.normalize(one, dim=0).flatten(1)  # [C, places]
                sums[name] = sums.get(name, 0) + shares @ features.T
            progress(number)
    means = {name: (total / counts[:, None]).double() for name, total in sums.items()}
    return {(one, other): (means[one] @ means[other].T).numpy() for one, other in combinations(names, 2)}


def _alone(segmenter: Segmenter, chip: Chip) -> dict[str, Tensor]:
    """``[C, h, w]`` of each sensor: what the network makes of it alone."""
    names, inputs = segmenter.network.names, _inputs(chip)
    if segmenter.network.predicts_alone:
        found = segmenter.detail(inputs, torch.ones((1, len(names)), dtype=torch.bool)).unimodal
        return {name: one.features[-1][0] for name, one in found.items()}
    latent = segmenter.network.latents[0]
    return {
        name: segmenter.detail(inputs, _only(names, name)).latents[latent][0].flatten(0, -3)  # volumes: depth too
        for name in names
    }


def _only(names: Sequence[str], name: str) -> Tensor:
    """The availability ``[1, M]`` of one modality."""
    return torch.tensor([[one == name for one in names]])


def _places(covers: Tensor, rows: int, cols: int) -> Tensor:
    """Shares ``[K, rows, cols]`` of each place that classes ``[K, H, W]`` cover.

    Where encoders have halved the chip, the last places reach beyond it; else places are of equal size.
    """
    height, width = covers.shape[1:]
    for halvings in range(height.bit_length() + 1):
        side = 2**halvings
        if (-(-height // side), -(-width // side)) == (rows, cols):
            return F.avg_pool2d(F.pad(covers, (0, cols * side - width, 0, rows * side - height)), side)
    return F.interpolate(covers[None], size=(rows, cols), mode="area")[0]


def saliency(segmenter: Segmenter, chip: Chip, modality: str, land_class: int) -> Floats:
    """Which pixels of a sensor change the score of a class.

    Args:
        segmenter: In evaluation mode.
        chip: With a labelled pixel of the class.
        modality: The sensor, which maps alone.
        land_class: Position of the class.

    Returns:
        ``[h, w]``, 0 or more.
    """
    network = segmenter.network
    inputs = {name: segmenter.normalise(name, values) for name, values in _inputs(chip).items()}
    chosen = inputs[modality] = inputs[modality].detach().requires_grad_()
    with torch.enable_grad():
        logits = network.detail(inputs, _only(network.names, modality)).logits
        score = logits[0, land_class][torch.from_numpy(chip.labels == land_class)].sum()
        (gradient,) = torch.autograd.grad(score, chosen)
    return gradient[0].abs().amax(dim=0).double().numpy()


def encoder_parameters(network: Stars) -> dict[str, dict[str, list[Floats]]]:
    """For each encoder and kind of :data:`KINDS` the parameters of each stage, flat (Fig. 11)."""
    encoders = {**{f"{name}, specific": network.specific[name] for name in network.names}, "shared": network.shared}
    return {name: _parameters(cast(Encoder, encoder)) for name, encoder in encoders.items()}


def _parameters(encoder: Encoder) -> dict[str, list[Floats]]:
    found: dict[str, list[Floats]] = {kind: [] for kind in KINDS}
    for number in range(len(encoder.widths)):
        parts: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
        for module in (module for layer in encoder.layers(number) for module in layer.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):
                parts["weights"].append(module.weight)
            elif isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                parts["norm scales"].append(module.weight)
                parts["norm shifts"].append(module.bias)
        for kind, tensors in parts.items():
            found[kind].append(torch.cat([one.detach().flatten() for one in tensors]).double().numpy())
    return found


def grad_cam(segmenter: Segmenter, chip: Chip, modality: str, land_class: int) -> dict[str, Floats]:
    """Where a sensor's encoders see a class (Fig. 12).

    Args:
        segmenter: With the network ``stars``, in evaluation mode.
        chip: With a labelled pixel of the class.
        modality: The sensor, which maps alone.
        land_class: Position of the class.

    Returns:
        For ``specific`` and ``shared`` ``[h, w]``, 0 or more, at the chip's resolution.
    """
    network = cast(Stars, segmenter.network)
    maps: dict[str, Tensor] = {}
    hooks = []
    for name, encoder in (("specific", network.specific[modality]), ("shared", network.shared)):
        *_, last = cast(Encoder, encoder).layers(STAGE)
        hooks.append(last.register_forward_hook(lambda _module, _given, output, name=name: maps.update({name: output})))
    with torch.enable_grad():
        logits = segmenter(_inputs(chip), _only(network.names, modality))
        score = logits[0, land_class][torch.from_numpy(chip.labels == land_class)].sum()
        gradients = torch.autograd.grad(score, [maps["specific"], maps["shared"]])
    for hook in hooks:
        hook.remove()
    found = {}
    for name, gradient in zip(("specific", "shared"), gradients, strict=True):
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        seen = (weights * maps[name]).sum(dim=1, keepdim=True).relu().detach()
        large = F.interpolate(seen, size=chip.labels.shape, mode="bilinear", align_corners=False)
        found[name] = large[0, 0].double().numpy()
    return found


def telling_chips(chips: Iterable[Chip], classes: int) -> dict[int, Chip]:
    """For each class that occurs the chip of which it covers a share that is nearest to :data:`SHARE`."""
    best: dict[int, tuple[float, Chip]] = {}
    for chip in chips:
        counts = np.bincount(chip.labels[chip.labels >= 0], minlength=classes)
        for number in np.flatnonzero(counts).tolist():
            apart = abs(counts[number] / chip.labels.size - SHARE)
            if number not in best or apart < best[number][0]:
                best[number] = (float(apart), chip)
    return {number: best[number][1] for number in sorted(best)}


def _write(figure: Figure, path: Path) -> None:
    with writing(path) as file:
        figure.savefig(file, dpi=110, format="png")


def information_over_training(metrics: Path) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """What the objective ``functional_entropy`` logged.

    Args:
        metrics: A run's ``metrics.csv``.

    Returns:
        For ``prediction`` and each stage, and each modality, steps and informations; empty where nothing was logged.

    Raises:
        RunError: If there is no such file.
    """
    found: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    if not metrics.exists():
        raise RunError(f"{metrics}: is missing; a run keeps there what its training logged")
    whole = metrics.read_text(encoding="utf-8").rpartition("\n")[0]  # a training may be writing a row
    for row in csv.DictReader(whole.splitlines()):
        _, what, *rest = row["name"].split("/")
        if what == "information":
            part, name = rest
            steps, values = found.setdefault(part, {}).setdefault(name, ([], []))
            steps.append(int(row["step"]))
            values.append(float(row["value"]))
    return found


def running_mean(steps: Sequence[int], values: Sequence[float]) -> tuple[Sequence[int], Floats]:
    """Means of a fiftieth of the values, one or more, each at the last of their steps."""
    over = max(1, len(values) // 50)
    return steps[over - 1 :], np.convolve(values, np.full(over, 1 / over), mode="valid")


def plot_information(found: Mapping[str, Mapping[str, tuple[Sequence[int], Sequence[float]]]], path: Path) -> None:
    """A panel for the prediction and each stage, a curve a modality: running means over a fiftieth of the training."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for curves in found.values() for name in curves))
    figure = Figure(figsize=(3.4 * len(found), 3), layout="constrained")
    lines = {}
    for axis, (part, curves) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        for name, (steps, values) in curves.items():
            (lines[name],) = axis.plot(*running_mean(steps, values), color=f"C{names.index(name)}")
        axis.set_yscale("log")
        axis.set_title(part)
        axis.set_xlabel("step")
    figure.axes[0].set_ylabel("information")
    figure.legend([lines[name] for name in names], names, loc="outside lower center", ncols=8, frameon=False)
    _write(figure, path)


def plot_similarity(steps: Mapping[int, Mapping[Pair, Floats]], classes: Sequence[LandClass], path: Path) -> None:
    """A row a pair of modalities, a column a step."""
    from matplotlib.figure import Figure

    pairs = list(next(iter(steps.values())))
    side = 1.2 + 0.35 * len(classes)
    figure = Figure(figsize=(side * len(steps) + 2, side * len(pairs) + 0.8), layout="constrained")
    axes = figure.subplots(len(pairs), len(steps), squeeze=False, sharex=True, sharey=True)
    names = [land_class.name for land_class in classes]
    for row, pair in zip(axes, pairs, strict=True):
        for axis, (step, found) in zip(row, steps.items(), strict=True):
            image = axis.imshow(found[pair], vmin=-1, vmax=1, cmap="RdBu_r")
            axis.set_title(f"step {step}")
            axis.set_xticks(range(len(names)), names, rotation=90)
            axis.set_yticks(range(len(names)), names)
            axis.set_xlabel(pair[1])
        row[0].set_ylabel(pair[0])
    figure.colorbar(image, ax=axes, label="mean cosine of features", shrink=0.8)
    _write(figure, path)


def plot_parameters(found: Mapping[str, Mapping[str, Sequence[Floats]]], path: Path) -> None:
    """A row a kind of parameter, a column a stage, a curve an encoder."""
    from matplotlib.figure import Figure

    stages = len(next(iter(found.values()))[KINDS[0]])
    figure = Figure(figsize=(3.2 * stages, 2.6 * len(KINDS)), layout="constrained")
    axes = figure.subplots(len(KINDS), stages)
    for row, kind in zip(axes, KINDS, strict=True):
        for stage, axis in enumerate(row):
            every = np.concatenate([kinds[kind][stage] for kinds in found.values()])
            low, high = np.percentile(every, (0.5, 99.5))
            margin = max(1e-6, 0.05 * (high - low))
            bins = int(np.clip(len(every) ** 0.5, 10, 60))
            edges = np.linspace(low - margin, high + margin, bins + 1)
            for name, kinds in found.items():
                axis.stairs(np.histogram(kinds[kind][stage], edges, density=True)[0], edges, label=name)
            axis.set_title(f"stage {stage + 1}")
            axis.set_yticks([])
            axis.locator_params(axis="x", nbins=4)
        row[0].set_ylabel(f"density of {kind}")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(found), frameon=False)
    _write(figure, path)


@dataclass(frozen=True)
class Activations:
    """A row of a figure: a chip, the class that is looked for, and by sensor and name maps of what is seen of it."""

    chip: Chip
    land_class: int
    seen: Mapping[str, Mapping[str, Floats]]


def plot_activations(
    rows: Sequence[Activations], modalities: Sequence[Modality], classes: Sequence[LandClass], path: Path
) -> None:
    """A row a class: where it is; and for each sensor its picture and what is seen of the class."""
    from matplotlib.figure import Figure

    wide = 1 + len(rows[0].seen[modalities[0].name])
    columns = 1 + wide * len(modalities)
    figure = Figure(figsize=(1.9 * columns, 2 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, axis_row in zip(rows, axes, strict=True):
        axis_row[0].imshow(row.chip.labels == row.land_class, cmap="gray", interpolation="nearest")
        axis_row[0].set_ylabel(classes[row.land_class].name)
        axis_row[0].set_title("class", fontsize="small")
        for number, modality in enumerate(modalities):
            places = axis_row[1 + wide * number : 1 + wide * (number + 1)]
            places[0].imshow(picture(row.chip.values[modality.name], modality))
            places[0].set_title(modality.name, fontsize="small")
            for axis, (what, seen) in zip(places[1:], row.seen[modality.name].items(), strict=True):
                axis.imshow(seen, cmap="inferno", vmin=0, vmax=max(float(seen.max()), 1e-12))
                axis.set_title(f"{modality.name}, {what}", fontsize="small")
    for axis in axes.flat:
        _bare(axis)
    _write(figure, path)


def _bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])


def picture(values: NDArray[np.generic], modality: Modality) -> Floats:
    """``[h, w, 3]``, 0 to 1: its bands red, green and blue, its first three, or one in grey; 2 to 98 percent.

    Args:
        values: ``[C, h, w]``.
        modality: Whose they are.
    """
    names = [name.lower() for name in modality.bands]
    chosen = [names.index(color) for color in ("red", "green", "blue") if color in names]
    if len(chosen) < 3:
        chosen = [0, 1, 2] if len(names) > 2 else [0, 0, 0]
    bands = values[chosen].astype(np.float64)
    low, high = (np.percentile(bands, part, axis=(1, 2), keepdims=True) for part in (2, 98))
    shown: Floats = np.moveaxis(np.clip((bands - low) / np.maximum(high - low, 1e-12), 0, 1), 0, -1)
    return shown
