"""Operators that work element by element."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from functools import reduce

import numpy as np

from ..builder import Builder
from ..operand import ELEMENTS, FLOATS, Call, Operand, Refusal, constant, scalar

# ONNX operator -> our function, where they mean the same on floats
_UNARY = {
    "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Asin": "asin", "Asinh": "asinh", "Atan": "atan", "Atanh": "atanh",
    "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh", "Erf": "erf", "Exp": "exp", "Floor": "floor", "HardSwish": "hard_swish",
    "IsNaN": "is_nan", "Log": "log", "Mish": "mish", "Neg": "neg", "Not": "not", "Reciprocal": "reciprocal", "Round": "round",
    "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin", "Sinh": "sinh", "Softplus": "softplus", "Softsign": "softsign",
    "Sqrt": "sqrt", "Tan": "tan", "Tanh": "tanh",
}  # fmt: skip
_BINARY = {
    "Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Min": "min", "Max": "max", "And": "and", "Or": "or", "Xor": "xor",
    "Equal": "equal", "Less": "less", "LessOrEqual": "less_equal",
}  # fmt: skip


def unary(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    fn = _UNARY[call.op]
    if x.dtype in FLOATS or fn == "not":
        return b.unary(fn, x)
    zero = b.constant(np.int32(0), x.dtype)
    if fn == "neg":
        return b.binary("sub", zero, x)
    if fn == "abs":
        return b.binary("max", x, b.binary("sub", zero, x))
    if fn == "sign":
        return b.scalar("max", b.scalar("min", x, 1), -1 if not x.dtype.startswith("u") else 0)
    raise ValueError(f"it is not defined for {x.dtype}")


def activation(b: Builder, call: Call) -> Operand:
    """Functions of one argument with parameters."""
    x = call.input(0)
    alpha, beta = call.attrs.get("alpha"), call.attrs.get("beta")

    def default(value: float | None, other: float) -> float:
        return other if value is None else value

    if call.op == "Relu":
        return b.unary("clamp", x, 0.0, float("inf")) if x.dtype in FLOATS else b.scalar("max", x, 0)
    if call.op == "Elu":
        return b.unary("elu", x, default(alpha, 1.0))
    if call.op == "Celu":
        return b.unary("celu", x, default(alpha, 1.0))
    if call.op == "LeakyRelu":
        return b.unary("leaky_relu", x, default(alpha, 0.01))
    if call.op == "Selu":
        return b.unary("selu", x, default(alpha, 1.67326319217681884765625), call.attrs.get("gamma", 1.05070102214813232421875))
    if call.op == "HardSigmoid":
        return b.unary("hard_sigmoid", x, default(alpha, 0.2), default(beta, 0.5))
    if call.op == "ThresholdedRelu":
        return b.unary("thresholded_relu", x, default(alpha, 1.0))
    if call.op == "Swish":
        return b.unary("silu", x, default(alpha, 1.0))
    if call.op == "Gelu":
        return b.unary("gelu_tanh" if call.attrs.get("approximate") == "tanh" else "gelu", x)
    if call.op == "Shrink":
        return b.unary("shrink", x, call.attrs.get("lambd", 0.5), call.attrs.get("bias", 0.0))
    assert call.op == "IsInf"
    return b.unary("is_inf", x, call.attrs.get("detect_negative", 1), call.attrs.get("detect_positive", 1))


def binary(b: Builder, call: Call) -> Operand:
    """Two or more operands, folded from the left."""
    xs = call.operands()
    fn = _BINARY[call.op]
    if call.attrs.get("broadcast", 0):
        xs[1] = _aligned(b, xs[0], xs[1], call.attrs.get("axis", xs[0].rank - xs[1].rank))
    if fn in ("less", "less_equal", "equal") and "string" in (xs[0].dtype, xs[-1].dtype):
        raise Refusal("strings exist on no device")
    return reduce(lambda x, y: b.binary(fn, x, y), xs) if len(xs) > 1 else xs[0]


def _aligned(b: Builder, x: Operand, y: Operand, axis: int) -> Operand:
    """Before opset 7 dimensions were matched from `axis` on, not from the last."""
    return b.reshape(y, y.shape + (1,) * (x.rank - axis - y.rank))


def greater(b: Builder, call: Call) -> Operand:
    return b.binary("less" if call.op == "Greater" else "less_equal", call.input(1), call.input(0))


def total(b: Builder, call: Call) -> Operand:
    """Sum and Mean of any number of operands."""
    xs = call.operands()
    y = reduce(lambda x, z: b.binary("add", x, z), xs)
    return b.scalar("mul", y, 1.0 / len(xs)) if call.op == "Mean" and len(xs) > 1 else y


def modulo(b: Builder, call: Call) -> Operand:
    return b.binary("fmod" if call.attrs.get("fmod", 0) else "mod", call.input(0), call.input(1))


def power(b: Builder, call: Call) -> Operand:
    x, y = call.input(0), call.input(1)
    exponent = scalar(y.data) if y.data is not None and y.size == 1 and y.rank <= x.rank else None
    if exponent == 2:
        return b.binary("mul", x, x)
    if exponent == 3:
        return b.binary("mul", b.binary("mul", x, x), x)
    if x.dtype in FLOATS and exponent == 0.5:
        return b.unary("sqrt", x)
    z = b.binary("pow", b.cast(x, "float32"), b.cast(y, "float32"))
    return b.cast(z if x.dtype in FLOATS or y.dtype in FLOATS else b.unary("round", z), x.dtype)


def clip(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    low = call.attrs.get("min") if call.optional(1) is None else call.input(1)
    high = call.attrs.get("max") if call.optional(2) is None else call.input(2)
    a, z = _limit(low, -np.inf), _limit(high, np.inf)
    if x.dtype in FLOATS and a is not None and z is not None:
        return b.unary("clamp", x, min(a, z), z) if (a, z) != (-np.inf, np.inf) else x
    for fn, limit in (("max", low), ("min", high)):
        if limit is not None:
            x = b.binary(fn, x, limit if isinstance(limit, Operand) else b.constant(np.float32(limit)))
    return x


def _limit(value: Operand | float | None, absent: float) -> float | None:
    """The number of a limit; None if it is known only at run time."""
    if isinstance(value, Operand):
        return None if value.data is None else scalar(value.data)
    return absent if value is None else value


def prelu(b: Builder, call: Call) -> Operand:
    x, slope = call.input(0), call.input(1)
    return b.binary("prelu", x, _aligned(b, x, slope, 1) if call.opset < 7 and slope.size > 1 else slope)


def where(b: Builder, call: Call) -> Operand:
    return b.where(call.input(0), call.input(1), call.input(2))


def cast(b: Builder, call: Call) -> Operand:
    x = call.input(0)
    dtype = call.input(1).dtype if call.op == "CastLike" else ELEMENTS.get(call.attrs["to"], "another")
    if "string" in (dtype, x.dtype):
        raise Refusal("strings exist on no device")
    return b.cast(x, dtype)


def identity(b: Builder, call: Call) -> Operand:
    return call.input(0)


def dropout(b: Builder, call: Call) -> list[Operand]:
    """Does nothing outside of training."""
    x = call.input(0)
    ratio = call.optional(1)
    rate = 0.5 if ratio is None else scalar(constant(ratio, "ratio"))
    training = call.optional(2)
    if training is not None and rate and bool(constant(training, "training mode").reshape(-1)[0]):
        raise Refusal("it drops at random", "export the model in inference mode")
    if not call.wants(1):
        return [x]
    return [x, b.constant(np.broadcast_to(np.asarray(True), x.shape))]
