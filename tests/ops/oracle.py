"""What every operator of a `.tody` file means, in plain NumPy and float64: docs/format.md once more, and not our C.

`run(op, inputs, params)` takes the inputs as arrays (None: absent; float32 values as float64) and returns the list of outputs.
Weights are given as [G, N, T, K], not in panels.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Params = dict[str, Any]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softplus(x: Array) -> Array:
    return np.logaddexp(x, 0)


erf = np.vectorize(math.erf, otypes=[np.float64])

# name -> function of x, a, b
UNARY: dict[str, Callable[[Array, float, float], Array]] = {
    "none": lambda x, a, b: x,
    "clamp": lambda x, a, b: np.minimum(np.maximum(x, a), b),
    "leaky_relu": lambda x, a, b: np.where(x < 0, a * x, x),
    "elu": lambda x, a, b: np.where(x > 0, x, a * np.expm1(x)),
    "selu": lambda x, a, b: b * np.where(x > 0, x, a * np.expm1(x)),
    "celu": lambda x, a, b: np.where(x > 0, x, a * np.expm1(x / a)),
    "sigmoid": lambda x, a, b: sigmoid(x),
    "tanh": lambda x, a, b: np.tanh(x),
    "hard_sigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "hard_swish": lambda x, a, b: x * np.clip(x / 6 + 0.5, 0, 1),
    "silu": lambda x, a, b: x * sigmoid(a * x),
    "gelu": lambda x, a, b: x * (1 + erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x, a, b: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "mish": lambda x, a, b: x * np.tanh(softplus(x)),
    "softplus": lambda x, a, b: softplus(x),
    "softsign": lambda x, a, b: x / (1 + abs(x)),
    "thresholded_relu": lambda x, a, b: np.where(x > a, x, 0),
    "shrink": lambda x, a, b: np.where(x < -a, x + b, np.where(x > a, x - b, 0)),
    "affine": lambda x, a, b: a * x + b,
    "exp": lambda x, a, b: np.exp(x),
    "log": lambda x, a, b: np.log(x),
    "sqrt": lambda x, a, b: np.sqrt(x),
    "reciprocal": lambda x, a, b: 1 / x,
    "abs": lambda x, a, b: abs(x),
    "neg": lambda x, a, b: -x,
    "sign": lambda x, a, b: np.sign(x),
    "floor": lambda x, a, b: np.floor(x),
    "ceil": lambda x, a, b: np.ceil(x),
    "round": lambda x, a, b: np.rint(x),
    "erf": lambda x, a, b: erf(x),
    "sin": lambda x, a, b: np.sin(x),
    "cos": lambda x, a, b: np.cos(x),
    "tan": lambda x, a, b: np.tan(x),
    "asin": lambda x, a, b: np.arcsin(x),
    "acos": lambda x, a, b: np.arccos(x),
    "atan": lambda x, a, b: np.arctan(x),
    "sinh": lambda x, a, b: np.sinh(x),
    "cosh": lambda x, a, b: np.cosh(x),
    "asinh": lambda x, a, b: np.arcsinh(x),
    "acosh": lambda x, a, b: np.arccosh(x),
    "atanh": lambda x, a, b: np.arctanh(x),
    "not": lambda x, a, b: ~x,
    "is_nan": lambda x, a, b: np.isnan(x),
    "is_inf": lambda x, a, b: (np.isposinf(x) & bool(b)) | (np.isneginf(x) & bool(a)),
}


def activate(x: Array, params: Params) -> Array:
    name, a, b = params.get("activation", ("none", 0.0, 0.0))
    return UNARY[name](x, np.float64(a), np.float64(b))


def _pad_image(x: Array, params: Params, value: float) -> Array:
    top, left, bottom, right = params.get("pad", (0, 0, 0, 0))
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def _reach(x: Array, params: Params, value: float) -> Array:
    """An image with so much more at its end that windows for an output of `size` fit."""
    for d, n in enumerate(params.get("size", ())):
        kernel, stride, dilation = (params.get(k, (1, 1))[d] for k in ("kernel", "stride", "dilation"))
        more = max((n - 1) * stride + (kernel - 1) * dilation + 1 - x.shape[1 + d], 0)
        x = np.pad(x, [(0, more if axis == 1 + d else 0) for axis in range(4)], constant_values=value)
    return x


def _windows(x: Array, params: Params) -> Array:
    """[N, OH, OW, T, C] of an image that is already padded."""
    (kh, kw), (sh, sw), (dh, dw) = (params.get(k, (1, 1)) for k in ("kernel", "stride", "dilation"))
    oh, ow = (x.shape[1] - (kh - 1) * dh - 1) // sh + 1, (x.shape[2] - (kw - 1) * dw - 1) // sw + 1
    taps = [
        x[:, i * dh : i * dh + (oh - 1) * sh + 1 : sh, j * dw : j * dw + (ow - 1) * sw + 1 : sw]
        for i in range(kh)
        for j in range(kw)
    ]
    return np.stack(taps, axis=3)


def _finish(y: Array, bias: Array | None, addend: Array | None, params: Params) -> Array:
    y = y if bias is None else y + bias.reshape(-1)
    return activate(y if addend is None else y + addend, params)


def conv(inputs: list[Array | None], params: Params) -> list[Array]:
    x, w, bias, addend = inputs + [None] * (4 - len(inputs))
    windows = _windows(_pad_image(x, params, 0), params)
    windows = windows.reshape(*windows.shape[:4], w.shape[0], w.shape[3])
    y = np.einsum("bhwtgk,gntk->bhwgn", windows, w)
    return [_finish(y.reshape(*y.shape[:3], -1), bias, addend, params)]


def dwconv(inputs: list[Array | None], params: Params) -> list[Array]:
    x, w, bias, addend = inputs + [None] * (4 - len(inputs))
    y = (_windows(_pad_image(x, params, 0), params) * w).sum(axis=3)
    return [_finish(y, bias, addend, params)]


def deconv(inputs: list[Array | None], params: Params) -> list[Array]:
    """Every input pixel adds its window to the result, of which `pad` is cut off; `size` may take more of the end."""
    x, w, bias = inputs + [None] * (3 - len(inputs))
    (kh, kw), (sh, sw), (dh, dw) = (params.get(k, (1, 1)) for k in ("kernel", "stride", "dilation"))
    groups, columns = w.shape[:2]
    n, h, width, channels = x.shape
    full = np.zeros((n, (h - 1) * sh + (kh - 1) * dh + 1, (width - 1) * sw + (kw - 1) * dw + 1, groups * columns))
    split = x.reshape(n, h, width, groups, channels // groups)
    for t, (i, j) in enumerate(itertools.product(range(kh), range(kw))):
        part = np.einsum("bhwgk,gnk->bhwgn", split, w[:, :, t]).reshape(n, h, width, -1)
        full[:, i * dh : i * dh + (h - 1) * sh + 1 : sh, j * dw : j * dw + (width - 1) * sw + 1 : sw] += part
    top, left, bottom, right = params.get("pad", (0, 0, 0, 0))
    height, width = params.get("size", (full.shape[1] - top - bottom, full.shape[2] - left - right))
    full = np.pad(full, ((0, 0), (0, height), (0, width), (0, 0)))[:, top : top + height, left : left + width]
    return [_finish(full, bias, None, params)]


def dense(inputs: list[Array | None], params: Params) -> list[Array]:
    x, w, bias, addend = inputs + [None] * (4 - len(inputs))
    return [_finish(x @ w[0, :, 0].T, bias, addend, params)]


def matmul(inputs: list[Array], params: Params) -> list[Array]:
    a, b = inputs
    return [a @ (b.swapaxes(-1, -2) if params.get("transpose_b") else b)]


def pool(inputs: list[Array], params: Params) -> list[Array]:
    (x,) = inputs
    if params["kind"] == "max":
        return [_windows(_reach(_pad_image(x, params, -np.inf), params, -np.inf), params).max(axis=3)]
    total = _windows(_reach(_pad_image(x, params, 0), params, 0), params).sum(axis=3)
    ones = _pad_image(np.ones_like(x), params, float(params.get("include_pad", 0)))
    return [total / _windows(_reach(ones, params, 0), params).sum(axis=3)]


def unary(inputs: list[Array], params: Params) -> list[Array]:
    name, a, b = params["function"]
    return [UNARY[name](inputs[0], np.float64(a), np.float64(b))]


def _divide_integers(a: Array, b: Array) -> Array:
    safe = np.where(b == 0, 1, b).astype(object)
    quotient = np.array(
        [int(abs(p) // abs(q)) * (1 if (p < 0) == (q < 0) else -1) for p, q in zip(a.astype(object).flat, safe.flat)]
    )
    return np.where(b == 0, 0, wrap(quotient.reshape(a.shape)))


def wrap(x: Array) -> Array:
    """The lower 32 bits as a signed integer."""
    return ((x.astype(np.int64) + 2**31) % 2**32 - 2**31).astype(np.int64)


def _nan_if_zero(fn: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    def run(a: Array, b: Array) -> Array:
        return np.where(b == 0, 0, fn(a, np.where(b == 0, 1, b))) if a.dtype.kind == "i" else fn(a, b)

    return run


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": lambda a, b: _divide_integers(a, b) if a.dtype.kind == "i" else a / b,
    "min": np.minimum,
    "max": np.maximum,
    "mod": _nan_if_zero(np.mod),
    "fmod": _nan_if_zero(np.fmod),
    "pow": np.power,
    "prelu": lambda a, b: np.where(a < 0, a * b, a),
    "equal": np.equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
}


def binary(inputs: list[Array], params: Params) -> list[Array]:
    a, b = np.broadcast_arrays(*inputs)
    y = BINARY[params["fn"]](a, b)
    return [wrap(y) if y.dtype.kind == "i" else activate(y, params)]


def where(inputs: list[Array], params: Params) -> list[Array]:
    return [np.where(*inputs)]


def cast(inputs: list[Array], params: Params) -> list[Array]:
    """The real values (or integers) as they are: `round_to` of cases.py makes elements of them."""
    return [inputs[0]]


def softmax(inputs: list[Array], params: Params) -> list[Array]:
    (x,) = inputs
    axis = params.get("axis", 0)
    shifted = x - x.max(axis=axis, keepdims=True)
    log = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return [log if params.get("log") else np.exp(log)]


def attention(inputs: list[Array | None], params: Params) -> list[Array]:
    q, k, v, addend = [*inputs, None][:4]
    scores = q @ (k.swapaxes(-1, -2) if params.get("transpose_k") else k) + (0 if addend is None else addend)
    return [softmax([scores], {"axis": -1})[0] @ v]


def layer_norm(inputs: list[Array | None], params: Params) -> list[Array]:
    x, scale, bias = inputs + [None] * (3 - len(inputs))
    axes = tuple(range(params["axis"], x.ndim))
    centred = x if params.get("rms") else x - x.mean(axis=axes, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + params["epsilon"])
    return [y * (1 if scale is None else scale) + (0 if bias is None else bias)]


def instance_norm(inputs: list[Array | None], params: Params) -> list[Array]:
    x, scale, bias = inputs + [None] * (3 - len(inputs))
    centred = x - x.mean(axis=(1, 2), keepdims=True)
    y = centred / np.sqrt((centred**2).mean(axis=(1, 2), keepdims=True) + params["epsilon"])
    return [activate(y * (1 if scale is None else scale) + (0 if bias is None else bias), params)]


def resize(inputs: list[Array], params: Params) -> list[Array]:
    x, rows, row_weights, columns, column_weights = inputs
    tall = np.einsum("nokwc,ok->nowc", x[:, rows], row_weights)
    return [np.einsum("nopkc,pk->nopc", tall[:, :, columns], column_weights)]


def copy(inputs: list[Array], params: Params) -> list[Array]:
    index = np.full((), params.get("offset", 0))
    for n, stride in zip(params["shape"], params["stride"]):
        index = index[..., None] + np.arange(n) * stride
    return [inputs[0].reshape(-1)[index]]


def concat(inputs: list[Array], params: Params) -> list[Array]:
    return [np.concatenate(inputs, axis=params.get("axis", 0))]


def pad(inputs: list[Array], params: Params) -> list[Array]:
    (x,) = inputs
    width = list(zip(params["before"], params["after"]))
    if params["mode"] == "constant":
        return [np.pad(x, width, constant_values=params.get("value", 0))]
    return [np.pad(x, width, mode=params["mode"])]


def gather(inputs: list[Array], params: Params) -> list[Array]:
    x, indices = inputs
    return [np.take(x, indices, axis=params.get("axis", 0), mode="clip")]


def reduce(inputs: list[Array], params: Params) -> list[Array]:
    (x,) = inputs
    axes = tuple(d for d in range(x.ndim) if params["axes"] >> d & 1)
    y = getattr(np, params["fn"])(x, axis=axes, keepdims=True)
    return [wrap(y) if x.dtype.kind == "i" else y]


def arg_reduce(inputs: list[Array], params: Params) -> list[Array]:
    (x,) = inputs
    axis, find = params.get("axis", 0), np.argmin if params.get("least") else np.argmax
    if params.get("last"):
        return [x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis, keepdims=True)]
    return [find(x, axis=axis, keepdims=True)]


def topk(inputs: list[Array], params: Params) -> list[Array]:
    (x,) = inputs
    axis = params.get("axis", 0)
    key = np.where(np.isnan(x), np.inf, x) if params.get("smallest") else np.where(np.isnan(x), -np.inf, -x)
    order = np.lexsort((key, ~np.isnan(x) if not params.get("smallest") else np.isnan(x)), axis=axis)
    best = np.take(order, np.arange(params["k"]), axis=axis)
    return [np.take_along_axis(x, best, axis=axis), best]


def cumsum(inputs: list[Array], params: Params) -> list[Array]:
    (x,) = inputs
    axis = params.get("axis", 0)
    x = np.flip(x, axis) if params.get("reverse") else x
    y = np.cumsum(x, axis=axis) - (x if params.get("exclusive") else 0)
    y = np.flip(y, axis) if params.get("reverse") else y
    return [wrap(y) if x.dtype.kind == "i" else y]


def _directions(params: Params) -> list[bool]:
    """For each direction, whether it runs backwards."""
    return {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[params.get("direction", "forward")]


def _recurrent(
    x: Array, hidden: int, params: Params, h0: Array | None, step: Callable[[int, Array, Array], Array]
) -> list[Array]:
    """Walk all directions; step(direction, x_t, h) gives the next h."""
    directions = _directions(params)
    y = np.zeros((x.shape[0], len(directions), x.shape[1], hidden))
    last = np.zeros((len(directions), x.shape[1], hidden))
    for d, backwards in enumerate(directions):
        h = last[d] if h0 is None else h0[d]
        for t in range(x.shape[0])[:: -1 if backwards else 1]:
            h = y[t, d] = step(d, x[t], h)
        last[d] = h
    return [y, last]


def lstm(inputs: list[Array | None], params: Params) -> list[Array]:
    x, w, r, bias, h0, c0, peephole = inputs + [None] * (7 - len(inputs))
    directions, hidden = r.shape[0], r.shape[3]
    cells = np.zeros((directions, x.shape[1], hidden)) if c0 is None else c0.copy()
    pi, po, pf = np.split(np.zeros((directions, 3 * hidden)) if peephole is None else peephole, 3, axis=1)

    def step(d: int, xt: Array, h: Array) -> Array:
        sums = xt @ w[d, :, 0].T + h @ r[d, :, 0].T + (0 if bias is None else bias[d])
        i, o, f, c = np.split(sums, 4, axis=1)
        old = cells[d]
        cells[d] = sigmoid(f + pf[d] * old) * old + sigmoid(i + pi[d] * old) * np.tanh(c)
        return sigmoid(o + po[d] * cells[d]) * np.tanh(cells[d])

    return [*_recurrent(x, hidden, params, h0, step), cells]


def gru(inputs: list[Array | None], params: Params) -> list[Array]:
    x, w, r, wbias, rbias, h0 = inputs + [None] * (6 - len(inputs))
    hidden = r.shape[3]
    wb, rb = (np.zeros(r.shape[:2]) if b is None else b for b in (wbias, rbias))

    def step(d: int, xt: Array, h: Array) -> Array:
        xz, xr, xh = np.split(xt @ w[d, :, 0].T + wb[d], 3, axis=1)
        hz, hr, hh = np.split(h @ r[d, :, 0].T + rb[d], 3, axis=1)
        z, reset = sigmoid(xz + hz), sigmoid(xr + hr)
        before = (reset * h) @ r[d, 2 * hidden :, 0].T + rb[d, 2 * hidden :]
        new = reset * hh if params.get("linear_before_reset") else before
        return (1 - z) * np.tanh(xh + new) + z * h

    return _recurrent(x, hidden, params, h0, step)


def rnn(inputs: list[Array | None], params: Params) -> list[Array]:
    x, w, r, bias, h0 = inputs + [None] * (5 - len(inputs))

    def step(d: int, xt: Array, h: Array) -> Array:
        return np.tanh(xt @ w[d, :, 0].T + h @ r[d, :, 0].T + (0 if bias is None else bias[d]))

    return _recurrent(x, r.shape[3], params, h0, step)


def lut(inputs: list[Array], params: Params) -> list[Array]:
    x, table = inputs
    return [table[x + 128]]


NAMED = [conv, dwconv, deconv, dense, matmul, pool, unary, binary, where, cast, softmax, layer_norm, instance_norm, resize]
NAMED += [copy, concat, pad, gather, reduce, arg_reduce, topk, cumsum, lstm, gru, rnn, lut, attention]
OPERATORS: dict[str, Callable[[list[Any], Params], list[Array]]] = {f.__name__: f for f in NAMED}


def run(op: str, inputs: list[Array | None], params: Params) -> list[Array]:
    """The outputs of an operator, all of them, in float64, int64 or bool."""
    with np.errstate(all="ignore"):
        return OPERATORS[op](inputs, params)
