"""Walks over the nodes of a model: folds what is constant, imports what is not, expands functions, collects refusals."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import ModelError
from .builder import Builder
from .ending import ends_before, steps_of
from .fold import fold
from .importers import IMPORTERS
from .nodes import bind, body_of, domain_of, no_such_operator, read_attribute, schedule, schema_of, tensor_array
from .operand import COMPUTE, ELEMENTS, Call, Operand, Refusal, unsupported
from .outlet import outlet, settle_names

MAX_NODES = 50_000  # walked in all, functions expanded: more is an attack
MAX_DEPTH = 24  # functions and branches within each other
MAX_TRIPS = 64  # of a loop that is unrolled

Scope = dict[str, "Operand | None"]  # None: the result of a node that was refused


class Walk:
    """One import.

    Args:
        model: onnx.ModelProto.
        builder: takes the primitives.
    """

    def __init__(self, model: Any, builder: Builder) -> None:
        self.model, self.builder = model, builder
        self.opsets = {domain_of(o): o.version for o in model.opset_import}
        self.opsets.setdefault("", 7)
        self.functions = {(f.domain, f.name): f for f in model.functions}
        self.refused: list[dict[str, object]] = []
        self._outer: Call | None = None  # the model's own node at work; functions and branches have more within
        self._declared: dict[str, Operand | None] | None = None
        self._count = self._depth = 0

    def nodes(self, nodes: Iterable[Any], scope: Scope, outputs: Collection[str]) -> None:
        """Import the nodes that the outputs depend on; their results join the scope."""
        if self._depth >= MAX_DEPTH:
            raise ModelError("the model's functions lie too deep within each other", f"{MAX_DEPTH} levels are the limit")
        self._depth += 1
        for node in schedule(list(nodes), outputs):
            self._count += 1
            if self._count > MAX_NODES:
                raise ModelError("the model has too many nodes", f"{MAX_NODES:,} with all functions expanded are the limit")
            self._node(node, scope)
        self._depth -= 1

    def _node(self, node: Any, scope: Scope) -> None:
        call = self._call(node, scope)
        lost = any(name and scope[name] is None for name in node.input)
        if self._depth == 1:
            self._outer = call
            self.builder.source, self.builder.hint = call.name, next(filter(None, call.outputs), call.name)
        try:
            results = self._after_refusal(call) if lost else self._results(call, node, scope)
        except Refusal as e:
            self._refuse(call, e)
            results = [self._stand_in(name) for name in node.output]
        except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as e:
            if isinstance(e, ModelError):
                raise
            why = f"{type(e).__name__}: {e}"
            raise ModelError(f"node {call.name} ({call.op}) is not sound", why, "check the model with onnx.checker") from e
        for name, result in zip(node.output, results, strict=False):
            if name:
                scope[name] = result

    def _lookup(self, node: Any, name: str, scope: Mapping[str, Operand | None]) -> Operand | None:
        if name not in scope:
            what = f"node {node.name or node.op_type} takes a tensor that does not exist"
            raise ModelError(what, f"nothing in the model makes {name!r}", "export the model again")
        return scope[name]

    def _call(self, node: Any, scope: Scope) -> Call:
        inputs = [self._lookup(node, name, scope) if name else None for name in node.input]
        name = node.name or next(filter(None, node.output), node.op_type)
        domain = domain_of(node)
        attrs = {a.name: read_attribute(a) for a in node.attribute}
        return Call(node.op_type, domain, name, self.opsets.get(domain, 1), inputs, list(node.output), attrs)

    def _after_refusal(self, call: Call) -> list[Operand | None]:
        """The results of a node that takes those of a refused one: it is only looked at for its own sake."""
        key = (call.domain, call.op)
        if not (key in IMPORTERS or key in self.functions or call.op in ("If", "Loop") or schema_of(call)):
            raise no_such_operator(call)
        return [None] * len(call.outputs)

    def _results(self, call: Call, node: Any, scope: Scope) -> list[Operand | None]:
        """The operands a node makes."""
        key = (call.domain, call.op)
        if key in self.functions:
            return self._function(self.functions[key], call, node)
        if all(x is None or x.data is not None for x in call.inputs):
            folded = fold(call, node)
            if folded is not None:
                return folded
        if key == ("", "If"):
            return self._if(call, scope)
        if key == ("", "Loop"):
            return self._loop(call, scope)
        if key not in IMPORTERS:
            return self._function(body_of(call, node), call, node)
        made = IMPORTERS[key](self.builder, call)
        return [made] if isinstance(made, Operand) else list(made)

    # Functions and subgraphs

    def _function(self, function: Any, call: Call, node: Any) -> list[Operand | None]:
        """Import a function's nodes in the place of a call."""
        operands = [*call.inputs, *[None] * len(function.input)]
        scope: Scope = {name: x for name, x in zip(function.input, operands, strict=False) if x is not None}
        absent = set(function.input) - set(scope)
        given = {a.name: a for a in (*function.attribute_proto, *node.attribute)}
        body = [bind(inner, given, absent) for inner in function.node]
        wanted = [name for name, used in zip(function.output, call.outputs, strict=False) if used]
        opsets = self.opsets
        self.opsets = {**opsets, **{domain_of(o): o.version for o in function.opset_import}}
        self.nodes(body, scope, wanted)
        self.opsets = opsets
        return [scope.get(name) for name in function.output]

    def _subgraph(self, graph: Any, outer: Scope, operands: Mapping[str, Operand | None]) -> list[Operand | None]:
        scope: Scope = {**outer, **operands}
        for tensor in graph.initializer:
            data = tensor_array(tensor)
            scope[tensor.name] = Operand(data.shape, ELEMENTS[tensor.data_type], data=data)
        outputs = [o.name for o in graph.output]
        self.nodes(graph.node, scope, outputs)
        return [scope[name] for name in outputs]

    def _if(self, call: Call, scope: Scope) -> list[Operand | None]:
        condition = call.input(0)
        if condition.data is None:
            return self._choice(call, condition, scope)
        taken = bool(condition.data.reshape(-1)[0])
        return self._subgraph(call.attrs["then_branch" if taken else "else_branch"], scope, {})

    def _choice(self, call: Call, condition: Operand, scope: Scope) -> list[Operand | None]:
        """Compute both branches of an If and take the results of one."""
        before, depth, opsets = len(self.refused), self._depth, self.opsets
        why = "its condition is known only at run time, and its branches cannot both be computed"
        yes: list[Operand | None] = []
        no: list[Operand | None] = []
        try:
            yes, no = (self._subgraph(call.attrs[branch], scope, {}) for branch in ("then_branch", "else_branch"))
        except ModelError:  # one branch may only be sound for inputs of another shape
            self._depth, self.opsets = depth, opsets
        if yes and len(self.refused) == before:
            pairs = [(a, b) for a, b in zip(yes, no, strict=True) if a and b and (a.shape, a.dtype) == (b.shape, b.dtype)]
            if len(pairs) == len(yes):
                return [self.builder.where(self.builder.reshape(condition, ()), a, b) for a, b in pairs]
            why = "its condition is known only at run time, and its branches make results of different shapes"
        del self.refused[before:]
        raise Refusal(why, "", condition)

    def _loop(self, call: Call, scope: Scope) -> list[Operand | None]:
        """Unroll a loop whose length is known."""
        body, state, scans = call.attrs["body"], call.inputs[2:], []
        trips = int(call.array(0, "number of rounds").reshape(-1)[0]) if call.optional(0) else MAX_TRIPS + 1
        condition = call.optional(1) or self.builder.constant(np.True_)
        for i in range(max(0, trips)):
            if condition.data is None:
                why = "it ends on a condition known only at run time"
                raise Refusal(why, "export with a fixed number of rounds", condition)
            if not condition.data.reshape(-1)[0]:
                break
            if i == MAX_TRIPS:
                raise Refusal(f"it makes more than {MAX_TRIPS} rounds", "write it without a loop")
            operands = [self.builder.constant(np.int64(i)), condition, *state]
            first, *rest = self._subgraph(body, scope, dict(zip((x.name for x in body.input), operands, strict=True)))
            if first is None or None in rest:
                return [None] * len(call.outputs)
            condition, state = first, rest[: len(state)]
            scans.append(rest[len(state) :])
        return [*state, *(self._stack([x for x in column if x]) for column in zip(*scans, strict=True))]

    def _stack(self, xs: list[Operand]) -> Operand:
        if all(x.data is not None for x in xs):
            return self.builder.constant(np.stack([np.asarray(x.data) for x in xs]))
        return self.builder.concat([self.builder.reshape(x, (1, *x.shape)) for x in xs], 0)

    # Refusals

    def _refuse(self, call: Call, refusal: Refusal) -> None:
        entry = self._outer or call
        why = refusal.why if entry is call else f"{call.op} in its definition: {refusal.why}"
        hint, inputs = refusal.hint, self._inputs_of(refusal.needs)
        if not hint and inputs:
            hint = "give it a fixed value: " + " ".join(f"--bind {name}=VALUE" for name in inputs)
        row = {"name": entry.name, "operator": entry.op, "domain": entry.domain or "ai.onnx", "opset": entry.opset}
        self.refused.append({**row, "why": why, "hint": hint, "inputs": inputs})

    def _inputs_of(self, operand: Operand | None) -> list[str]:
        """The graph's inputs that an operand depends on, nearest first."""
        graph, found = self.builder.graph, []
        producer = graph.producer()
        queue = [operand.name or operand.raw] if operand else []
        for name in queue:
            if name in graph.inputs:
                found.append(name)
            elif name in producer:
                queue += [n for n in producer[name].inputs if n and n not in queue]
        return found

    def _stand_in(self, name: str) -> Operand | None:
        """What the model itself says about a refused result, so that what follows can be looked at too."""
        if self._depth != 1 or not name:
            return None
        if self._declared is None:
            self._declared = _declared_operands(self.model)
        known = self._declared.get(name)
        if known is None or known.dtype not in COMPUTE or 0 in known.shape:
            return None
        try:
            return self.builder.emit("refused", [], known.shape, known.dtype)
        except Refusal:
            return None

    # The end

    def finish(self, results: list[Operand | None], names: list[str]) -> None:
        """Give the graph its outputs, under the model's names and in the model's dtypes.

        Raises:
            UnsupportedError: nodes were refused, or an output has a dtype that no device has.
        """
        if self.refused:
            inputs, refused = [info.name for info in self.model.graph.input], [str(row["name"]) for row in self.refused]
            raise unsupported(self.refused, ends_before(steps_of(self.model), inputs, names, refused))
        for x, name in zip(results, names, strict=True):
            assert x is not None
            if x.dtype == "float64":
                self.builder.graph.notes.append(f"output {name} is float64 in the source and float32 here")
                x = self.builder.cast(x, "float32")
            outlet(self.builder, x, name)
        settle_names(self.builder.graph, names)


def _declared_operands(model: Any) -> dict[str, Operand | None]:
    """Shapes and dtypes by onnx's own inference, where it is complete."""
    from onnx import shape_inference

    try:
        model = shape_inference.infer_shapes(model)
    except Exception:  # inference is a courtesy here: without it less is listed at once
        return {}
    found: dict[str, Operand | None] = {}
    for info in (*model.graph.value_info, *model.graph.output):
        tensor = info.type.tensor_type
        if tensor.HasField("shape") and all(d.dim_value > 0 for d in tensor.shape.dim):
            found[info.name] = Operand(tuple(d.dim_value for d in tensor.shape.dim), ELEMENTS.get(tensor.elem_type, ""))
    return found
