"""Sentence encoders in folders of the library sentence-transformers, which are read without it.

N. Reimers and I. Gurevych, "Sentence-BERT", EMNLP 2019. Means weighted by place: N. Muennighoff, "SGPT",
2022. A folder's parts are what the library's documentation says of each; the rest is refused by name.

**Prompts.** What the library's ``encode`` sets before a text of its own accord is set before it here too: the folder's
``default_prompt_name``. Prompts that it merely lists are for queries and the like.

**Padding on the left**, which decoders have: the first, last and n-th token are the text's own, so that no vector
depends on the texts beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoModelForTextEncoding
from transformers.modeling_utils import load_state_dict

from engine.errors import TextEncoderError
from engine.language.loading import find, had, load_model, load_tokenizer, read_json
from engine.language.options import SentenceOptions
from engine.language.pretrained import PretrainedEncoder, Tokens

_ELSE = "Choose another model, or encode with the library sentence-transformers and use the encoder vectors"
_LAYERS = ("Dense", "Normalize")
_FLAGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
"""What older folders call the poolings."""

_HALVED = ("t5", "mt5", "umt5")
"""Transformers that read and write, of which the library takes the half that reads."""

_ACTIVATIONS = {
    kind.__name__: kind()
    for kind in (nn.ELU, nn.GELU, nn.Identity, nn.LeakyReLU, nn.ReLU, nn.SiLU, nn.Sigmoid, nn.Tanh)
}
"""As the library makes them, without arguments."""


def sentence_transformers(options: SentenceOptions) -> PretrainedEncoder:
    """A sentence encoder as the library saves it: a transformer, a pooling, perhaps linear layers and norms.

    Raises:
        TextEncoderError: If it cannot be had, or has other parts.
    """
    options.check()
    name = options.model
    (_, inner), (_, pooling_folder), *rest = _modules(options)
    said = read_json(options, pooling_folder, "config.json")
    pooling, prompt = _pooling(name, said), _prompt(options)
    if prompt and not said.get("include_prompt", True):
        raise TextEncoderError(
            f"{name}: {pooling_folder}/config.json: include_prompt: false, with a prompt by default, is not known. "
            f"{_ELSE}"
        )
    layers = [_dense(options, folder) if kind == "Dense" else _normalized for kind, folder in rest]
    sizes = read_json(options, inner, "sentence_bert_config.json")
    source = {"revision": options.revision, "subfolder": inner}
    tokenizer = load_tokenizer(name, **source, **({"do_lower_case": True} if sizes.get("do_lower_case") else {}))
    half = read_json(options, inner, "config.json").get("model_type") in _HALVED
    model = load_model(name, AutoModelForTextEncoding if half else AutoModel, unused=("pooler.",), **source)
    longest = getattr(model.config, "max_position_embeddings", None)  # T5 has none
    limits = (sizes.get("max_seq_length"), tokenizer.model_max_length, longest)

    def embed(tokens: Tokens) -> Tensor:
        found = pooling(model(**tokens).last_hidden_state, tokens["attention_mask"])
        for layer in layers:
            found = layer(found)
        return found

    limit = min(limit for limit in limits if limit is not None)
    unit = bool(layers) and layers[-1] is _normalized
    return PretrainedEncoder(options.title, tokenizer, limit, embed, unit=unit, prompt=prompt)


def _modules(options: SentenceOptions) -> list[tuple[str, str]]:
    """Kind and folder of each part, in their order."""
    listed = read_json(options, "", "modules.json")
    types, folders = had(
        options.model, lambda: ([str(one["type"]) for one in listed], [str(one["path"]) for one in listed])
    )
    kinds = [one.rpartition(".")[2] for one in types]
    for one, kind in zip(types, kinds, strict=True):
        if not one.startswith("sentence_transformers.") or kind not in ("Transformer", "Pooling", *_LAYERS):
            raise TextEncoderError(f"{options.model}: modules.json: the part {one} is not known. {_ELSE}")
    if kinds[:2] != ["Transformer", "Pooling"] or not set(kinds[2:]) <= set(_LAYERS):
        raise TextEncoderError(
            f"{options.model}: modules.json: has {', '.join(kinds)}; wanted are a Transformer and a Pooling, and then "
            f"only {' and '.join(_LAYERS)}. {_ELSE}"
        )
    return list(zip(kinds, folders, strict=True))


def _prompt(options: SentenceOptions) -> str:
    """What stands before each text."""
    said = read_json(options, "", "config_sentence_transformers.json", needed=False)
    name, prompts = said.get("default_prompt_name"), said.get("prompts") or {}
    if name is None:
        return ""
    if name not in prompts:
        raise TextEncoderError(
            f"{options.model}: config_sentence_transformers.json: default_prompt_name: {name!r} is none of the prompts "
            f"({', '.join(prompts) or 'there are none'}): name one of them, or null"
        )
    return str(prompts[name])


def _first(states: Tensor, mask: Tensor) -> Tensor:
    return states[torch.arange(len(states)), mask.argmax(dim=1)]


def _last(states: Tensor, mask: Tensor) -> Tensor:
    return states[torch.arange(len(states)), mask.cumsum(dim=1).argmax(dim=1)]


def _largest(states: Tensor, mask: Tensor) -> Tensor:
    return states.masked_fill(mask.unsqueeze(-1) == 0, -torch.inf).amax(dim=1)


def _sum(states: Tensor, weights: Tensor) -> Tensor:
    return (states * weights.unsqueeze(-1).to(states.dtype)).sum(dim=1)


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    return _sum(states, mask) / mask.sum(dim=1, keepdim=True)


def _mean_by_root(states: Tensor, mask: Tensor) -> Tensor:
    return _sum(states, mask) / mask.sum(dim=1, keepdim=True).sqrt()


def _mean_by_place(states: Tensor, mask: Tensor) -> Tensor:
    weights = mask.cumsum(dim=1) * mask  # 1 to n
    return _sum(states, weights) / weights.sum(dim=1, keepdim=True)


_POOLINGS = {
    "cls": _first,
    "max": _largest,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_by_root,
    "weightedmean": _mean_by_place,
    "lasttoken": _last,
}


def _pooling(name: str, config: Mapping[str, Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """From states ``[B, T, D]`` and mask ``[B, T]`` to vectors ``[B, D]``."""
    said = config.get("pooling_mode", [mode for mode, key in _FLAGS.items() if config.get(key)])
    modes = [said] if isinstance(said, str) else list(said)
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise TextEncoderError(
            f"{name}: the part Pooling pools by {' and '.join(modes) or 'nothing'}; known is one of "
            f"{', '.join(_POOLINGS)}. {_ELSE}"
        )
    return _POOLINGS[modes[0]]


_normalized = partial(functional.normalize, dim=1)


def _dense(options: SentenceOptions, folder: str) -> Callable[[Tensor], Tensor]:
    """The part Dense: one linear layer and an activation function."""
    said = read_json(options, folder, "config.json")
    where = f"{options.model}: {folder}/config.json"
    path = str(said.get("activation_function", "torch.nn.modules.activation.Tanh"))
    kind = path.rpartition(".")[2]
    if not path.startswith("torch.nn.") or kind not in _ACTIVATIONS:
        raise TextEncoderError(
            f"{where}: activation_function: {path} is none of torch.nn's {', '.join(_ACTIVATIONS)}. {_ELSE}"
        )
    for key, usual in {
        "module_input_name": "sentence_embedding",
        "module_output_name": "sentence_embedding",
        "use_residual": False,
    }.items():
        if said.get(key) not in (None, usual):
            raise TextEncoderError(f"{where}: {key}: {said[key]} is not known; expected {usual}. {_ELSE}")
    weights = _weights(options, folder)
    shapes = {key: list(values.shape) for key, values in weights.items()}
    expected = {"linear.weight": [said.get("out_features"), said.get("in_features")]}
    if said.get("bias", True):
        expected["linear.bias"] = [said.get("out_features")]
    if shapes != expected:
        raise TextEncoderError(f"{where}: the weights beside it are {shapes}; expected {expected}")
    weight, bias = weights["linear.weight"].float(), weights.get("linear.bias")
    activation = _ACTIVATIONS[kind]
    return lambda vectors: activation(functional.linear(vectors, weight, None if bias is None else bias.float()))


def _weights(options: SentenceOptions, folder: str) -> dict[str, Tensor]:
    """Of the file that cannot hold code where there is one; of the other, weights alone are read."""
    found = find(options, folder, "model.safetensors", needed=False) or find(options, folder, "pytorch_model.bin")
    return had(options.model, lambda: load_state_dict(str(found), weights_only=True))
