"""Vectors of classes: what a training keeps of the texts. A network that has them needs neither text nor encoder."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import TextEncoderError
from engine.files import writing
from engine.language.contract import EncoderOptions, TextEncoder
from engine.language.descriptions import KINDS, plain_name

CLASS_VECTORS = "class-vectors.npz"
"""The file of a run."""

_CLASSES, _ENCODER, _LEGEND, _DIGEST, _TEXT = "classes", "encoder", "legend", "digest", "text_"
_SHORTEST = 1e-12
"""Length from which PyTorch scales a vector to 1."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ClassVectors:
    """For each kind of text the vectors of all classes, which cannot change.

    Args:
        classes: K names.
        kinds: By kind ``[K, D]``, each of a length that float32 holds and that is not zero; one D for all.
        encoder: What made them.
        legend: Name of the legend whose texts they are of; empty where it is not known.
        texts: By kind the K texts, for whoever reads the file; none where they are not known.

    Raises:
        TextEncoderError: If shapes, values or the count of texts are others.
    """

    classes: tuple[str, ...]
    kinds: Mapping[str, Vectors]
    encoder: str
    legend: str = ""
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.kinds:
            raise TextEncoderError(f"{self.encoder}: no kind of text has vectors")
        kept = {kind: _single(kind, values, self.classes) for kind, values in self.kinds.items()}
        widths = {kind: values.shape[1] for kind, values in kept.items()}
        if len(set(widths.values())) > 1:
            raise TextEncoderError(f"{self.encoder}: vectors are of different lengths: {widths}")
        for kind, texts in self.texts.items():
            if len(texts) != len(self.classes):
                raise TextEncoderError(
                    f"{kind}: found {len(texts)} texts; expected one for each of {', '.join(self.classes)}, or none"
                )
        object.__setattr__(self, "kinds", MappingProxyType(kept))

    @property
    def width(self) -> int:
        """D."""
        return int(next(iter(self.kinds.values())).shape[1])

    @property
    def digest(self) -> str:
        """SHA-256 of classes, kinds, vectors and the encoder's name."""
        digest = hashlib.sha256(repr((self.classes, self.encoder)).encode())
        for kind in sorted(self.kinds):
            digest.update(f"{kind} {self.kinds[kind].shape}".encode())
            digest.update(self.kinds[kind].astype("<f4").tobytes())
        return digest.hexdigest()

    @property
    def origin(self) -> str:
        """Where they come from, for a model's papers."""
        texts = f"texts of {self.legend}" if self.legend else "texts"
        return f"{texts} by {self.encoder}, vectors {self.digest[:16]}"

    def save(self, path: Path) -> None:
        """Writes an .npz file: ``classes``, an array for each kind, its texts, ``encoder``, ``legend`` and ``digest``.

        Raises:
            OutputError: If it cannot be written; what stood there stays.
        """
        texts = {_TEXT + kind: list(texts) for kind, texts in self.texts.items()}
        about = {_CLASSES: self.classes, _ENCODER: self.encoder, _LEGEND: self.legend, _DIGEST: self.digest}
        arrays: dict[str, Any] = {**self.kinds, **texts, **about}
        with writing(path) as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> ClassVectors:
        """Reads what :meth:`save` wrote, or a file with ``classes`` and an array for each kind only.

        Raises:
            TextEncoderError: If the file cannot be read, its vectors have a wrong shape, or they are not those that
                were saved.
        """
        arrays = _arrays(path)
        return _checked(path, arrays, _kinds(arrays))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """What of a file is known here; other arrays are not read."""
    known = (*KINDS, *(_TEXT + kind for kind in KINDS), _CLASSES, _ENCODER, _LEGEND, _DIGEST)
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            found, arrays = list(file), {name: file[name] for name in known if name in file}
    except FileNotFoundError as error:
        raise TextEncoderError(f"{path}: no such file") from error
    except OSError as error:
        raise TextEncoderError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, AttributeError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise TextEncoderError(f"{path}: is no .npz file of plain arrays, or a damaged one") from error
    if _CLASSES not in arrays:
        raise TextEncoderError(f"{path}: has no array {_CLASSES!r} with the names of the rows; found {found}")
    return arrays


def _kinds(arrays: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    return tuple(kind for kind in KINDS if kind in arrays)


def _checked(path: Path, arrays: Mapping[str, NDArray[Any]], asked: Sequence[str]) -> ClassVectors:
    """Vectors of the kinds that are asked for; of all kinds, as they were saved, where a digest tells."""
    kinds = _kinds(arrays) if _DIGEST in arrays else asked
    classes = tuple(str(name) for name in arrays[_CLASSES].ravel())
    encoder, legend = str(arrays.get(_ENCODER, f"vectors {path.name}")), str(arrays.get(_LEGEND, ""))
    texts = {kind: arrays[_TEXT + kind].ravel().tolist() for kind in kinds if _TEXT + kind in arrays}
    try:
        read = ClassVectors(classes, {kind: arrays[kind] for kind in kinds}, encoder, legend, texts)
    except TextEncoderError as error:
        raise TextEncoderError(f"{path}: {error}") from error
    if _DIGEST in arrays and str(arrays[_DIGEST]) != read.digest:
        raise TextEncoderError(f"{path}: its vectors are not those that were saved; make the file anew")
    return read


def _single(kind: str, values: NDArray[np.generic], classes: Sequence[str]) -> Vectors:
    """A copy in single precision, in which networks have them, that cannot change."""
    if not np.issubdtype(values.dtype, np.floating) or values.ndim != 2 or values.shape[0] != len(classes):
        raise TextEncoderError(
            f"{kind}: found {values.dtype} of shape {values.shape}; expected [{len(classes)}, D] floating-point "
            f"numbers, a row for each of {', '.join(classes)}"
        )
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # what does not fit is told below
        kept = np.array(values, np.float32)
        norms = np.linalg.norm(kept, axis=1)
    wrong = [name for name, norm in zip(classes, norms, strict=True) if not np.isfinite(norm) or norm < _SHORTEST]
    if wrong:
        raise TextEncoderError(
            f"{kind}: the vector of {', '.join(wrong)} is not finite, or its length below {_SHORTEST} or beyond single "
            "precision: scale it"
        )
    kept.setflags(write=False)
    return kept


class VectorOptions(EncoderOptions):
    """Options of the encoder ``vectors``.

    Args:
        path: An .npz file: ``classes`` with K names, and for each kind of text an array ``[K, D]``.
    """

    path: Path


class PrecomputedVectors(TextEncoder):
    """Looks up vectors that were made elsewhere, by any encoder; texts that it is given are not read.

    Classes go by name, whatever its case and punctuation. What a file holds beyond what is asked for may be anything.

    Args:
        options: Where they are.

    Attributes:
        legend: Name of the legend that they were made of; empty where the file does not say.

    Raises:
        TextEncoderError: If the file cannot be read, or names a class twice.
    """

    def __init__(self, options: VectorOptions) -> None:
        self._path = options.path
        self._arrays = _arrays(options.path)
        self.name = str(self._arrays.get(_ENCODER, f"vectors {options.path.name}"))
        self.legend = str(self._arrays.get(_LEGEND, ""))
        self._rows = [str(name) for name in self._arrays[_CLASSES].ravel()]
        plain = [plain_name(name) for name in self._rows]
        twice = sorted(name for name in self._rows if plain.count(plain_name(name)) > 1)
        if twice:
            raise TextEncoderError(f"{options.path}: classes: {twice[0]} stands there twice")

    def encode(self, kind: str, texts: Mapping[str, str]) -> Vectors:
        found, rows = self._found(kind, texts)
        return found.kinds[kind][rows]

    def texts(self, kind: str, classes: Collection[str]) -> tuple[str, ...]:
        """What the vectors of classes were made of; nothing where the file does not say.

        Args:
            kind: One of :data:`~engine.language.descriptions.KINDS`.
            classes: Their names.

        Raises:
            TextEncoderError: If there is no vector for a class.
        """
        found, rows = self._found(kind, classes)
        return tuple(found.texts[kind][row] for row in rows) if kind in found.texts else ()

    def _found(self, kind: str, classes: Collection[str]) -> tuple[ClassVectors, list[int]]:
        """What the file has of a kind, and the rows of classes."""
        there = _kinds(self._arrays)
        if kind not in there:
            raise TextEncoderError(f"{self._path}: has no vectors for {kind}; it has {', '.join(there)}")
        rows = {plain_name(name): row for row, name in enumerate(self._rows)}
        missing = [name for name in classes if plain_name(name) not in rows]
        if missing:
            raise TextEncoderError(
                f"{self._path}: no vector for class {', '.join(missing)}; it has {', '.join(self._rows)}"
            )
        return _checked(self._path, self._arrays, [kind]), [rows[plain_name(name)] for name in classes]
