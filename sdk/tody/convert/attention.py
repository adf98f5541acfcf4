"""Attention as one operator, whose scores never exist whole (runtime/ops/attention.c)."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from .graph import Graph, Node
from .rewrite import Index, first_input, first_output, sweep


def join_attention(graph: Graph) -> None:
    """Let one node make each product of weighted values, of float32, whose weights nothing else takes.

    For the file alone: what looks at single values, as calibration does, wants the operators one by one.
    """
    sweep(graph, [_join])


def _join(index: Index, node: Node) -> bool:
    """softmax(q * k + addend) * v."""
    softmax = _made_for(index, node, "softmax") if node.op == "matmul" and not node.attrs.get("transpose_b") else None
    if softmax is None:
        return False
    shape = index.graph.values[first_output(softmax)].shape
    if softmax.attrs["axis"] != len(shape) - 1 or softmax.attrs.get("log"):
        return False
    scores, addend = _made_for(index, softmax, "matmul"), None
    if scores is None:
        scores, addend = _sum(index, softmax)
    y = index.graph.values[first_output(node)].shape
    if scores is None or not _fits(index.graph, scores, addend, y):
        return False
    q, k = scores.inputs[:2]
    node.op, node.attrs = "attention", {"transpose_k": scores.attrs.get("transpose_b", 0)}
    node.inputs = [q, k, node.inputs[1], *([addend] if addend else [])]
    return True


def _made_for(index: Index, node: Node, op: str, i: int = 0) -> Node | None:
    """The `op` that makes input i of a node, for it alone."""
    name = node.inputs[i]
    return index.maker(name, op) if index.only_user(name) is node else None


def _sum(index: Index, softmax: Node) -> tuple[Node | None, str | None]:
    """The product and what is added to it, of scores that are a sum."""
    add = _made_for(index, softmax, "binary")
    if add is None or add.attrs["fn"] != "add" or add.attrs.get("activation", ("none",))[0] != "none":
        return None, None
    for i in (0, 1):
        product = _made_for(index, add, "matmul", i)
        same = index.graph.values[add.inputs[i] or ""].shape == index.graph.values[first_input(softmax)].shape
        if product is not None and same:
            return product, add.inputs[1 - i]
    return None, None


def _fits(graph: Graph, scores: Node, addend: str | None, y: tuple[int, ...]) -> bool:
    """Whether scores and addend are of float32, in batches as the result's, or the addend in one."""
    values = graph.values[first_output(scores)], graph.values[addend or first_output(scores)]
    if values[0].shape[:-1] != y[:-1] or any(value.dtype != "float32" for value in values):
        return False
    added, whole = values[1].shape, values[0].shape
    return len(added) == len(whole) and added[-1] == whole[-1] and all(a in (1, w) for a, w in zip(added, whole, strict=True))
