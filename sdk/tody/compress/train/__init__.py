"""Training-time compression, with PyTorch: the extra [train]."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ...errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401
except ImportError as e:
    raise MissingExtraError("torch", "train") from e
