"""Where a model spends its time, operator by operator."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import format
from .._runtime import Runtime
from ..errors import UsageError

_WARM_UP = 3


@dataclass(frozen=True)
class Row:
    """One operator. `share` is of the sum of all rows; `macs` are multiply-adds, None where the notion makes no sense."""

    index: int
    op: str
    detail: str
    shape: tuple[int, ...]
    ms: float
    share: float
    macs: int | None

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
    rows = []
    for i, record in enumerate(file.records):
        shape = file.tensors[record.outputs[0] or 0].shape
        rows.append(Row(i, record.op, detail(record), shape, float(ms[i]), float(ms[i]) / total, macs(file, record)))
    return rows


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


def macs(file: format.File, record: format.Record) -> int | None:
    """Multiply-adds of an operator, None for one that is not made of them."""

    def shape(index: int | None) -> tuple[int, ...]:
        return () if index is None else file.tensors[index].shape

    x, y = shape(record.inputs[0]) if record.inputs else (), math.prod(shape(record.outputs[0]))
    w = shape(record.inputs[1]) if len(record.inputs) > 1 else ()
    if record.op in ("conv", "dense"):  # [G,N,T,K]
        return y * w[2] * w[3]
    if record.op == "dwconv":  # [T,C]
        return y * w[0]
    if record.op == "deconv":
        return math.prod(x) * w[1] * w[2]
    if record.op == "matmul":  # a [..,M,K]
        return y * x[-1]
    if record.op in ("lstm", "gru", "rnn"):  # x [T,B,I], w [D,gates*H,1,I], r [D,gates*H,1,H]
        return x[0] * x[1] * (math.prod(w) + math.prod(shape(record.inputs[2])))
    return None
