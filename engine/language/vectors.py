"""Vectors of classes: what a training keeps of the texts. A network that has them needs neither text nor encoder."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.data.settings import Settings
from engine.errors import OutputError, TextEncoderError
from engine.language.contract import TextEncoder

_CLASSES, _ENCODER, _DIGEST = "classes", "encoder", "digest"
Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ClassVectors:
    """For each kind of text the vectors of all classes, which cannot change.

    Args:
        classes: K names.
        kinds: By kind ``[K, D]``, float32, finite and nowhere all zero; one D for all.
        encoder: What made them.

    Raises:
        TextEncoderError: If shapes or values are others.
    """

    classes: tuple[str, ...]
    kinds: Mapping[str, Vectors]
    encoder: str

    def __post_init__(self) -> None:
        if not self.kinds:
            raise TextEncoderError(f"{self.encoder}: no kind of text has vectors")
        widths = {kind: _width(kind, values, self.classes) for kind, values in self.kinds.items()}
        if len(set(widths.values())) > 1:
            raise TextEncoderError(f"{self.encoder}: vectors are of different lengths: {widths}")
        kept = {kind: np.array(values, np.float32) for kind, values in self.kinds.items()}
        for values in kept.values():
            values.setflags(write=False)
        object.__setattr__(self, "kinds", MappingProxyType(kept))

    @property
    def width(self) -> int:
        """D."""
        return int(next(iter(self.kinds.values())).shape[1])

    @property
    def digest(self) -> str:
        """SHA-256 of all that is here: classes, kinds, vectors and the encoder's name."""
        digest = hashlib.sha256(repr((self.classes, self.encoder)).encode())
        for kind in sorted(self.kinds):
            digest.update(f"{kind} {self.kinds[kind].shape}".encode())
            digest.update(self.kinds[kind].astype("<f4").tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Writes an .npz file: ``classes``, an array for each kind, ``encoder`` and ``digest``.

        Raises:
            OutputError: If it cannot be written; what stood there stays.
        """
        arrays: dict[str, Any] = {**self.kinds, _CLASSES: self.classes, _ENCODER: self.encoder, _DIGEST: self.digest}
        aside = path.with_name(f"{path.name}.part")
        try:
            with aside.open("wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path) -> ClassVectors:
        """Reads what :meth:`save` wrote, or a file with ``classes`` and an array for each kind only.

        Raises:
            TextEncoderError: If the file cannot be read, its vectors have a wrong shape, or they are not those that
                were saved.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
        except OSError as error:
            raise TextEncoderError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
            raise TextEncoderError(f"{path}: is no .npz file of plain arrays: {error}") from error
        if _CLASSES not in arrays:
            raise TextEncoderError(f"{path}: has no array {_CLASSES!r} with the names of the rows; found {[*arrays]}")
        about = {key: arrays.pop(key) for key in (_CLASSES, _ENCODER, _DIGEST) if key in arrays}
        classes = tuple(str(name) for name in about[_CLASSES].ravel())
        try:
            read = cls(classes, arrays, str(about.get(_ENCODER, f"vectors {path.name}")))
        except TextEncoderError as error:
            raise TextEncoderError(f"{path}: {error}") from error
        if _DIGEST in about and str(about[_DIGEST]) != read.digest:
            raise TextEncoderError(f"{path}: its vectors are not those that were saved; make the file anew")
        return read


def _width(kind: str, values: NDArray[np.generic], classes: Sequence[str]) -> int:
    if not np.issubdtype(values.dtype, np.floating) or values.ndim != 2 or values.shape[0] != len(classes):
        raise TextEncoderError(
            f"{kind}: found {values.dtype} of shape {values.shape}; expected [{len(classes)}, D] numbers, a row for "
            f"each of {', '.join(classes)}"
        )
    norms = np.linalg.norm(values.astype(np.float64), axis=1)
    wrong = [name for name, norm in zip(classes, norms, strict=True) if not np.isfinite(norm) or norm == 0]
    if wrong:
        raise TextEncoderError(f"{kind}: the vector of {', '.join(wrong)} is zero or not finite")
    return int(values.shape[1])


class VectorOptions(Settings):
    """Options of the encoder ``vectors``.

    Args:
        path: An .npz file: ``classes`` with K names, and for each kind of text an array ``[K, D]``.
    """

    path: Path


class PrecomputedVectors(TextEncoder):
    """Looks up vectors that were made elsewhere, by any encoder; texts are not read.

    Args:
        options: Where they are.

    Raises:
        TextEncoderError: If the file cannot be read or its arrays have a wrong shape.
    """

    def __init__(self, options: VectorOptions) -> None:
        self._path = options.path
        self._vectors = ClassVectors.load(options.path)
        self.name = self._vectors.encoder
        twice = {name for name in self._vectors.classes if self._vectors.classes.count(name) > 1}
        if twice:
            raise TextEncoderError(f"{options.path}: classes: {', '.join(sorted(twice))} stands there twice")

    def encode(self, kind: str, texts: Mapping[str, str]) -> Vectors:
        classes, there = self._vectors.classes, self._vectors.kinds
        if kind not in there:
            raise TextEncoderError(f"{self._path}: has no vectors for {kind}; it has {', '.join(there)}")
        missing = [name for name in texts if name not in classes]
        if missing:
            raise TextEncoderError(
                f"{self._path}: no vector for class {', '.join(missing)}; it has {', '.join(classes)}"
            )
        return there[kind][[classes.index(name) for name in texts]]
