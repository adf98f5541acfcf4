"""What an importer of TFLite operators works with: its operands, and the records of the tensors behind them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import casts
from ..builder import Builder
from ..fold import by_numpy
from ..graph import Quant
from ..importers import IMPORTERS
from ..operand import Array, Call, Operand, Refusal, Steps
from .file import Tensor

_QUANTISED = ("int8", "uint8", "int16", "int32", "int64")  # dtypes whose scale counts; the last two are those of biases
_OPSET = 13  # of ONNX, in which `onnx` writes


@dataclass(eq=False)
class TfliteCall(Call):
    """An operator of a TFLite file; `attrs` are its options.

    Operands of quantised tensors are the float32 numbers for which their integers stand.

    Attributes:
        tensors: the record of each input; None where it is absent.
        integers: the int8 operand behind each input that is a quantised activation, else None.
        results: the record of each output.
    """

    tensors: list[Tensor | None] = field(default_factory=list)
    integers: list[Operand | None] = field(default_factory=list)
    results: list[Tensor] = field(default_factory=list)

    def tensor(self, index: int) -> Tensor | None:
        """The record of an input, None if it is absent."""
        return self.tensors[index] if index < len(self.tensors) else None

    def sizes(self, index: int, what: str) -> list[int]:
        """A required input of integers that must be constant."""
        return [int(v) for v in self.array(index, what).reshape(-1)]


def is_quantised(tensor: Tensor) -> bool:
    """Whether its integers stand for real numbers."""
    return tensor.scale is not None and tensor.dtype in _QUANTISED


def quant_of(tensor: Tensor) -> Quant | None:
    """The quantisation of an int8 or uint8 tensor, as int8; None of any other.

    Raises:
        Refusal: it has several scales.
    """
    if tensor.scale is None or tensor.dtype not in ("int8", "uint8"):
        return None
    if tensor.scale.scales.size > 1:
        raise Refusal(f"tensor {tensor.name} has a scale per channel", "only weights can have that")
    zero = int(tensor.scale.zero_points[0]) - (casts.SHIFT if tensor.dtype == "uint8" else 0)
    return Quant((float(tensor.scale.scales[0]),), zero)


def constant_operand(b: Builder, tensor: Tensor) -> Operand:
    """An operand for a constant of the file. A quantised one is the real numbers, and remembers its integers."""
    assert tensor.data is not None
    if tensor.scale is None or tensor.dtype not in _QUANTISED:
        return b.constant(tensor.data)
    zeros, scales = _spread(tensor, tensor.scale.zero_points), _spread(tensor, tensor.scale.scales)
    if tensor.dtype not in ("int8", "uint8"):
        return b.constant(((tensor.data.astype(np.int64) - zeros) * scales.astype(np.float64)).astype(np.float32))
    integers = tensor.data.astype(np.int16) - zeros.astype(np.int16)
    found = b.constant(integers.astype(np.float32) * scales)
    found.steps = Steps(integers, np.broadcast_to(scales, integers.shape))
    return found


def _spread(tensor: Tensor, values: Array) -> Array:
    """Scales or zero points in a shape that broadcasts against the tensor."""
    if values.size == 1:
        return values.reshape(())
    assert tensor.scale is not None
    return values.reshape([-1 if d == tensor.scale.axis else 1 for d in range(len(tensor.shape))])


def onnx(b: Builder, call: Call, op: str, inputs: Sequence[Operand | None], **attrs: Any) -> Operand:
    """What the ONNX operator that does the same makes of these operands. Constants fold."""
    twin = Call(op, "", call.name, _OPSET, list(inputs), call.outputs[:1], attrs)
    found = by_numpy(twin)
    if found is None:
        made = IMPORTERS["", op](b, twin)
        found = made if isinstance(made, Operand) else made[0]
    assert found is not None
    return found
