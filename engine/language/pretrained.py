"""Text encoders of `transformers`: CLIP's, as in the paper, and sentence encoders.

CLIP: A. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021. Sentence
encoders: N. Reimers and I. Gurevych, "Sentence-BERT", EMNLP 2019; their folders are read without that library.

**Long texts.** An encoder takes so many tokens (CLIP 77) and would cut off the rest, which may be just what sets two
classes apart. A text that does not fit is therefore taken in parts, as many whole sentences at a time as fit, and the
parts' vectors are averaged, as CLIP's authors average those of several prompts (section 3.1.4).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, CLIPConfig, CLIPTextConfig, CLIPTextModelWithProjection
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from engine.errors import TextEncoderError
from engine.language.contract import TextEncoder
from engine.language.options import ClipOptions, SentenceOptions, is_folder

_BATCH = 64
_POOLINGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
"""What older folders call the poolings."""

_T = TypeVar("_T")
_Tokens = Mapping[str, Tensor]
_Tokenizer = Callable[..., Mapping[str, Any]]


class PretrainedEncoder(TextEncoder):
    """A tokenizer and a network, held at their weights.

    Args:
        name: For a run's papers.
        tokenizer: Of `transformers`.
        limit: Most tokens of a text, with those for start and end.
        embed: From tokens ``[B, T]`` (``input_ids``, ``attention_mask`` ...) to vectors ``[B, D]``.
        unit: Whether vectors are of length 1; averages are then made so.
    """

    def __init__(
        self, name: str, tokenizer: _Tokenizer, limit: int, embed: Callable[[_Tokens], Tensor], *, unit: bool
    ) -> None:
        self.name = name
        self._tokenizer = tokenizer
        self._limit = limit
        self._embed = embed
        self._unit = unit

    def encode(self, kind: str, texts: Mapping[str, str]) -> NDArray[np.float32]:
        parts = [self._parts(text, f"{kind} of {name}") for name, text in texts.items()]
        vectors = self._vectors([part for some in parts for part in some])
        each = torch.split_with_sizes(vectors, [len(some) for some in parts])
        means = torch.stack([some.mean(dim=0) for some in each])
        return (functional.normalize(means, dim=1) if self._unit else means).numpy()

    def _vectors(self, parts: Sequence[str]) -> Tensor:
        batches = [parts[start : start + _BATCH] for start in range(0, len(parts), _BATCH)]
        with torch.inference_mode():
            return torch.cat([self._embed(self._tokenizer(b, padding=True, return_tensors="pt")) for b in batches])

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
        return len(self._tokenizer(text, verbose=False)["input_ids"]) <= self._limit


def clip(options: ClipOptions) -> PretrainedEncoder:
    """CLIP's text tower with its projection: unit vectors of the token that ends a text.

    Raises:
        TextEncoderError: If it cannot be had, or is no CLIP.
    """
    options.check()
    name = options.model
    tokenizer = _tokenizer(name, revision=options.revision)
    config = _text_config(options)
    model = _model(name, CLIPTextModelWithProjection, revision=options.revision, config=config)

    def embed(tokens: _Tokens) -> Tensor:
        found: Tensor = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).text_embeds
        return functional.normalize(found, dim=1)

    return PretrainedEncoder(options.title, tokenizer, model.config.max_position_embeddings, embed, unit=True)


def _text_config(options: ClipOptions) -> CLIPTextConfig:
    """That of a text tower, or the one within CLIP's, whose projection is as wide as the whole says.

    LAION's folders say so there alone; within, the default stands.
    """
    said, _ = _had(options.model, lambda: CLIPConfig.get_config_dict(options.model, revision=options.revision))
    if "text_config" not in said:
        return _had(options.model, lambda: CLIPTextConfig.from_dict(said))
    whole = _had(options.model, lambda: CLIPConfig.from_dict(said))
    text = cast(CLIPTextConfig, whole.text_config)
    text.projection_dim = whole.projection_dim
    return text


def sentence_transformers(options: SentenceOptions) -> PretrainedEncoder:
    """A sentence encoder as the library sentence-transformers saves it: a transformer, a pooling, perhaps a norm.

    Raises:
        TextEncoderError: If it cannot be had, or has other parts.
    """
    options.check()
    name = options.model
    modules = _modules(options)
    pooling = _pooling(name, _json(options, modules["Pooling"], "config.json"))
    sizes = _json(options, modules["Transformer"], "sentence_bert_config.json")
    source = {"revision": options.revision, "subfolder": modules["Transformer"]}
    tokenizer = _tokenizer(name, **source, **({"do_lower_case": True} if sizes.get("do_lower_case") else {}))
    model = _model(name, AutoModel, unused=("pooler.",), **source)
    limits = (sizes.get("max_seq_length"), tokenizer.model_max_length, model.config.max_position_embeddings)
    unit = "Normalize" in modules

    def embed(tokens: _Tokens) -> Tensor:
        found = pooling(model(**tokens).last_hidden_state, tokens["attention_mask"])
        return functional.normalize(found, dim=1) if unit else found

    limit = min(limit for limit in limits if limit is not None)
    return PretrainedEncoder(options.title, tokenizer, limit, embed, unit=unit)


def _modules(options: SentenceOptions) -> dict[str, str]:
    """The folder of each part, by the part's name."""
    listed = _json(options, "", "modules.json")
    modules = _had(options.model, lambda: {one["type"].rpartition(".")[2]: str(one["path"]) for one in listed})
    if not {"Transformer", "Pooling"} <= set(modules) <= {"Transformer", "Pooling", "Normalize"}:
        raise TextEncoderError(
            f"{options.model}: modules.json: has {', '.join(modules)}; wanted are a Transformer, a Pooling and at most "
            "a Normalize. Choose another model, or encode with the library itself and use the encoder vectors"
        )
    return modules


def _first(states: Tensor, _mask: Tensor) -> Tensor:
    return states[:, 0]


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def _largest(states: Tensor, mask: Tensor) -> Tensor:
    return states.masked_fill(mask.unsqueeze(-1) == 0, -torch.inf).amax(dim=1)


def _pooling(name: str, config: Mapping[str, Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """From states ``[B, T, D]`` and mask ``[B, T]`` to vectors ``[B, D]``."""
    known = {"cls": _first, "mean": _mean, "max": _largest}
    said = config.get("pooling_mode", [mode for mode, key in _POOLINGS.items() if config.get(key)])
    modes = [said] if isinstance(said, str) else list(said)
    if len(modes) != 1 or modes[0] not in known:
        raise TextEncoderError(
            f"{name}: pools by {' and '.join(modes) or 'nothing'}; known is one of {', '.join(known)}. Choose another "
            "model, or encode with the library sentence-transformers and use the encoder vectors"
        )
    return known[modes[0]]


def _json(options: SentenceOptions, folder: str, file: str) -> Any:  # noqa: ANN401 (whatever stands in the file)
    path = f"{folder}/{file}" if folder else file
    found = _had(options.model, lambda: cached_file(options.model, path, revision=options.revision))
    return _had(options.model, lambda: json.loads(Path(str(found)).read_text(encoding="utf-8")))


def _tokenizer(name: str, **source: object) -> Any:  # noqa: ANN401 (transformers gives one of many classes)
    return _had(name, lambda: cast(Any, AutoTokenizer).from_pretrained(name, **source))


def _model(name: str, kind: type, unused: tuple[str, ...] = (), **source: object) -> Any:  # noqa: ANN401
    """A model none of whose weights were drawn at random for want of others, but for those that go ``unused``."""
    load = cast(Any, kind).from_pretrained
    how = {"dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True}
    model, found = _had(name, lambda: load(name, **source, **how))
    others = sorted(one for one in found["mismatched_keys"] if not one[0].startswith(unused))
    if others:
        key, there, wanted = others[0]
        raise TextEncoderError(
            f"{name}: {key}: its weights are of shape {list(there)}; expected {list(wanted)} by its config.json: the "
            "two do not belong together"
        )
    missing = sorted(key for key in found["missing_keys"] if not key.startswith(unused))
    if missing:
        raise TextEncoderError(
            f"{name}: lacks {len(missing)} weights of a {type(model).__name__}, as {missing[0]}: it is another model"
        )
    return model.eval().requires_grad_(False)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps `transformers` from drawing a bar and the hub's client from telling of each try: errors say it all."""
    shown = transformers_logging.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _had(name: str, load: Callable[[], _T]) -> _T:
    """What ``load`` gives.

    Raises:
        TextEncoderError: If that is an error; of a model on the hub the message says how else to come by it.
    """
    try:
        with _quietly():
            return load()
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if not is_folder(name):
            reason += (
                "\nGive model a folder that holds it. Without internet, fetch it on another machine (hf download "
                f"{name} --local-dir FOLDER), or use the encoder minilm, or vectors that were made elsewhere"
            )
        raise TextEncoderError(f"{name}: cannot be loaded: {reason}") from error
