"""A torch network as the predictor of a mosaic."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from engine.availability import Scenario
from engine.networks.segmenter import Segmenter
from engine.runtime.batching import Predictor


def torch_predictor(segmenter: Segmenter, device: torch.device) -> Predictor:
    """Gives ``segmenter``'s probabilities ``[B, K, T, T]`` of tiles. Set it to evaluation mode first."""

    def predict(scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        batch, _, height, width = next(iter(inputs.values())).shape
        tensors = {
            modality.name: torch.from_numpy(inputs[modality.name]).to(device)
            if modality.name in inputs
            else torch.zeros((batch, len(modality.bands), height, width), device=device)
            for modality in segmenter.modalities
        }
        availability = torch.tensor(scenario.members, device=device).expand(batch, -1)
        with torch.inference_mode():
            logits = segmenter(tensors, availability).float()
            probabilities: NDArray[np.float32] = torch.softmax(logits, dim=1).cpu().numpy()
        return probabilities

    return predict
