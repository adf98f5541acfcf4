"""Small ONNX models for the tests, and what they should give."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np

from onnx import TensorProto, helper, numpy_helper
from tody._runtime import Runtime
from tody.convert.integers import to_integers
from tody.convert.lower import lower
from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise
from tody.format import write

RANDOM = np.random.default_rng(7)
WEIGHTS = RANDOM.standard_normal((4, 3, 3, 3)).astype(np.float32)


def info(name: str, shape: Any, dtype: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, dtype, shape)


def model_of(
    nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Any] | None = None, **more: Any
) -> Any:
    tensors = [numpy_helper.from_array(np.asarray(data), name) for name, data in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", more.pop("opset", 17)), *more.pop("opsets", [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **more)


def conv_model(shape: Any = (1, 3, 8, 8), **more: Any) -> Any:
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    return model_of([node], [info("x", shape)], [info("y", None)], {"w": WEIGHTS}, **more)


def run(model: Any, *arrays: Any, **options: Any) -> list[Any]:
    """Import, compile, run."""
    graph = import_onnx(model, **options)
    optimise(graph)
    to_integers(graph)
    runtime = Runtime(write(lower(graph)[0]))
    for tensor, array in zip(runtime.inputs, arrays, strict=True):
        np.asarray(tensor)[...] = array
    runtime.run()
    return [np.array(tensor) for tensor in runtime.outputs]


def expected(model: Any, **feeds: Any) -> list[Any]:
    from onnx.reference import ReferenceEvaluator

    return list(ReferenceEvaluator(model).run(None, feeds))
