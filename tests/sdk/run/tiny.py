"""Small models for tests of tody.load and Model, made without a converter."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np

from tody import format, golden

INF = float("inf")
WEIGHTS = np.arange(12, dtype=np.float32).reshape(1, 3, 1, 4) / 10
X = np.array([[1, -2, 3, -4], [5, 6, -7, 8]], np.float32)


def dense_file(golden_shift: float = 0.0, low: float = -1.0) -> format.File:
    """y = relu(x @ w.T) for x [2, 4] and w [3, 4], with golden data."""
    file = format.File(weights=format.pack_panels(WEIGHTS), arena_bytes=128)
    file.tensors = [
        format.Tensor("float32", (2, 4), "arena", 0),
        format.Tensor("float32", (1, 3, 1, 4), "weights", 0, "panels"),
        format.Tensor("float32", (2, 3), "arena", 64),
    ]
    file.records = [format.Record("dense", [0, 1], [2], {"activation": ("clamp", 0.0, INF)})]
    file.inputs, file.outputs = [0], [2]
    x = golden.splitmix64(7, (2, 4), low, 1.0)
    file.blob = (relu_dense(x) + np.float32(golden_shift)).tobytes()
    file.meta = {
        "name": "tiny",
        "inputs": [{"name": "x", "dtype": "float32", "shape": [2, 4]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [2, 3]}],
        "golden": {
            "inputs": [{"name": "x", "generator": "splitmix64", "seed": 7, "low": low, "high": 1.0}],
            "outputs": [{"name": "y", "at": 0, "count": 6, "stride": 1, "dtype": "float32", "tolerance": 1e-4}],
        },
    }
    return file


def relu_dense(x: Any) -> Any:
    return np.maximum(np.asarray(x, np.float32) @ WEIGHTS.reshape(3, 4).T, 0)


def pair_file() -> format.File:
    """Two inputs (float32 and int32), two outputs: a + a, and b unchanged by a cast to int32."""
    file = format.File(
        arena_bytes=256, meta={"inputs": [{"name": "a"}, {"name": "b"}], "outputs": [{"name": "s"}, {"name": "f"}]}
    )
    file.tensors = [
        format.Tensor("float32", (3,), "arena", 0),
        format.Tensor("int32", (2,), "arena", 64),
        format.Tensor("float32", (3,), "arena", 128),
        format.Tensor("float32", (2,), "arena", 192),
    ]
    file.records = [format.Record("binary", [0, 0], [2], {"fn": "add"}), format.Record("cast", [1], [3])]
    file.inputs, file.outputs = [0, 1], [2, 3]
    return file
