"""Vision transformers a second time, in NumPy and double precision."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

Tokens = NDArray[np.float64]
ByHand = Callable[..., Tokens]


def attention(block: torch.nn.Module, tokens: Tokens, heads: int) -> Tokens:
    """Multi-head attention of [T, d] by loops over heads."""
    state = {key: value.detach().double().numpy() for key, value in block.state_dict().items()}
    asked = tokens @ state["ask.weight"].T + state["ask.bias"]
    keys, values = np.split(tokens @ state["offer.weight"].T + state["offer.bias"], 2, axis=1)
    size = tokens.shape[1] // heads
    found = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = asked[:, part] @ keys[:, part].T / math.sqrt(size)
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(chances / chances.sum(axis=1, keepdims=True) @ values[:, part])
    return np.concatenate(found, axis=1) @ state["out.weight"].T + state["out.bias"]


def normed(tokens: Tokens, norm: torch.nn.LayerNorm) -> Tokens:
    """Layer norm of each token."""
    centred = tokens - tokens.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt(centred.var(axis=1, keepdims=True) + 1e-6)
    return scaled * norm.weight.detach().double().numpy() + norm.bias.detach().double().numpy()


def transformer(module: torch.nn.Module, tokens: Tokens, heads: int, prompts: Tokens | None = None) -> Tokens:
    """Pre-norm blocks on [T, d]; GELU by the error function; prompts [L, P, d] behind the first token of each block."""
    for number, block in enumerate(module.blocks):
        if prompts is not None:
            tokens = np.concatenate([tokens[:1], prompts[number], tokens[1:]])
        tokens = tokens + attention(block.attention, normed(tokens, block.first_norm), heads)
        first, _, second = block.perceptron
        hidden = normed(tokens, block.second_norm) @ first.weight.detach().double().numpy().T
        hidden = hidden + first.bias.detach().double().numpy()
        hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        tokens = tokens + hidden @ second.weight.detach().double().numpy().T + second.bias.detach().double().numpy()
        if prompts is not None:
            tokens = np.concatenate([tokens[:1], tokens[1 + prompts.shape[1] :]])
    return normed(tokens, module.norm)


def stem(module: torch.nn.Module, window: Tokens) -> Tokens:
    """Tokens [w * w, d] of a window [C, w, w] by a stem in evaluation mode, with patches of 1."""
    state = {key: value.detach().double().numpy() for key, value in module.state_dict().items()}
    values = window.reshape(len(window), -1)
    for place in (0, 3):
        values = state[f"bands.{place}.weight"][:, :, 0, 0] @ values + state[f"bands.{place}.bias"][:, None]
        norm = f"bands.{place + 1}."
        scale = state[norm + "weight"] / np.sqrt(state[norm + "running_var"] + 1e-5)
        values = (values - state[norm + "running_mean"][:, None]) * scale[:, None] + state[norm + "bias"][:, None]
        values = np.maximum(values, 0)
    return (state["patch.weight"][:, :, 0, 0] @ values + state["patch.bias"][:, None]).T


@pytest.fixture
def transformer_by_hand() -> ByHand:
    """:func:`transformer`."""
    return transformer


@pytest.fixture
def stem_by_hand() -> ByHand:
    """:func:`stem`."""
    return stem
