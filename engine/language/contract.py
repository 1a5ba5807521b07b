"""What a text encoder is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engine.data.settings import Settings


class EncoderOptions(Settings):
    """Options of a text encoder."""

    @property
    def title(self) -> str | None:
        """What the encoder is, without loading it; None where only its file says."""
        return None

    def check(self) -> None:
        """Refuses what cannot be loaded, as far as that can be seen without loading it.

        Raises:
            TextEncoderError: If so.
        """


class TextEncoder(ABC):
    """Vectors of texts.

    Args:
        name: What it is, for a run's papers: its kind, and the weights or file.
    """

    name: str

    @abstractmethod
    def encode(self, kind: str, texts: Mapping[str, str]) -> NDArray[np.float32]:
        """The texts' vectors ``[K, D]``, in their order.

        Args:
            kind: One of :data:`~engine.language.descriptions.KINDS`.
            texts: By the name of the class.

        Raises:
            TextEncoderError: If there is no vector for a text; the message names kind and class.
        """
