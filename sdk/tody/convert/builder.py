"""Builds the graph: one method per primitive operator, each of which knows the shape of what it makes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..format import DTYPES, MAX_RANK, OPS
from .graph import Graph, Node, Quant, Value
from .operand import COMPUTE, FLOATS, STORED, Array, Operand, Refusal, Steps, strides_of
from .steps import one_scale, scale_per_channel

MAX_BYTES = 1 << 31  # of one tensor, and of all constants together
Attrs: TypeAlias = "dict[str, Any] | None"

_RANGES = {"u": (0, 2**32 - 1), "i": (-(2**31), 2**31 - 1)}  # of integer parameters, by kind
_TO_BOOL = ("equal", "less", "less_equal", "and", "or", "xor")
_NARROW = {"uint8": (8, 0), "int8": (8, 128), "uint16": (16, 0), "int16": (16, 32768)}  # bits, -lowest


class Builder:
    """A graph under construction.

    A method takes and returns operands. Constants are folded where only their layout changes (reshape, strided); elsewhere they
    become values of the graph at their first use. A transposition is a `copy` whose attributes also have `perm` (NumPy's axes)
    for the layout pass, even where only dimensions of 1 move. A change of shape alone is a `reshape` node, which the planner
    turns into an alias.
    """

    def __init__(self, graph: Graph, reserved: Iterable[str] = ()) -> None:
        self.graph = graph
        self.source = ""  # of the nodes to come
        self.hint = ""  # for their names
        self._taken = set(reserved)
        self._counts: dict[str, int] = {}
        self._weights: dict[tuple[Any, ...], tuple[Array, Operand]] = {}
        self._constant_bytes = 0

    def fresh(self, hint: str) -> str:
        """A name that is not taken."""
        name = hint
        while name in self._taken:
            self._counts[hint] = self._counts.get(hint, 0) + 1
            name = f"{hint}:{self._counts[hint]}"
        self._taken.add(name)
        return name

    # Values

    def constant(self, data: Any, dtype: str = "") -> Operand:
        """A constant operand; its dtype is the array's unless named."""
        array = np.asarray(data)
        return Operand(array.shape, dtype or array.dtype.name, data=array)

    def _moved(self, x: Operand, arrange: Callable[[Array], Array]) -> Operand:
        """A constant with its elements elsewhere."""
        y = self.constant(arrange(np.asarray(x.data)), x.dtype)
        y.steps = None if x.steps is None else x.steps.map(arrange)
        return y

    def value(self, x: Operand) -> str:
        """The graph's value that holds an operand, in the dtype it is computed in."""
        if x.name:
            return x.name
        if x.data is not None:
            found = None if x.steps is None or x.size <= 1 else one_scale(x.steps)
            x.name = self._store(x.data, x.dtype) if found is None else self.quantised(*found).name
        else:
            x.name = self._whole(x)
        return x.name

    def _whole(self, x: Operand) -> str:
        """The integers of an operand of a dtype that is not computed in."""
        if self.graph.values[x.raw].quant is None:
            return self.emit("cast", [], x.shape, x.dtype, taken=[x.raw]).name
        plain = self.relabel(x.raw, None)
        wide = self.emit("cast", [], x.shape, "int32", taken=[plain])
        return wide.name if x.dtype == "int8" else self.scalar("add", wide, 128).name

    def _store(self, data: Array, dtype: str, pack: str = "plain") -> str:
        if dtype not in STORED:
            raise Refusal(f"no device has the dtype {dtype}")
        if not data.size:
            raise Refusal(f"it takes a tensor of shape {list(data.shape)}, which holds nothing")
        stored = DTYPES[STORED[dtype]][1]
        if stored.kind == "i" and not -(2**31) <= int(data.min()) <= int(data.max()) < 2**31:
            raise Refusal("a constant does not fit into 32 bits", "integers are computed in 32 bits on every device")
        self.claim(data.shape)
        self._constant_bytes += data.size * stored.itemsize
        if self._constant_bytes > MAX_BYTES:
            raise Refusal("the model's constants take more than 2 GiB")
        with np.errstate(over="ignore"):
            content = data.astype(stored, copy=False)
        name = self.fresh(f"{self.hint}:constant")
        self.graph.values[name] = Value(name, tuple(data.shape), STORED[dtype], content, pack)
        return name

    def weights(
        self,
        source: Array,
        kind: tuple[Any, ...],
        arrange: Callable[[Array], Array],
        pack: str = "panels",
        steps: Steps | None = None,
    ) -> Operand:
        """Weights in the arrangement of a primitive. The same source arranged the same way is stored once.

        Args:
            steps: how the source was quantised. It stays so where `arrange` only moves elements.
        """
        key = (id(source), *kind)
        if key not in self._weights:
            data = arrange(source)
            found = None if steps is None else scale_per_channel(steps.map(arrange), pack)
            if found is None:
                made = Operand(tuple(data.shape), "float32", self._store(data, "float32", pack))
            else:
                made = self.quantised(found.integers, found.quant, pack)
                self.graph.notes += [f"{self.source}: {found.note}"] if found.note else []
                self.graph.rounded |= bool(found.note)
            self._weights[key] = (source, made)
        return self._weights[key][1]

    def claim(self, shape: Sequence[int]) -> None:
        """Refuse a tensor that could never be allocated."""
        if any(n < 0 for n in shape):
            raise ValueError(f"the shape {list(shape)} has a negative dimension")
        if int(np.prod(shape, dtype=object)) * 4 > MAX_BYTES:
            raise Refusal(f"a tensor of shape {list(shape)} takes more than 2 GiB")

    def emit(
        self,
        op: str,
        inputs: Sequence[Operand | None],
        shape: Sequence[int],
        dtype: str,
        attrs: Attrs = None,
        taken: Sequence[str] = (),
    ) -> Operand:
        """Append a node with one output. `taken`: names of values to use instead of operands."""
        return self.emit_many(op, inputs, [(tuple(shape), dtype)], attrs, taken)[0]

    def append(self, op: str, inputs: Sequence[str | None], outputs: Sequence[str | None], attrs: Attrs = None) -> None:
        """Append a node between values that exist."""
        attrs = attrs or {}
        for name, kind, _ in OPS[op].params if op in OPS else ():
            if isinstance(kind, str) and kind in _RANGES and name in attrs:
                _check_range(name, attrs[name], *_RANGES[kind])
        self.graph.nodes.append(Node(op, list(inputs), list(outputs), attrs, self.source))

    def emit_many(
        self,
        op: str,
        inputs: Sequence[Operand | None],
        results: Sequence[tuple[tuple[int, ...], str]],
        attrs: Attrs = None,
        taken: Sequence[str] = (),
    ) -> list[Operand]:
        """Append a node with several outputs, each (shape, dtype)."""
        if all(0 in shape for shape, _ in results):
            return [self.constant(np.zeros(shape, STORED[dtype]), dtype) for shape, dtype in results]
        names: list[str | None] = [None if x is None else self.value(x) for x in inputs]
        made = [self._result(op, tuple(int(n) for n in shape), dtype) for shape, dtype in results]
        self.append(op, [*names, *taken], [x.name for x in made], attrs)
        return made

    def _result(self, op: str, shape: tuple[int, ...], dtype: str) -> Operand:
        if dtype not in COMPUTE:
            raise Refusal(f"no device has the dtype {dtype}", "export the model in float32")
        if len(shape) > MAX_RANK and op != "reshape":
            raise Refusal(f"its result has {len(shape)} dimensions; {MAX_RANK} is the limit")
        self.claim(shape)
        name = self.fresh(self.hint)
        self.graph.values[name] = Value(name, shape, COMPUTE[dtype])
        return Operand(shape, dtype, name)

    # Quantisation: pairs of casts (graph.py)

    def quantise(self, x: Operand, quant: Quant) -> Operand:
        """The integers of a float32 operand, as an int8 operand."""
        real = self.value(x)
        y = self._result("cast", x.shape, "float32")
        self.graph.values[y.name].dtype, self.graph.values[y.name].quant = "int8", quant
        self.append("cast", [real], [y.name])
        return Operand(x.shape, "int8", y.name)

    def dequantise(self, q: Operand) -> Operand:
        """The float32 numbers for which the integers of an int8 operand stand."""
        return self.emit("cast", [q], q.shape, "float32")

    def quantised(self, integers: Array, quant: Quant, pack: str = "plain") -> Operand:
        """Quantised numbers that are known, as a float32 operand. Weights come in the arrangement of their primitive."""
        name = self._store(integers, "int32", pack)
        value = self.graph.values[name]
        value.data, value.dtype, value.quant = np.ascontiguousarray(integers, np.int8), "int8", quant
        y = self.dequantise(Operand(value.shape, "int8", name))
        self.graph.values[y.name].pack = pack
        return y

    def relabel(self, integers: str, quant: Quant | None) -> str:
        """The same bytes of int8, standing for something else; returns the value's name."""
        name = self.fresh(self.hint)
        self.graph.values[name] = Value(name, self.graph.values[integers].shape, "int8", quant=quant)
        self.append("reshape", [integers], [name])
        return name

    # Shape and layout

    def reshape(self, x: Operand, shape: Sequence[int]) -> Operand:
        shape = tuple(int(n) for n in shape)
        if shape == x.shape:
            return x
        if x.data is not None:
            return self._moved(x, lambda a: a.reshape(shape))
        if x.size != int(np.prod(shape, dtype=object)):
            raise ValueError(f"{list(x.shape)} cannot be seen as {list(shape)}")
        return self.emit("reshape", [x], shape, x.dtype)

    def strided(
        self, x: Operand, shape: Sequence[int], strides: Sequence[int], offset: int = 0, perm: Sequence[int] | None = None
    ) -> Operand:
        """y[i] = x[offset + sum i_d * stride_d], in elements: transpose, slice, expand, flip, diagonal."""
        shape = tuple(int(n) for n in shape)
        self.claim(shape)
        if x.data is not None:
            flat = np.ascontiguousarray(x.data).reshape(-1)
            steps = [s * flat.itemsize for s in strides]
            return self.constant(np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False).copy(), x.dtype)
        if len(shape) > MAX_RANK:
            merged = _merge(shape, strides)
            y = self.strided(x, [n for n, _ in merged], [s for _, s in merged], offset)
            return self.reshape(y, shape)
        attrs: dict[str, Any] = {"offset": int(offset), "stride": tuple(int(s) for s in strides)}
        if perm is not None:
            attrs["perm"] = tuple(perm)
        return self.emit("copy", [x], shape, x.dtype, attrs)

    def transpose(self, x: Operand, perm: Sequence[int]) -> Operand:
        if sorted(perm) != list(range(x.rank)):
            raise ValueError(f"{list(perm)} does not permute {x.rank} dimensions")
        if list(perm) == list(range(x.rank)):
            return x
        if x.data is not None:
            return self._moved(x, lambda a: a.transpose(perm))
        strides = strides_of(x.shape)
        return self.strided(x, [x.shape[p] for p in perm], [strides[p] for p in perm], 0, perm)

    def nhwc(self, x: Operand) -> Operand:
        return self.transpose(x, (0, 2, 3, 1))

    def nchw(self, x: Operand) -> Operand:
        return self.transpose(x, (0, 3, 1, 2))

    def slice(self, x: Operand, axis: int, start: int, count: int, step: int = 1) -> Operand:
        """`count` elements along one dimension, from `start`, `step` apart (negative: backwards)."""
        if (start, count, step) == (0, x.shape[axis], 1):
            return x
        if count and not (0 <= start < x.shape[axis] and 0 <= start + (count - 1) * step < x.shape[axis]):
            raise ValueError(f"the slice from {start}, {count} long, leaves dimension {axis} of {list(x.shape)}")
        strides = list(strides_of(x.shape))
        offset = start * strides[axis]
        strides[axis] *= step
        return self.strided(x, [*x.shape[:axis], count, *x.shape[axis + 1 :]], strides, offset if count else 0)

    def expand(self, x: Operand, shape: Sequence[int]) -> Operand:
        """Broadcast to a shape, by NumPy's rules."""
        shape = np.broadcast_shapes(x.shape, tuple(shape))
        if shape == x.shape:
            return x
        if x.data is not None:
            self.claim(shape)
            return self._moved(x, lambda a: np.broadcast_to(a, shape))
        x = self.lift(x, len(shape))
        strides = [0 if n == 1 else s for n, s in zip(x.shape, strides_of(x.shape), strict=True)]
        return self.reshape(x, shape) if x.size == int(np.prod(shape)) else self.strided(x, shape, strides)

    def lift(self, x: Operand, rank: int) -> Operand:
        """Put dimensions of 1 in front."""
        return self.reshape(x, (1,) * (rank - x.rank) + x.shape)

    def concat(self, xs: Sequence[Operand], axis: int) -> Operand:
        xs = [x for x in xs if x.shape[axis]] or list(xs[:1])
        if len(xs) == 1:
            return xs[0]
        shape = list(xs[0].shape)
        for x in xs[1:]:
            if x.rank != len(shape) or x.shape[:axis] + x.shape[axis + 1 :] != (*shape[:axis], *shape[axis + 1 :]):
                raise ValueError(f"{list(x.shape)} cannot be joined to {shape} along dimension {axis}")
            shape[axis] += x.shape[axis]
        return self.emit("concat", xs, shape, xs[0].dtype, {"axis": axis})

    def pad(
        self, x: Operand, before: Sequence[int], after: Sequence[int], mode: str = "constant", value: float = 0.0
    ) -> Operand:
        if not any(before) and not any(after):
            return x
        shape = [b + n + a for b, n, a in zip(before, x.shape, after, strict=True)]
        return self.emit("pad", [x], shape, x.dtype, {"mode": mode, "before": tuple(before), "value": value})

    def gather(self, x: Operand, indices: Operand, axis: int) -> Operand:
        """Indices must lie in 0 .. size - 1."""
        shape = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]
        return self.emit("gather", [x, indices], shape, x.dtype, {"axis": axis})

    # Element by element

    def unary(self, fn: str, x: Operand, a: float = 0.0, b: float = 0.0) -> Operand:
        dtype = "bool" if fn in ("not", "is_nan", "is_inf") else x.dtype
        return self.emit("unary", [x], x.shape, dtype, {"function": (fn, float(a), float(b))})

    def binary(self, fn: str, a: Operand, b: Operand) -> Operand:
        """Broadcasts. Integers narrower than 32 bits wrap around as in the source model."""
        if STORED.get(a.dtype) != STORED.get(b.dtype):
            raise ValueError(f"{a.dtype} and {b.dtype} do not go together")
        rank = max(a.rank, b.rank)
        a, b = self.lift(a, rank), self.lift(b, rank)
        dtype = "bool" if fn in _TO_BOOL else a.dtype if a.dtype in COMPUTE else b.dtype
        y = self.emit("binary", [a, b], np.broadcast_shapes(a.shape, b.shape), dtype, {"fn": fn})
        return self.wrap(y) if fn in ("add", "sub", "mul") else y

    def scalar(self, fn: str, x: Operand, number: float) -> Operand:
        """A binary function of an operand and a number."""
        kind = np.float32 if x.dtype in FLOATS else np.int32
        return self.binary(fn, x, self.constant(kind(number), x.dtype))

    def wrap(self, x: Operand) -> Operand:
        """Bring the result of 32-bit arithmetic into the range of a narrower dtype."""
        if x.dtype not in _NARROW:
            return x
        bits, low = _NARROW[x.dtype]
        wide = Operand(x.shape, "int32", x.name)
        shifted = self.scalar("add", wide, low) if low else wide
        y = self.scalar("mod", shifted, 1 << bits)
        return Operand(x.shape, x.dtype, (self.scalar("sub", y, low) if low else y).name)

    def where(self, condition: Operand, a: Operand, b: Operand) -> Operand:
        rank = max(condition.rank, a.rank, b.rank)
        xs = [self.lift(x, rank) for x in (condition, a, b)]
        dtype = a.dtype if a.dtype in COMPUTE else b.dtype
        return self.emit("where", xs, np.broadcast_shapes(*(x.shape for x in xs)), dtype)

    def cast(self, x: Operand, dtype: str) -> Operand:
        """To another dtype of the source model."""
        if dtype == x.dtype:
            return x
        if x.data is not None and dtype in COMPUTE:
            return self.constant(x.data.astype(dtype))
        if x.raw and self.graph.values[x.raw].quant is not None:
            x = Operand(x.shape, x.dtype, self.value(x))
        if COMPUTE.get(dtype) == COMPUTE.get(x.dtype):
            y = Operand(x.shape, dtype, x.name, raw=x.raw)
        elif x.raw and not x.name:
            y = self.emit("cast", [], x.shape, dtype, taken=[x.raw])
        else:
            y = self.emit("cast", [x], x.shape, dtype)
        narrows = dtype in _NARROW and x.dtype not in FLOATS and x.dtype != "bool"
        if not narrows:
            return y
        self.value(y)
        return self.wrap(y)

    # Along dimensions

    def reduce(self, fn: str, x: Operand, axes: Iterable[int]) -> Operand:
        """Reduced dimensions become 1."""
        axes = sorted(axes)
        shape = [1 if d in axes else n for d, n in enumerate(x.shape)]
        return self.emit("reduce", [x], shape, x.dtype, {"fn": fn, "axes": sum(1 << d for d in axes)}) if axes else x

    def softmax(self, x: Operand, axis: int, log: bool = False) -> Operand:
        return self.emit("softmax", [x], x.shape, x.dtype, {"axis": axis, "log": int(log)})

    def matmul(self, a: Operand, b: Operand, transpose_b: bool = False) -> Operand:
        """Matrices in the last two dimensions; the ranks are equal, the dimensions in front broadcast."""
        rows, depth = a.shape[-2:]
        columns, other = (b.shape[-2], b.shape[-1]) if transpose_b else (b.shape[-1], b.shape[-2])
        if depth != other:
            raise ValueError(f"matrices of {list(a.shape)} and {list(b.shape)} do not go together")
        shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), rows, columns)
        return self.emit("matmul", [a, b], shape, a.dtype, {"transpose_b": int(transpose_b)})

    def dense(self, x: Operand, weights: Operand, bias: Operand | None, columns: int) -> Operand:
        """x [.., K] by weights made with `weights`, [1, N, 1, K]."""
        inputs = [x, weights] if bias is None else [x, weights, bias]
        return self.emit("dense", inputs, (*x.shape[:-1], columns), x.dtype)


def _check_range(name: str, value: Any, low: int, high: int) -> None:
    if not all(low <= v <= high for v in (value if isinstance(value, tuple) else (value,))):
        raise ValueError(f"{name} {value} is out of range")


def _merge(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """The same walk over memory with as few (size, stride) pairs as can be."""
    merged: list[tuple[int, int]] = []
    for n, s in zip(shape, strides, strict=True):
        if n == 1:
            continue
        if merged and merged[-1][1] == n * s:
            merged[-1] = (merged[-1][0] * n, s)
        else:
            merged.append((n, s))
    return merged or [(1, 1)]
