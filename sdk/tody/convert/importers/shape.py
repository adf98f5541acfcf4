"""Operators that move elements: reshape, transpose, slice, pad, join, split, gather."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..builder import Builder
from ..fold import slices_of, target_shape
from ..operand import COMPUTE, ELEMENTS, Array, Call, Operand, Refusal, axes_of, axis_of, scalar, strides_of


def reshape(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    wanted = call.ints(1, "shape", "target shape")
    return b.reshape(x, target_shape(x.shape, wanted or [], bool(call.attrs.get("allowzero", 0))))


def flatten(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    axis = call.attrs.get("axis", 1)
    axis += x.rank if axis < 0 else 0
    return b.reshape(x, (int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:]))))


def squeeze(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    axes = call.ints(1, "axes")
    gone = [d for d, n in enumerate(x.shape) if n == 1] if axes is None else axes_of(axes, x.rank)
    if any(x.shape[d] != 1 for d in gone):
        raise ValueError(f"dimensions {gone} of {list(x.shape)} are not all 1")
    return b.reshape(x, [n for d, n in enumerate(x.shape) if d not in gone])


def unsqueeze(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    axes = call.ints(1, "axes") or []
    rank = x.rank + len(axes)
    new = axes_of(axes, rank)
    rest = iter(x.shape)
    return b.reshape(x, [1 if d in new else next(rest) for d in range(rank)])


def shape(b: Builder, call: Call) -> Operand:
    sizes = call.input(0).shape
    return b.constant(np.asarray(sizes[slice(call.attrs.get("start", 0), call.attrs.get("end"))], np.int64))


def size(b: Builder, call: Call) -> Operand:
    return b.constant(np.int64(call.input(0).size))


def transpose(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    return b.transpose(x, call.attrs.get("perm", list(reversed(range(x.rank)))))


def expand(b: Builder, call: Call) -> Operand:
    return b.expand(call.input(0), [int(n) for n in call.array(1, "target shape")])


def slice_(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    found = slices_of(call, x.shape)
    strides = strides_of(x.shape)
    if all((start, count, step) == (0, n, 1) for (start, count, step), n in zip(found, x.shape, strict=True)):
        return x
    offset = sum(start * s for (start, _, _), s in zip(found, strides, strict=True))
    return b.strided(x, [f[1] for f in found], [f[2] * s for f, s in zip(found, strides, strict=True)], offset)


def split(b: Builder, call: Call) -> list[Operand]:
    x = call.input(0)
    axis = axis_of(call.attrs.get("axis", 0), x.rank)
    sizes = call.ints(1, "split", "sizes")
    if sizes is None:
        count = call.attrs.get("num_outputs", len(call.outputs))
        if not 0 < count <= x.shape[axis]:
            raise ValueError(f"{x.shape[axis]} elements do not make {count} parts")
        each = -(-x.shape[axis] // count)
        sizes = [each] * (count - 1) + [x.shape[axis] - each * (count - 1)]
    if sum(sizes) != x.shape[axis] or min(sizes) < 0:
        raise ValueError(f"sizes {sizes} do not add up to {x.shape[axis]}")
    starts = np.cumsum([0, *sizes[:-1]])
    parts = zip(starts, sizes, strict=True)
    return [b.slice(x, axis, int(start), count) if call.wants(i) else x for i, (start, count) in enumerate(parts)]


def concat(b: Builder, call: Call) -> Operand:
    xs = call.operands()
    return b.concat(xs, axis_of(call.attrs["axis"], xs[0].rank))


def tile(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    repeats = call.ints(1, "repeats") or []
    if len(repeats) != x.rank:
        raise ValueError(f"{len(repeats)} repeats do not fit {x.rank} dimensions")
    for axis, count in enumerate(repeats):
        if count != 1:
            x = repeat(b, x, axis, count)
    return x


def repeat(b: Builder, x: Operand, axis: int, count: int) -> Operand:
    """The whole of a dimension `count` times."""
    front, n, rest = int(np.prod(x.shape[:axis])), x.shape[axis], int(np.prod(x.shape[axis + 1 :]))
    y = b.strided(x, (front, count, n * rest), (n * rest, 0, 1))
    return b.reshape(y, (*x.shape[:axis], count * n, *x.shape[axis + 1 :]))


def pad(b: Builder, call: Call) -> Operand:
    """All modes; a negative pad cuts off."""
    x = call.input(0)
    flat = call.ints(1, "pads") or []
    axes = axes_of(call.ints(3, "axes") or list(range(x.rank)), x.rank)
    if len(flat) != 2 * len(axes):
        raise ValueError(f"{len(flat)} pads do not fit {len(axes)} dimensions")
    before, after = [0] * x.rank, [0] * x.rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = flat[i], flat[len(axes) + i]
    for axis in axes:
        start, stop = max(0, -before[axis]), x.shape[axis] - max(0, -after[axis])
        x = b.slice(x, axis, start, stop - start)
    mode = call.attrs.get("mode", "constant")
    value = call.number(2, "value", 0.0, "pad value") if mode == "constant" else 0.0
    if COMPUTE.get(x.dtype) == "bool":
        return b.cast(b.pad(b.cast(x, "int32"), [max(0, n) for n in before], [max(0, n) for n in after], mode, value), "bool")
    return b.pad(x, [max(0, n) for n in before], [max(0, n) for n in after], mode, value)


def center_crop_pad(b: Builder, call: Call) -> Operand:
    """Cut or fill with zeros on both sides until the sizes are as asked."""
    x = call.input(0)
    sizes = call.ints(1, "shape") or []
    axes = axes_of(list(call.attrs.get("axes", range(x.rank))), x.rank)
    before, after = [0] * x.rank, [0] * x.rank
    for axis, wanted in zip(axes, sizes, strict=True):
        lack = wanted - x.shape[axis]
        if lack < 0:
            x = b.slice(x, axis, -lack // 2, wanted)
        else:
            before[axis], after[axis] = lack // 2, lack - lack // 2
    return b.pad(x, before, after)


def depth_to_space(b: Builder, call: Call) -> Operand:
    x, s = call.input(0), call.attrs["blocksize"]
    n, c, h, w = x.shape
    if call.attrs.get("mode", "DCR") == "DCR":
        y = b.transpose(b.reshape(x, (n, s, s, c // (s * s), h, w)), (0, 3, 4, 1, 5, 2))
    else:
        y = b.transpose(b.reshape(x, (n, c // (s * s), s, s, h, w)), (0, 1, 4, 2, 5, 3))
    return b.reshape(y, (n, c // (s * s), h * s, w * s))


def space_to_depth(b: Builder, call: Call) -> Operand:
    x, s = call.input(0), call.attrs["blocksize"]
    n, c, h, w = x.shape
    y = b.reshape(x, (n, c, h // s, s, w // s, s))
    if call.attrs.get("mode", "DCR") == "DCR":
        return b.reshape(b.transpose(y, (0, 3, 5, 1, 2, 4)), (n, c * s * s, h // s, w // s))
    return b.reshape(b.transpose(y, (0, 1, 3, 5, 2, 4)), (n, c * s * s, h // s, w // s))


def constant_of_shape(b: Builder, call: Call) -> Operand:
    sizes = call.ints(0, "shape", "target shape") or []
    return b.expand(b.constant(np.asarray(call.attrs.get("value", np.float32(0))).reshape(())), sizes)


def eye_like(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    dtype = ELEMENTS[call.attrs["dtype"]] if "dtype" in call.attrs else x.dtype
    b.claim(x.shape)
    rows, columns = x.shape
    return b.constant(np.eye(rows, columns, call.attrs.get("k", 0)).astype(dtype))


def trilu(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    k = int(scalar(call.array(1, "diagonal"))) if call.optional(1) else 0
    b.claim(x.shape[-2:])
    keep = np.triu(np.ones(x.shape[-2:], bool), k) if call.attrs.get("upper", 1) else np.tril(np.ones(x.shape[-2:], bool), k)
    return b.where(b.constant(keep), x, b.constant(np.zeros((), COMPUTE[x.dtype]), x.dtype))


def one_hot(b: Builder, call: Call) -> Operand:
    indices, depth, values = call.input(0), int(scalar(call.array(1, "depth"))), call.input(2)
    axis = axis_of(call.attrs.get("axis", -1), indices.rank + 1)
    steps = b.constant(np.arange(depth, dtype=np.int32).reshape([-1 if d == axis else 1 for d in range(indices.rank + 1)]))
    whole = b.cast(indices, "int32")
    wide = b.reshape(whole, (*indices.shape[:axis], 1, *indices.shape[axis:]))
    # an index outside of -depth .. depth - 1 matches nothing
    wrapped = b.binary("add", wide, b.scalar("mul", b.cast(b.scalar("less", wide, 0), "int32"), depth))
    on, off = (b.slice(values, 0, i, 1) for i in (1, 0))
    return b.where(b.binary("equal", wrapped, steps), on, off)


def reverse_sequence(b: Builder, call: Call) -> Operand:
    """By an index map, since the lengths are known."""
    x, lengths = call.input(0), call.array(1, "sequence lengths").reshape(-1)
    time, batch = call.attrs.get("time_axis", 0), call.attrs.get("batch_axis", 1)
    index = np.arange(x.size).reshape(x.shape)
    out = index.copy()
    for i, n in enumerate(lengths):
        lane, source = np.take(out, i, batch), np.take(index, i, batch)
        along = time if time < batch else time - 1
        moved, origin = np.moveaxis(lane, along, 0), np.moveaxis(source, along, 0)
        moved[: int(n)] = origin[: int(n)][::-1]
        np.moveaxis(out, batch, 0)[i] = lane
    return pick(b, x, out)


def pick(b: Builder, x: Operand, index: Array) -> Operand:
    """Elements of the flattened operand, by constant places."""
    flat = b.reshape(x, (x.size,))
    if flat.data is not None:
        return b.constant(flat.data[index], x.dtype)
    if index.size > 1 << 26:
        raise Refusal(f"its table of {index.size:,} places is too large")
    return b.gather(flat, b.constant(index.astype(np.int32)), 0)
