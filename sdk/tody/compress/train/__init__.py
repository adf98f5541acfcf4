"""Training-time compression, with PyTorch: the extra [train]."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ...errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401
except ImportError as e:
    raise MissingExtraError("torch", "train") from e
from .distil import Distiller as Distiller
from .export import export as export
from .fake import Quantiser as Quantiser
from .fashion import fashion_mnist as fashion_mnist
from .losses import distance as distance
from .losses import flow as flow
from .losses import soft_labels as soft_labels
from .module import Executor as Executor
from .student import Student as Student
from .tune import fine_tune as fine_tune
from .tune import fit as fit
from .tune import train as train

__all__ = [
    "Distiller", "Executor", "Quantiser", "Student", "distance", "export", "fashion_mnist", "fine_tune", "fit", "flow",
    "soft_labels", "train",
]  # fmt: skip
