"""Which outputs of a file are the same bytes on every machine."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from .. import format as fmt

_MOVERS = ("cast", "copy", "concat", "pad", "gather", "where", "topk")  # in float32 too


def exact_outputs(file: fmt.File) -> list[bool]:
    """For each output whether every operator that it depends on is exact (docs/format.md): int8, integers, moves."""
    made: list[tuple[fmt.Tensor, bool]] = []  # by where they lie: a reshaped tensor as before, slices in others
    for record in file.records:
        if record.op == "strips":  # the operators of its chain follow
            continue
        sound = all(_is_exact(file.tensors[i], made) for i in record.inputs if i is not None)
        for tensor in [file.tensors[i] for i in record.outputs if i is not None]:
            exact = sound and (tensor.dtype not in ("float32", "float16") or _moves(record))
            made = [*(other for other in made if not _meet(tensor, other[0])), (tensor, exact)]
    return [_is_exact(file.tensors[i], made) for i in file.outputs]


def _is_exact(tensor: fmt.Tensor, made: list[tuple[fmt.Tensor, bool]]) -> bool:
    """Whether all that lies where a tensor lies is exact; what nothing has made is."""
    return all(exact for other, exact in made if _meet(tensor, other))


def _meet(a: fmt.Tensor, b: fmt.Tensor) -> bool:
    """Whether two tensors share bytes: slices of one tensor share none of their columns."""
    if a.place != b.place or a.at >= b.at + b.bytes or b.at >= a.at + a.bytes:
        return False
    if not a.pitch or a.pitch != b.pitch or a.dtype != b.dtype:
        return True
    size = fmt.DTYPES[a.dtype][1].itemsize
    first = (b.at - a.at) // size % a.pitch
    return first < a.shape[-1] or first + b.shape[-1] > a.pitch


def _moves(record: fmt.Record) -> bool:
    """Whether an operator with a float32 result only moves or chooses."""
    attrs = record.attrs
    if record.op == "pool":
        return bool(attrs["kind"] == "max")
    if record.op in ("reduce", "binary"):
        return attrs["fn"] in ("min", "max")
    return record.op in _MOVERS
