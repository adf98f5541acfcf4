"""Fourier transforms: products with a constant matrix of cosines and sines."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..builder import Builder
from ..operand import FLOATS, Array, Call, Operand, Refusal, axis_of, scalar
from .convolution import conv
from .matrix import product

MAX_LENGTH = 4096  # of a transform: its matrix has this number squared, times two to four


def dft(b: Builder, call: Call) -> Operand:
    """[.., n, .., 1 or 2] -> [.., bins, .., 2]; real and imaginary part lie in the last dimension."""
    x = call.input(0)
    if x.dtype not in FLOATS or x.rank < 2 or x.shape[-1] not in (1, 2):
        raise ValueError(f"{x.dtype} {list(x.shape)} are no real or complex numbers")
    axis = axis_of(call.attrs.get("axis", 1) if call.opset < 20 else int(call.number(2, "axis", -2)), x.rank)
    length = int(call.number(1, "length", x.shape[axis]))
    inverse, onesided = bool(call.attrs.get("inverse", 0)), bool(call.attrs.get("onesided", 0))
    if axis == x.rank - 1 or length < 1:
        raise ValueError(f"there is no transform of length {length} along dimension {axis}")
    if inverse and onesided:
        raise Refusal("it is inverse and one-sided at once")
    x = b.slice(x, axis, 0, min(length, x.shape[axis]))
    order = [*(d for d in range(x.rank - 1) if d != axis), axis, x.rank - 1]
    rows = b.transpose(x, order)
    basis = _basis(length, onesided, inverse)[: x.shape[axis], : x.shape[-1]]
    taken = rows.shape[-2] * rows.shape[-1]
    y = product(b, b.reshape(rows, (x.size // taken, taken)), b.constant(basis.reshape(taken, -1)))
    y = b.reshape(y, (*rows.shape[:-2], basis.shape[2], 2))
    return b.transpose(y, [order.index(d) for d in range(x.rank)])


def stft(b: Builder, call: Call) -> Operand:
    """Real signal [N, length, 1] or [N, length] -> [N, frames, bins, 2], as a convolution by the windowed matrix."""
    x = call.input(0)
    if x.rank == 3 and x.shape[2] == 2:
        raise Refusal("its signal is complex", "a real one can be done")
    step = int(scalar(call.array(1, "frame step")))
    window = None if call.optional(2) is None else call.array(2, "window").reshape(-1)
    length = int(call.number(3, "length", x.shape[1] if window is None else window.size, "frame length"))
    if x.dtype not in FLOATS or step < 1 or not 0 < length <= x.shape[1] or (window is not None and window.size != length):
        raise ValueError(f"frames of {length}, {step} apart, do not fit {list(x.shape)} and the window")
    basis = _basis(length, bool(call.attrs.get("onesided", 1)), False)[:, 0]
    if window is not None:
        basis = basis * window.astype(np.float32)[:, None, None]
    weights = np.ascontiguousarray(basis.reshape(length, 1, -1).transpose(2, 1, 0))
    signal = b.reshape(x, (x.shape[0], 1, x.shape[1]))
    inputs: list[Operand | None] = [signal, b.constant(weights)]
    y = b.transpose(conv(b, Call("Conv", "", call.name, call.opset, inputs, call.outputs, {"strides": [step]})), (0, 2, 1))
    return b.reshape(y, (*y.shape[:2], y.shape[2] // 2, 2))


def _basis(length: int, onesided: bool, inverse: bool) -> Array:
    """[n, part of x, bin, part of y], float32."""
    if length > MAX_LENGTH:
        raise Refusal(f"a transform of length {length} takes too large a matrix", f"up to {MAX_LENGTH} can be done")
    bins = length // 2 + 1 if onesided else length
    turns = np.outer(np.arange(length), np.arange(bins)) % length / length  # exact before it is rounded
    cosine, sine = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns) * (1 if inverse else -1)
    basis = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], 1)
    return np.asarray(basis / length if inverse else basis, np.float32)
