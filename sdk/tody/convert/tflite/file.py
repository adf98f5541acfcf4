"""A TFLite file as records that can be trusted: what tensors and operators name exists, and every constant has its bytes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...errors import ModelError
from ..operand import Array
from ..reading import MAX_FILE
from .flatbuffer import Damage, FlatBuffer, Table
from .schema import DTYPES, OPERATORS, OPTIONS, TABLES
from .sparse import places

MAGIC = b"TFL3"  # from byte 4 on
MAX_OPERATORS = 50_000
_MAX_RANK = 8  # of a tensor in TFLite
_PACKED = {"int4": 4, "uint4": 4, "int2": 2}  # bits of an element, of which a byte holds several, lowest first


@dataclass(frozen=True)
class Scale:
    """What the integers of a tensor stand for: scale * (q - zero point), each one number, or one per index of `axis`."""

    scales: Array
    zero_points: Array
    axis: int


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file.

    Attributes:
        name: unique in the file.
        shape: as declared, 1 where a dimension is open.
        is_open: of each dimension, whether it is.
        dtype: in NumPy's names, "int4" and the like as "int8".
        data: the content of a constant, else None.
        scale: of a quantised tensor, else None.
        is_variable: whether it keeps its content from run to run.
    """

    name: str
    shape: tuple[int, ...]
    is_open: tuple[bool, ...]
    dtype: str
    data: Array | None
    scale: Scale | None
    is_variable: bool


@dataclass(frozen=True)
class Operator:
    """An operator of the file: name (CUSTOM's own where it is one), version, tensor indices (-1: absent), options by name.

    The options of a custom one are `custom`, the bytes that it keeps them in.
    """

    op: str
    is_custom: bool
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table


@dataclass(frozen=True)
class TfliteModel:
    """A file that was read: its first subgraph, which is the model; others belong to control flow or other entry points.

    Attributes:
        real: quantised outputs that are given as the float32 numbers for which their integers stand.
    """

    content: bytes
    version: int
    description: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    subgraphs: int
    real: frozenset[int] = frozenset()


def read_tflite(content: bytes, what: str) -> TfliteModel:
    """Read a file's bytes.

    Args:
        what: the file, for messages.

    Raises:
        ModelError: it is no TFLite file, or damaged.
    """
    if content[4:8] != MAGIC:
        raise ModelError(f"{what} is not a TFLite file", "it does not say TFL3 at its fifth byte", "check what it is")
    file = FlatBuffer(content, TABLES)
    root = file.root("Model")
    if not root["subgraphs"]:
        raise Damage("it holds no graph")
    graph = root["subgraphs"][0]
    names = _unique([t["name"] for t in graph["tensors"]])
    tensors = tuple(_tensor(file, root, t, name) for t, name in zip(graph["tensors"], names, strict=True))
    if len(graph["operators"]) > MAX_OPERATORS:
        raise ModelError(f"{what} has too many operators", f"{MAX_OPERATORS:,} are the limit")
    inputs, outputs = (_indices(graph[key], len(tensors)) for key in ("inputs", "outputs"))
    if not outputs or -1 in (*inputs, *outputs):
        raise Damage("its graph has no outputs, or an input or output that is no tensor")
    operators = tuple(_operator(file, root, o, len(tensors)) for o in graph["operators"])
    outputs = tuple(dict.fromkeys(outputs))
    return TfliteModel(
        content, root["version"], root["description"], tensors, operators, inputs, outputs, len(root["subgraphs"])
    )


def _unique(names: list[str]) -> list[str]:
    """Names of tensors; one that is empty or taken gets its number."""
    seen: set[str] = set()
    found = []
    for i, name in enumerate(names):
        name = name or f"tensor_{i}"
        while name in seen:
            name = f"{name}_{i}"
        seen.add(name)
        found.append(name)
    return found


def _indices(values: Array, count: int) -> tuple[int, ...]:
    """Tensor indices that exist; -1 stands for none."""
    if values.size and not -1 <= int(values.min()) <= int(values.max()) < count:
        raise Damage(f"it names tensor {int(values.max())} of {count}")
    return tuple(int(v) for v in values)


def _operator(file: FlatBuffer, root: Table, table: Table, count: int) -> Operator:
    if table["opcode_index"] >= len(root["operator_codes"]):
        raise Damage(f"it names operator code {table['opcode_index']} of {len(root['operator_codes'])}")
    code = root["operator_codes"][table["opcode_index"]]
    number = max(code["deprecated_builtin_code"], code["builtin_code"])  # the first is a byte and ends at 127
    op = OPERATORS[number] if 0 <= number < len(OPERATORS) else f"operator {number}"
    options: Table = {}
    if op in OPTIONS:
        options = file.options(table["options"], OPTIONS[op])
    inputs, outputs = (_indices(table[key], count) for key in ("inputs", "outputs"))
    if -1 in outputs:
        raise Damage(f"an operator {op} makes a tensor that does not exist")
    is_custom = op == "CUSTOM"
    if is_custom:
        options = {"custom": np.asarray(table["custom_options"]).tobytes()}
    return Operator(code["custom_code"] if is_custom else op, is_custom, code["version"], inputs, outputs, options)


def _tensor(file: FlatBuffer, root: Table, table: Table, name: str) -> Tensor:
    if not 0 <= table["type"] < len(DTYPES):
        raise Damage(f"tensor {name} has dtype {table['type']}")
    dtype, shape = DTYPES[table["type"]], tuple(int(n) for n in table["shape"][: _MAX_RANK + 1])
    if len(shape) > _MAX_RANK or min(shape, default=1) < 0:
        raise Damage(f"tensor {name} has the shape {list(shape)}")
    signature = table["shape_signature"]
    is_open = tuple(int(n) < 0 for n in signature) if len(signature) == len(shape) else (False,) * len(shape)
    data = None
    held = _content(root, table, name, file.content)
    if held.size and dtype != "string":
        if math.prod(shape) > MAX_FILE:
            raise Damage(f"tensor {name} has the shape {list(shape)}")
        at = None if table["sparsity"] is None else places(file, table["sparsity"], shape, name)
        data = _array(held, dtype, shape if at is None else at.shape, name)
        data = data if at is None else _spread_out(data, at, shape)
    scale = _scale(table["quantization"], shape, dtype, name)
    whole = "int8" if dtype in ("int4", "int2") else dtype
    return Tensor(name, shape, is_open, whole, data, scale, table["is_variable"])


def _content(root: Table, table: Table, name: str, content: bytes) -> Array:
    """The bytes of a tensor's buffer, none where it is no constant. They stand in the buffer or behind the FlatBuffer."""
    if table["external_buffer"]:
        what = f"tensor {name} is in another file"
        raise ModelError(what, "tody reads models that are one file", "export the model with its weights inside")
    if table["buffer"] >= len(root["buffers"]):
        raise Damage(f"tensor {name} is in buffer {table['buffer']} of {len(root['buffers'])}")
    buffer = root["buffers"][table["buffer"]]
    if buffer["offset"] > 1:
        if buffer["offset"] + buffer["size"] > len(content):
            raise Damage(f"the content of tensor {name} lies beyond its end")
        return np.frombuffer(content, np.uint8, buffer["size"], buffer["offset"])
    return np.asarray(buffer["data"])


def _array(held: Array, dtype: str, shape: tuple[int, ...], name: str) -> Array:
    count, bits = math.prod(shape), _PACKED.get(dtype)
    try:
        itemsize = 1 if bits else 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
    except TypeError as e:
        raise ModelError(f"tensor {name} has the dtype {dtype}", "no device has it", "export the model with another") from e
    wanted = -(-count * bits // 8) if bits else count * itemsize
    if held.size != wanted:
        raise Damage(f"tensor {name} of the shape {list(shape)} calls for {wanted:,} bytes, it holds {held.size:,}")
    if bits:
        return _unpacked(held, bits, dtype, count).reshape(shape)
    if dtype == "bfloat16":
        return (np.frombuffer(held, np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(held, np.dtype(dtype)).reshape(shape)


def _spread_out(values: Array, at: Array, shape: tuple[int, ...]) -> Array:
    """A sparse constant as a whole one, zero where it has no values."""
    whole = np.zeros(math.prod(shape), values.dtype)
    whole[at] = values
    return whole.reshape(shape)


def _unpacked(held: Array, bits: int, dtype: str, count: int) -> Array:
    """Elements of less than a byte, each in a byte of its own."""
    parts = [held >> shift & (1 << bits) - 1 for shift in range(0, 8, bits)]
    values = np.stack(parts, axis=-1).reshape(-1)[:count].astype(np.int16)
    if not dtype.startswith("u"):
        values = np.where(values >= 1 << bits - 1, values - (1 << bits), values)
    return values.astype(np.uint8 if dtype.startswith("u") else np.int8)


def _scale(table: Table | None, shape: tuple[int, ...], dtype: str, name: str) -> Scale | None:
    if table is None or not table["scale"].size:
        return None
    scales, axis = np.asarray(table["scale"]), int(table["quantized_dimension"])
    zeros = np.asarray(table["zero_point"]) if table["zero_point"].size else np.zeros(scales.size, np.int64)
    if table["details_type"]:
        raise ModelError(f"tensor {name} is quantised by a rule of its own", "scale and zero point are what tody reads")
    per_index = scales.size > 1
    if zeros.size not in (1, scales.size) or (per_index and (not 0 <= axis < len(shape) or scales.size != shape[axis])):
        raise Damage(f"tensor {name} of the shape {list(shape)} has {scales.size} scales and {zeros.size} zero points")
    low, high = {"int8": (-128, 127), "uint8": (0, 255)}.get(dtype, (-(1 << 31), (1 << 31) - 1))
    if zeros.min() < low or zeros.max() > high:
        raise Damage(f"a zero point of tensor {name} is none of its integers")
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise ModelError(f"a scale of tensor {name} is not above zero", "its integers stand for nothing", "quantise it again")
    return Scale(scales, np.broadcast_to(zeros, scales.shape), axis if per_index else 0)
