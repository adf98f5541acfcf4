"""Fashion-MNIST, the data set of the example: 70,000 grey pictures of clothes in 10 classes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelError, UsageError

Array = NDArray[Any]
Stacks = tuple[Array, Array]  # pictures [n, 1, 28, 28] float32 from 0 to 1, classes [n] int64

DEBIAN = "/usr/share/datasets/fashion-mnist"
_MAGIC = {"images": 0x803, "labels": 0x801}


def fashion_mnist(folder: str | os.PathLike[str] | None = None, most: int | None = None) -> tuple[Stacks, Stacks]:
    """Pictures and classes to train with, and others to test with.

    Args:
        folder: with the four `.gz` files of the data set; None: where Debian's package dataset-fashion-mnist puts them.
        most: pictures to train with and, at most, to test with; None: 60,000 and 10,000.

    Raises:
        UsageError: a file is not there.
        ModelError: a file is damaged.
    """
    root = Path(folder or DEBIAN)
    parts = [[_read(root / f"{part}-{kind}-idx{rank}-ubyte.gz", kind) for kind, rank in (("images", 3), ("labels", 1))]
             for part in ("train", "t10k")]  # fmt: skip
    train, test = ((x[:most, None].astype(np.float32) / 255, y[:most].astype(np.int64)) for x, y in parts)
    return train, test


def _read(path: Path, kind: str) -> Array:
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError as e:
        hint = "apt-get install dataset-fashion-mnist, or name the folder that holds the data set"
        raise UsageError(f"there is no {path}", "Fashion-MNIST is not installed there", hint) from e
    except (OSError, EOFError) as e:
        raise ModelError(f"{path} cannot be read", str(e), "copy the data set again") from e
    rank = 3 if kind == "images" else 1
    magic, *shape = struct.unpack_from(f">{1 + rank}I", content) if len(content) >= 4 + 4 * rank else (0, 0)
    if magic != _MAGIC[kind] or len(content) != 4 + 4 * rank + int(np.prod(shape)):
        raise ModelError(f"{path} is damaged", f"it does not hold {kind}", "copy the data set again")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
