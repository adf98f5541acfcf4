"""Every operator case of the TOML files beside this one, on every kernel set and one or two threads, against NumPy."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import Builder, Case, Tensor, load, round_to
from numpy.typing import NDArray

from tody import format
from tody._runtime import Runtime, kernel_sets
from tody.errors import ModelError

HERE = Path(__file__).parent
CASES = [pytest.param(case, id=f"{path.stem}: {case.name}") for path in sorted(HERE.glob("*.toml")) for case in load(path)]
WORDS = {
    "shape": "does not fit its operator",
    "param": "parameter of an operator is out of range",
    "dtype": "not defined for the element type",
    "record": "operator record is unsound",
    "tensor": "tensor record is unsound",
}


def run(data: bytes, feeds: list[NDArray[Any]], kernels: str, threads: int) -> list[NDArray[Any]]:
    """The outputs; nothing outside of them may change, and a second run must give the same."""
    runtime = Runtime(data, threads=threads, kernels=kernels)
    tensors = [np.asarray(t) for t in runtime.inputs]
    for tensor in tensors[len(feeds) :]:
        tensor[...] = 0xA5
    results: list[list[NDArray[Any]]] = []
    for _ in range(2):
        for tensor, feed in zip(tensors, feeds):
            tensor[...] = feed
        for output in runtime.outputs:
            np.asarray(output).reshape(-1).view(np.uint8)[...] = 0x77
        runtime.run()
        results.append([np.array(t) for t in runtime.outputs])
    for tensor in tensors[len(feeds) :]:
        assert (tensor == 0xA5).all(), "wrote outside of its output"
    for first, second in zip(*results):
        np.testing.assert_array_equal(first, second)
    return results[0]


def compare(got: NDArray[Any], expected: NDArray[Any], out: Tensor, case: Case) -> None:
    assert got.shape == expected.shape
    if got.dtype.kind != "f" or out.dtype == "f16":
        np.testing.assert_array_equal(got, expected if case.exact else round_to(expected, out))
        return
    with np.errstate(over="ignore"):
        as_float = expected.astype(np.float32)
    finite = np.isfinite(as_float)
    np.testing.assert_array_equal(got[~finite], as_float[~finite])
    scale = abs(expected[finite]).max(initial=0.0) if case.op not in ("unary", "binary") else 0.0
    np.testing.assert_allclose(got[finite], expected[finite], rtol=case.tolerance, atol=case.tolerance * scale + 1e-37)


@pytest.mark.parametrize("case", [c for c in CASES if not c.values[0].refuse])
def test_case(case: Case) -> None:
    builder = Builder(case)
    data = builder.bytes()
    outputs = [(t, e) for t, e in zip(case.outputs, case.expected) if t is not None]
    for kernels in kernel_sets():
        results = run(data, builder.feeds, kernels, 1)
        for got, (out, expected) in zip(results, outputs, strict=True):
            compare(got, expected, out, case)
        for one, two in zip(results, run(data, builder.feeds, kernels, 2)):
            np.testing.assert_array_equal(one, two, err_msg="the result depends on the number of threads")


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0].refuse])
def test_refused(case: Case) -> None:
    with pytest.raises(ModelError, match=WORDS[case.refuse]):
        Runtime(Builder(case).bytes())


def test_every_operator_has_cases() -> None:
    """Of what it does, and of what it refuses."""
    assert {c.values[0].op for c in CASES if not c.values[0].refuse} == set(format.OPS) - {"strips"}  # runtime/strips_test.py
    assert {c.values[0].op for c in CASES if c.values[0].refuse} == set(format.OPS) - {"strips"}  # runtime/strips_test.py


def test_every_function_has_a_case() -> None:
    functions = {c.values[0].params["function"][0] for c in CASES if c.values[0].op == "unary" and not c.values[0].refuse}
    assert functions == set(format.FUNCTIONS)
    functions2 = {c.values[0].params["fn"] for c in CASES if c.values[0].op == "binary" and not c.values[0].refuse}
    assert functions2 == set(format.FUNCTIONS2)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_single_values_fill_a_row(dtype: str) -> None:
    """Both operands of `binary` may be 1 where the result is longer; a case takes the shape of y from its operands."""
    file = format.File(weights=np.ones(32, "<f4").tobytes(), arena_bytes=1024)
    quantised = {"scale_count": 1, "scales_at": 64} if dtype == "int8" else {}
    for i, shape in enumerate([(3, 1), (1, 1), (3, 40)]):
        file.tensors.append(format.Tensor(dtype, shape, "arena", 16 * i, **quantised))
    file.tensors.append(format.Tensor("float32", (2,), "weights", 0))
    inputs = [0, 1, *([3] if quantised else [])]
    file.records = [format.Record("binary", inputs, [2], {"fn": "add"})]
    file.inputs, file.outputs = [0, 1], [2]
    for kernels in kernel_sets():
        runtime = Runtime(format.write(file), kernels=kernels)
        np.asarray(runtime.inputs[0])[...] = np.array([[1], [2], [3]])
        np.asarray(runtime.inputs[1])[...] = 4
        runtime.run()
        assert np.array_equal(np.asarray(runtime.outputs[0]), np.repeat([[5], [6], [7]], 40, 1)), kernels
