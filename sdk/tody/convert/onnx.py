"""Reads ONNX: a file into a model that can be trusted, and a model into a graph of our primitive operators."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingExtraError, ModelError, UnsupportedError
from . import ports
from .builder import Builder
from .graph import Graph
from .nodes import tensor_array
from .operand import ELEMENTS, Array, Operand
from .reading import MAX_FILE, read_file
from .walk import Walk

MIN_OPSET, MAX_OPSET = 6, 28

_TRY_SOURCE = "export the model again, or copy it again from its source"


def load_onnx(path: str | Path) -> Any:
    """Read an ONNX file and the external data beside it.

    Args:
        path: the `.onnx` file.

    Returns:
        onnx.ModelProto whose tensors all hold exactly the bytes that their shapes call for.

    Raises:
        UsageError: there is no such file.
        ModelError: it is not ONNX, damaged, larger than 2 GiB, or its external data is missing or lies outside its folder.
        MissingExtraError: the package onnx is not installed.
    """
    try:
        import onnx
    except ImportError as e:
        raise MissingExtraError("onnx", "convert") from e
    path = Path(path)
    model = _parse(onnx, path, read_file(path))
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _load_external(tensor, path)
        _check_tensor(onnx, tensor)
    return model


def _parse(onnx: Any, path: Path, content: bytes) -> Any:
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as e:
        raise ModelError(f"{path} is not an ONNX file, or it is damaged", str(e), _TRY_SOURCE) from e
    if not model.ir_version or not model.graph.output:
        raise ModelError(f"{path} is not an ONNX file, or it is damaged", "it holds no graph with outputs", _TRY_SOURCE)
    return model


def _check_opset(model: Any) -> None:
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if versions and not MIN_OPSET <= versions[0] <= MAX_OPSET:
        hint = "export the model with opset 13 to 23"
        raise UnsupportedError(f"the model has opset {versions[0]}", f"tody reads opset {MIN_OPSET} to {MAX_OPSET}", hint)


def _tensors(model: Any) -> list[Any]:
    """Every tensor of a model, its functions and its subgraphs: initializers and attributes."""
    graphs = [model.graph, *model.functions]
    found: list[Any] = []
    while graphs:
        graph = graphs.pop()
        found += getattr(graph, "initializer", [])
        for attribute in (a for node in graph.node for a in node.attribute):
            found += [attribute.t] if attribute.HasField("t") else []
            found += attribute.tensors
            graphs += [attribute.g] if attribute.HasField("g") else []
            graphs += attribute.graphs
    return found


def _load_external(tensor: Any, path: Path) -> None:
    """Bring a tensor's bytes in from a file in the model's folder or below it."""
    place = {entry.key: entry.value for entry in tensor.external_data}
    root = path.resolve().parent
    file = (root / place.get("location", "")).resolve()
    what = f"the external data of tensor {tensor.name} cannot be used"
    if not place.get("location") or not file.is_relative_to(root):
        why = f"{place.get('location', '')!r} is outside the model's folder"
        raise ModelError(what, why, "keep model and data in one folder")
    if not file.is_file():
        raise ModelError(what, f"there is no file {place['location']}", "copy it into the model's folder")
    try:
        offset = int(place.get("offset", "0"))
        length = int(place.get("length", str(file.stat().st_size - offset)))
    except ValueError as e:
        raise ModelError(what, "its offset or length is not a number", _TRY_SOURCE) from e
    if offset < 0 or length < 0 or length > MAX_FILE or offset + length > file.stat().st_size:
        raise ModelError(what, f"bytes {offset} to {offset + length} are not all in {place['location']}", _TRY_SOURCE)
    with file.open("rb") as stream:
        stream.seek(offset)
        tensor.raw_data = stream.read(length)
    tensor.data_location = 0
    del tensor.external_data[:]


def _check_tensor(onnx: Any, tensor: Any) -> None:
    """Compare a tensor's shape with the data it holds, so that nothing is allocated on a file's word."""
    count = int(np.prod(tensor.dims, dtype=object)) if all(n >= 0 for n in tensor.dims) else -1
    name = ELEMENTS.get(tensor.data_type)
    if count < 0 or name is None:
        why = f"dtype {tensor.data_type}, shape {list(tensor.dims)}"
        raise ModelError(f"tensor {tensor.name} is damaged", why, _TRY_SOURCE)
    bits = 2 if name.endswith("int2") else 4 if name.endswith("int4") or name.startswith("float4") else None
    if name == "string":
        held, wanted = len(tensor.string_data), count
    elif tensor.HasField("raw_data"):
        held = len(tensor.raw_data)
        itemsize = 1 if bits else onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        wanted = -(-count * bits // 8) if bits else count * itemsize
    else:
        held = max(len(getattr(tensor, f)) for f in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"))
        wanted = 2 * count if name.startswith("complex") else -(-count * (bits or 8) // 8)
    if held != wanted:
        why = f"shape {list(tensor.dims)} calls for {wanted:,}, it holds {held:,}"
        raise ModelError(f"tensor {tensor.name} is damaged or truncated", why, _TRY_SOURCE)


def import_onnx(
    model: Any,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    constants: Mapping[str, Array] | None = None,
) -> Graph:
    """Express a model in our primitive operators, all shapes known. The model keeps its inputs and outputs.

    Args:
        model: onnx.ModelProto from `load_onnx`.
        shapes: input name -> shape; overrides what the model declares.
        constants: input name -> value; such an input becomes a constant and is no longer an input of the graph.

    Returns:
        A graph; its `notes` say what was assumed.

    Raises:
        UsageError: a shape is missing or does not fit; an input that `shapes` or `constants` name does not exist.
        UnsupportedError: operators that cannot be expressed, all listed in `nodes`; an opset outside of 6 to 28; a dtype that
            no device has at its borders.
        ModelError: the graph is not sound.
    """
    _check_opset(model)
    shapes, constants = dict(shapes or {}), dict(constants or {})
    graph = Graph()
    inputs = _inputs(model)
    ports.check_names(inputs, [*shapes, *constants])
    builder = Builder(graph, [*(i.name for i in inputs), *(o.name for o in model.graph.output)])
    walk = Walk(model, builder)
    scope: dict[str, Operand | None] = {}
    for tensor in model.graph.initializer:
        data = tensor_array(tensor)
        scope[tensor.name] = Operand(data.shape, ELEMENTS[tensor.data_type], data=data)
    for port in inputs:
        if port.name in constants:
            scope[port.name] = ports.bound(port, constants[port.name])
    for port, shape in ports.shapes_of([i for i in inputs if i.name not in constants], shapes, graph.notes):
        scope[port.name] = ports.add_input(graph, port, shape)
    outputs = list(dict.fromkeys(o.name for o in model.graph.output))
    if len(outputs) < len(model.graph.output):
        graph.notes.append("outputs that the model lists more than once are given once")
    try:
        walk.nodes(model.graph.node, scope, outputs)
    except ModelError as e:
        raise ports.with_shapes_told(e, shapes) from e
    walk.finish([_output(scope, name) for name in outputs], outputs)
    return graph


def _inputs(model: Any) -> list[ports.Port]:
    """Inputs without an initializer; older files list weights as inputs too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [_port(info) for info in model.graph.input if info.name not in weights]


def _port(info: Any) -> ports.Port:
    tensor = info.type.tensor_type
    if info.type.WhichOneof("value") != "tensor_type" or tensor.elem_type not in ELEMENTS:
        why = "sequences and optionals exist on no device"
        raise UnsupportedError(f"input {info.name} is not a tensor", why, "export with tensors")
    if not tensor.HasField("shape"):
        return ports.Port(info.name, ELEMENTS[tensor.elem_type], None)
    dims = tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else d.dim_param for d in tensor.shape.dim)
    return ports.Port(info.name, ELEMENTS[tensor.elem_type], dims)


def _output(scope: Mapping[str, Operand | None], name: str) -> Operand | None:
    if name not in scope:
        raise ModelError(f"nothing makes the output {name}", "the graph is not complete", _TRY_SOURCE)
    return scope[name]
