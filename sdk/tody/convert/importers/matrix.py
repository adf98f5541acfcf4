"""Matrix products: Gemm, MatMul, Einsum."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..builder import Builder
from ..operand import COMPUTE, Array, Call, Operand, Refusal, strides_of


def gemm(b: Builder, call: Call) -> Operand:
    """alpha * A B + beta * C."""
    a, w, c = call.input(0), call.input(1), call.optional(2)
    _only_floats(a)
    alpha, beta = call.attrs.get("alpha", 1.0), call.attrs.get("beta", 1.0)
    a = b.transpose(a, (1, 0)) if call.attrs.get("transA", 0) else a
    flipped = bool(call.attrs.get("transB", 0))
    columns = w.shape[0 if flipped else 1]
    if a.shape[1] != w.shape[1 if flipped else 0]:
        raise ValueError(f"matrices of {list(a.shape)} and {list(w.shape)} do not go together")
    bias = None
    per_column = c is not None and (c.size == 1 or (c.size, c.shape[-1]) == (columns, columns))
    if c is not None and c.data is not None and beta and per_column:
        values, c = c.data, None
        spread = np.broadcast_to((values.astype(np.float32) * np.float32(beta)).reshape(1, -1), (1, columns))
        bias = b.weights(values, ("gemm bias", beta, columns), lambda _: spread) if w.data is not None else None
        c = None if bias else b.constant(spread)
        beta = 1.0
    y = _product(b, a, w, flipped, alpha, bias)
    if c is None or not beta:
        return y
    return b.binary("add", y, c if beta == 1.0 else b.scalar("mul", c, beta))


def _only_floats(x: Operand) -> None:
    if COMPUTE.get(x.dtype) != "float32":
        raise Refusal(f"products of {x.dtype} matrices are not supported", "compute it in float32")


def _product(b: Builder, a: Operand, w: Operand, flipped: bool, alpha: float, bias: Operand | None) -> Operand:
    """[.., K] by [K, N], or [N, K] if flipped."""
    if w.data is None:
        y = b.matmul(a, w, flipped)
        return y if alpha == 1.0 else b.scalar("mul", y, alpha)
    columns = w.shape[0 if flipped else 1]

    def panels(w: Array) -> Array:
        w = w if flipped else w.T
        return (w if alpha == 1.0 else w * np.float32(alpha))[None, :, None, :]

    return b.dense(a, b.weights(w.data, ("dense", flipped, alpha), panels, steps=w.steps), bias, columns)


def matmul(b: Builder, call: Call) -> Operand:
    a, w = call.input(0), call.input(1)
    _only_floats(a)
    _only_floats(w)
    if a.rank == 0 or w.rank == 0:
        raise ValueError("numbers are not matrices")
    left = b.reshape(a, (1, a.shape[0])) if a.rank == 1 else a
    right = b.reshape(w, (w.shape[0], 1)) if w.rank == 1 else w
    y = product(b, left, right)
    shape = y.shape[:-1] if w.rank == 1 else y.shape
    return b.reshape(y, shape[:-2] + y.shape[-1:] if a.rank == 1 and w.rank > 1 else shape[:-1] if a.rank == 1 else shape)


def product(b: Builder, a: Operand, w: Operand) -> Operand:
    """NumPy's matmul of operands of at least two dimensions."""
    if a.shape[-1] != w.shape[-2]:
        raise ValueError(f"matrices of {list(a.shape)} and {list(w.shape)} do not go together")
    if w.data is not None and all(n == 1 for n in w.shape[:-2]) and a.data is None and a.rank >= w.rank:
        return _product(b, a, b.reshape(w, w.shape[-2:]), False, 1.0, None)
    if w.rank == 2 and a.rank > 2:
        y = b.matmul(b.reshape(a, (a.size // a.shape[-1], a.shape[-1])), w)
        return b.reshape(y, (*a.shape[:-1], w.shape[1]))
    rank = max(a.rank, w.rank)
    return b.matmul(b.lift(a, rank), b.lift(w, rank))


def einsum(b: Builder, call: Call) -> Operand:
    """Pairwise from the left, each as one batched matrix product."""
    terms, result = _equation(call.attrs["equation"], [x.rank for x in call.operands()])
    operands = [_diagonal(b, x, term) for x, term in zip(call.operands(), terms, strict=True)]
    x, labels = operands[0]
    _only_floats(x)
    for i, (y, other) in enumerate(operands[1:], 1):
        later = set(result).union(*(term for _, term in operands[i + 1 :]))
        x, labels = _contract(b, x, labels, y, other, later)
    gone = [d for d, label in enumerate(labels) if label not in result]
    x = b.reshape(b.reduce("sum", x, gone), [n for d, n in enumerate(x.shape) if d not in gone])
    labels = "".join(label for label in labels if label in result)
    return b.transpose(x, [labels.index(label) for label in result])


def _equation(text: str, ranks: list[int]) -> tuple[list[str], str]:
    """The terms and the result, "..." replaced by labels of their own (digits)."""
    text = text.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    spread = max((r - len(t.replace("...", "")) for t, r in zip(terms, ranks, strict=True) if "..." in t), default=0)
    if not arrow:
        letters = left.replace(",", "").replace("...", "")
        right = ("..." if "..." in left else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    digits = "0123456789"[:spread]
    counts = [r - len(t.replace("...", "")) for t, r in zip(terms, ranks, strict=True)]
    spelled = [t.replace("...", digits[spread - n :] if n else "") for t, n in zip(terms, counts, strict=True)]
    if any(len(t) != r for t, r in zip(spelled, ranks, strict=True)):
        raise ValueError(f"the equation {text} does not fit operands of {ranks} dimensions")
    return spelled, right.replace("...", digits)


def _diagonal(b: Builder, x: Operand, labels: str) -> tuple[Operand, str]:
    """A label that repeats walks along the diagonal."""
    unique = "".join(dict.fromkeys(labels))
    if unique == labels:
        return x, labels
    strides = strides_of(x.shape)
    steps = [sum(s for s, label in zip(strides, labels, strict=True) if label == u) for u in unique]
    return b.strided(x, [x.shape[labels.index(u)] for u in unique], steps), unique


def _contract(b: Builder, x: Operand, xs: str, y: Operand, ys: str, later: set[str]) -> tuple[Operand, str]:
    """Two operands become one; labels that nothing needs later are summed over."""
    x, xs = _sum_alone(b, x, xs, later | set(ys))
    y, ys = _sum_alone(b, y, ys, later | set(xs))
    batch = [c for c in xs if c in ys and c in later]
    inner = [c for c in xs if c in ys and c not in later]
    rows, columns = [c for c in xs if c not in ys], [c for c in ys if c not in xs]
    size = {**dict(zip(ys, y.shape, strict=True)), **{c: n for c, n in zip(xs, x.shape, strict=True) if n != 1 or c not in ys}}
    x, y = _matrices(b, x, xs, (batch, rows, inner), size), _matrices(b, y, ys, (batch, inner, columns), size)
    z = b.matmul(x, y)
    labels = [*batch, *rows, *columns]
    return b.reshape(z, [size[c] for c in labels]), "".join(labels)


def _sum_alone(b: Builder, x: Operand, labels: str, needed: set[str]) -> tuple[Operand, str]:
    gone = [d for d, c in enumerate(labels) if c not in needed]
    y = b.reshape(b.reduce("sum", x, gone), [n for d, n in enumerate(x.shape) if d not in gone])
    return y, "".join(c for c in labels if c in needed)


def _matrices(b: Builder, x: Operand, labels: str, parts: tuple[list[str], ...], size: dict[str, int]) -> Operand:
    """Dimensions in the order of the parts, each part made one dimension."""
    order = [labels.index(c) for part in parts for c in part]
    y = b.expand(b.transpose(x, order), [size[labels[d]] for d in order])
    return b.reshape(y, [int(np.prod([size[c] for c in part])) for part in parts])
