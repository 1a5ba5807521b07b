"""ONNX files, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import onnx
from google.protobuf.message import EncodeError

from engine.errors import ExportError, OutputError


def check_writable(path: Path) -> None:
    """Refuses a file whose folder cannot take it, before any work is done for it.

    Raises:
        OutputError: If there is no such folder, or nothing can be written into it.
    """
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; check its folder") from error


def write_model(proto: onnx.ModelProto, path: Path) -> None:
    """Writes a graph as one file, whole or not at all.

    Raises:
        ExportError: If it is too large for one file.
        OutputError: If the file cannot be written.
    """
    try:
        content = proto.SerializeToString()
    except (ValueError, EncodeError) as error:
        raise ExportError(f"{path}: the model cannot be one file, which holds up to 2 GB: {error}") from error
    try:
        descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; check its folder") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)
        os.replace(aside, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        Path(aside).unlink(missing_ok=True)  # there still unless it was moved
