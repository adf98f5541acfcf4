"""PReLU and leaky ReLU of integer layers: slopes behind their multipliers (docs/format.md, "Slopes")."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..format import MULTIPLIERS
from .channels import activation_of, is_inactive
from .graph import Graph, Node
from .rewrite import add_constant, first_output, slot

Array = NDArray[Any]


def slopes_of(graph: Graph, node: Node) -> Array | None:
    """The float32 slopes [C], as integers have them, of a PReLU with constant ones or of an operator with a leaky ReLU.

    None if it is neither, or if a slope is 2^31 or more. What is not normal counts as 0.
    """
    count = graph.values[first_output(node)].shape[-1:]
    if node.op == "binary" and node.attrs["fn"] == "prelu" and activation_of(node)[0] in ("none", "clamp"):
        found = graph.values[node.inputs[1] or ""].data
    else:
        found = np.float32(activation_of(node)[1]) if activation_of(node)[0] == "leaky_relu" else None
    if found is None or not count or (np.size(found) > 1 and (np.shape(found)[-1], np.size(found)) != (*count, *count)):
        return None
    slopes = np.broadcast_to(np.asarray(found, np.float32).reshape(-1), count)
    return np.where(np.abs(slopes) < np.finfo(np.float32).tiny, 0, slopes) if (np.abs(slopes) < 2.0**31).all() else None


def prelu_behind(graph: Graph, node: Node, user: Node | None) -> Node | None:
    """The PReLU that belongs to a layer's rescaling: the only user of what the layer makes, which is not rounded before it."""
    if node.op not in MULTIPLIERS or not is_inactive(node) or user is None or user.attrs.get("fn") != "prelu":
        return None
    y, x = first_output(node), user.inputs[0]
    same = graph.values[y].shape == graph.values[first_output(user)].shape
    return user if x == y and same and y not in graph.outputs and slopes_of(graph, user) is not None else None


def with_slopes(graph: Graph, multipliers: str | None, slopes: Array) -> str:
    """The name of multipliers, plain [C] or in panels [G, N], with as many slopes behind them."""
    value = graph.values[multipliers or ""]
    assert value.data is not None
    both = np.concatenate([value.data, slopes.reshape(value.shape)]).astype(np.float32)
    return add_constant(graph, value.name, both, value.pack)


def slopes_behind(graph: Graph, node: Node) -> Array | None:
    """The slopes [C] that stand behind the multipliers of a layer of integers, or None."""
    name = slot(node, MULTIPLIERS[node.op]) if node.op in MULTIPLIERS else None
    data = None if name is None else graph.values[name].data
    channels = graph.values[first_output(node)].shape[-1]
    return None if data is None or data.size == channels else data.reshape(-1)[channels:]
