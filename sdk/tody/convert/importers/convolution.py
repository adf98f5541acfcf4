"""Convolution, transposed convolution and pooling. Images are NHWC inside; 1-D ones have a height of 1."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Builder
from ..operand import Array, Call, Operand, Refusal

Ends = list[tuple[int, int]]  # (before, after) per dimension


class Window:
    """Kernel, stride, dilation and padding of a call, for every spatial dimension.

    Attributes:
        pads: [(before, after)] per dimension; `auto_pad` is resolved.
        counts: the output's size per dimension.
    """

    def __init__(self, call: Call, sizes: tuple[int, ...], kernel: list[int], ceil: bool = False) -> None:
        count = len(sizes)
        self.kernel = kernel
        self.stride = _list(call, "strides", count)
        self.dilation = _list(call, "dilations", count)
        self.reach = [d * (k - 1) + 1 for d, k in zip(self.dilation, kernel, strict=True)]
        flat = call.attrs.get("pads", [0] * 2 * count)
        steps = [*kernel, *self.stride, *self.dilation]
        if len(kernel) != count or len(flat) != 2 * count or min(steps) < 1 or min(flat) < 0:
            raise ValueError(f"kernel {kernel}, strides {self.stride}, pads {list(flat)} do not fit {count} dimensions")
        self.pads = list(zip(flat[:count], flat[count:], strict=True))
        auto = call.attrs.get("auto_pad", "NOTSET")
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            self.pads = [self._same(d, n, auto == "SAME_LOWER") for d, n in enumerate(sizes)]
        self.counts = [self._count(d, n, ceil) for d, n in enumerate(sizes)]
        if min(self.counts) < 1:
            raise ValueError(f"a kernel of {kernel} does not fit into {list(sizes)}")

    def _same(self, d: int, size: int, lower: bool) -> tuple[int, int]:
        total = max(0, (-(-size // self.stride[d]) - 1) * self.stride[d] + self.reach[d] - size)
        less = int(total // 2)
        return (total - less, less) if lower else (less, total - less)

    def _count(self, d: int, size: int, ceil: bool) -> int:
        free = size + sum(self.pads[d]) - self.reach[d]
        if not ceil:
            return int(free // self.stride[d] + 1)
        count = int(-(-free // self.stride[d]) + 1)
        return count - 1 if (count - 1) * self.stride[d] >= size + self.pads[d][0] else count

    def over(self, sizes: tuple[int, ...]) -> list[int]:
        """How far the last window hangs over the end of the padding, per dimension."""
        ends = [(c - 1) * s + r for c, s, r in zip(self.counts, self.stride, self.reach, strict=True)]
        return [max(0, end - n - sum(pads)) for end, n, pads in zip(ends, sizes, self.pads, strict=True)]

    def attrs(self) -> dict[str, tuple[int, ...]]:
        """As the primitives have them: two dimensions, rows first."""
        fill = [1] * (2 - len(self.kernel))
        (top, bottom), (left, right) = [(0, 0)] * len(fill) + self.pads
        window = {"kernel": self.kernel, "stride": self.stride, "dilation": self.dilation}
        return {**{k: (*fill, *v) for k, v in window.items()}, "pad": (top, left, bottom, right)}


def _list(call: Call, name: str, count: int) -> list[int]:
    values = list(call.attrs.get(name, [1] * count))
    if len(values) != count:
        raise ValueError(f"{name} {values} do not fit {count} dimensions")
    return values


def image(b: Builder, x: Operand, what: str = "convolutions") -> Operand:
    """NCHW or NCW as NHWC."""
    if x.rank not in (3, 4):
        raise Refusal(f"{what} over {x.rank - 2} dimensions are not supported", "1 and 2 dimensions are")
    return b.nhwc(b.reshape(x, (*x.shape[:2], 1, x.shape[2])) if x.rank == 3 else x)


def back(b: Builder, y: Operand, rank: int) -> Operand:
    """NHWC as NCHW, or as NCW where the source has one dimension."""
    y = b.nchw(y)
    return b.reshape(y, (*y.shape[:2], y.shape[3])) if rank == 3 else y


def conv(b: Builder, call: Call) -> Operand:
    x, w, steps = call.input(0), call.array(1, "weights"), call.input(1).steps
    groups, channels = call.attrs.get("group", 1), x.shape[1]
    if groups < 1 or w.ndim != x.rank or channels % groups or w.shape[0] % groups or w.shape[1] * groups != channels:
        raise ValueError(f"weights {list(w.shape)} in {groups} groups do not fit {list(x.shape)}")
    window = Window(call, x.shape[2:], kernel_of(call, w))
    px = image(b, x)
    attrs = {**window.attrs(), "groups": groups}
    shape = (x.shape[0], *[1] * (4 - x.rank), *window.counts, w.shape[0])
    depthwise = groups == channels == w.shape[0] and groups > 1
    if depthwise:
        weights = b.weights(w, ("dw",), lambda w: w.reshape(channels, -1).T, "plain", steps)
        bias = _bias(b, call, (channels,), "plain")
    else:
        weights = b.weights(w, ("conv", groups), lambda w: _panels(w, groups), steps=steps)
        bias = _bias(b, call, (groups, w.shape[0] // groups))
    op = "dwconv" if depthwise else "conv"
    y = b.emit(op, [px, weights, *([bias] if bias else [])], shape, x.dtype, attrs)
    return back(b, y, x.rank)


def kernel_of(call: Call, w: Array) -> list[int]:
    """The kernel of a call, which its weights must have."""
    kernel = list(call.attrs.get("kernel_shape", w.shape[2:]))
    if kernel != list(w.shape[2:]):
        raise ValueError(f"kernel_shape {kernel} does not fit weights {list(w.shape)}")
    return kernel


def _panels(w: Array, groups: int) -> Array:
    """[M, C/g, ky, kx] as [G, N, T, K]."""
    return np.asarray(w.reshape(groups, w.shape[0] // groups, w.shape[1], -1).transpose(0, 1, 3, 2))


def _bias(b: Builder, call: Call, shape: tuple[int, ...], pack: str = "panels") -> Operand | None:
    if call.optional(2) is None:
        return None
    return b.weights(call.array(2, "bias"), ("bias", shape), lambda v: v.reshape(shape), pack)


def conv_transpose(b: Builder, call: Call) -> Operand:
    """Output size is stride * (n - 1) + output_padding + reach - pads, by which pads follow from auto_pad or output_shape."""
    x, w = call.input(0), call.array(1, "weights")
    groups = call.attrs.get("group", 1)
    if groups < 1 or w.ndim != x.rank or w.shape[0] != x.shape[1] or w.shape[0] % groups:
        raise ValueError(f"weights {list(w.shape)} in {groups} groups do not fit {list(x.shape)}")
    kernel = kernel_of(call, w)
    px = image(b, x)
    counts, attrs, grow = _transposed_window(call, x.shape[2:], kernel)
    columns = w.shape[1]
    depth = w.shape[0] // groups
    kind, steps = ("deconv", groups), call.input(1).steps
    weights = b.weights(w, kind, lambda w: w.reshape(groups, depth, columns, -1).transpose(0, 2, 3, 1), steps=steps)
    grows = any(map(any, grow))
    bias = None if grows else _bias(b, call, (groups, columns))
    inputs = [px, weights, *([bias] if bias else [])]
    shape = (x.shape[0], *[1] * (4 - x.rank), *counts, groups * columns)
    y = b.emit("deconv", inputs, shape, x.dtype, {**attrs, "groups": groups})
    if grows:  # rows and columns that no window reaches: zero, before the bias
        y = b.pad(y, (0, *(n for n, _ in grow), 0), (0, *(n for _, n in grow), 0))
        if call.optional(2) is not None:
            y = b.binary("add", y, b.constant(call.array(2, "bias")))
    return back(b, y, x.rank)


def col2im(b: Builder, call: Call) -> Operand:
    """Patches [N, channels * places of the kernel, patches] added up to an image: a transposed convolution of each channel's
    places by weights that put every place where it belongs."""
    x = call.input(0)
    image_shape, kernel = call.ints(1, "image_shape") or [], call.ints(2, "block_shape") or []
    count, places = len(kernel), int(np.prod(kernel))
    if count not in (1, 2):
        raise Refusal(f"it has {count} spatial dimensions", "1 and 2 can be done")
    stride, dilation = _list(call, "strides", count), _list(call, "dilations", count)
    pads = list(call.attrs.get("pads", [0] * 2 * count))
    sides = zip(image_shape, pads[:count], pads[count:], dilation, kernel, strict=True)
    room = [n + a + z - d * (k - 1) - 1 for n, a, z, d, k in sides]
    patches = [r // s + 1 for r, s in zip(room, stride, strict=True)]
    channels = x.shape[1] // places
    weights = np.tile(np.eye(places, dtype=np.float32).reshape(places, 1, *kernel), (channels, 1, *[1] * count))
    attrs = {"group": channels, "strides": stride, "dilations": dilation, "pads": pads}
    attrs["output_padding"] = [r % s for r, s in zip(room, stride, strict=True)]
    inputs: list[Operand | None] = [b.reshape(x, (x.shape[0], x.shape[1], *patches)), b.constant(weights)]
    return conv_transpose(b, Call("ConvTranspose", "", call.name, call.opset, inputs, call.outputs, attrs))


def _transposed_window(call: Call, sizes: tuple[int, ...], kernel: list[int]) -> tuple[list[int], dict[str, Any], Ends]:
    """Output sizes of the primitive, its attributes, and what must be added to the output's rows and columns."""
    count = len(sizes)
    stride, dilation = _list(call, "strides", count), _list(call, "dilations", count)
    extra = list(call.attrs.get("output_padding", [0] * count))
    full = [s * (n - 1) + d * (k - 1) + 1 for s, n, d, k in zip(stride, sizes, dilation, kernel, strict=True)]
    flat = list(call.attrs.get("pads", [0] * 2 * count))
    pads = list(zip(flat[:count], flat[count:], strict=True))
    wanted = call.attrs.get("output_shape")
    auto = call.attrs.get("auto_pad", "NOTSET")
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(sizes, stride, strict=True)]
    if wanted is not None:
        cut = [f + e - n for f, e, n in zip(full, extra, list(wanted)[-count:], strict=True)]
        pads = [(max(0, c) // 2, c - max(0, c) // 2) for c in cut]
        if auto != "SAME_UPPER":
            pads = [(after, before) if after > 0 else (before, after) for before, after in pads]
    ends = [(before, after - e) for (before, after), e in zip(pads, extra, strict=True)]
    grow = [(max(0, -before), max(0, -after)) for before, after in ends]
    ends = [(max(0, before), max(0, after)) for before, after in ends]
    counts = [f - before - after for f, (before, after) in zip(full, ends, strict=True)]
    if min(counts) < 1:
        raise ValueError("its padding leaves no output")
    fill = 2 - count
    (top, bottom), (left, right) = [(0, 0)] * fill + ends
    window = {"kernel": kernel, "stride": stride, "dilation": dilation}
    attrs = {k: (*[1] * fill, *v) for k, v in window.items()} | {"pad": (top, left, bottom, right)}
    return counts, attrs, [(0, 0)] * fill + grow


def pool(b: Builder, call: Call) -> Operand:
    """MaxPool and AveragePool over one, two or three dimensions."""
    if call.wants(1):
        raise Refusal("the places of the maxima are not computed", "use only the first output of MaxPool")
    x = call.input(0)
    average = call.op == "AveragePool"
    window = Window(call, x.shape[2:], list(call.attrs["kernel_shape"]), bool(call.attrs.get("ceil_mode", 0)))
    include = bool(average and call.attrs.get("count_include_pad", 0))
    return b.cast(windowed(b, b.cast(x, "float32"), window, "average" if average else "max", include), x.dtype)


def windowed(b: Builder, x: Operand, window: Window, kind: str, include_pad: bool) -> Operand:
    """Pool [N, C, ...]. A window that hangs over the end (ceil_mode) never counts what it hangs over."""
    over = window.over(x.shape[2:])
    if include_pad and any(over):
        x = b.pad(x, (0, 0, *(p[0] for p in window.pads)), (0, 0, *(p[1] for p in window.pads)))
        window.pads = [(0, 0)] * len(window.pads)
        include_pad = False
    window.pads = [(before, after + o) for (before, after), o in zip(window.pads, over, strict=True)]
    if x.rank == 5:
        return _windowed_3d(b, x, window, kind, include_pad)
    px = image(b, x, "poolings")
    shape = (x.shape[0], *[1] * (4 - x.rank), *window.counts, x.shape[1])
    y = b.emit("pool", [px], shape, x.dtype, {**window.attrs(), "kind": kind, "include_pad": int(include_pad)})
    return back(b, y, x.rank)


def _windowed_3d(b: Builder, x: Operand, window: Window, kind: str, include_pad: bool) -> Operand:
    """Pooling is separable: rows and columns first, then depth. Each pass sees one channel or one row of pixels."""
    n, c, depth, height, width = x.shape
    planes = b.reshape(x, (n * c * depth, height, width, 1))
    y = _pass(b, planes, window, (1, 2), kind, include_pad)
    columns = b.reshape(y, (n * c, depth, 1, y.shape[1] * y.shape[2]))
    z = _pass(b, columns, window, (0,), kind, include_pad)
    return b.reshape(z, (n, c, *window.counts))


def _pass(b: Builder, x: Operand, window: Window, dims: tuple[int, ...], kind: str, include_pad: bool) -> Operand:
    def pick(values: list[int], other: int) -> tuple[int, ...]:
        return tuple(values[d] for d in dims) + (other,) * (2 - len(dims))

    before, after = pick([p[0] for p in window.pads], 0), pick([p[1] for p in window.pads], 0)
    attrs = {"kernel": pick(window.kernel, 1), "stride": pick(window.stride, 1), "dilation": pick(window.dilation, 1)}
    attrs |= {"pad": (*before, *after)}
    shape = (x.shape[0], *pick(window.counts, 1), x.shape[3])
    return b.emit("pool", [x], shape, x.dtype, {**attrs, "kind": kind, "include_pad": int(include_pad)})


def lp_pool(b: Builder, call: Call) -> Operand:
    """(sum of |x|^p)^(1/p) over windows: an average, times the window's size."""
    x, p = call.input(0), call.attrs.get("p", 2)
    window = Window(call, x.shape[2:], list(call.attrs["kernel_shape"]), bool(call.attrs.get("ceil_mode", 0)))
    count = int(np.prod(window.kernel))
    raised = b.scalar("pow", b.unary("abs", x), p) if p != 2 else b.binary("mul", x, x)
    if any(window.over(x.shape[2:])):
        raise Refusal("ceil_mode with a window that hangs over the end", "use AveragePool, or pad first")
    y = b.scalar("mul", windowed(b, raised, window, "average", True), count)
    return b.unary("sqrt", y) if p == 2 else b.scalar("pow", y, 1.0 / p)


def global_pool(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    axes = range(2, x.rank)
    if call.op == "GlobalLpPool":
        p = call.attrs.get("p", 2)
        return b.scalar("pow", b.reduce("sum", b.scalar("pow", b.unary("abs", x), p), axes), 1.0 / p)
    fn = "mean" if call.op == "GlobalAveragePool" else "max"
    return back(b, b.reduce(fn, image(b, x), (1, 2)), x.rank) if x.rank in (3, 4) else b.reduce(fn, x, axes)


def lrn(b: Builder, call: Call) -> Operand:
    """x / (bias + alpha / size * sum of squares over `size` channels)^beta: an average over the channels seen as rows."""
    x, size = call.input(0), call.attrs["size"]
    n, c = x.shape[:2]
    rest = x.size // (n * c)
    square = b.reshape(b.binary("mul", x, x), (n, c, 1, rest))
    attrs = {"kernel": (size, 1), "stride": (1, 1), "dilation": (1, 1), "pad": ((size - 1) // 2, 0, size // 2, 0)}
    mean = b.emit("pool", [square], square.shape, x.dtype, {**attrs, "kind": "average", "include_pad": 1})
    base = b.unary("affine", mean, call.attrs.get("alpha", 1e-4), call.attrs.get("bias", 1.0))
    return b.binary("mul", x, b.reshape(b.scalar("pow", base, -call.attrs.get("beta", 0.75)), x.shape))
