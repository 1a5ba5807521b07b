"""ONNX files, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import EncodeError

from engine.errors import ExportError
from engine.files import write_bytes


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
    write_bytes(path, content)
