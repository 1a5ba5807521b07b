"""Rasters as pictures of a page, in the colours of a legend."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engine.report.page import picture

FINEST, SHOWN = 1020, 340
"""Pixels along the longer side of a picture, as it is read at most and as it is shown: paper is finer than a screen."""

EMPTY = "#ffffff"
"""The colour of what has no value."""


def palette(values: NDArray[np.generic], colors: Mapping[int, str]) -> NDArray[np.uint8]:
    """Colours ``[h, w, 3]`` of values; white where a value has none."""
    known, places = np.unique(values, return_inverse=True)
    table = [bytes.fromhex(colors.get(int(one), EMPTY).removeprefix("#")) for one in known]
    return np.array([list(color) for color in table], dtype=np.uint8)[places.reshape(values.shape)]


def framed(colors: NDArray[np.uint8], text: str, side: int = SHOWN) -> dict[str, object]:
    """A picture with its size on the page; small ones are enlarged pixel by pixel, so that they stay sharp.

    Args:
        colors: ``[h, w, 3]``, 0-255.
        text: What it shows.
        side: Pixels of the page along its longer side.
    """
    times = max(1, FINEST // max(colors.shape))
    height, width = colors.shape[:2]
    scale = side / max(height, width)
    large = colors.repeat(times, axis=0).repeat(times, axis=1)
    return {
        "address": picture(large),
        "width": max(1, round(width * scale)),
        "height": max(1, round(height * scale)),
        "text": text,
    }
