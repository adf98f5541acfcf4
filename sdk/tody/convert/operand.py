"""What importers work with: operands (the source model's tensors), calls (its nodes), and the refusal of one."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedError

Array = NDArray[Any]

MAX_ENDS = 6  # that a message names

# dtype in the source model -> dtype it is computed in. Others exist only as constants that fold away.
COMPUTE = {
    "float32": "float32",
    "float16": "float32",
    "float64": "float32",
    "int64": "int32",
    "int32": "int32",
    "int16": "int32",
    "int8": "int32",
    "uint16": "int32",
    "uint8": "int32",
    "bool": "bool",
}
FLOATS = ("float32", "float16", "float64")
# How a constant is stored when a primitive takes it: as what it is computed in, or as the nearest that a device has.
STORED = {**COMPUTE, "bfloat16": "float32", "uint32": "int32", "uint64": "int32"}

# onnx.TensorProto.DataType -> NumPy's name
ELEMENTS = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Steps:
    """What a dequantised constant was made of: integers times scales.

    Attributes:
        integers: less their zero points, -255 to 255, int16.
        scales: float32, in the shape of the integers.
    """

    integers: Array
    scales: Array

    def map(self, arrange: Callable[[Array], Array]) -> Steps:
        """The same constant with its elements elsewhere."""
        return Steps(arrange(self.integers), arrange(self.scales))


@dataclass(eq=False)
class Operand:
    """A tensor of the source model while it is imported.

    Attributes:
        shape: all dimensions.
        dtype: in the source model; it is computed in COMPUTE[dtype].
        name: the graph's value that holds it; empty for a constant that no primitive has taken yet.
        data: the content of a constant, in its exact dtype.
        raw: a value of a dtype that is not computed in, of which the first use makes `name`: a graph input, or an int8 value
            with a `Quant`, which holds the integers of an int8 operand, and those of a uint8 operand less 128.
        steps: how a constant was quantised, if it was.
        items: the tensors of a sequence, which has no other content.
    """

    shape: tuple[int, ...]
    dtype: str
    name: str = ""
    data: Array | None = None
    raw: str = ""
    items: tuple[Operand, ...] | None = None
    steps: Steps | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=object))


class Refusal(Exception):
    """This node cannot be expressed. `needs` is an operand that would have to be constant."""

    def __init__(self, why: str, hint: str = "", needs: Operand | None = None) -> None:
        super().__init__(why)
        self.why, self.hint, self.needs = why, hint, needs


def unsupported(refused: list[dict[str, object]], ends: list[str]) -> UnsupportedError:
    """The error that lists every refused node.

    Args:
        refused: rows with the keys of `UnsupportedError.nodes`.
        ends: tensors at which the model could end instead.
    """
    count = f"{len(refused)} node{'s' if len(refused) > 1 else ''}"
    kinds: dict[str, list[str]] = {}
    for r in refused:
        kinds.setdefault(f"{r['operator']} of {r['domain']} {r['opset']}: {r['why']}", []).append(str(r["name"]))
    lines = [f"{kind} ({names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)})" for kind, names in kinds.items()]
    hints = list(dict.fromkeys(str(r["hint"]) for r in refused if r["hint"]))
    if 0 < len(ends) <= MAX_ENDS:
        hints.append("here " + " ".join(f"--end {shlex.quote(name)}" for name in ends))
    return UnsupportedError(f"{count} cannot be converted", "; ".join(lines), "; ".join(hints), refused)


@dataclass(eq=False)
class Call:
    """A node of the source model: its operands and its attributes as Python values.

    Attributes:
        op, domain, name: as in the model.
        opset: version of the domain that the node is written in.
        inputs: None where an optional input is absent.
        outputs: names; empty where an optional output is absent.
        attrs: numbers, strings, lists, arrays, and subgraphs as they are.
    """

    op: str
    domain: str
    name: str
    opset: int
    inputs: list[Operand | None]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)

    def input(self, index: int) -> Operand:
        """A required input."""
        operand = self.optional(index)
        if operand is None:
            raise ValueError(f"input {index} is missing")
        return operand

    def optional(self, index: int) -> Operand | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def operands(self) -> list[Operand]:
        """The inputs that are present."""
        return [operand for operand in self.inputs if operand is not None]

    def wants(self, index: int) -> bool:
        """Is this output used?"""
        return index < len(self.outputs) and bool(self.outputs[index])

    def array(self, index: int, what: str) -> Array:
        """A required input that must be constant. `what` names it for the message."""
        return constant(self.input(index), what)

    def ints(self, index: int, attr: str, what: str = "") -> list[int] | None:
        """A list of integers that older opsets have as attribute and newer ones as constant input; None: absent."""
        if attr in self.attrs:
            return [int(v) for v in self.attrs[attr]]
        if self.optional(index) is None:
            return None
        return [int(v) for v in self.array(index, what or attr).reshape(-1)]

    def number(self, index: int, attr: str, default: float, what: str = "") -> float:
        """A number that older opsets have as attribute and newer ones as constant input."""
        if attr in self.attrs:
            return float(self.attrs[attr])
        return default if self.optional(index) is None else scalar(self.array(index, what or attr))


def constant(operand: Operand, what: str) -> Array:
    """The content of an operand, or a refusal that asks to bind it."""
    if operand.data is None:
        raise Refusal(f"its {what} is known only at run time", "", operand)
    return operand.data


def scalar(array: Array) -> float:
    """The only element of an array."""
    if array.size != 1:
        raise ValueError(f"one number is expected, not {array.size}")
    return float(array.reshape(-1)[0])


def axis_of(axis: int, rank: int) -> int:
    """A dimension counted from the front."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is out of range for {rank} dimensions")
    return axis % rank


def axes_of(axes: list[int], rank: int) -> list[int]:
    """Dimensions counted from the front, without repeats."""
    found = [axis_of(axis, rank) for axis in axes]
    if len(set(found)) != len(found):
        raise ValueError(f"axes {axes} repeat")
    return found


def strides_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Elements from one index to the next, per dimension of a dense array."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))
