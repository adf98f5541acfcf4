"""Quantised ONNX models whose sums onnxruntime computes exactly on every CPU.

On x86 without VNNI its products of uint8 with int8 saturate in pairs at 16 bits, those of uint8 with uint8 do not. Weights of
int8 with zero point z are the same numbers as weights of uint8, 128 larger, with zero point z + 128.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np

# Where the zero point of the first operand, the second operand and its zero point are among the inputs.
_PLACES = {"QLinearConv": (2, 3, 5), "QLinearMatMul": (2, 3, 5), "QGemm": (2, 3, 5)} | dict.fromkeys(
    ("ConvInteger", "MatMulInteger"), (2, 1, 3)
)


def unsaturated(model: Any) -> Any:
    """The model itself, or a copy in which constant int8 operands that meet uint8 are uint8."""
    if not any(node.op_type in _PLACES for node in model.graph.node):
        return model
    from onnx import numpy_helper

    copy = type(model)()
    copy.CopyFrom(model)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in copy.graph.initializer}
    made: dict[str, Any] = {}
    for node in copy.graph.node:
        zero, weights, own = _PLACES.get(node.op_type, (0, 0, 0))
        if not zero or len(node.input) <= max(zero, weights) or not _is_uint8(constants, node.input[zero]):
            continue
        node.input.extend([""] * (own + 1 - len(node.input)))
        w, z = constants.get(node.input[weights]), constants.get(node.input[own], np.int8(0))
        if w is None or w.dtype != np.int8 or (node.input[own] and node.input[own] not in constants):
            continue
        for at, array in ((weights, w), (own, z)):
            name = f"{node.input[at]}:{node.input[weights]}:uint8"
            made[name] = (np.asarray(array, np.int16) + 128).astype(np.uint8)
            node.input[at] = name
    copy.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in made.items())
    return copy


def _is_uint8(constants: dict[str, Any], zero: str) -> bool:
    """Whether an operand with this zero point is of uint8, as all are whose zero point is found in the run."""
    return bool(zero) and (zero not in constants or constants[zero].dtype == np.uint8)
