"""Write small ONNX models in a few lines: nodes and seeded random weights."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    """An ONNX model under construction; methods take and return names of tensors.

    Args:
        seed: of the weights.
        opset: of ONNX's own operators.
    """

    def __init__(self, seed: int = 0, opset: int = 17) -> None:
        self.random = np.random.default_rng(seed)
        self.opset = opset
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.weights: list[Any] = []

    def input(self, *shape: int | str, name: str = "x", dtype: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def constant(self, data: Any) -> str:
        array: NDArray[Any] = np.asarray(data)
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def floats(self, *shape: int, scale: float = 1.0, shift: float = 0.0) -> str:
        return self.constant((self.random.standard_normal(shape) * scale + shift).astype(np.float32))

    def number(self, value: float) -> str:
        return self.constant(np.float32(value))

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attrs: Any) -> Any:
        """Append a node; returns its output, or a list of several."""
        names = [f"{kind.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attrs))
        return names[0] if outputs == 1 else names

    def conv(self, x: str, taken: int, made: int, kernel: int = 1, stride: int = 1, group: int = 1, bias: bool = True) -> str:
        """A convolution with weights that keep the size of the numbers, padded by half its kernel."""
        scale = (2.0 / (taken // group * kernel * kernel)) ** 0.5
        weights = [self.floats(made, taken // group, kernel, kernel, scale=scale)]
        weights += [self.floats(made, scale=0.1)] if bias else []
        pads = [kernel // 2] * 4
        return self.op("Conv", x, *weights, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=group)

    def norm(self, x: str, channels: int) -> str:
        """A batch normalization that is not the identity."""
        scale, bias, mean = (
            self.floats(channels, scale=0.1, shift=1.0),
            self.floats(channels, scale=0.1),
            self.floats(channels, scale=0.1),
        )
        variance = self.constant(self.random.uniform(0.5, 1.5, channels).astype(np.float32))
        return self.op("BatchNormalization", x, scale, bias, mean, variance)

    def relu6(self, x: str) -> str:
        return self.op("Clip", x, self.number(0), self.number(6))

    def dense(self, x: str, taken: int, made: int) -> str:
        return self.op("Gemm", x, self.floats(made, taken, scale=(1.0 / taken) ** 0.5), self.floats(made, scale=0.1), transB=1)

    def flat(self, x: str) -> str:
        """Global average and flatten."""
        return self.op("Flatten", self.op("GlobalAveragePool", x))

    def model(self, *outputs: str, dtypes: dict[str, int] | None = None) -> onnx.ModelProto:
        """The finished model."""
        kinds = dtypes or {}
        infos = [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), None) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        return model
