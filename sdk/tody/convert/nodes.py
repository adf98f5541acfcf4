"""What a walk needs to know of ONNX's own structures: order, attributes, function bodies, tensors."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ..errors import ModelError
from .operand import ELEMENTS, Array, Call, Operand, Refusal

CUT = "end the model before it (--end)"
NO_SUPPRESSION = f"export the detector without it, or {CUT}: tody's decoders do it after the model"
_HINTS = {
    "NonMaxSuppression": NO_SUPPRESSION,
    "NonZero": f"its result has no fixed size: use a mask with Where, or TopK, or {CUT} if it picks boxes",
    "RoiAlign": f"detectors of two stages are not supported; {CUT} for the first alone",
    "Compress": "its result has no fixed size: use a mask with Where, or TopK",
    "Unique": "its result has no fixed size: do it after the model",
    "Scan": "write its rounds out, or use LSTM, GRU or RNN",
}


def domain_of(item: Any) -> str:
    """The domain of a node or opset import; ONNX's own has two spellings."""
    return "" if item.domain == "ai.onnx" else str(item.domain)


def tensor_array(tensor: Any) -> Array:
    """The content of a tensor that `load_onnx` has checked, without a copy where its bytes lie as NumPy wants them."""
    from onnx import numpy_helper

    if tensor.data_location:
        what = f"the data of tensor {tensor.name} is in another file"
        raise ModelError(what, "a model object does not say in which folder", "give the path of the .onnx file")
    if tensor.HasField("raw_data") and tensor.data_type in (1, 2, 3, 6, 7, 9, 10):
        return np.frombuffer(tensor.raw_data, ELEMENTS[tensor.data_type]).reshape(tuple(tensor.dims))
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError) as e:
        raise ModelError(f"tensor {tensor.name} is damaged", str(e), "export the model again") from e


def read_attribute(attribute: Any) -> Any:
    """An attribute as a Python value: strings decoded, tensors as arrays, subgraphs as they are."""
    kind = attribute.type
    if kind == 1:
        return attribute.f
    if kind == 2:
        return attribute.i
    if kind == 3:
        return attribute.s.decode(errors="replace")
    if kind == 4:
        return tensor_array(attribute.t)
    if kind == 5:
        return attribute.g
    if kind == 8:
        return [s.decode(errors="replace") for s in attribute.strings]
    return list({6: attribute.floats, 7: attribute.ints, 9: attribute.tensors, 10: attribute.graphs}.get(kind, []))


def schedule(nodes: list[Any], outputs: Collection[str]) -> list[Any]:
    """The nodes that the outputs depend on, in an order in which they can run, as near to the model's order as can be.

    Raises:
        ModelError: two nodes make the same tensor, or nodes depend on each other in a circle.
    """
    maker: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for name in filter(None, node.output):
            if name in maker:
                raise ModelError(f"two nodes make the tensor {name}", "the graph is not sound", "export the model again")
            maker[name] = i
    needs = {}
    stack = [maker[name] for name in outputs if name in maker]
    while stack:
        i = stack.pop()
        if i not in needs:
            needs[i] = {maker[name] for name in taken(nodes[i]) if name in maker}
            stack += needs[i]
    return [nodes[i] for i in _ordered(needs)]


def _ordered(needs: Mapping[int, set[int]]) -> list[int]:
    users: dict[int, list[int]] = {i: [] for i in needs}
    for i, sources in needs.items():
        for source in sources:
            users[source].append(i)
    waiting = {i: len(sources) for i, sources in needs.items()}
    ready = [i for i, n in waiting.items() if n == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for user in users[i]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heapq.heappush(ready, user)
    if len(order) < len(needs):
        why = "the graph is not sound"
        raise ModelError("the model's nodes depend on each other in a circle", why, "export the model again")
    return order


def taken(node: Any) -> list[str]:
    """The names a node takes, each once, those that its subgraphs take from outside included."""
    names = dict.fromkeys(name for name in node.input if name)
    for attribute in node.attribute:
        for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            inside = {name for inner in graph.node for name in inner.output}
            inside |= {x.name for x in (*graph.input, *graph.initializer)}
            within = (*(name for inner in graph.node for name in taken(inner)), *(o.name for o in graph.output))
            names |= dict.fromkeys(name for name in within if name not in inside)
    return list(names)


def bind(node: Any, given: Mapping[str, Any], absent: Collection[str]) -> Any:
    """A function's node with the caller's attributes in place, and without the inputs that the caller left out."""
    from onnx import NodeProto

    bound = NodeProto()
    bound.CopyFrom(node)
    bound.input[:] = ["" if name in absent else name for name in node.input]
    del bound.attribute[:]
    for attribute in node.attribute:
        source = given.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if source is None:
            continue
        copy = bound.attribute.add()
        copy.CopyFrom(source)
        copy.name = attribute.name
        if copy.HasField("g"):
            inner = [bind(n, given, absent) for n in copy.g.node]
            del copy.g.node[:]
            copy.g.node.extend(inner)
    return bound


def schema_of(call: Call) -> Any:
    """The schema of an operator that ONNX itself defines by others, or None."""
    from onnx import defs

    try:
        schema = defs.get_schema(call.op, call.opset, call.domain)
    except defs.SchemaError:
        return None
    return schema if schema.has_function or schema.has_context_dependent_function else None


def no_such_operator(call: Call) -> Refusal:
    if call.domain:
        return Refusal(f"tody has no operators of the domain {call.domain}", "export the model with ONNX's own operators")
    hint = _HINTS.get(call.op, f"replace it in the source model, or {CUT}")
    return Refusal("tody has no such operator", hint)


def body_of(call: Call, node: Any) -> Any:
    """The function that ONNX defines an operator by, as onnx.FunctionProto with all default attributes.

    Raises:
        Refusal: there is none.
    """
    schema = schema_of(call)
    if schema is None:
        raise no_such_operator(call)
    body = _plain_body(schema, call.opset) if schema.has_function else _typed_body(schema, call, node)
    if body is None:
        raise Refusal("ONNX defines it by others, but not for these attributes", "write it out in the source model")
    for name, attribute in schema.attributes.items():
        if attribute.default_value.type and name not in {a.name for a in body.attribute_proto}:
            default = body.attribute_proto.add()
            default.CopyFrom(attribute.default_value)
            default.name = name
    return body


def _plain_body(schema: Any, opset: int) -> Any:
    versions = [v for v in schema.function_opset_versions if v <= opset]
    return _parsed(schema.get_function_with_opset_version(max(versions))) if versions else None


def _typed_body(schema: Any, call: Call, node: Any) -> Any:
    """The body that ONNX builds for these attributes and dtypes."""
    from onnx import TypeProto

    versions = [v for v in schema.context_dependent_function_opset_versions if v <= call.opset]
    types = [TypeProto() if x is None else _type(x) for x in call.inputs]
    encoded = [t.SerializeToString() for t in types]
    if not versions:
        return None
    return _parsed(schema.get_context_dependent_function_with_opset_version(max(versions), node.SerializeToString(), encoded))


def _type(x: Operand) -> Any:
    from onnx import helper

    return helper.make_tensor_type_proto({name: code for code, name in ELEMENTS.items()}[x.dtype], x.shape)


def _parsed(body: Any) -> Any:
    from onnx import FunctionProto

    if not body:
        return None
    function = FunctionProto()
    function.ParseFromString(body if isinstance(body, bytes) else body.SerializeToString())
    return function if function.node else None
