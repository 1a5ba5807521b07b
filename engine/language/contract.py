"""What a text encoder is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


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
