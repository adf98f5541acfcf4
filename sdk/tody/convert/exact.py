"""Which outputs of a file are the same bytes on every machine."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from .. import format as fmt

_MOVERS = ("cast", "copy", "concat", "pad", "gather", "where", "topk")  # in float32 too


def exact_outputs(file: fmt.File) -> list[bool]:
    """For each output whether every operator that it depends on is exact (docs/format.md): int8, integers, moves."""
    exact: dict[tuple[str, int], bool] = {}  # by where a tensor lies: a reshaped one lies at the same place
    for record in file.records:
        if record.op == "strips":  # the operators of its chain follow
            continue
        taken = [file.tensors[i] for i in record.inputs if i is not None]
        sound = all(exact.get((t.place, t.at), True) for t in taken)
        for made in [file.tensors[i] for i in record.outputs if i is not None]:
            exact[made.place, made.at] = sound and (made.dtype not in ("float32", "float16") or _moves(record))
    return [exact.get((file.tensors[i].place, file.tensors[i].at), True) for i in file.outputs]


def _moves(record: fmt.Record) -> bool:
    """Whether an operator with a float32 result only moves or chooses."""
    attrs = record.attrs
    if record.op == "pool":
        return bool(attrs["kind"] == "max")
    if record.op in ("reduce", "binary"):
        return attrs["fn"] in ("min", "max")
    return record.op in _MOVERS
