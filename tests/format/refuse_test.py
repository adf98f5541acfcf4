"""The refuse list: a sound file, changed in one place, must be refused for the right reason."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import seeds
from refusal import HEADER, TEXTS, refusal, repaired

from tody import format as tf
from tody._runtime import Runtime
from tody.errors import ModelError

# Offsets of fields in their records, as docs/format.md has them.
TENSOR = {"dtype": (0, "B"), "rank": (1, "B"), "place": (2, "B"), "pack": (3, "B"), "at": (28, "I"), "bytes": (32, "I")}
TENSOR |= {f"shape{d}": (4 + 4 * d, "I") for d in range(6)}
TENSOR |= {"scale_count": (36, "I"), "scales_at": (40, "I"), "zero_point": (44, "i")}
TENSOR |= {"tile": (48, "I"), "rows": (52, "I"), "pitch": (56, "I"), "reserved": (60, "I")}
OP = {"code": (0, "H"), "inputs": (2, "H"), "outputs": (4, "H"), "param_bytes": (6, "H")}

X, W, BIAS, Y, INDICES, PICKED, TURNED, S8, S8_CHANNELS, POOLED, UNUSED = range(11)
CONV, GATHER, COPY, POOL = range(4)


def sound_file() -> bytes:
    """Four operators, and tensors of every kind."""
    weights = bytearray()

    def constant(data: np.ndarray, pack: str = "plain", **more: int) -> tf.Tensor:
        weights.extend(b"\0" * (-len(weights) % tf.WEIGHT_ALIGN))
        tensor = tf.Tensor(str(data.dtype), data.shape, "weights", len(weights), pack, **more)
        weights.extend(tf.pack_panels(data) if pack == "panels" else data.tobytes())
        return tensor

    scales_at = 0
    constant(np.linspace(0.1, 0.4, 8, dtype=np.float32))
    file = tf.File(arena_bytes=8192, meta={"name": "sound"})
    file.tensors = [
        tf.Tensor("float32", (1, 4, 4, 3), "arena", 0),
        constant(np.ones((1, 8, 9, 3), np.float32), "panels"),
        constant(np.ones((1, 8), np.float32), "panels"),
        tf.Tensor("float32", (1, 4, 4, 8), "arena", 1024),
        constant(np.array([3, 0], np.int32)),
        tf.Tensor("float32", (1, 2, 4, 8), "arena", 2048),
        tf.Tensor("float32", (8, 8), "arena", 4096),
        tf.Tensor("int8", (1, 4, 4, 8), "arena", 5120, scale_count=1, scales_at=scales_at, zero_point=-3),
        constant(np.ones((1, 8, 9, 3), np.int8), "panels", scale_count=8, scales_at=scales_at),
        tf.Tensor("float32", (1, 2, 2, 8), "arena", 6144),
        tf.Tensor("float32", (), "arena", 7168),
    ]
    file.weights = bytes(weights)
    window = {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "pad": (1, 1, 1, 1)}
    file.records = [
        tf.Record("conv", [X, W, BIAS, None], [Y], {**window, "groups": 1, "activation": ("clamp", 0.0, 6.0)}),
        tf.Record("gather", [Y, INDICES], [PICKED], {"axis": 1}),
        tf.Record("copy", [PICKED], [TURNED], {"offset": 0, "stride": (1, 8)}),
        tf.Record("pool", [Y], [POOLED], {**window, "pad": (0, 0, 0, 0), "stride": (2, 2), "kind": "max"}),
    ]
    file.inputs, file.outputs = [X], [TURNED, POOLED]
    return tf.write(file)


SOUND = sound_file()


def op_at(index: int) -> int:
    at = tf.read_header(SOUND).ops_at
    for _ in range(index):
        _, inputs, outputs, params = struct.unpack_from("<4H", SOUND, at)
        at += 8 + 4 * (inputs + outputs) + params
    return at


def place_of(field: str) -> tuple[int, str]:
    """Where a field such as `header.flags`, `tensor3.rank`, `op0.in1`, `op0.param12` or `io2` lies, and its type."""
    h = tf.read_header(SOUND)
    record, _, name = field.partition(".")
    kind, index = re.fullmatch(r"([a-z]+)(\d*)", record).groups()
    if kind == "header":
        return HEADER[name]
    if kind == "tensor":
        at, code = TENSOR[name]
        return h.tensors_at + 64 * int(index) + at, code
    if kind == "io":
        return h.io_at + 4 * int(index), "I"
    if kind == "weights":
        return h.weights_at + int(index), "I"
    at = op_at(int(index))
    if name in OP:
        return at + OP[name][0], OP[name][1]
    _, inputs, outputs, _ = struct.unpack_from("<4H", SOUND, at)
    word, number = re.fullmatch(r"(in|out|param)(\d+)", name).groups()
    before = {"in": 0, "out": 4 * inputs, "param": 4 * (inputs + outputs)}[word]
    return at + 8 + before + (int(number) if word == "param" else 4 * int(number)), "I"


def changed(**fields: int | float | bytes) -> bytes:
    data = bytearray(SOUND)
    for field, value in fields.items():
        at, code = place_of(field)
        struct.pack_into("<f" if isinstance(value, float) else "<" + code, data, at, value)
    return repaired(data)


NAN, INF = float("nan"), float("inf")
H = tf.read_header(SOUND)

# One field, its new value, the status.
FIELDS: list[tuple[str, int | float | bytes, str]] = [
    ("header.magic", b"TOBY", "MAGIC"),
    ("header.major", 0, "VERSION"),
    ("header.major", 2, "VERSION"),
    ("header.minor", tf.MINOR + 1, "VERSION"),
    ("header.header_bytes", 124, "HEADER"),
    ("header.header_bytes", 132, "HEADER"),
    ("header.flags", 1, "CODED"),
    ("header.flags", 2, "HEADER"),
    ("header.flags", 3, "HEADER"),
    ("header.coded_bytes", len(SOUND), "HEADER"),
    ("header.reserved", 1, "HEADER"),
    ("header.reserved_last", 1, "HEADER"),
    ("header.file_bytes", len(SOUND) + 1, "TRUNCATED"),
    ("header.file_bytes", 0xFFFFFFFF, "TRUNCATED"),
    ("header.file_bytes", len(SOUND) - 1, "HEADER"),  # the metadata would end behind the file
    ("header.tensors_at", 0, "HEADER"),
    ("header.tensors_at", 124, "HEADER"),
    ("header.tensors_at", 130, "HEADER"),
    ("header.tensors_at", 0xFFFFFFFC, "HEADER"),
    ("header.tensor_count", H.tensor_count + 1, "HEADER"),  # would overlap the operators
    ("header.tensor_count", 0x04000001, "HEADER"),  # * 64 overflows 32 bits
    ("header.tensor_count", 0xFFFFFFFF, "HEADER"),
    ("header.tensor_count", 3, "HEADER"),  # inputs and outputs beyond it
    ("header.ops_at", 0, "HEADER"),
    ("header.ops_at", H.ops_at + 2, "HEADER"),
    ("header.ops_at", 0xFFFFFFFC, "HEADER"),
    ("header.ops_bytes", H.ops_bytes + 4, "HEADER"),
    ("header.ops_bytes", H.ops_bytes - 4, "OP_RECORD"),
    ("header.ops_bytes", 0xFFFFFFFF, "HEADER"),
    ("header.op_count", 5, "OP_RECORD"),
    ("header.op_count", 3, "HEADER"),  # bytes are left over
    ("header.op_count", 0xFFFFFFFF, "OP_RECORD"),
    ("header.io_at", 0, "HEADER"),
    ("header.io_at", H.io_at + 1, "HEADER"),
    ("header.input_count", 0x40000000, "HEADER"),  # * 4 overflows 32 bits
    ("header.input_count", 0xFFFFFFFF, "HEADER"),
    ("header.output_count", 0xFFFFFFFF, "HEADER"),
    ("header.input_count", 200, "HEADER"),
    ("header.weights_at", H.weights_at - 64, "HEADER"),
    ("header.weights_bytes", 0xFFFFFFFF, "HEADER"),
    ("header.weights_bytes", 64, "TENSOR"),
    ("header.meta_at", H.meta_at - 64, "HEADER"),
    ("header.meta_at", H.meta_at + 2, "HEADER"),
    ("header.meta_bytes", 0xFFFFFFFF, "HEADER"),
    ("header.meta_bytes", H.meta_bytes + 1, "HEADER"),
    ("header.arena_bytes", 0, "TENSOR"),
    ("header.arena_bytes", 7168, "TENSOR"),
    ("tensor0.dtype", 0, "TENSOR"),
    ("tensor0.dtype", 8, "TENSOR"),
    ("tensor0.dtype", 255, "TENSOR"),
    ("tensor0.dtype", 4, "DTYPE"),  # int32 has the same size, but no convolution
    ("tensor0.rank", 3, "TENSOR"),
    ("tensor0.rank", 7, "TENSOR"),
    ("tensor0.rank", 255, "TENSOR"),
    ("tensor0.place", 2, "TENSOR"),
    ("tensor0.place", 1, "HEADER"),  # an input among the weights
    ("tensor0.pack", 1, "TENSOR"),
    ("tensor0.pack", 2, "TENSOR"),
    ("tensor0.shape0", 0, "TENSOR"),
    ("tensor0.shape1", 0xFFFFFFFF, "TENSOR"),
    ("tensor0.shape4", 1, "TENSOR"),
    ("tensor0.at", 4, "TENSOR"),
    ("tensor0.at", 8192 - 48, "TENSOR"),
    ("tensor0.at", 0xFFFFFFF0, "TENSOR"),
    ("tensor0.bytes", 188, "TENSOR"),
    ("tensor0.bytes", 196, "TENSOR"),
    ("tensor0.scale_count", 1, "TENSOR"),
    ("tensor0.zero_point", 1, "TENSOR"),
    ("tensor0.scales_at", 4, "TENSOR"),
    ("tensor0.rows", 1, "TENSOR"),  # in the arena
    ("tensor0.pitch", 8, "TENSOR"),  # the file has a version that does not know it
    ("tensor0.reserved", 1, "TENSOR"),
    ("tensor1.tile", 4, "TENSOR"),  # the file has a version that does not know it
    ("tensor1.tile", 5, "TENSOR"),
    ("tensor1.tile", 6, "TENSOR"),  # which no version knows
    ("tensor1.tile", 256, "TENSOR"),  # of no size
    ("tensor1.tile", 512, "TENSOR"),  # quarters, for which the version is too low
    ("tensor1.at", 32, "TENSOR"),
    ("tensor1.at", 0xFFFFFFC0, "TENSOR"),
    ("tensor1.pack", 0, "TENSOR"),  # without panels it would be smaller
    ("tensor1.place", 0, "TENSOR"),  # panels in the arena
    ("tensor7.scale_count", 0, "TENSOR"),  # but has a zero point
    ("tensor7.scale_count", 8, "TENSOR"),  # per channel, with a zero point
    ("tensor7.scales_at", 2, "TENSOR"),
    ("tensor7.scales_at", 0xFFFFFFFC, "TENSOR"),
    ("tensor7.zero_point", -129, "TENSOR"),
    ("tensor7.zero_point", 128, "TENSOR"),
    ("tensor8.scale_count", 7, "TENSOR"),
    ("tensor8.scale_count", 0x80000000, "TENSOR"),
    ("tensor8.zero_point", 1, "TENSOR"),
    ("weights0", 0.0, "TENSOR"),  # the first scale
    ("weights0", -1.0, "TENSOR"),
    ("weights4", NAN, "TENSOR"),
    ("weights28", INF, "TENSOR"),
    ("tensor10.rank", 1, "TENSOR"),  # a scalar
    ("io0", 11, "HEADER"),
    ("io0", W, "HEADER"),
    ("io0", 0xFFFFFFFF, "HEADER"),
    ("io1", 0xFFFFFFFF, "HEADER"),
    ("io1", W, "HEADER"),  # panels are no output
    ("op0.code", 0, "OP"),
    ("op0.code", 0xFFFF, "OP"),
    ("op0.code", 2, "DTYPE"),  # weights of a depthwise convolution are not in panels
    ("op0.inputs", 1, "OP_RECORD"),
    ("op0.inputs", 7, "OP_RECORD"),
    ("op0.inputs", 0xFFFF, "OP_RECORD"),
    ("op0.outputs", 0, "OP_RECORD"),
    ("op0.outputs", 2, "OP_RECORD"),
    ("op0.param_bytes", 52, "OP_RECORD"),
    ("op0.param_bytes", 60, "OP_RECORD"),
    ("op0.param_bytes", 54, "OP_RECORD"),
    ("op3.param_bytes", 0xFFFC, "OP_RECORD"),
    ("op0.in0", tf.NONE, "OP_RECORD"),
    ("op0.in1", tf.NONE, "OP_RECORD"),
    ("op0.in0", 11, "OP_RECORD"),
    ("op0.in2", 0x80000000, "OP_RECORD"),
    ("op0.in1", X, "DTYPE"),
    ("op0.in1", S8_CHANNELS, "DTYPE"),
    ("op0.in0", S8, "DTYPE"),
    ("op0.in2", W, "SHAPE"),
    ("op0.in3", X, "SHAPE"),
    ("op0.in0", W, "DTYPE"),
    ("op0.out0", tf.NONE, "OP_RECORD"),
    ("op0.out0", W, "OP_RECORD"),  # would write to the file
    ("op0.out0", 11, "OP_RECORD"),
    ("op0.out0", UNUSED, "SHAPE"),
    ("op0.param0", 0, "PARAM"),  # kernel
    ("op0.param0", 65536, "PARAM"),
    ("op0.param0", 2, "SHAPE"),
    ("op0.param8", 0, "PARAM"),  # stride: a division by zero
    ("op0.param8", 2, "SHAPE"),
    ("op0.param16", 0, "PARAM"),  # dilation
    ("op0.param16", 0xFFFFFFFF, "PARAM"),
    ("op0.param16", 65535, "SHAPE"),
    ("op0.param24", 65536, "PARAM"),  # pad
    ("op0.param24", 0xFFFFFFFF, "PARAM"),
    ("op0.param24", 0, "SHAPE"),
    ("op0.param40", 0, "SHAPE"),  # groups
    ("op0.param40", 3, "SHAPE"),
    ("op0.param44", len(tf.FUNCTIONS), "PARAM"),  # activation
    ("op0.param44", tf.FUNCTIONS.index("not"), "PARAM"),
    ("op0.param48", NAN, "PARAM"),
    ("op0.param52", NAN, "PARAM"),
    ("op1.param0", 4, "PARAM"),  # axis
    ("op1.param0", 0xFFFFFFFF, "PARAM"),
    ("op1.param0", 2, "SHAPE"),
    ("op1.in1", X, "DTYPE"),
    ("op2.param0", -1 & 0xFFFFFFFF, "PARAM"),  # offset
    ("op2.param0", 1, "PARAM"),
    ("op2.param4", 2, "PARAM"),  # stride
    ("op2.param4", 0x80000000, "PARAM"),
    ("op2.param12", 1, "PARAM"),  # stride of a dimension that is not there
    ("op2.in0", S8, "DTYPE"),
    ("op3.param0", 0, "PARAM"),
    ("op3.param40", 2, "PARAM"),  # kind
    ("op3.param44", 2, "PARAM"),  # include_pad
    ("op3.param8", 4, "SHAPE"),  # the second window would begin behind the image
]

# Larger changes.
FILES: list[tuple[str, Callable[[], bytes], str]] = [
    ("empty", lambda: b"", "TRUNCATED"),
    ("four bytes", lambda: SOUND[:4], "TRUNCATED"),
    ("half a header", lambda: SOUND[:64], "TRUNCATED"),
    ("one byte short", lambda: SOUND[:-1], "TRUNCATED"),
    ("half a file", lambda: SOUND[: len(SOUND) // 2], "TRUNCATED"),
    ("a wrong checksum", lambda: SOUND[:16] + bytes([SOUND[16] ^ 1]) + SOUND[17:], "CHECKSUM"),
    ("a flipped bit in a tensor", lambda: SOUND[:200] + bytes([SOUND[200] ^ 64]) + SOUND[201:], "CHECKSUM"),
    ("a flipped bit before the weights", lambda: SOUND[: H.weights_at - 1] + b"\1" + SOUND[H.weights_at :], "CHECKSUM"),
    ("an index beyond its axis", lambda: with_index(4), "PARAM"),
    ("a negative index", lambda: with_index(-1), "PARAM"),
    (
        "a shape that overflows",
        lambda: changed(**{"tensor10.rank": 3} | {f"tensor10.shape{d}": 65536 for d in range(3)}),
        "TENSOR",
    ),
    ("a shape of 2^31", lambda: changed(**{"tensor10.rank": 1, "tensor10.shape0": 1 << 31, "tensor10.bytes": 0}), "TENSOR"),
    (
        "a shape of 2^64, which is 0 in 64 bits",
        lambda: changed(**{"tensor10.rank": 4, "tensor10.bytes": 0} | {f"tensor10.shape{d}": 65536 for d in range(4)}),
        "TENSOR",
    ),
    (
        "a seventh dimension behind six good ones",
        lambda: changed(
            **{"tensor10.rank": 7, "tensor10.bytes": 4 * 7168, "header.arena_bytes": 1 << 16}  # as if `at` were a dimension
            | {f"tensor10.shape{d}": 1 for d in range(6)}
        ),
        "TENSOR",
    ),
    (
        "parameters that end early",
        lambda: changed(**{"op3.param_bytes": 4 * 11, "header.ops_bytes": H.ops_bytes - 4}),
        "OP_RECORD",
    ),
    ("sections in another order", lambda: changed(**{"header.tensors_at": H.ops_at, "header.ops_at": H.tensors_at}), "HEADER"),
    ("png", lambda: b"\x89PNG\r\n\x1a\n" + bytes(200), "MAGIC"),
]


def with_index(value: int) -> bytes:
    tensor = tf.read(SOUND).tensors[INDICES]
    return changed(**{f"weights{tensor.at}": value & 0xFFFFFFFF})


def test_the_sound_file_runs() -> None:
    runtime = Runtime(SOUND, verify=True)
    np.asarray(runtime.inputs[0])[...] = 0.25
    runtime.run()
    turned = np.asarray(runtime.outputs[0])
    assert turned.shape == (8, 8) and turned[0, 0] == 1 + 4 * 3 * 0.25
    assert np.all(np.asarray(runtime.outputs[1]) == 6.0)


@pytest.mark.parametrize(("field", "value", "status"), FIELDS, ids=lambda v: v.hex() if isinstance(v, bytes) else str(v))
def test_field(field: str, value: int | float | bytes, status: str) -> None:
    assert refusal(changed(**{field: value})).startswith(TEXTS[status])


@pytest.mark.parametrize(("make", "status"), [pytest.param(make, status, id=name) for name, make, status in FILES])
def test_file(make: Callable[[], bytes], status: str) -> None:
    assert refusal(make()).startswith(TEXTS[status])


FLAGS = {"include_pad", "transpose_b", "log", "rms", "least", "last", "smallest", "exclusive", "reverse", "linear_before_reset"}


def beyond(name: str, kind: str | list[str]) -> int | None:
    """The first value of a parameter that is none of its names, flags or axes; None where any number may be right."""
    if isinstance(kind, list):
        return len(kind)
    if kind == "act":
        return len(tf.FUNCTIONS)
    return 2 if name in FLAGS else tf.MAX_RANK if name == "axis" else 1 << tf.MAX_RANK if name == "axes" else None


def parameters(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Operator and parameter, where it lies, and the first value that is too large, for all that have one."""
    h, file = tf.read_header(data), tf.read(data)
    at = h.ops_at
    for record in file.records:
        _, inputs, outputs, _ = struct.unpack_from("<4H", data, at)
        at += 8 + 4 * (inputs + outputs)
        for name, kind, count in tf.OPS[record.op].params:
            if (bad := beyond(name, kind)) is not None:
                yield f"{record.op}.{name}", at, bad
            at += 12 if kind == "act" else 4 * count


def test_every_name_flag_and_axis_is_checked() -> None:
    seen = set()
    for data in seeds.models().values():
        for name, at, bad in parameters(data):
            seen.add(name)
            for value in (bad, 0xFFFFFFFF):
                wrong = bytearray(data)
                struct.pack_into("<I", wrong, at, value)
                with pytest.raises(ModelError):
                    Runtime(repaired(wrong))
                    pytest.fail(f"{name} was taken as {value}")
    assert seen == {f"{op}.{n}" for op, o in tf.OPS.items() for n, kind, _ in o.params if beyond(n, kind) is not None}


FLOATS = "conv dwconv deconv dense matmul softmax layer_norm instance_norm resize lstm gru rnn".split()


def test_every_tensor_of_a_float_operator_has_one_dtype() -> None:
    """Tables of indices and biases of int8 hold int32, everything else of 4 bytes float32: exchange them; bytes are int8."""
    other = {"float32": "int32", "int32": "float32", "int8": "uint8", "int16": "float16", "bfloat16": "int16"}
    seen = set()
    for data in seeds.models().values():
        file = tf.read(data)
        for record in file.records:
            if len(file.records) > 1 or record.op not in FLOATS:
                continue
            seen.add(record.op)
            for index in {i for i in (*record.inputs, *record.outputs) if i is not None}:
                wrong = bytearray(data)
                wrong[file_at(data, index)] = tf.DTYPES[other[file.tensors[index].dtype]][0]
                with pytest.raises(ModelError):
                    Runtime(repaired(wrong))
                    pytest.fail(f"{record.op} took tensor {index} as {other[file.tensors[index].dtype]}")
    assert seen == set(FLOATS)


def file_at(data: bytes, tensor: int) -> int:
    """Where a tensor's record lies; its dtype is the first byte."""
    return tf.read_header(data).tensors_at + 64 * tensor


@pytest.mark.parametrize("at", [H.weights_at, H.meta_at - 64, H.meta_at + 6])
def test_weights_and_metadata_are_compared_on_request(at: int) -> None:
    data = bytearray(SOUND)
    data[at] ^= 1
    Runtime(bytes(data))
    with pytest.raises(ModelError, match=TEXTS["CHECKSUM"]):
        Runtime(bytes(data), verify=True)


def test_what_comes_after_the_file_does_not_matter() -> None:
    Runtime(SOUND + bytes(100))  # a slot of a device is larger than the file in it
