"""CBC's attention: a transformer block over tokens, and the correlation between modalities.

Steps 4, 5 and 7 of the network; see `engine/networks/cbc.py`, which states the departures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Attention and perceptron over tokens ``[B, N, C]``, each behind a layer norm and added to its input.

    What attention gives is dropped out twice, as published: by the attention itself, and by what adds it.

    Args:
        width: C.
        heads: Of the attention.
        dropout: Rate of every dropout.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.dropout = nn.Sequential(nn.Dropout(dropout), nn.Dropout(dropout))
        self.rate = dropout
        self.mlp = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width), nn.Dropout(dropout)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """``[B, N, C]`` of the same."""
        batch, count, width = tokens.shape
        parts = self.qkv(self.norm1(tokens)).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        rate = self.rate if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=rate)
        tokens = tokens + self.dropout(self.proj(mixed.transpose(1, 2).reshape(batch, count, width)))
        added: Tensor = tokens + self.mlp(self.norm2(tokens))
        return added


def correlated(volumes: Sequence[Tensor], there: Tensor) -> list[Tensor]:
    """Each modality as a mixture of all modalities' values, at each channel and voxel by itself.

    The gate of a value is the softmax over the M modalities of ``q_t * k_i / sqrt(M)``. A missing modality still offers
    keys and values, which then hold no more than biases and positions.

    Args:
        volumes: For each modality ``[B, 3 C, g, g, g]``: queries, keys and values.
        there: ``[B, M]``; what a missing modality would get is zero.

    Returns:
        For each modality ``[B, C, g, g, g]``.
    """
    parts = [volume.chunk(3, dim=1) for volume in volumes]
    queries, keys, values = (torch.stack([part[place] for part in parts]) for place in range(3))
    found = []
    for number, query in enumerate(queries):
        gates = torch.softmax(query * keys / len(parts) ** 0.5, dim=0)
        found.append((gates * values).sum(dim=0) * there[:, number, None, None, None, None])
    return found
