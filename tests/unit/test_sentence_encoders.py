"""Folders of sentence-transformers: what the library documents of each part, a second time in NumPy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, BertTokenizer, T5Config, T5EncoderModel, T5Model

from engine.data.settings import Named
from engine.errors import TextEncoderError
from engine.language.registry import build_encoder

TEXTS = {"water": "dark and smooth water", "forest": "rough green trees. they cast shade", "sand": "bright sand"}
SHORT = {"water": "dark and smooth water", "sand": "bright sand"}
"""Of 6 and 4 tokens with those for start and end; encoders here take 8."""

Rows = NDArray[np.float32]
POOLED: Mapping[str, Callable[[Rows], Rows]] = {
    "cls": lambda states: states[0],
    "max": lambda states: states.max(axis=0),
    "mean": lambda states: states.mean(axis=0),
    "mean_sqrt_len_tokens": lambda states: states.sum(axis=0) / np.sqrt(len(states)),
    "weightedmean": lambda states: np.average(states, axis=0, weights=np.arange(len(states)) + 1),
    "lasttoken": lambda states: states[-1],
}
"""Of the states of a text's own tokens ``[T, D]``."""

FLAGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def written(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def with_modules(folder: Path, modules: Sequence[tuple[str, str]]) -> None:
    listed = [{"idx": number, "type": kind, "path": path} for number, (kind, path) in enumerate(modules)]
    written(folder / "modules.json", listed)


def sentence_folder(
    folder: Path, pooling: Mapping[str, object], *more: str, layer: str = "", side: str = "right"
) -> Path:
    """A tiny BERT, as sentence-transformers saves one, with more parts behind the pooling."""
    inner = folder / layer
    inner.mkdir(exist_ok=True)
    words = sorted({word for text in TEXTS.values() for word in text.replace(".", " .").split()})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    BertTokenizer(vocab=vocabulary, padding_side=side).save_pretrained(inner)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(tokens), max_position_embeddings=32, **sizes)).save_pretrained(inner)
    parts = [("Transformer", layer), ("Pooling", "1_Pooling")]
    parts += [(part, f"{number}_{part}") for number, part in enumerate(more, 2)]
    with_modules(folder, [(f"sentence_transformers.models.{part}", path) for part, path in parts])
    written(folder / "1_Pooling" / "config.json", pooling)
    written(inner / "sentence_bert_config.json", {"max_seq_length": 8})
    return folder


def encoded(folder: Path, texts: Mapping[str, str] = SHORT) -> Rows:
    encoder = build_encoder(Named(name="sentence_transformers", options={"model": str(folder)}))
    return encoder.encode("optical", texts)


def refusal(folder: Path) -> str:
    with pytest.raises(TextEncoderError) as caught:
        encoded(folder)
    return str(caught.value)


def unit(values: Rows) -> Rows:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def by_hand(folder: Path, text: str, mode: str) -> Rows:
    """One text at a time through the bare transformer, so that nothing is padded."""
    ids = BertTokenizer.from_pretrained(folder)(text)["input_ids"]
    with torch.no_grad():
        states = BertModel.from_pretrained(folder).eval()(torch.tensor([ids])).last_hidden_state[0].numpy()
    return POOLED[mode](states)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("mode", POOLED)
def test_a_sentence_encoder_pools_as_its_folder_says(mode: str, norm: bool, tmp_path: Path) -> None:
    older = {key: name == mode for name, key in FLAGS.items()} | {"word_embedding_dimension": 16}
    folder = sentence_folder(tmp_path, older, *["Normalize"][: int(norm)])
    expected = np.array([by_hand(folder, text, mode) for text in SHORT.values()])
    for config in (older, {"pooling_mode": mode, "embedding_dimension": 16}):
        written(folder / "1_Pooling" / "config.json", config)
        np.testing.assert_allclose(encoded(folder), unit(expected) if norm else expected, atol=1e-6)


@pytest.mark.parametrize("mode", POOLED)
def test_padding_on_the_left_is_not_pooled(mode: str, tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode": mode}, side="left")
    tokens = BertTokenizer.from_pretrained(folder)(list(SHORT.values()), padding=True, return_tensors="pt")
    assert tokens["attention_mask"].tolist() == [[1] * 6, [0, 0, 1, 1, 1, 1]]
    with torch.no_grad():
        states = BertModel.from_pretrained(folder).eval()(**tokens).last_hidden_state.numpy()
    np.testing.assert_allclose(encoded(folder), [POOLED[mode](states[0]), POOLED[mode](states[1, 2:])], atol=1e-6)


def test_a_sentence_encoder_takes_long_texts_in_parts(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode_mean_tokens": True}, "Normalize")
    parts = [unit(by_hand(folder, text, "mean")) for text in ("rough green trees.", "they cast shade")]
    found = encoded(folder, TEXTS)  # the second has 9 tokens, not 8
    np.testing.assert_allclose(found[1], unit(np.mean(parts, axis=0)), atol=1e-6)


def test_a_transformer_in_a_folder_of_its_own_is_found(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode_cls_token": True}, layer="0_Transformer")
    expected = [by_hand(folder / "0_Transformer", text, "cls") for text in SHORT.values()]
    np.testing.assert_allclose(encoded(folder), expected, atol=1e-6)


@pytest.mark.parametrize("kind", [T5Model, T5EncoderModel])
def test_of_a_transformer_that_also_writes_only_the_reader_is_taken(
    kind: type[T5Model | T5EncoderModel], tmp_path: Path
) -> None:
    """T5, saved whole or by half, whose places have no limit."""
    folder = sentence_folder(tmp_path, {"pooling_mode": "mean"})
    config = T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    kind(config).save_pretrained(folder)
    expected = []
    for text in SHORT.values():
        ids = BertTokenizer.from_pretrained(folder)(text)["input_ids"]
        with torch.no_grad():
            states = T5EncoderModel.from_pretrained(folder).eval()(torch.tensor([ids])).last_hidden_state[0]
        expected.append(states.numpy().mean(axis=0))
    np.testing.assert_allclose(encoded(folder), expected, atol=1e-6)


def dense(folder: Path, out: int = 4, *, bias: bool = True, file: str = "model.safetensors", **said: object) -> Rows:
    """A linear layer out of 16 numbers; gives weights and, in the last column, bias."""
    folder.mkdir()
    values = np.random.default_rng(out).normal(size=(out, 17)).astype(np.float32)
    weights = {"linear.weight": torch.tensor(values[:, :16].copy())}
    if bias:
        weights["linear.bias"] = torch.tensor(values[:, 16].copy())
    if file == "model.safetensors":
        save_file(weights, folder / file)
    else:
        torch.save(weights, folder / file)
    written(folder / "config.json", {"in_features": 16, "out_features": out, "bias": bias, **said})
    return values


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("activation", "by_hand_too"),
    [
        ("activation.Tanh", np.tanh),
        ("linear.Identity", lambda values: values),
        ("activation.ReLU", lambda values: np.maximum(values, 0)),
        ("activation.Sigmoid", lambda values: 1 / (1 + np.exp(-values))),
    ],
)
def test_a_dense_part_is_a_linear_layer_with_its_activation(
    activation: str, by_hand_too: Callable[[Rows], Rows], bias: bool, file: str, tmp_path: Path
) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode": "mean"}, "Dense")
    values = dense(folder / "2_Dense", bias=bias, file=file, activation_function=f"torch.nn.modules.{activation}")
    pooled = np.array([by_hand(folder, text, "mean") for text in SHORT.values()])
    expected = by_hand_too(pooled @ values[:, :16].T + (values[:, 16] if bias else 0))
    assert expected.shape == (2, 4)
    np.testing.assert_allclose(encoded(folder), expected, atol=1e-5)


def test_dense_parts_and_norms_follow_one_another(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode": "cls"}, "Normalize", "Dense", "Dense", "Normalize")
    first = dense(folder / "3_Dense", 16, activation_function="torch.nn.modules.linear.Identity")
    second = dense(folder / "4_Dense", 4)  # Tanh, where nothing is said
    pooled = unit(np.array([by_hand(folder, text, "cls") for text in SHORT.values()]))
    between = pooled @ first[:, :16].T + first[:, 16]
    expected = unit(np.tanh(between @ second[:, :16].T + second[:, 16]))
    np.testing.assert_allclose(encoded(folder), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"activation_function": "mine.Tanh"}, "activation_function: mine.Tanh is none of torch.nn's ELU, GELU, Iden"),
        ({"activation_function": "torch.nn.Bilinear"}, "activation_function: torch.nn.Bilinear is none of torch.nn's"),
        ({"use_residual": True}, "use_residual: True is not known; expected False"),
        ({"module_input_name": "token_embeddings"}, "module_input_name: token_embeddings is not known"),
        ({"out_features": 5}, "the weights beside it are {'linear.bias': [4], 'linear.weight': [4, 16]}; expected {'"),
        ({"bias": False}, "the weights beside it are {'linear.bias': [4], 'linear.weight': [4, 16]}; expected {'"),
    ],
)
def test_another_dense_part_is_refused_by_key(said: dict[str, object], message: str, tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode": "mean"}, "Dense")
    dense(folder / "2_Dense")
    config = json.loads((folder / "2_Dense" / "config.json").read_text(encoding="utf-8"))
    written(folder / "2_Dense" / "config.json", config | said)
    assert f"{folder}: 2_Dense/config.json: {message}" in refusal(folder)


class Code:
    """What runs when a pickle is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code ran",)


def test_a_dense_part_that_holds_code_is_refused_and_does_not_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode": "mean"}, "Dense")
    dense(folder / "2_Dense", file="pytorch_model.bin")
    torch.save({"linear.weight": Code()}, folder / "2_Dense" / "pytorch_model.bin")
    assert "its file of weights holds something else too, or is damaged" in refusal(folder)
    assert "code ran" not in capfd.readouterr().out


def test_the_default_prompt_stands_before_every_part_of_a_text(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode": "mean"}, "Normalize")
    prompts = {"prompts": {"query": "green ", "about": "bright "}, "default_prompt_name": "about"}
    written(folder / "config_sentence_transformers.json", prompts)
    texts = {"water": "dark and smooth water", "trees": "rough green trees. they cast"}  # 8 tokens; 9 with the prompt
    parts = [unit(by_hand(folder, text, "mean")) for text in ("bright rough green trees.", "bright they cast")]
    expected = [unit(by_hand(folder, "bright dark and smooth water", "mean")), unit(np.mean(parts, axis=0))]
    np.testing.assert_allclose(encoded(folder, texts), expected, atol=1e-6)


@pytest.mark.parametrize("said", [{}, {"prompts": {"query": "green "}, "default_prompt_name": None}])
def test_a_prompt_that_is_no_default_is_not_used(said: dict[str, object], tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode": "mean", "include_prompt": False})
    written(folder / "config_sentence_transformers.json", said)
    expected = [by_hand(folder, text, "mean") for text in SHORT.values()]
    np.testing.assert_allclose(encoded(folder), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("said", "include", "message"),
    [
        (
            {"prompts": {"query": "green "}, "default_prompt_name": "text"},
            True,
            "'text' is none of the prompts (query)",
        ),
        ({"default_prompt_name": "text"}, True, "default_prompt_name: 'text' is none of the prompts (there are none)"),
        (
            {"prompts": {"query": "green "}, "default_prompt_name": "query"},
            False,
            "1_Pooling/config.json: include_prompt: false, with a prompt by default, is not known",
        ),
    ],
)
def test_a_prompt_that_cannot_be_set_is_refused(
    said: dict[str, object], include: bool, message: str, tmp_path: Path
) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode": "mean", "include_prompt": include})
    written(folder / "config_sentence_transformers.json", said)
    assert message in refusal(folder)


@pytest.mark.parametrize(
    "config", [{"pooling_mode": "middle"}, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, {}]
)
def test_other_poolings_are_refused(config: dict[str, object], tmp_path: Path) -> None:
    assert "known is one of cls, max, mean, mean_sqrt_len_tokens" in refusal(sentence_folder(tmp_path, config))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["sentence_transformers.models.LayerNorm"], "the part sentence_transformers.models.LayerNorm is not known"),
        (["mine.models.Dense"], "the part mine.models.Dense is not known"),
        (["sentence_transformers.models.Pooling"], "has Transformer, Pooling, Pooling; wanted are"),
    ],
)
def test_other_parts_of_a_sentence_encoder_are_refused_by_name(parts: list[str], message: str, tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode": "mean"})
    usual = [("sentence_transformers.models.Transformer", ""), ("sentence_transformers.models.Pooling", "1_Pooling")]
    with_modules(folder, [*usual, *((part, "2_More") for part in parts)])
    assert f"{folder}: modules.json: {message}" in refusal(folder)
    with_modules(folder, usual[::-1])
    assert "has Pooling, Transformer; wanted are" in refusal(folder)


def test_a_sentence_encoder_may_lack_the_layer_that_is_not_used_and_no_other(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode_cls_token": True})
    weights = {key: one for key, one in load_file(folder / "model.safetensors").items() if "pooler" not in key}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    expected = [by_hand(folder, text, "cls") for text in SHORT.values()]
    np.testing.assert_allclose(encoded(folder), expected, atol=1e-6)
    del weights["encoder.layer.0.output.dense.bias"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert "lacks 1 weights of a BertModel, as encoder.layer.0.output" in refusal(folder)


def test_loading_says_nothing(tmp_path: Path) -> None:
    """No bar, and no report on weights that are not used."""
    folder = sentence_folder(tmp_path, {"pooling_mode_cls_token": True})
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"more.weight": torch.ones(2)}, folder / "model.safetensors", {"format": "pt"})
    asked = (
        "from engine.data.settings import Named; from engine.language.registry import build_encoder;"
        f"build_encoder(Named(name='sentence_transformers', options={{'model': {str(folder)!r}}}))"
    )
    ended = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("", "")
