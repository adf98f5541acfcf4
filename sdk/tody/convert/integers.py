"""Replace every operator between casts by its integer form.

A cast from int8 or int16 to float32 dequantises, one from float32 to these quantises (graph.py). What cannot be integer stays
float32 between such casts.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .affine import affine_to_dwconv, prelu_to_dwconv
from .filters import widen_groups
from .forms import FORMS, NARROW, NotInteger, blends, dequantised, fixed_weights, integer_form, multipliers
from .fuse import fold_addend
from .graph import Graph, Node, Quant, Value
from .idle import drop_idle_channels
from .rewrite import (
    Index,
    Rule,
    add_constant,
    add_value,
    bypass,
    drop_dead,
    first_input,
    first_output,
    insert_after,
    insert_before,
    slot,
    sweep,
)
from .simplify import share_constants, share_nodes, simplify
from .slopes import prelu_behind, slopes_of
from .tables import merge_tables, tabulate

# Inputs that are real numbers, by operator; of others the first alone.
_REALS = {"conv": (0, 1, 3), "dwconv": (0, 1, 3), "deconv": (0, 1), "dense": (0, 1, 3), "matmul": (0, 1), "binary": (0, 1)}
_LAYERS = ("conv", "dwconv", "deconv", "dense")
INTEGERS = ("int8", "int16")  # dtypes that a quantised value may have
_MOVERS = ("copy", "reshape", "pad", "gather", "concat", "where", "resize")


def to_needed_integers(graph: Graph) -> list[str]:
    """As `to_integers`, without the channels that no result depends on: what every file of a quantised model is made of."""
    islands = to_integers(graph)
    drop_idle_channels(graph)
    return islands


def to_integers(graph: Graph) -> list[str]:
    """Let everything between casts compute in integers, to the bit as docs/format.md says.

    Where an operator moves values without changing them, casts travel through it, so that bytes are moved. Casts that undo each
    other vanish; two between different quantisations become one. Inputs and outputs of the graph keep their dtypes. Weights of
    operators that stay float32 become float32 constants. A graph without quantised values stays as it is.

    Returns:
        One line for each operator that stays float32: which, and why.
    """
    if not any(value.quant for value in graph.values.values()):
        return []
    sweep(graph, [widen_groups])  # those of a graph that was optimised before it was quantised
    while sweep(graph, RULES) | share_nodes(graph):
        pass
    islands = _islands(graph)
    fold_weights(graph)
    simplify(graph)
    share_constants(graph)
    return islands


def _integers(index: Index, name: str | None, weights: bool = False) -> Value | None:
    """The integers behind the cast that makes a float32 value. Only weights may have several scales."""
    cast = index.maker(name, "cast")
    source = None if cast is None else index.graph.values[first_input(cast)]
    if source is None or source.dtype not in INTEGERS or source.quant is None:
        return None
    return source if weights or (len(source.quant.scales) == 1 and source.pack == "plain") else None


def _quantiser(index: Index, node: Node) -> tuple[Node, Value] | None:
    """The cast that alone takes the node's output, and the integers it makes."""
    user = index.only_user(first_output(node))
    if user is None or user.op != "cast" or index.graph.values[first_output(node)].dtype != "float32":
        return None
    made = index.graph.values[first_output(user)]
    return (user, made) if made.dtype in INTEGERS and made.quant else None


def join_casts(index: Index, node: Node) -> bool:
    """From integers to real numbers to integers is one cast, or none."""
    values, made = index.graph.values, index.graph.values[first_output(node)]
    source = _integers(index, node.inputs[0]) if node.op == "cast" and values[first_input(node)].dtype == "float32" else None
    if source is None or made.dtype not in INTEGERS or made.quant is None or source.quant is None:
        return False
    if source.quant == made.quant:
        return bypass(index, node, source.name)
    if source.data is not None:
        return _fold(index, node, source.quant.dequantise(source.data), made.quant)
    if source.quant.bits != 8 or made.quant.bits != 8:
        node.inputs = [source.name]
        return True
    try:
        factor = multipliers(index.graph, made, source.quant.scale / made.quant.scale)
    except NotInteger:
        return False
    node.inputs = [source.name, factor]
    return True


def quantise_constants(index: Index, node: Node) -> bool:
    """A constant is quantised here and now."""
    value, made = index.graph.values[first_input(node)], index.graph.values[first_output(node)]
    if node.op != "cast" or value.data is None or value.dtype != "float32" or made.quant is None:
        return False
    return _fold(index, node, value.data, made.quant)


def _fold(index: Index, node: Node, reals: NDArray[np.float32], quant: Quant) -> bool:
    whole = quant.quantise(reals)
    return bypass(index, node, add_constant(index.graph, f"{first_output(node)}:constant", whole, quant=quant))


def compute_in_integers(index: Index, node: Node) -> bool:
    """An operator between casts takes and makes integers."""
    try:
        form, absorbed = _integer_form(index, node)
    except NotInteger:
        return False
    node.op, node.inputs, node.outputs, node.attrs = form.op, form.inputs, form.outputs, form.attrs
    for part in absorbed:
        index.graph.nodes.remove(part)
    return True


def _integer_form(index: Index, node: Node) -> tuple[Node, list[Node]]:
    """What computes in integers what the node computes between casts, and what is behind it that is then not needed."""
    prelu = prelu_behind(index.graph, node, index.only_user(first_output(node)))
    inputs, cast, made = _between_casts(index, node, prelu or node)
    return integer_form(index.graph, node, inputs, made, prelu), [cast, *([prelu] if prelu else [])]


def _between_casts(index: Index, node: Node, last: Node) -> tuple[list[Value | None], Node, Value]:
    """The inputs, integers where the operator takes real numbers, the cast behind `last` of it, and what that makes.

    Raises:
        NotInteger: it is not an operator between casts.
    """
    values = index.graph.values
    if node.op not in FORMS:
        raise NotInteger(f"{node.op} has no integer form")
    if any(name is not None and values[name].dtype != "float32" for name in (*node.inputs, *last.outputs)):
        raise NotInteger("it does not compute with real numbers")
    activation = node.attrs.get("activation", ("none", 0.0, 0.0))
    if activation[0] not in ("none", "clamp") and not (node.op in _LAYERS and slopes_of(index.graph, node) is not None):
        raise NotInteger(f"what its {activation[0]} takes is not quantised")
    inputs = [None if name is None else values[name] for name in node.inputs]
    for i in _REALS.get(node.op, (0,)):
        name = slot(node, i)
        if name is not None:
            inputs[i] = _integers(index, name, weights=node.op in _LAYERS and i == 1)
            if inputs[i] is None:
                raise NotInteger(f"{name} is not quantised")
    if not all(v is None or v.constant for v in inputs[2:3]):
        raise NotInteger("its bias is not constant")
    if node.op in _LAYERS and (inputs[1] is None or not inputs[1].constant):
        raise NotInteger("its weights are not constant")
    found = _quantiser(index, last)
    if found is None:
        raise NotInteger("its result is not quantised")
    return inputs, *found


def _moved(graph: Graph, node: Node) -> list[int]:
    """Which inputs a node moves, if it only moves or chooses among real numbers."""
    if graph.values[first_output(node)].dtype != "float32":
        return []
    if node.op == "concat":
        return list(range(len(node.inputs)))
    if node.op == "where":
        return [1, 2]
    if node.op == "binary":
        plain = node.attrs.get("activation", ("none",))[0] == "none"
        return [0, 1] if plain and node.attrs["fn"] in ("min", "max") else []
    chooses = (node.op == "pool" and node.attrs["kind"] == "max") or (
        node.op == "reduce" and node.attrs["fn"] in ("min", "max")
    )
    return [0] if chooses or node.op in _MOVERS else []


def dequantise_later(index: Index, node: Node) -> bool:
    """What moves or chooses among dequantised values does so with the integers; the cast stands behind it."""
    graph = index.graph
    places = _moved(graph, node)
    behind = [_integers(index, node.inputs[i]) for i in places]
    quants = {None if value is None else value.quant for value in behind}
    quant = quants.pop() if len(quants) == 1 else None
    if quant is None or not _chooses(node, quant) or not _exact(index, node, quant):
        return False
    if node.op == "resize" and blends(graph, node):
        node.inputs = fixed_weights(graph, node)
    for i, value in zip(places, behind, strict=True):
        node.inputs[i] = None if value is None else value.name
    real = graph.values[first_output(node)]
    made = add_value(graph, f"{real.name}:{quant.dtype}", real.shape, quant.dtype, quant)
    node.outputs[0] = made
    insert_after(graph, node, Node("cast", [made], [real.name], source=node.source))
    return True


def _chooses(node: Node, quant: Quant) -> bool:
    """Whether an operator that moves or chooses does so with such integers."""
    return quant.bits == 8 or node.op not in NARROW


def _exact(index: Index, node: Node, quant: Quant) -> bool:
    """Whether nothing is lost when a node moves integers instead of what they stand for."""
    if node.op == "pad" and node.attrs["mode"] == "constant":
        value = np.float32(node.attrs["value"])
        return bool(quant.dequantise(quant.quantise(value)) == value)
    return node.op != "resize" or not blends(index.graph, node) or (quant.bits == 8 and _quantiser(index, node) is not None)


def quantise_earlier(index: Index, node: Node) -> bool:
    """What is quantised behind an operator that moves or chooses is quantised before it, where that is no more work."""
    graph = index.graph
    places, found = _moved(graph, node), _quantiser(index, node)
    if not places or found is None or (node.op == "resize" and blends(graph, node)):
        return False
    cast, made = found
    taken = dict.fromkeys(str(node.inputs[i]) for i in places)
    known = any(_integers(index, name) for name in taken)
    work = sum(math.prod(graph.values[name].shape) for name in taken if not graph.values[name].constant)
    if made.quant is None or not _chooses(node, made.quant) or not (known or work <= math.prod(made.shape)):
        return False
    renamed = {name: _quantised(graph, node, graph.values[name], made.quant) for name in taken}
    for i in places:
        node.inputs[i] = renamed[str(node.inputs[i])]
    node.outputs[0] = made.name
    graph.nodes.remove(cast)
    return True


def take_unlabelled(index: Index, node: Node) -> bool:
    """Where multipliers say what integers count for, an operator takes them as they were made, not under another scale."""
    values, changed = index.graph.values, False
    for i in (0, 1) if node.op == "binary" and index.constant(slot(node, 2)) is not None else ():
        label = index.maker(node.inputs[i], "reshape")
        if label is None:
            continue
        made, taken = values[first_input(label)], values[first_output(label)]
        if made.quant is None or taken.quant is None or (made.shape, made.dtype) != (taken.shape, taken.dtype):
            continue
        if made.quant.zero_point == taken.quant.zero_point:
            node.inputs[i], changed = made.name, True
    return changed


def _quantised(graph: Graph, user: Node, value: Value, quant: Quant) -> str:
    """A float32 value as integers: a constant, or a cast in front of its user."""
    if value.data is not None:
        return add_constant(graph, f"{value.name}:{quant.dtype}", quant.quantise(value.data), quant=quant)
    name = add_value(graph, f"{value.name}:{quant.dtype}", value.shape, quant.dtype, quant)
    insert_before(graph, user, Node("cast", [value.name], [name], source=user.source))
    return name


RULES: list[Rule] = [
    join_casts,
    quantise_constants,
    affine_to_dwconv,
    prelu_to_dwconv,
    dequantise_later,
    quantise_earlier,
    tabulate,
    compute_in_integers,
    take_unlabelled,
    fold_addend,
    merge_tables,
]


def fold_weights(graph: Graph) -> None:
    """Weights that are still behind casts belong to operators that stay float32."""
    for node in [node for node in graph.nodes if node.op == "cast"]:
        weights = graph.values[first_input(node)]
        if weights.data is not None and weights.quant and graph.values[first_output(node)].dtype == "float32":
            folded = add_constant(graph, f"{weights.name}:float32", dequantised(weights), weights.pack)
            graph.replace_uses(first_output(node), folded)
            graph.nodes.remove(node)
    drop_dead(graph)


def _islands(graph: Graph) -> list[str]:
    """The operators that compute in float32, with the reason."""
    index, found = Index(graph), []
    for node in graph.nodes:
        names = [name for name in (*node.inputs[:1], *node.outputs[:1]) if name is not None]
        if node.op not in ("cast", "reshape") and any(graph.values[name].dtype == "float32" for name in names):
            found.append(f"{node.op} {node.source or first_output(node)}: {_why(index, node)}")
    return found


def _why(index: Index, node: Node) -> str:
    why = "it moves what is not quantised"
    try:
        if not _moved(index.graph, node):
            _integer_form(index, node)
    except NotInteger as e:
        why = str(e)
    return why
