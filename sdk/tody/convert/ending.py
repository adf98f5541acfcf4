"""Where a model ends: at tensors that the user names, or before the nodes that tody cannot do."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from ..errors import UsageError
from .nodes import schedule, taken


class Step(NamedTuple):
    """A node as far as it matters here: its name, and the tensors that it takes and makes."""

    name: str
    takes: Collection[str]
    makes: Collection[str]


def check_ends(ends: Sequence[str], made: Collection[str]) -> None:
    """Raise UsageError if a name is none of the tensors that the model computes."""
    for name in ends:
        if name not in made:
            near = ", ".join(difflib.get_close_matches(name, made, 3, 0.4))
            why = f"it computes {near}" if near else f"it computes {len(made):,} tensors, none by such a name"
            raise UsageError(f"the model cannot end at {name!r}", why, "--end takes the name of a tensor, as Netron shows it")


def end_onnx(model: Any, ends: Sequence[str]) -> Any:
    """A copy of an onnx.ModelProto whose outputs are other tensors of it; inputs that these do not need are left out.

    Raises:
        UsageError: nothing makes such a tensor.
    """
    check_ends(ends, [name for node in model.graph.node for name in node.output if name])
    copy = type(model)()
    copy.CopyFrom(model)
    graph, nodes = copy.graph, schedule(list(model.graph.node), ends)
    needed = {name for node in nodes for name in taken(node)}
    known = {info.name: info for info in (*model.graph.value_info, *model.graph.output)}
    inputs = [info for info in model.graph.input if info.name in needed]
    for field in (graph.node, graph.input, graph.output):
        del field[:]
    graph.node.extend(nodes)
    graph.input.extend(inputs)
    for name in dict.fromkeys(ends):
        info = graph.output.add(name=name)
        if name in known:
            info.CopyFrom(known[name])
    return copy


def steps_of(model: Any) -> list[Step]:
    """The nodes of an onnx.ModelProto on which its outputs depend, in an order in which they can run."""
    nodes = schedule(list(model.graph.node), [info.name for info in model.graph.output])
    names = (node.name or next(filter(None, node.output), node.op_type) for node in nodes)
    return [Step(name, taken(node), list(filter(None, node.output))) for name, node in zip(names, nodes, strict=True)]


def ends_before(steps: Iterable[Step], inputs: Collection[str], outputs: Sequence[str], refused: Collection[str]) -> list[str]:
    """Where the model could end instead so that none of the refused nodes is left; empty if there is no such place.

    Args:
        steps: all nodes, in an order in which they can run.
        inputs, outputs: the model's own.
        refused: names of nodes.
    """
    live, lost = set(inputs), set[str]()  # what depends on an input; what depends on a refused node
    ends: dict[str, None] = {}
    for step in steps:
        is_lost = not lost.isdisjoint(step.takes)
        if step.name in refused and not is_lost:
            found = [name for name in step.takes if name in live and name not in inputs]
            if not found:
                return []
            ends |= dict.fromkeys(found)
        if step.name in refused or is_lost:
            lost.update(step.makes)
        if not live.isdisjoint(step.takes):
            live.update(step.makes)
    return [*ends, *(name for name in outputs if name not in lost)]
