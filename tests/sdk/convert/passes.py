"""Run a graph through the real runtime, before and after a pass."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tody import format as fmt
from tody import golden
from tody._runtime import Runtime
from tody.convert.graph import Graph, Node, Quant
from tody.convert.integers import fold_weights
from tody.convert.lower import lower
from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise
from tody.convert.rewrite import add_constant, add_value, insert_before
from tody.convert.simplify import count


def run(graph: Graph, *arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """The outputs of a graph as it is."""
    file, _ = lower(copy.deepcopy(graph))
    runtime = Runtime(fmt.write(file))
    for tensor, array in zip(runtime.inputs, arrays, strict=True):
        np.asarray(tensor)[...] = array
    runtime.run()
    return [np.array(tensor) for tensor in runtime.outputs]


def feeds(graph: Graph, seed: int = 3) -> list[NDArray[Any]]:
    """An array for each input."""
    values = [graph.values[name] for name in graph.inputs]
    return [golden.splitmix64(seed + i, v.shape, -3.0, 3.0, v.dtype) for i, v in enumerate(values)]


def optimised(model: Any) -> tuple[Graph, dict[str, int]]:
    """The optimised graph of a model and its operators, after proof that it computes what the imported one did."""
    graph = import_onnx(model)
    arrays = feeds(graph)
    before = run(graph, *arrays)
    optimise(graph)
    for a, b in zip(before, run(graph, *arrays), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5 * (1e-3 + float(np.abs(a).max())))
    return graph, count(graph)


def quantise(graph: Graph, arrays: list[NDArray[Any]]) -> None:
    """Put a pair of casts behind every value, for its smallest and largest number on these inputs, and in front of weights."""
    for node in [node for node in graph.nodes if node.op in ("conv", "dwconv", "deconv", "dense")]:
        weights = graph.values[str(node.inputs[1])]
        if weights.data is not None:
            node.inputs[1] = _quantised_weights(graph, node, weights.data, weights.pack)
    names = [name for node in graph.nodes for name in node.outputs if name and graph.values[name].dtype == "float32"]
    probe = copy.deepcopy(graph)
    fold_weights(probe)
    probe.outputs = [name for name in names if name in probe.producer()]
    seen = dict(zip(probe.outputs, run(probe, *arrays), strict=True)) | dict(zip(graph.inputs, arrays, strict=True))
    for name, array in seen.items():
        _cast_behind(graph, name, min(float(array.min()), 0.0), max(float(array.max()), 1e-3))


def _quantised_weights(graph: Graph, node: Node, data: NDArray[Any], pack: str) -> str:
    axes = (2, 3) if pack == "panels" else (0,)
    scales = (np.maximum(np.abs(data).max(axes, keepdims=True), 1e-6) / 127).astype(np.float32)
    whole = np.clip(np.rint(data / scales), -127, 127).astype(np.int8)
    constant = add_constant(graph, f"{node.inputs[1]}:q", whole, pack, Quant(tuple(scales.reshape(-1).tolist())))
    real = add_value(graph, f"{node.inputs[1]}:r", data.shape)
    graph.values[real].pack = pack
    insert_before(graph, node, Node("cast", [constant], [real]))
    return real


def _cast_behind(graph: Graph, name: str, low: float, high: float) -> None:
    scale, shape, maker = float(np.float32((high - low) / 255)), graph.values[name].shape, graph.producer().get(name)
    whole = add_value(graph, f"{name}:q", shape, "int8", Quant((scale,), int(np.clip(round(-128 - low / scale), -128, 127))))
    real = add_value(graph, f"{name}:r", shape)
    graph.replace_uses(name, real)
    at = 0 if maker is None else graph.nodes.index(maker) + 1
    graph.nodes[at:at] = [Node("cast", [name], [whole]), Node("cast", [whole], [real])]
