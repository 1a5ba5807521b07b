"""Options of the text encoders that `transformers` loads, apart from it: reading a recipe needs none of it."""

from __future__ import annotations

from pathlib import Path

from engine.errors import TextEncoderError
from engine.language.contract import EncoderOptions


def is_folder(model: str) -> bool:
    """Whether a model is named by a folder: absolute, beginning with a dot, or deeper than the hub's ``owner/name``."""
    return Path(model).is_absolute() or model.startswith(".") or model.count("/") > 1


class ModelOptions(EncoderOptions):
    """A model.

    Args:
        model: A name on the Hugging Face hub, or a folder: absolute, or beginning with ``.`` and relative to the
            recipe's folder.
        revision: Commit on the hub; the newest where None.
    """

    model: str
    revision: str | None = None

    def check(self) -> None:
        """See :meth:`EncoderOptions.check`: a folder must be there."""
        if is_folder(self.model) and not Path(self.model).is_dir():
            raise TextEncoderError(f"{self.model}: no such folder")

    @property
    def _model(self) -> str:
        """The model without the place of its folder, with the revision."""
        name = Path(self.model).name if is_folder(self.model) else self.model
        return name if self.revision is None else f"{name}@{self.revision}"


class ClipOptions(ModelOptions):
    """Options of the encoder ``clip``: those of a :class:`ModelOptions`.

    The paper does not say which of CLIP's sizes it takes; the one here unless said otherwise has vectors of 512.
    """

    model: str = "openai/clip-vit-base-patch32"

    @property
    def title(self) -> str:
        """See :attr:`EncoderOptions.title`."""
        return f"clip {self._model}"


class SentenceOptions(ModelOptions):
    """Options of the encoder ``sentence_transformers``: those of a :class:`ModelOptions`."""

    @property
    def title(self) -> str:
        """See :attr:`EncoderOptions.title`."""
        return f"sentence_transformers {self._model}"
