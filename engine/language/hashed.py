"""Vectors of texts without a language model, for tests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import TextEncoderError
from engine.language.contract import EncoderOptions, TextEncoder

_BUCKETS = 4096
_WIDTH = 512
_LETTERS = (3, 4, 5)


class HashedOptions(EncoderOptions):
    """Options of the encoder ``hashed``.

    Args:
        seed: Of the projection.
    """

    seed: int = Field(default=0, ge=0)

    @property
    def title(self) -> str:
        """See :attr:`EncoderOptions.title`."""
        return f"hashed n-grams, seed {self.seed} (for tests)"


class HashedEncoder(TextEncoder):
    """Words and runs of 3 to 5 letters, hashed and projected at random to unit vectors of length 512.

    For unit tests only. It knows which texts share words and nothing of what words mean; **no figure that was reached
    with it is LVPCnet's**, whose method rests on a language model.
    """

    def __init__(self, options: HashedOptions) -> None:
        self.name = options.title
        self._projection = np.random.default_rng(options.seed).standard_normal((_BUCKETS, _WIDTH))

    def encode(self, kind: str, texts: Mapping[str, str]) -> NDArray[np.float32]:
        counts = np.zeros((len(texts), _BUCKETS))
        for row, text in zip(counts, texts.values(), strict=True):
            for gram in _grams(text):
                bucket, sign = _hashed(gram)
                row[bucket] += sign
        empty = [name for name, row in zip(texts, counts, strict=True) if not row.any()]
        if empty:
            raise TextEncoderError(f"{kind} of {', '.join(empty)}: the text has no letter or digit; describe the class")
        vectors = np.sign(counts) * np.log1p(np.abs(counts)) @ self._projection
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _grams(text: str) -> Iterator[str]:
    for word in re.findall(r"\w+", text.casefold()):
        yield word
        padded = f"<{word}>"
        for size in _LETTERS:
            yield from (padded[start : start + size] for start in range(len(padded) - size + 1))


def _hashed(gram: str) -> tuple[int, int]:
    """Bucket and sign; the sign makes collisions cancel out on average."""
    number = int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=8).digest(), "little")
    return (number >> 1) % _BUCKETS, 1 if number & 1 else -1
