"""Runs a TFLite file here and by LiteRT."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tody import format as fmt
from tody._runtime import Runtime
from tody.convert.integers import to_integers
from tody.convert.lower import lower
from tody.convert.optimise import optimise
from tody.convert.source import read_source

Array = NDArray[Any]


def ours(content: bytes, arrays: list[Array]) -> list[Array]:
    """The outputs of the file as converted."""
    graph = read_source(content).graph()
    optimise(graph)
    to_integers(graph)
    runtime = Runtime(fmt.write(lower(graph)[0]))
    for tensor, array in zip(runtime.inputs, arrays, strict=True):
        np.asarray(tensor)[...] = array
    runtime.run()
    return [np.array(tensor) for tensor in runtime.outputs]


def primitives(content: bytes) -> list[str]:
    """The primitives of the file as converted."""
    graph = read_source(content).graph()
    optimise(graph)
    to_integers(graph)
    return [node.op for node in graph.nodes]


def litert(content: bytes, arrays: list[Array]) -> list[Array]:
    """The outputs by LiteRT."""
    source = read_source(content)
    results, against = source.reference(dict(zip(source.inputs, arrays, strict=True)), source.outputs)
    assert "lite" in against, against
    return results
