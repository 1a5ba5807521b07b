"""Functional entropy: does a form of its terms teach a sensor that another one outshines?

The paper (Zheng et al., 2025) claims that its terms raise the neglected sensor and hardly lower the dominant one: event
cameras alone from 6.48 to 29.44 mIoU beside frames at 60.63 and 59.63 (its table 5). It trains all sensors together.

The data hold that bias. A chip has four squares of 16 x 16 pixels, each of one of four classes; the pixels near their
borders have no label. Each of two sensors tells the class by itself:

* ``strong`` shows a band a class, nearly without noise, and is learned within some 20 steps.
* ``weak`` shows three bands of random signs, whose products tell the class, in noise of twice their size: a function
  that no linear one comes near, and that takes some hundred steps. By then the averaged answer is right, and its loss,
  which is all that teaches the weak sensor, is next to nothing.

``mean_fusion`` with a tiny ResNet is trained on complete samples, as a collapsed sensor needs (and the paper's baseline
shows); a second set of arms learns under random modality dropout, which the paper says it uses. Arms beside the
cross-entropy:

* ``none``; ``inputs`` and ``conditional`` (equations 6 and 4) at the paper's weight of .3; ``segmentation`` and
  ``common`` (readings of equation 7) at its .02; ``inputs + common``, its whole method;
* ``common x 10``, since that term is small at the paper's weight;
* ``unimodal``: the cross-entropy of each sensor's own prediction, which knows no Fisher information;
* ``dropout`` and ``dropout, FORM``.

Measures are the accuracies on 64 chips that nothing was trained on, of either sensor alone and of both. Predicted by
the paper: every form raises the weak sensor by ten points or more and leaves the strong one; beside dropout, by two or
more. Predicted by what teaches: ``unimodal`` and ``dropout`` raise it.

Tried on single groups from 1000 on, and dropped: SegFormer for ResNet (twice as slow, and collapses less); a strong
sensor of one band (learned too late, so that the weak one is taught meanwhile: nothing collapses); textures for the
weak one (learned too soon); a rate of .001 (the cross-entropy of single sensors reaches .83 in as many steps); a strong
sensor a third as strong (.71 for .65 without terms); ten times the weight of ``inputs`` and fifty times that of
``common`` (.62 and .49 for .71 without).

Eight groups took 37 minutes in one process, on a machine that others shared.

    python scripts/experiments/controlled/functional_entropy.py [--jobs 1]
    python scripts/experiments/controlled/functional_entropy.py --table
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from trial import Effect, Experiment, Rows, accuracy, answers, fit, main, method, segmenter

if TYPE_CHECKING:
    from torch import Tensor

CLASSES, SIZE, SQUARE, EDGE = 4, 32, 16, 4
BANDS = {"strong": CLASSES, "weak": 3}
STEPS, RATE = 150, 3e-3
SCENARIOS = {"strong": (True, False), "weak": (False, True), "both": (True, True)}


def entropy(**options: object) -> dict[str, Any]:
    """The objective with the terms that are named."""
    return {"name": "functional_entropy", "options": {"prediction": 0, "features": 0, **options}}


FORMS: dict[str, list[dict[str, Any]]] = {
    "inputs": [entropy(prediction=0.3, form="inputs")],
    "conditional": [entropy(prediction=0.3, form="conditional")],
    "segmentation": [entropy(features=0.02, feature_form="segmentation")],
    "common": [entropy(features=0.02, feature_form="common")],
}
WHOLE = {"inputs + common": [entropy(prediction=0.3, form="inputs", features=0.02, feature_form="common")]}
STRONGER = {"common x 10": [entropy(features=0.2, feature_form="common")]}
ARMS: dict[str, dict[str, tuple[str, list[Any]]]] = {
    "complete": {
        "none": ("complete", []),
        **{name: ("complete", objectives) for name, objectives in {**FORMS, **WHOLE, **STRONGER}.items()},
        "unimodal": ("complete", ["unimodal_cross_entropy"]),
    },
    "dropout": {
        "dropout": ("dropout", []),
        **{f"dropout, {name}": ("dropout", objectives) for name, objectives in FORMS.items()},
    },
}
"""For each part of a group its arms: scenarios, and objectives beside the cross-entropy."""


def scenes(rng: np.random.Generator, count: int) -> tuple[dict[str, Tensor], Tensor]:
    """Chips of both sensors ``[N, C, H, W]`` and labels ``[N, H, W]``."""
    import torch

    def squares(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return values.repeat(SQUARE, axis=-2).repeat(SQUARE, axis=-1)

    classes = rng.integers(0, CLASSES, (count, SIZE // SQUARE, SIZE // SQUARE))
    sign = rng.choice([-1, 1], classes.shape)
    clean = {
        "strong": 3 * np.stack([(classes == number) - 0.25 for number in range(CLASSES)], axis=1),
        "weak": np.stack([sign, sign * (2 * (classes % 2) - 1), sign * (2 * (classes // 2) - 1)], axis=1),
    }
    inputs = {}
    for name, noise in (("strong", 0.2), ("weak", 2.0)):
        shown = squares(clean[name]) + noise * rng.standard_normal((count, BANDS[name], SIZE, SIZE))
        inputs[name] = torch.tensor(shown, dtype=torch.float32)
    place = np.arange(SIZE) % SQUARE
    inside = (place >= EDGE) & (place < SQUARE - EDGE)
    return inputs, torch.tensor(np.where(inside[:, None] & inside, squares(classes), -1))


def work(group: int, part: str) -> Rows:
    """Trains the arms of a part, and scores each in all scenarios."""
    import torch

    inputs, labels = scenes(np.random.default_rng([group, 0]), 256)
    unseen, truth = scenes(np.random.default_rng([group, 1]), 64)
    rows: Rows = []
    for arm, (scenarios, objectives) in ARMS[part].items():
        torch.manual_seed(group)
        trained = segmenter("mean_fusion", {"encoder": "resnet-tiny"}, BANDS, CLASSES)
        by = method(scenarios, "cross_entropy", *objectives, classes=CLASSES)
        fit(trained, by, inputs, labels, steps=STEPS, seed=group, rate=RATE)
        for measure, members in SCENARIOS.items():
            right = accuracy(answers(trained, unseen, members), truth)
            rows.append({"arm": arm, "measure": measure, "value": right})
    return rows


EXPERIMENT = Experiment(
    "functional_entropy",
    work,
    [
        *(Effect(form, "none", "weak", 10) for form in (*FORMS, *WHOLE, *STRONGER)),
        *(Effect(arm, "none", "weak", 10) for arm in ("unimodal", "dropout")),
        *(Effect(f"dropout, {form}", "dropout", "weak", 2) for form in FORMS),
    ],
    groups=8,
    parts=tuple(ARMS),
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
