"""The compiler's graph: three dataclasses and the little that every pass needs.

A graph holds the runtime's own primitive operators (`tody.format.OPS`), never those of ONNX: the importer turns each ONNX node
into primitives at once, because every shape is known. Images are NHWC inside a graph; `copy` nodes stand where a layout changes
and the passes make most of them vanish.

A quantised model, whoever quantised it, is a float32 graph with pairs of casts in it: `cast` from float32 to an int8 or int16
value with a `Quant` quantises, `cast` from there to float32 dequantises, and such a constant behind which a cast to float32
stands is a quantised weight. One pass (`integers.py`) replaces each operator between such casts by its integer form.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Quant:
    """What the integers of a quantised value stand for: scale * (q - zero_point).

    Attributes:
        scales: one float32 number, or for weights one per output channel, in the order of the channels. Those of weights may
            have double precision: the file holds them in multipliers alone.
        zero_point: -128 to 127; 0 where there are several scales, for weights, and of 16 bits.
        bits: of the integers, 8 or 16.
    """

    scales: tuple[float, ...]
    zero_point: int = 0
    bits: int = 8

    @property
    def dtype(self) -> str:
        """Of the integers: "int8" or "int16"."""
        return f"int{self.bits}"

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the largest integer."""
        return -(1 << self.bits - 1), (1 << self.bits - 1) - 1

    @property
    def scale(self) -> float:
        """The scale of a value that has one, as the float32 number that the file holds."""
        (scale,) = self.scales
        return float(np.float32(scale))

    def quantise(self, reals: NDArray[Any]) -> NDArray[Any]:
        """The nearest integers, as `cast` finds them (docs/format.md). One scale only."""
        with np.errstate(over="ignore", invalid="ignore"):
            steps = np.rint(np.asarray(reals, np.float32) / np.float32(self.scale))
        held = np.clip(np.nan_to_num(steps, nan=0.0), -32768, 32767).astype(np.int32) + self.zero_point
        return np.asarray(np.clip(held, *self.limits), self.dtype)

    def dequantise(self, integers: NDArray[Any]) -> NDArray[np.float32]:
        """What integers stand for. One scale only."""
        return np.asarray((integers.astype(np.int32) - self.zero_point).astype(np.float32) * np.float32(self.scale))


@dataclass
class Value:
    """A tensor: what one node makes and others take, or a constant.

    Attributes:
        name: unique in its graph.
        shape: all dimensions, known.
        dtype: a name of `tody.format.DTYPES` ("float32", "int32", "bool", "int64", "float16", "int8", "uint8", "int16").
        data: the content of a constant, else None. Weights are kept in plain layout, shape `shape`, until they are written.
        pack: "plain", or "panels" for weights and biases that the file stores in panels.
        quant: of an int8 or int16 value that stands for real numbers; None of any other.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    data: NDArray[Any] | None = None
    pack: str = "plain"
    quant: Quant | None = None

    @property
    def constant(self) -> bool:
        return self.data is not None


@dataclass(eq=False)
class Node:
    """One primitive operator.

    Attributes:
        op: a name of `tody.format.OPS`.
        inputs: names of values; None where an optional input is absent.
        outputs: names of values; None where an optional output is not wanted.
        attrs: the parameters by the names in `tody.format.OPS[op]`; activations are tuples (function name, a, b).
        source: name of the source model's node, for messages and profiles.
    """

    op: str
    inputs: list[str | None]
    outputs: list[str | None]
    attrs: dict[str, Any] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class Slice:
    """Where a value lies in another one: its channels are those of `root`, which lies in no other, from `offset` on."""

    root: str
    offset: int


@dataclass
class Graph:
    """Nodes in an order in which they can run, and every value by name."""

    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what the importer assumed, for the report
    slices: dict[str, Slice] = field(default_factory=dict)  # values that lie in others, once that is decided (slices.py)
    rounded: bool = False  # whether quantised weights of the source did not fit into int8 as they are

    def copy(self) -> Graph:
        """A graph that can be changed without changing this one. Constants are shared, because nobody writes into them."""
        nodes = [replace(n, inputs=list(n.inputs), outputs=list(n.outputs), attrs=dict(n.attrs)) for n in self.nodes]
        values = {name: replace(value) for name, value in self.values.items()}
        return Graph(nodes, values, list(self.inputs), list(self.outputs), list(self.notes))

    def producer(self) -> dict[str, Node]:
        """The node that makes each value."""
        return {name: node for node in self.nodes for name in node.outputs if name is not None}

    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that take each value; a graph output has no entry of its own."""
        users: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                if name is not None and node not in users.setdefault(name, []):
                    users[name].append(node)
        return users

    def fresh(self, hint: str) -> str:
        """A name not yet in the graph."""
        name, n = hint, 0
        while name in self.values:
            n += 1
            name = f"{hint}:{n}"
        return name

    def replace_uses(self, old: str, new: str, within: Iterable[Node] | None = None) -> None:
        """Let every node (of `within`) that takes `old` take `new`, and the graph's outputs when `within` is None."""
        for node in self.nodes if within is None else within:
            node.inputs = [new if name == old else name for name in node.inputs]
        if within is None:
            self.outputs = [new if name == old else name for name in self.outputs]
