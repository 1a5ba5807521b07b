"""An exponential moving average of the weights that a stage trains."""

from __future__ import annotations

import copy

import torch

from engine.networks.segmenter import Segmenter


class WeightAverage:
    """The average that is validated, kept as the checkpoint's weights, and gone on with after the stage.

    Parameters and running statistics alike. The decay rises to its value as min(decay, (1 + n) / (10 + n)) over the
    steps n of the stage, so that the weights of its beginning are soon forgotten (as TensorFlow's
    ``ExponentialMovingAverage`` does with ``num_updates``).

    Args:
        segmenter: With the weights that the average begins with.
        decay: What is kept of the average at each step.
    """

    def __init__(self, segmenter: Segmenter, decay: float) -> None:
        self.decay = decay
        self.segmenter = copy.deepcopy(segmenter).requires_grad_(False)

    @torch.no_grad()
    def update(self, segmenter: Segmenter, steps: int) -> None:
        """Takes in the weights after ``steps`` steps of the stage."""
        kept = min(self.decay, (1 + steps) / (10 + steps))
        trained = segmenter.network.state_dict()
        for key, average in self.segmenter.network.state_dict().items():
            if average.is_floating_point():
                average.lerp_(trained[key], 1 - kept)
            else:
                average.copy_(trained[key])
