"""Inputs that any machine can make from a seed (docs/format.md, generator splitmix64), and samples of outputs."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = 1024  # elements of an output that are kept in a file


def splitmix64(seed: int, shape: tuple[int, ...], low: float, high: float, dtype: str = "float32") -> NDArray[Any]:
    """An array of pseudo-random numbers in [low, high), equal on every machine.

    Args:
        seed: any integer; taken modulo 2^64.
        shape: of the array.
        low, high: bounds, used as float32.
        dtype: a name of `tody.format.DTYPES`; integers and bool take the floor.

    Source: Sebastiano Vigna, "splitmix64.c", public domain, 2015.
    """
    count = math.prod(shape)
    with np.errstate(over="ignore"):
        z = np.uint64(seed % 2**64) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    u = (z >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
    with np.errstate(over="ignore", invalid="ignore"):  # the bounds may come from a file
        value = np.float32(low) + u * (np.float32(high) - np.float32(low))
        if dtype not in ("float32", "float16"):
            value = np.floor(value)
        return np.asarray(value.reshape(shape).astype(dtype))


def sample_stride(size: int) -> int:
    """The distance between kept elements: odd, so that it does not walk along one channel only."""
    stride = max(1, size // SAMPLES)
    return stride if stride == 1 or stride % 2 else stride - 1


def sample(array: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """At most `SAMPLES` elements of an array, and the stride between them."""
    stride = sample_stride(array.size)
    return np.ascontiguousarray(array.reshape(-1)[::stride][:SAMPLES]), stride
