"""The functions of docs/format.md on torch tensors: those of one value, and those of two."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def _gelu_tanh(x: Tensor, a: float, b: float) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _is_inf(x: Tensor, a: float, b: float) -> Tensor:
    return (torch.isneginf(x) & bool(a)) | (torch.isposinf(x) & bool(b))


UNARY: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "none": lambda x, a, b: x,
    "clamp": lambda x, a, b: x.clamp(a, b),
    "leaky_relu": lambda x, a, b: F.leaky_relu(x, a),
    "elu": lambda x, a, b: torch.where(x > 0, x, a * torch.expm1(x.clamp(max=0))),
    "selu": lambda x, a, b: b * torch.where(x > 0, x, a * torch.expm1(x.clamp(max=0))),
    "celu": lambda x, a, b: torch.where(x > 0, x, a * torch.expm1(x.clamp(max=0) / a)),
    "sigmoid": lambda x, a, b: torch.sigmoid(x),
    "tanh": lambda x, a, b: torch.tanh(x),
    "hard_sigmoid": lambda x, a, b: (a * x + b).clamp(0, 1),
    "hard_swish": lambda x, a, b: x * (x / 6 + 0.5).clamp(0, 1),
    "silu": lambda x, a, b: x * torch.sigmoid(a * x),
    "gelu": lambda x, a, b: F.gelu(x),
    "gelu_tanh": _gelu_tanh,
    "mish": lambda x, a, b: F.mish(x),
    "softplus": lambda x, a, b: torch.logaddexp(x, torch.zeros_like(x)),
    "softsign": lambda x, a, b: F.softsign(x),
    "thresholded_relu": lambda x, a, b: torch.where(x > a, x, torch.zeros_like(x)),
    "shrink": lambda x, a, b: torch.where(x < -a, x + b, torch.where(x > a, x - b, torch.zeros_like(x))),
    "affine": lambda x, a, b: a * x + b,
    "exp": lambda x, a, b: torch.exp(x),
    "log": lambda x, a, b: torch.log(x),
    "sqrt": lambda x, a, b: torch.sqrt(x),
    "reciprocal": lambda x, a, b: torch.reciprocal(x),
    "abs": lambda x, a, b: torch.abs(x),
    "neg": lambda x, a, b: -x,
    "sign": lambda x, a, b: torch.sign(x),
    "floor": lambda x, a, b: torch.floor(x),
    "ceil": lambda x, a, b: torch.ceil(x),
    "round": lambda x, a, b: torch.round(x),
    "erf": lambda x, a, b: torch.erf(x),
    "sin": lambda x, a, b: torch.sin(x),
    "cos": lambda x, a, b: torch.cos(x),
    "tan": lambda x, a, b: torch.tan(x),
    "asin": lambda x, a, b: torch.asin(x),
    "acos": lambda x, a, b: torch.acos(x),
    "atan": lambda x, a, b: torch.atan(x),
    "sinh": lambda x, a, b: torch.sinh(x),
    "cosh": lambda x, a, b: torch.cosh(x),
    "asinh": lambda x, a, b: torch.asinh(x),
    "acosh": lambda x, a, b: torch.acosh(x),
    "atanh": lambda x, a, b: torch.atanh(x),
    "not": lambda x, a, b: torch.logical_not(x),
    "is_nan": lambda x, a, b: torch.isnan(x),
    "is_inf": _is_inf,
}

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": lambda a, b: a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc"),
    "min": torch.minimum,
    "max": torch.maximum,
    "mod": torch.remainder,
    "fmod": torch.fmod,
    "pow": torch.pow,
    "prelu": lambda a, b: torch.where(a < 0, a * b, a),
    "equal": torch.eq,
    "less": torch.lt,
    "less_equal": torch.le,
    "and": torch.logical_and,
    "or": torch.logical_or,
    "xor": torch.logical_xor,
}


def activate(x: Tensor, activation: tuple[str, float, float]) -> Tensor:
    """An activation (function name, a, b) of a node's attributes."""
    name, a, b = activation
    return UNARY[name](x, a, b)
