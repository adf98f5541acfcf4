"""Where a model spends its time, operator by operator."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import format
from .._runtime import Runtime
from ..errors import UsageError

Shape = tuple[int, ...]

_WARM_UP = 3
_HALF = ("conv", "dense")  # what multiplies in float16 where that is asked for


@dataclass(frozen=True)
class Row:
    """One operator, or a chain that runs by strips, whose `detail` names its operators.

    Attributes:
        share: of the sum of all rows.
        macs: multiply-adds, None where the notion makes no sense.
        bytes: of inputs, weights and outputs, each counted once, but not of what lies in a chain.
        peak_share: multiply-adds per second, as a share of what the kernels reach at most on these threads (Runtime.peak).
    """

    index: int
    op: str
    detail: str
    shape: Shape
    ms: float
    share: float
    macs: int | None
    bytes: int
    peak_share: float | None

    @property
    def gmacs_per_s(self) -> float | None:
        return self.macs / self.ms / 1e6 if self.macs and self.ms else None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "gmacs_per_s": self.gmacs_per_s}


def profile(runtime: Runtime, file: format.File, runs: int = 50) -> list[Row]:
    """Run so many times and take the median of each operator.

    Raises:
        UsageError: runs is below 1.
    """
    if runs < 1:
        raise UsageError(f"runs is {runs}", "it must be at least 1")
    for _ in range(_WARM_UP):
        runtime.run()
    ms = np.median([runtime.profile() for _ in range(runs)], axis=0) / 1e6
    total = float(ms.sum()) or 1.0
    peak = {dtype: runtime.peak(dtype) for dtype in ("float32", "int8", *["float16"] * runtime.f16)}
    rows, i = [], 0
    while i < len(file.records):
        record = file.records[i]
        chain = file.records[i + 1 : i + 1 + record.attrs["count"]] if record.op == "strips" else []
        works = [work for r in chain or [record] if (work := _macs_of(r, file)) is not None]
        text = " + ".join(f"{r.op} {detail(r)}".strip() for r in chain) or detail(record)
        output, work = file.tensors[record.outputs[0] or 0], sum(works) if works else None
        is_half = runtime.f16 and any(r.op in _HALF for r in chain or [record])
        best = peak["int8" if output.dtype == "int8" else "float16" if is_half else "float32"]
        reached = work / float(ms[i]) * 1e3 / best if work and ms[i] else None
        times = float(ms[i]), float(ms[i]) / total
        rows.append(Row(i, record.op, text, output.shape, *times, work, _bytes_of([record, *chain], file), reached))
        i += 1 + len(chain)
    return rows


def _macs_of(record: format.Record, file: format.File) -> int | None:
    shapes = [() if t is None else file.tensors[t].shape for t in (*record.inputs, record.outputs[0])]
    return macs(record.op, shapes[:-1], shapes[-1])


def _bytes_of(records: Sequence[format.Record], file: format.File) -> int:
    used = {t for r in records for t in (*r.inputs, *r.outputs) if t is not None}
    tensors = [file.tensors[t] for t in used if file.tensors[t].place != "strips"]
    return sum(format.tensor_bytes(t.dtype, t.shape) if t.pitch else t.bytes for t in tensors)


def detail(record: format.Record) -> str:
    """The parameters that tell operators of one kind apart, such as `3x3 /2 clamp`."""
    attrs, words = record.attrs, []
    if "kernel" in attrs:
        words.append("x".join(map(str, attrs["kernel"])))
        if max(attrs["stride"]) > 1:
            words.append(f"/{attrs['stride'][0]}")
    words += [attrs[key] for key in ("kind", "fn", "mode") if isinstance(attrs.get(key), str)]
    words += [attrs[key][0] for key in ("function", "activation") if attrs.get(key, ("none",))[0] != "none"]
    return " ".join(words)


def macs(op: str, inputs: Sequence[Shape], output: Shape) -> int | None:
    """Multiply-adds of an operator with tensors of these shapes, None for one that is not made of them."""
    y = math.prod(output)
    if op in ("conv", "dense"):  # weights [G,N,T,K]
        return y * math.prod(inputs[1][2:])
    if op == "dwconv":  # weights [T,C]
        return y * inputs[1][0]
    if op == "deconv":  # image [N,H,W,G*K], weights [G,N,T,K]
        return math.prod(inputs[0][:-1]) * math.prod(inputs[1])
    if op == "matmul":  # [..,M,K], [..,K,N]
        return y * inputs[0][-1]
    if op == "attention":  # q [..,M,K], k, v [..,N,E]
        return y // output[-1] * inputs[2][-2] * (inputs[0][-1] + output[-1])
    if op in ("lstm", "gru", "rnn"):  # x [T,B,I], w [D,gates*H,1,I], r [D,gates*H,1,H]
        return math.prod(inputs[0][:2]) * (math.prod(inputs[1]) + math.prod(inputs[2]))
    return None
