"""The functions of one and two arguments in NumPy, in double precision: to recognise how a model spells them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Function = tuple[str, float, float]  # name, a, b: an activation of tody.format.FUNCTIONS

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _gelu_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


UNARY: dict[str, Callable[[Array, float, float], Array]] = {
    "clamp": lambda x, a, b: np.minimum(np.maximum(x, a), b),
    "leaky_relu": lambda x, a, b: np.where(x < 0, a * x, x),
    "elu": lambda x, a, b: np.where(x < 0, a * np.expm1(x), x),
    "sigmoid": lambda x, a, b: _sigmoid(x),
    "tanh": lambda x, a, b: np.tanh(x),
    "hard_sigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "hard_swish": lambda x, a, b: x * np.clip(x / 6 + 0.5, 0, 1),
    "silu": lambda x, a, b: x * _sigmoid(a * x),
    "gelu": lambda x, a, b: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x, a, b: _gelu_tanh(x),
    "mish": lambda x, a, b: x * np.tanh(_softplus(x)),
    "softplus": lambda x, a, b: _softplus(x),
    "softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "affine": lambda x, a, b: a * x + b,
    "exp": lambda x, a, b: np.exp(x),
    "log": lambda x, a, b: np.log(x),
    "sqrt": lambda x, a, b: np.sqrt(x),
    "reciprocal": lambda x, a, b: 1 / x,
    "abs": lambda x, a, b: np.abs(x),
    "neg": lambda x, a, b: -x,
    "erf": lambda x, a, b: _erf(x),
}

BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "min": np.minimum,
    "max": np.maximum,
    "pow": np.power,
}

# What a spelt-out expression may turn out to be.
NAMED: list[Function] = [
    ("sigmoid", 0.0, 0.0),
    ("tanh", 0.0, 0.0),
    ("silu", 1.0, 0.0),
    ("silu", 1.702, 0.0),
    ("hard_swish", 0.0, 0.0),
    ("gelu", 0.0, 0.0),
    ("gelu_tanh", 0.0, 0.0),
    ("mish", 0.0, 0.0),
    ("softplus", 0.0, 0.0),
    ("softsign", 0.0, 0.0),
    ("elu", 1.0, 0.0),
    ("abs", 0.0, 0.0),
    ("clamp", 0.0, math.inf),
    ("clamp", 0.0, 6.0),
]
_NEAR = np.concatenate([np.linspace(-12, 12, 97), [-60.0, -25.0, 25.0, 60.0, 0.01, -0.01]])
_FAR = 10.0 ** np.arange(2, 39)
SAMPLES = np.concatenate([_NEAR, _FAR, -_FAR])  # far ones tell a function from the same one, clamped
_MIDDLE = 48  # where SAMPLES is zero; the next is 0.25

with np.errstate(all="ignore"):
    _KNOWN = [(function, UNARY[function[0]](SAMPLES, *function[1:])) for function in NAMED]


def recognise(y: Array) -> Function | None:
    """The function whose values at `SAMPLES` are `y`, to about float32 precision; None if there is none.

    Far from zero, spellings may overflow: there, values that are not finite are not compared.
    """
    if not np.isfinite(y[: len(_NEAR)]).all():
        return None
    with np.errstate(all="ignore"):
        fitted = [(function, UNARY[function[0]](SAMPLES, *function[1:])) for function in _with_parameters(y)]
        return next((function for function, values in _KNOWN + fitted if _equal(values, y)), None)


def _equal(a: Array, b: Array) -> bool:
    """Whether values agree as float32 does, also near zero: 1e-12 more may be what keeps a division from dividing by zero.

    In the tails of GELU, values below 0.001, float32 constants of a spelling show ten times as much.
    """
    finite = np.isfinite(b)
    a, b = a[finite], b[finite]
    size = np.abs(b)
    return bool(np.all(np.abs(a - b) <= size * np.where(size > 1e-3, 2e-6, 2e-5) + 1e-14))


def _with_parameters(y: Array) -> list[Function]:
    """Functions with a parameter, fitted to a few of the values."""
    at_zero = float(y[_MIDDLE])
    slope = float(y[_MIDDLE + 1] - y[_MIDDLE]) / 0.25
    guesses: list[Function] = [("affine", _round(slope), _round(at_zero)), ("leaky_relu", _round(float(y[0]) / -12), 0.0)]
    if slope > 0:
        guesses.append(("hard_sigmoid", _round(slope), _round(at_zero)))
    return guesses


def _round(x: float) -> float:
    return float(np.float32(f"{x:.8g}"))
