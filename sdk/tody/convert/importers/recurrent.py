"""LSTM, GRU and RNN."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ..builder import Builder
from ..operand import Array, Call, Operand, Refusal

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_ACTIVATIONS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}


def recurrent(b: Builder, call: Call) -> list[Operand]:
    """All three share the order of inputs: X, W, R, B, sequence_lens, initial_h, and for LSTM initial_c, P."""
    gates = _GATES[call.op]
    direction = call.attrs.get("direction", "forward")
    ways = 2 if direction == "bidirectional" else 1
    batch_first = bool(call.attrs.get("layout", 0))
    x = b.transpose(call.input(0), (1, 0, 2)) if batch_first else call.input(0)
    steps, batch, _ = x.shape
    w, r = call.array(1, "weights"), call.array(2, "recurrence weights")
    hidden = r.shape[2]
    if w.shape[:2] != (ways, gates * hidden) or r.shape != (ways, gates * hidden, hidden) or w.shape[2] != x.shape[2]:
        raise ValueError(f"weights {list(w.shape)} and {list(r.shape)} do not fit {list(x.shape)}")
    _check(call, steps, ways)
    inputs: list[Operand | None] = [x, _panels(b, w), _panels(b, r), *_biases(b, call, gates * hidden)]
    states = [call.optional(5)] + ([call.optional(6)] if call.op == "LSTM" else [])
    inputs += [b.transpose(s, (1, 0, 2)) if s is not None and batch_first else s for s in states]
    if call.op == "LSTM":
        inputs.append(call.optional(7))
    while inputs[-1] is None:
        inputs.pop()
    results = [((steps, ways, batch, hidden), x.dtype)] + [((ways, batch, hidden), x.dtype)] * len(states)
    attrs = {"direction": direction, "linear_before_reset": int(bool(call.attrs.get("linear_before_reset", 0)))}
    made = b.emit_many(call.op.lower(), inputs, results, attrs)
    if not batch_first:
        return made
    return [b.transpose(made[0], (2, 0, 1, 3)), *(b.transpose(state, (1, 0, 2)) for state in made[1:])]


def _check(call: Call, steps: int, ways: int) -> None:
    names = [str(a).lower() for a in call.attrs.get("activations", _ACTIVATIONS[call.op] * ways)]
    if names != _ACTIVATIONS[call.op] * ways:
        raise Refusal(f"the activations {', '.join(names)}", f"use the default ones: {', '.join(_ACTIVATIONS[call.op])}")
    if call.attrs.get("clip") or call.attrs.get("input_forget"):
        raise Refusal("clip and input_forget are not supported", "export without them")
    if call.optional(4) is not None and (call.array(4, "sequence lengths") != steps).any():
        raise Refusal("sequences of different lengths in one batch", "give all of them the full length")


def _panels(b: Builder, w: Array) -> Operand:
    return b.weights(w, ("recurrent",), lambda w: w[:, :, None, :])


def _biases(b: Builder, call: Call, width: int) -> list[Operand | None]:
    """LSTM and RNN add both halves of B; GRU keeps them apart."""
    if call.optional(3) is None:
        return [None, None] if call.op == "GRU" else [None]
    bias = call.array(3, "bias")
    if call.op == "GRU":
        halves = [b.weights(bias, ("half", i), lambda v, i=i: v[:, i * width : (i + 1) * width]) for i in (0, 1)]  # type: ignore[misc]
        return list(halves)
    return [b.weights(bias, ("both",), lambda v: v[:, :width] + v[:, width:])]
