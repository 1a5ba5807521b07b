"""What is advised, in sentences: the tool writes them into recipes, and docs/choosing.md has them too."""

from __future__ import annotations

from collections.abc import Mapping

from engine.proposal.sight import Density

LABELS: Mapping[Density, str] = {
    "dense": (
        "Dense labels (20 % of the valid pixels or more) teach a segmenter: it sees a whole chip at once, and what "
        "lies around a pixel."
    ),
    "polygons": (
        "Polygons and other scattered labels teach a window classifier: it sees one labelled pixel and the window "
        "around it, and few labels suffice for it."
    ),
    "scattered": (
        "Scattered pixels teach a window classifier: it sees one labelled pixel and the window around it, and few "
        "labels suffice for it."
    ),
    "single": (
        "Where sensors saw nothing beside the labelled pixels, as in tables of spectra, a window classifier with a "
        "window of one pixel learns all that there is."
    ),
}

GATED = (
    "fusion: gated lets the network weigh its sensors at each pixel; by plain averages a weak sensor can drag down a "
    "strong one."
)

SMALL = (
    "In scenes less than 32 pixels high or wide a segmenter has no room: a window classifier learns dense labels too."
)

STEPS = (
    "A window classifier may need all of its steps: in one trial 60 of them scored .32 and the whole schedule .79. On "
    "single spectra two seeds told no difference."
)

COUNTS = (
    "A class whose validation or test split holds fewer than 30 pixels, or one region, has no IoU worth the name there."
)

BUFFER = "Training pixels near to those held out look the same; the buffer leaves them out."

LAST = (
    "Where validation is too small the best checkpoint would be chosen on noise: the last weights are taken, and "
    "nothing is validated on the way."
)

WINDOWS_LAST = (
    "The last weights of a window classifier are taken: its schedule ends at a low rate, and mapping validation on the "
    "way would cost more than the training."
)
