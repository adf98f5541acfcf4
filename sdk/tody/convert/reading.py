"""Reads the file of a model, whatever its format."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from ..errors import ModelError, UsageError

MAX_FILE = 1 << 31  # what protobuf and FlatBuffers can address


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        UsageError: there is no such file, or it is none, or cannot be read.
        ModelError: it is larger than 2 GiB, or what Git LFS leaves in the place of a file.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise UsageError(f"{path} is a folder", "a model is one file", "name the .onnx or .tflite file in it")
        if not path.is_file():
            raise UsageError(f"{path} is not a file", "it is a device or a pipe", "save the model to a file first")
        if size > MAX_FILE:
            why = "the file of a model holds at most 2 GiB"
            raise ModelError(f"{path} has {size:,} bytes", why, "ONNX can store its weights as external data")
        content = path.read_bytes()
    except FileNotFoundError as e:
        raise UsageError(f"there is no file {path}", "a model is read from a file", "check the path") from e
    except OSError as e:
        raise UsageError(f"{path} cannot be read", e.strerror or str(e), "check its permissions") from e
    if content.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path} is a Git LFS pointer, not the model", "its content was never fetched", "git lfs pull")
    return content
