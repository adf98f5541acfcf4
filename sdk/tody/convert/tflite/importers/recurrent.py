"""LSTM over a sequence."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...builder import Builder
from ...operand import Operand, Refusal
from ..call import TfliteCall, onnx

# Inputs by position: weights of input and recurrence for the gates i, f, c, o; peepholes i, f, o; biases i, f, c, o.
_W, _R, _P, _B = (1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11), (12, 13, 14, 15)
_PROJECTION, _NORMS = (16, 17), (20, 21, 22, 23)
_GATES = (0, 3, 1, 2)  # i, o, f, c of ONNX in the order i, f, c, o of TFLite


def sequence_lstm(b: Builder, call: TfliteCall) -> Operand:
    """As ONNX, which orders the gates otherwise. Every run begins with states of zero."""
    x = call.input(0)
    if call.optional(_W[0]) is None or call.optional(_R[0]) is None:
        raise Refusal("its input gate is coupled to its forget gate", "export it with all four gates")
    if any(call.optional(i) is not None for i in (*_PROJECTION, *_NORMS)):
        raise Refusal("it projects its output or normalises its gates", "export a plain LSTM")
    if call.attrs["cell_clip"] or call.attrs["proj_clip"] or call.attrs["activation"] != 4 or call.attrs["diagonal"]:
        raise Refusal("it clips its cells, or has another activation than tanh, or diagonal weights", "export a plain LSTM")
    w, r = (np.concatenate([call.array(part[g], "weights") for g in _GATES])[None] for part in (_W, _R))
    hidden = r.shape[-1]
    added = np.concatenate([call.array(_B[g], "bias") if call.optional(_B[g]) else np.zeros(hidden) for g in _GATES])
    whole = np.concatenate([added, np.zeros_like(added)])[None].astype(np.float32)
    inputs: list[Operand | None] = [x if call.attrs["time_major"] else b.transpose(x, (1, 0, 2)), b.constant(w), b.constant(r)]
    inputs += [b.constant(whole), None, None, None]
    if any(call.optional(i) is not None for i in _P):
        i, f, o = (call.array(k, "peephole").reshape(-1) for k in _P)
        inputs.append(b.constant(np.concatenate([i, o, f])[None].astype(np.float32)))
    b.graph.notes.append(f"{call.name}: every run begins with states of zero")
    y = onnx(b, call, "LSTM", inputs, hidden_size=hidden)
    steps, _, batch, _ = y.shape
    y = b.reshape(y, (steps, batch, hidden))
    return y if call.attrs["time_major"] else b.transpose(y, (1, 0, 2))
