"""Scale channels up and down between layers so that one step serves them all; the float function stays the same.

A positive factor passes through everything that is positively homogeneous: ReLU, leaky ReLU, pooling, resizing, moves, sums of
values with the same factor. So a channel may be divided by a factor where it is made, in the rows of a layer's weights, if it
is multiplied by the same where it is taken, in the columns of the next layers' (cross-layer equalisation: Nagel et al., 2019).
Rows have steps of their own and cost nothing. The factor is chosen between what the activations want, which share one step, and
what the columns want, which share the steps of the rows (SmoothQuant: Xiao et al., 2022).

Every element of every value belongs to a class; elements of a class have one factor. Class 0 has the factor 1: inputs, outputs,
and whatever an operator takes that is not homogeneous.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert.graph import Graph, Node
from ..convert.rewrite import add_constant, first_input, first_output, slot
from .observe import Spread
from .place import LINEAR

Array = NDArray[Any]

BALANCE = 0.5  # 0: factors serve the weights alone, 1: the activations alone
RARE = 0.1  # what the widest sample of a channel counts for beside the typical one: some channels are seldom awake
LIMIT = 64.0  # of a factor, and of its inverse


def equalise(graph: Graph, spreads: Mapping[str, Spread], balance: float = BALANCE) -> Array:
    """Scale the weights and biases of a float32 graph's layers, in place.

    Args:
        graph: of float32 operators.
        spreads: the range of each channel of its values, as observed before; void afterwards.
        balance: 0 to 1, see above.

    Returns:
        The factors, for `rescale`.
    """
    classes = _Classes(graph)
    factors = _factors(graph, classes, spreads, balance)
    _scale_layers(graph, classes, factors)
    return factors


def rescale(graph: Graph, factors: Array) -> None:
    """Scale a graph's layers in place by the factors of another one, which differs from it in constants alone."""
    _scale_layers(graph, _Classes(graph), factors)


def _scale_layers(graph: Graph, classes: _Classes, factors: Array) -> None:
    for node in graph.nodes:
        _scale(graph, classes, node, factors)


class _Classes:
    """The class of every element of every value (union-find)."""

    def __init__(self, graph: Graph) -> None:
        self.values = graph.values
        self._parents = [0]
        users: dict[str, int] = {}
        for node in graph.nodes:
            for name in node.inputs:
                users[name or ""] = users.get(name or "", 0) + 1
        self._users = users
        self._of: dict[str, Array] = {name: self._fixed(value.shape) for name, value in graph.values.items()}
        for node in graph.nodes:
            self._pass(node)
        for name in graph.outputs:
            self._tie(self._of[name], np.zeros(1, np.int32))

    def channels(self, name: str) -> Array | None:
        """The class of each index of a value's last dimension; None if it has several."""
        found = self._find(self._of[name])
        rows = found.reshape(-1, found.shape[-1] if found.ndim else 1)
        return rows[0] if bool((rows == rows[0]).all()) else None

    def scalable(self, node: Node) -> bool:
        """Whether a node is a layer whose weights belong to it alone."""
        if node.op not in LINEAR:
            return False
        names = [name for name in node.inputs[1:3] if name is not None]
        known = all(self.values[n].data is not None and self.values[n].dtype == "float32" for n in names)
        return known and self._users[names[0]] == 1

    def _fixed(self, shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(np.int32(0), shape)

    def _find(self, classes: Array) -> Array:
        parents = np.array(self._parents, np.int32)
        while (parents[parents] != parents).any():
            parents = parents[parents]
        return np.asarray(parents[classes])

    def _tie(self, a: Array, b: Array) -> None:
        """Make one class of each pair; the smaller number stays, so that class 0 does."""
        a, b = np.broadcast_arrays(_compact(a), _compact(b))
        pairs = np.unique(np.stack([a.reshape(-1), b.reshape(-1)]), axis=1)
        for x, y in pairs.T.tolist():
            x, y = self._root(x), self._root(y)
            self._parents[max(x, y)] = min(x, y)

    def _root(self, x: int) -> int:
        while self._parents[x] != x:
            x = self._parents[x]
        return x

    def _pass(self, node: Node) -> None:
        """Give the outputs of a node their classes; whatever it does not let factors through is tied to class 0."""
        rule = _Classes._layer if self.scalable(node) else _RULES.get(node.op)
        taken = [self._of[name] for name in node.inputs if name is not None]
        made = rule(self, node, taken) if rule is not None and self._is_float(node) else None
        if made is None:
            for each in taken:
                self._tie(each, np.zeros(1, np.int32))
            return
        y = first_output(node)
        self._of[y] = np.broadcast_to(_compact(made), self.values[y].shape)

    def _is_float(self, node: Node) -> bool:
        return all(self.values[name].dtype == "float32" for name in (first_input(node), first_output(node)))

    def _uniform(self, classes: Array, axes: tuple[int, ...]) -> Array:
        """Tie what differs only along these axes; keeps one element of each."""
        first = classes[tuple(slice(0, 1) if d in axes else slice(None) for d in range(classes.ndim))]
        self._tie(classes, first)
        return first

    # The rules: classes of the inputs -> classes of the output

    def _layer(self, node: Node, taken: list[Array]) -> Array | None:
        x = taken[0]
        self._uniform(x, tuple(range(x.ndim - 1)))
        count = self.values[first_output(node)].shape[-1]
        made = np.arange(len(self._parents), len(self._parents) + count, dtype=np.int32)
        self._parents += made.tolist()
        if not _homogeneous(node.attrs.get("activation", ("none", 0.0, 0.0))):
            self._tie(made, np.zeros(1, np.int32))
        if addend := slot(node, 3):
            self._tie(self._of[addend], made)
        return made

    def _unary(self, node: Node, taken: list[Array]) -> Array | None:
        return taken[0] if _homogeneous(node.attrs["function"]) else None

    def _binary(self, node: Node, taken: list[Array]) -> Array | None:
        a, b = taken
        if not _homogeneous(node.attrs.get("activation", ("none", 0.0, 0.0))):
            return None
        shape = self.values[first_output(node)].shape
        if node.attrs["fn"] in ("add", "sub", "min", "max"):
            self._tie(a, b)
            return np.broadcast_to(a, shape)
        if node.attrs["fn"] in ("mul", "div", "prelu") and not self._find(_compact(b)).any():
            return np.broadcast_to(a, shape)
        if node.attrs["fn"] == "mul" and not self._find(_compact(a)).any():
            return np.broadcast_to(b, shape)
        return None

    def _image(self, node: Node, taken: list[Array]) -> Array | None:
        return self._uniform(taken[0], (1, 2))

    def _reduce(self, node: Node, taken: list[Array]) -> Array | None:
        if node.attrs["fn"] == "prod":
            return None
        return self._uniform(taken[0], tuple(d for d in range(taken[0].ndim) if node.attrs["axes"] >> d & 1))

    def _reshape(self, node: Node, taken: list[Array]) -> Array | None:
        return taken[0].reshape(self.values[first_output(node)].shape)

    def _copy(self, node: Node, taken: list[Array]) -> Array | None:
        flat = np.ascontiguousarray(taken[0]).reshape(-1)[int(node.attrs.get("offset", 0)) :]
        shape = self.values[first_output(node)].shape
        return np.lib.stride_tricks.as_strided(flat, shape, [4 * int(s) for s in node.attrs["stride"][: len(shape)]])

    def _concat(self, node: Node, taken: list[Array]) -> Array | None:
        return np.concatenate(taken, node.attrs["axis"])

    def _pad(self, node: Node, taken: list[Array]) -> Array | None:
        """Zeros and infinities keep their meaning under any factor: they get the class of what is nearest."""
        value = float(node.attrs.get("value", 0.0))
        if node.attrs["mode"] == "constant" and value != 0 and not math.isinf(value):
            return None
        shape = self.values[first_output(node)].shape
        sides = [(b, n - b - m) for b, n, m in zip(node.attrs["before"], shape, taken[0].shape, strict=False)]
        return np.pad(taken[0], sides, {"constant": "edge"}.get(node.attrs["mode"], node.attrs["mode"]))

    def _gather(self, node: Node, taken: list[Array]) -> Array | None:
        indices = self.values[node.inputs[1] or ""].data
        return None if indices is None else np.take(taken[0], indices, node.attrs["axis"])


_RULES: dict[str, Callable[[_Classes, Node, list[Array]], Array | None]] = {
    "unary": _Classes._unary,
    "binary": _Classes._binary,
    "pool": _Classes._image,
    "resize": _Classes._image,
    "reduce": _Classes._reduce,
    "reshape": _Classes._reshape,
    "copy": _Classes._copy,
    "concat": _Classes._concat,
    "pad": _Classes._pad,
    "gather": _Classes._gather,
}


def _compact(classes: Array) -> Array:
    """The same classes as a view of as few elements as broadcasting allows, where only the last dimension matters."""
    if classes.ndim < 2 or classes.size <= classes.shape[-1]:
        return classes
    last = classes[(0,) * (classes.ndim - 1)]
    same = all(step == 0 for step in classes.strides[:-1]) or bool((classes == last).all())
    return last.reshape((1,) * (classes.ndim - 1) + last.shape) if same else classes


def _homogeneous(function: tuple[str, float, float]) -> bool:
    """Whether f(s x) = s f(x) for every s > 0."""
    name, a, b = function
    if name == "clamp":
        return a in (0, -math.inf) and b == math.inf
    return name in ("none", "leaky_relu", "abs", "neg") or (name == "affine" and b == 0)


def _factors(graph: Graph, classes: _Classes, spreads: Mapping[str, Spread], balance: float) -> Array:
    """The factor of every class: what its activations want to be divided by."""
    count = len(classes._parents)
    reach, most = np.zeros(count), np.zeros(count)
    for name, spread in spreads.items():
        own = classes.channels(name) if name in graph.values else None
        widest = np.maximum(-spread.channel_low, spread.channel_high)
        wide = np.where(widest > 0, np.maximum(spread.channel_typical, RARE * widest), 0)
        if own is not None and own.shape == wide.shape and np.isfinite(wide).all():
            np.maximum.at(reach, own, wide)
            np.maximum.at(most, own, wide.max())
    share, taken = np.zeros(count), np.zeros(count, bool)
    for node in graph.nodes:
        columns = _columns(graph, classes, node)
        if columns is not None:
            np.maximum.at(share, columns[0], columns[1])
            taken[columns[0]] = True
    known = (reach > 0) & (~taken | (share > 0))
    reach, most, share = (np.where(known, x, 1.0) for x in (reach, most, share))
    part = np.where(taken, balance, 1.0)
    factors = (reach / most) ** part / share ** (1 - part)
    factors[0] = 1.0
    return np.asarray(np.clip(np.where(known, factors, 1.0), 1 / LIMIT, LIMIT))


def _columns(graph: Graph, classes: _Classes, node: Node) -> tuple[Array, Array] | None:
    """For each input channel of a layer its class, and its largest weight as a part of the largest of the same output.

    None for depthwise layers, where a channel's weights have a step of their own.
    """
    if not classes.scalable(node) or node.op == "dwconv":
        return None
    own, weights = classes.channels(first_input(node)), graph.values[node.inputs[1] or ""].data
    assert own is not None and weights is not None
    size = np.abs(weights.astype(np.float64))
    whole = size.max(axis=(2, 3), keepdims=True)
    return own, (size / np.where(whole > 0, whole, 1)).max(axis=(1, 2)).reshape(-1)


def _scale(graph: Graph, classes: _Classes, node: Node, factors: Array) -> None:
    """Put the factors of a layer's input and output into its weights and bias."""
    if not classes.scalable(node):
        return
    taken, made = classes.channels(first_input(node)), classes.channels(first_output(node))
    assert taken is not None and made is not None
    s, t = factors[taken], factors[made]
    if (s == 1).all() and (t == 1).all():
        return
    for i, name in enumerate(node.inputs[1:3], 1):
        if name is None:
            continue
        value = graph.values[name]
        assert value.data is not None
        factor = 1 / t.reshape(value.shape) if i == 2 else _weight_factor(node, value.shape, s, t)
        node.inputs[i] = add_constant(graph, f"{name}:equal", (value.data * factor).astype(np.float32), value.pack)


def _weight_factor(node: Node, shape: tuple[int, ...], s: Array, t: Array) -> Array:
    if node.op == "dwconv":
        return np.asarray(s / t)
    return np.asarray(s.reshape(shape[0], 1, 1, shape[3]) / t.reshape(*shape[:2], 1, 1))
