"""Text encoders of `transformers`, and CLIP's, as in the paper.

A. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021.

**Long texts.** An encoder takes so many tokens (CLIP 77) and would cut off the rest, which may be just what sets two
classes apart. A text that does not fit is therefore taken in parts, as many whole sentences at a time as fit, and the
parts' vectors are averaged, as CLIP's authors average those of several prompts (section 3.1.4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import CLIPConfig, CLIPTextConfig, CLIPTextModelWithProjection

from engine.errors import TextEncoderError
from engine.language.contract import TextEncoder
from engine.language.loading import had, load_model, load_tokenizer
from engine.language.options import ClipOptions

_BATCH = 64

Tokens = Mapping[str, Tensor]
_Tokenizer = Callable[..., Mapping[str, Any]]


class PretrainedEncoder(TextEncoder):
    """A tokenizer and a network, held at their weights.

    Args:
        name: For a run's papers.
        tokenizer: Of `transformers`.
        limit: Most tokens of a text, with those for start and end.
        embed: From tokens ``[B, T]`` (``input_ids``, ``attention_mask`` ...) to vectors ``[B, D]``.
        unit: Whether vectors are of length 1; averages are then made so.
        prompt: What is set before each text.
    """

    def __init__(
        self,
        name: str,
        tokenizer: _Tokenizer,
        limit: int,
        embed: Callable[[Tokens], Tensor],
        *,
        unit: bool,
        prompt: str = "",
    ) -> None:
        self.name = name
        self._tokenizer = tokenizer
        self._limit = limit
        self._embed = embed
        self._unit = unit
        self._prompt = prompt

    def encode(self, kind: str, texts: Mapping[str, str]) -> NDArray[np.float32]:
        parts = [self._parts(text, f"{kind} of {name}") for name, text in texts.items()]
        vectors = self._vectors([part for some in parts for part in some])
        each = torch.split_with_sizes(vectors, [len(some) for some in parts])
        means = torch.stack([some.mean(dim=0) for some in each])
        return (functional.normalize(means, dim=1) if self._unit else means).numpy()

    def _vectors(self, parts: Sequence[str]) -> Tensor:
        batches = [parts[start : start + _BATCH] for start in range(0, len(parts), _BATCH)]
        with torch.inference_mode():
            return torch.cat([self._embed(self._tokens(b, padding=True, return_tensors="pt")) for b in batches])

    def _tokens(self, parts: Sequence[str], **how: object) -> Mapping[str, Any]:
        return self._tokenizer([self._prompt + part for part in parts], **how)

    def _parts(self, text: str, where: str) -> list[str]:
        """The text, or runs of its sentences that fit."""
        parts: list[str] = []
        sentences = [text] if self._fits(text) else re.split(r"(?<=[.!?;])\s+", text.strip())
        for sentence in sentences:
            if not self._fits(sentence):
                raise TextEncoderError(
                    f"{self.name}: {where}: a sentence is longer than the {self._limit} tokens that it takes; split "
                    f"it: {sentence!r}"
                )
            if parts and self._fits(f"{parts[-1]} {sentence}"):
                parts[-1] += f" {sentence}"
            else:
                parts.append(sentence)
        return parts

    def _fits(self, text: str) -> bool:
        return len(self._tokens([text], verbose=False)["input_ids"][0]) <= self._limit


def clip(options: ClipOptions) -> PretrainedEncoder:
    """CLIP's text tower with its projection: unit vectors of the token that ends a text.

    Raises:
        TextEncoderError: If it cannot be had, or is no CLIP.
    """
    options.check()
    name = options.model
    tokenizer = load_tokenizer(name, revision=options.revision)
    config = _text_config(options)
    model = load_model(name, CLIPTextModelWithProjection, revision=options.revision, config=config)

    def embed(tokens: Tokens) -> Tensor:
        found: Tensor = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).text_embeds
        return functional.normalize(found, dim=1)

    return PretrainedEncoder(options.title, tokenizer, model.config.max_position_embeddings, embed, unit=True)


def _text_config(options: ClipOptions) -> CLIPTextConfig:
    """That of a text tower, or the one within CLIP's, whose projection is as wide as the whole says.

    LAION's folders say so there alone; within, the default stands.
    """
    said, _ = had(options.model, lambda: CLIPConfig.get_config_dict(options.model, revision=options.revision))
    if "text_config" not in said:
        return had(options.model, lambda: CLIPTextConfig.from_dict(said))
    whole = had(options.model, lambda: CLIPConfig.from_dict(said))
    text = cast(CLIPTextConfig, whole.text_config)
    text.projection_dim = whole.projection_dim
    return text
