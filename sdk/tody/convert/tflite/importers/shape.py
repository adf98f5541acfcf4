"""Operators that move elements: reshape, transpose, slice, pad, join, split, gather."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...builder import Builder
from ...operand import Array, Operand, Refusal, axis_of, scalar
from ..call import TfliteCall, onnx
from .elementwise import activated


def _ints(b: Builder, values: Array | list[int]) -> Operand:
    return b.constant(np.asarray(values, np.int64))


def reshape(b: Builder, call: TfliteCall) -> Operand:
    """To the shape of the second input, or of the options in old files."""
    sizes = call.sizes(1, "target shape") if call.optional(1) is not None else [int(n) for n in call.attrs["new_shape"]]
    x = call.input(0)
    if sizes.count(-1) == 1 and 0 not in sizes:
        rest = int(np.prod([n for n in sizes if n != -1]))
        sizes = [x.size // rest if n == -1 else n for n in sizes]
    return b.reshape(x, sizes)


def squeeze(b: Builder, call: TfliteCall) -> Operand:
    axes = [int(d) for d in call.attrs["squeeze_dims"]]
    return onnx(b, call, "Squeeze", [call.input(0), *([_ints(b, axes)] if axes else [])])


def expand_dims(b: Builder, call: TfliteCall) -> Operand:
    return onnx(b, call, "Unsqueeze", [call.input(0), _ints(b, call.sizes(1, "axis"))])


def transpose(b: Builder, call: TfliteCall) -> Operand:
    return b.transpose(call.input(0), call.sizes(1, "permutation"))


def concatenation(b: Builder, call: TfliteCall) -> Operand:
    return activated(b, onnx(b, call, "Concat", call.operands(), axis=call.attrs["axis"]), call)


def pack(b: Builder, call: TfliteCall) -> Operand:
    """Side by side along a new dimension."""
    axis = [axis_of(call.attrs["axis"], call.input(0).rank + 1)]
    parts = [onnx(b, call, "Unsqueeze", [x, _ints(b, axis)]) for x in call.operands()]
    return onnx(b, call, "Concat", parts, axis=axis[0])


def unpack(b: Builder, call: TfliteCall) -> list[Operand]:
    x = call.input(0)
    axis = axis_of(call.attrs["axis"], x.rank)
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return [b.reshape(b.slice(x, axis, i, 1), shape) for i in range(x.shape[axis])]


def split(b: Builder, call: TfliteCall) -> list[Operand]:
    """Into equal parts (axis, x), or into given ones (x, sizes, axis)."""
    x, axis = (call.input(1), 0) if call.op == "SPLIT" else (call.input(0), 2)
    along = axis_of(int(scalar(call.array(axis, "axis"))), x.rank)
    if call.op == "SPLIT":
        count = len(call.outputs)
        sizes = [x.shape[along] // count] * count
    else:
        sizes = call.sizes(1, "sizes")
        if sizes.count(-1) == 1:
            sizes = [x.shape[along] - sum(sizes) - 1 if n == -1 else n for n in sizes]
    if sum(sizes) != x.shape[along] or min(sizes, default=0) < 0:
        raise ValueError(f"parts of {sizes} do not make {x.shape[along]}")
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    return [b.slice(x, along, start, count) for start, count in zip(starts, sizes, strict=True)]


def slice_(b: Builder, call: TfliteCall) -> Operand:
    """From `begin`, `size` long, -1: to the end."""
    x, begin, size = call.input(0), call.sizes(1, "begin"), call.sizes(2, "size")
    for axis, (start, count) in enumerate(zip(begin, size, strict=True)):
        x = b.slice(x, axis, start, x.shape[axis] - start if count == -1 else count)
    return x


def strided_slice(b: Builder, call: TfliteCall) -> Operand:
    """NumPy's slices; bits of the masks say where a limit is left out, a dimension is new, or vanishes."""
    x = call.input(0)
    begin, end, step = (call.sizes(i, what) for i, what in ((1, "begin"), (2, "end"), (3, "strides")))
    masks = {name: call.attrs[f"{name}_mask"] for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    new = [i for i in range(len(begin)) if masks["new_axis"] >> i & 1]
    axis, shape = 0, []
    for i in range(len(begin)):
        if masks["ellipsis"] >> i & 1:
            taken = sum(1 for k in range(i + 1, len(begin)) if k not in new)
            while axis < x.rank - taken:
                shape.append(x.shape[axis])
                axis += 1
        elif i in new:
            shape.append(1)
        else:
            first = None if masks["begin"] >> i & 1 else begin[i]
            last = None if masks["end"] >> i & 1 else begin[i] + end[i] if call.attrs["offset"] else end[i]
            if masks["shrink_axis"] >> i & 1:
                x = b.slice(x, axis, axis_of(begin[i], x.shape[axis]), 1)
            else:
                start, stop, stride = slice(first, last, step[i]).indices(x.shape[axis])
                x = b.slice(x, axis, start, len(range(start, stop, stride)), stride)
                shape.append(x.shape[axis])
            axis += 1
    return b.reshape(x, [*shape, *x.shape[axis:]])


def reverse(b: Builder, call: TfliteCall) -> Operand:
    x = call.input(0)
    for axis in call.sizes(1, "axes"):
        d = axis_of(axis, x.rank)
        x = b.slice(x, d, x.shape[d] - 1, x.shape[d], -1)
    return x


def reverse_sequence(b: Builder, call: TfliteCall) -> Operand:
    axes = {"time_axis": call.attrs["seq_dim"], "batch_axis": call.attrs["batch_dim"]}
    return onnx(b, call, "ReverseSequence", [call.input(0), call.input(1)], **axes)


def _pads(call: TfliteCall, rank: int) -> tuple[list[int], list[int]]:
    pads = call.array(1, "paddings")
    if pads.shape != (rank, 2) or pads.min() < 0:
        raise ValueError(f"paddings {pads.tolist()} do not fit {rank} dimensions")
    return [int(n) for n in pads[:, 0]], [int(n) for n in pads[:, 1]]


def pad(b: Builder, call: TfliteCall) -> Operand:
    x = call.input(0)
    value = scalar(call.array(2, "pad value")) if call.optional(2) is not None else 0.0
    return b.pad(x, *_pads(call, x.rank), "constant", value)


def mirror_pad(b: Builder, call: TfliteCall) -> Operand:
    """Mirrored without the edge, or with it (symmetric)."""
    x = call.input(0)
    before, after = _pads(call, x.rank)
    if not call.attrs["mode"]:
        return b.pad(x, before, after, "reflect")
    for axis, (front, back) in enumerate(zip(before, after, strict=True)):
        if front or back:
            places = np.pad(np.arange(x.shape[axis], dtype=np.int32), (front, back), "symmetric")
            x = b.gather(x, b.constant(places), axis)
    return x


def tile(b: Builder, call: TfliteCall) -> Operand:
    return onnx(b, call, "Tile", [call.input(0), _ints(b, call.sizes(1, "multiples"))])


def broadcast_to(b: Builder, call: TfliteCall) -> Operand:
    return b.expand(call.input(0), call.sizes(1, "shape"))


def broadcast_args(b: Builder, call: TfliteCall) -> Operand:
    shapes = (call.sizes(i, "shape") for i in (0, 1))
    return b.constant(np.asarray(np.broadcast_shapes(*map(tuple, shapes)), np.int32))


def gather(b: Builder, call: TfliteCall) -> Operand:
    """EMBEDDING_LOOKUP has the indices first."""
    if call.op == "EMBEDDING_LOOKUP":
        return onnx(b, call, "Gather", [call.input(1), call.input(0)], axis=0)
    if call.attrs["batch_dims"]:
        raise Refusal("each of its batches has indices of its own", "gather without batch_dims")
    return onnx(b, call, "Gather", [call.input(0), call.input(1)], axis=call.attrs["axis"])


def gather_nd(b: Builder, call: TfliteCall) -> Operand:
    return onnx(b, call, "GatherND", [call.input(0), call.input(1)])


def scatter_nd(b: Builder, call: TfliteCall) -> Operand:
    """Indices, updates, shape: into zeros, and what falls on one place adds up."""
    updates = call.input(1)
    zeros = b.constant(np.zeros(call.sizes(2, "shape"), np.float32 if updates.dtype == "float32" else np.int32), updates.dtype)
    return onnx(b, call, "ScatterND", [zeros, call.input(0), updates], reduction="add")


def one_hot(b: Builder, call: TfliteCall) -> Operand:
    """Indices, depth, the value at the index, the value elsewhere."""
    values = b.concat([b.reshape(call.input(i), (1,)) for i in (3, 2)], 0)
    return onnx(b, call, "OneHot", [call.input(0), call.input(1), values], axis=call.attrs["axis"])


def depth_to_space(b: Builder, call: TfliteCall) -> Operand:
    x, s = call.input(0), call.attrs["block_size"]
    n, h, w, c = x.shape
    parts = b.transpose(b.reshape(x, (n, h, w, s, s, c // (s * s))), (0, 1, 3, 2, 4, 5))
    return b.reshape(parts, (n, h * s, w * s, c // (s * s)))


def space_to_depth(b: Builder, call: TfliteCall) -> Operand:
    x, s = call.input(0), call.attrs["block_size"]
    n, h, w, c = x.shape
    parts = b.transpose(b.reshape(x, (n, h // s, s, w // s, s, c)), (0, 1, 3, 2, 4, 5))
    return b.reshape(parts, (n, h // s, w // s, s * s * c))


def _blocks(call: TfliteCall, what: str) -> tuple[list[int], list[tuple[int, int]]]:
    block, ends = call.sizes(1, "block shape"), call.array(2, what)
    if min(block, default=0) < 1 or ends.shape != (len(block), 2) or ends.min() < 0:
        raise ValueError(f"blocks of {block} and {what} {ends.tolist()} do not go together")
    return block, [(int(a), int(z)) for a, z in ends]


def space_to_batch(b: Builder, call: TfliteCall) -> Operand:
    """Pad, cut each dimension into blocks, and put the places within a block in front of the batch."""
    block, ends = _blocks(call, "paddings")
    x, count = call.input(0), len(block)
    rest = [0] * (x.rank - 1 - count)
    x = b.pad(x, [0, *(a for a, _ in ends), *rest], [0, *(z for _, z in ends), *rest])
    sizes = [n // s for n, s in zip(x.shape[1:], block, strict=False)]
    inner = x.shape[1 + count :]
    y = b.reshape(x, (x.shape[0], *(n for pair in zip(sizes, block, strict=True) for n in pair), *inner))
    outer = [1 + 2 * i for i in range(count)]
    places = [d + 1 for d in outer]
    y = b.transpose(y, (*places, 0, *outer, *range(1 + 2 * count, y.rank)))
    return b.reshape(y, (x.shape[0] * int(np.prod(block)), *sizes, *inner))


def batch_to_space(b: Builder, call: TfliteCall) -> Operand:
    """The other way round, then cut off what was padded."""
    block, ends = _blocks(call, "crops")
    x, count = call.input(0), len(block)
    sizes, inner, batch = x.shape[1 : 1 + count], x.shape[1 + count :], x.shape[0] // int(np.prod(block))
    y = b.reshape(x, (*block, batch, *sizes, *inner))
    order = [count, *(d for i in range(count) for d in (count + 1 + i, i)), *range(2 * count + 1, y.rank)]
    y = b.reshape(b.transpose(y, order), (batch, *(n * s for n, s in zip(sizes, block, strict=True)), *inner))
    for i, (front, back) in enumerate(ends):
        y = b.slice(y, 1 + i, front, y.shape[1 + i] - front - back)
    return y


def sizes(b: Builder, call: TfliteCall) -> Operand:
    shape = call.input(0).shape
    return b.constant(np.asarray(shape if call.op == "SHAPE" else len(shape), call.results[0].dtype))


def fill(b: Builder, call: TfliteCall) -> Operand:
    if call.op == "FILL":
        return b.expand(b.reshape(call.input(1), ()), call.sizes(0, "shape"))
    x = call.input(0)
    b.claim(x.shape)
    return b.constant(np.zeros(x.shape, x.dtype))


def range_(b: Builder, call: TfliteCall) -> Operand:
    return onnx(b, call, "Range", [call.input(0), call.input(1), call.input(2)])
