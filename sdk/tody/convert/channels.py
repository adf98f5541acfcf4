"""What the rules know of one number per channel, and of what layers apply to their results: scales, shifts, activations."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .graph import Node
from .rewrite import Index, first_output

Channels = NDArray[np.float32]  # one number per channel
ACTIVATIONS = (  # functions that a layer can apply to its results
    "clamp leaky_relu elu selu celu sigmoid tanh hard_sigmoid hard_swish silu gelu gelu_tanh mish softplus softsign"
).split()


def activation_of(node: Node) -> tuple[str, float, float]:
    """The function, with its two parameters, that the node applies to what it computes."""
    found: tuple[str, float, float] = node.attrs.get("activation", ("none", 0.0, 0.0))
    return found


def is_inactive(node: Node) -> bool:
    """Whether the node applies no activation to what it computes."""
    return activation_of(node)[0] == "none"


def per_channel(index: Index, user: Node, y: str) -> Channels | None:
    """The constant operand of a binary operator as one float per channel (last dimension) of y; None if it is not that."""
    other = user.inputs[1] if user.inputs[0] == y else user.inputs[0]
    data, shape = index.constant(other), index.graph.values[y].shape
    if data is None or data.dtype != np.float32 or index.graph.values[first_output(user)].shape != shape:
        return None
    if math.prod(data.shape) != (data.shape[-1] if data.ndim else 1):
        return None
    return np.broadcast_to(data.reshape(-1), shape[-1:])


def scale_and_shift(index: Index, user: Node, y: str) -> tuple[Channels, Channels] | None:
    """What the user of y computes, if it is y * scale + shift with one pair per channel."""
    channels = index.graph.values[y].shape[-1:]
    if user.op == "unary" and user.attrs["function"][0] == "affine":
        _, a, b = user.attrs["function"]
        return np.full(channels, a, np.float32), np.full(channels, b, np.float32)
    if user.op != "binary" or user.attrs["fn"] not in ("add", "mul") or not is_inactive(user):
        return None
    data = per_channel(index, user, y)
    if data is None:
        return None
    return (data, np.zeros(channels, np.float32)) if user.attrs["fn"] == "mul" else (np.ones(channels, np.float32), data)
