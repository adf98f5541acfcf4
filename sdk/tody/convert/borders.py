"""Inputs and outputs in int8: a graph in integers without the casts at its borders."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .graph import Graph
from .rewrite import drop_dead, first_output


def integer_borders(graph: Graph, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Let float32 inputs and outputs be int8 where nothing but a cast stands between them and integers.

    Others stay as they are, and are noted in the graph's notes: a softmax, for one, makes float32.

    Args:
        graph: after `to_integers`; changed.
        facts: of `describe`.

    Returns:
        the facts with the dtypes that the ports have now.
    """
    for name in graph.inputs:
        _input(graph, name)
    makers = graph.producer()
    for i, name in enumerate(graph.outputs):
        maker = makers.get(name)
        inner = graph.values[maker.inputs[0] or ""] if maker and maker.op == "cast" else None
        if inner is not None and inner.quant is not None and inner.name not in (*graph.inputs, *graph.outputs):
            graph.outputs[i] = inner.name
    drop_dead(graph)
    told = dict(facts)
    for kind, names in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        ports = [{**port, "dtype": graph.values[name].dtype} for port, name in zip(facts[kind], names, strict=True)]
        stay = [port["name"] for port in ports if port["dtype"] == "float32"]
        graph.notes += [f"{kind[:-1]} {name} stays float32: it is used or made by what has no int8 form" for name in stay]
        told[kind] = ports
    return told


def _input(graph: Graph, name: str) -> None:
    """Make one input int8 if all that takes it is casts to one quantisation."""
    casts = graph.consumers().get(name, [])
    made = [graph.values[first_output(node)] for node in casts]
    quants = {value.quant for value in made}
    if graph.values[name].dtype != "float32" or name in graph.outputs or len(quants) != 1 or None in quants:
        return
    if any(node.op != "cast" or value.name in graph.outputs for node, value in zip(casts, made, strict=True)):
        return
    graph.values[name] = replace(graph.values[name], dtype="int8", quant=made[0].quant)
    for value in made:
        graph.replace_uses(value.name, name)
    graph.nodes = [node for node in graph.nodes if node not in casts]
