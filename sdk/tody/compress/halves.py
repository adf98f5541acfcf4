"""Weights in half precision: the float model in about half of the bytes, where int8 loses too much."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import format as fmt
from ..coding import round_to_half
from ..convert import verify
from ..convert.finish import finish
from ..convert.graph import Graph
from ..convert.memory import lower_into
from ..convert.source import Source

LARGEST = 65504.0  # of float16


def halve(graph: Graph, source: Source, facts: Mapping[str, Any], provenance: Mapping[str, Any]) -> tuple[bytes, list[str]]:
    """A coded file whose float32 constants are rounded to what float16 holds; what it computes stays float32.

    Args:
        graph: optimised.
        facts: of `describe`.
        provenance: what is told of the compression.

    Returns:
        the file's bytes, and notes.
    """
    feeds = verify.feeds(graph, facts.get("preprocess"))
    file, _ = lower_into(graph.copy())
    constants = [i for i, t in enumerate(file.tensors) if t.place == "weights" and t.dtype == "float32"]
    fitting = [i for i in constants if _fits(file, file.tensors[i])]
    round_to_half(file, fitting)
    content = finish(file, source, facts, feeds, {"compressed": provenance}, coded=True)
    left = len(constants) - len(fitting)
    return content, [f"{left} constants stay float32: they hold numbers beyond float16"] if left else []


def _fits(file: fmt.File, tensor: fmt.Tensor) -> bool:
    values = np.frombuffer(file.weights, "<f4", tensor.bytes // 4, tensor.at)
    finite = values[np.isfinite(values)]
    return not finite.size or float(np.abs(finite).max()) <= LARGEST
