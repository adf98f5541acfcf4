"""Operators that onnxruntime's optimiser writes in its own domain: what it fused, taken apart again."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..builder import Builder
from ..operand import Call, Operand, Refusal
from . import convolution, elementwise, matrix, normalization

# Names of the parameters of an activation, in the order of `activation_params`.
_PARAMETERS = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta"), "Elu": ("alpha",), "Relu": ()}


def conv(b: Builder, call: Call) -> Operand:
    """A convolution, an addend, an activation."""
    y = convolution.conv(b, replace(call, inputs=call.inputs[:3]))
    addend = call.optional(3)
    y = b.binary("add", y, addend) if addend is not None else y
    return _activate(b, call, y, list(call.attrs.get("activation_params", [])))


def gemm(b: Builder, call: Call) -> Operand:
    """A matrix product with an addend, an activation."""
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    return _activate(b, call, matrix.gemm(b, call), [call.attrs[name] for name in names if name in call.attrs])


def _activate(b: Builder, call: Call, x: Operand, parameters: list[float]) -> Operand:
    kind = call.attrs.get("activation", "")
    if not kind:
        return x
    if kind == "Clip":
        return b.unary("clamp", x, *parameters)
    if kind in ("Sigmoid", "Tanh"):
        return b.unary(kind.lower(), x)
    if kind not in _PARAMETERS:
        raise Refusal(f"its activation {kind} is not known", "export the model without onnxruntime's optimisation")
    attrs = dict(zip(_PARAMETERS[kind], parameters, strict=False))
    return elementwise.activation(b, replace(call, op=kind, domain="", inputs=[x], attrs=attrs))


def matmul(b: Builder, call: Call) -> Operand:
    """A matrix product whose operands may be transposed, times a number."""
    if call.attrs.get("transBatchA", 0) or call.attrs.get("transBatchB", 0):
        raise Refusal("it transposes the batch", "export the model without onnxruntime's optimisation")
    inputs: list[Operand | None] = []
    for x, key in ((call.input(0), "transA"), (call.input(1), "transB")):
        order = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
        inputs.append(b.transpose(x, order) if call.attrs.get(key, 0) and x.rank > 1 else x)
    y = matrix.matmul(b, replace(call, inputs=inputs))
    alpha = call.attrs.get("alpha", 1.0)
    return y if alpha == 1.0 else b.scalar("mul", y, alpha)


def gelu(b: Builder, call: Call) -> Operand:
    """Gelu, its approximations, and a bias before."""
    x, bias = call.input(0), call.optional(1)
    x = b.binary("add", x, bias) if bias is not None else x
    if call.op == "QuickGelu":
        return b.unary("silu", x, call.attrs.get("alpha", 1.702))
    return b.unary("gelu_tanh" if call.op == "FastGelu" else "gelu", x)


def skip_layer_normalization(b: Builder, call: Call) -> list[Operand | None]:
    """The layer norm of a sum of two or three operands. The fourth result is the sum; means and deviations are refused."""
    if call.wants(1) or call.wants(2):
        raise Refusal("its means and deviations are for training", "export the model for inference")
    x = b.binary("add", call.input(0), call.input(1))
    simplified = call.op.startswith("SkipSimplified")
    bias = call.optional(3 if simplified else 4)
    x = b.binary("add", x, bias) if bias is not None else x
    attrs: dict[str, Any] = {"axis": -1, "epsilon": call.attrs.get("epsilon", 1e-12)}
    inputs = [x, call.input(2), *([] if simplified else [call.optional(3)])]
    plain = replace(call, op="RMSNormalization" if simplified else "LayerNormalization", domain="", inputs=inputs, attrs=attrs)
    return [normalization.layer_normalization(b, replace(plain, outputs=call.outputs[:1]))[0], None, None, x]
