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
from tody.convert.graph import Graph
from tody.convert.lower import lower
from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise
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
