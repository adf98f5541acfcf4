"""Operators that work element by element."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from functools import reduce

from ...builder import Builder
from ...graph import Quant
from ...operand import FLOATS, Operand, Refusal
from ..call import TfliteCall, is_quantised, onnx, quant_of
from ..rounding import sum_scales

# TFLite operator -> ONNX's, where they mean the same
SAME = {
    "ABS": "Abs", "CEIL": "Ceil", "COS": "Cos", "EXP": "Exp", "FLOOR": "Floor", "LOG": "Log", "NEG": "Neg", "ROUND": "Round",
    "SIN": "Sin", "SQRT": "Sqrt", "LOGISTIC": "Sigmoid", "TANH": "Tanh", "SIGN": "Sign", "LOGICAL_NOT": "Not",
    "MAXIMUM": "Max", "MINIMUM": "Min", "POW": "Pow", "PRELU": "PRelu", "LESS": "Less", "LESS_EQUAL": "LessOrEqual",
    "GREATER": "Greater", "GREATER_EQUAL": "GreaterOrEqual", "EQUAL": "Equal", "LOGICAL_AND": "And", "LOGICAL_OR": "Or",
    "FLOOR_MOD": "Mod", "SELECT_V2": "Where", "ADD_N": "Sum",
}  # fmt: skip
_ARITHMETIC = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "SQUARED_DIFFERENCE": "Sub"}
_INF = float("inf")
_CLAMPS = {
    "RELU": (0.0, _INF), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0),
}  # fmt: skip
_FUSED = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")


def activated(b: Builder, y: Operand, call: TfliteCall) -> Operand:
    """The operand behind the activation that is fused into its operator."""
    number = call.attrs.get("activation", 0)
    name = _FUSED[number] if 0 <= number < len(_FUSED) else str(number)
    if name == "NONE":
        return y
    if name in _CLAMPS:
        return _clamped(b, y, *_CLAMPS[name])
    if name != "TANH":
        raise Refusal(f"the activation {name} is fused into it", "use another activation")
    return b.unary("tanh", y)


def _clamped(b: Builder, x: Operand, low: float, high: float) -> Operand:
    if x.dtype in FLOATS:
        return b.unary("clamp", x, low, high)
    bounds = [("max", low), *([("min", high)] if high < _INF else [])]
    return reduce(lambda y, bound: b.scalar(*(bound[0], y, bound[1])), bounds, x)


def same(b: Builder, call: TfliteCall) -> Operand:
    return onnx(b, call, SAME[call.op], call.inputs)


def clamp(b: Builder, call: TfliteCall) -> Operand:
    return _clamped(b, call.input(0), *_CLAMPS[call.op])


def activation(b: Builder, call: TfliteCall) -> Operand:
    """Functions of one argument with parameters, or made of two."""
    x = call.input(0)
    if call.op == "ELU":
        return b.unary("elu", x, 1.0)
    if call.op == "GELU":
        return b.unary("gelu_tanh" if call.attrs["approximate"] else "gelu", x)
    if call.op == "HARD_SWISH":
        return b.unary("hard_swish", x)
    if call.op == "LEAKY_RELU":
        return b.unary("leaky_relu", x, call.attrs["alpha"])
    if call.op == "SQUARE":
        return onnx(b, call, "Mul", [x, x])
    return b.unary("reciprocal", b.unary("sqrt", x))


def arithmetic(b: Builder, call: TfliteCall) -> Operand:
    inputs = _as_litert_adds(b, call) if call.op in ("ADD", "SUB") else [call.input(0), call.input(1)]
    y = onnx(b, call, _ARITHMETIC[call.op], inputs)
    return b.binary("mul", y, y) if call.op == "SQUARED_DIFFERENCE" else activated(b, y, call)


def _as_litert_adds(b: Builder, call: TfliteCall) -> list[Operand]:
    """The inputs of a quantised sum, with scales a hair off where that makes it round as LiteRT's does."""
    inputs, integers, y = [call.input(0), call.input(1)], call.integers, quant_of(call.results[0])
    quants = [quant for q in integers if q is not None and (quant := b.graph.values[q.name].quant) is not None]
    if y is None or len(quants) != 2:
        return inputs
    scales = sum_scales(quants[0], quants[1], y, call.op == "SUB")
    for i, (q, old, scale) in enumerate(zip(integers, quants, scales, strict=True)):
        if q is not None and scale != old.scale:
            inputs[i] = relabelled(b, q, Quant((scale,), old.zero_point))
    return inputs


def relabelled(b: Builder, q: Operand, quant: Quant) -> Operand:
    """What the integers of an int8 operand stand for by another quantisation."""
    return b.dequantise(Operand(q.shape, "int8", b.relabel(q.name, quant)))


def floor_div(b: Builder, call: TfliteCall) -> Operand:
    """The largest integer that is no larger than the quotient; of integers by what is left of the remainder."""
    x, divisor = call.input(0), call.input(1)
    if x.dtype in FLOATS:
        return onnx(b, call, "Floor", [onnx(b, call, "Div", [x, divisor])])
    if x.data is not None and divisor.data is not None and divisor.data.all():
        return b.constant(x.data // divisor.data)
    return b.binary("div", b.binary("sub", x, b.binary("mod", x, divisor)), divisor)


def not_equal(b: Builder, call: TfliteCall) -> Operand:
    return onnx(b, call, "Not", [onnx(b, call, "Equal", [call.input(0), call.input(1)])])


def select(b: Builder, call: TfliteCall) -> Operand:
    """A condition of one dimension chooses whole rows."""
    condition, x = call.input(0), call.input(1)
    if condition.rank == 1 and x.rank > 1:
        condition = b.reshape(condition, (condition.size, *[1] * (x.rank - 1)))
    return onnx(b, call, "Where", [condition, x, call.input(2)])


def cast(b: Builder, call: TfliteCall) -> Operand:
    tensor, result = call.tensor(0), call.results[0]
    if (tensor is not None and is_quantised(tensor)) or is_quantised(result):
        raise Refusal("it takes the integers of a quantised tensor for numbers", "use DEQUANTIZE or QUANTIZE")
    if "string" in (call.input(0).dtype, result.dtype):
        raise Refusal("strings exist on no device")
    return b.cast(call.input(0), result.dtype)


def identity(b: Builder, call: TfliteCall) -> Operand:
    """From integers to what they stand for, or back, or sparse to dense: every operand is real numbers already, and whole."""
    x = call.input(0)
    if x.dtype not in FLOATS:
        raise Refusal("its operand has no scale", "quantise the model with scales")
    return b.cast(x, "float32")
