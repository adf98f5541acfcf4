"""Files of one convolution in float32, and what they give: for the tests of ways to compute it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tody import format as tf
from tody._runtime import Runtime, kernel_sets

# Sets that give the same bits, as far as this machine has them.
FUSED = [name for name in kernel_sets() if name in ("avx2", "avx512", "neon")]


def conv_file(rng: np.random.Generator, x: tuple[int, ...], y: tuple[int, ...], tile: int, **attrs: Any) -> tf.File:
    """From x to y, images NHWC, with random weights that are marked with `tile`, and perhaps a bias or an addend, input 1."""
    taps = attrs["kernel"][0] * attrs["kernel"][1]
    data = [rng.standard_normal(shape).astype(np.float32) for shape in ((1, y[3], taps, x[3]), (1, y[3]))]
    packed = [tf.pack_panels(d) for d in data]
    bias_at = tf.align(len(packed[0]), tf.WEIGHT_ALIGN)
    file = tf.File(weights=packed[0].ljust(bias_at, b"\0") + packed[1])
    file.tensors = [
        tf.Tensor("float32", x, "arena", 0),
        tf.Tensor("float32", data[0].shape, "weights", 0, "panels", tile=tile),
        tf.Tensor("float32", data[1].shape, "weights", bias_at, "panels"),
        tf.Tensor("float32", y, "arena", 0),
        tf.Tensor("float32", y, "arena", 0),
    ]
    for tensor in file.tensors:
        if tensor.place == "arena":
            tensor.at = file.arena_bytes
            file.arena_bytes = tf.align(tensor.at + tensor.bytes, tf.ARENA_ALIGN)
    inputs: list[int | None] = [0, 1, *([2] if rng.integers(2) else [None]), *([3] if rng.integers(2) else [])]
    file.records = [tf.Record("conv", inputs, [4], attrs)]
    file.inputs, file.outputs = [0, 3], [4]
    return file


def feeds_of(rng: np.random.Generator, file: tf.File) -> list[np.ndarray]:
    return [rng.standard_normal(file.tensors[i].shape).astype(np.float32) for i in file.inputs]


def result(runtime: Runtime, feeds: Sequence[np.ndarray]) -> np.ndarray:
    """The first output, of these inputs."""
    for tensor, feed in zip(runtime.inputs, feeds, strict=True):
        np.asarray(tensor)[...] = feed
    runtime.run()
    return np.array(runtime.outputs[0])
