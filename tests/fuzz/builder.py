"""Files from lists of operators and their tensors: places, quantisation and random weights come by themselves."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tody import format as tf

RNG = np.random.default_rng(1)


@dataclass
class Arena:
    """A tensor in the arena: an input of the model, or what an operator makes. `scale` and `zero`: quantised.

    `rows`: it is made inside of a chain, and so many of its rows are kept. `whole`: it is some channels of that one, from
    `channel` on.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    scale: float = 0.0
    zero: int = 0
    rows: int = 0
    whole: Arena | None = None
    channel: int = 0


@dataclass
class Weights:
    """A constant: `scales` times quantised by `scale`. `dtype`: that of the file, where NumPy has none."""

    data: np.ndarray
    pack: str = "plain"
    scales: int = 0
    tile: int = 0
    scale: float = 0.01
    dtype: str = ""


def arena(*shape: int, dtype: str = "float32") -> Arena:
    return Arena(shape, dtype)


def panels(*shape: int, tile: int = 0) -> Weights:
    return Weights(RNG.standard_normal(shape).astype(np.float32), "panels", tile=tile)


def plain(*shape: int) -> Weights:
    return Weights(RNG.standard_normal(shape).astype(np.float32))


def indices(*values: Any) -> Weights:
    return Weights(np.array(values, np.int32))


def quantised(*shape: int, zero: int = -3) -> Arena:
    return Arena(shape, "int8", 0.5, zero)


def int8_weights(*shape: int, pack: str = "panels", scales: int = 1) -> Weights:
    return Weights(RNG.integers(-128, 128, shape, np.int8), pack, scales)


def sparse_weights(*shape: int) -> Weights:
    weights = RNG.integers(-128, 128, shape, np.int8)
    weights.reshape(-1, 4)[RNG.random(weights.size // 4) < 0.6] = 0
    return Weights(weights, "blocks")


def int32_bias(*shape: int, pack: str = "panels") -> Weights:
    return Weights(RNG.integers(-1000, 1000, shape).astype(np.int32), pack)


def multipliers(*shape: int, pack: str = "plain", near: float = 0.001) -> Weights:
    return Weights((near * RNG.uniform(0.5, 1.5, shape)).astype(np.float32), pack)


def int16_bias(*shape: int, pack: str = "panels", shift: int = 4) -> Weights:
    return Weights(RNG.integers(-60, 60, shape).astype(np.int16), pack, 1, scale=float(1 << shift))


def short_multipliers(*shape: int, pack: str = "plain") -> Weights:
    upper = multipliers(*shape).data.view(np.uint32) >> 16
    return Weights(upper.astype(np.uint16), pack, dtype="bfloat16")


Operand = Arena | Weights | None
Step = tuple[str, list[Operand], list[Operand], dict[str, Any]]


class Builder:
    """A file from steps: each new Arena gets its own place, one used before is the same tensor again."""

    def __init__(self) -> None:
        self.file = tf.File()
        self.weights = bytearray()
        self.windows_bytes = 0  # of the one chain that a file may have
        self.known: dict[int, int] = {}
        self.keep: list[Operand] = []  # so that no two operands share an id

    def tensor(self, operand: Operand) -> int | None:
        if operand is None:
            return None
        if id(operand) not in self.known:
            self.keep.append(operand)
            tensor = self.in_arena(operand) if isinstance(operand, Arena) else self.in_weights(operand)
            self.known[id(operand)] = len(self.file.tensors)
            self.file.tensors.append(tensor)
        return self.known[id(operand)]

    def in_arena(self, operand: Arena) -> tf.Tensor:
        tensor = tf.Tensor(operand.dtype, operand.shape, "arena", tf.align(self.file.arena_bytes, tf.ARENA_ALIGN))
        if operand.rows:
            tensor.place, tensor.rows, tensor.at = "strips", operand.rows, tf.align(self.windows_bytes, tf.ARENA_ALIGN)
            self.windows_bytes = tensor.at + tensor.bytes
        elif operand.whole:
            whole = self.file.tensors[self.tensor(operand.whole) or 0]
            tensor.pitch = whole.shape[-1]
            tensor.at = whole.at + operand.channel * tf.DTYPES[operand.dtype][1].itemsize
        else:
            self.file.arena_bytes = tensor.at + tensor.bytes
        if operand.scale:
            tensor.scale_count, tensor.zero_point = 1, operand.zero
            tensor.scales_at = self.store(np.float32(operand.scale).tobytes())
        return tensor

    def in_weights(self, operand: Weights) -> tf.Tensor:
        pack = {"panels": tf.pack_panels, "blocks": tf.pack_blocks, "plain": np.ndarray.tobytes}[operand.pack]
        data = pack(operand.data)
        stored = len(data) if operand.pack == "blocks" else 0
        tensor = tf.Tensor(
            operand.dtype or str(operand.data.dtype),
            operand.data.shape,
            "weights",
            self.store(data),
            operand.pack,
            stored=stored,
        )
        tensor.tile = operand.tile
        if operand.scales:
            tensor.scale_count = operand.scales
            tensor.scales_at = self.store(np.full(operand.scales, operand.scale, np.float32).tobytes())
        return tensor

    def store(self, data: bytes) -> int:
        """Where in the weights section the data stands."""
        self.weights += b"\0" * (-len(self.weights) % tf.WEIGHT_ALIGN)
        at = len(self.weights)
        self.weights += data
        return at

    def build(self, steps: list[Step]) -> bytes:
        for op, inputs, outputs, attrs in steps:
            record = tf.Record(op, [self.tensor(i) for i in inputs], [self.tensor(o) for o in outputs], attrs)
            self.file.records.append(record)
        made = {o for r in self.file.records for o in r.outputs}
        used = {i for r in self.file.records for i in r.inputs}
        in_arena = [i for i, t in enumerate(self.file.tensors) if t.place == "arena" and not t.pitch]
        self.file.inputs = [i for i in in_arena if i not in made]
        windows = {r.outputs[1] for r in self.file.records if r.op == "strips"}  # of no meaning afterwards
        self.file.outputs = [i for i in in_arena if i not in used | windows]
        self.file.weights = bytes(self.weights)
        return tf.write(self.file)


def one(op: str, inputs: list[Operand], outputs: list[Operand], **attrs: Any) -> list[Step]:
    return [(op, inputs, outputs, attrs)]


def window(kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1) -> dict[str, Any]:
    return {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "dilation": (dilation,) * 2, "pad": (pad,) * 4}
