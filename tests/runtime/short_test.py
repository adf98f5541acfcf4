"""Biases and multipliers in 16 bits: the same bytes as with what they stand for; those that stand for nothing are refused."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import builder
import numpy as np
import pytest
import seeds

from tody import format as tf
from tody import memory
from tody._runtime import Runtime, kernel_sets
from tody.errors import ModelError

ROOT = Path(__file__).resolve().parents[2]
SHORT = {name: builder.Builder().build(steps) for name, steps in seeds.shorts().items()}


def constant(file: tf.File, index: int) -> np.ndarray:
    t = file.tensors[index]
    return np.frombuffer(file.weights, tf.DTYPES[t.dtype][1], t.bytes // tf.DTYPES[t.dtype][1].itemsize, t.at)


def widened(data: bytes) -> bytes:
    """The same file with these constants in 32 bits."""
    file = tf.read(data)
    weights = bytearray(file.weights)
    for index in {i for record in file.records for i in record.inputs[2:] if i is not None}:
        tensor = file.tensors[index]
        if tensor.dtype == "bfloat16":
            content, dtype = (constant(file, index).astype(np.uint32) << 16).tobytes(), "float32"
        elif tensor.dtype == "int16" and tensor.place == "weights":
            scale = np.frombuffer(file.weights, np.float32, 1, tensor.scales_at)[0]
            content, dtype = (constant(file, index).astype(np.int32) * int(scale)).tobytes(), "int32"
        else:
            continue
        weights += b"\0" * (-len(weights) % tf.WEIGHT_ALIGN)
        file.tensors[index] = replace(tensor, dtype=dtype, at=len(weights), scale_count=0, scales_at=0)
        weights += content
    file.weights = bytes(weights)
    return tf.write(file)


def outputs(data: bytes, kernels: str, threads: int, prepare: bool) -> list[bytes]:
    runtime, file = Runtime(data, threads=threads, kernels=kernels, prepare=prepare), tf.read(data)
    rng = np.random.default_rng(5)
    for i, index in enumerate(file.inputs):
        tensor = file.tensors[index]
        limits = np.iinfo(tensor.dtype)
        np.asarray(runtime.inputs[i])[...] = rng.integers(limits.min, limits.max + 1, tensor.shape, tensor.dtype)
    runtime.run()
    return [np.asarray(t).tobytes() for t in runtime.outputs]


@pytest.mark.parametrize("kernels", kernel_sets())
@pytest.mark.parametrize("name", SHORT)
def test_they_give_what_wide_ones_give(name: str, kernels: str) -> None:
    data, wide = SHORT[name], widened(SHORT[name])
    assert tf.read_header(data).minor == tf.SHORT_MINOR > tf.read_header(wide).minor
    for threads, prepare in ((1, True), (3, True), (1, False)):
        found = outputs(data, kernels, threads, prepare)
        assert found == outputs(wide, kernels, threads, prepare)
        assert all(len(set(each)) > 8 for each in found)


@pytest.mark.parametrize("kernels", kernel_sets())
def test_slopes_behind_them_too(kernels: str) -> None:
    data = builder.Builder().build(seeds.integers()["s8_dwconv_short_slopes"])
    wide = widened(data)
    assert "bfloat16" in {t.dtype for t in tf.read(data).tensors} - {t.dtype for t in tf.read(wide).tensors}
    for threads, prepare in ((1, True), (3, True), (1, False)):
        assert outputs(data, kernels, threads, prepare) == outputs(wide, kernels, threads, prepare)


@pytest.mark.parametrize("name", SHORT)
def test_scratch_has_room_for_them(name: str) -> None:
    assert memory.need(SHORT[name]).scratch > memory.need(widened(SHORT[name])).scratch


def test_room_does_not_wrap(libtody: Path, tmp_path: Path) -> None:
    program = tmp_path / "room"
    includes = [f"-I{ROOT / 'runtime' / part}" for part in (".", "include", "core")]
    command = ["cc", "-std=c11", *includes, str(ROOT / "tests" / "runtime" / "room.c"), str(libtody), "-o", str(program)]
    for step in (command, [str(program)]):
        done = subprocess.run(step, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def changed(name: str, change: Callable[[tf.File, bytearray], None]) -> bytes:
    file = tf.read(SHORT[name])
    weights = bytearray(file.weights)
    change(file, weights)
    file.weights = bytes(weights)
    return tf.write(file)


def put(index: int, value: Any, dtype: str) -> Callable[[tf.File, bytearray], None]:
    """Change the last number of a constant input, or the scale of a bias."""

    def change(file: tf.File, weights: bytearray) -> None:
        tensor = file.tensors[file.records[0].inputs[index] or 0]
        at = tensor.scales_at if dtype == "float32" else tensor.at + 2 * (tensor.shape[-1] - 1)
        content = np.array(value, dtype).tobytes()
        weights[at : at + len(content)] = content

    return change


def place_in_arena(file: tf.File, weights: bytearray) -> None:
    tensor = file.tensors[file.records[0].inputs[4] or 0]
    tensor.place, tensor.at = "arena", 0


def without_scale(file: tf.File, weights: bytearray) -> None:
    tensor = file.tensors[file.records[0].inputs[2] or 0]
    tensor.scale_count = tensor.scales_at = 0


def as_output(file: tf.File, weights: bytearray) -> None:
    file.outputs.append(file.records[0].inputs[4] or 0)


def as_addends_multiplier(file: tf.File, weights: bytearray) -> None:
    index = file.records[0].inputs[5] or 0
    file.tensors[index] = replace(file.tensors[index], dtype="bfloat16")


DAMAGED = {
    "a multiplier below zero": ("short_dwconv", put(4, 0xBF80, "uint16")),
    "a multiplier of zero": ("short_dwconv", put(4, 0, "uint16")),
    "a subnormal multiplier": ("short_dwconv", put(4, 0x007F, "uint16")),
    "a multiplier of 2^64": ("short_conv", put(4, 0x5F80, "uint16")),
    "a multiplier that is no number": ("short_conv", put(4, 0x7FC0, "uint16")),
    "a scale of 3": ("short_dwconv", put(2, 3.0, "float32")),
    "a scale of 1/2": ("short_conv", put(2, 0.5, "float32")),
    "a scale of 2^17": ("short_dense", put(2, 2.0**17, "float32")),
    "a bias without a scale": ("short_dense", without_scale),
    "multipliers in the arena": ("short_dwconv", place_in_arena),
    "multipliers as an output": ("short_dwconv", as_output),
    "an addend's multiplier": ("short_conv", as_addends_multiplier),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_refused(what: str) -> None:
    name, change = DAMAGED[what]
    with pytest.raises(ModelError):
        Runtime(changed(name, change))


def test_an_older_version_has_none_of_them() -> None:
    data = bytearray(SHORT["short_dwconv"])
    data[6] = tf.SHORT_MINOR - 2
    header = tf.read_header(bytes(data))
    data[16:20] = bytes(4)
    data[16:20] = zlib.crc32(data[: header.weights_at]).to_bytes(4, "little")
    with pytest.raises(ModelError):
        Runtime(bytes(data))
