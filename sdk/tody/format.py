"""Read and write `.tody` files: the Python twin of runtime/core/format.h. docs/format.md states every byte."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .container import CODED as CODED  # these as parts of the format
from .container import HEADER
from .container import MAGIC as MAGIC
from .container import MAJOR as MAJOR
from .container import MINOR as MINOR
from .container import Data as Data
from .container import Header as Header
from .container import align as align
from .container import plain as plain
from .container import read_header as read_header
from .container import read_meta as read_meta
from .errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAIN_MINOR = 0  # of a plain file that older readers take; a coded file has one more than its plain file
BLOCKS_MINOR = 1  # of one with weights in blocks
TILES_MINOR = 3  # of one in which weights say how Winograd's convolution should tile the output, or operators run by strips
INT16_MINOR = 5  # of one with int16
FLEETING_MINOR = 7  # of one in which such weights are transformed in each run
ROUNDED_MINOR = 7  # of one with addends of rounded products
QUARTERS_MINOR = 9  # of one in which weights ask for Strassen's products
PHASES_MINOR = 11  # of one in which other convolutions than those of 3x3 and stride 1 have tiles
SHORT_MINOR = 11  # of one with biases or multipliers of layers in 16 bits
SLOPES_MINOR = 13  # of one in which layers of integers have slopes
ATTENTION_MINOR = 13  # of one with attention as one operator
PITCH_MINOR = 13  # of one in which tensors are slices of others
FLEETING = 256  # in Tensor.tile
QUARTERS = 512  # in Tensor.tile, alone
NONE = 0xFFFFFFFF
MAX_RANK = 6
PANEL = 16
GROUP_S8 = 4
GROUPS = {"int8": GROUP_S8, "int16": 2}  # input channels that lie side by side in panels; of others one
CHUNK = 128  # words in a chunk of weights in blocks
PACKS = ("plain", "panels", "blocks")
PLACES = ("arena", "weights", "strips")
MAX_CHAIN = 16  # operators that one `strips` runs
BIAS = 2  # among the inputs of a layer
MULTIPLIERS = {"conv": 4, "dwconv": 4, "dense": 4, "deconv": 3}  # layers, and where their multipliers begin
WEIGHT_ALIGN = 64
ARENA_ALIGN = 64  # the format asks for 16; a cache line serves the big machines better

_TENSOR = struct.Struct("<4B6I2I2Ii3I4x")
_OP = struct.Struct("<4H")

# name -> (code, NumPy dtype)
DTYPES: dict[str, tuple[int, np.dtype[Any]]] = {
    "float32": (1, np.dtype("<f4")),
    "int8": (2, np.dtype("i1")),
    "uint8": (3, np.dtype("u1")),
    "int32": (4, np.dtype("<i4")),
    "bool": (5, np.dtype("?")),
    "int64": (6, np.dtype("<i8")),
    "float16": (7, np.dtype("<f2")),
    "int16": (8, np.dtype("<i2")),
    "bfloat16": (9, np.dtype("<u2")),  # which NumPy lacks: the upper halves of float32, as integers
}
DTYPE_NAMES = {code: name for name, (code, _) in DTYPES.items()}

FUNCTIONS = (
    "none clamp leaky_relu elu selu celu sigmoid tanh hard_sigmoid hard_swish silu gelu gelu_tanh mish softplus softsign "
    "thresholded_relu shrink affine exp log sqrt reciprocal abs neg sign floor ceil round erf sin cos tan asin acos atan "
    "sinh cosh asinh acosh atanh not is_nan is_inf"
).split()
FUNCTIONS2 = "add sub mul div min max mod fmod pow prelu equal less less_equal and or xor".split()
POOLS = ["max", "average"]
REDUCTIONS = ["sum", "mean", "max", "min", "prod"]
PAD_MODES = ["constant", "edge", "reflect", "wrap"]
DIRECTIONS = ["forward", "reverse", "bidirectional"]

_CODES = {"u": "I", "i": "i", "f": "f"}
_ACTIVATION = ("activation", "act", 1)
_WINDOW = (("kernel", "u", 2), ("stride", "u", 2), ("dilation", "u", 2), ("pad", "u", 4))


@dataclass(frozen=True)
class Op:
    """A primitive operator: its code and its parameters.

    A parameter is (name, kind, count); kinds are u (uint32), i (int32), f (float32), act (function, a, b), or a list of names
    whose index is stored. Parameters are in the order of the C struct.
    """

    code: int
    params: tuple[tuple[str, Any, int], ...] = ()


OPS: dict[str, Op] = {
    "conv": Op(1, (*_WINDOW, ("groups", "u", 1), _ACTIVATION)),
    "dwconv": Op(2, (*_WINDOW, ("groups", "u", 1), _ACTIVATION)),
    "deconv": Op(3, (*_WINDOW, ("groups", "u", 1), _ACTIVATION)),
    "dense": Op(4, (_ACTIVATION,)),
    "matmul": Op(5, (("transpose_b", "u", 1),)),
    "pool": Op(6, (*_WINDOW, ("kind", POOLS, 1), ("include_pad", "u", 1))),
    "unary": Op(7, (("function", "act", 1),)),
    "binary": Op(8, (("fn", FUNCTIONS2, 1), _ACTIVATION)),
    "where": Op(9),
    "cast": Op(10),
    "softmax": Op(11, (("axis", "u", 1), ("log", "u", 1))),
    "layer_norm": Op(12, (("axis", "u", 1), ("epsilon", "f", 1), ("rms", "u", 1))),
    "instance_norm": Op(13, (("epsilon", "f", 1), _ACTIVATION)),
    "resize": Op(14),
    "copy": Op(15, (("offset", "i", 1), ("stride", "i", 6))),
    "concat": Op(16, (("axis", "u", 1),)),
    "pad": Op(17, (("mode", PAD_MODES, 1), ("before", "u", 6), ("value", "f", 1))),
    "gather": Op(18, (("axis", "u", 1),)),
    "reduce": Op(19, (("fn", REDUCTIONS, 1), ("axes", "u", 1))),
    "arg_reduce": Op(20, (("axis", "u", 1), ("least", "u", 1), ("last", "u", 1))),
    "topk": Op(21, (("axis", "u", 1), ("smallest", "u", 1))),
    "cumsum": Op(22, (("axis", "u", 1), ("exclusive", "u", 1), ("reverse", "u", 1))),
    "lstm": Op(23, (("direction", DIRECTIONS, 1), ("linear_before_reset", "u", 1))),
    "gru": Op(24, (("direction", DIRECTIONS, 1), ("linear_before_reset", "u", 1))),
    "rnn": Op(25, (("direction", DIRECTIONS, 1), ("linear_before_reset", "u", 1))),
    "lut": Op(26),
    "strips": Op(27, (("count", "u", 1), ("rows", "u", 1))),
    "attention": Op(28, (("transpose_k", "u", 1),)),
}
OP_NAMES = {op.code: name for name, op in OPS.items()}

# What a parameter is when a node does not say.
_DEFAULTS: dict[str, Any] = {
    "stride": (1, 1),
    "dilation": (1, 1),
    "pad": (0, 0, 0, 0),
    "before": (),
    "direction": "forward",
    "groups": 1,
    "activation": ("none", 0.0, 0.0),
}


@dataclass
class Tensor:
    """A tensor record. `at` counts from the start of the arena (place "arena"), of the weights section ("weights"), or of the
    windows of the chain that makes the tensor and keeps `rows` of its rows ("strips"). Of a slice of another tensor's last
    dimension `pitch` elements lie from one of its rows to the next; else it is 0."""

    dtype: str
    shape: tuple[int, ...]
    place: str
    at: int
    pack: str = "plain"
    scale_count: int = 0
    scales_at: int = 0
    zero_point: int = 0
    stored: int = 0  # bytes of weights in blocks, which depend on their content
    tile: int = 0  # of the output, for Winograd's convolution with these weights: 2 to 5 pixels square, | FLEETING; or QUARTERS
    rows: int = 0
    pitch: int = 0

    @property
    def bytes(self) -> int:
        if self.pitch:
            rows = math.prod(self.shape[:-1])
            return ((rows - 1) * self.pitch + self.shape[-1]) * DTYPES[self.dtype][1].itemsize
        shape = (self.shape[0], self.rows, *self.shape[2:]) if self.rows else self.shape
        return self.stored or tensor_bytes(self.dtype, shape, self.pack)


@dataclass
class Record:
    """An operator record: tensor indices (None: absent) and parameters by name."""

    op: str
    inputs: list[int | None]
    outputs: list[int | None]
    attrs: dict[str, Any] = field(default_factory=dict)


@dataclass
class File:
    """The content of a `.tody` file. `meta` is the JSON metadata, `blob` the binary data it refers to."""

    tensors: list[Tensor] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    weights: bytes = b""
    arena_bytes: int = 0
    meta: dict[str, Any] = field(default_factory=dict)
    blob: bytes = b""


def tensor_bytes(dtype: str, shape: tuple[int, ...], pack: str = "plain") -> int:
    """Bytes a tensor takes in the arena or in the weights section, plain or in panels."""
    size = DTYPES[dtype][1].itemsize
    if pack == "plain":
        return math.prod(shape) * size
    groups, columns = shape[0], align(shape[1], PANEL)
    if len(shape) == 2:
        return groups * columns * size
    depth = align(shape[3], GROUPS.get(dtype, 1))
    return groups * columns * shape[2] * depth * size


def pack_panels(data: NDArray[Any]) -> bytes:
    """Lay weights [G, N, T, K] or a bias [G, N] out in panels of 16 output channels; what the last one lacks is zero."""
    whole = _fill_up(data, 1, PANEL)
    if data.ndim == 2:
        return whole.tobytes()
    groups, taps, depth = whole.shape[0], *whole.shape[2:]
    group = GROUPS.get(data.dtype.name, 1)
    panels = _fill_up(whole.reshape(groups, -1, PANEL, taps, depth), 4, group)
    panels = panels.reshape(*panels.shape[:4], -1, group)
    return bytes(panels.transpose(0, 1, 3, 4, 2, 5).tobytes())


def _fill_up(data: NDArray[Any], axis: int, multiple: int) -> NDArray[Any]:
    """The array, with zeros behind it along one axis up to a multiple: itself where there are none to add."""
    lacks = align(data.shape[axis], multiple) - data.shape[axis]
    return np.pad(data, [(0, lacks if d == axis else 0) for d in range(data.ndim)]) if lacks else data


def pack_blocks(data: NDArray[Any]) -> bytes:
    """Lay int8 weights [1, N, T, K] out as the blocks of four input channels that are not zero."""
    columns = data.shape[1]
    blocks = _fill_up(data[0], 2, GROUP_S8).reshape(columns, -1, GROUP_S8)
    kept: NDArray[np.bool_] = np.any(blocks != 0, axis=-1)
    chunks = [slice(at, at + CHUNK) for at in range(0, kept.shape[1], CHUNK)]
    counts = np.concatenate([kept[:, chunk].sum(1) for chunk in chunks])
    places = np.concatenate([np.nonzero(kept[:, chunk])[1] for chunk in chunks]).astype(np.uint8).tobytes()
    weights = b"".join(blocks[:, chunk][kept[:, chunk]].tobytes() for chunk in chunks)
    sums = data[0].sum((1, 2), dtype=np.int64).astype("<i4").tobytes()
    starts = np.concatenate([[0], np.cumsum(counts)]).astype("<u4").tobytes()
    return bytes(sums + starts + places + b"\0" * (-len(places) % 4) + weights)


def _pack_params(op: Op, attrs: dict[str, Any]) -> bytes:
    out = bytearray()
    for name, kind, count in op.params:
        value = attrs.get(name, _DEFAULTS.get(name, 0))
        if kind == "act":
            out += struct.pack("<Iff", FUNCTIONS.index(value[0]), value[1], value[2])
        elif isinstance(kind, list):
            out += struct.pack("<I", kind.index(value))
        else:
            items = [value] if count == 1 else list(value) + [0] * (count - len(value))
            out += struct.pack(f"<{count}{_CODES[kind]}", *items)
    return bytes(out)


def _unpack_params(op: Op, data: bytes) -> dict[str, Any]:
    attrs: dict[str, Any] = {}
    at = 0
    for name, kind, count in op.params:
        if kind == "act":
            fn, a, b = struct.unpack_from("<Iff", data, at)
            attrs[name], at = (FUNCTIONS[fn], a, b), at + 12
        elif isinstance(kind, list):
            attrs[name], at = kind[struct.unpack_from("<I", data, at)[0]], at + 4
        else:
            items = struct.unpack_from(f"<{count}{_CODES[kind]}", data, at)
            attrs[name], at = items[0] if count == 1 else items, at + 4 * count
    return attrs


def _tensor_record(t: Tensor) -> bytes:
    shape = [*t.shape, *[0] * (MAX_RANK - len(t.shape))]
    place, pack = PLACES.index(t.place), PACKS.index(t.pack)
    quant = (t.scale_count, t.scales_at, t.zero_point)
    return _TENSOR.pack(DTYPES[t.dtype][0], len(t.shape), place, pack, *shape, t.at, t.bytes, *quant, t.tile, t.rows, t.pitch)


def _op_record(r: Record) -> bytes:
    op = OPS[r.op]
    params = _pack_params(op, r.attrs)
    indices = [NONE if i is None else i for i in (*r.inputs, *r.outputs)]
    return _OP.pack(op.code, len(r.inputs), len(r.outputs), len(params)) + struct.pack(f"<{len(indices)}I", *indices) + params


def write(file: File, coded: bool = False) -> bytes:
    """The bytes of a file. The same content gives the same bytes.

    Args:
        coded: in fewer bytes, which are decoded when the model is loaded instead of being used where they lie.
    """
    plain = _write_plain(file)
    if not coded:
        return plain
    from .coding import encode

    return encode(file, plain)


def _write_plain(file: File) -> bytes:
    tensors = b"".join(map(_tensor_record, file.tensors))
    ops = b"".join(map(_op_record, file.records))
    io = struct.pack(f"<{len(file.inputs) + len(file.outputs)}I", *file.inputs, *file.outputs)
    text = json.dumps(file.meta, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    meta = struct.pack("<I", len(text)) + text + b"\0" * (-len(text) % 4) + file.blob if file.meta or file.blob else b""

    tensors_at = HEADER.size
    ops_at = tensors_at + len(tensors)
    io_at = ops_at + len(ops)
    weights_at = align(io_at + len(io), WEIGHT_ALIGN)
    meta_at = align(weights_at + len(file.weights), WEIGHT_ALIGN)
    total = meta_at + len(meta)
    if total > 0xFFFFFFFF:
        raise ModelError(f"the model takes {total:,} bytes", "a .tody file holds at most 4 GiB")

    def header(structure_crc: int) -> bytes:
        checksums = (structure_crc, zlib.crc32(file.weights), zlib.crc32(meta))
        counts = (
            tensors_at,
            len(file.tensors),
            ops_at,
            len(ops),
            len(file.records),
            io_at,
            len(file.inputs),
            len(file.outputs),
        )
        sections = (weights_at, len(file.weights), meta_at, len(meta), file.arena_bytes)
        return HEADER.pack(MAGIC, MAJOR, _minor(file), HEADER.size, total, *checksums, 0, *counts, *sections, 0)

    body = tensors + ops + io
    body += b"\0" * (weights_at - HEADER.size - len(body))
    gap = b"\0" * (meta_at - weights_at - len(file.weights))
    return header(zlib.crc32(header(0) + body)) + body + file.weights + gap + meta


def _adds_rounded(file: File, record: Record) -> bool:
    """Whether a layer of int8 rounds its products before their addends come: its last input then has three numbers, not one."""
    last = record.inputs[-1] if record.op in ("conv", "dwconv", "dense") and len(record.inputs) == 6 else None
    return last is not None and file.tensors[last].shape == (3,)


def _has_phases(tensor: Tensor) -> bool:
    """Whether weights have tiles of another window than 3x3 that moves by 1, whose edge is even."""
    edge = tensor.tile & ~FLEETING
    return edge not in (0, QUARTERS) and (tensor.shape[2:3] != (9,) or edge % 2 == 1)


def _has_short_bias(file: File, record: Record) -> bool:
    """Whether a layer's bias has 16 bits."""
    bias = record.inputs[BIAS] if record.op in MULTIPLIERS and len(record.inputs) > BIAS else None
    return bias is not None and file.tensors[bias].dtype == "int16"


def _has_slopes(file: File, record: Record) -> bool:
    """Whether a layer of integers has slopes behind its multipliers."""
    at = MULTIPLIERS.get(record.op, len(record.inputs))
    multipliers, y = record.inputs[at] if at < len(record.inputs) else None, record.outputs[0]
    if multipliers is None or y is None:
        return False
    return math.prod(file.tensors[multipliers].shape) == 2 * math.prod(file.tensors[y].shape[-1:])


def _minor(file: File) -> int:
    """The lowest version that has what the plain file has."""
    if any(_has_slopes(file, record) for record in file.records):
        return SLOPES_MINOR
    if any(record.op == "attention" for record in file.records):
        return ATTENTION_MINOR
    if any(t.pitch for t in file.tensors):
        return PITCH_MINOR
    if any(_has_phases(t) for t in file.tensors):
        return PHASES_MINOR
    if any(t.dtype == "bfloat16" for t in file.tensors) or any(_has_short_bias(file, record) for record in file.records):
        return SHORT_MINOR
    if any(t.tile == QUARTERS for t in file.tensors):
        return QUARTERS_MINOR
    if any(t.tile & FLEETING for t in file.tensors):
        return FLEETING_MINOR
    if any(_adds_rounded(file, record) for record in file.records):
        return ROUNDED_MINOR
    if any(t.dtype == "int16" for t in file.tensors):
        return INT16_MINOR
    if any(t.tile for t in file.tensors) or any(r.op == "strips" for r in file.records):
        return TILES_MINOR
    return BLOCKS_MINOR if any(t.pack == "blocks" for t in file.tensors) else PLAIN_MINOR


def _prove_tensors(file: File) -> None:
    """Raise a ValueError if what tools follow leads nowhere: tensors that are not there, panels that cannot be."""
    for record in file.records:
        if set(record.outputs) <= {None}:
            raise ValueError(f"{record.op} makes nothing")
        if any(i is not None and i >= len(file.tensors) for i in (*record.inputs, *record.outputs)):
            raise ValueError(f"{record.op} names a tensor that is not there")
    if any(i >= len(file.tensors) for i in (*file.inputs, *file.outputs)):
        raise ValueError("an input or output is a tensor that is not there")
    if any((t.pack == "panels" and len(t.shape) not in (2, 4)) or 0 in t.shape for t in file.tensors):
        raise ValueError("a tensor has a shape that it cannot have")


def read(data: Data) -> File:
    """Everything in a file, for tools. The runtime does not need this: it proves the bytes and uses them in place.

    Raises:
        ModelError: the file is damaged.
    """
    data = plain(data)
    header = read_header(data)
    try:
        return _read_sections(data, header)
    except ModelError:
        raise
    except (struct.error, IndexError, KeyError, ValueError) as e:
        raise ModelError("the file is damaged", f"{type(e).__name__}: {e}", "copy or convert the model again") from e


def _read_sections(data: Data, header: Header) -> File:
    file = File(arena_bytes=header.arena_bytes)
    for i in range(header.tensor_count):
        dtype, rank, place, pack, *rest = _TENSOR.unpack_from(data, header.tensors_at + i * _TENSOR.size)
        shape, (at, size, scale_count, scales_at, zero_point, *last) = tuple(rest[:rank]), rest[6:]
        where, stored = (PLACES[place], at, PACKS[pack]), size if pack == PACKS.index("blocks") else 0
        file.tensors.append(Tensor(DTYPE_NAMES[dtype], shape, *where, scale_count, scales_at, zero_point, stored, *last))
    at = header.ops_at
    for _ in range(header.op_count):
        code, inputs, outputs, param_bytes = _OP.unpack_from(data, at)
        indices = [None if i == NONE else i for i in struct.unpack_from(f"<{inputs + outputs}I", data, at + _OP.size)]
        at += _OP.size + 4 * len(indices)
        name = OP_NAMES[code]
        attrs = _unpack_params(OPS[name], bytes(data[at : at + param_bytes]))
        file.records.append(Record(name, indices[:inputs], indices[inputs:], attrs))
        at += param_bytes
    io = struct.unpack_from(f"<{header.input_count + header.output_count}I", data, header.io_at)
    file.inputs, file.outputs = list(io[: header.input_count]), list(io[header.input_count :])
    _prove_tensors(file)
    file.weights = bytes(data[header.weights_at : header.weights_at + header.weights_bytes])
    file.meta, file.blob = read_meta(data)
    return file
