"""The refuse list of slices: where they may lie, how they may be cut, and who may read or write them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable

import pytest
import seeds
from refusal import HEADER, TEXTS, refusal, repaired

from tody import format as tf
from tody._runtime import Runtime


def sliced(**fields: int | str | tuple[int, ...]) -> tf.File:
    """The seed with slices, with fields of its first one changed: 7 channels of the 33 of (1, 6, 5, 33), in float32."""
    file = tf.read(seeds.models()["slices"])
    file.tensors[slice_of(file)] = dataclasses.replace(file.tensors[slice_of(file)], **fields)
    return file


def slice_of(file: tf.File) -> int:
    return next(i for i, t in enumerate(file.tensors) if t.pitch)


def older(file: tf.File) -> bytes:
    """Its bytes, as of the version before slices."""
    data = bytearray(tf.write(file))
    struct.pack_into("<H", data, HEADER["minor"][0], tf.PITCH_MINOR - 1)
    return repaired(data)


def as_port(inputs: bool) -> tf.File:
    file = sliced()
    (file.inputs if inputs else file.outputs).append(slice_of(file))
    return file


def with_record(op: str, attrs: dict[str, object], *shape: int) -> tf.File:
    """With an operator that takes a slice and makes a tensor of its own."""
    file = sliced()
    file.tensors.append(tf.Tensor("float32", shape, "arena", tf.align(file.arena_bytes, 64)))
    file.arena_bytes = file.tensors[-1].at + file.tensors[-1].bytes
    file.records.append(tf.Record(op, [slice_of(file)], [len(file.tensors) - 1], attrs))
    return file


def with_addend() -> tf.File:
    """A layer that writes a slice, with an addend that lies elsewhere."""
    file = sliced()
    file.tensors.append(tf.Tensor("float32", (1, 6, 5, 7), "arena", tf.align(file.arena_bytes, 64)))
    file.arena_bytes = file.tensors[-1].at + file.tensors[-1].bytes
    conv = next(r for r in file.records if r.op == "conv" and r.outputs == [slice_of(file)])
    conv.inputs += [None, len(file.tensors) - 1]
    return file


SLICES: list[tuple[str, Callable[[], bytes], str]] = [
    ("of an older version", lambda: older(sliced()), "TENSOR"),
    ("as long as its rows", lambda: tf.write(sliced(pitch=7)), "TENSOR"),
    ("shorter than its rows", lambda: tf.write(sliced(pitch=6)), "TENSOR"),
    ("behind the arena", lambda: tf.write(sliced(pitch=1 << 20)), "TENSOR"),
    ("of more than 2^31 elements", lambda: tf.write(sliced(shape=(1, 7), pitch=1 << 31)), "TENSOR"),
    ("between elements", lambda: tf.write(sliced(at=2)), "TENSOR"),
    ("of one dimension", lambda: tf.write(sliced(shape=(7,))), "TENSOR"),
    ("of int32", lambda: tf.write(sliced(dtype="int32")), "TENSOR"),
    ("of weights", lambda: tf.write(sliced(place="weights")), "TENSOR"),
    ("in strips", lambda: tf.write(sliced(place="strips", rows=6)), "TENSOR"),
    ("as an input", lambda: tf.write(as_port(True)), "HEADER"),
    ("as an output", lambda: tf.write(as_port(False)), "HEADER"),
    ("for a reduction", lambda: tf.write(with_record("reduce", {"fn": "mean", "axes": 6}, 1, 1, 1, 7)), "OP_RECORD"),
    ("made by a copy", lambda: tf.write(exchanged()), "OP_RECORD"),
    ("joined by lines", lambda: tf.write(with_record("concat", {"axis": 1}, 1, 6, 5, 7)), "PARAM"),
    ("with an addend", lambda: tf.write(with_addend()), "SHAPE"),
    ("under a window that folds", lambda: tf.write(folded()), "PARAM"),
]


def exchanged() -> tf.File:
    """A copy that would write a slice."""
    file = with_record("copy", {"stride": (210, 35, 7, 1)}, 1, 6, 5, 7)
    file.records[-1].inputs, file.records[-1].outputs = file.records[-1].outputs, file.records[-1].inputs
    return file


def folded() -> tf.File:
    """A layer whose image of three channels goes by phases, made one pixel: from a slice."""
    file = tf.read(seeds.models()["conv_phases_folded"])
    image = file.tensors[file.records[0].inputs[0] or 0]
    image.at, image.pitch = tf.align(file.arena_bytes, 64), 5
    file.inputs, file.arena_bytes = [], image.at + image.bytes
    return file


def test_the_file_with_slices_is_sound() -> None:
    Runtime(tf.write(sliced())).run()


@pytest.mark.parametrize(("make", "status"), [pytest.param(make, status, id=name) for name, make, status in SLICES])
def test_slice(make: Callable[[], bytes], status: str) -> None:
    assert refusal(make()).startswith(TEXTS[status])
