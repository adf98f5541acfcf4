"""Decide which operators compute in int8, which values share a quantisation, and put the casts around them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..convert.channels import activation_of
from ..convert.functions import UNARY
from ..convert.graph import Graph, Node, Quant, Value
from ..convert.rewrite import add_value, drop_dead, first_output, insert_after, insert_before, slot
from ..convert.slopes import prelu_behind, slopes_of
from . import ranges
from .observe import Spread

LINEAR = ("conv", "dwconv", "deconv", "dense")  # inputs: x, weights, [bias], [addend]
HEAVY = (*LINEAR, "matmul")
MOVES = ("reshape", "copy", "concat", "pad", "gather", "where", "resize")
TABLED = (  # functions of one value that a table of 256 integers gives well: smooth, and finite everywhere
    "clamp leaky_relu elu selu celu sigmoid tanh hard_sigmoid hard_swish silu gelu gelu_tanh mish softplus softsign "
    "thresholded_relu shrink affine abs neg erf sin cos atan"
).split()
INTEGERS = ":int8"  # behind the name of a value: its integers
REAL = ":real"  # behind the name of a value: what its integers stand for
_CLAMPS = ("none", "clamp")
_NO_PAD = 1e9  # a pad value beyond this means minus infinity: it is never to win
_UNEQUAL = 2.0  # a step this much wider than needed loses one bit


@dataclass
class Roles:
    """Which nodes compute in int8, and why the others do not: reasons are given for those that could matter."""

    integer: set[Node] = field(default_factory=set)
    reasons: dict[Node, str] = field(default_factory=dict)


def prepare(graph: Graph, io_is_integer: bool = False) -> None:
    """Take apart what int8 operators cannot do at once; the float function stays the same.

    Activations that are neither clamps nor leaky ReLUs become operators of their own (tables later). So do leaky ReLUs, and
    additions, whose result only float32 operators take: what comes before them is then rounded in steps of its own. PReLUs
    with several slopes are operators of their own here; integers have them in their layers (`unrounded`).
    """
    for node in list(graph.nodes):
        activation = activation_of(node)
        if node.op in LINEAR and activation[0] not in _CLAMPS and slopes_of(graph, node) is None:
            _part(graph, node, "unary", [], {"function": activation})
    again = True
    while again:
        integer, users, again = decide(graph, {}, io_is_integer).integer, graph.consumers(), False
        for node in list(graph.nodes):
            activation, y = activation_of(node), first_output(node)
            outer = integer.isdisjoint(users.get(y, [])) and not (io_is_integer and y in graph.outputs)
            if node not in integer or node.op not in LINEAR or not outer:
                continue
            if activation[0] not in _CLAMPS:
                _part(graph, node, "unary", [], {"function": activation})
                again = True
            elif slot(node, 3) is not None:
                _part(graph, node, "binary", [node.inputs.pop()], {"fn": "add", "activation": activation})
                again = True


def _part(graph: Graph, node: Node, op: str, more: list[str | None], attrs: dict[str, Any]) -> None:
    """Let a new operator behind the node make what the node made, with its activation."""
    y = first_output(node)
    inner = add_value(graph, f"{y}:before", graph.values[y].shape)
    node.outputs, node.attrs = [inner], {**node.attrs, "activation": ("none", 0.0, 0.0)}
    insert_after(graph, node, Node(op, [inner, *more], [y], attrs, node.source))


def slots(node: Node) -> tuple[int, ...]:
    """Which inputs of an operator are activations that int8 reads as integers."""
    if node.op in LINEAR:
        return (0, 3) if slot(node, 3) is not None else (0,)
    if node.op == "matmul" or (node.op == "binary" and node.attrs["fn"] != "prelu"):
        return (0, 1)
    if node.op == "where":
        return (1, 2)
    return tuple(range(len(node.inputs))) if node.op == "concat" else (0,)


def unrounded(graph: Graph, integer: set[Node]) -> set[str]:
    """What layers make whose PReLU belongs to their rescaling: it is not rounded, and has no quantisation."""
    users, found = graph.consumers(), set()
    for node in integer:
        behind = users.get(first_output(node), [])
        if len(behind) == 1 and behind[0] in integer and prelu_behind(graph, node, behind[0]):
            found.add(first_output(node))
    return found


def keeps_quantisation(node: Node) -> bool:
    """Whether the integers of an operator's output stand for the same numbers as those of its inputs."""
    if node.op in ("pool", "reduce", "binary"):
        return node.attrs.get("kind", node.attrs.get("fn")) in ("max", "min")
    return node.op in MOVES


def _refusal(graph: Graph, node: Node) -> str:
    """Why an operator has no int8 form; empty if it has one."""
    values, attrs = graph.values, node.attrs
    if any(values[name].dtype != "float32" for name in (*(node.inputs[i] or "" for i in slots(node)), first_output(node))):
        return "not on real numbers"
    if node.op in LINEAR:
        weights, bias = values[node.inputs[1] or ""], slot(node, 2)
        if not weights.constant or weights.dtype != "float32" or not (bias is None or values[bias].constant):
            return "weights are computed"
        return "" if np.isfinite(weights.data).all() else "weights are not finite"  # type: ignore[arg-type]
    if node.op == "unary":
        return "" if attrs["function"][0] in TABLED else f"{attrs['function'][0]} is not for tables"
    if node.op == "binary":
        known = attrs["fn"] in ("add", "sub", "mul", "min", "max") or slopes_of(graph, node) is not None
        return "" if known else f"{attrs['fn']} has no int8 form"
    if node.op == "reduce":
        return "" if attrs["fn"] in ("mean", "max", "min") else f"{attrs['fn']} has no int8 form"
    return "" if node.op in (*MOVES, "matmul", "pool") else f"{node.op} has no int8 form"


def decide(graph: Graph, kept: Mapping[str, str], io_is_integer: bool = False) -> Roles:
    """Which operators compute in int8.

    Convolutions and matrix products do, wherever they can. Any other operator does unless it stands at the border of float32:
    one whose result only float32 operators take would be turned back at once, and an arithmetic one that has its operands in
    float32 is as quick and more exact before the cast. Inputs and outputs of the model count as float32, unless asked
    otherwise.

    Args:
        kept: first output of nodes that shall stay in float32, with the reason.
    """
    roles = Roles(set(graph.nodes))
    for node in graph.nodes:
        reason = kept.get(first_output(node)) or _refusal(graph, node)
        if reason:
            roles.integer.discard(node)
            roles.reasons[node] = reason
    makers, users = graph.producer(), graph.consumers()
    outer = set(graph.outputs) if io_is_integer else set()
    given = set(graph.inputs) if io_is_integer else set()
    before = len(roles.integer) + 1
    while len(roles.integer) < before:
        before = len(roles.integer)
        for node in reversed(graph.nodes):
            y = first_output(node)
            if node.op not in HEAVY and y not in outer and roles.integer.isdisjoint(users.get(y, [])):
                roles.integer.discard(node)
        for node in graph.nodes:
            taken = [node.inputs[i] or "" for i in slots(node)]
            if node.op not in (*HEAVY, *MOVES) and not any(x in given or makers.get(x) in roles.integer for x in taken):
                roles.integer.discard(node)
    return roles


class _Groups:
    """Values that have one quantisation (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        while (parent := self._parent.get(name, name)) != name:
            self._parent[name] = self._parent.get(parent, parent)
            name = parent
        return name

    def join(self, a: str, b: str) -> None:
        self._parent[self.find(b)] = self.find(a)


@dataclass
class Choice:
    """The quantisation of every value that has one.

    Attributes:
        quants: value -> what its integers stand for.
        ranges: the same as ranges, for the report.
        recast: (first output of a node, input) whose value keeps a quantisation of its own and is requantised for this node.
    """

    quants: dict[str, Quant] = field(default_factory=dict)
    ranges: dict[str, ranges.Range] = field(default_factory=dict)
    recast: set[tuple[str, int]] = field(default_factory=set)


def choose(
    graph: Graph,
    integer: set[Node],
    spreads: Mapping[str, Spread],
    method: str = "auto",
    fixed: Mapping[str, ranges.Range] | None = None,
    bits: int = 8,
) -> Choice:
    """A range for each value that int8 operators take or make; equal ones where the format asks for it.

    A value that a concatenation takes, and others besides, keeps its own range if that of the concatenation is more than twice
    as wide: it is requantised for the concatenation alone. What only the concatenation takes gets its range, because another
    rounding in between could only lose.

    Args:
        spreads: of all values that are not constants.
        method: of `ranges.choose`.
        fixed: ranges of values that were not observed.
        bits: of the integers, 8 or 16.
    """
    fixed = fixed or {}
    spreads = {**spreads, **_constants(graph, integer)}
    tied = [(node, i) for node in graph.nodes if node in integer and keeps_quantisation(node) for i in slots(node)]
    users = graph.consumers()
    contested = [(n, i) for n, i in tied if n.op == "concat" and len(users[n.inputs[i] or ""]) > 1]
    found = _choose(graph, integer, spreads, method, fixed, [t for t in tied if t not in contested], bits)
    recast = {(n, i) for n, i in contested if _is_wider(found.ranges, n, n.inputs[i] or "")}
    found = _choose(graph, integer, spreads, method, fixed, [t for t in tied if t not in recast], bits)
    found.recast = {(first_output(n), i) for n, i in recast}
    return found


def _is_wider(found: Mapping[str, ranges.Range], node: Node, x: str) -> bool:
    whole = [found[name] for name in (*node.inputs, first_output(node)) if name is not None and name in found]
    return max(each.high - each.low for each in whole) > _UNEQUAL * (found[x].high - found[x].low)


def _constants(graph: Graph, integer: set[Node]) -> dict[str, Spread]:
    found: dict[str, Spread] = {}
    for node in graph.nodes:
        for i in slots(node) if node in integer else ():
            value = graph.values[node.inputs[i] or ""]
            if value.data is not None and value.name not in found:
                found[value.name] = Spread()
                found[value.name].add(value.data)
    return found


def _choose(
    graph: Graph,
    integer: set[Node],
    spreads: Mapping[str, Spread],
    method: str,
    fixed: Mapping[str, ranges.Range],
    tied: list[tuple[Node, int]],
    bits: int,
) -> Choice:
    groups = _Groups()
    for node, i in tied:
        groups.join(first_output(node), node.inputs[i] or "")
    members: dict[str, list[str]] = {}
    inner = unrounded(graph, integer)
    for node in graph.nodes:
        if node in integer:
            for name in (*(node.inputs[i] for i in slots(node)), first_output(node)):
                if name is not None and name not in inner and name not in members.setdefault(groups.find(name), []):
                    members[groups.find(name)].append(name)
    moved = {first_output(node) for node, _ in tied}
    choice = Choice()
    for names in members.values():
        sources = [name for name in names if name not in moved] or names
        given = next((fixed[name] for name in names if name in fixed), None)
        found = given or _range(graph, integer, names, sources, spreads, method)
        for name in names:
            choice.ranges[name], choice.quants[name] = found, ranges.quant_of(found.low, found.high, bits)
    return choice


def _range(
    graph: Graph, integer: set[Node], names: list[str], sources: list[str], spreads: Mapping[str, Spread], method: str
) -> ranges.Range:
    """The range of a group, from those of its values that are computed and not only moved."""
    users = graph.consumers()
    functions: list[ranges.Function | None] = []
    for name in names:
        for node in users.get(name, []):
            if not keeps_quantisation(node) or node not in integer:
                functions.append(_function(node))
    spread = spreads[sources[0]] if len(sources) == 1 else ranges.merge([spreads[name] for name in sources])
    found = ranges.choose(spread, method, functions or [None])
    pads = [float(n.attrs["value"]) for n in graph.nodes if n.op == "pad" and first_output(n) in names and _counts(n, users)]
    return ranges.Range(min([found.low, *pads]), max([found.high, *pads]), found.method)


def _function(node: Node) -> ranges.Function | None:
    """What an operator makes of each element, if it is a function of one value that is known."""
    name, a, b = node.attrs["function"] if node.op == "unary" else ("", 0.0, 0.0)
    function = UNARY.get(name)
    return None if function is None else lambda x: np.nan_to_num(function(x, a, b))


def _counts(pad: Node, users: Mapping[str, list[Node]]) -> bool:
    """Whether the value of a padding may be seen. In front of a maximum it stands for minus infinity, and never wins."""
    value = float(pad.attrs.get("value", 0.0))
    if pad.attrs["mode"] != "constant" or not abs(value) < _NO_PAD:
        return False
    takers = users.get(first_output(pad), [])
    return value >= 0 or not all(n.op == "pool" and n.attrs["kind"] == "max" for n in takers)


def quantise(graph: Graph, integer: set[Node], choice: Choice) -> None:
    """Put the casts of activations into the graph, as `convert/graph.py` describes them. Weights stay as they are."""
    makers = graph.producer()
    for name, quant in choice.quants.items():
        value, maker = graph.values[name], makers.get(name)
        users = graph.consumers().get(name, [])
        if maker not in integer:
            users = [node for node in users if node in integer]
        if not users and name not in graph.outputs:
            continue
        casts, through = _casts(graph, value, quant)
        at = 0 if maker is None else graph.nodes.index(maker) + 1
        graph.nodes[at:at] = casts
        for node in users:
            taken = slots(node) if node in integer else range(len(node.inputs))
            node.inputs = [through if x == name and i in taken else x for i, x in enumerate(node.inputs)]
        if maker in integer:
            graph.outputs = [through if x == name else x for x in graph.outputs]
    for node in [n for n in graph.nodes if n in integer]:
        for i in (i for y, i in choice.recast if y == first_output(node)):
            casts, through = _casts(graph, graph.values[node.inputs[i] or ""], choice.quants[first_output(node)])
            for cast in casts:
                insert_before(graph, node, cast)
            node.inputs[i] = through
    drop_dead(graph)


def _casts(graph: Graph, value: Value, quant: Quant) -> tuple[list[Node], str]:
    """Casts from a value to its integers and back; returns them and what they make. Constants are quantised here."""
    integers = add_value(graph, f"{value.name}{INTEGERS}", value.shape, quant.dtype, quant)
    through = add_value(graph, f"{value.name}{REAL}", value.shape)
    back = Node("cast", [integers], [through])
    if value.data is None:
        return [Node("cast", [value.name], [integers]), back], through
    graph.values[integers].data = quant.quantise(value.data)
    return [back], through


def linear_nodes(graph: Graph, integer: Iterable[Node]) -> list[Node]:
    """The operators with weights among these, in the order of the graph."""
    chosen = set(integer)
    return [node for node in graph.nodes if node in chosen and node.op in LINEAR]
