"""Rules that make a graph smaller without knowing the field: operators without effect, chains, equal nodes, equal constants."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

from ..format import MAX_RANK
from . import views
from .graph import Graph, Node, Value
from .rewrite import Index, Rule, add_constant, add_value, bypass, drop_dead, first_input, first_output, insert_after, sweep

INF = math.inf
Function = tuple[str, float, float]


def simplify(graph: Graph, layout_is_settled: bool = True) -> None:
    """Apply the rules of this file until nothing changes; those that hide a transpose only when the layout is settled."""
    rules = RULES + LATE_RULES if layout_is_settled else RULES
    while True:
        changed = sweep(graph, rules)
        if not (share_nodes(graph) or changed):
            return


def share_constants(graph: Graph) -> None:
    """Let equal constants be one."""
    alike: dict[tuple[object, ...], list[Value]] = {}
    for value in graph.values.values():
        if value.data is not None:
            alike.setdefault((value.dtype, value.shape, value.pack, value.quant), []).append(value)
    renamed: dict[str, str] = {}
    for values in alike.values():
        first: dict[bytes, str] = {}
        for value in values if len(values) > 1 else ():  # the largest weights are often alone with their shape
            digest = hashlib.blake2b(np.ascontiguousarray(value.data).data, digest_size=16).digest()
            renamed[value.name] = first.setdefault(digest, value.name)
    _rename(graph, renamed)


def share_nodes(graph: Graph) -> bool:
    """Let nodes that compute the same be one. Returns whether there were any."""
    first: dict[tuple[object, ...], Node] = {}
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        node.inputs = [renamed.get(name, name) if name is not None else None for name in node.inputs]
        made = tuple(_kind(graph.values[name]) for name in node.outputs if name is not None)
        wanted = tuple(name is not None for name in node.outputs)
        key = (node.op, tuple(node.inputs), repr(sorted(node.attrs.items())), made, wanted)
        twin = first.setdefault(key, node)
        for mine, other in zip(node.outputs, twin.outputs, strict=True):
            if twin is not node and mine is not None and other is not None:
                renamed[mine] = other
    _rename(graph, renamed)
    return bool(renamed)


def _rename(graph: Graph, renamed: dict[str, str]) -> None:
    for node in graph.nodes:
        node.inputs = [renamed.get(name, name) if name is not None else None for name in node.inputs]
    graph.outputs = [renamed.get(name, name) for name in graph.outputs]
    drop_dead(graph)


def _same(index: Index, a: str, b: str) -> bool:
    values = index.graph.values
    return _kind(values[a]) == _kind(values[b])


def _kind(value: Value) -> tuple[object, ...]:
    return value.shape, value.dtype, value.quant


def drop_without_effect(index: Index, node: Node) -> bool:
    """Remove a node whose output is its first input."""
    x, y = first_input(node), first_output(node)
    return _same(index, x, y) and _is_identity(index, node) and bypass(index, node, x)


def _is_identity(index: Index, node: Node) -> bool:
    attrs, values = node.attrs, index.graph.values
    if node.op == "unary":
        return attrs["function"] in (("affine", 1.0, 0.0), ("clamp", -INF, INF)) or attrs["function"][0] == "none"
    if node.op == "pool":
        plain = tuple(attrs["kernel"]) == (1, 1) and tuple(attrs.get("stride", (1, 1))) == (1, 1)
        return plain and not any(attrs.get("pad", ()))
    if node.op == "reduce":
        shape = values[first_input(node)].shape
        return all(extent == 1 for d, extent in enumerate(shape) if attrs["axes"] >> d & 1)
    if node.op == "copy":
        return views.is_identity(_view(index, node), math.prod(values[first_input(node)].shape))
    return node.op in ("cast", "pad", "reshape", "concat") and (node.op != "concat" or len(node.inputs) == 1)


def merge_reshapes(index: Index, node: Node) -> bool:
    """reshape(reshape(x)) is one reshape of x."""
    before = index.maker(first_input(node), "reshape")
    if node.op != "reshape" or before is None:
        return False
    node.inputs = [first_input(before)]
    return True


def copy_to_reshape(index: Index, node: Node) -> bool:
    """A copy of all elements in their order is a reshape."""
    values = index.graph.values
    if node.op != "copy" or not views.is_identity(_view(index, node), math.prod(values[first_input(node)].shape)):
        return False
    node.op, node.attrs = "reshape", {}
    return True


def copy_through_reshape(index: Index, node: Node) -> bool:
    """A copy counts elements only, so it can read what was reshaped."""
    before = index.maker(first_input(node), "reshape")
    if node.op != "copy" or before is None:
        return False
    node.inputs = [first_input(before)]
    return True


def reshape_constant(index: Index, node: Node) -> bool:
    """A constant is reshaped here and now."""
    data = index.constant(first_input(node))
    if node.op != "reshape" or data is None:
        return False
    y = first_output(node)
    made = index.graph.values[y]
    return bypass(index, node, add_constant(index.graph, f"{y}:constant", data.reshape(made.shape), quant=made.quant))


def merge_copies(index: Index, node: Node) -> bool:
    """copy(copy(x)) is one copy of x, where one strided view says both."""
    before = index.maker(first_input(node), "copy")
    if node.op != "copy" or before is None:
        return False
    view = views.compose(_view(index, node), _view(index, before))
    if view is None:
        return False
    node.inputs = list(before.inputs)
    y = first_output(node)
    full = views.expand(view, index.graph.values[y].shape)
    node.attrs = views.attributes(full or view)
    if full is None:
        value = index.graph.values[y]
        node.outputs = [add_value(index.graph, f"{y}:flat", view.shape, value.dtype, value.quant)]
        insert_after(index.graph, node, Node("reshape", [node.outputs[0]], [y], source=node.source))
    return True


def _view(index: Index, node: Node) -> views.View:
    return views.of_node(node, index.graph.values[first_output(node)].shape)


def hoist_function(index: Index, node: Node) -> bool:
    """A function of something moved becomes that function, moved: it meets the operator that made x."""
    before = index.maker(first_input(node))
    alone = before is not None and index.only_user(first_input(node)) is node
    if node.op != "unary" or before is None or before.op not in ("reshape", "copy") or not alone:
        return False
    values, x, y = index.graph.values, first_input(before), first_output(node)
    sizes = [math.prod(values[name].shape) for name in (x, y)]
    if sizes[0] != sizes[1] or (before.op == "copy" and index.only_user(x) is not before):
        return False
    inner = add_value(index.graph, f"{y}:before", values[x].shape, values[y].dtype, values[y].quant)
    index.graph.nodes.remove(before)
    node.inputs, node.outputs = [x], [inner]
    insert_after(index.graph, node, Node(before.op, [inner], [y], before.attrs, before.source))
    return True


def hoist_constant_operand(index: Index, node: Node) -> bool:
    """An operation with a constant on something transposed becomes that operation, transposed, for the same reason."""
    plain = node.op == "binary" and len(node.inputs) == 2
    sides = [i for i, name in enumerate(node.inputs) if index.constant(name) is None] if plain else []
    before = index.maker(node.inputs[sides[0]], "copy") if len(sides) == 1 else None
    if before is None or any(index.only_user(n) is not u for n, u in ((before.outputs[0], node), (before.inputs[0], before))):
        return False
    values, x, y = index.graph.values, first_input(before), first_output(node)
    order = views.permutation(_view(index, before), values[x].shape)
    data = index.constant(node.inputs[1 - sides[0]])
    if order is None or data is None or values[y].shape != values[first_output(before)].shape:
        return False
    inner = add_value(index.graph, f"{y}:before", values[x].shape, values[y].dtype, values[y].quant)
    other = values[str(node.inputs[1 - sides[0]])]
    constant = add_constant(index.graph, f"{other.name}:relaid", data.transpose(np.argsort(order)), quant=other.quant)
    index.graph.nodes.remove(before)
    node.inputs, node.outputs = [x, constant] if sides[0] == 0 else [constant, x], [inner]
    insert_after(index.graph, node, Node("copy", [inner], [y], before.attrs, before.source))
    return True


def scalar_to_unary(index: Index, node: Node) -> bool:
    """An operation with one number is a function of one argument."""
    values, y = index.graph.values, first_output(node)
    if node.op != "binary" or values[y].dtype != "float32" or node.attrs.get("activation", ("none",))[0] != "none":
        return False
    for side, other in ((0, 1), (1, 0)):
        x, constant = node.inputs[side], index.scalar(node.inputs[other])
        if x is None or constant is None or not _same(index, x, y) or not math.isfinite(constant):
            continue
        function = _with_number(node.attrs["fn"], constant, side == 0)
        if function is not None:
            node.op, node.inputs, node.attrs = "unary", [x], {"function": function}
            return True
    return False


def _with_number(fn: str, c: float, number_is_right: bool) -> Function | None:
    """The function x -> fn(x, c), or x -> fn(c, x)."""
    if fn in ("add", "mul", "min", "max"):
        table = {"add": ("affine", 1.0, c), "mul": ("affine", c, 0.0), "min": ("clamp", -INF, c), "max": ("clamp", c, INF)}
        return table[fn]
    if not number_is_right:
        return ("affine", -1.0, c) if fn == "sub" else ("reciprocal", 0.0, 0.0) if fn == "div" and c == 1 else None
    if fn == "div" and c:
        return "affine", 1 / c, 0.0
    powers: dict[float, Function] = {1.0: ("affine", 1.0, 0.0), 0.5: ("sqrt", 0.0, 0.0), -1.0: ("reciprocal", 0.0, 0.0)}
    return {
        "sub": ("affine", 1.0, -c),
        "prelu": ("leaky_relu", c, 0.0),
        "pow": powers.get(c),
    }.get(fn)


def square(index: Index, node: Node) -> bool:
    """x to the power of two is x times x."""
    if node.op != "binary" or node.attrs["fn"] != "pow" or index.scalar(node.inputs[1]) != 2:
        return False
    if not _same(index, first_input(node), first_output(node)):
        return False
    node.inputs, node.attrs = [node.inputs[0], node.inputs[0]], {**node.attrs, "fn": "mul"}
    return True


def constant_operand(index: Index, node: Node) -> bool:
    """Subtracting or dividing by a constant is adding or multiplying with another."""
    if node.op != "binary" or node.attrs["fn"] not in ("sub", "div"):
        return False
    data = index.constant(node.inputs[1])
    if data is None or data.dtype != np.float32 or (node.attrs["fn"] == "div" and (np.abs(data) < 1e-30).any()):
        return False
    fn, new = ("add", -data) if node.attrs["fn"] == "sub" else ("mul", (1 / data.astype(np.float64)).astype(np.float32))
    node.inputs = [node.inputs[0], add_constant(index.graph, f"{node.inputs[1]}:{fn}", new)]
    node.attrs = {**node.attrs, "fn": fn}
    return True


def concat_to_pad(index: Index, node: Node) -> bool:
    """Joining one repeated number to an end is padding."""
    if node.op != "concat" or len(node.inputs) < 2:
        return False
    values, axis, y = index.graph.values, int(node.attrs["axis"]), first_output(node)
    for end in (-1, 0):
        number, rest = index.scalar(node.inputs[end]), node.inputs[:-1] if end else node.inputs[1:]
        if number is None or len(values[y].shape) > MAX_RANK:
            continue
        count = values[str(node.inputs[end])].shape[axis]
        shape = tuple(n - count if d == axis else n for d, n in enumerate(values[y].shape))
        inner = add_value(index.graph, f"{y}:unpadded", shape, values[y].dtype)
        before = tuple(count if d == axis and end == 0 else 0 for d in range(len(shape)))
        attrs = {"mode": "constant", "before": before, "value": number}
        insert_after(index.graph, node, Node("pad", [inner], [y], attrs, node.source))
        node.inputs, node.outputs = rest, [inner]
        return True
    return False


def merge_unary(index: Index, node: Node) -> bool:
    """Two scalings in a row are one, and so are two clamps, unless others need the first, which may go into a convolution."""
    before = index.maker(first_input(node), "unary")
    if node.op != "unary" or before is None or index.only_user(first_output(before)) is not node:
        return False
    merged = _merge(before.attrs["function"], node.attrs["function"])
    if merged is None:
        return False
    node.inputs, node.attrs = list(before.inputs), {"function": merged}
    return True


def _merge(first: Function, second: Function) -> Function | None:
    (f, a, b), (g, c, d) = first, second
    if f == g == "affine":
        return "affine", float(np.float32(a * c)), float(np.float32(b * c + d))
    if f == g == "clamp":
        return "clamp", min(max(a, c), d), min(max(b, c), d)
    return None


RULES: list[Rule] = [
    drop_without_effect,
    merge_reshapes,
    reshape_constant,
    merge_copies,
    scalar_to_unary,
    square,
    constant_operand,
    concat_to_pad,
    merge_unary,
]
LATE_RULES: list[Rule] = [copy_through_reshape, copy_to_reshape, hoist_function, hoist_constant_operand]


def count(graph: Graph) -> dict[str, int]:
    """How many nodes of each operator."""
    ops: dict[str, Any] = {}
    for node in graph.nodes:
        ops[node.op] = ops.get(node.op, 0) + 1
    return dict(sorted(ops.items()))
