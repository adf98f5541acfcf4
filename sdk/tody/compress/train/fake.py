"""Fake quantisation: float32 tensors that hold exactly the numbers that the runtime's integers stand for."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...convert.graph import Quant

_WIDEST = 32768.0  # docs/format.md, `cast`: the rounded quotient is held to 16 bits before the zero point is added


def levels(x: Tensor, scale: Tensor, zero: int, low: int, high: int) -> Tensor:
    """The integers of x as `cast` of docs/format.md makes them, as float32: one division, round half to even, saturated."""
    rounded = torch.round(x / scale).clamp(-_WIDEST, _WIDEST - 1)
    return (rounded + zero).clamp(low, high)


class _FakeQuantise(torch.autograd.Function):  # type: ignore[misc]
    """scale * (levels - zero) with a straight-through gradient for x and the gradient of LSQ for the scale.

    Source: S. Esser et al., "Learned step size quantization", 2020.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero: int, low: int, high: int) -> Tensor:
        q = levels(x, scale, zero, low, high) - zero
        ctx.save_for_backward(x, scale, q)
        ctx.bounds = (low - zero, high - zero)
        return scale * q

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, scale, q = ctx.saved_tensors
        low, high = ctx.bounds
        exact = x / scale
        inside = (exact >= low) & (exact <= high)
        slope = torch.where(inside, q - exact, q) * grad
        step = (scale.numel() / (x.numel() * max(-low, high))) ** 0.5  # keeps steps of scales and weights in proportion
        return grad * inside, slope.sum_to_size(scale.shape) * step, None, None, None


class Quantiser(torch.nn.Module):  # type: ignore[misc]
    """One quantisation, its scales learned: fake quantises what it is called with.

    A scale is its first value times the exponential of a parameter, so that it stays positive and a step of the optimiser
    changes it by a share of itself, whatever its size.

    Args:
        quant: where it begins. The zero point stays.
        shape: of the scales, to broadcast against what is quantised.
        most: the largest integer; the smallest is -most where the zero point is that of weights, else -most - 1.
        symmetric: whether the integers go from -most to most.
    """

    def __init__(self, quant: Quant, shape: tuple[int, ...] = (1,), most: int = 127, symmetric: bool = False) -> None:
        super().__init__()
        self.zero, self.low, self.high = quant.zero_point, -most if symmetric else -most - 1, most
        self.register_buffer("start", torch.tensor(quant.scales, dtype=torch.float32).reshape(shape))
        self.log_scale = torch.nn.Parameter(torch.zeros(shape))

    @property
    def scale(self) -> Tensor:
        return self.start * self.log_scale.exp()

    def forward(self, x: Tensor) -> Tensor:
        return _FakeQuantise.apply(x, self.scale, self.zero, self.low, self.high)

    def integers(self, x: Tensor) -> Tensor:
        """The integers of x: int8, the very ones that the forward pass stands for."""
        return levels(x, self.scale, self.zero, self.low, self.high).to(torch.int8)

    def quant(self) -> Quant:
        """The quantisation as it is now."""
        return Quant(tuple(float(s) for s in self.scale.detach().cpu().flatten()), self.zero)


def round_bias(bias: Tensor, scale: Tensor) -> Tensor:
    """The bias as an int32 layer holds it, in steps of input scale times weight scale; the gradient goes straight through."""
    with torch.no_grad():
        wide = scale.double()
        rounding = (torch.round(bias.double() / wide) * wide).float() - bias
    return bias + rounding
