"""Move transposes until they meet and cancel.

Most operators do not care in which order the dimensions of a tensor lie in memory. Around each transposing copy the pass
gathers the region of such operators and asks which of them should work in the transposed layout, so that the copies left over
at the region's border move the fewest bytes: a minimum cut, exact for one layout and one region. The result is applied only if
it is cheaper than what is there, so the pass ends.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .. import format as fmt
from . import views
from .cut import SINK, SOURCE, Network
from .graph import Graph, Node, Value
from .orders import UNIFORM, Order, carry, moves_nothing, remap
from .rewrite import Index, add_constant, add_value, first_input, first_output
from .simplify import simplify

_COPY_COST = 256.0  # bytes: what starting one more operator is worth


def settle_layout(graph: Graph) -> None:
    """Let each operator work in the layout that needs the fewest transposed bytes. Shapes of inputs and outputs stay."""
    simplify(graph, layout_is_settled=False)
    hopeless: set[str] = set()  # outputs of copies for which the choice was no gain once all was merged
    changed = True
    while changed:
        changed = False
        for name in [first_output(node) for node in graph.nodes if node.op == "copy"]:
            changed |= name not in hopeless and _improve(graph, name, hopeless)


def _improve(graph: Graph, name: str, hopeless: set[str]) -> bool:
    """Try to make the copy that makes `name` unnecessary. Returns whether all copies together cost less now."""
    index = Index(graph)
    node = index.maker(name, "copy")
    region = None if node is None else _best_region(index, node)
    if region is None:
        return False
    before, kept = _total(graph), _snapshot(graph)
    _apply(index, region)
    simplify(graph, layout_is_settled=False)
    if _total(graph) < before:
        return True
    graph.nodes, graph.values, graph.outputs = kept
    hopeless.add(name)
    return False


def _total(graph: Graph) -> float:
    """What all copies of the graph cost."""
    index = Index(graph)
    orders = [(node, _order(index, node)) for node in graph.nodes if node.op == "copy"]
    return sum(_cost(index, first_output(node) if order is None else first_input(node), order) for node, order in orders)


def _snapshot(graph: Graph) -> tuple[list[Node], dict[str, Value], list[str]]:
    nodes = [replace(n, inputs=list(n.inputs), outputs=list(n.outputs), attrs=dict(n.attrs)) for n in graph.nodes]
    return nodes, dict(graph.values), list(graph.outputs)


def _best_region(index: Index, node: Node) -> Region | None:
    """The region, forwards or backwards of a transposing copy, whose best choice saves bytes."""
    order = _order(index, node)
    if order is None or order == tuple(range(len(order))):
        return None
    back = tuple(int(d) for d in np.argsort(order))
    for name, wanted in ((first_output(node), back), (first_input(node), order)):
        region = _grow(index, name, wanted)
        if _choose(index, region):
            return region
    return None


def _order(index: Index, node: Node) -> Order | None:
    """The order of a transposing copy; None for other copies."""
    values, y = index.graph.values, first_output(node)
    return views.permutation(views.of_node(node, values[y].shape), values[first_input(node)].shape)


@dataclass
class Region:
    """Values with the order in which they could lie (physical = logical.transpose(order)) and the operators between them.

    `chosen` are the operators that shall work in that order.
    """

    orders: dict[str, Order] = field(default_factory=dict)
    ops: list[Node] = field(default_factory=list)
    chosen: set[int] = field(default_factory=set)


def _grow(index: Index, seed: str, order: Order) -> Region:
    region = Region({seed: order})
    todo, inside = [seed], set()
    while todo:
        name = todo.pop()
        makers = [node] if (node := index.maker(name)) is not None else []
        for node in makers + index.users.get(name, []):
            found = None if id(node) in inside else carry(index.graph, node, name, region.orders[name])
            if found is None or any(region.orders.get(other, o) != o for other, o in found.items()):
                continue
            inside.add(id(node))
            region.ops.append(node)
            fresh = [other for other in found if other not in region.orders]
            region.orders.update(found)
            todo += [other for other in fresh if found[other] != tuple(range(len(found[other])))]
    return region


def _cost(index: Index, name: str, order: Order | None) -> float:
    """Bytes that a copy of the value into another order moves; next to nothing where a reshape does it, best at an input."""
    value = index.graph.values[name]
    if order is not None and moves_nothing(value.shape, order):
        return 0.0 if order == tuple(range(len(order))) else 1.0 if index.maker(name) else 0.5
    return _COPY_COST + math.prod(value.shape) * fmt.DTYPES[value.dtype][1].itemsize


def _side(index: Index, node: Node, name: str, order: Order, inside: set[int]) -> Any:
    """Where a maker or user of a value stands: SOURCE (wants the new order), SINK (the old), its id (free), None (either)."""
    if id(node) in inside:
        return id(node)
    if node.op != "copy":
        return SINK
    mine = _order(index, node)
    if mine is None:
        return None
    shape = index.graph.values[first_input(node)].shape
    left = mine if name == first_input(node) else tuple(mine[d] for d in order)
    vanishes = moves_nothing(shape, left) if name != first_input(node) else _alike(shape, mine, order)
    return SOURCE if vanishes else None


def _alike(shape: tuple[int, ...], a: Order, b: Order) -> bool:
    return [d for d in a if shape[d] > 1] == [d for d in b if shape[d] > 1]


def _stands(index: Index, region: Region, name: str) -> tuple[Any, list[Any]]:
    """The side of the value's maker and those of its users that matter."""
    inside, order = {id(node) for node in region.ops}, region.orders[name]
    maker = index.maker(name)
    made = SINK if maker is None else _side(index, maker, name, order, inside)
    users = [_side(index, node, name, order, inside) for node in index.users.get(name, [])]
    if name in index.graph.outputs:
        users.append(SINK)
    return ("copy", name) if made is None else made, [user for user in users if user is not None]


def _choose(index: Index, region: Region) -> bool:
    """Fill `region.chosen` with the best choice; False if it is no better than leaving everything as it is."""
    network, now = Network(), 0.0
    for name, order in region.orders.items():
        cost = _cost(index, name, order)
        if not cost:
            continue
        maker, users = _stands(index, region, name)
        if SOURCE in (maker, *users) and any(user != maker for user in users):
            now += cost
        network.edge(maker, ("made", name), cost)
        network.edge(("used", name), maker, cost)
        for user in users:
            network.edge(("made", name), user, math.inf)
            network.edge(user, ("used", name), math.inf)
    least, side = network.cut()
    region.chosen = {id(node) for node in region.ops if id(node) in side}
    return least < now


def _apply(index: Index, region: Region) -> None:
    """Let the chosen operators work in their order, with copies where the others meet them; `simplify` merges those."""
    graph, renamed = index.graph, {}
    for name, order in region.orders.items():
        value = graph.values[name]
        shape = tuple(value.shape[d] for d in order)
        renamed[name] = add_value(graph, f"{name}:{''.join(map(str, order))}", shape, value.dtype, value.quant)
    for name, order in region.orders.items():
        _connect(index, region, name, renamed[name], order)
    for node in region.ops:
        if id(node) in region.chosen:
            _relay(graph, node, region.orders, renamed)


def _connect(index: Index, region: Region, name: str, other: str, order: Order) -> None:
    """A copy behind the value's maker, from the order in which it is made to the one in which others want it."""
    graph, maker = index.graph, index.maker(name)
    shape = graph.values[name].shape
    if maker is not None and id(maker) in region.chosen:
        if name not in graph.outputs and all(id(node) in region.chosen for node in index.users.get(name, [])):
            return
        back = tuple(int(d) for d in np.argsort(order))
        view = views.transpose(graph.values[other].shape, back)
        copy = Node("copy", [other], [name], views.attributes(view), maker.source)
    elif any(id(node) in region.chosen for node in index.users.get(name, [])):
        view = views.transpose(shape, order)
        copy = Node("copy", [name], [other], views.attributes(view), "" if maker is None else maker.source)
    else:
        return
    graph.nodes.insert(0 if maker is None else graph.nodes.index(maker) + 1, copy)


def _relay(graph: Graph, node: Node, orders: dict[str, Order], renamed: dict[str, str]) -> None:
    """Rewrite one operator for its new order; constants are transposed here and now."""
    order = orders[next(name for name in (*node.inputs, *node.outputs) if name in orders)]
    result = orders[first_output(node)]
    node.attrs = remap(node, order)
    inputs: list[str | None] = []
    for name in node.inputs:
        data = None if name is None else graph.values[name].data
        if name in renamed:
            inputs.append(renamed[name])
        elif name is not None and data is not None and node.op in UNIFORM:
            quant = graph.values[name].quant
            inputs.append(add_constant(graph, f"{name}:relaid", data.transpose(result), quant=quant))
        else:
            inputs.append(name)
    node.inputs = inputs
    node.outputs = [renamed[name] if name is not None else None for name in node.outputs]
