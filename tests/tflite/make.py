"""Writes small TFLite files, with the flatbuffers library and the schema that the reader has."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flatbuffers import Builder
from numpy.typing import NDArray

from tody.convert.tflite.schema import DTYPES, OPERATORS, OPTIONS, TABLES

Array = NDArray[Any]
_SLOTS = {
    "bool": "Bool", "i8": "Int8", "u8": "Uint8", "i32": "Int32", "u32": "Uint32", "i64": "Int64", "u64": "Uint64",
    "f32": "Float32",
}  # fmt: skip
_NUMPY = {"u8": np.uint8, "i32": np.int32, "i64": np.int64, "f32": np.float32}
# Numbers of the tables of options, which say to other readers what an operator's options are.
_UNION = {
    "CONV_2D": 1, "DEPTHWISE_CONV_2D": 2, "AVERAGE_POOL_2D": 5, "MAX_POOL_2D": 5, "L2_POOL_2D": 5, "FULLY_CONNECTED": 8,
    "SOFTMAX": 9, "CONCATENATION": 10, "ADD": 11, "L2_NORMALIZATION": 12, "LOCAL_RESPONSE_NORMALIZATION": 13,
    "RESIZE_BILINEAR": 15, "RESHAPE": 17, "SPACE_TO_DEPTH": 19, "MUL": 21, "GATHER": 23, "MEAN": 27,
    "SUM": 27, "REDUCE_MAX": 27, "REDUCE_MIN": 27, "REDUCE_PROD": 27, "REDUCE_ANY": 27, "REDUCE_ALL": 27,
    "SUB": 28, "DIV": 29, "SQUEEZE": 30, "STRIDED_SLICE": 32,
    "SPLIT": 35, "TRANSPOSE_CONV": 49, "PACK": 59, "ONE_HOT": 61, "UNPACK": 64,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 71, "RESIZE_NEAREST_NEIGHBOR": 74, "LEAKY_RELU": 75, "MIRROR_PAD": 77, "SPLIT_V": 79,
    "REVERSE_SEQUENCE": 87, "DEPTH_TO_SPACE": 94, "BATCH_MATMUL": 101, "CUMSUM": 102, "GELU": 116, "ARG_MAX": 40, "ARG_MIN": 57,
}  # fmt: skip
_VERSIONS = {"BROADCAST_TO": 2}  # of which LiteRT has no earlier one
_OWN = {  # spelt out where the reader does without a field
    "Operator": "opcode_index:u32 inputs:[i32] outputs:[i32] builtin_options_type:u8 options:place custom_options:[u8]",
    "ArgMax": "output_type:i8",
    "Indices": "values:[u8]",
}


@dataclass
class Tflite:
    """A file that grows; `content` writes it."""

    tensors: list[dict[str, Any]] = field(default_factory=list)
    operators: list[dict[str, Any]] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    buffers: list[bytes] = field(default_factory=lambda: [b""])
    inputs: list[int] = field(default_factory=list)

    def tensor(
        self,
        dtype: str,
        shape: Sequence[int] = (),
        data: Array | None = None,
        scale: float | Sequence[float] | None = None,
        zero: int | Sequence[int] = 0,
        axis: int = 0,
        **more: Any,
    ) -> int:
        """A tensor; returns its index."""
        buffer = 0
        if data is not None:
            self.buffers.append(np.ascontiguousarray(data).tobytes())
            buffer = len(self.buffers) - 1
        table = {"shape": list(shape), "type": DTYPES.index(dtype), "buffer": buffer, "name": f"t{len(self.tensors)}", **more}
        if scale is not None:
            scales, zeros = np.atleast_1d(scale), np.atleast_1d(zero)
            table["quantization"] = {"scale": scales, "zero_point": zeros, "quantized_dimension": axis}
        self.tensors.append(table)
        return len(self.tensors) - 1

    def input(self, dtype: str, shape: Sequence[int], **more: Any) -> int:
        self.inputs.append(self.tensor(dtype, shape, **more))
        return self.inputs[-1]

    def constant(self, data: Array, dtype: str = "", **more: Any) -> int:
        return self.tensor(dtype or data.dtype.name, data.shape, data, **more)

    def op(self, name: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any) -> None:
        """An operator between tensors; one that the schema does not know is a custom one, with its options in bytes."""
        if name not in self.codes:
            self.codes.append(name)
        table: dict[str, Any] = {"opcode_index": self.codes.index(name), "inputs": list(inputs), "outputs": list(outputs)}
        if name in _UNION:
            table["builtin_options_type"] = _UNION[name]
            table["options"] = ("ArgMax" if name in ("ARG_MAX", "ARG_MIN") else name, options)
        elif name not in OPERATORS and options:
            table["custom_options"] = np.frombuffer(options["custom_options"], np.uint8)
        self.operators.append(table)

    def content(self, *outputs: int) -> bytes:
        """The bytes of the file."""
        builder = Builder(1024)
        graph = {"tensors": self.tensors, "inputs": self.inputs, "outputs": list(outputs), "operators": self.operators}
        model = {
            "version": 3,
            "operator_codes": [_code(name) for name in self.codes],
            "subgraphs": [graph],
            "description": "made for a test",
            "buffers": [{"data": np.frombuffer(b, np.uint8)} if b else {} for b in self.buffers],
        }
        builder.Finish(_table(builder, "Model", model), file_identifier=b"TFL3")
        return bytes(builder.Output())


def _code(name: str) -> dict[str, Any]:
    number = OPERATORS.index(name if name in OPERATORS else "CUSTOM")
    custom = {} if name in OPERATORS else {"custom_code": name}
    return {"deprecated_builtin_code": min(number, 127), "builtin_code": number, "version": _VERSIONS.get(name, 1), **custom}


def _table(builder: Builder, kind: str, values: dict[str, Any]) -> int:
    """Write a table; returns where it stands. Fields of types that stand elsewhere are written first."""
    fields = [entry.partition("=")[0].partition(":") for entry in _spelt(kind).split()]
    held = {}
    for name, _, form in fields:
        if name in values and form not in _SLOTS:
            held[name] = _elsewhere(builder, form, values[name])
    builder.StartObject(len(fields))
    for slot, (name, _, form) in enumerate(fields):
        if name in held:
            builder.PrependUOffsetTRelativeSlot(slot, held[name], 0)
        elif name in values:
            getattr(builder, f"Prepend{_SLOTS[form]}Slot")(slot, values[name], None)
    return int(builder.EndObject())


def _spelt(kind: str) -> str:
    return _OWN.get(kind) or TABLES.get(kind) or OPTIONS[kind]


def _elsewhere(builder: Builder, form: str, value: Any) -> int:
    if form == "string":
        return int(builder.CreateString(value))
    if form == "place":
        return _table(builder, *value)
    if form[1:-1] in _NUMPY:
        return int(builder.CreateNumpyVector(np.asarray(value, _NUMPY[form[1:-1]])))
    if not form.startswith("["):
        return _table(builder, form, value)
    places = [_table(builder, form[1:-1], one) for one in value]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())
