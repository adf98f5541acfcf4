"""How exact the functions of one float32 are: the bounds that runtime/kernels/portable/math.h states, on every kernel set.

The grid holds float32 numbers of all magnitudes, both signs, subnormal ones, and dense ranges around zero. Errors are in units
in the last place of the exact value, computed in float64.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import pytest
from numpy.typing import NDArray

from tody import format
from tody._runtime import Runtime, kernel_sets

# As stated in math.h, for the portable set; other sets may differ by twice as much.
BOUNDS = {
    "exp": 1.0,
    "elu": 1.0,
    "log": 1.0,
    "sigmoid": 2.5,
    "tanh": 2.6,
    "softplus": 2.0,
    "erf": 2.6,
    "sin": 1.5,
    "cos": 1.5,
    "tan": 3.5,
    "asin": 2.4,
    "acos": 1.2,
    "atan": 1.6,
    "sinh": 2.2,
    "cosh": 1.5,
    "asinh": 2.0,
    "acosh": 2.6,
    "atanh": 2.5,
    "sqrt": 0.5,
    "reciprocal": 0.5,
    "floor": 0.0,
    "ceil": 0.0,
    "round": 0.0,
    "abs": 0.0,
    "neg": 0.0,
    "sign": 0.0,
}
# Below them a function is 0, so that it makes no subnormal numbers, which many CPUs take a hundred cycles for.
ENDS = {"sigmoid": -86.98997}
LARGEST = float(np.finfo(np.float32).max)


def grid() -> NDArray[np.float32]:
    patterns = np.arange(0, 2**32, 8209, dtype=np.uint64).astype(np.uint32).view(np.float32)
    dense = [np.linspace(-limit, limit, 100003).astype(np.float32) for limit in (110.0, 20.0, 1.0, 1e-3)]
    edges = np.array(
        [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, LARGEST, -LARGEST, 1e-45, -1e-45, 88.72284, 88.7229, -103.97],
        np.float32,
    )
    return np.concatenate([patterns[~np.isnan(patterns)], *dense, edges])


def errors(got: NDArray[np.float32], exact: NDArray[Any]) -> NDArray[Any]:
    """Units in the last place; infinite where one of the two is NaN or infinite, and the other is not."""
    with np.errstate(all="ignore"):
        unit = np.spacing(np.minimum(abs(exact), LARGEST).astype(np.float32)).astype(np.float64)
        unit = np.where(abs(exact) >= LARGEST, 2.0**104, unit)
        rounded = exact.astype(np.float32)
        error = abs(got.astype(np.float64) - exact) / unit
    special = ~np.isfinite(rounded) | ~np.isfinite(got)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    # A value just above the largest float32 may be rounded either way.
    edge = np.isfinite(exact) & (abs(exact) > LARGEST * (1 - 2e-7)) & (abs(exact) < LARGEST * (1 + 2e-7))
    return np.where(special, np.where(same | edge, 0.0, np.inf), error)


def model(op: str, attrs: dict[str, Any], inputs: int, count: int) -> bytes:
    file = format.File(arena_bytes=(inputs + 1) * format.align(count * 4, 64))
    file.tensors = [format.Tensor("float32", (count,), "arena", i * format.align(count * 4, 64)) for i in range(inputs + 1)]
    file.records = [format.Record(op, list(range(inputs)), [inputs], attrs)]
    file.inputs, file.outputs = list(range(inputs)), [inputs]
    return format.write(file)


def evaluate(op: str, attrs: dict[str, Any], inputs: list[NDArray[np.float32]], kernels: str) -> NDArray[np.float32]:
    runtime = Runtime(model(op, attrs, len(inputs), inputs[0].size), kernels=kernels)
    for tensor, data in zip(runtime.inputs, inputs):
        np.asarray(tensor)[...] = data
    runtime.run()
    return np.array(runtime.outputs[0])


@pytest.mark.parametrize("kernels", kernel_sets())
@pytest.mark.parametrize("name", BOUNDS)
def test_error_in_units_in_the_last_place(name: str, kernels: str) -> None:
    x = grid()
    with np.errstate(all="ignore"):
        exact = np.where(x < ENDS.get(name, -np.inf), 0.0, oracle.UNARY[name](x.astype(np.float64), 1.0, 1.0))
    error = errors(evaluate("unary", {"function": (name, 1.0, 1.0)}, [x], kernels), exact)
    worst = int(np.argmax(error))
    bound = BOUNDS[name] if kernels == "portable" else 2 * BOUNDS[name]
    assert error[worst] <= bound, f"{name}({x[worst]!r}) is {exact[worst]!r}, error {error[worst]:.3f} units"


@pytest.mark.parametrize("kernels", kernel_sets())
@pytest.mark.parametrize(("name", "bound"), [("gelu", 2.5e-7), ("gelu_tanh", 2e-7), ("silu", 2e-7), ("hard_swish", 1.2e-7)])
def test_error_of_gates_beside_their_input(name: str, bound: float, kernels: str) -> None:
    """x times a gate within [0, 1]: the gate is as exact as float32 near 1, and it shuts and opens wholly."""
    x = grid()
    x = x[abs(x) < 1e30]
    exact = oracle.UNARY[name](x.astype(np.float64), 1.0, 0.0)
    got = evaluate("unary", {"function": (name, 1.0, 0.0)}, [x], kernels)
    assert np.all(abs(got - exact) <= bound * abs(x) + 1e-45)
    far = abs(x) > 110
    np.testing.assert_array_equal(got[far], np.maximum(x[far], 0))


@pytest.mark.parametrize("kernels", kernel_sets())
def test_pow(kernels: str) -> None:
    rng = np.random.default_rng(5)
    special = np.array(
        [0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38, 16777216, 0.3], np.float32
    )
    pairs = [a.ravel() for a in np.meshgrid(special, special)]
    base = np.exp(rng.normal(0, 20, 200000)) * rng.choice([-1, 1], 200000)
    power = np.where(rng.random(200000) < 0.5, np.round(rng.normal(0, 3, 200000)), rng.normal(0, 3, 200000))
    x, y = (np.concatenate([random.astype(np.float32), pair]) for random, pair in zip((base, power), pairs))
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.float64), y.astype(np.float64))
    error = errors(evaluate("binary", {"fn": "pow"}, [x, y], kernels), exact)
    worst = int(np.argmax(error))
    assert error[worst] <= 0.51, f"{x[worst]!r} ** {y[worst]!r} is {exact[worst]!r}, error {error[worst]:.3f} units"


@pytest.mark.parametrize("fn", ["mod", "fmod"])
def test_remainders_are_exact(fn: str) -> None:
    rng = np.random.default_rng(6)
    x, y = (rng.integers(0, 2**32, 200000, dtype=np.uint64).astype(np.uint32).view(np.float32) for _ in range(2))
    with np.errstate(all="ignore"):
        expected = oracle.BINARY[fn](x, y)
    np.testing.assert_array_equal(evaluate("binary", {"fn": fn}, [x, y], "portable"), expected)
