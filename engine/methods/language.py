"""Language-visual alignment: features are drawn to the text of their class, those of a missing sensor too.

"Language-Guided Visual Prompt Compensation for Multi-Modal Remote Sensing Image Classification with Modality Absence"
(ACM MM 2024, anonymous draft); equations by its numbers, the network is `lvpcnet`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def alignment(features: Tensor, labels: Tensor, texts: Tensor, temperature: float) -> Tensor:
    """Contrast of features with the texts of all samples, both ways (equation 4, mean over the samples).

    Texts are by class, so that a sample's sum over the texts of a batch is one over classes, weighted by how often they
    occur; classes that do not occur take no part.

    Args:
        features: ``[N, D]``.
        labels: ``[N]`` class indices.
        texts: ``[K, D]``.
        temperature: Tau.
    """
    seen, words = F.normalize(features.float(), dim=1), F.normalize(texts.float(), dim=1)
    likeness = seen @ words.T / temperature  # (N, K)
    counts = torch.bincount(labels, minlength=len(texts))
    there = counts > 0
    among_texts = likeness[:, there] + counts[there].log()
    right = likeness.gather(1, labels[:, None])[:, 0]
    to_text = right - among_texts.logsumexp(dim=1)
    to_features = right - likeness.logsumexp(dim=0)[labels]
    return -(to_text + to_features).mean()
